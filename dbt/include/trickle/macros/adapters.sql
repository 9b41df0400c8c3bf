{% macro trickle__alter_relation_comment(relation, comment) %}
  {%- if relation.is_stream_table -%}
    {%- set relation = relation.incorporate(type='table') -%}
  {%- endif -%}
  {{ return(postgres__alter_relation_comment(relation, comment)) }}
{% endmacro %}


{# dbt-postgres looks at ordinary tables and materialized views only; columns in index order. #}
{% macro trickle__get_show_indexes_sql(relation) %}
    select
        i.relname as name,
        m.amname as method,
        ix.indisunique as "unique",
        array_to_string(array_agg(a.attname order by array_position(ix.indkey, a.attnum)), ',')
            as column_names
    from pg_index ix
    join pg_class i
        on i.oid = ix.indexrelid
    join pg_am m
        on m.oid = i.relam
    join pg_class t
        on t.oid = ix.indrelid
    join pg_namespace n
        on n.oid = t.relnamespace
    join pg_attribute a
        on a.attrelid = t.oid
        and a.attnum = any(ix.indkey)
    where t.relname = '{{ relation.identifier }}'
      and n.nspname = '{{ relation.schema }}'
      and t.relkind in ('r', 'm', 'p')
    group by 1, 2, 3
    order by 1, 2, 3
{% endmacro %}


{#
  A stream table in a dropped schema must not leave its capture behind: the next write to a source
  in another schema would pay for it, and its registration would keep buffers from being cleaned.
#}
{% macro trickle__drop_schema(relation) -%}
  {% do adapter.trickle_release_schema(relation.schema) %}
  {{ return(postgres__drop_schema(relation)) }}
{% endmacro %}
