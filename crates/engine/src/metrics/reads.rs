//! What readers were answered, counted as it happens.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::problem::Answer;
use crate::reads::Told;

/// Labels of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AnswerLabels {
    question: &'static str,
    source: &'static str,
    outcome: &'static str,
}

/// Labels of what Salesforce was not asked, or in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RefusedLabels {
    question: &'static str,
    why: &'static str,
}

/// Labels of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ComparedLabels {
    question: &'static str,
    verdict: &'static str,
}

/// Labels of how long answers took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SourceLabel {
    source: &'static str,
}

/// What readers were answered.
#[derive(Debug)]
pub(crate) struct ReadMetrics {
    answers: Family<AnswerLabels, Counter>,
    seconds: Family<SourceLabel, Histogram, fn() -> Histogram>,
    refused: Family<RefusedLabels, Counter>,
    compared: Family<ComparedLabels, Counter>,
}

impl Default for ReadMetrics {
    fn default() -> Self {
        let metrics = Self {
            answers: Family::default(),
            // From a tenth of a millisecond to some seconds.
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_1, 2.0, 17))),
            refused: Family::default(),
            compared: Family::default(),
        };
        metrics.begin();
        metrics
    }
}

impl ReadMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "sf_shadow_reads",
            "Answers to readers, by where they come from and whether they are fresh, stale, missing (there is no such \
             thing) or failed",
            self.answers.clone(),
        );
        registry.register_with_unit(
            "sf_shadow_read",
            "How long readers waited, by where the answer comes from",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register(
            "sf_shadow_read_fallback_refused",
            "Questions that Salesforce was not asked, or in vain: budget, resting, slow, failed",
            self.refused.clone(),
        );
        registry.register(
            "sf_shadow_read_compared",
            "Answers of Salesforce held against the shadow: agreed, late, differed",
            self.compared.clone(),
        );
    }

    /// Lets the ordinary ones begin at nought, so that a rate sees the first of them.
    fn begin(&self) {
        for question in ["product", "products", "prices", "eligibility"] {
            for (source, outcome) in [("shadow", "fresh"), ("shadow", "stale"), ("salesforce", "fresh")] {
                drop(self.answers.get_or_create(&AnswerLabels { question, source, outcome }));
            }
            for why in ["budget", "resting", "slow", "failed"] {
                drop(self.refused.get_or_create(&RefusedLabels { question, why }));
            }
            for verdict in ["agreed", "late", "differed"] {
                drop(self.compared.get_or_create(&ComparedLabels { question, verdict }));
            }
        }
        for source in ["cache", "shadow", "salesforce"] {
            drop(self.seconds.get_or_create(&SourceLabel { source }));
        }
    }

    /// A reader was answered.
    pub(crate) fn answered<T>(&self, question: &'static str, answer: &Answer<Told<T>>, took: Duration) {
        let (source, outcome) = match answer {
            Ok(told) if told.is_stale => (told.source.as_str(), "stale"),
            Ok(told) if told.value.is_none() => (told.source.as_str(), "missing"),
            Ok(told) => (told.source.as_str(), "fresh"),
            Err(_) => ("none", "failed"),
        };
        self.answers.get_or_create(&AnswerLabels { question, source, outcome }).inc();
        self.seconds.get_or_create(&SourceLabel { source }).observe(took.as_secs_f64());
    }

    /// Salesforce was not asked, or in vain.
    pub(crate) fn not_asked(&self, question: &'static str, why: &'static str) {
        self.refused.get_or_create(&RefusedLabels { question, why }).inc();
    }

    /// An answer was held against the shadow.
    pub(crate) fn compared(&self, question: &'static str, verdict: &'static str) {
        self.compared.get_or_create(&ComparedLabels { question, verdict }).inc();
    }
}
