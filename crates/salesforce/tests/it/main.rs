//! The client against a simulated org that speaks the real protocols.

mod bulk;
mod calls;
mod loopback;
mod sign_in;
mod world;
