//! The form of the file of a journal: its tables, and the head of its snapshot.

use super::pages;

/// Says of a file that it is a journal ("PHLJ").
pub(super) const APPLICATION: u32 = 0x5048_4c4a;
/// Which form it has.
pub(super) const VERSION: u32 = 1;
/// The pages at which the tables begin.
pub(super) const RECORDS: u32 = 2;
pub(super) const SNAPSHOT: u32 = 3;

/// A table of a journal.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static str,
    pub(super) sql: &'static str,
    pub(super) root: u32,
}

/// The tables in the order in which they are made, so that each begins at its page.
pub(super) const SCHEMA: [Table; 2] = [
    Table {
        name: "records",
        columns: "sequence, body",
        sql: "CREATE TABLE records (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL)",
        root: RECORDS,
    },
    Table {
        name: "snapshot",
        columns: "place, body",
        sql: "CREATE TABLE snapshot (place INTEGER PRIMARY KEY, body BLOB NOT NULL)",
        root: SNAPSHOT,
    },
];

/// The blob of a row of either table.
pub(super) fn body(row: &[u8]) -> Option<&[u8]> {
    // The key is not in the record; a null stands in its place.
    match (row, &pages::columns(row)?[..]) {
        ([_, 0, ..], [[], body]) if !body.is_empty() => Some(body),
        _ => None,
    }
}

/// The first row of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SnapshotHead {
    /// The last record that the snapshot stands for.
    pub(super) through: u64,
    /// How many records it holds.
    pub(super) rows: u64,
}

impl SnapshotHead {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = [self.through.to_le_bytes(), self.rows.to_le_bytes()].concat();
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (numbers, sum) = bytes.split_at_checked(16).ok_or("the head of the snapshot is cut off")?;
        if sum != crc32fast::hash(numbers).to_le_bytes() {
            return Err("the checksum of the head of the snapshot is wrong".to_owned());
        }
        let number = |from: usize| u64::from_le_bytes(std::array::from_fn(|at| numbers[from + at]));
        Ok(Self { through: number(0), rows: number(8) })
    }
}
