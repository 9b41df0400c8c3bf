{#
  Fails if a stream table is suspended, in error, not filled, diverged, or has a blown fuse; with
  warn_seconds also if it has changes to bring in and content that is older.
#}
{% test stream_table_healthy(model, warn_seconds=none) %}
  {%- if not trickle_is_tested(model) -%}
    {{ return(trickle_no_failures_sql()) }}
  {%- endif -%}
  select t.pgt_schema, t.pgt_name, t.status, t.fuse_state, t.blow_reason, t.last_error
  from {{ trickle_catalog('pgt_stream_tables') }} as t
  left join {{ trickle_catalog('pgt_frontiers') }} as f on f.pgt_id = t.pgt_id
  where t.pgt_relid = {{ trickle_oid(model) }}
    and (
      t.status in ('initializing', 'suspended', 'error')
      or not t.is_populated
      or t.diverged
      or t.fuse_state = 'blown'
      {%- if warn_seconds is not none %}
      or (
        now() - f.data_timestamp > make_interval(secs => {{ warn_seconds | float }})
        and {{ trickle_has_changes_sql('t') }}
      )
      {%- endif %}
    )
{% endtest %}
