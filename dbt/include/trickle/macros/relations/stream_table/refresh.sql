{# Nothing changed in the definition: refresh unless a daemon keeps the table fresh. #}
{% macro trickle_refresh_stream_table(relation, desired, described) %}
  {% set outcome = adapter.stream_table_refresh(relation, desired, described) %}
  {% if outcome.warning %}
    {% do exceptions.warn(relation ~ ': ' ~ outcome.warning) %}
  {% endif %}
  {{ return(outcome.message) }}
{% endmacro %}
