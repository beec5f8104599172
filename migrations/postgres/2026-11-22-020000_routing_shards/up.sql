-- Routing is shared by shard: each node reads what waits in its own shards, stores in turn.
CREATE INDEX incoming_shard ON incoming (shard, store, seq);

-- Whether the node's program knows of shards; one that does not is given none.
ALTER TABLE node ADD COLUMN shards BOOLEAN NOT NULL DEFAULT FALSE;
