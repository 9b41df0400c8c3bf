-- DISTINCT over a filter.
select distinct o_custkey as customer_id, o_orderpriority as priority
from {{ source('tpch', 'orders') }}
where o_orderstatus = 'O'
