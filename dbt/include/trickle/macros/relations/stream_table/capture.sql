{#
  Capture puts a trigger on each source. It is allowed on what this target builds, on declared dbt
  sources, on the schemas in the profile's capture_schemas, and anywhere with capture_outside: true.
#}
{% macro trickle_check_capture(desired) %}
  {% if not desired.capture_outside %}
    {% set outside = trickle_outside_relations(desired.query) %}
    {% if outside %}
      {% do exceptions.raise_compiler_error(
        'Maintaining ' ~ this ~ ' would put change capture on ' ~ outside | join(', ')
        ~ ', outside the schemas of this target. Declare it as a dbt source, add its schema to'
        ~ ' `capture_schemas` in the profile, or set `capture_outside: true` in the model.'
      ) %}
    {% endif %}
  {% endif %}
{% endmacro %}


{# Names of the tables that the query reads, below all views, and that must not be captured. #}
{% macro trickle_outside_relations(sql) %}
  {% set allowed = trickle_own_schemas() + (target.capture_schemas or []) %}
  {% set declared = [] %}
  {% for source in graph.sources.values() %}
    {% do declared.append((source.schema, source.identifier)) %}
  {% endfor %}
  {% set outside = [] %}
  {% for row in trickle_base_tables(sql) %}
    {% if row[0] not in allowed and (row[0], row[1]) not in declared %}
      {% do outside.append(row[0] ~ '.' ~ row[1]) %}
    {% endif %}
  {% endfor %}
  {{ return(outside) }}
{% endmacro %}


{% macro trickle_base_tables(sql) %}
  {% set tables = run_query(
    trickle_drop_probes_sql() ~ trickle_create_probe_sql('trickle_probe', sql) ~ ';'
    ~ trickle_base_tables_sql()
  ) %}
  {% do run_query(trickle_drop_probes_sql()) %}
  {{ return(tables.rows) }}
{% endmacro %}


{% macro trickle_base_tables_sql() %}
  with recursive reads (relid) as (
    select to_regclass('pg_temp.trickle_probe')::oid
    union
    select dependency.refobjid
    from reads
    join pg_rewrite as rule on rule.ev_class = reads.relid
    join pg_depend as dependency
      on dependency.classid = 'pg_rewrite'::regclass
      and dependency.objid = rule.oid
      and dependency.refclassid = 'pg_class'::regclass
      and dependency.refobjid <> reads.relid
  )
  select namespace.nspname as table_schema, class.relname as table_name
  from reads
  join pg_class as class on class.oid = reads.relid
  join pg_namespace as namespace on namespace.oid = class.relnamespace
  where class.relkind in ('r', 'p')
    and namespace.nspname not in ('pg_catalog', 'information_schema')
  order by 1, 2
{% endmacro %}
