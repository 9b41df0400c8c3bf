{#
  Bring the indexes of the model's config into being and drop those that dbt made and that the
  config no longer names. dbt's index names are md5 digests that carry a timestamp, so definitions
  are compared, and an index under any other name (the runtime's, a user's) is never dropped.
#}
{% macro trickle_update_indexes(relation) %}
  {% set described = trickle_describe_stream_table(relation) %}
  {% set plan = adapter.trickle_index_plan(described['indexes'], config.get('indexes') or []) %}
  {% for index in plan.create %}
    {% do run_query(get_create_index_sql(relation, index)) %}
  {% endfor %}
  {% for name in plan.drop %}
    {% do run_query(get_drop_index_sql(relation, name)) %}
  {% endfor %}
  {{ return(', altered indexes' if plan.changed else '') }}
{% endmacro %}


{% macro trickle_index_definitions_sql(relid) %}
  select
    i.relname as name,
    m.amname as method,
    x.indisunique as "unique",
    (
      select string_agg(pg_get_indexdef(x.indexrelid, k, true), E'\n' order by k)
      from generate_series(1, x.indnkeyatts) as k
    ) as columns
  from pg_index x
  join pg_class i on i.oid = x.indexrelid
  join pg_am m on m.oid = i.relam
  where x.indrelid = {{ relid }}
    and x.indpred is null
{% endmacro %}
