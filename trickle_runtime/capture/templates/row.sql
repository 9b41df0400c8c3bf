BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO {buffer} (op{columns}) SELECT 'I'{new_columns} FROM {new_rows};
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO {buffer} (op{columns}) SELECT 'D'{old_columns} FROM {old_rows};
    ELSE
        INSERT INTO {buffer} (op{columns})
        SELECT image.* FROM {old_rows} CROSS JOIN {new_rows} CROSS JOIN LATERAL (
            VALUES ('B'::"char"{old_columns}), ('A'::"char"{new_columns})) image
        WHERE {differ};
    END IF;
    RETURN NULL;
{failure}
END
