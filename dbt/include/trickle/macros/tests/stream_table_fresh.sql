{#
  Fails if a stream table, or one below it, has changes to bring in and content that is older than
  max_lag. Without such changes the content is current, however long ago it was refreshed.
#}
{% test stream_table_fresh(model, max_lag='5 minutes') %}
  {%- if not trickle_is_tested(model) -%}
    {{ return(trickle_no_failures_sql()) }}
  {%- endif -%}
  with recursive wanted (pgt_id) as (
    select t.pgt_id
    from {{ trickle_catalog('pgt_stream_tables') }} as t
    where t.pgt_relid = {{ trickle_oid(model) }}
    union
    select d.source_pgt_id
    from wanted
    join {{ trickle_catalog('pgt_dependencies') }} as d on d.pgt_id = wanted.pgt_id
    where d.source_pgt_id is not null
  )
  select t.pgt_schema, t.pgt_name, f.data_timestamp, now() - f.data_timestamp as lag
  from wanted
  join {{ trickle_catalog('pgt_stream_tables') }} as t on t.pgt_id = wanted.pgt_id
  left join {{ trickle_catalog('pgt_frontiers') }} as f on f.pgt_id = wanted.pgt_id
  where not t.is_populated
    or (
      now() - f.data_timestamp > {{ trickle_literal(max_lag) }}::interval
      and {{ trickle_has_changes_sql('t') }}
    )
{% endtest %}


{# Whether a stream table has something to bring in. #}
{% macro trickle_has_changes_sql(alias) %}
  {%- set sql -%}
    (
      {{ alias }}.reinit_reason is not null
      or exists (select from {{ trickle_catalog('pgt_pending') }}(array[{{ alias }}.pgt_id]))
    )
  {%- endset -%}
  {{- return(sql) -}}
{% endmacro %}
