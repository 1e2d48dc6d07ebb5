//! Generates the server's side of the Pub/Sub API from its interface file, without a protoc of the system.

use std::error::Error;

/// The one thing that client and simulated org share.
const FOLDER: &str = "../salesforce/proto";
const FILE: &str = "../salesforce/proto/pubsub_api.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={FILE}");
    let files = protox::compile([FILE], [FOLDER])?;
    // The client's side is for the tests, which speak to the org with a client that nobody here wrote by hand.
    tonic_prost_build::configure()
        .build_server(true)
        .build_client(true)
        .build_transport(false)
        .compile_fds(files)?;
    Ok(())
}
