{# Run one verb of the runtime and print the rows it returns. #}
{% macro trickle_operation(verb, arguments) %}
  {% if execute %}
    {% do adapter.trickle_check() %}
    {% if arguments.get('name') is string %}
      {% do arguments.update({'name': trickle_resolve(arguments['name'])}) %}
    {% endif %}
    {% for line in adapter.trickle_operation(verb, arguments) %}
      {{ log(line, info=true) }}
    {% endfor %}
  {% endif %}
{% endmacro %}


{# The schemas that an operation without a name is about; none: all. #}
{% macro trickle_within(name, all) %}
  {% if all is not sameas true and all is not sameas false %}
    {% do exceptions.raise_compiler_error('all ' ~ all ~ ' is not valid. Allowed: true, false.') %}
  {% endif %}
  {{ return(none if name or all else trickle_own_schemas()) }}
{% endmacro %}


{# The schemas of what this project builds, and the target's. #}
{% macro trickle_own_schemas() %}
  {% set schemas = [target.schema] %}
  {% for node in graph.nodes.values() if node.resource_type in ('model', 'seed', 'snapshot') %}
    {% do schemas.append(node.schema) %}
  {% endfor %}
  {{ return(schemas | unique | list) }}
{% endmacro %}


{% macro trickle_daemon_is_running() %}
  {{ return(run_query('select ' ~ trickle_catalog('daemon_is_running()')).rows[0][0]) }}
{% endmacro %}


{#
  The table of a model of that name, or the name itself. As in ref(), a name without a version means
  the latest one, and a model of this project comes before one of a package.
#}
{% macro trickle_resolve(name) %}
  {% set found = [] %}
  {% for node in graph.nodes.values() if node.resource_type == 'model' %}
    {% set latest = node.version is none or node.version == node.latest_version %}
    {% if (node.name == name and latest) or (node.version is not none and node.name ~ '.v' ~ node.version == name) %}
      {% do found.insert(0 if node.package_name == project_name else found | length, node) %}
    {% endif %}
  {% endfor %}
  {% if found %}
    {{ return(api.Relation.create(schema=found[0].schema, identifier=found[0].alias).render()) }}
  {% endif %}
  {{ return(name) }}
{% endmacro %}
