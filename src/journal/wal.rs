//! [`Wal`]: what a write-ahead log of SQLite holds, judged byte by byte.
//!
//! SQLite takes the first frame that does not check for the end of the log, without a word. Here the same frame is named with
//! its place, as whatever stood behind it is lost. What a process that was killed leaves behind is no damage: a frame cut
//! short, or frames of transactions that were never committed. SQLite writes pages that its cache has no room for into the log
//! before the commit, some of them twice, and mends their checksums at the commit alone; and a transaction that is taken back
//! leaves its frames where a smaller one writes over the first of them only. So such frames need not check.
//!
//! The index of the log (`-shm`), which outlives the process, tells leftovers from damage: it says how many frames were
//! committed. A frame behind these that does not check ends the log, unless a whole frame of the log that ends a transaction
//! stands behind it: leftovers have none. Without the index, whatever does not check is damage.
//!
//! The form of the file is that of <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::collections::BTreeMap;

/// How long the head of the log is, and that of a frame \[bytes\].
const HEAD: usize = 32;
const FRAME_HEAD: usize = 24;
/// The magic numbers of logs whose checksums read words of the lower end first, and of the upper end first.
const MAGIC: [u32; 2] = [0x377f_0682, 0x377f_0683];
const VERSION: u32 = 3_007_000;
/// How long one copy of the head of the index is, and the part of it that its checksum covers \[bytes\].
const INDEX_HEAD: usize = 48;
const INDEX_SUMMED: usize = 40;

/// Something is wrong at a place of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) what: String,
}

/// What a log holds.
#[derive(Debug, Default)]
pub(super) struct Wal {
    /// Where the latest committed content of a page begins, by the number of the page.
    pub(super) pages: BTreeMap<u32, usize>,
    /// How many pages the database has after the last commit, if there was one.
    pub(super) database: Option<u32>,
    /// How many frames are committed.
    pub(super) frames: u32,
    /// How many bytes follow the last commit that are no damage.
    pub(super) unfinished: usize,
    pub(super) fault: Option<Fault>,
}

/// What the index says of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Index {
    committed: u32,
    salts: [u8; 8],
}

fn big(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(std::array::from_fn(|byte| bytes[at + byte]))
}

fn native(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(std::array::from_fn(|byte| bytes[at + byte]))
}

/// The running checksum of the log, over a whole number of pairs of words.
fn sum([mut first, mut second]: [u32; 2], bytes: &[u8], word: fn(&[u8], usize) -> u32) -> [u32; 2] {
    for at in (0..bytes.len()).step_by(8) {
        first = first.wrapping_add(word(bytes, at)).wrapping_add(second);
        second = second.wrapping_add(word(bytes, at + 4)).wrapping_add(first);
    }
    [first, second]
}

fn little(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]))
}

impl Index {
    /// What the copies of the head of the index say that are whole: one at least after a process was killed that was writing
    /// them, one after the other.
    fn read(bytes: &[u8]) -> Vec<Self> {
        let copies = bytes.chunks_exact(INDEX_HEAD).take(2).filter_map(|head| {
            let sums = [native(head, INDEX_SUMMED), native(head, INDEX_SUMMED + 4)];
            let is_whole = sum([0; 2], &head[..INDEX_SUMMED], native) == sums;
            let is_known = native(head, 0) == VERSION && head[12] == 1;
            (is_whole && is_known)
                .then(|| Self { committed: native(head, 16), salts: std::array::from_fn(|at| head[32 + at]) })
        });
        copies.collect()
    }
}

/// Whether a whole frame of this log that ends a transaction stands behind the first one. Each frame is checked from what the
/// one before it says of itself.
fn has_commit(log: &[u8], frame: usize, salts: &[u8], word: fn(&[u8], usize) -> u32) -> bool {
    let ends = |(before, this): (&[u8], &[u8])| {
        let (head, content) = this.split_at(FRAME_HEAD);
        let sums = sum(sum([big(before, 16), big(before, 20)], &head[..8], word), content, word);
        head[8..16] == *salts && big(head, 4) > 0 && sums == [big(head, 16), big(head, 20)]
    };
    log.chunks_exact(frame).zip(log.chunks_exact(frame).skip(1)).any(ends)
}

impl Wal {
    /// Reads a log of a database with pages of `page_size` bytes, with what there is of its index.
    pub(super) fn read(log: &[u8], index: Option<&[u8]>, page_size: usize) -> Self {
        let index = index.map(Index::read).unwrap_or_default();
        let mut wal = Self::default();
        if let Err(fault) = wal.scan(log, &index, page_size) {
            wal.fault = Some(fault);
        }
        wal
    }

    fn scan(&mut self, log: &[u8], index: &[Index], page_size: usize) -> Result<(), Fault> {
        let fault = |offset, what: String| Err(Fault { offset, what });
        if log.is_empty() {
            return match index.iter().map(|index| index.committed).min() {
                Some(lost @ 1..) => {
                    fault(0, format!("the log is empty, and {lost} committed frames of it are lost"))
                }
                _ => Ok(()),
            };
        }
        if log.len() < HEAD {
            return fault(log.len(), "the log is cut off within its head".to_owned());
        }
        let word = match big(log, 0) {
            magic if magic == MAGIC[0] => little,
            magic if magic == MAGIC[1] => big,
            other => return fault(0, format!("{other:08x} is no magic number of a log")),
        };
        let mut sums = sum([0; 2], &log[..HEAD - 8], word);
        if sums != [big(log, 24), big(log, 28)] {
            return fault(0, "the checksum of the head of the log is wrong".to_owned());
        }
        if big(log, 4) != VERSION || big(log, 8) as usize != page_size {
            let what = format!("the log has version {} and pages of {} bytes", big(log, 4), big(log, 8));
            return fault(4, format!("{what}, not {VERSION} and {page_size}"));
        }
        let salts = &log[16..24];
        let of_this = index.iter().filter(|index| index.salts == *salts);
        let index = of_this.max_by_key(|index| index.committed).copied();
        let frame = FRAME_HEAD + page_size;
        // Pages of the transaction that is not committed yet.
        let mut open = Vec::new();
        let mut committed = HEAD;
        let mut seen = 0;
        let mut at = HEAD;
        while at + frame <= log.len() {
            let (head, content) = log[at..at + frame].split_at(FRAME_HEAD);
            let alike = [head[8..12] == salts[..4], head[12..16] == salts[4..]];
            if alike == [false, false] {
                // Left over from before the log began anew.
                break;
            }
            sums = sum(sum(sums, &head[..8], word), content, word);
            if alike != [true, true] || sums != [big(head, 16), big(head, 20)] {
                if index.is_some_and(|index| index.committed <= self.frames)
                    && !has_commit(&log[at..], frame, salts, word)
                {
                    break;
                }
                let later =
                    log[at + frame..].chunks_exact(frame).filter(|next| next[8..16] == *salts).count();
                let what = format!("the checksum of frame {} is wrong", seen + 1);
                return fault(at, format!("{what}; it and {later} frames behind it are lost"));
            }
            seen += 1;
            at += frame;
            open.push((big(head, 0), at - page_size));
            let pages = big(head, 4);
            if pages > 0 {
                self.pages.extend(open.drain(..));
                self.database = Some(pages);
                self.frames = seen;
                committed = at;
            }
        }
        self.unfinished = log.len() - committed;
        match index {
            Some(index) if index.committed > self.frames => {
                let lost = index.committed - self.frames;
                fault(log.len().min(at), format!("the log is cut off: {lost} committed frames are lost"))
            }
            None if self.unfinished > 0 => {
                let what = "the log ends within a transaction, and its index (-shm) is not there to say whether that was committed";
                fault(committed, what.to_owned())
            }
            _ => Ok(()),
        }
    }
}
