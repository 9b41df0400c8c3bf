{#
  dbt's own materializations that would work on a relation of the model's name in place: a stream
  table steps aside first. (`table` and `view` build beside and rename, so they need no wrapper.)
#}
{% materialization materialized_view, adapter='trickle' %}
  {% set aside = trickle_step_aside(this) %}
  {% set relations = materialization_materialized_view_default() %}
  {% do drop_relation_if_exists(aside) %}
  {{ return(relations) }}
{% endmaterialization %}


{% materialization incremental, adapter='trickle' %}
  {% set aside = trickle_step_aside(this) %}
  {% set relations = materialization_incremental_default() %}
  {% do drop_relation_if_exists(aside) %}
  {{ return(relations) }}
{% endmaterialization %}


{% materialization seed, adapter='trickle' %}
  {% set aside = trickle_step_aside(this) %}
  {% set relations = materialization_seed_default() %}
  {% do drop_relation_if_exists(aside) %}
  {{ return(relations) }}
{% endmaterialization %}


{% materialization snapshot, adapter='trickle' %}
  {% set aside = trickle_step_aside(this) %}
  {% set relations = materialization_snapshot_default() %}
  {% do drop_relation_if_exists(aside) %}
  {{ return(relations) }}
{% endmaterialization %}


{# Rename a stream table out of the way, within the transaction that builds its successor. #}
{% macro trickle_step_aside(relation) %}
  {% set existing_relation = load_cached_relation(relation) %}
  {% if existing_relation is none or not existing_relation.is_stream_table %}
    {{ return(none) }}
  {% endif %}
  {% set aside = make_backup_relation(existing_relation, existing_relation.type, '__trickle_old') %}
  {% do drop_relation_if_exists(load_cached_relation(aside)) %}
  {% do adapter.rename_relation(existing_relation, aside) %}
  {{ return(aside) }}
{% endmacro %}
