select
    nation,
    count(*) as supplier_count,
    sum(revenue) as revenue,
    max(revenue) as best_supplier_revenue
from {{ ref('supplier_revenue') }}
group by nation
