//! Who takes readers off the shadow, and that it holds everywhere until a person resets it.

use engine::api::flags::{self, FlagName};
use engine::api::{audit, reads};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::reads::{a_product, ask, encoded, shadowed, until_source};
use crate::reads_fallback::shadowed_with;
use crate::serve::{Daemon, run};

#[sqlx::test(migrations = false)]
async fn a_trip_beats_flag_and_variable_in_every_process_until_a_person_resets_it(pool: PgPool) {
    let (world, daemon) = shadowed(pool).await;
    let forced = Daemon::start_as(&world, &[], &[("ENABLE_SF_SHADOW_READS", "true")]).await;
    flags::set(&world.engine, FlagName::ShadowReads, false).await.unwrap();
    until_source(&world, &daemon, "salesforce").await;
    until_source(&world, &forced, "shadow").await;
    flags::set(&world.engine, FlagName::ShadowReads, true).await.unwrap();
    until_source(&world, &daemon, "shadow").await;

    let (code, out, told) =
        run(&world, &["flags", "trip", "shadow-reads", "--reason", "prices look odd", "--json"]).await;
    assert_eq!(code, Some(0), "{told}");
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&shown[0]["isOn"], &shown[0]["trip"]["reason"]), (&json!(false), &json!("prices look odd")));
    until_source(&world, &daemon, "salesforce").await;
    until_source(&world, &forced, "salesforce").await;
    // Setting the flag does not lift it.
    assert_eq!(run(&world, &["flags", "set", "shadow-reads", "on"]).await.0, Some(0));
    let (_, text, _) = run(&world, &["flags"]).await;
    assert!(text.contains("tripped") && text.contains("prices look odd"), "{text}");
    world
        .until_true("every process says so of itself", async || {
            world
                .number(
                    "select count(*) from shadow_sync.workers
                      where host_kind = 'daemon' and shadow_reads = 'tripped'",
                )
                .await
                == 2
        })
        .await;
    let (_, text, _) = run(&world, &["flags", "get", "shadow-reads"]).await;
    assert_eq!(text.matches("shadow-reads is tripped").count(), 2, "{text}");
    until_source(&world, &daemon, "salesforce").await;

    assert_eq!(run(&world, &["flags", "reset", "shadow-reads"]).await.0, Some(0));
    until_source(&world, &daemon, "shadow").await;
    until_source(&world, &forced, "shadow").await;
    let acts: Vec<String> =
        audit::list(&world.engine, 50).await.unwrap().into_iter().map(|entry| entry.sentence).collect();
    assert!(acts.iter().any(|act| act.contains("prices look odd")), "{acts:?}");
    assert!(acts.iter().any(|act| act.contains("Lifted the trip")), "{acts:?}");
}

#[sqlx::test(migrations = false)]
async fn compare_mode_serves_live_and_trips_by_itself_when_too_much_differs(pool: PgPool) {
    let lines = "compare_least = 5\ncompare_share = 0.2\ncompare_grace = \"200ms\"";
    let (world, daemon) = shadowed_with(pool, lines).await;
    let (id, sku) = a_product(&world).await;
    let path = format!("/v1/products/{}", encoded(&sku));
    let (code, _, told) = run(&world, &["flags", "set", "compare-reads", "on"]).await;
    assert_eq!(code, Some(0), "{told}");
    until_source(&world, &daemon, "salesforce").await;
    for _ in 0..10 {
        assert_eq!(ask(&daemon, &path).await.1["source"], "salesforce");
    }
    world
        .until_true("what agrees is counted", async || {
            reads::comparison(&world.engine).await.unwrap().agreed >= 10
        })
        .await;
    let view = reads::comparison(&world.engine).await.unwrap();
    assert_eq!((view.differed, view.examples.len()), (0, 0), "{view:?}");
    assert!(shadow_flag(&world).await.trip.is_none());

    sqlx::query("update sf_product_shadow set name = 'Silently wrong' where product_id = $1")
        .bind(&id)
        .execute(&world.pool)
        .await
        .unwrap();
    world
        .until_true("it trips", async || {
            ask(&daemon, &path).await;
            shadow_flag(&world).await.trip.is_some()
        })
        .await;
    let flag = shadow_flag(&world).await;
    assert_eq!(flag.trip.as_ref().map(|trip| trip.by.as_str()), Some("comparison"), "{flag:?}");
    let view = reads::comparison(&world.engine).await.unwrap();
    let example = &view.examples[0];
    assert_eq!((&*example.question, &*example.key, &*example.detail), ("product", &*sku, "name"));
    let acts = audit::list(&world.engine, 50).await.unwrap();
    assert!(acts.iter().any(|act| act.sentence.contains("Took readers off the shadow")), "{acts:?}");
    let metrics = daemon.get("/metrics").await.1;
    for verdict in ["agreed", "differed"] {
        let line = format!("sf_shadow_read_compared_total{{question=\"product\",verdict=\"{verdict}\"}}");
        assert!(metrics.contains(&line), "{metrics}");
    }
    // Compare mode off: the trip still stands.
    flags::set(&world.engine, FlagName::CompareReads, false).await.unwrap();
    until_source(&world, &daemon, "salesforce").await;
}

#[sqlx::test(migrations = false)]
async fn a_shadow_that_is_a_moment_behind_is_late_and_not_wrong(pool: PgPool) {
    let (world, daemon) = shadowed_with(pool, "compare_least = 5\ncompare_grace = \"3s\"").await;
    flags::set(&world.engine, FlagName::CompareReads, true).await.unwrap();
    until_source(&world, &daemon, "salesforce").await;
    world.age_reads().await;
    let (id, sku) = a_product(&world).await;
    let path = format!("/v1/products/{}", encoded(&sku));
    flags::set(&world.engine, FlagName::EventConsumer, false).await.unwrap();
    world.org.org().update("Product2", &id, &json!({ "Name": "On its way" })).unwrap();
    assert_eq!(ask(&daemon, &path).await.1["product"]["name"], "On its way");
    flags::set(&world.engine, FlagName::EventConsumer, true).await.unwrap();
    world
        .until_true("it is counted as late", async || {
            reads::comparison(&world.engine).await.unwrap().late == 1
        })
        .await;
    assert_eq!(reads::comparison(&world.engine).await.unwrap().differed, 0);
}

async fn shadow_flag(world: &crate::world::World) -> flags::FlagView {
    let flags = flags::get(&world.engine).await.unwrap();
    flags.into_iter().find(|flag| flag.name == FlagName::ShadowReads).expect("the flag")
}
