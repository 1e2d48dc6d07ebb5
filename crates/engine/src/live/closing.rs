//! Which transactions are complete: a transaction is applied in one commit, and nobody says where it ends.

/// The most events of one transaction that are applied in one commit; a greater one takes several.
pub(crate) const LARGEST: usize = 10_000;

/// How many of some events, in log order, may be applied now.
///
/// - `keys`: the transaction of each event.
/// - `is_silent`: nothing came for 20 ms, so that the last transaction is taken for complete.
/// - **Source:** design 5.5: a transaction is closed by another key or by silence; above [`LARGEST`] it may be split.
pub(crate) fn complete<'a>(
    keys: impl DoubleEndedIterator<Item = &'a str> + ExactSizeIterator,
    is_silent: bool,
) -> usize {
    let all = keys.len();
    if is_silent {
        return all;
    }
    let mut backwards = keys.rev();
    let Some(last) = backwards.next() else { return 0 };
    let open = 1 + backwards.take_while(|key| *key == last).count();
    // Nothing of it may wait for ever: what is greater than a commit may hold is applied in pieces.
    if open >= LARGEST { all } else { all - open }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(keys: &[&str], is_silent: bool) -> usize {
        complete(keys.iter().copied(), is_silent)
    }

    #[test]
    fn the_last_transaction_waits_for_another_key_or_for_silence() {
        assert_eq!(of(&[], false), 0);
        assert_eq!(of(&["a", "a"], false), 0);
        assert_eq!(of(&["a", "a"], true), 2);
        assert_eq!(of(&["a", "b", "b"], false), 1);
        assert_eq!(of(&["a", "b", "c"], false), 2);
    }

    #[test]
    fn a_transaction_greater_than_a_commit_is_split() {
        let keys = vec!["a"; LARGEST];
        assert_eq!(of(&keys, false), LARGEST);
        assert_eq!(of(&keys[1..], false), 0);
    }
}
