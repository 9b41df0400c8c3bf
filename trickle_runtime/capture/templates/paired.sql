INSERT INTO {buffer} (op{columns})
SELECT image.* FROM (SELECT *, row_number() OVER () AS place FROM {old_rows}) o
JOIN (SELECT *, row_number() OVER () AS place FROM {new_rows}) n ON n.place = o.place
CROSS JOIN LATERAL (VALUES ('B'::"char"{old_columns}), ('A'::"char"{new_columns})) image
WHERE {differ}
