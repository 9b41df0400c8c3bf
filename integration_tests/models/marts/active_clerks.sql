-- DISTINCT over a filter.
select distinct o_clerk as clerk, o_orderpriority as priority
from {{ source('tpch', 'orders') }}
where o_orderstatus = 'O'
