CREATE TABLE {log} (
    __pgt_refresh bigint NOT NULL,
    __pgt_w int NOT NULL{columns}
) WITH (autovacuum_enabled = false, toast.autovacuum_enabled = false);
ALTER TABLE {log} REPLICA IDENTITY FULL;
ANALYZE {log};
