//! A field that the sync user may no longer see keeps its last value.

use shadow::{FieldInfo, FieldType, Mapping, ObjectInfo, OrgFacts, RowChunk};
use sqlx::PgPool;
use store::{frozen_fields, selected_fields};

use crate::live::{Live, product_changed, text};
use crate::world::{World, product};

/// What describe shows of a product: with its plan tier or without.
fn info(world: &World, with_tier: bool) -> ObjectInfo {
    let field = |(name, kind)| FieldInfo::new(name, kind);
    let mut fields: Vec<FieldInfo> = [
        ("Id", FieldType::Id),
        ("Name", FieldType::Text),
        ("SystemModstamp", FieldType::DateTime),
        ("CreatedDate", FieldType::DateTime),
        ("IsDeleted", FieldType::Boolean),
        ("ProductCode", FieldType::Text),
    ]
    .map(field)
    .into();
    if with_tier {
        fields.push(FieldInfo::new("Plan_Tier__c", FieldType::Text));
    }
    ObjectInfo { name: world.product.object().clone(), key_prefix: None, fields }
}

async fn described(live: &mut Live, with_tier: bool) -> Vec<String> {
    let all = Mapping::built_in();
    let (store, info) = (live.world.store.clone(), info(&live.world, with_tier));
    let resolved = selected_fields::resolve(&store, &all[0], &all, &info, &OrgFacts::default()).await;
    let resolved = resolved.unwrap().unwrap();
    live.world.product = resolved.mapping.clone();
    live.mappings[0] = std::sync::Arc::new(resolved.mapping);
    resolved.thawed
}

/// Plan tier in column and payload, and the name.
const TIERS: &str =
    "select coalesce(plan_tier, '-') || ' ' || coalesce(raw_payload ->> 'Plan_Tier__c', '-'), name
                       from sf_product_shadow order by product_id";

fn row(tiers: &str, name: &str) -> (String, String) {
    (tiers.to_owned(), name.to_owned())
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_hidden_field_is_never_nulled_by_reads_or_events(pool: PgPool) {
    let mut live = Live::start(pool).await;
    assert_eq!(described(&mut live, true).await, [] as [&str; 0]);
    let whole = live.world.products(&[product(1, "A").named("one"), product(2, "")]);
    let mut chunk = RowChunk::new(whole.columns().clone());
    for row in whole.rows() {
        for (place, column) in whole.columns().iter().enumerate() {
            let value =
                if &**column == "Plan_Tier__c" { "Gold" } else { row.field(place).unwrap_or_default() };
            chunk.push_field(value.as_bytes()).unwrap();
        }
        chunk.end_row().unwrap();
    }
    live.world.merge(&live.world.product, &chunk).await;
    assert_eq!(live.world.query(TIERS).await, [row("Gold Gold", "one")]);

    described(&mut live, false).await;
    let frozen = frozen_fields::list(&live.world.store).await.unwrap();
    assert_eq!(frozen.iter().map(|field| field.field.as_str()).collect::<Vec<_>>(), ["Plan_Tier__c"]);
    assert!(!live.world.product.soql(None).contains("Plan_Tier__c"));
    // A read that finds nothing else changed writes nothing.
    assert_eq!(live.world.merge_products(&[product(1, "A").named("one")]).await.equal, 1);
    live.world.merge_products(&[product(1, "A").named("read").at(1), product(3, "C").named("new")]).await;
    assert_eq!(live.world.query(TIERS).await, [row("Gold Gold", "read"), row("- -", "new")]);
    live.tell(&[product_changed(1, &[("Name", text("event")), ("Plan_Tier__c", text(""))])]).await;
    assert_eq!(live.world.query(TIERS).await[0], row("Gold Gold", "event"));
    // A rejected record keeps it as well, and brings it along when it enters.
    live.world.merge_products(&[product(2, "B").named("entered").at(1)]).await;
    assert_eq!(live.world.query(TIERS).await[1], row("Gold Gold", "entered"));

    assert_eq!(described(&mut live, true).await, ["Plan_Tier__c"]);
    assert_eq!(frozen_fields::list(&live.world.store).await.unwrap(), []);
    // What it was meanwhile is not known: every record is to be read once.
    let holes = live
        .world
        .query(
            "select why || ' ' || needs, detail ->> 'fields' from shadow_sync.holes where why = 'permission'",
        )
        .await;
    assert_eq!(holes, [row("permission backfill", "[\"Plan_Tier__c\"]")]);
}
