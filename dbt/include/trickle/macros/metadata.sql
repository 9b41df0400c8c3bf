{#
  `dbt source freshness` without a loaded_at_field. The time is that of the data: the snapshot to
  which the content corresponds, not the clock of the last refresh.
#}
{% macro trickle__get_relation_last_modified(information_schema, relations) %}
  {% if not adapter.trickle_installed() %}
    {% do trickle_no_metadata(relations[0]) %}
  {% endif %}
  {% call statement('last_modified', fetch_result=true, auto_begin=false) %}
    select
      n.nspname as schema,
      c.relname as identifier,
      f.data_timestamp as last_modified,
      clock_timestamp() as snapshotted_at
    from {{ trickle_catalog('pgt_stream_tables') }} as t
    left join {{ trickle_catalog('pgt_frontiers') }} as f on f.pgt_id = t.pgt_id
    join pg_class as c on c.oid = t.pgt_relid
    join pg_namespace as n on n.oid = c.relnamespace
    where
    {%- for relation in relations %}
      (
        lower(n.nspname) = lower({{ trickle_literal(relation.schema) }})
        and lower(c.relname) = lower({{ trickle_literal(relation.identifier) }})
      )
      {%- if not loop.last %} or {% endif %}
    {%- endfor %}
  {% endcall %}
  {% set result = load_result('last_modified') %}
  {% if relations | length == 1 and result.table.rows | length == 0 %}
    {% do trickle_no_metadata(relations[0]) %}
  {% endif %}
  {{ return(result) }}
{% endmacro %}


{% macro trickle_no_metadata(relation) %}
  {% do exceptions.raise_compiler_error(
    'PostgreSQL does not record when ' ~ relation ~ ' was last modified, and it is not a stream'
    ~ ' table: give a `loaded_at_field` or a `loaded_at_query`.'
  ) %}
{% endmacro %}
