//! Tables that a mapping shapes: the only place where SQL is rendered at run time.

pub(crate) mod copy;
pub(crate) mod partitions;
pub(crate) mod quote;
pub(crate) mod reading;
pub(crate) mod shape;
