{# Nothing changed in the definition: refresh unless a daemon keeps the table fresh. #}
{% macro trickle_refresh_stream_table(relation, desired) %}
  {{ return(trickle_bring_up_to_date(relation, desired).message) }}
{% endmacro %}


{% macro trickle_bring_up_to_date(relation, desired) %}
  {% set described = trickle_describe_stream_table(relation) %}
  {% set outcome = adapter.stream_table_refresh(relation, desired, described) %}
  {% if outcome.warning %}
    {% do exceptions.warn(relation ~ ': ' ~ outcome.warning) %}
  {% endif %}
  {{ return(outcome) }}
{% endmacro %}
