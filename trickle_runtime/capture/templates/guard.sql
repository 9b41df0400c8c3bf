CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
GRANT EXECUTE ON FUNCTION {function}() TO PUBLIC;
-- Never fires. It can't be replaced, and dropping it takes an exclusive lock: so it stays from version to version.
CREATE CONSTRAINT TRIGGER {trigger} AFTER INSERT ON {table} FOR EACH ROW WHEN (false) EXECUTE FUNCTION {function}()
