{# Run one verb of the runtime and print the rows it returns. #}
{% macro trickle_operation(verb, arguments) %}
  {% if execute %}
    {% if arguments.get('name') %}
      {% do arguments.update({'name': trickle_resolve(arguments['name'])}) %}
    {% endif %}
    {% for line in adapter.trickle_operation(verb, arguments) %}
      {{ log(line, info=true) }}
    {% endfor %}
  {% endif %}
{% endmacro %}


{% macro trickle_daemon_is_running() %}
  {{ return(run_query('select ' ~ trickle_catalog('daemon_is_running()')).rows[0][0]) }}
{% endmacro %}


{# The table of a model of that name, or the name itself. #}
{% macro trickle_resolve(name) %}
  {% for node in graph.nodes.values() if node.resource_type == 'model' and node.name == name %}
    {{ return(api.Relation.create(schema=node.schema, identifier=node.alias).render()) }}
  {% endfor %}
  {{ return(name) }}
{% endmacro %}
