{# What an application does all day: `dbt run-operation go_shopping`. Only for the sample data. #}
{% macro go_shopping() %}
  {% set sample = api.Relation.create(schema=target.schema ~ '_sample', identifier='orders').schema %}
  {% call statement('go_shopping', auto_begin=true) %}
    insert into {{ sample }}.orders
    select max(o_orderkey) + 1, 1, 'O', current_date, '1-URGENT' from {{ sample }}.orders;
    insert into {{ sample }}.lineitem
    select max(o_orderkey), 1, 2, 1, 3, 150.00, 0.05, 'N', current_date from {{ sample }}.orders;
    update {{ sample }}.lineitem set l_returnflag = 'R' where l_orderkey = 1;
    delete from {{ sample }}.lineitem where l_orderkey = 7;
    commit;
  {% endcall %}
  {% do log('a new order, a return, a cancellation', info=true) %}
{% endmacro %}
