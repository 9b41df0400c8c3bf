-- Rows are paired by their position in the transition tables. Whichever pairs that gives, to leave out one whose
-- images are equal is right: −x and +x cancel out. So no key is compared, and none is needed.
BEGIN
    INSERT INTO {buffer} (op{columns})
    SELECT image.* FROM {old_rows} CROSS JOIN {new_rows} CROSS JOIN LATERAL (
        VALUES ('B'::"char"{old_columns}), ('A'::"char"{new_columns})) image
    WHERE (SELECT count(*) FROM (SELECT FROM pgt_new LIMIT 2) few) = 1 AND {differ};
    IF FOUND OR (SELECT count(*) FROM (SELECT FROM pgt_new LIMIT 2) few) < 2 THEN
        RETURN NULL;
    END IF;
    -- Pairing costs half as much again as writing; a sample tells whether it is worth that.
    IF EXISTS (
        SELECT FROM (SELECT *, row_number() OVER () AS place FROM {old_rows} LIMIT 64) o
        JOIN (SELECT *, row_number() OVER () AS place FROM {new_rows} LIMIT 64) n ON n.place = o.place
        WHERE NOT {differ}
    ) THEN
        -- Planned each time: a plan kept from a small statement would join large ones by nested loops.
        EXECUTE {paired};
    ELSE
        INSERT INTO {buffer} (op{columns})
        SELECT 'B'{old_columns} FROM {old_rows} UNION ALL SELECT 'A'{new_columns} FROM {new_rows};
    END IF;
    RETURN NULL;
{failure}
END
