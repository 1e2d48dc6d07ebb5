//! The generated client of `proto/pubsub_api.proto`.

#![allow(
    missing_docs,
    unused_qualifications,
    clippy::pedantic,
    clippy::unwrap_used,
    reason = "generated code, in the style of its generator"
)]

tonic::include_proto!("eventbus.v1");
