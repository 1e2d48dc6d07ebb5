//! Random histories of an org, with everything that a stream and its reads can do wrong: the shadow ends like the org,
//! and on the way no record ever shows an older state than before.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use shadow::{RecordId, ResolvedMapping};
use sqlx::PgPool;
use store::{dirty, parents, rejects};

use crate::live::{Live, Told};

mod checks;
mod flights;
mod org;

use flights::{Flight, What, all_may_be_fetched};
use org::{Object, Org, RECORDS, id_of, name_of, product_mapping};

/// How many histories are run, and how many steps each has. `SHADOW_SYNC_HISTORIES` names another number, and
/// `SHADOW_SYNC_HISTORY` one history by its seed.
const HISTORIES: u64 = 24;
const STEPS: usize = 200;

/// A small generator of numbers: histories are named by their seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(sides)).unwrap()
    }

    fn one_in(&mut self, sides: u32) -> bool {
        self.roll(sides) == 0
    }
}

struct History {
    live: Live,
    dice: Dice,
    org: Org,
    /// Salesforce's time, in milliseconds.
    now_ms: i64,
    /// Committed and not delivered yet.
    undelivered: Vec<Told>,
    flights: Vec<Flight>,
    /// Whether only products change now, of which their entries show the name.
    only_products: bool,
    /// Whether every change is told by some event. Then the shadow ends like the org without a catch-up.
    is_told: bool,
    /// The highest position, version, derived name, tier and formula of each record seen so far.
    seen: HashMap<String, [i64; 5]>,
    /// How many records side reads filled.
    filled: u64,
    diary: Vec<String>,
}

impl History {
    fn note(&mut self, line: String) {
        self.diary.push(line);
    }

    fn mapping(&self, object: Object) -> Arc<ResolvedMapping> {
        let [product, entry, ..] = self.live.mappings.as_slice() else { panic!("two mappings") };
        if object == Object::Product { product.clone() } else { entry.clone() }
    }

    /// What the sync user sees of products changes; who reads and applies from now on sees it too.
    fn show(&mut self, with_formula: bool, with_tier: bool) {
        let mapping = product_mapping(with_formula, with_tier);
        self.live.mappings[0] = Arc::new(mapping.clone());
        self.live.world.product = mapping;
    }

    /// The mapping gains the tier, which rows then lack until it is filled in.
    fn gain_tier(&mut self) {
        let mapping = self.mapping(Object::Product);
        let has = |field: &str| mapping.field_names().any(|name| name == field);
        if !has("Plan_Tier__c") {
            self.show(has("Formula__c"), true);
            self.note("the mapping gains the tier".to_owned());
        }
    }

    /// A person has a record repaired.
    async fn repair(&mut self) {
        let object = if self.dice.one_in(2) { Object::Product } else { Object::Entry };
        let id = id_of(object, 1 + self.dice.roll(RECORDS));
        let order = if self.dice.one_in(2) { dirty::Order::Person } else { dirty::Order::Replay };
        dirty::order(&self.live.world.store, &name_of(object), &[id], order).await.unwrap();
        self.note(format!("{id} is to be repaired"));
    }

    /// Receives some of what was committed; now and then the last message comes twice.
    async fn deliver(&mut self, all: bool) {
        let count = if all { self.undelivered.len() } else { self.dice.roll(4) as usize };
        let count = count.min(self.undelivered.len());
        let events: Vec<Told> = self.undelivered.drain(..count).collect();
        if !events.is_empty() {
            let twice = self.dice.one_in(4);
            let position = self.live.receive(&events).await;
            if twice {
                assert_eq!(self.live.receive_last_again().await, position);
            }
            self.note(format!("received up to {position}{}", if twice { ", twice" } else { "" }));
        }
    }

    async fn apply(&mut self) {
        let limit = i64::from(1 + self.dice.roll(4));
        if self.dice.one_in(5) {
            // The process dies somewhere in the middle.
            let patience = Duration::from_micros(u64::from(1_000 + self.dice.roll(14_000)));
            let done = self.live.apply_and_die(limit, patience).await;
            self.note(format!("dies while it applies{}", if done { ", too late" } else { "" }));
        } else {
            let applied = self.live.apply_some(limit).await.unwrap();
            self.note(format!("applied {:?}", applied.counts));
        }
    }

    /// Records that are older than the history, all of them loaded.
    async fn begin_loaded(&mut self) {
        let today = self.now_ms;
        self.now_ms -= 86_400_000;
        for _ in 0..30 {
            self.change_org();
        }
        self.now_ms = today;
        self.undelivered.clear();
        for object in [Object::Product, Object::Entry] {
            self.begin(object, What::All { deleted: true }).await;
            self.settle().await;
        }
        // What comes now is surely later than these reads.
        self.now_ms += 3_600_000;
    }

    async fn step(&mut self) {
        let hour = if self.dice.one_in(15) { 3_600_000 } else { 0 };
        self.now_ms += [0, 300, 900, 2_000, 7_000][self.dice.roll(5) as usize] + hour;
        match self.dice.roll(22) {
            0..=3 => self.change_org(),
            4..=5 => self.deliver(false).await,
            6..=7 => self.apply().await,
            8 => self.begin_read().await,
            9..=11 => self.answer(),
            12..=13 => self.merge().await,
            14..=15 => {
                let object = if self.dice.one_in(3) { Object::Entry } else { Object::Product };
                self.begin_side(object).await;
            }
            16..=18 => self.change_formula(),
            19 if self.dice.one_in(4) => self.gain_tier(),
            20 => self.repair().await,
            _ => {
                rejects::sweep(&self.live.world.store, &shadow::Mapping::built_in(), false).await.unwrap();
            }
        }
        self.check_nothing_went_backwards().await;
    }

    /// Everything arrives, a catch-up with id comparison follows, and what is dirty is fetched.
    async fn finish(&mut self) {
        self.deliver(true).await;
        while self.live.applied_position().await < self.live.world.begin().await.as_of {
            self.live.apply_some(50).await.unwrap();
        }
        self.now_ms += 60_000;
        while let Some(place) = self.flights.iter().position(|flight| flight.answer.is_some()) {
            let flight = self.flights.remove(place);
            self.merge_flight(flight).await;
            self.check_nothing_went_backwards().await;
        }
        self.flights.clear();
        let caught_up = if self.is_told { &[][..] } else { &[Object::Product, Object::Entry] };
        for object in caught_up.iter().copied() {
            self.begin(object, What::All { deleted: true }).await;
            self.settle().await;
            // What the shadow has and the org has not is looked up by id.
            let lacking: Vec<RecordId> = (1..=RECORDS)
                .filter(|number| !self.org.contains_key(&(object, *number)))
                .map(|number| id_of(object, number))
                .collect();
            let store = &self.live.world.store;
            dirty::order(store, &name_of(object), &lacking, dirty::Order::Person).await.unwrap();
        }
        self.fetch_dirty().await;
        // What no event told, and what the mapping gained, is read on the side.
        self.now_ms += 60_000;
        for object in [Object::Product, Object::Entry] {
            self.begin_side(object).await;
            self.settle().await;
        }
        self.fetch_dirty().await;
    }

    /// Fetches dirty records, and children of dirty parents, until there are none.
    async fn fetch_dirty(&mut self) {
        for _ in 0..40 {
            self.settle().await;
            let store = self.live.world.store.clone();
            all_may_be_fetched(store.pool()).await;
            for object in [Object::Product, Object::Entry] {
                let mapping = self.mapping(object);
                let ids = dirty::next_batch(&store, &mapping.mapping, 20).await.unwrap();
                let due = parents::next(&store, mapping.object(), 20).await.unwrap();
                if !ids.is_empty() {
                    self.begin(object, What::Fetch(ids)).await;
                }
                if !due.is_empty() {
                    self.begin(object, What::Children(due)).await;
                }
            }
            if self.flights.is_empty() {
                return;
            }
        }
        panic!("records stay dirty: {:?}", self.live.dirty().await);
    }
}

/// Runs one history; the diary is printed if it ends badly.
#[expect(clippy::print_stderr, reason = "without its diary nobody can tell why a history ended badly")]
async fn run(live: Live, seed: u64) -> (Live, u64) {
    /// Prints what happened when a check fails.
    struct Teller<'a>(&'a mut History, u64);

    impl Drop for Teller<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("history {}:\n{}", self.1, self.0.diary.join("\n"));
            }
        }
    }

    let mut history = History {
        live,
        dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        org: Org::new(),
        now_ms: 1_700_000_000_000,
        undelivered: Vec::new(),
        only_products: false,
        is_told: seed.is_multiple_of(2),
        flights: Vec::new(),
        seen: HashMap::new(),
        filled: 0,
        diary: Vec::new(),
    };
    {
        let teller = Teller(&mut history, seed);
        // With a formula no product is written from its creating event alone.
        teller.0.show(!seed.is_multiple_of(3), false);
        if !seed.is_multiple_of(4) {
            teller.0.begin_loaded().await;
        }
        for _ in 0..STEPS {
            teller.0.step().await;
        }
        teller.0.finish().await;
        teller.0.check_the_end().await;
        teller.0.only_products = true;
        for _ in 0..5 {
            teller.0.change_org();
        }
        teller.0.gain_tier();
        teller.0.finish().await;
        teller.0.check_the_end().await;
    }
    (history.live, history.filled)
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn after_any_history_the_shadow_is_the_org_and_nothing_went_backwards(pool: PgPool) {
    let mut live = Live::start(pool).await;
    // Nobody renews the leases of this test.
    sqlx::query("update shadow_sync.leases set expires_at = now() + interval '1 day'")
        .execute(live.world.store.pool())
        .await
        .unwrap();
    let variable = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds: Vec<u64> = variable("SHADOW_SYNC_HISTORY").map_or_else(
        || (1..=variable("SHADOW_SYNC_HISTORIES").unwrap_or(HISTORIES)).collect(),
        |seed| vec![seed],
    );
    let mut filled = 0;
    for seed in &seeds {
        let (after, by_side) = run(live, *seed).await;
        (live, filled) = (after, filled + by_side);
        sqlx::raw_sql(
            "truncate sf_product_shadow, sf_pricebook_shadow, shadow_sync.rejects, shadow_sync.tombstones,
                 shadow_sync.dirty, shadow_sync.dirty_parents, shadow_sync.dead_letters, shadow_sync.holes,
                 shadow_sync.invalidations",
        )
        .execute(live.world.store.pool())
        .await
        .unwrap();
    }
    println!("{filled} records were filled by side reads");
    assert!(filled > 0 || seeds.len() < 2, "no side read filled anything: these histories try too little");
}
