//! Random histories: whatever happens in whatever order, the shadow is the org at the end, and no row ever went backwards.
//!
//! `SHADOW_SYNC_HISTORIES` says how many are tried, `SHADOW_SYNC_HISTORY` names one by its seed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::api::backfills::{self, BackfillMode, JobState};
use engine::api::{catch_up, replay};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;
use simulator::{Change, Disturbance, EventFault, Options};
use sqlx::PgPool;

use crate::world::{World, names, small};

/// The field that goes out of sight now and then.
const HIDDEN: &str = "Eligibility_Source__c";

/// Things that happen in one history.
const STEPS: usize = 60;

#[sqlx::test(migrations = false)]
async fn whatever_happens_the_shadow_is_the_org_at_the_end(pool: PgPool) {
    let variable = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds: Vec<u64> = variable("SHADOW_SYNC_HISTORY")
        .map_or_else(|| (1..=variable("SHADOW_SYNC_HISTORIES").unwrap_or(2)).collect(), |seed| vec![seed]);
    let mut world = World::live_with(pool, Options { products: 20, prices: 60, ..small() }).await;
    for seed in seeds {
        println!("history {seed}");
        let watcher = Watcher::start(world.pool.clone());
        let mut history =
            History { rng: StdRng::seed_from_u64(seed), counter: seed * 10_000, is_hidden: false };
        for _ in 0..STEPS {
            let happened = history.step(&mut world).await;
            println!("  {happened}");
        }
        world.org.org().disturb(&Disturbance::TakeBack).unwrap();
        if history.is_hidden {
            world.org.org().set_field_visible("Account", HIDDEN, true);
        }
        // A process that begins describes every object: what can be seen again is read on the side.
        world.restart().await;
        // A load that a person began and whose process ended waits for a person.
        for job in backfills::jobs(&world.engine).await.unwrap() {
            if matches!(job.state, JobState::Interrupted | JobState::Pending) {
                backfills::resume(&world.engine, &job.id).await.unwrap();
            }
        }
        world.until_settled().await;
        // Events that were lost, or never sent, are what the catch-up is for.
        let objects = names(&["Product2", "PricebookEntry", "Account"]);
        let ids = catch_up::start(&world.engine, objects, None).await.unwrap();
        world.until_ended(&ids).await;
        world.assert_same().await;
        watcher.stop().await;
    }
}

struct History {
    rng: StdRng,
    /// Grows with every change, so that a row that goes backwards is seen.
    counter: u64,
    /// Whether a field is hidden from the sync user.
    is_hidden: bool,
}

impl History {
    fn value(&mut self) -> String {
        self.counter += 1;
        format!("{:08}", self.counter)
    }

    fn some(&mut self, world: &World, object: &str) -> Option<String> {
        let ids = world.org.org().ids(object, 0, 1_000);
        ids.choose(&mut self.rng).map(ToString::to_string)
    }

    /// Lets one thing happen; says what.
    async fn step(&mut self, world: &mut World) -> String {
        let org = world.org.org();
        let account = self.some(world, "Account").expect("an account");
        match self.rng.random_range(0..25) {
            0..=6 => {
                let value = self.value();
                let _ = org.update("Account", &account, &json!({ "Internet_Eligibility__c": value }));
                format!("update {account} to {value}")
            }
            7 => {
                // Several within one second, the last of which counts.
                let values: Vec<String> = (0..4).map(|_| self.value()).collect();
                for value in &values {
                    let _ = org.update("Account", &account, &json!({ "Internet_Eligibility__c": value }));
                }
                format!("ties of {account} up to {:?}", values.last())
            }
            8 => {
                let _ = org.delete("Account", &account);
                format!("delete {account}")
            }
            9 => {
                let _ = org.delete("Account", &account);
                let _ = org.undelete("Account", &account);
                format!("delete and undelete {account}")
            }
            10 => {
                let value = self.value();
                let new = org
                    .insert("Account", &json!({ "Name": "New", "Internet_Eligibility__c": value }))
                    .unwrap();
                format!("insert {new}")
            }
            11 => {
                // Stamped now, seen later, behind what happens in between.
                let value = self.value();
                let mut late = org.begin_transaction();
                let _ = late.update("Account", &account, &json!({ "Eligibility_Source__c": value }));
                let other = self.some(world, "Account").expect("an account");
                let between = self.value();
                if other != account {
                    let _ = org.update("Account", &other, &json!({ "Internet_Eligibility__c": between }));
                }
                let _ = late.commit();
                format!("late commit of {account}")
            }
            12 => {
                let fault = *[
                    EventFault::Dropped,
                    EventFault::Gap,
                    EventFault::CorruptBody,
                    EventFault::CorruptHeader,
                    EventFault::Duplicated,
                    EventFault::UnknownSchema,
                ]
                .choose(&mut self.rng)
                .expect("one");
                org.disturb(&Disturbance::NextEvents { object: None, fault, times: Some(1) }).unwrap();
                format!("the next event is {fault:?}")
            }
            13 => {
                org.disturb(&Disturbance::Redeliver { events: Some(5) }).unwrap();
                "redelivery".to_owned()
            }
            14 => {
                let gap = Disturbance::Gap {
                    object: "Account".to_owned(),
                    ids: vec![account.clone()],
                    change: Change::Update,
                };
                org.disturb(&gap).unwrap();
                format!("a gap for {account} though nothing changed")
            }
            15 => {
                let disturbance =
                    [Disturbance::ResetStreams, Disturbance::CutConnections, Disturbance::EndStreams]
                        .choose(&mut self.rng)
                        .expect("one")
                        .clone();
                org.disturb(&disturbance).unwrap();
                format!("{disturbance:?}")
            }
            16 => {
                if let Some(product) = self.some(world, "Product2") {
                    let name = self.value();
                    let _ = org.update("Product2", &product, &json!({ "Name": name }));
                    return format!("rename {product}");
                }
                "nothing".to_owned()
            }
            17 => {
                if let Some(entry) = self.some(world, "PricebookEntry") {
                    let price = f64::from(self.rng.random_range(100..1_000_000)) / 100.0;
                    let _ = org.update("PricebookEntry", &entry, &json!({ "UnitPrice": price }));
                    return format!("price {price} of {entry}");
                }
                "nothing".to_owned()
            }
            18 => {
                let mode = *[BackfillMode::Auto, BackfillMode::Restart].choose(&mut self.rng).expect("one");
                let begun = backfills::start(&world.engine, names(&["Account"]), mode).await;
                format!("load {mode:?}: {}", begun.is_ok())
            }
            19 => {
                let begun = catch_up::start(&world.engine, names(&["Account"]), None).await;
                format!("catch-up: {}", begun.is_ok())
            }
            20 => {
                let request = replay::ReplayRequest::default();
                let found = replay::run(&world.engine, request).await.map(|view| view.marked);
                format!("replay: {:?}", found.ok())
            }
            21 => {
                let begun = catch_up::refresh_formulas(&world.engine, names(&["PricebookEntry"])).await;
                format!("formulas are read: {:?}", begun.map_err(|problem| problem.title).ok())
            }
            22 => {
                // Noticed by whoever describes the object next.
                self.is_hidden = !self.is_hidden;
                org.set_field_visible("Account", HIDDEN, !self.is_hidden);
                format!("{HIDDEN} is hidden: {}", self.is_hidden)
            }
            23 => {
                // Reads that ended long ago: what comes is laid over them instead of being fetched.
                world.age_reads().await;
                "an hour goes by".to_owned()
            }
            _ => {
                world.restart().await;
                "the process ends and another begins".to_owned()
            }
        }
    }
}

/// Looks at every row again and again: what it shows may only grow.
struct Watcher {
    stop: Arc<AtomicBool>,
    watching: tokio::task::JoinHandle<Vec<String>>,
}

impl Watcher {
    fn start(pool: PgPool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let watching = tokio::spawn(async move {
            let (mut latest, mut backwards): (HashMap<String, String>, Vec<String>) = Default::default();
            while !stopped.load(Ordering::Relaxed) {
                let query = "select account_id, internet_eligibility from sf_account_eligibility_shadow
                              where internet_eligibility ~ '^[0-9]{8}$'";
                let rows: Vec<(String, String)> =
                    sqlx::query_as(query).fetch_all(&pool).await.unwrap_or_default();
                for (id, value) in rows {
                    if let Some(before) = latest.get(&id).filter(|before| **before > value) {
                        backwards.push(format!("{id} went from {before} back to {value}"));
                    }
                    latest.insert(id, value);
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            backwards
        });
        Self { stop, watching }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let backwards = self.watching.await.expect("it watches");
        assert!(backwards.is_empty(), "{backwards:#?}");
    }
}
