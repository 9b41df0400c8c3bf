{# Fails if a stream table is suspended, in error, not filled, diverged, or has a blown fuse. #}
{% test stream_table_healthy(model) %}
  select t.pgt_schema, t.pgt_name, t.status, t.fuse_state, t.blow_reason, t.last_error
  from {{ trickle_catalog('pgt_stream_tables') }} as t
  where t.pgt_relid = {{ trickle_tested_oid(model) }}
    and (
      t.status in ('initializing', 'suspended', 'error')
      or not t.is_populated
      or t.diverged
      or t.fuse_state = 'blown'
    )
{% endtest %}
