//! Answers that are no gRPC: a proxy's page, a gateway's error. They say nothing about the call.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use hyper::http::{HeaderMap, Request, Response, StatusCode, header::CONTENT_TYPE};
use tonic::{body::Body, codegen::Service};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Something between us and Salesforce answered.
#[derive(Debug, thiserror::Error)]
#[error("something between here and Salesforce answered with HTTP status {}", .0.as_u16())]
struct NotGrpc(StatusCode);

/// Lets gRPC answers through, and turns others into failures of the connection.
#[derive(Debug, Clone)]
pub(super) struct GrpcOnly<S>(pub S);

impl<S> Service<Request<Body>> for GrpcOnly<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<BoxError> + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answering = self.0.call(request);
        Box::pin(async move {
            let response = answering.await.map_err(Into::into)?;
            if response.status() != StatusCode::OK || !is_grpc(response.headers()) {
                return Err(NotGrpc(response.status()).into());
            }
            Ok(response)
        })
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    content_type.starts_with(b"application/grpc")
}
