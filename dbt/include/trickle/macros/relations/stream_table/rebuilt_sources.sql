{#
  A `table` is another table after each run: what reads it, also through views, has to be computed
  in full. The graph says which are so. It is told once: the catalog keeps of which, until that
  changes; and again whenever the query is new or all is computed anew.
#}
{% macro trickle_tell_of_rebuilt_sources(relation, described) %}
  {% set told = fromjson(described['rebuilt_sources']) %}
  {% set rebuilt = trickle_warn_of_rebuilt_sources(told) %}
  {% if rebuilt != told %}
    {% do trickle_note_rebuilt_sources(relation, rebuilt) %}
  {% endif %}
{% endmacro %}


{# Warn of those that are not `told` yet; returns the ids of all. #}
{% macro trickle_warn_of_rebuilt_sources(told=[]) %}
  {% set rebuilt = [] %}
  {% for id in trickle_read_models(model.depends_on.nodes) if graph.nodes[id].config.materialized == 'table' %}
    {% do rebuilt.append(id) %}
    {% if id not in told %}
      {% do exceptions.warn(
        this ~ ' reads ' ~ graph.nodes[id].name ~ ', which is materialized as table: each run of it costs a'
        ~ ' full difference here. Use incremental, view or stream_table there.'
      ) %}
    {% endif %}
  {% endfor %}
  {{ return(rebuilt | sort) }}
{% endmacro %}


{# The models that nodes are, and those below that are read through views and ephemeral models. #}
{% macro trickle_read_models(ids, found=none) %}
  {% set found = [] if found is none else found %}
  {% for id in ids if id in graph.nodes and id not in found and graph.nodes[id].resource_type == 'model' %}
    {% do found.append(id) %}
    {% if graph.nodes[id].config.materialized in ('view', 'ephemeral') %}
      {% do trickle_read_models(graph.nodes[id].depends_on.nodes, found) %}
    {% endif %}
  {% endfor %}
  {{ return(found) }}
{% endmacro %}


{% macro trickle_note_rebuilt_sources(relation, ids) %}
  {% do run_query(trickle_note_rebuilt_sources_sql(relation, ids)) %}
{% endmacro %}


{% macro trickle_note_rebuilt_sources_sql(relation, ids) %}
  update {{ trickle_catalog('pgt_stream_tables') }}
  set rebuilt_sources = array(select jsonb_array_elements_text({{ trickle_literal(tojson(ids)) }}::jsonb))
  where pgt_relid = {{ trickle_oid(relation) }}
{% endmacro %}
