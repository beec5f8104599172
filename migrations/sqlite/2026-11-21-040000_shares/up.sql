-- The mapping stands in the index, so that a read which leaves some mappings out passes over their backlog without visiting its rows.
DROP INDEX accepted_due;
CREATE INDEX accepted_due ON accepted (endpoint, due_at, pos, mapping) WHERE head = 1;
