//! The telecom catalogue of the simulated org: every record is computed from the seed and its position.
//!
//! Nothing is rendered or kept: three million price book entries cost as much memory as three.

mod accounts;
mod people;
mod prices;
mod products;

use std::sync::Arc;

pub use people::{DEMO_USERNAME, SECOND_USERNAME, catalogue_manager, demo_user_id};

use crate::{
    calendar::DAY_MS,
    ids::RecordId,
    position::in_memory,
    schema::{Field, Object, known_field, known_object},
    snapshot::Snapshot,
    table::Base,
    value::{Owned, Value},
};

/// What the org is made from.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The number that everything follows from.
    pub seed: u64,
    /// Records of Product2.
    pub products: u64,
    /// Records of PricebookEntry.
    pub prices: u64,
    /// Records of Account.
    pub accounts: u64,
    /// Reports whether records carry a currency of their own.
    pub multi_currency: bool,
    /// Reports whether one product carries a text of 131,072 characters.
    pub long_text: bool,
    /// Reports whether one product's text holds a NUL character.
    pub nul_text: bool,
}

/// The first moment of the catalogue: 2024-02-01, in days since 1970.
const FIRST_DAY: i64 = 19_754;
/// How long the catalogue grew before today, in seconds: 600 days.
const SPAN_S: u64 = 600 * 86_400;
/// The currencies of an org that has several; the first is the corporate one.
pub const CURRENCIES: [&str; 3] = ["EUR", "USD", "GBP"];

/// The objects and tables of the generated org.
pub fn build(shape: &Shape, org: &OrgRecord) -> Snapshot {
    let shape = Arc::new(shape.clone());
    let objects: Vec<(Object, Arc<dyn Base>)> = vec![
        accounts::table(&shape),
        products::table(&shape),
        prices::books(&shape),
        prices::entries(&shape),
        people::users(),
        people::organization(org),
        people::currencies(shape.multi_currency),
    ];
    Snapshot::new(objects)
}

/// Users, organization and currencies: what an org has beside its catalogue.
pub fn surroundings(org: &OrgRecord) -> Vec<(Object, Arc<dyn Base>)> {
    vec![people::users(), people::organization(org), people::currencies(false)]
}

/// What the Organization record says.
#[derive(Clone, Debug)]
pub struct OrgRecord {
    /// The org's id.
    pub id: RecordId,
    /// The org's name.
    pub name: String,
    /// The edition, as `OrganizationType` names it.
    pub edition: String,
    /// Reports whether the org is a sandbox.
    pub is_sandbox: bool,
}

/// A number that looks random and follows from the seed, a purpose and a position alone.
fn hash(seed: u64, purpose: u64, position: u64) -> u64 {
    let mut mixed =
        seed ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ position.wrapping_mul(0xd1b5_4a32_d192_ed03);
    for _ in 0..2 {
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
    }
    mixed
}

/// One of several texts, by a hash.
fn pick<'a>(from: &[&'a str], hash: u64) -> &'a str {
    from[in_memory(hash % from.len() as u64)]
}

/// A moment of the catalogue's growth, in milliseconds: whole seconds, as Salesforce stamps them.
fn moment(second: u64) -> i64 {
    FIRST_DAY * DAY_MS + i64::try_from(second).unwrap_or(0) * 1_000
}

/// A table that is simply kept: few records, all fields.
pub struct Kept {
    ids: Vec<RecordId>,
    rows: Vec<Vec<Owned>>,
}

impl Kept {
    /// Records sorted by id.
    pub fn new(mut records: Vec<(RecordId, Vec<Owned>)>) -> Self {
        records.sort_by_key(|(id, _)| *id);
        let (ids, rows) = records.into_iter().unzip();
        Self { ids, rows }
    }
}

impl Base for Kept {
    fn len(&self) -> u64 {
        self.ids.len() as u64
    }

    fn id(&self, row: u64) -> RecordId {
        self.ids[in_memory(row)]
    }

    fn find(&self, id: &RecordId) -> Option<u64> {
        self.ids.binary_search(id).ok().map(|row| row as u64)
    }

    fn read<'a>(&'a self, row: u64, field: usize, _scratch: &'a mut String) -> Value<'a> {
        self.rows[in_memory(row)].get(field).map_or(Value::Null, Owned::lend)
    }
}

/// An object with these fields, `Id` first and the audit fields last; each field keeps what stands beside it.
fn object_of<T: Copy>(name: &str, columns: Vec<(T, Field)>) -> (Object, Vec<T>) {
    let mut object = known_object(name);
    let (keys, fields) = columns.into_iter().unzip();
    object.fields = fields;
    (object, keys)
}

/// A standard field that is known to exist.
fn standard(name: &str) -> Field {
    known_field(name).expect("only names of standard fields are asked for here")
}
