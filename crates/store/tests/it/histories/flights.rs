//! Reads between their request and their merge: whole ones, and side reads that look at records one after the other.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use shadow::value::Moment;
use shadow::{ReadMark, RecordId, ResolvedMapping, RowChunk, side};
use sqlx::PgPool;
use store::dirty;
use store::merge::{SideRead, merge_chunk, side_read};
use store::parents::{self, DirtyParent};
use store::reads::{Read, ReadKind};

use super::History;
use super::org::{Object, RECORDS, id_of, product_of};
use crate::world::product_id;

/// A read between its request and its merge.
pub struct Flight {
    pub object: Object,
    pub mark: ReadMark,
    /// As it was when the read began.
    pub mapping: Arc<ResolvedMapping>,
    pub what: What,
    pub answer: Option<(RowChunk, DateTime<Utc>)>,
}

pub enum What {
    Fetch(Vec<RecordId>),
    /// Every record, with the deleted ones or without.
    All {
        deleted: bool,
    },
    Children(Vec<DirtyParent>),
    /// Some fields of every record.
    Side(Side),
}

/// A side read on its way.
pub struct Side {
    fields: Vec<String>,
    began: DateTime<Utc>,
    is_reshaping: bool,
    /// The records that the job has looked at: it does not see all of them at one time.
    seen: Option<RowChunk>,
}

impl What {
    /// Salesforce answers whole reads in the order in which they were asked for; a Bulk job takes as long as it likes.
    fn may_overtake(&self) -> bool {
        matches!(self, Self::Side(_))
    }
}

pub async fn all_may_be_fetched(pool: &PgPool) {
    for table in ["dirty", "dirty_parents"] {
        let update = format!("update shadow_sync.{table} set not_before = now()");
        sqlx::query(sqlx::AssertSqlSafe(update)).execute(pool).await.unwrap();
    }
}

/// The rows of both.
fn joined(first: RowChunk, more: &RowChunk) -> RowChunk {
    let mut all = first;
    for row in more.rows() {
        for column in 0..more.columns().len() {
            all.push_field(row.field(column).unwrap_or_default().as_bytes()).unwrap();
        }
        all.end_row().unwrap();
    }
    all
}

impl History {
    pub async fn begin(&mut self, object: Object, what: What) {
        let mark = self.live.world.begin().await;
        let line = match &what {
            What::Fetch(ids) => format!("fetch of {ids:?}"),
            What::All { deleted } => format!("read of every {object:?}, deleted ones {deleted}"),
            What::Children(parents) => format!("read of the children of {:?}", parents.len()),
            What::Side(side) => format!("side read of {:?} of every {object:?}", side.fields),
        };
        self.note(format!("begins {} at {}: {line}", mark.read_no, mark.as_of));
        let mapping = self.mapping(object);
        self.flights.push(Flight { object, mark, mapping, what, answer: None });
    }

    pub async fn begin_read(&mut self) {
        let object = if self.dice.one_in(2) { Object::Product } else { Object::Entry };
        let store = self.live.world.store.clone();
        all_may_be_fetched(store.pool()).await;
        let mapping = self.mapping(object);
        let what = match self.dice.roll(6) {
            0 => What::All { deleted: true },
            1 => What::All { deleted: false },
            2 if object == Object::Entry => {
                What::Children(parents::next(&store, mapping.object(), 10).await.unwrap())
            }
            _ => What::Fetch(dirty::next_batch(&store, &mapping.mapping, 10).await.unwrap()),
        };
        let is_empty = match &what {
            What::Fetch(ids) => ids.is_empty(),
            What::Children(parents) => parents.is_empty(),
            What::All { .. } | What::Side(_) => false,
        };
        if !is_empty {
            self.begin(object, what).await;
        }
    }

    /// Begins a side read of what events do not tell, or of everything that the mapping gained. One at a time of each
    /// object, as jobs are.
    pub async fn begin_side(&mut self, object: Object) {
        let is_on_its_way = |flight: &Flight| flight.object == object && matches!(flight.what, What::Side(_));
        if self.flights.iter().any(is_on_its_way) {
            return;
        }
        let fields = self.side_fields(object);
        if fields.is_empty() {
            return;
        }
        let is_reshaping = self.dice.one_in(2) || fields.iter().any(|field| field == "Plan_Tier__c");
        let began = side::began(Moment(self.now_ms)).to_utc().unwrap();
        self.begin(object, What::Side(Side { fields, began, is_reshaping, seen: None })).await;
    }

    fn side_fields(&self, object: Object) -> Vec<String> {
        let mapping = self.mapping(object);
        let is_side = |name: &&str| matches!(*name, "Formula__c" | "Plan_Tier__c");
        let names: Vec<&str> = match object {
            Object::Product => mapping.field_names().filter(is_side).collect(),
            Object::Entry => vec!["Name"],
        };
        names.into_iter().map(str::to_owned).collect()
    }

    /// Salesforce answers the oldest open request, or goes on with a side read.
    pub fn answer(&mut self) {
        let open: Vec<usize> =
            (0..self.flights.len()).filter(|place| self.flights[*place].answer.is_none()).collect();
        let first = open.iter().copied().find(|place| !self.flights[*place].what.may_overtake());
        let sides = open.iter().copied().filter(|place| self.flights[*place].what.may_overtake());
        let able: Vec<usize> = first.into_iter().chain(sides).collect();
        if !able.is_empty() {
            let place = able[self.dice.roll(u32::try_from(able.len()).unwrap()) as usize];
            self.answer_flight(place);
        }
    }

    /// Answers one request; a side read only in part, the first time.
    pub fn answer_flight(&mut self, place: usize) {
        let flight = &self.flights[place];
        let (object, columns): (_, Vec<&str>) = (flight.object, flight.mapping.field_names().collect());
        let chunk = match &flight.what {
            What::Fetch(ids) => self.rows(object, columns, |number, record| {
                !record.deleted && ids.contains(&id_of(object, number))
            }),
            What::All { deleted } => self.rows(object, columns, |_, record| *deleted || !record.deleted),
            What::Children(parents) => self.rows(object, columns, |number, _| {
                parents.iter().any(|parent| parent.id == product_id(product_of(number)))
            }),
            What::Side(side) => {
                let columns =
                    ["Id", "SystemModstamp"].into_iter().chain(side.fields.iter().map(String::as_str));
                let (is_first, half) = (side.seen.is_none(), RECORDS / 2);
                self.rows(object, columns, |number, record| !record.deleted && (number <= half) == is_first)
            }
        };
        let end = DateTime::from_timestamp(self.now_ms / 1000, 0).unwrap();
        let line = format!("answers {}: {} records", flight.mark.read_no, chunk.len());
        let flight = &mut self.flights[place];
        flight.answer = match &mut flight.what {
            What::Side(side) => match side.seen.take() {
                None => {
                    side.seen = Some(chunk);
                    None
                }
                Some(first) => Some((joined(first, &chunk), end)),
            },
            What::Fetch(_) | What::All { .. } | What::Children(_) => Some((chunk, end)),
        };
        self.note(line);
    }

    /// Merges one of the answers, whichever.
    pub async fn merge(&mut self) {
        let answered: Vec<usize> =
            (0..self.flights.len()).filter(|place| self.flights[*place].answer.is_some()).collect();
        if answered.is_empty() {
            return;
        }
        let place = answered[self.dice.roll(u32::try_from(answered.len()).unwrap()) as usize];
        let flight = self.flights.remove(place);
        self.merge_flight(flight).await;
    }

    pub async fn merge_flight(&mut self, flight: Flight) {
        let (chunk, end) = flight.answer.unwrap();
        let (store, key) = (&self.live.world.store, self.live.world.lease.key());
        let kind = match flight.what {
            What::Fetch(ids) => ReadKind::Fetch { ids, job: None },
            What::All { .. } => ReadKind::Window { job: None },
            What::Children(parents) => ReadKind::Children { parents },
            What::Side(Side { began, is_reshaping, .. }) => {
                let read = SideRead { mark: flight.mark, began, end, is_reshaping, page: None };
                let outcome = side_read(store, key, &flight.mapping, &chunk, &read).await.unwrap();
                self.filled += outcome.updated + outcome.rejected;
                self.note(format!("lays {} over: {outcome:?}", flight.mark.read_no));
                return;
            }
        };
        let read = Read { mark: flight.mark, end, kind };
        let outcome = merge_chunk(store, key, &flight.mapping, &chunk, &read).await.unwrap();
        self.note(format!("merges {}: {outcome:?}", flight.mark.read_no));
    }

    /// Answers and merges everything that is on its way.
    pub async fn settle(&mut self) {
        while !self.flights.is_empty() {
            while self.flights[0].answer.is_none() {
                self.answer_flight(0);
            }
            let flight = self.flights.remove(0);
            self.merge_flight(flight).await;
            self.check_nothing_went_backwards().await;
        }
    }
}
