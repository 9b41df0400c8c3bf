CREATE TABLE {buffer} (
    xid xid8 DEFAULT pg_current_xact_id(),
    op "char"{columns}
) WITH (autovacuum_enabled = false, toast.autovacuum_enabled = false);
-- A FOR ALL TABLES publication makes DELETE fail on a table without replica identity.
ALTER TABLE {buffer} REPLICA IDENTITY FULL;
-- Known to be empty, it is planned by its real size and not by a guess of ten pages.
ANALYZE {buffer};
