{# Fails unless a stream table equals its query at one snapshot, pending changes applied. #}
{% test stream_table_exact(model) %}
  {%- if not trickle_is_tested(model) -%}
    {{ return(trickle_no_failures_sql()) }}
  {%- endif -%}
  {%- set problem = none -%}
  {%- if execute and flags.WHICH in ('test', 'build') -%}
    {%- set problem = adapter.trickle_verify(model) -%}
  {%- endif -%}
  select problem
  from (select {{ trickle_literal(problem) if problem else 'null' }}::text as problem) as verified
  where problem is not null
{% endtest %}
