//! What is to go wrong with events to come.

use serde::{Deserialize, Serialize};

/// What goes wrong with an event. The change itself happens all the same.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum EventFault {
    /// It is never sent.
    Dropped,
    /// A gap event is sent in its place.
    Gap,
    /// Its payload breaks off inside the header.
    CorruptHeader,
    /// Its payload breaks off behind the header.
    CorruptBody,
    /// It names a schema that nobody knows.
    UnknownSchema,
    /// It is sent twice, under two replay ids.
    Duplicated,
    /// Its bitmap of changed fields marks one that the schema does not have.
    BadBitmap,
    /// It says that its records changed in a way that no document explains.
    UnknownKind,
}

/// One plan.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub struct PlannedEvent {
    /// Whose events; nothing means any object's.
    pub object: Option<String>,
    /// What goes wrong.
    pub fault: EventFault,
    /// How often it still happens.
    pub times: u32,
}

/// All plans, in the order in which they were made.
#[derive(Default, Debug)]
pub struct PlannedEvents(Vec<PlannedEvent>);

impl PlannedEvents {
    /// Plans something for the next events of an object, or of any.
    pub fn plan(&mut self, object: Option<String>, fault: EventFault, times: u32) {
        self.0.push(PlannedEvent { object, fault, times });
    }

    /// Takes all plans back.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The plans.
    pub fn all(&self) -> &[PlannedEvent] {
        &self.0
    }

    /// What is planned for the next event of an object, used up by it.
    pub fn take(&mut self, object: &str) -> Option<EventFault> {
        let fits = |plan: &PlannedEvent| plan.object.as_deref().is_none_or(|of| of == object);
        let at = self.0.iter().position(|plan| plan.times > 0 && fits(plan))?;
        let plan = &mut self.0[at];
        // u32::MAX means for ever.
        if plan.times < u32::MAX {
            plan.times -= 1;
        }
        let fault = plan.fault;
        if plan.times == 0 {
            self.0.remove(at);
        }
        Some(fault)
    }
}
