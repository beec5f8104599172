DROP INDEX accepted_due;
CREATE INDEX accepted_due ON accepted (endpoint, due_at, pos) WHERE head = 1;
