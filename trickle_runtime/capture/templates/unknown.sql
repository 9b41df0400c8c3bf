BEGIN
    PERFORM pgtrickle.pgt_capture_failed({relid}, 'PT001', 'partition ' || TG_TABLE_NAME || ' is new');
    RETURN NULL;
END
