{# A value as an SQL literal. #}
{% macro trickle_literal(value) %}
  {{- return("'" ~ (value | string | replace("'", "''")) ~ "'") -}}
{% endmacro %}
