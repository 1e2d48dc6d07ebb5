//! The client against a simulated org that speaks the real protocols.

mod bulk;
mod calls;
mod events;
mod loopback;
mod network;
mod replication;
mod sign_in;
mod stream;
mod world;
