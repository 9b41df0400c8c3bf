{# Nothing changed in the definition: refresh unless a daemon keeps the table fresh. #}
{% macro trickle_refresh_stream_table(relation, desired, described) %}
  {{ return(trickle_bring_up_to_date(relation, desired, described).message) }}
{% endmacro %}


{% macro trickle_bring_up_to_date(relation, desired, described) %}
  {% do trickle_tell_of_rebuilt_sources(relation, described) %}
  {% set outcome = adapter.stream_table_refresh(relation, desired, described) %}
  {% if outcome.warning %}
    {% do exceptions.warn(relation ~ ': ' ~ outcome.warning) %}
  {% endif %}
  {{ return(outcome) }}
{% endmacro %}
