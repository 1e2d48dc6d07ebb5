//! The state file: one line of JSON per change, replayed when the org is started again.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{Org, records::apply};
use crate::{
    error::Error,
    events::Capture,
    ids::RecordId,
    lock::{lock, write},
    table::Fate,
};

/// An open state file.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

/// One line of a state file.
#[derive(Clone, Serialize, Deserialize, Debug)]
#[serde(tag = "change", rename_all = "lowercase")]
pub(super) enum Entry {
    /// The first line: which org this is.
    Org { id: String },
    /// A record was added.
    Insert { object: String, id: Option<String>, fields: Json, at_ms: i64 },
    /// Fields were changed; without a time, no stamp was moved.
    Update { object: String, id: String, fields: Json, at_ms: Option<i64> },
    /// A record was deleted, restored or removed for good.
    Fate { object: String, id: String, fate: FateName, at_ms: i64 },
    /// An object got a field.
    Field { object: String, name: String, kind: String, behind: Option<String>, at_ms: i64 },
}

impl Entry {
    /// A record is added. `Id` may be given among the fields.
    pub(super) fn insert(object: &str, fields: &Json, at_ms: i64) -> Self {
        let id = fields.get("Id").and_then(Json::as_str).map(str::to_owned);
        Self::Insert { object: object.to_owned(), id, fields: fields.clone(), at_ms }
    }

    /// Fields are changed; without a time, no stamp is moved.
    pub(super) fn update(object: &str, id: &str, fields: &Json, at_ms: Option<i64>) -> Self {
        Self::Update { object: object.to_owned(), id: id.to_owned(), fields: fields.clone(), at_ms }
    }

    /// A record moves to another part of its life.
    pub(super) fn fate(object: &str, id: &str, fate: Fate, at_ms: i64) -> Self {
        Self::Fate { object: object.to_owned(), id: id.to_owned(), fate: fate.into(), at_ms }
    }

    /// The record that it is about, as it was written.
    pub(super) fn record(&self) -> Option<&str> {
        match self {
            Self::Insert { id, .. } => id.as_deref(),
            Self::Update { id, .. } | Self::Fate { id, .. } => Some(id),
            Self::Org { .. } | Self::Field { .. } => None,
        }
    }

    /// Reports whether an event tells of it: not of a change without a trace, nor of one that empties the recycle bin.
    pub(super) fn is_told(&self) -> bool {
        match self {
            Self::Insert { .. } => true,
            Self::Update { at_ms, .. } => at_ms.is_some(),
            Self::Fate { fate, .. } => !matches!(fate, FateName::Gone),
            Self::Org { .. } | Self::Field { .. } => false,
        }
    }
}

/// [`Fate`] as the file spells it.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
#[serde(rename_all = "lowercase")]
pub(super) enum FateName {
    /// In use.
    Live,
    /// In the recycle bin.
    Binned,
    /// Gone for good.
    Gone,
}

impl From<Fate> for FateName {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Live => Self::Live,
            Fate::Binned => Self::Binned,
            Fate::Gone => Self::Gone,
        }
    }
}

impl From<FateName> for Fate {
    fn from(name: FateName) -> Self {
        match name {
            FateName::Live => Self::Live,
            FateName::Binned => Self::Binned,
            FateName::Gone => Self::Gone,
        }
    }
}

impl Journal {
    fn append(&mut self, entry: &Entry) -> Result<(), Error> {
        let mut line = serde_json::to_vec(entry).unwrap_or_default();
        line.push(b'\n');
        self.file.write_all(&line).map_err(|source| Error::File { path: self.path.clone(), source })
    }
}

impl Org {
    /// Applies what a state file remembers, and opens it for more. A last line cut short by a crash is dropped.
    pub(super) fn replay(&self, path: &Path) -> Result<Journal, Error> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error)),
        };
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        for line in text[..whole].lines() {
            let entry: Entry = serde_json::from_str(line).map_err(|error| failed(error.into()))?;
            match &entry {
                Entry::Org { id } if *id != self.record.id.as_str() => {
                    let (found, expected) = (id.clone(), self.record.id.to_string());
                    return Err(Error::StateOfAnotherOrg { path: path.to_owned(), found, expected });
                }
                _ => {}
            }
            apply(&mut write(&self.data), &entry, &mut Capture::off())?;
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        file.set_len(whole as u64).map_err(failed)?;
        let mut journal = Journal { path: path.to_owned(), file };
        if whole == 0 {
            journal.append(&Entry::Org { id: self.record.id.to_string() })?;
        }
        Ok(journal)
    }

    /// Writes one change down, if the org has a state file.
    pub(super) fn remember(&self, mut entry: Entry, id: RecordId) -> Result<(), Error> {
        let mut journal = lock(&self.journal);
        let Some(journal) = journal.as_mut() else { return Ok(()) };
        if let Entry::Insert { id: written, .. } = &mut entry {
            *written = Some(id.to_string());
        }
        journal.append(&entry)
    }
}
