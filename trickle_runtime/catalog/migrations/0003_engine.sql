-- What the refresh engine needs besides the tables: protection of stream tables, and quick access to full refreshes.

-- The last full refresh may lie far behind thousands of differential ones.
CREATE INDEX pgt_refresh_history_full ON pgtrickle.pgt_refresh_history (pgt_id, refresh_id DESC)
    WHERE action IN ('INITIALIZE', 'FULL', 'REINITIALIZE') AND status = 'completed';

-- Called for statements of everybody but a refresh, which its trigger's WHEN clause lets through.
CREATE FUNCTION pgtrickle.pgt_protect() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% on stream table %.% is not allowed', TG_OP, quote_ident(TG_TABLE_SCHEMA), quote_ident(TG_TABLE_NAME)
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'Its rows are those of its query: change the sources, or alter or drop the stream table.';
END $$;
