DROP TABLE schedule_run; DROP TABLE known_object;
