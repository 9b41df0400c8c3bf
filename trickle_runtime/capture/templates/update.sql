-- Rows are paired by their position in the transition tables. Whichever pairs that gives, to leave out one whose
-- images are equal is right: −x and +x cancel out. So no key is compared, and none is needed.
#variable_conflict use_column
DECLARE
    pgt_differ boolean;
    pgt_many boolean;
    pgt_count bigint;
BEGIN
    SELECT {differ}, EXISTS (SELECT FROM pgt_new OFFSET 1) INTO pgt_differ, pgt_many
    FROM (SELECT * FROM {old_rows} LIMIT 1) o CROSS JOIN (SELECT * FROM {new_rows} LIMIT 1) n;
    IF pgt_many THEN
        -- Pairing costs as much as writing; a sample from three places tells whether it is worth that.
        SELECT count(*) INTO pgt_count FROM pgt_new;
        IF EXISTS (
            SELECT FROM (VALUES (0), (pgt_count / 2), (greatest(pgt_count - 32, 0))) AS sample (place)
            CROSS JOIN LATERAL (SELECT *, row_number() OVER () AS row FROM (
                SELECT * FROM {old_rows} OFFSET sample.place LIMIT 32) o) o
            JOIN LATERAL (SELECT *, row_number() OVER () AS row FROM (
                SELECT * FROM {new_rows} OFFSET sample.place LIMIT 32) n) n ON n.row = o.row
            WHERE NOT {differ}
        ) THEN
            -- Planned each time: a plan kept from a small statement would join large ones by nested loops.
            EXECUTE {paired};
            RETURN NULL;
        END IF;
        pgt_differ := true;
    END IF;
    IF pgt_differ THEN
        INSERT INTO {buffer} (op{columns}) SELECT 'B'{old_columns} FROM {old_rows};
        INSERT INTO {buffer} (op{columns}) SELECT 'A'{new_columns} FROM {new_rows};
    END IF;
    RETURN NULL;
{failure}
END
