BEGIN
    INSERT INTO {buffer} (op{columns}) SELECT 'D'{old_columns} FROM {old_rows};
    RETURN NULL;
{failure}
END
