//! Sessions and sign-ins against a simulated org.

mod flow;
mod renewal;
mod world;
