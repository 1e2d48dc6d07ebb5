//! Positions of records are 64 bits wide, positions in memory as wide as the machine.

/// A position in a list that is in memory. A position that no memory could hold is beyond every list.
pub fn in_memory(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
