{#
  `dbt run-operation NAME --args '{name: …}'`. A name is that of a model, or a table's name as SQL
  writes it (schema.name, quoted where needed). Without one, an operation is about the schemas of the
  project and of the target, with `all: true` about the database.
#}
{% macro trickle_refresh(name=none, mode=none, all=false) %}
  {% do trickle_operation('refresh', {'name': name, 'mode': mode, 'within': trickle_within(name, all)}) %}
{% endmacro %}


{% macro trickle_status(name=none, all=false) %}
  {% do trickle_operation('status', {'name': name, 'within': trickle_within(name, all)}) %}
{% endmacro %}


{% macro trickle_explain(name) %}
  {% do trickle_operation('explain', {'name': name}) %}
{% endmacro %}


{% macro trickle_explain_delta(name, changed=none, plan=false) %}
  {% do trickle_operation('explain_delta', {'name': name, 'changed': changed, 'plan': plan}) %}
{% endmacro %}


{% macro trickle_explain_rewrite(query) %}
  {% do trickle_operation('explain_rewrite', {'query': query}) %}
{% endmacro %}


{% macro trickle_auxiliary_columns(name) %}
  {% do trickle_operation('auxiliary_columns', {'name': name}) %}
{% endmacro %}


{% macro trickle_validate(query) %}
  {% do trickle_operation('validate', {'query': query}) %}
{% endmacro %}


{% macro trickle_diagnose(name) %}
  {% do trickle_operation('diagnose', {'name': name}) %}
{% endmacro %}


{% macro trickle_fuse_status(name=none, all=false) %}
  {% do trickle_operation('fuse_status', {'name': name, 'within': trickle_within(name, all)}) %}
{% endmacro %}


{% macro trickle_reset_fuse(name, action='apply') %}
  {% do trickle_operation('reset_fuse', {'name': name, 'action': action}) %}
{% endmacro %}


{% macro trickle_pause(name) %}
  {% do trickle_operation('pause', {'name': name}) %}
{% endmacro %}


{% macro trickle_resume(name) %}
  {% do trickle_operation('resume', {'name': name}) %}
{% endmacro %}


{% macro trickle_drop(name) %}
  {% do trickle_operation('drop', {'name': name}) %}
{% endmacro %}


{% macro trickle_verify(name=none, all=false) %}
  {% do trickle_operation('verify', {'name': name, 'within': trickle_within(name, all)}) %}
{% endmacro %}


{# Without a daemon nobody would bring the changes in, so it is done here. #}
{% macro trickle_wait_until_fresh(name, timeout=300) %}
  {% if execute and not trickle_daemon_is_running() %}
    {% do trickle_operation('refresh', {'name': name}) %}
  {% endif %}
  {% do trickle_operation('wait', {'name': name, 'timeout': timeout}) %}
{% endmacro %}
