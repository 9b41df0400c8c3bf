{#
  What there is: one row, or none where the catalog knows no stream table of that oid; with a query
  also whether it is the stored one. All in one statement: it is asked on every run.
#}
{% macro trickle_describe_stream_table(relation, sql=none) %}
  {{ return(adapter.trickle_first_row(run_query(trickle_describe_stream_table_sql(relation, sql)))) }}
{% endmacro %}


{% macro trickle_describe_stream_table_sql(relation, sql=none) %}
  select
    t.query,
    t.schedule,
    t.refresh_mode,
    t.effective_mode,
    t.mode_reasons::text as mode_reasons,
    t.partition_by,
    t.fuse_mode as fuse,
    t.fuse_ceiling,
    t.fuse_sensitivity,
    t.tier,
    t.cdc_mode,
    t.diamond_consistency,
    t.append_only,
    to_json(t.unique_key)::text as unique_key,
    t.status,
    t.fuse_state,
    t.blow_reason,
    to_json(t.rebuilt_sources)::text as rebuilt_sources,
    t.last_error,
    (
      select jsonb_agg(jsonb_build_object('name', g.name, 'query', g.query, 'missing', g.missing) order by g.position)
      from {{ trickle_catalog('pgt_gates') }} as g
      where g.pgt_id = t.pgt_id
    )::text as gate,
    (
      select jsonb_agg(c order by c.position)
      from {{ trickle_catalog('pgt_constraints') }} as c
      where c.pgt_id = t.pgt_id
    )::text as constraints,
    {{ trickle_catalog('blown_by_gate') }}(t.pgt_id) as blown_by_gate,
    r.source_replaced,
    {{ trickle_catalog('daemon_is_running()') }} as daemon_is_running,
    (
      select jsonb_agg(i)
      from ({{ trickle_index_definitions_sql('t.pgt_relid') }}) as i
    )::text as indexes
    {%- if sql is not none %},
    {{ trickle_catalog('pgt_same_query') }}(t.pgt_relid, t.query, {{ trickle_literal(sql) }}) as same_query
    {%- endif %}
  from {{ trickle_catalog('pgt_stream_tables') }} as t
  cross join lateral (
    select t.reinit_reason is not null or exists (
      select
      from {{ trickle_catalog('pgt_dependencies') }} as d
      left join pg_class as c on c.oid = d.source_relid
      where d.pgt_id = t.pgt_id and c.oid is null
    ) as source_replaced
  ) as r
  where t.pgt_relid = {{ trickle_oid(relation) }}
{% endmacro %}


{% macro trickle_oid(relation) %}
  {{- return('to_regclass(' ~ trickle_literal(relation.include(database=false).render()) ~ ')') -}}
{% endmacro %}


{% macro trickle_create_probe_sql(name, sql) %}
  create temporary view {{ name }} as (
  {{ sql }}
  )
{% endmacro %}


{% macro trickle_drop_probes_sql() %}
  drop view if exists pg_temp.trickle_probe, pg_temp.trickle_stored;
{% endmacro %}
