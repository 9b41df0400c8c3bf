CREATE TABLE {log} (
    refresh_no bigint NOT NULL,
    __w int NOT NULL{columns}
) WITH (autovacuum_enabled = false, toast.autovacuum_enabled = false);
ALTER TABLE {log} REPLICA IDENTITY FULL;
ANALYZE {log};
