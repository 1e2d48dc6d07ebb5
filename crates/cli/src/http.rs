//! What `serve` answers over HTTP: how it is, and what it counts.
//!
//! | path | answers |
//! | --- | --- |
//! | `/metrics` | every metric, for Prometheus |
//! | `/health` | 200 while the copy can be relied on, else 503; one word per check |
//! | `/health/queue` | what waits: events, dead letters, dirty records |
//! | `/v1/…` | what shops ask; see [`reads`] |

mod gate;
mod health;
mod metrics;
mod reads;
mod server;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use engine::{Engine, api};
use serde_json::json;

pub use gate::{Gate, Reach, TOKEN_VARIABLE};
pub use server::Server;
pub use tls::acceptor;

/// What every answer is made of.
#[derive(Clone)]
pub struct Shown {
    engine: Engine,
    is_draining: Arc<AtomicBool>,
}

impl Shown {
    /// Shows an engine.
    pub fn new(engine: Engine) -> Self {
        Self { engine, is_draining: Arc::default() }
    }

    /// The engine behind it.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// From now on `/health` says that this process ends.
    pub fn drains(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }
}

/// Every path, behind the gate. No answer carries a CORS header: pages of other sites cannot read any.
pub fn router(shown: Shown, gate: Gate) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .route("/health/queue", get(queue))
        .merge(reads::routes())
        .fallback(reads::nothing_here)
        .layer(middleware::from_fn_with_state(gate, gate::keep))
        .with_state(shown)
}

async fn metrics(State(shown): State<Shown>, asked: HeaderMap) -> Response {
    match api::metrics::text(&shown.engine).await {
        Ok(text) => metrics::answer(text, &asked),
        Err(problem) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": problem.title }))).into_response()
        }
    }
}

async fn health(State(shown): State<Shown>) -> Response {
    let status = api::status::status(&shown.engine).await;
    let health = health::Health::of(&status, shown.is_draining.load(Ordering::Relaxed));
    (health.code(), Json(health)).into_response()
}

async fn queue(State(shown): State<Shown>) -> Response {
    let status = api::status::status(&shown.engine).await;
    if let Some(queue) = health::Queue::of(&status) {
        return Json(queue).into_response();
    }
    let said = "the database does not answer: nobody knows what waits";
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": said }))).into_response()
}
