{% macro trickle_create_stream_table(relation, desired) %}
  {{- log('Applying CREATE to: ' ~ relation) -}}
  {% do trickle_check_capture(desired) %}
  {% do trickle_warn_of_rebuilt_sources() %}
  {{ return(adapter.stream_table_create(relation, desired) ~ trickle_update_indexes(relation)) }}
{% endmacro %}


{#
  A `table` is another table after each run: what reads it, also through views, has to be computed
  in full. Told whenever the query is new, all is computed anew, or it is so for the first time.
#}
{% macro trickle_warn_of_rebuilt_sources() %}
  {% for id in trickle_read_models(model.depends_on.nodes) if graph.nodes[id].config.materialized == 'table' %}
    {% do exceptions.warn(
      this ~ ' reads ' ~ graph.nodes[id].name ~ ', which is materialized as table: each run of it costs a'
      ~ ' full difference here. Use incremental, view or stream_table there.'
    ) %}
  {% endfor %}
{% endmacro %}


{# The models that nodes are, and those below that are read through views and ephemeral models. #}
{% macro trickle_read_models(ids) %}
  {% set found = [] %}
  {% for id in ids if id in graph.nodes and graph.nodes[id].resource_type == 'model' %}
    {% do found.append(id) %}
    {% if graph.nodes[id].config.materialized in ('view', 'ephemeral') %}
      {% do found.extend(trickle_read_models(graph.nodes[id].depends_on.nodes)) %}
    {% endif %}
  {% endfor %}
  {{ return(found | unique | list) }}
{% endmacro %}
