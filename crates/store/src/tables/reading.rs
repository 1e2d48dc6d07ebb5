//! The statements that readers are answered by, rendered once per database: only the schema differs.
//!
//! Columns are those that design 4 promises to other services; names are quoted, values are bound.

use shadow::Mapping;
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::quote::ident;

/// What readers of the three built-in tables ask.
#[derive(Debug, Clone)]
pub(crate) struct ReadingShapes {
    /// Products of some SKUs. `$1` SKUs.
    pub products: SqlStr,
    /// Why some SKUs may be missing: those in a row, and those that a rejected record claims. `$1` SKUs.
    pub missing_products: SqlStr,
    /// Products that match, in the order of their ids. `$1` to `$4` item class, offering type, plan tier and VPN
    /// region, null for any; `$5` the id behind which to begin, `$6` most of them.
    pub matching_products: SqlStr,
    /// Prices of some products. `$1` their ids, `$2` price book, `$3` currency, null for any.
    pub prices: SqlStr,
    /// Whether an entry of some products is rejected. `$1` their ids.
    pub rejected_prices: SqlStr,
    /// Eligibility of an account. `$1` its id.
    pub eligibility: SqlStr,
    /// Whether an account that has no row is rejected or dirty. `$1` its id.
    pub missing_account: SqlStr,
}

/// A statement, cheap to clone. Its text comes from this module alone.
fn kept(text: String) -> SqlStr {
    AssertSqlSafe(text).into_sql_str()
}

impl ReadingShapes {
    /// The statements for a schema.
    pub(crate) fn of(schema: &str) -> Self {
        let table = |mapping: &Mapping| format!("{}.{}", ident(schema), ident(&mapping.table));
        let (products, entries, accounts) =
            (table(&Mapping::product()), table(&Mapping::pricebook_entry()), table(&Mapping::account()));
        let product = "t.product_id, t.sku, t.name, t.item_class, t.offering_type, t.plan_tier, t.vpn_region, \
                       t.updated_at, t.read_end, coalesce(d.first_committed_at, d.since)";
        let marks = |object: &str, key: &str| {
            format!("left join shadow_sync.dirty d on d.object = '{object}' and d.record_id = t.{key}")
        };
        Self {
            products: kept(format!(
                "select {product} from {products} t {} where t.sku = any($1)",
                marks("Product2", "product_id"),
            )),
            missing_products: kept(format!(
                "select (select coalesce(array_agg(sku), '{{}}') from {products} where sku = any($1)),
                        (select coalesce(array_agg(columns ->> 'sku'), '{{}}') from shadow_sync.rejects
                          where object = 'Product2' and left(columns ->> 'sku', 255) = any($1)),
                        exists (select from shadow_sync.dirty where object = 'Product2')"
            )),
            matching_products: kept(format!(
                "select {product} from {products} t {}
                  where ($1::text is null or t.item_class = $1) and ($2::text is null or t.offering_type = $2)
                    and ($3::text is null or t.plan_tier = $3) and ($4::text is null or t.vpn_region = $4)
                    and ($5::text is null or t.product_id > $5)
                  order by t.product_id limit $6",
                marks("Product2", "product_id"),
            )),
            prices: kept(format!(
                "select t.pricebook_entry_id, t.product_id, t.pricebook_id, t.unit_price::text, t.currency_iso_code,
                        t.is_active, t.updated_at, t.read_end, coalesce(d.first_committed_at, d.since)
                   from {entries} t {}
                  where t.product_id = any($1) and ($2::text is null or t.pricebook_id = $2)
                    and ($3::text is null or t.currency_iso_code = $3)
                  order by t.product_id, t.pricebook_entry_id",
                marks("PricebookEntry", "pricebook_entry_id"),
            )),
            rejected_prices: kept(
                "select exists (select from shadow_sync.rejects
                                 where object = 'PricebookEntry' and left(columns ->> 'product_id', 18) = any($1))"
                    .to_owned(),
            ),
            eligibility: kept(format!(
                "select t.account_id, t.internet_eligibility, t.eligibility_source, t.updated_at, t.read_end,
                        coalesce(d.first_committed_at, d.since)
                   from {accounts} t {} where t.account_id = $1",
                marks("Account", "account_id"),
            )),
            missing_account: kept(
                "select exists (select from shadow_sync.rejects where object = 'Account' and record_id = $1)
                     or exists (select from shadow_sync.dirty where object = 'Account' and record_id = $1)"
                    .to_owned(),
            ),
        }
    }
}
