DROP TABLE job_mark;
DROP TABLE job;
