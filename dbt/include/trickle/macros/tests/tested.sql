{#
  Whether there is a stream table to test. Where this run makes a plain table of the model there is
  none, and nothing to say; a test of anything else is an error.
#}
{% macro trickle_is_tested(relation) %}
  {%- set known = load_cached_relation(relation) if execute else none -%}
  {%- if not execute or known.is_stream_table -%}
    {{ return(true) }}
  {%- elif trickle_is_throwaway(relation) -%}
    {{ return(false) }}
  {%- endif -%}
  {%- do exceptions.raise_compiler_error(relation.include(database=false) ~ ' is not a stream table') -%}
{% endmacro %}


{# Whether a relation is that of a stream table's model, of which this run makes a plain table. #}
{% macro trickle_is_throwaway(relation) %}
  {%- if trickle_reason_in_flags() or invocation_args_dict.get('defer') -%}
    {%- for id in model.depends_on.nodes if id in graph.nodes -%}
      {%- set node = graph.nodes[id] -%}
      {%- if node.config.materialized == 'stream_table' and (node.schema, node.alias) == (relation.schema, relation.identifier) -%}
        {{ return(true) }}
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
  {{ return(false) }}
{% endmacro %}


{% macro trickle_no_failures_sql() %}
  {{- return('select 1 as failure where false') -}}
{% endmacro %}
