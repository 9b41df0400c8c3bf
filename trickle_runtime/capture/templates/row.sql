BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO {buffer} (op{columns}) SELECT 'I'{new_values};
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO {buffer} (op{columns}) SELECT 'D'{old_values};
    ELSIF {differ} THEN
        INSERT INTO {buffer} (op{columns}) SELECT 'B'{old_values};
        INSERT INTO {buffer} (op{columns}) SELECT 'A'{new_values};
    END IF;
    IF TG_RELID <> ALL ({known}) THEN
        PERFORM pgtrickle.pgt_capture_failed({relid}, 'PT001', 'partition ' || TG_TABLE_NAME || ' is new');
    END IF;
    RETURN NULL;
{failure}
END
