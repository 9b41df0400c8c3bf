select
    s.s_suppkey as supplier_id,
    s.s_name as supplier_name,
    n.n_name as nation
from {{ source('tpch', 'supplier') }} as s
join {{ source('tpch', 'nation') }} as n on n.n_nationkey = s.s_nationkey
