{# The catalog is keyed by oid: a rename needs nothing more. #}
{% macro trickle__get_rename_sql(relation, new_name) %}
  {%- if relation.is_stream_table -%}
    {{ get_rename_table_sql(relation, new_name) }}
  {%- else -%}
    {{ default__get_rename_sql(relation, new_name) }}
  {%- endif -%}
{% endmacro %}
