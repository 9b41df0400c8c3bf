{# `dbt docs generate`: the type STREAM TABLE and what is known of each, as statistics. #}
{% macro trickle__get_catalog_relations(information_schema, relations) %}
  {{ return(trickle_label_catalog(postgres__get_catalog_relations(information_schema, relations))) }}
{% endmacro %}


{% macro trickle__get_catalog(information_schema, schemas) %}
  {{ return(trickle_label_catalog(postgres__get_catalog(information_schema, schemas))) }}
{% endmacro %}


{% macro trickle_label_catalog(catalog) %}
  {% if not adapter.trickle_installed() %}
    {{ return(catalog) }}
  {% endif %}
  {{ return(adapter.trickle_label_catalog(catalog, run_query(trickle_catalog_facts_sql()))) }}
{% endmacro %}


{% macro trickle_catalog_facts_sql() %}
  select
    n.nspname as table_schema,
    c.relname as table_name,
    t.refresh_mode || ' (' || t.effective_mode || ')' as mode,
    t.schedule,
    t.status,
    t.fuse_state,
    to_char(f.last_refresh_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') as last_refresh,
    extract(epoch from now() - f.data_timestamp)::bigint as lag
  from {{ trickle_catalog('pgt_stream_tables') }} as t
  left join {{ trickle_catalog('pgt_frontiers') }} as f on f.pgt_id = t.pgt_id
  join pg_class as c on c.oid = t.pgt_relid
  join pg_namespace as n on n.oid = c.relnamespace
{% endmacro %}


{# A relation of the runtime's catalog schema. #}
{% macro trickle_catalog(name) %}
  {{- return(adapter.quote(target.runtime_schema or 'pgtrickle') ~ '.' ~ name) -}}
{% endmacro %}


{# Whether this role may read the catalog: it need not exist, nor be ours to read. #}
{% macro trickle_catalog_readable_sql() %}
  select coalesce(
    bool_and(has_schema_privilege(n.oid, 'USAGE') and has_table_privilege(c.oid, 'SELECT')), false
  ) as readable
  from pg_namespace as n
  join pg_class as c on c.relnamespace = n.oid
  where n.nspname = {{ trickle_literal(target.runtime_schema or 'pgtrickle') }}
    and c.relname = 'pgt_stream_tables'
{% endmacro %}


{% macro trickle_catalog_readable() %}
  {{ return(run_query(trickle_catalog_readable_sql()).rows[0][0]) }}
{% endmacro %}


{% macro trickle_list_stream_tables(schema) %}
  {% set stream_tables = run_query(trickle_list_stream_tables_sql(schema)) %}
  {{ return(stream_tables.rows) }}
{% endmacro %}


{% macro trickle_list_stream_tables_sql(schema) %}
  select n.nspname, c.relname
  from {{ trickle_catalog('pgt_stream_tables') }} as t
  join pg_class as c on c.oid = t.pgt_relid
  join pg_namespace as n on n.oid = c.relnamespace
  where lower(n.nspname) = lower({{ trickle_literal(schema) }})
{% endmacro %}
