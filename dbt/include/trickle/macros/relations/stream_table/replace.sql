{# Another kind of relation has the name: it stays readable until the stream table is filled. #}
{% macro trickle_replace_by_stream_table(existing_relation, relation, desired) %}
  {{- log('Applying REPLACE to: ' ~ existing_relation) -}}
  {% do trickle_check_capture(desired) %}
  {% set rebuilt = trickle_warn_of_rebuilt_sources() %}
  {% set message = adapter.stream_table_replace(existing_relation, relation, desired) %}
  {% do trickle_note_rebuilt_sources(relation, rebuilt) %}
  {{ return(message ~ trickle_update_indexes(relation)) }}
{% endmacro %}
