//! Shadow Sync.
fn main() {}
