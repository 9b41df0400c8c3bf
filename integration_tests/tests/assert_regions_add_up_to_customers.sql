-- Both ends of the chain were refreshed at one snapshot, so they agree to the cent.
select total.revenue as regions, parts.revenue as customers
from (select sum(revenue) as revenue from {{ ref('region_totals') }}) as total
cross join (select sum(revenue) as revenue from {{ ref('customer_totals') }}) as parts
where total.revenue is distinct from parts.revenue
