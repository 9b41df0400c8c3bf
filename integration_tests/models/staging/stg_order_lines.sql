select
    l_orderkey as order_id,
    l_linenumber as line_number,
    l_partkey as part_id,
    l_suppkey as supplier_id,
    l_quantity as quantity,
    l_extendedprice * (1 - l_discount) as net_price,
    l_returnflag = 'R' as is_returned,
    l_shipdate as ship_date
from {{ source('tpch', 'lineitem') }}
