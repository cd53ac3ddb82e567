//! What is read of the store while a piece of work runs, counted on the thread that runs it.

use std::{
    cell::Cell,
    ops::{Add, AddAssign},
};

/// Rows that were read, and the bytes of their keys and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCost {
    /// Rows that were read or looked for.
    pub rows: u64,
    /// The bytes of the rows' keys and values, as they are stored.
    pub bytes: u64,
}

impl Add for ReadCost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { rows: self.rows + other.rows, bytes: self.bytes + other.bytes }
    }
}

impl AddAssign for ReadCost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

thread_local! {
    static READ: Cell<ReadCost> = const { Cell::new(ReadCost { rows: 0, bytes: 0 }) };
}

/// Runs something, and says what the present thread read of stores meanwhile.
pub fn counting_reads<T>(run: impl FnOnce() -> T) -> (T, ReadCost) {
    let outer = READ.take();
    let result = run();
    let read = READ.replace(outer);
    READ.set(outer + read);
    (result, read)
}

/// Counts rows that were read on this thread.
pub(crate) fn note_read(rows: usize, bytes: usize) {
    READ.set(READ.get() + ReadCost { rows: rows as u64, bytes: bytes as u64 });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_inside_counts_outside_too() {
        let ((_, inner), outer) = counting_reads(|| {
            note_read(1, 10);
            counting_reads(|| note_read(2, 20))
        });
        assert_eq!(inner, ReadCost { rows: 2, bytes: 20 });
        assert_eq!(outer, ReadCost { rows: 3, bytes: 30 });
    }
}
