{# Whether stream tables read a relation of this name, and it is another one by now. #}
{% macro trickle_is_replaced_source(relation) %}
  {{ return(run_query(trickle_is_replaced_source_sql(relation)).rows[0][0]) }}
{% endmacro %}


{% macro trickle_is_replaced_source_sql(relation) %}
  select exists (
    select
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    join {{ trickle_catalog('pgt_dependencies') }} as d
      on d.source_name in (
        quote_ident(n.nspname) || '.' || quote_ident(c.relname),
        {{ trickle_literal(relation.include(database=false).render()) }}
      )
      and d.source_relid <> c.oid
    where c.oid = {{ trickle_oid(relation) }}
  ) as replaced
{% endmacro %}
