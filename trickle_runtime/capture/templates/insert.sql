BEGIN
    INSERT INTO {buffer} (op{columns}) SELECT 'I'{new_columns} FROM {new_rows};
    RETURN NULL;
{failure}
END
