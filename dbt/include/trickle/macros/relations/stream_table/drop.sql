{#
  Text of a drop, where dbt wants text (it may run it later, behind a rename). Registrations of
  relations that are gone are removed by the runtime's next cleanup; trickle__drop_relation, which
  dbt uses wherever it drops at once, leaves nothing behind.
#}
{% macro trickle__get_drop_sql(relation) %}
  {%- if relation.is_stream_table -%}
    {{ drop_table(relation) }}
  {%- else -%}
    {{ default__get_drop_sql(relation) }}
  {%- endif -%}
{% endmacro %}


{% macro trickle__drop_relation(relation) %}
  {% if relation.is_stream_table %}
    {{- log('Applying DROP to: ' ~ relation) -}}
    {% do adapter.stream_table_drop(relation) %}
  {% else %}
    {{ return(default__drop_relation(relation)) }}
  {% endif %}
{% endmacro %}
