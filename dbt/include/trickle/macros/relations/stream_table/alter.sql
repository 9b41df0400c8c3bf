{% macro trickle_alter_stream_table(relation, desired, changes) %}
  {%- if changes.requires_full_refresh -%}
    {{- log('Applying REPLACE to: ' ~ relation) -}}
    {% do trickle_check_capture(sql, desired) %}
  {%- else -%}
    {{- log('Applying ALTER to: ' ~ relation) -}}
  {%- endif -%}
  {{ return(adapter.stream_table_alter(relation, desired, changes)) }}
{% endmacro %}
