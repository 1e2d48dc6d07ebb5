//! Sessions, sign-ins and the preflight against a simulated org.

mod doctor;
mod flow;
mod renewal;
mod world;
