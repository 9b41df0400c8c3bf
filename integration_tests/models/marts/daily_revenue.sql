-- One partition a month, created when the first row of a month arrives.
{{ config(partition_by='RANGE:order_date:month') }}

select
    order_date,
    count(*) as order_count,
    sum(revenue) as revenue
from {{ ref('order_totals') }}
group by order_date
