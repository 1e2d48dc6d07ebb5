//! Query cursors: the rest of a REST query, kept for the next page.

use std::collections::VecDeque;

use crate::{ids::RecordId, selection::Selection, soql::Plan};

/// How long a cursor lives: two days.
const LIFE_MS: i64 = 2 * 86_400_000;

/// The open cursors of all users, oldest first.
pub struct Cursors {
    open: VecDeque<(RecordId, RecordId, i64, Cursor)>,
    issued: u64,
    per_user: usize,
}

/// What a page is made from.
#[derive(Clone)]
pub struct Cursor {
    /// The columns.
    pub plan: Plan,
    /// The rows, as of the first page.
    pub rows: Selection,
    /// Reports whether deleted records show.
    pub all_rows: bool,
}

impl Cursors {
    pub(crate) fn new(per_user: usize) -> Self {
        Self { open: VecDeque::new(), issued: 0, per_user }
    }

    /// Keeps a cursor and names it; the oldest of the user's goes when there are too many.
    pub fn keep(&mut self, user: RecordId, now_ms: i64, cursor: Cursor) -> RecordId {
        let of_user = |open: &VecDeque<(RecordId, RecordId, i64, Cursor)>| {
            open.iter().filter(|(_, owner, ..)| *owner == user).count()
        };
        while of_user(&self.open) >= self.per_user.max(1) {
            if let Some(oldest) = self.open.iter().position(|(_, owner, ..)| *owner == user) {
                self.open.remove(oldest);
            }
        }
        let id = RecordId::inserted(*b"01g", self.issued);
        self.issued += 1;
        self.open.push_back((id, user, now_ms, cursor));
        id
    }

    /// The cursor of this name, if its user still has it.
    pub fn find(&self, id: RecordId, user: RecordId, now_ms: i64) -> Option<Cursor> {
        let mut of_user = self.open.iter().filter(|(found, owner, ..)| *found == id && *owner == user);
        of_user.find(|(_, _, at, _)| now_ms - at < LIFE_MS).map(|(.., cursor)| cursor.clone())
    }
}
