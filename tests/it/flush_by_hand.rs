//! Flushing by hand, over the command line and the use cases: scopes, plans, names to type, stopping, trying, probing.

use std::process::Stdio;
use std::time::Duration;

use engine::api::cache::{self, FlushScope, FlushState};
use serde_json::Value;
use sqlx::PgPool;
use tokio::process::Command;

use crate::cli::program;
use crate::redis::{Redis, configure, until_flushed};
use crate::world::{PATIENCE, World};

fn command(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.arg("--config").arg(world.config()).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a command to its end: its exit code, what it printed, what it told.
async fn run(world: &World, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = tokio::time::timeout(PATIENCE, command(world, arguments).output()).await.expect("an end");
    let output = output.expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Everything loaded, an empty cache, and nothing that waits.
async fn cached(pool: PgPool) -> (World, Redis) {
    let mut world = World::start(pool).await;
    world.backfill(&["Product2", "PricebookEntry", "Account"]).await;
    let redis = Redis::start().await;
    configure(&world, &redis);
    world.restart().await;
    until_flushed(&world).await;
    (world, redis)
}

fn in_production(world: &World) {
    let text = std::fs::read_to_string(world.config()).unwrap();
    // A production environment may not be of a simulated org; no sign-in is needed to flush.
    let text =
        text.replace("kind = \"demo\"", "kind = \"production\"\nclient_id = \"x\"\nauto_migrate = true");
    let login = text.lines().find(|line| line.starts_with("login_url")).unwrap().to_owned();
    let text = text.replace(&login, "login_url = \"https://login.salesforce.com\"");
    std::fs::write(world.config(), text).unwrap();
}

#[sqlx::test(migrations = false)]
async fn each_scope_deletes_its_own(pool: PgPool) {
    let (world, redis) = cached(pool).await;
    let (product, sku): (String, String) = sqlx::query_as(
        "select product_id, sku from sf_product_shadow join sf_pricebook_shadow using (product_id) limit 1",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    let account = world.org.org().ids("Account", 0, 1)[0].to_string();
    let (by_sku, price) = (format!("catalog:product:{sku}"), format!("catalog:price:{product}"));
    let eligibility = format!("eligibility:{account}");
    let others = ["catalog:product:*", "catalog:list", "eligibility:x", "session:1"];
    let fill = async || {
        redis.fill(&[&by_sku, &price, &eligibility]).await;
        redis.fill(&others).await;
    };
    for (arguments, left) in [
        (
            vec!["--sku", sku.as_str()],
            vec!["catalog:list", "catalog:product:*", &eligibility, "eligibility:x", "session:1"],
        ),
        (
            vec!["--sku", "*"],
            vec!["catalog:list", &price, &by_sku, &eligibility, "eligibility:x", "session:1"],
        ),
        (
            vec!["--account", &account],
            vec!["catalog:list", &price, "catalog:product:*", &by_sku, "eligibility:x", "session:1"],
        ),
        (vec!["--catalog"], vec![&eligibility, "eligibility:x", "session:1"]),
        (vec!["--eligibility"], vec!["catalog:list", &price, "catalog:product:*", &by_sku, "session:1"]),
        (vec!["--pattern", "catalog:p*"], vec!["catalog:list", &eligibility, "eligibility:x", "session:1"]),
        (vec!["--all"], vec!["session:1"]),
    ] {
        fill().await;
        let (code, _, told) = run(&world, &[&["flush"], arguments.as_slice()].concat()).await;
        assert_eq!(code, Some(0), "{arguments:?}: {told}");
        let mut left: Vec<String> = left.into_iter().map(str::to_owned).collect();
        left.sort_unstable();
        assert_eq!(redis.keys().await, left, "{arguments:?}");
    }
    let history = cache::flushes(&world.engine).await.unwrap();
    assert_eq!(history.len(), 7);
    assert!(history.iter().all(|flush| flush.state == FlushState::Done), "{history:?}");
    assert_eq!((history[0].kind.as_str(), history[0].deleted), ("all", 6));
    assert_eq!(world.number("select count(*) from shadow_sync.audit where act like 'flush.%'").await, 7);
}

#[sqlx::test(migrations = false)]
async fn what_makes_no_sense_deletes_nothing(pool: PgPool) {
    let (world, redis) = cached(pool).await;
    redis.fill(&["catalog:1", "session:1"]).await;
    for (arguments, said) in [
        (&["flush"][..], "--all"),
        (&["flush", "--pattern", ""], "empty pattern"),
        (&["flush", "--pattern", "  "], "empty pattern"),
        (&["flush", "--account", "nonsense'"], "not an account's id"),
        (&["flush", "--all", "--catalog"], "cannot be used with"),
        (&["flush", "--pattern", "*"], "--confirm demo"),
        (&["flush", "--pattern", "*", "--yes"], "--confirm demo"),
        (&["flush", "--pattern", "?*", "--confirm", "other"], "--confirm demo"),
    ] {
        let (code, _, told) = run(&world, arguments).await;
        assert_eq!(code, Some(2), "{arguments:?}: {told}");
        assert!(told.contains(said), "{arguments:?}: {told}");
        assert_eq!(redis.keys().await, ["catalog:1", "session:1"], "{arguments:?}");
    }
    let (code, _, told) = run(&world, &["flush", "--pattern", "*", "--confirm", "demo"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("Would delete 2 keys"), "the plan comes first: {told}");
    assert!(redis.keys().await.is_empty());
}

#[sqlx::test(migrations = false)]
async fn a_plan_says_what_would_go_and_deletes_nothing(pool: PgPool) {
    let (world, redis) = cached(pool).await;
    redis.fill(&["catalog:1", "catalog:2", "session:1"]).await;
    let (code, printed, told) = run(&world, &["flush", "--catalog", "--dry-run", "--json"]).await;
    assert_eq!(code, Some(0), "{told}");
    let plan: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        (&plan["keys"], &plan["needsName"], &plan["bytesExact"]),
        (&2.into(), &false.into(), &true.into())
    );
    assert_eq!(plan["examples"][0]["key"], "catalog:1");
    assert_eq!(redis.keys().await.len(), 3);
}

#[sqlx::test(migrations = false)]
async fn production_shows_its_plan_and_wants_its_name(pool: PgPool) {
    let (world, redis) = cached(pool).await;
    world.engine.shutdown().await;
    in_production(&world);
    redis.fill(&["catalog:1", "session:1"]).await;
    for arguments in [&["flush", "--catalog"][..], &["flush", "--catalog", "--yes"]] {
        let (code, _, told) = run(&world, arguments).await;
        assert_eq!(code, Some(2), "{told}");
        assert!(
            told.contains("Would delete 1 key of the catalogue") && told.contains("--confirm demo"),
            "{told}"
        );
        assert_eq!(redis.keys().await.len(), 2);
    }
    let (code, _, told) = run(&world, &["flush", "--catalog", "--confirm", "demo"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(redis.keys().await, ["session:1"]);
}

#[sqlx::test(migrations = false)]
async fn ctrl_c_stops_a_flush_and_says_what_was_done(pool: PgPool) {
    let (world, redis) = cached(pool).await;
    let count = 400_000;
    redis.fill_catalogue(count).await;
    let mut command = command(&world, &["flush", "--catalog", "--json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = child.id().unwrap().to_string();
    world
        .until_true("the flush is under way", async || {
            world
                .number("select count(*) from shadow_sync.flushes where deleted > 0 or ended_at is not null")
                .await
                > 0
        })
        .await;
    let sent = std::process::Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(sent.success());
    let output =
        tokio::time::timeout(Duration::from_secs(20), child.wait_with_output()).await.unwrap().unwrap();
    let flush: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(130), "{flush}");
    assert_eq!(flush["state"], "stopped");
    let deleted = usize::try_from(flush["deleted"].as_u64().unwrap()).unwrap();
    assert!(deleted > 0 && deleted < count, "{flush}");
    assert_eq!(redis.size().await, count - deleted, "what was said was done");
}

#[sqlx::test(migrations = false)]
async fn a_flush_is_stopped_from_another_process(pool: PgPool) {
    let (world, redis) = cached(pool).await;
    redis.fill_catalogue(400_000).await;
    let child = command(&world, &["flush", "--catalog", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    world
        .until_true("the flush is under way", async || {
            cache::flushes(&world.engine).await.unwrap().first().is_some_and(|flush| flush.deleted > 0)
        })
        .await;
    let id = cache::flushes(&world.engine).await.unwrap()[0].id.clone();
    cache::stop(&world.engine, &id).await.unwrap();
    let output =
        tokio::time::timeout(Duration::from_secs(20), child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    let ended = cache::flush(&world.engine, &id).await.unwrap();
    assert_eq!(ended.state, FlushState::Stopped);
    assert_eq!(cache::stop(&world.engine, &id).await.unwrap_err().code, "SS-8024");
}

#[sqlx::test(migrations = false)]
async fn a_command_deletes_the_keys_of_what_it_changed_before_it_ends(pool: PgPool) {
    let (world, mut redis) = cached(pool).await;
    world.engine.shutdown().await;
    let id = world.org.org().ids("Account", 0, 1)[0].to_string();
    let key = format!("eligibility:{id}");
    redis.fill(&[&key]).await;
    let fields = serde_json::json!({ "Internet_Eligibility__c": "Changed while nothing ran" });
    world.org.org().update("Account", &id, &fields).unwrap();
    let (code, _, told) = run(&world, &["catch-up", "Account"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(!redis.has(&key).await);
    assert_eq!(world.number("select count(*) from shadow_sync.invalidations where done_at is null").await, 0);

    // A cache that is away does not keep the command from ending: it says what is left.
    redis.kill();
    let fields = serde_json::json!({ "Internet_Eligibility__c": "Changed again" });
    world.org.org().update("Account", &id, &fields).unwrap();
    let (code, _, told) = run(&world, &["catch-up", "Account"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("1 change waits to be deleted") && told.contains("SS-8003"), "{told}");
}

#[sqlx::test(migrations = false)]
async fn rules_are_tried_and_probed_before_they_are_declared_complete(pool: PgPool) {
    let (world, redis) = cached(pool).await;
    let sku: String = sqlx::query_scalar("select sku from sf_product_shadow order by 1 limit 1")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    redis.fill(&[&format!("catalog:product:{sku}"), "catalog:list:5g"]).await;
    let tried = cache::try_keys(&world.engine, "Product2", &sku).await.unwrap();
    assert_eq!(tried[0].keys[0].key, format!("catalog:product:{sku}"));
    assert_eq!(tried[0].keys[0].exists, Some(true));
    assert_eq!(cache::try_keys(&world.engine, "Product2", "none").await.unwrap_err().code, "SS-8027");

    let (code, printed, _) = run(&world, &["cache", "probe", "--json"]).await;
    let probe: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, &probe["seen"], &probe["unknown"]), (Some(1), &2.into(), &1.into()), "{probe}");
    assert_eq!(probe["examples"][0], "catalog:list:5g");

    let (code, _, told) =
        run(&world, &["cache", "rules", "Product2", "--pattern", "catalog:*", "--template", "shop:{sku}"])
            .await;
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("shop:*"), "{told}");
    for everything in ["*", "?*", "[^a]*"] {
        let rules = ["cache", "rules", "Product2", "--template", "catalog:product:{sku}", "--pattern"];
        let (code, _, told) = run(&world, &[&rules[..], &[everything]].concat()).await;
        assert_eq!(code, Some(2), "{everything}: {told}");
        assert!(told.contains("every key of the server") && told.contains("SS-8026"), "{everything}: {told}");
    }
    let (code, printed, told) = run(&world, &["cache", "try", "Product2", "none", "--json"]).await;
    let failure: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (code, printed.as_str(), &failure["error"]["code"]),
        (Some(2), "", &"SS-8027".into()),
        "{told}"
    );
    let (code, printed, told) = run(&world, &["cache", "declare", "Product2"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(printed.contains("catalog:product:{sku}"), "{printed}");
    let view = cache::view(&world.engine).await.unwrap();
    let rules = view.rules.iter().find(|rules| rules.object == "Product2").unwrap();
    assert!(rules.is_complete && rules.complete_by.is_some());
    let (code, printed, told) = run(&world, &["cache"]).await;
    assert_eq!(code, Some(0), "{printed}{told}");
}

#[sqlx::test(migrations = false)]
async fn without_a_cache_it_is_said(pool: PgPool) {
    let world = World::start(pool).await;
    let refused = cache::preview(&world.engine, FlushScope::All).await.unwrap_err();
    assert_eq!(refused.code, "SS-8020");
    for arguments in [&["flush", "--all"][..], &["cache", "probe"], &["cache", "try", "Product2", "none"]] {
        let (code, _, told) = run(&world, arguments).await;
        assert_eq!(code, Some(2), "{arguments:?}: {told}");
        assert!(told.contains("redis_url"), "{arguments:?}: {told}");
    }
    let (code, printed, _) = run(&world, &["cache"]).await;
    assert_eq!(code, Some(0));
    assert!(printed.contains("No cache is configured"), "{printed}");
}

#[sqlx::test(migrations = false)]
async fn an_access_list_that_forbids_a_command_explains_itself(pool: PgPool) {
    let (world, redis) = cached(pool).await;
    let check = async |id: &str| {
        let (_, printed, told) = run(&world, &["doctor", "--json"]).await;
        let view: Value = serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{printed}{told}"));
        let found = view["checks"].as_array().unwrap().iter().find(|check| check["id"] == id).cloned();
        found.unwrap_or_else(|| panic!("{id} in {view}"))
    };
    for id in ["cache", "cache.version", "cache.rights"] {
        assert_eq!(check(id).await["colour"], "green", "{id}");
    }
    assert!(redis.keys().await.is_empty(), "nothing is left behind");

    redis.run(&["ACL", "SETUSER", "default", "-scan"]).await;
    let rights = check("cache.rights").await;
    assert_eq!((&rights["colour"], &rights["paste"]), (&"red".into(), &"+scan".into()), "{rights}");
    let (code, _, told) = run(&world, &["flush", "--catalog"]).await;
    assert_eq!(code, Some(3), "{told}");
    let history = cache::flushes(&world.engine).await.unwrap();
    let problem = history[0].problem.clone().unwrap();
    assert_eq!((history[0].state, problem.code.as_str()), (FlushState::Failed, "SS-8007"));
    assert!(problem.cause.contains("ACL SETUSER default +scan"), "{problem}");
}
