//! Who holds a unique value when several records claim it.
//!
//! Of several live claimants the oldest `CreatedDate`, then the smallest id holds the value, whatever the order of
//! arrival; a mapping may put active records first. Nothing is refused or displaced on the word of a state that was not read in the same call: such
//! records wait with what is stored of them, and are fetched together.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Current, DirtyReason, Roles, Standing};
use crate::ids::RecordId;
use crate::prepare::PreparedChunk;
use crate::reason::Reason;
use crate::value::Moment;

/// How a candidate fares.
pub(super) enum Outcome {
    /// It holds its value, or needs none.
    Holds,
    /// Another record holds it.
    Refused(Reason),
    /// It is fetched together with the others that claim this value.
    Waits(String),
}

/// How all candidates fare, and what that does to records beside the chunk.
#[derive(Default)]
pub(super) struct Settled {
    /// Candidates that do not simply hold their value.
    exceptions: HashMap<usize, Outcome>,
    pub(super) entered: Vec<RecordId>,
    pub(super) retold: Vec<(RecordId, Reason)>,
    /// Records beside the chunk that are to be fetched.
    pub(super) dirty: Vec<(RecordId, DirtyReason)>,
}

impl Settled {
    pub(super) fn of(&self, place: usize) -> &Outcome {
        self.exceptions.get(&place).unwrap_or(&Outcome::Holds)
    }
}

/// Seniority: the smaller holds. Inactive records come last where that decides.
type Rank = (bool, Moment, RecordId);

struct Contest<'a> {
    roles: Roles,
    chunk: &'a PreparedChunk,
    standings: &'a [Standing],
    current: &'a Current,
    /// Claimants in the chunk, by value.
    candidates: BTreeMap<&'a str, Vec<usize>>,
    /// Rejected records beside the chunk that wait for a value, the senior first.
    waiting_rejects: HashMap<&'a str, Vec<Rank>>,
    /// Candidates that must be fetched again.
    waits: HashSet<usize>,
}

/// What one value comes to.
enum Ruling {
    /// This candidate holds it.
    Won(usize),
    /// All its candidates wait, and these records beside the chunk are fetched with them.
    Open(Vec<RecordId>),
}

pub(super) fn settle(
    roles: Roles,
    chunk: &PreparedChunk,
    standings: &[Standing],
    current: &Current,
) -> Settled {
    let Some(unique) = roles.unique else { return Settled::default() };
    let mut contest = Contest {
        roles,
        chunk,
        standings,
        current,
        candidates: BTreeMap::new(),
        waiting_rejects: HashMap::new(),
        waits: HashSet::new(),
    };
    for (place, standing) in standings.iter().enumerate() {
        if matches!(standing, Standing::Candidate(_))
            && let Some(claim) = chunk.column(&chunk.records[place], unique)
        {
            contest.candidates.entry(claim).or_default().push(place);
        }
    }
    for (id, reject) in &current.rejects {
        if let Some(claim) = &reject.claim
            && contest.keeps_state(id)
        {
            let is_last = roles.active_first && !reject.is_active;
            let rank = (is_last, reject.created_date, *id);
            contest.waiting_rejects.entry(claim).or_default().push(rank);
        }
    }
    for ranks in contest.waiting_rejects.values_mut() {
        ranks.sort_unstable();
    }
    let rulings = contest.rule();
    contest.conclude(&rulings)
}

impl<'a> Contest<'a> {
    /// Whether what is stored of a record stays whatever this chunk brought of it.
    fn keeps_state(&self, id: &RecordId) -> bool {
        match self.chunk.find(id).map(|place| (place, &self.standings[place])) {
            None | Some((_, Standing::Older | Standing::Doubtful)) => true,
            Some((place, Standing::Candidate(_))) => self.waits.contains(&place),
            Some((_, Standing::Refused(..) | Standing::Deleted)) => false,
        }
    }

    fn rank(&self, place: usize) -> Rank {
        let record = &self.chunk.records[place];
        (self.roles.active_first && !record.is_active, record.created_date, record.id)
    }

    /// Rules on every value until no ruling makes another candidate wait: a record that waits keeps its old
    /// value, and who claimed that must then wait too.
    fn rule(&mut self) -> BTreeMap<&'a str, Ruling> {
        loop {
            let before = self.waits.len();
            let rulings: BTreeMap<&str, Ruling> =
                self.candidates.iter().map(|(claim, places)| (*claim, self.rule_on(claim, places))).collect();
            for (claim, ruling) in &rulings {
                if matches!(ruling, Ruling::Open(_)) {
                    self.waits.extend(&self.candidates[claim]);
                }
            }
            if self.waits.len() == before {
                return rulings;
            }
        }
    }

    fn rule_on(&self, claim: &str, places: &[usize]) -> Ruling {
        let senior = places.iter().copied().min_by_key(|place| self.rank(*place)).unwrap_or_default();
        if places.iter().any(|place| self.waits.contains(place)) || self.is_hearsay(places) {
            return Ruling::Open(self.others(claim, places));
        }
        if let Some(holder) = self.current.holders.get(claim) {
            let contends = places.iter().any(|place| self.chunk.records[*place].id == holder.id);
            if !contends && self.keeps_state(&holder.id) {
                return Ruling::Open(self.others(claim, places));
            }
        }
        match self.waiting_rejects.get(claim).and_then(|ranks| ranks.first()) {
            Some(reject) if *reject < self.rank(senior) => Ruling::Open(self.others(claim, places)),
            _ => Ruling::Won(senior),
        }
    }

    /// Whether some of several claimants are known by events only, which were not read in the same call.
    fn is_hearsay(&self, places: &[usize]) -> bool {
        places.len() > 1 && places.iter().any(|place| self.chunk.records[*place].own.is_some())
    }

    /// The records beside the chunk that have a part in an open contest: the holder, and the senior reject if it
    /// could win.
    fn others(&self, claim: &str, places: &[usize]) -> Vec<RecordId> {
        let senior = places.iter().map(|place| self.rank(*place)).min();
        let holder =
            self.current.holders.get(claim).map(|holder| holder.id).filter(|id| self.keeps_state(id));
        let reject = self.waiting_rejects.get(claim).and_then(|ranks| ranks.first());
        let reject = reject.filter(|rank| Some(**rank) < senior).map(|rank| rank.2);
        holder.into_iter().chain(reject).collect()
    }

    fn conclude(self, rulings: &BTreeMap<&str, Ruling>) -> Settled {
        let mut settled = Settled::default();
        for (claim, ruling) in rulings {
            match ruling {
                Ruling::Won(winner) => self.award(claim, *winner, &mut settled),
                Ruling::Open(others) => self.adjourn(claim, others, &mut settled),
            }
        }
        self.release(rulings, &mut settled);
        settled
    }

    fn award(&self, claim: &str, winner: usize, settled: &mut Settled) {
        let holder = self.chunk.records[winner].id;
        let reason = Reason::SkuTaken { holder };
        for place in &self.candidates[claim] {
            if *place != winner {
                settled.exceptions.insert(*place, Outcome::Refused(reason.clone()));
            }
        }
        for (.., id) in self.waiting_rejects.get(claim).into_iter().flatten() {
            if self.current.rejects[id].reason != reason {
                settled.retold.push((*id, reason.clone()));
            }
        }
    }

    fn adjourn(&self, claim: &str, others: &[RecordId], settled: &mut Settled) {
        for place in &self.candidates[claim] {
            settled.exceptions.insert(*place, Outcome::Waits(claim.to_owned()));
        }
        settled.dirty.extend(others.iter().map(|id| (*id, DirtyReason::Claim(claim.to_owned()))));
    }

    /// Values that a row of the chunk gives up and no candidate claims go to the senior rejected record.
    fn release(&self, rulings: &BTreeMap<&str, Ruling>, settled: &mut Settled) {
        for (claim, ranks) in &self.waiting_rejects {
            let held = self.current.holders.get(*claim).is_some_and(|holder| self.keeps_state(&holder.id));
            if held || rulings.contains_key(claim) {
                continue;
            }
            let mut ranks = ranks.iter();
            let Some((.., winner)) = ranks.next() else { continue };
            settled.entered.push(*winner);
            settled.retold.extend(ranks.map(|(.., id)| (*id, Reason::SkuTaken { holder: *winner })));
        }
        settled.entered.sort_unstable();
        settled.retold.sort_by_key(|(id, _)| *id);
    }
}
