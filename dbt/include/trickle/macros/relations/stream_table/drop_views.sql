{#
  Columns of a table can't change under views that read them. dbt's own tables drop such views with
  the old table; here those go that the runtime found in the way, and models among them are built
  again by their own runs. The runtime's views, by which it guards columns that a stream table above
  reads, are made again when that one is analysed anew.
#}
{% macro trickle_drop_views(relation, views) %}
  {% for one in views %}
    {% set type = 'materialized_view' if one.materialized else 'view' %}
    {% set view = api.Relation.create(relation.database, one.schema, one.name, type=type) %}
    {% set theirs = one.schema != (target.runtime_schema or 'pgtrickle') ~ '_state' %}
    {{ log('Dropping ' ~ view ~ ', which reads ' ~ relation, info=theirs) }}
    {% do adapter.drop_relation(view) %}
  {% endfor %}
{% endmacro %}
