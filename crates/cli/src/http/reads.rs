//! The read API: products, prices, eligibility.
//!
//! | path | answers |
//! | --- | --- |
//! | `/v1/products/{sku}` | one product |
//! | `/v1/products` | products that match, page by page |
//! | `/v1/prices` | the prices of a basket |
//! | `/v1/accounts/{id}/eligibility` | what an account may have |
//! | `/v1/openapi.json` | the description of all that |
//!
//! Every answer says where it comes from, as of when it is true, and whether that is older than asked for.

mod asked;
mod openapi;
mod problem;

use axum::extract::{Path, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use engine::api::reads::{self, ProductFilter, ProductPage, Source, Told};
use serde::Serialize;
use shadow::RecordId;

use super::Shown;
use asked::Asked;
pub use problem::{Refusal, nothing_here};

/// The paths of the read API.
pub fn routes() -> Router<Shown> {
    Router::new()
        .route("/v1/products", get(products))
        .route("/v1/products/{sku}", get(product))
        .route("/v1/prices", get(prices))
        .route("/v1/accounts/{id}/eligibility", get(eligibility))
        .route("/v1/openapi.json", get(description))
        .method_not_allowed_fallback(problem::wrong_method)
}

/// An answer and how far it can be relied on.
#[derive(Serialize)]
struct Answered<T> {
    #[serde(flatten)]
    value: T,
    source: Source,
    as_of: DateTime<Utc>,
    stale: bool,
}

#[derive(Serialize)]
struct OneProduct {
    product: reads::Product,
}

#[derive(Serialize)]
struct OneEligibility {
    eligibility: reads::Eligibility,
}

fn answered<T, U: Serialize>(
    told: Told<T>,
    shape: impl FnOnce(T) -> U,
    missing: &str,
) -> Result<Response, Refusal> {
    let Told { value, source, as_of, is_stale } = told;
    match value {
        Some(value) => {
            Ok(Json(Answered { value: shape(value), source, as_of, stale: is_stale }).into_response())
        }
        None => Err(Refusal::missing(missing, source, as_of, is_stale)),
    }
}

async fn product(
    State(shown): State<Shown>,
    sku: Result<Path<String>, axum::extract::rejection::PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let Path(sku) = sku.map_err(|_| Refusal::malformed("sku", "it is not percent-encoded UTF-8"))?;
    let mut asked = Asked::read(query.as_deref())?;
    let max_age = asked.max_age()?;
    asked.nothing_else()?;
    let told = reads::product(shown.engine(), &sku, max_age).await?;
    answered(told, |product| OneProduct { product }, "No product has this SKU")
}

async fn products(State(shown): State<Shown>, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let mut asked = Asked::read(query.as_deref())?;
    let filter = ProductFilter {
        item_class: asked.text("item_class")?,
        offering_type: asked.text("offering_type")?,
        plan_tier: asked.text("plan_tier")?,
        vpn_region: asked.text("vpn_region")?,
    };
    let after = asked.id("after")?;
    let limit = asked.number("limit", 1, u32::from(reads::MOST_PRODUCTS))?.unwrap_or(100);
    let max_age = asked.max_age()?;
    asked.nothing_else()?;
    let limit = u16::try_from(limit).unwrap_or(reads::MOST_PRODUCTS);
    let told = reads::products(shown.engine(), filter, after, limit, max_age).await?;
    answered(told, |page: ProductPage| page, "There are no products")
}

async fn prices(State(shown): State<Shown>, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let mut asked = Asked::read(query.as_deref())?;
    let skus = asked.texts("sku");
    if skus.is_empty() || skus.len() > reads::MOST_SKUS {
        let said = format!("1 to {} of them are answered, not {}", reads::MOST_SKUS, skus.len());
        return Err(Refusal::malformed("sku", &said));
    }
    if skus.iter().any(String::is_empty) {
        return Err(Refusal::malformed("sku", "one of them is empty"));
    }
    let pricebook = asked.id("pricebook")?;
    let currency = asked.text("currency")?;
    if currency
        .as_deref()
        .is_some_and(|code| code.len() != 3 || !code.bytes().all(|b| b.is_ascii_uppercase()))
    {
        return Err(Refusal::malformed("currency", "it is not three capital letters such as EUR"));
    }
    let max_age = asked.max_age()?;
    asked.nothing_else()?;
    let told = reads::prices(shown.engine(), skus, pricebook, currency, max_age).await?;
    answered(told, |basket| basket, "There are no prices")
}

async fn eligibility(
    State(shown): State<Shown>,
    id: Result<Path<String>, axum::extract::rejection::PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let account = id.ok().and_then(|Path(id)| RecordId::parse(&id).ok());
    let account = account
        .ok_or_else(|| Refusal::malformed("id", "it is not a record id of 15 or 18 letters and digits"))?;
    let mut asked = Asked::read(query.as_deref())?;
    let max_age = asked.max_age()?;
    asked.nothing_else()?;
    let told = reads::eligibility(shown.engine(), account, max_age).await?;
    answered(told, |eligibility| OneEligibility { eligibility }, "There is no such account")
}

async fn description() -> Response {
    ([(CONTENT_TYPE, "application/json")], openapi::text()).into_response()
}
