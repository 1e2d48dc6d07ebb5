//! A copy that is kept by events alone equals the org, whatever happened in it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use simulator::Options;

use crate::{
    client::World,
    listener::{ALL, From, Received},
};

const OBJECTS: [&str; 3] = ["Account", "Product2", "PricebookEntry"];

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.roll(one_in) == 0
    }

    fn fields(&mut self, object: &str) -> Value {
        let number = self.roll(50);
        let text = || json!(format!("Text {number}"));
        let candidates = match object {
            "Account" => vec![
                ("Name", text()),
                ("Industry", Value::Null),
                ("Industry", json!("Space")),
                ("BillingCity", text()),
                ("BillingStreet", Value::Null),
                ("ShippingPostalCode", text()),
                ("AnnualRevenue", json!(number * 1_000)),
                ("NumberOfEmployees", json!(number)),
                ("Internet_Eligibility__c", json!("Fibre")),
                ("Eligibility_Checked_On__c", json!(format!("2026-01-{:02}", number % 28 + 1))),
            ],
            "Product2" => vec![
                ("Name", text()),
                ("Description", Value::Null),
                ("Description", text()),
                ("StockKeepingUnit", text()),
                ("IsActive", json!(number.is_multiple_of(2))),
                ("Bandwidth_Mbit__c", json!(number as f64 / 2.0)),
                ("Launched_On__c", json!("1969-12-31")),
            ],
            _ => vec![
                ("UnitPrice", json!(number as f64 + 0.99)),
                ("IsActive", json!(number.is_multiple_of(2))),
                ("Offer_Text__c", text()),
                ("Offer_Text__c", Value::Null),
                ("Minimum_Term_Months__c", json!(number)),
            ],
        };
        let mut fields = Map::new();
        for _ in 0..=self.roll(3) {
            let (name, value) = candidates[self.roll(candidates.len())].clone();
            fields.insert(name.to_owned(), value);
        }
        Value::Object(fields)
    }
}

/// One write, as [`simulator::Org`] and [`simulator::Transaction`] both offer it.
enum Write {
    Insert(&'static str, Value),
    Update(&'static str, String, Value),
    Delete(&'static str, String),
    Undelete(&'static str, String),
}

fn writes(world: &World, dice: &mut Dice, binned: &mut Vec<(&'static str, String)>) -> Write {
    let org = world.simulator.org();
    let object = OBJECTS[dice.roll(3)];
    let at = dice.roll(20) as u64;
    let id = org.ids(object, at, 1)[0].to_string();
    match dice.roll(10) {
        // An entry needs a product and a price book, which is another test's business.
        0 | 1 if object != "PricebookEntry" => {
            let mut fields = dice.fields(object);
            fields["Name"] = json!(format!("New {}", dice.roll(1_000)));
            Write::Insert(object, fields)
        }
        2 => {
            binned.push((object, id.clone()));
            Write::Delete(object, id)
        }
        3 if !binned.is_empty() => {
            let (object, id) = binned.remove(dice.roll(binned.len()));
            Write::Undelete(object, id)
        }
        _ => Write::Update(object, id, dice.fields(object)),
    }
}

/// Where a record is in the copy, and its values as events carry them.
type Copy = BTreeMap<String, (String, Map<String, Value>)>;

/// Applies an event: exactly the fields that it marks, or all of them.
fn apply(copy: &mut Copy, event: &Received, marked: &[String]) {
    let object = event.header("entityName").as_str().unwrap().to_owned();
    for id in event.header("recordIds").as_array().unwrap() {
        let id = id.as_str().unwrap().to_owned();
        match event.header("changeType").as_str().unwrap() {
            "CREATE" | "UNDELETE" => {
                let mut values = event.body.as_object().unwrap().clone();
                values.remove("ChangeEventHeader");
                copy.insert(id, (object.clone(), values));
            }
            "DELETE" => {
                copy.remove(&id);
            }
            "UPDATE" => {
                let Some((_, values)) = copy.get_mut(&id) else { continue };
                for name in marked {
                    match name.split_once('.') {
                        None => {
                            values.insert(name.clone(), event.body[name].clone());
                        }
                        Some((parent, inside)) => {
                            let part = ["Street", "City", "State", "PostalCode", "Country"]
                                [inside.parse::<usize>().unwrap()];
                            let compound = values.entry(parent).or_insert(Value::Null);
                            if compound.is_null() {
                                *compound = json!({});
                            }
                            compound[part] = event.body[parent][part].clone();
                        }
                    }
                }
            }
            other => panic!("{other}"),
        }
    }
}

fn same(event: &Value, record: &Value) -> bool {
    let time = |text: &str| {
        chrono::DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.3f%z")
            .map(|time| time.timestamp_millis())
            .ok()
    };
    let day = |text: &str| {
        let day = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        Some(day.signed_duration_since(chrono::NaiveDate::default()).num_milliseconds())
    };
    match (event, record) {
        (Value::Number(event), Value::String(record)) => {
            time(record).or_else(|| day(record)).is_some_and(|ms| event.as_i64() == Some(ms))
        }
        (Value::Number(event), Value::Number(record)) => event.as_f64() == record.as_f64(),
        (event, record) => event == record,
    }
}

#[tokio::test]
async fn events_alone_rebuild_what_became_of_every_record_they_created() {
    for seed in 1..=3 {
        let world = World::start(Options { text_diffs: false, ..Options::default() }).await;
        let org = world.simulator.org();
        let mut dice = Dice(seed);
        let mut binned = Vec::new();
        // The copy begins with what was there: an event of each record that says everything.
        let mut transaction = org.begin_transaction();
        let mut known: Vec<(&str, String)> = Vec::new();
        for object in OBJECTS {
            known.extend(org.ids(object, 0, 20).into_iter().map(|id| (object, id.to_string())));
        }
        for (object, id) in &known {
            transaction.delete(object, id).ok();
        }
        transaction.commit().unwrap();
        for (object, id) in &known {
            org.undelete(object, id).unwrap();
        }
        for _ in 0..120 {
            if dice.chance(4) {
                let mut transaction = org.begin_transaction();
                for _ in 0..=dice.roll(4) {
                    // A record that was deleted a moment ago cannot be deleted again: then this write is left out.
                    match writes(&world, &mut dice, &mut binned) {
                        Write::Insert(object, fields) => transaction.insert(object, &fields).map(|_| ()),
                        Write::Update(object, id, fields) => transaction.update(object, &id, &fields),
                        Write::Delete(object, id) => transaction.delete(object, &id),
                        Write::Undelete(object, id) => transaction.undelete(object, &id),
                    }
                    .unwrap();
                }
                transaction.commit().unwrap();
            } else {
                match writes(&world, &mut dice, &mut binned) {
                    Write::Insert(object, fields) => org.insert(object, &fields).map(|_| ()),
                    Write::Update(object, id, fields) => org.update(object, &id, &fields),
                    Write::Delete(object, id) => org.delete(object, &id),
                    Write::Undelete(object, id) => org.undelete(object, &id),
                }
                .unwrap();
            }
        }

        let mut copy = Copy::new();
        let mut listener = world.pubsub().subscribe(ALL, From::Earliest, 1).await.unwrap();
        for _ in 0..org.retained_events() {
            let event = listener.event().await;
            let mut marked = listener.marked(&event, "changedFields");
            marked.extend(listener.marked(&event, "nulledFields"));
            apply(&mut copy, &event, &marked);
            listener.ask(1).await;
        }
        for (object, id) in &known {
            let is_live = org.record(object, id).unwrap()["IsDeleted"] == false;
            assert_eq!(copy.contains_key(id), is_live, "{object} {id}");
        }
        assert!(copy.len() > 40, "{}", copy.len());
        for (id, (object, values)) in &copy {
            let record = org.record(object, id).unwrap();
            assert_eq!(record["IsDeleted"], false, "{object} {id}");
            for (name, value) in values {
                // A changed standard price reaches the entries that use it without an event of theirs.
                if name == "UnitPrice" && record["UseStandardPrice"] == true {
                    continue;
                }
                let Some(prefix) = name.strip_suffix("Address") else {
                    assert!(same(value, &record[name]), "{object} {id} {name}: {value} is {}", record[name]);
                    continue;
                };
                for part in ["Street", "City", "State", "PostalCode", "Country"] {
                    let (value, record) = (&value[part], &record[format!("{prefix}{part}")]);
                    assert!(same(value, record), "{object} {id} {prefix}{part}: {value} is {record}");
                }
            }
        }
    }
}
