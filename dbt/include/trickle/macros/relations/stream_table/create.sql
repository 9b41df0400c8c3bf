{% macro trickle_create_stream_table(relation, desired) %}
  {{- log('Applying CREATE to: ' ~ relation) -}}
  {% do trickle_check_capture(sql, desired) %}
  {% do trickle_warn_of_rebuilt_sources() %}
  {{ return(adapter.stream_table_create(relation, desired)) }}
{% endmacro %}


{# A `table` is another table after each run: what reads it has to be computed in full. #}
{% macro trickle_warn_of_rebuilt_sources() %}
  {% for id in model.depends_on.nodes if id in graph.nodes %}
    {% if graph.nodes[id].config.materialized == 'table' %}
      {% do exceptions.warn(
        this ~ ' reads ' ~ graph.nodes[id].name ~ ', which is materialized as table: each run of it costs a'
        ~ ' full difference here. Use incremental, view or stream_table there.'
      ) %}
    {% endif %}
  {% endfor %}
{% endmacro %}
