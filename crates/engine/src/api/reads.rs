//! What shops ask: products, prices, eligibility.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use shadow::RecordId;
use store::read_comparisons;
pub use store::readers::{Eligibility, Price, Product, ProductFilter};

use crate::engine::Engine;
use crate::problem::Answer;
use crate::reads::{self, EligibilityOf, Prices, ProductBySku, Products};
pub use crate::reads::{Basket, ProductPage, SkuPrice, Source, Told};

/// Most products of a page.
pub const MOST_PRODUCTS: u16 = 1_000;
/// Most SKUs of a basket.
pub const MOST_SKUS: usize = 200;

/// A product by its SKU; none if nobody has it. A text that cannot be a SKU is nobody's, and nobody is asked.
///
/// - `max_age`: how old the answer may be; `catalogue_max_age` where absent.
/// - **Errors:** SS-8101 where neither the shadow nor Salesforce can answer.
pub async fn product(engine: &Engine, sku: &str, max_age: Option<TimeDelta>) -> Answer<Told<Product>> {
    let open = engine.environment()?;
    if !reads::can_be_sku(sku) {
        return Ok(Told {
            value: None,
            source: Source::Shadow,
            as_of: open.calls.salesforce_now(),
            is_stale: false,
        });
    }
    reads::ask(&open, ProductBySku(sku.to_owned()), max_age).await
}

/// A page of the products that match, by id. `limit` is at most [`MOST_PRODUCTS`].
pub async fn products(
    engine: &Engine,
    filter: ProductFilter,
    after: Option<RecordId>,
    limit: u16,
    max_age: Option<TimeDelta>,
) -> Answer<Told<ProductPage>> {
    let open = engine.environment()?;
    let limit = limit.clamp(1, MOST_PRODUCTS);
    reads::ask(&open, Products { filter, after, limit }, max_age).await
}

/// The prices of some SKUs, at most [`MOST_SKUS`]; each SKU counts once.
pub async fn prices(
    engine: &Engine,
    mut skus: Vec<String>,
    pricebook: Option<RecordId>,
    currency: Option<String>,
    max_age: Option<TimeDelta>,
) -> Answer<Told<Basket>> {
    let open = engine.environment()?;
    let mut seen = std::collections::HashSet::new();
    skus.retain(|sku| seen.insert(sku.clone()));
    skus.truncate(MOST_SKUS);
    reads::ask(&open, Prices { skus, pricebook, currency }, max_age).await
}

/// What an account may have; none if there is no such account.
///
/// - `max_age`: how old the answer may be; `eligibility_max_age` where absent.
pub async fn eligibility(
    engine: &Engine,
    account: RecordId,
    max_age: Option<TimeDelta>,
) -> Answer<Told<Eligibility>> {
    let open = engine.environment()?;
    reads::ask(&open, EligibilityOf(account), max_age).await
}

/// How Salesforce's answers compared to the shadow's lately, over all processes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct ComparisonView {
    /// Answers compared within the window.
    pub compared: u32,
    /// Equal at once.
    pub agreed: u32,
    /// Equal moments later.
    pub late: u32,
    /// Different.
    pub differed: u32,
    /// The share of different ones above which readers are taken off the shadow.
    pub threshold: f64,
    /// The window in seconds.
    pub window_seconds: u32,
    /// All that in words.
    pub sentence: String,
    /// The latest disagreements, newest first.
    pub examples: Vec<DifferenceView>,
}

/// One disagreement. It names columns and holds no values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct DifferenceView {
    /// When.
    pub at: DateTime<Utc>,
    /// `product`, `products`, `prices`, `eligibility`.
    pub question: String,
    /// What was asked for.
    pub key: String,
    /// What differs.
    pub detail: String,
}

/// How Salesforce's answers compared to the shadow's lately.
pub async fn comparison(engine: &Engine) -> Answer<ComparisonView> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let settings = &open.config.reads;
    let tally = read_comparisons::within(&store, settings.compare_window).await?;
    let whole = |number: i64| u32::try_from(number.max(0)).unwrap_or(u32::MAX);
    let window_seconds = u32::try_from(settings.compare_window.as_secs()).unwrap_or(u32::MAX);
    let sentence = format!(
        "{} answers compared within {window_seconds} s: {} agreed, {} agreed moments later, {} differed",
        tally.compared(),
        tally.agreed,
        tally.late,
        tally.differed
    );
    let examples = read_comparisons::differences(&store, 20).await?;
    Ok(ComparisonView {
        compared: whole(tally.compared()),
        agreed: whole(tally.agreed),
        late: whole(tally.late),
        differed: whole(tally.differed),
        threshold: settings.compare_share,
        window_seconds,
        sentence,
        examples: examples
            .into_iter()
            .map(|one| DifferenceView {
                at: one.at,
                question: one.question,
                key: one.key,
                detail: one.detail,
            })
            .collect(),
    })
}
