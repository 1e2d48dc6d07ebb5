//! The Pub/Sub API: gRPC over HTTP/2 on a port of its own, with the org's planned misbehaviour on the way.

mod refusal;
mod service;
mod subscription;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use hyper::{
    Method, Request,
    body::{Frame, Incoming, SizeHint},
};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::codegen::Service;

use self::{proto::pub_sub_server::PubSubServer, refusal::Rpc, service::PubSub};
use crate::{
    dispatch,
    faults::Fault,
    http::{Call, Reply},
    lock::lock,
    org::{Org, Request as Noted},
};

/// The interface, generated from its file.
pub mod proto {
    #![allow(clippy::all, clippy::pedantic, missing_docs, unused_qualifications, reason = "generated")]
    tonic::include_proto!("eventbus.v1");
}

/// What happens to all subscriptions at once.
#[derive(Clone, Debug)]
pub enum Act {
    /// They end as if the server were replaced: with a status of OK.
    End,
    /// They end with this refusal.
    Fail(String),
    /// Those of this topic end with this refusal.
    FailTopic(String, String),
}

/// Answers one call; nothing means that it is reset.
pub async fn respond(org: Arc<Org>, request: Request<Incoming>) -> Option<Reply> {
    let path = request.uri().path().to_owned();
    let fault = lock(&org.faults).take(request.method().as_str(), &path);
    if let Some(delay) = fault.as_ref().and_then(Fault::delay) {
        tokio::time::sleep(delay).await;
    }
    let planned = match &fault {
        Some(Fault::LostAnswer) => return None,
        Some(Fault::Refused { code }) => {
            let method = path.rsplit('/').next().unwrap_or_default();
            Some(Rpc::new(method_name(method)).refuse(code).into_http::<Body>())
        }
        Some(fault) => dispatch::planned_reply(&org, &bare_call(&request), fault),
        None => None,
    };
    let reset = lock(&org.streams.reset).clone();
    let reply = if let Some(reply) = planned {
        reply
    } else {
        let mut server = PubSubServer::new(PubSub::new(Arc::clone(&org)));
        let answered: Result<_, std::convert::Infallible> = server.call(request).await;
        let reply = match answered {
            Ok(reply) => reply,
            Err(never) => match never {},
        };
        reply.map(|body| Body::new(Resettable { body, reset: Box::pin(reset.cancelled_owned()) }))
    };
    let status = reply.status().as_u16();
    lock(&org.usage).note(Noted { method: Method::POST.to_string(), target: path, status });
    Some(reply)
}

/// The names of methods as refusals spell them.
fn method_name(method: &str) -> &'static str {
    ["Subscribe", "GetSchema", "GetTopic", "Publish", "PublishStream", "ManagedSubscribe"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("Unknown")
}

/// A call as planned misbehaviour of HTTP looks at it.
fn bare_call(request: &Request<Incoming>) -> Call {
    Call {
        method: request.method().clone(),
        segments: Vec::new(),
        query: String::new(),
        headers: request.headers().clone(),
        body: Bytes::new(),
        fault: None,
    }
}

/// A body that breaks off when the org resets its streams: HTTP/2 tells the client by RST_STREAM.
struct Resettable {
    body: tonic::body::Body,
    reset: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// The stream was reset.
#[derive(Debug, thiserror::Error)]
#[error("the stream was reset, as planned")]
struct Reset;

impl hyper::body::Body for Resettable {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.reset.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(Box::new(Reset))));
        }
        Pin::new(&mut self.body).poll_frame(context).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        hyper::body::Body::is_end_stream(&self.body)
    }

    fn size_hint(&self) -> SizeHint {
        hyper::body::Body::size_hint(&self.body)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::proto::{FetchRequest, FetchResponse};

    #[test]
    fn the_worked_messages_come_out_as_written() {
        let replay_id = vec![0, 0, 0, 0, 0, 0x5a, 0x94, 0xf0, 0, 0];
        let request = FetchRequest {
            topic_name: "/data/ChangeEvents".to_owned(),
            replay_preset: 2,
            replay_id: replay_id.clone(),
            num_requested: 100,
            auth_refresh: String::new(),
        };
        let hex =
            |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        assert_eq!(
            hex(request.encode_to_vec()),
            "0a 12 2f 64 61 74 61 2f 43 68 61 6e 67 65 45 76 65 6e 74 73 10 02 \
             1a 0a 00 00 00 00 00 5a 94 f0 00 00 20 64"
        );
        let keep_alive = FetchResponse {
            events: Vec::new(),
            latest_replay_id: replay_id,
            rpc_id: "r-1".to_owned(),
            pending_num_requested: 100,
        };
        assert_eq!(
            hex(keep_alive.encode_to_vec()),
            "12 0a 00 00 00 00 00 5a 94 f0 00 00 1a 03 72 2d 31 20 64"
        );
    }
}
