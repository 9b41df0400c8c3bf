CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pgtrickle_changes, pg_temp AS {body};
-- Whoever creates a partition clones our trigger to it, and PostgreSQL asks for this right then.
GRANT EXECUTE ON FUNCTION {function}() TO PUBLIC
