{# --full-refresh: apply what changed and compute every row anew, in place where columns allow. #}
{% macro trickle_rebuild_stream_table(relation, desired) %}
  {{- log('Applying REPLACE to: ' ~ relation) -}}
  {% do trickle_check_capture(desired) %}
  {% do trickle_warn_of_rebuilt_sources() %}
  {{ return(adapter.stream_table_rebuild(relation, desired) ~ trickle_update_indexes(relation)) }}
{% endmacro %}
