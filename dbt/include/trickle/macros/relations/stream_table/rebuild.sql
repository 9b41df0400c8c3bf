{# --full-refresh: apply what changed and compute every row anew, in place where columns allow. #}
{% macro trickle_rebuild_stream_table(relation, desired) %}
  {{- log('Applying REPLACE to: ' ~ relation) -}}
  {% do trickle_check_capture(desired) %}
  {% set rebuilt = trickle_warn_of_rebuilt_sources() %}
  {% set message = adapter.stream_table_rebuild(relation, desired) %}
  {% do trickle_note_rebuilt_sources(relation, rebuilt) %}
  {{ return(message ~ trickle_update_indexes(relation)) }}
{% endmacro %}
