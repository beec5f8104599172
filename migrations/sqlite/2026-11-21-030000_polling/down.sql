DROP TABLE hook_event;
DROP TABLE backfill;
DROP TABLE pulse;
DROP TABLE source_found;
DROP TABLE set_aside;
DROP TABLE poll_cursor;
DROP TABLE snapshot;
