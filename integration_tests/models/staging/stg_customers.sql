select
    c.c_custkey as customer_id,
    c.c_name as customer_name,
    c.c_mktsegment as segment,
    c.c_nationkey as nation_id,
    n.n_name::text as nation,
    r.r_name::text as region
from {{ source('tpch', 'customer') }} as c
join {{ source('tpch', 'nation') }} as n on n.n_nationkey = c.c_nationkey
join {{ source('tpch', 'region') }} as r on r.r_regionkey = n.n_regionkey
