//! What holds at every step of a history, and at its end.

use std::collections::{BTreeMap, HashMap};

use super::History;
use super::org::{Object, Record, moment, product_of};
use crate::world::{entry_id, product_id};

impl History {
    /// Every record is in one place, and that shows nothing older than before: position, version, what is derived, tier
    /// and formula.
    pub async fn check_nothing_went_backwards(&mut self) {
        type Row = (String, i64, Option<i64>, Option<i64>, Option<i64>, Option<i64>);
        let stored: Vec<Row> = sqlx::query_as(
            "with everything as (
                 select 'Product2' as object, product_id as id, as_of, raw_payload from sf_product_shadow
                 union all select 'PricebookEntry', pricebook_entry_id, as_of, raw_payload from sf_pricebook_shadow
                 union all select object, record_id, as_of, raw_payload from shadow_sync.rejects
                 union all select object, record_id, as_of, null from shadow_sync.tombstones)
             select id, as_of,
                    case object when 'Product2' then substr(raw_payload ->> 'Name', 2)::bigint
                        else (raw_payload ->> 'UnitPrice')::numeric::bigint end,
                    case object when 'Product2' then null else substr(raw_payload ->> 'Name', 2)::bigint end,
                    substr(raw_payload ->> 'Plan_Tier__c', 2)::bigint,
                    substr(raw_payload ->> 'Formula__c', 2)::bigint
               from everything",
        )
        .fetch_all(self.live.world.store.pool())
        .await
        .unwrap();
        let mut places: HashMap<&str, u32> = HashMap::new();
        for (id, as_of, version, derived, tier, formula) in &stored {
            let seen = self.seen.entry(id.clone()).or_default();
            let now = [
                *as_of,
                version.unwrap_or(seen[1]),
                derived.unwrap_or(seen[2]),
                tier.unwrap_or(seen[3]),
                formula.unwrap_or(seen[4]),
            ];
            assert!(
                now.iter().zip(&*seen).all(|(now, seen)| now >= seen),
                "{id} went from {seen:?} to {now:?}"
            );
            *seen = now;
            *places.entry(id).or_default() += 1;
        }
        assert!(places.values().all(|count| *count == 1), "a record is in two places: {places:?}");
    }

    fn stamp(&self, record: &Record) -> String {
        if self.is_told { String::new() } else { moment(record.stamp_s) }
    }

    /// What a product shows beside, as far as the mapping has it.
    fn beside(&self, record: &Record) -> String {
        let mapping = self.mapping(Object::Product);
        let shown = |field: &str, value: String| {
            let is_mapped = mapping.field_names().any(|name| name == field);
            if is_mapped { format!(" {value}") } else { String::new() }
        };
        shown("Plan_Tier__c", format!("t{}", record.tier))
            + &shown("Formula__c", format!("f{}", record.formula))
    }

    /// The shadow is the org: contents, holders of SKUs, and nothing that is gone.
    pub async fn check_the_end(&self) {
        let alive =
            |object| self.org.iter().filter(move |((of, _), record)| *of == object && !record.deleted);
        let mut products: Vec<(u32, &Record)> =
            alive(Object::Product).map(|((_, number), record)| (*number, record)).collect();
        products.sort_by_key(|(number, record)| (record.created_s, *number));
        let mut holders: BTreeMap<&str, u32> = BTreeMap::new();
        for (number, record) in &products {
            if !record.code.is_empty() {
                holders.entry(record.code).or_insert(*number);
            }
        }
        let stored: Vec<u32> = holders.values().copied().collect();
        let mut expected: Vec<(String, String)> = Vec::new();
        for (number, record) in products {
            let place = if stored.contains(&number) { "row" } else { "reject" };
            let id = product_id(number).to_string();
            let stamp = self.stamp(record);
            let more = self.beside(record);
            expected.push((id, format!("{place} n{} {}{more} {stamp}", record.version, record.code)));
        }
        for ((_, number), record) in alive(Object::Entry) {
            let product = self.org.get(&(Object::Product, product_of(*number)));
            let name = product.map_or(String::new(), |product| format!("n{}", product.version));
            let place = if stored.contains(&product_of(*number)) { "row" } else { "reject" };
            let stamp = self.stamp(record);
            let content = format!("{place} {name} {}.00 {} {stamp}", record.version, record.active);
            expected.push((entry_id(*number).to_string(), content));
        }
        expected.sort();
        let found = self
            .live
            .world
            .query(
                "with everything as (
                     select 'row' as place, product_id as id, raw_payload from sf_product_shadow
                     union all select 'row', pricebook_entry_id, raw_payload from sf_pricebook_shadow
                     union all select 'reject', record_id, raw_payload from shadow_sync.rejects)
                 select id, case when left(id, 3) = '01t'
                        then concat_ws(' ', place, raw_payload ->> 'Name', coalesce(raw_payload ->> 'ProductCode', ''),
                                       raw_payload ->> 'Plan_Tier__c', raw_payload ->> 'Formula__c',
                                       raw_payload ->> 'SystemModstamp')
                        else concat_ws(' ', place, coalesce(raw_payload ->> 'Name', ''), raw_payload ->> 'UnitPrice',
                                       raw_payload ->> 'IsActive', raw_payload ->> 'SystemModstamp') end
                   from everything order by 1",
            )
            .await;
        // No event carries the stamp: it is right once the record was read.
        let stampless = |(id, content): (String, String)| {
            let end = if self.is_told { content.rfind(' ').unwrap() + 1 } else { content.len() };
            (id, content[..end].to_owned())
        };
        let found: Vec<_> = found.into_iter().map(stampless).collect();
        assert_eq!(found, expected);
        let columns = self
            .live
            .world
            .query(
                "select product_id, coalesce(plan_tier, '-') from sf_product_shadow
                  where plan_tier is distinct from raw_payload ->> 'Plan_Tier__c'",
            )
            .await;
        assert_eq!(columns, [], "a column shows something else than the payload");
        let skus = self.live.world.skus().await;
        let held: Vec<_> =
            holders.into_iter().map(|(code, id)| (code.to_owned(), product_id(id).to_string())).collect();
        assert_eq!(skus, held);
    }
}
