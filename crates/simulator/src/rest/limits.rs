//! What the org says of its limits and of itself.

use serde_json::{Map, Value as Json, json};

use super::Asked;
use crate::{
    http::{Reply, ok},
    lock::lock,
};

/// Answers `GET /limits`.
pub fn limits(asked: &Asked<'_>) -> Reply {
    let (used, allowed) = {
        let usage = lock(&asked.org.usage);
        (usage.used(), usage.allowed())
    };
    let delivered = {
        let events = lock(&asked.org.events);
        (events.allocation.allowed(), events.allocation.used(asked.org.clock.now_ms()))
    };
    let jobs = lock(&asked.org.jobs).created();
    let entry = |max: u64, used: u64| json!({"Max": max, "Remaining": max.saturating_sub(used)});
    ok(&json!({
        "ConcurrentAsyncGetReportInstances": entry(200, 0),
        "DailyApiRequests": entry(allowed, used),
        "DailyAsyncApexExecutions": entry(250_000, 0),
        "DailyBulkApiBatches": entry(15_000, 0),
        "DailyBulkV2QueryFileStorageMB": entry(976_562, 0),
        "DailyBulkV2QueryJobs": entry(10_000, jobs),
        "DailyDeliveredPlatformEvents": entry(delivered.0, delivered.1),
        "DailyStreamingApiEvents": entry(1_000_000, 0),
        "DataStorageMB": entry(10_240, 512),
        "FileStorageMB": entry(10_240, 16),
        "HourlyPublishedPlatformEvents": entry(250_000, 0),
        "MonthlyPlatformEventsUsageEntitlement": entry(750_000, 0),
        "SingleEmail": entry(5_000, 0),
    }))
}

/// Answers `GET /limits/recordCount?sObjects=A,B`: names that are not known are left out without a word.
pub fn record_count(asked: &Asked<'_>) -> Reply {
    let snapshot = asked.org.snapshot();
    let wanted = asked.call.parameter("sObjects");
    let counts: Vec<Json> = snapshot
        .schema
        .objects
        .iter()
        .enumerate()
        .filter(|(at, object)| {
            let named = wanted.as_deref().is_none_or(|names| {
                names.split(',').any(|name| name.trim().eq_ignore_ascii_case(&object.name))
            });
            named && !asked.access.hidden_objects.contains(at)
        })
        .map(|(at, object)| json!({"count": snapshot.tables[at].live(), "name": object.name}))
        .collect();
    ok(&json!({"sObjects": counts}))
}

/// Answers `GET /connect/organization`.
pub fn organization(asked: &Asked<'_>) -> Reply {
    let snapshot = asked.org.snapshot();
    let multi_currency =
        snapshot.schema.object("CurrencyType").is_some_and(|object| snapshot.tables[object].live() > 0);
    let mut features = Map::new();
    for feature in ["chatter", "chatterActivity", "chatterGroupRecords", "publisherActions", "thanksAllowed"]
    {
        features.insert(feature.to_owned(), Json::Bool(false));
    }
    features.insert("multiCurrency".to_owned(), Json::Bool(multi_currency));
    features.insert("defaultCurrencyIsoCode".to_owned(), json!("EUR"));
    ok(&json!({
        "accessTimeout": 0,
        "features": features,
        "name": asked.org.record.name,
        "orgId": asked.org.id().as_str(),
        "userSettings": {
            "canFollow": false,
            "currencySymbol": "€",
            "externalUser": false,
            "hasAccessToInternalOrg": true,
            "timeZone": {"gmtOffset": 1.0, "name": "Europe/Berlin"},
            "userDefaultCurrencyIsoCode": "EUR",
            "userId": asked.user.as_str(),
        },
    }))
}
