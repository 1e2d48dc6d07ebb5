//! The mappings of the open environment, each held against the org's describe as it was last read.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use salesforce::Client;
use shadow::{Mapping, ObjectName, ResolvedMapping};

use crate::clock;
use crate::environment::OpenEnvironment;
use crate::problem::{Answer, Problem};
use crate::resolving::resolve_for_sync;

/// Resolved mappings by object.
#[derive(Debug, Default)]
pub(crate) struct Mappings(RwLock<BTreeMap<ObjectName, Held>>);

#[derive(Debug, Clone)]
struct Held {
    mapping: Arc<ResolvedMapping>,
    described_at: DateTime<Utc>,
}

impl Mappings {
    /// Describes every mapped object; answers what stands in the way of those that cannot be mapped. They are left
    /// out, the others are there.
    pub(crate) async fn describe_all(
        &self,
        environment: &OpenEnvironment,
        client: &Client,
    ) -> Vec<(ObjectName, Problem)> {
        let mut problems = Vec::new();
        for mapping in Mapping::built_in() {
            if let Err(problem) = self.describe(environment, client, &mapping.object).await {
                problems.push((mapping.object, *problem));
            }
        }
        problems
    }

    /// Describes one object anew.
    pub(crate) async fn describe(
        &self,
        environment: &OpenEnvironment,
        client: &Client,
        object: &ObjectName,
    ) -> Answer<Arc<ResolvedMapping>> {
        let described_at = clock::now();
        let mapping = Arc::new(resolve_for_sync(environment, client, object).await?);
        let held = Held { mapping: mapping.clone(), described_at };
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(object.clone(), held);
        Ok(mapping)
    }

    /// Takes over an object's mapping that was described for another purpose: whoever reads or applies from now on sees
    /// the same fields.
    pub(crate) fn take(&self, mapping: &Arc<ResolvedMapping>, described_at: DateTime<Utc>) {
        let held = Held { mapping: mapping.clone(), described_at };
        let object = mapping.object().clone();
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(object, held);
    }

    /// One object's.
    pub(crate) fn get(&self, object: &ObjectName) -> Option<Arc<ResolvedMapping>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(object).map(|held| held.mapping.clone())
    }

    /// When an object was last described.
    pub(crate) fn described_at(&self, object: &ObjectName) -> Option<DateTime<Utc>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(object).map(|held| held.described_at)
    }
}
