{#
  Columns of a table can't change under views that read them. dbt's own tables drop such views with
  the old table; here they go only where they must, and models among them are built again by their
  own runs. The runtime's views, by which it guards columns that a stream table above reads, are made
  again when that one is analysed anew.
#}
{% macro trickle_drop_dependent_views(relation) %}
  {% for row in run_query(trickle_dependent_views_sql(relation)).rows %}
    {% set view = api.Relation.create(relation.database, row[0], row[1], type=row[2]) %}
    {{ log('Dropping ' ~ view ~ ', which reads ' ~ relation, info=row[3]) }}
    {% do adapter.drop_relation(view) %}
  {% endfor %}
{% endmacro %}


{% macro trickle_dependent_views_sql(relation) %}
  select distinct
    n.nspname,
    c.relname,
    case c.relkind when 'm' then 'materialized_view' else 'view' end as kind,
    n.nspname <> {{ trickle_literal((target.runtime_schema or 'pgtrickle') ~ '_state') }} as theirs
  from pg_depend as d
  join pg_rewrite as r on r.oid = d.objid
  join pg_class as c on c.oid = r.ev_class
  join pg_namespace as n on n.oid = c.relnamespace
  where d.classid = 'pg_rewrite'::regclass
    and d.refclassid = 'pg_class'::regclass
    and d.refobjid = {{ trickle_oid(relation) }}
{% endmacro %}
