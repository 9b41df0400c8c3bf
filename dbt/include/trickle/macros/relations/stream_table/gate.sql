{#
  The tests that new rows have to pass before they are committed, as queries of failures. What makes
  a test fail (fail_calc, error_if, limit) is dbt's own macro, so that it means the same in both.
#}
{% macro trickle_gate(desired) %}
  {% set gate = [] %}
  {% if desired.gate %}
    {% for test in adapter.trickle_gate_tests(model.unique_id) %}
      {% set verdict = get_test_sql(test.sql, test.fail_calc, test.warn_if, test.error_if, test.limit) %}
      {% do gate.append({'name': test.name, 'query': trickle_failures_sql(verdict)}) %}
    {% endfor %}
  {% endif %}
  {{ return(gate) }}
{% endmacro %}


{% macro trickle_failures_sql(verdict) %}
  {%- set sql -%}
    select failures from (
    {{ verdict | trim }}
    ) as verdict where should_error
  {%- endset -%}
  {{ return(sql) }}
{% endmacro %}
