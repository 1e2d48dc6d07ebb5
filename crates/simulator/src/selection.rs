//! Which rows a query found, in order, without a list entry for each where they stand side by side.

use std::ops::Range;

/// Rows in the order of a result. Rows that follow one another share one entry, so that a whole table is one run.
#[derive(Clone, Default, Debug)]
pub struct Selection {
    /// Runs of rows, each with the number of rows before it.
    runs: Vec<(u64, Range<u64>)>,
    len: u64,
}

impl Selection {
    /// How many rows.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Adds a row at the end.
    pub fn push(&mut self, row: u64) {
        self.push_run(row..row + 1);
    }

    /// Adds rows at the end.
    pub fn push_run(&mut self, rows: Range<u64>) {
        if rows.is_empty() {
            return;
        }
        let added = rows.end - rows.start;
        match self.runs.last_mut() {
            Some((_, last)) if last.end == rows.start => last.end = rows.end,
            _ => self.runs.push((self.len, rows)),
        }
        self.len += added;
    }

    /// The rows from one position of the result to another.
    pub fn slice(&self, from: u64, to: u64) -> impl Iterator<Item = u64> + '_ {
        let first = self.runs.partition_point(|(before, rows)| before + (rows.end - rows.start) <= from);
        self.runs[first..].iter().take_while(move |(before, _)| *before < to).flat_map(
            move |(before, rows)| {
                let start = rows.start + from.saturating_sub(*before);
                let end = rows.end.min(rows.start + (to - before));
                start..end
            },
        )
    }

    /// All rows.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.slice(0, self.len)
    }

    /// Keeps the rows from `offset`, at most `limit` of them.
    #[must_use]
    pub fn window(&self, offset: u64, limit: Option<u64>) -> Self {
        let from = offset.min(self.len);
        let to = limit.map_or(self.len, |limit| self.len.min(from.saturating_add(limit)));
        if from == 0 && to == self.len {
            return self.clone();
        }
        self.slice(from, to).collect()
    }
}

impl FromIterator<u64> for Selection {
    fn from_iter<I: IntoIterator<Item = u64>>(rows: I) -> Self {
        let mut selection = Self::default();
        rows.into_iter().for_each(|row| selection.push(row));
        selection
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_crosses_runs_and_keeps_the_order() {
        let selection: Selection = [0, 1, 2, 9, 5, 6, 7].into_iter().collect();
        assert_eq!(selection.len(), 7);
        assert_eq!(selection.slice(1, 5).collect::<Vec<_>>(), [1, 2, 9, 5]);
        assert_eq!(selection.slice(6, 99).collect::<Vec<_>>(), [7]);
        assert_eq!(selection.slice(7, 9).count(), 0);
        assert_eq!(selection.window(2, Some(2)).iter().collect::<Vec<_>>(), [2, 9]);
        assert_eq!(selection.window(50, None).len(), 0);
    }
}
