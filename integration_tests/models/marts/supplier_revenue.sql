-- A mass change of the order lines blows the fuse instead of reaching the report unseen.
{{ config(fuse='on', fuse_ceiling=var('supplier_fuse_ceiling')) }}

select
    s.supplier_id,
    s.supplier_name,
    s.nation,
    count(*) as line_count,
    sum(l.net_price) as revenue
from {{ ref('stg_suppliers') }} as s
join {{ ref('stg_order_lines') }} as l on l.supplier_id = s.supplier_id
group by s.supplier_id, s.supplier_name, s.nation
