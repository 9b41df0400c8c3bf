-- What dbt has warned of: models below that are another table after each of their runs. Written by the adapter.

ALTER TABLE pgtrickle.pgt_stream_tables ADD COLUMN rebuilt_sources text[] NOT NULL DEFAULT '{}';
