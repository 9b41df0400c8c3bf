{# create, replace, rebuild, alter, refresh or nothing; returns the message for the user. #}
{% macro trickle_build_stream_table(existing_relation, target_relation, desired) %}
  {% do adapter.trickle_check() %}
  {% set desired = desired.with_tests(trickle_gate(desired)) %}

  {% if existing_relation is none %}
    {{ return(trickle_create_stream_table(target_relation, desired)) }}

  {% elif not existing_relation.is_stream_table %}
    {{ return(trickle_replace_by_stream_table(existing_relation, target_relation, desired)) }}

  {% endif %}

  {% set described = trickle_describe_stream_table(target_relation, desired.query) %}
  {% if described is none or described['status'] == 'initializing' %}
    {{ return(trickle_create_stream_table(target_relation, desired)) }}
  {% endif %}

  {% if should_full_refresh() %}
    {{ return(trickle_rebuild_stream_table(target_relation, desired)) }}
  {% endif %}

  {% set changes = adapter.stream_table_changes(target_relation, desired, described, config.get('indexes') or []) %}
  {% set on_configuration_change = config.get('on_configuration_change') %}

  {% if changes is none %}
    {{ return(trickle_refresh_stream_table(target_relation, desired, described)) }}

  {% elif on_configuration_change == 'apply' %}
    {{ return(trickle_alter_stream_table(target_relation, desired, changes)) }}

  {% elif on_configuration_change == 'continue' %}
    {% do exceptions.warn("Configuration changes were identified and `on_configuration_change` was set to `continue` for `" ~ target_relation.render() ~ "`") %}
    {{ return('STREAM TABLE skipped (' ~ changes.names | join(', ') ~ ' changed, on_configuration_change is continue)') }}

  {% elif on_configuration_change == 'fail' %}
    {{ exceptions.raise_fail_fast_error("Configuration changes were identified and `on_configuration_change` was set to `fail` for `" ~ target_relation.render() ~ "`") }}

  {% else %}
    {{ exceptions.raise_compiler_error("Unexpected configuration scenario") }}
  {% endif %}

{% endmacro %}
