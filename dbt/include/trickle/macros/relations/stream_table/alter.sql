{# Apply what changed; a table that keeps its query may have pending changes besides. #}
{% macro trickle_alter_stream_table(relation, desired, changes) %}
  {%- if changes.requires_full_refresh -%}
    {{- log('Applying REPLACE to: ' ~ relation) -}}
    {% do trickle_check_capture(desired) %}
    {% set rebuilt = trickle_warn_of_rebuilt_sources() %}
    {% set message = adapter.stream_table_alter(relation, desired, changes) %}
    {% do trickle_note_rebuilt_sources(relation, rebuilt) %}
    {% do trickle_update_indexes(relation) %}
    {{ return(message) }}
  {%- endif -%}
  {{- log('Applying ALTER to: ' ~ relation) -}}
  {% set message = adapter.stream_table_alter(relation, desired, changes) %}
  {% do trickle_update_indexes(relation) %}
  {% set described = trickle_describe_stream_table(relation) %}
  {% set outcome = trickle_bring_up_to_date(relation, desired, described) %}
  {{ return(message ~ (', ' ~ outcome.words if outcome.words else '')) }}
{% endmacro %}
