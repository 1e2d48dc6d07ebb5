//! Generates the client's side of the Pub/Sub API from its interface file, without a protoc of the system.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let interface = "proto/pubsub_api.proto";
    println!("cargo::rerun-if-changed={interface}");
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .bytes(".eventbus.v1.ProducerEvent.payload")
        .compile_fds(protox::compile([interface], ["proto"])?)?;
    Ok(())
}
