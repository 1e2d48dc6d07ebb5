//! The memory of this process, for who watches a load.

/// Resident memory in bytes; none where the platform does not say.
///
/// - **Source:** Linux `/proc/self/statm`, second figure, in pages of 4 KiB.
pub fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}
