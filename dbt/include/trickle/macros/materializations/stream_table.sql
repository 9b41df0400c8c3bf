{#
  Control flow only: what to do is decided in trickle_build_stream_table, how is one macro per verb
  in relations/stream_table, everything else is in trickle_runtime.

  The runtime commits: creation is phased, so that writers of a source are never held while the
  table is filled. Hence in-transaction pre-hooks are committed before the first phase. A table that
  was created by this run is dropped again if the run fails behind it (see adapter.post_model_hook).
#}
{% materialization stream_table, adapter='trickle', supported_languages=['sql'] %}

  {%- set desired = adapter.stream_table_config(config.model) -%}
  {%- set existing_relation = load_cached_relation(this) -%}
  {%- set target_relation = this.incorporate(type=this.StreamTable) -%}

  {%- for doubt in desired.doubts -%}
    {%- do exceptions.warn('Model ' ~ model.name ~ ': ' ~ doubt) -%}
  {%- endfor -%}

  {%- set throwaway = trickle_throwaway_reason() -%}
  {%- if throwaway and not (existing_relation.is_stream_table and throwaway != trickle_by_target()) -%}
    {{ log('Building ' ~ this ~ ' as a plain table: ' ~ throwaway, info='--defer' in throwaway) }}
    {{ return(materialization_table_default()) }}
  {%- endif -%}

  {% do trickle_refuse_itself() %}

  {{ run_hooks(pre_hooks, inside_transaction=False) }}

  {{ run_hooks(pre_hooks, inside_transaction=True) }}

  {% if config.get('contract').enforced %}
    {{ get_assert_columns_equivalent(sql) }}
    {% set desired = desired.with_query(trickle_in_contract_order(sql)) %}
  {% endif %}

  {{ write(desired.query) }}

  {% if throwaway %}
    {% do adapter.get_column_schema_from_query(get_empty_subquery_sql(sql)) %}
    {% set message = 'STREAM TABLE kept (' ~ throwaway ~ ')' %}
  {% else %}
    {% set message = trickle_build_stream_table(existing_relation, target_relation, desired) %}
  {% endif %}

  {% do store_raw_result(name='main', message=message, code='STREAM TABLE', rows_affected='-1') %}

  {% set recreated = existing_relation is none or not existing_relation.is_stream_table %}
  {% set should_revoke = should_revoke(existing_relation, full_refresh_mode=recreated) %}
  {% do apply_grants(target_relation, config.get('grants'), should_revoke=should_revoke) %}

  {% do persist_docs(target_relation, model) %}

  {{ run_hooks(post_hooks, inside_transaction=True) }}

  {% do adapter.trickle_commit() %}

  {% do adapter.stream_table_confirm(target_relation) %}

  {{ run_hooks(post_hooks, inside_transaction=False) }}

  {{ return({'relations': [target_relation]}) }}

{% endmaterialization %}


{# The query with its columns in the order of the contract, as dbt's own tables have them. #}
{% macro trickle_in_contract_order(sql) %}
  {% set wanted = [] %}
  {% for column in model.columns.values() %}
    {% do wanted.append(column.name if column.quote else column.name | lower) %}
  {% endfor %}
  {% set given = adapter.get_column_schema_from_query(get_empty_subquery_sql(sql)) %}
  {{ return(sql if given | map(attribute='name') | list == wanted else get_select_subquery(sql)) }}
{% endmacro %}


{# A stream table equals its query; one that reads itself has no such content. #}
{% macro trickle_refuse_itself() %}
  {%- if this.render() in sql -%}
    {%- do exceptions.raise_compiler_error(
      'Model ' ~ model.name ~ ' reads itself: {{ this }} has no meaning in a stream table. Select all rows; they are'
      ~ ' maintained by what changes.'
    ) -%}
  {%- endif -%}
{% endmacro %}


{#
  The text of --empty, --sample and --defer is not the model's definition, so it is never stored.
  Under --defer capture_outside allows nothing: it speaks of what the model reads, not of what another
  environment has in its place.
  Returns none, or why this run builds a table that nobody maintains.
#}
{% macro trickle_throwaway_reason() %}
  {%- set reason = trickle_reason_in_flags() -%}
  {%- if reason -%}
    {{ return(reason) }}
  {%- elif invocation_args_dict.get('defer') -%}
    {%- set outside = trickle_outside_relations(sql) -%}
    {{ return('--defer reads ' ~ outside | join(', ') if outside else none) }}
  {%- endif -%}
  {{ return(none) }}
{% endmacro %}


{% macro trickle_reason_in_flags() %}
  {%- if target.stream_tables == 'table' -%}
    {{ return(trickle_by_target()) }}
  {%- elif flags.EMPTY -%}
    {{ return('--empty') }}
  {%- elif invocation_args_dict.get('sample') -%}
    {{ return('--sample') }}
  {%- endif -%}
  {{ return(none) }}
{% endmacro %}


{% macro trickle_by_target() %}
  {{ return('the target says stream_tables: table') }}
{% endmacro %}
