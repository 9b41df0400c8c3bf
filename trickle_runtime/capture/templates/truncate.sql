BEGIN
    INSERT INTO pgtrickle.pgt_markers (source_relid, kind) VALUES ({relid}, 'T');
    RETURN NULL;
END
