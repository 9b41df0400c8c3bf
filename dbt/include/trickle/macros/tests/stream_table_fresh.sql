{# Fails if the content of a stream table is older than max_lag. #}
{% test stream_table_fresh(model, max_lag='5 minutes') %}
  select t.pgt_schema, t.pgt_name, t.data_timestamp, now() - t.data_timestamp as lag
  from {{ trickle_catalog('pgt_stream_tables') }} as t
  where t.pgt_relid = {{ trickle_tested_oid(model) }}
    and (t.data_timestamp is null or now() - t.data_timestamp > {{ trickle_literal(max_lag) }}::interval)
{% endtest %}


{# The oid of the tested relation: a test of something that is not a stream table is an error. #}
{% macro trickle_tested_oid(model) %}
  {%- set known = load_cached_relation(model) if execute else none -%}
  {%- if execute and not known.is_stream_table -%}
    {%- do exceptions.raise_compiler_error(model ~ ' is not a stream table') -%}
  {%- endif -%}
  {{- return(trickle_oid(model)) -}}
{% endmacro %}
