{# What there is: one row, or none where the catalog knows no stream table of that oid. #}
{% macro trickle_describe_stream_table(relation) %}
  {{ return(adapter.trickle_first_row(run_query(trickle_describe_stream_table_sql(relation)))) }}
{% endmacro %}


{% macro trickle_describe_stream_table_sql(relation) %}
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
    t.reinit_reason is not null or exists (
      select
      from {{ trickle_catalog('pgt_dependencies') }} as d
      left join pg_class as c on c.oid = d.source_relid
      where d.pgt_id = t.pgt_id and c.oid is null
    ) as source_replaced,
    {{ trickle_catalog('daemon_is_running()') }} as daemon_is_running
  from {{ trickle_catalog('pgt_stream_tables') }} as t
  where t.pgt_relid = {{ trickle_oid(relation) }}
{% endmacro %}


{% macro trickle_oid(relation) %}
  {{- return('to_regclass(' ~ trickle_literal(relation.include(database=false).render()) ~ ')') -}}
{% endmacro %}


{#
  Whether the model's query is the one that is stored. The text decides if it is the same; otherwise
  PostgreSQL prints both in its canonical form, in which comments and blanks are gone. Columns are
  compared in any case: `select *` changes its meaning with the tables that it reads.
#}
{% macro trickle_same_query(relation, stored, sql) %}
  {% set same_text = adapter.trickle_same_text(stored, sql) %}
  {% set same = run_query(trickle_same_query_sql(relation, stored, sql, same_text)).rows[0][0] %}
  {% do run_query(trickle_drop_probes_sql()) %}
  {{ return(same) }}
{% endmacro %}


{% macro trickle_same_query_sql(relation, stored, sql, same_text) %}
  {{ trickle_drop_probes_sql() }}
  {{ trickle_create_probe_sql('trickle_probe', sql) }};
  {%- if not same_text %}
  -- The stored text may have become invalid; then it is another query.
  do {{ trickle_literal(trickle_try_sql(trickle_create_probe_sql('trickle_stored', stored))) }};
  {%- endif %}
  select
    {% if not same_text %}
    to_regclass('pg_temp.trickle_stored') is not null
    and pg_get_viewdef(to_regclass('pg_temp.trickle_stored'))
      = pg_get_viewdef(to_regclass('pg_temp.trickle_probe'))
    and {% endif %} {{ trickle_columns_sql("to_regclass('pg_temp.trickle_probe')") }}
      = {{ trickle_columns_sql(trickle_oid(relation)) }} as same_query
{% endmacro %}


{% macro trickle_create_probe_sql(name, sql) %}
  create temporary view {{ name }} as (
  {{ sql }}
  )
{% endmacro %}


{% macro trickle_drop_probes_sql() %}
  drop view if exists pg_temp.trickle_probe, pg_temp.trickle_stored;
{% endmacro %}


{% macro trickle_try_sql(statement) %}
  begin
    execute {{ trickle_literal(statement) }};
  exception when others then
    null;
  end
{% endmacro %}


{% macro trickle_columns_sql(relid) %}
  array(
    select a.attname::text || ' ' || format_type(a.atttypid, a.atttypmod)
    from pg_attribute as a
    where a.attrelid = {{ relid }} and a.attnum > 0 and not a.attisdropped
    order by a.attnum
  )
{%- endmacro %}
