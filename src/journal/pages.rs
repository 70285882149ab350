//! [`Pages`]: reads the tables of a database file of SQLite page by page, and takes nothing on trust.
//!
//! SQLite reads what it needs and reports damage where it stumbles over it, without the place. Here every page is accounted
//! for: each belongs to one table or to the free list, and each byte of it to a cell, a free block or the gap between. So
//! whatever is not reported is free space, or does not matter.
//!
//! The form of the file is that of <https://www.sqlite.org/fileformat2.html>.

use super::wal::{Fault, Wal};

/// How long the head of the database is, which stands before the content of its first page \[bytes\].
const HEAD: usize = 100;
pub(super) const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// No page that holds this byte is used.
const LOCK_BYTE: usize = 1 << 30;
/// A tree as deep as this is a circle.
const MAX_DEPTH: usize = 20;

/// Which file something stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Database,
    Wal,
}

/// A place in one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) source: Source,
    pub(super) offset: usize,
}

impl Place {
    const fn plus(self, bytes: usize) -> Self {
        Self { source: self.source, offset: self.offset + bytes }
    }
}

/// What is found on the way through a table, in the order of its keys.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// A row: its key, its record as bytes, and where it stands.
    Row(i64, std::borrow::Cow<'a, [u8]>, Place),
    /// Something is wrong, and what belongs there is passed over.
    Fault(Place, String),
}

/// A database file with what its log has on top of it.
pub(super) struct Pages<'a> {
    database: &'a [u8],
    log: &'a [u8],
    wal: &'a Wal,
    size: usize,
    count: u32,
    /// The pages that were met, by number.
    met: Vec<bool>,
}

type Result<T> = std::result::Result<T, (Place, String)>;

fn short(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(std::array::from_fn(|byte| bytes[at + byte]))
}

/// A number of 1 to 9 bytes and how many it has, if it ends within these.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        if at == 8 {
            return Some((number << 8 | u64::from(*byte), 9));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if *byte < 0x80 {
            return Some((number, at + 1));
        }
    }
    None
}

/// The values of a record, blobs and texts as they stand; none when it is none.
pub(super) fn columns(record: &[u8]) -> Option<Vec<&[u8]>> {
    let (length, mut at) = varint(record)?;
    let length = usize::try_from(length).ok().filter(|length| *length <= record.len())?;
    let (mut body, mut values) = (length, Vec::new());
    while at < length {
        let (kind, taken) = varint(&record[at..length])?;
        at += taken;
        let bytes = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => (kind - 12) / 2,
        };
        let end = body.checked_add(usize::try_from(bytes).ok()?)?;
        values.push(record.get(body..end)?);
        body = end;
    }
    (at == length && body == record.len()).then_some(values)
}

impl<'a> Pages<'a> {
    /// The pages of a database as its log leaves them.
    pub(super) fn new(database: &'a [u8], log: &'a [u8], wal: &'a Wal, size: usize) -> Self {
        let count = wal.database.unwrap_or_else(|| {
            // The head says it. One that says another number than the file has is damage, and no reason to leave pages out.
            let of_head = if database.len() >= HEAD { long(database, 28) } else { 0 };
            of_head.max(u32::try_from(database.len() / size).unwrap_or(u32::MAX))
        });
        // No more than there can be.
        let most = database.len().div_ceil(size) + wal.pages.len();
        let count = count.min(u32::try_from(most + 1).unwrap_or(u32::MAX));
        Self { database, log, wal, size, count, met: vec![false; count as usize + 1] }
    }

    /// A page by its number, counted from 1.
    fn page(&self, number: u32) -> Result<(&'a [u8], Place)> {
        let start = (number as usize).wrapping_sub(1).wrapping_mul(self.size);
        let missing = |offset| {
            let what = format!("page {number} is not there: the file is cut off");
            (Place { source: Source::Database, offset }, what)
        };
        if number == 0 || number > self.count {
            return Err(missing(self.database.len()));
        }
        if let Some(at) = self.wal.pages.get(&number) {
            return Ok((&self.log[*at..*at + self.size], Place { source: Source::Wal, offset: *at }));
        }
        match self.database.get(start..start + self.size) {
            Some(page) => Ok((page, Place { source: Source::Database, offset: start })),
            None => Err(missing(self.database.len().min(start))),
        }
    }

    /// A page that nothing else may use.
    fn meet(&mut self, number: u32, from: Place) -> Result<(&'a [u8], Place)> {
        if number == 0 || number > self.count {
            let what = format!("it leads to page {number} of {}", self.count);
            return Err((from, what));
        }
        if std::mem::replace(&mut self.met[number as usize], true) {
            return Err((from, format!("it leads to page {number}, which is in use elsewhere")));
        }
        self.page(number)
    }

    /// What is wrong with the head of the database, as it stands in its file and as its log leaves it.
    pub(super) fn head(&self, application: u32, version: u32) -> Vec<(Place, String)> {
        let mut faults = Vec::new();
        let raw = (self.database, Place { source: Source::Database, offset: 0 });
        let latest = self.page(1).ok().filter(|(_, place)| place.source == Source::Wal);
        for (head, place) in [Some(raw), latest].into_iter().flatten() {
            if head.len() < HEAD {
                faults.push((place.plus(head.len()), "the file is cut off within its head".to_owned()));
                continue;
            }
            let is_latest = latest.is_none_or(|(_, latest)| latest == place);
            let mut check = |at: usize, is: bool, what: &str| {
                if !is {
                    faults.push((place.plus(at), format!("the head of the file has another {what}")));
                }
            };
            check(0, head[..16] == MAGIC[..], "magic text");
            let size = if self.size == 1 << 16 { 1 } else { self.size };
            check(16, short(head, 16) == size, "size of pages");
            check(18, head[18..24] == [2, 2, 0, 64, 32, 32], "form");
            check(44, !is_latest || long(head, 44) == 4, "form of its schema");
            check(52, head[52..56] == [0; 4], "form of its pages");
            check(56, !is_latest || long(head, 56) == 1, "encoding");
            check(60, !is_latest || long(head, 60) == version, "version of journals");
            check(64, head[64..68] == [0; 4], "form of its pages");
            check(68, !is_latest || long(head, 68) == application, "application");
            check(72, head[72..92] == [0; 20], "reserved part");
            if is_latest {
                check(28, self.wal.database.is_some() || long(head, 28) == self.count, "number of pages");
                check(28, long(head, 28) == self.count, "number of pages");
                let grown = long(head, 24) == long(head, 92);
                check(24, grown, "count of changes than the one for which its number of pages holds");
            }
        }
        faults
    }

    /// Goes through the table whose tree begins at a page, in the order of its keys.
    pub(super) fn table(&mut self, root: u32, found: &mut dyn FnMut(Found<'a>)) {
        let from = Place { source: Source::Database, offset: 0 };
        let mut last = None;
        self.tree(root, from, 0, &mut last, found);
    }

    fn tree(
        &mut self,
        number: u32,
        from: Place,
        depth: usize,
        last: &mut Option<i64>,
        found: &mut dyn FnMut(Found<'a>),
    ) {
        if depth > MAX_DEPTH {
            return found(Found::Fault(from, "the tree of a table is too deep".to_owned()));
        }
        let layout = self.meet(number, from).and_then(|(page, place)| {
            let start = if number == 1 { HEAD } else { 0 };
            layout(page, start, place).map(|layout| (page, place, layout))
        });
        let (page, place, Layout { is_leaf, head, cells, fault }) = match layout {
            Ok(layout) => layout,
            Err((place, what)) => return found(Found::Fault(place, what)),
        };
        for cell in cells {
            let cell = match cell {
                Ok(cell) => cell,
                Err((place, what)) => {
                    found(Found::Fault(place, what));
                    continue;
                }
            };
            if is_leaf {
                match self.row(page, place, cell) {
                    Ok((key, record)) => {
                        *last = Some(key);
                        found(Found::Row(key, record, place.plus(cell.start)));
                    }
                    Err((place, what)) => found(Found::Fault(place, what)),
                }
                continue;
            }
            let child = long(page, cell.start);
            self.tree(child, place.plus(cell.start), depth + 1, last, found);
            // Rows come in order and without gaps, so the key is that of the last row before it.
            if Some(cell.key) != *last {
                let what = format!("a key of the tree is {} where {last:?} ends", cell.key);
                found(Found::Fault(place.plus(cell.start + 4), what));
            }
        }
        if !is_leaf {
            self.tree(long(page, head + 8), place.plus(head + 8), depth + 1, last, found);
        }
        if let Some((place, what)) = fault {
            found(Found::Fault(place, what));
        }
    }

    /// The key and the record of a cell, put together from as many pages as it takes.
    fn row(&mut self, page: &'a [u8], place: Place, cell: Cell) -> Result<(i64, std::borrow::Cow<'a, [u8]>)> {
        let Cell { body, payload, local, end, key, .. } = cell;
        if local == payload {
            return Ok((key, page[body..body + local].into()));
        }
        let mut record = page[body..body + local].to_vec();
        let (mut next, mut from) = (long(page, end - 4), place.plus(end - 4));
        while record.len() < payload {
            let (more, place) = self.meet(next, from)?;
            let taken = (payload - record.len()).min(self.size - 4);
            record.extend_from_slice(&more[4..4 + taken]);
            (next, from) = (long(more, 0), place);
        }
        if next == 0 {
            Ok((key, record.into()))
        } else {
            Err((from, format!("page {next} follows the end of a row")))
        }
    }

    /// Goes through the free list, and finds the pages that nothing uses.
    pub(super) fn rest(&mut self) -> Vec<(Place, String)> {
        let mut faults = Vec::new();
        if let Err(fault) = self.free_list() {
            faults.push(fault);
        }
        if !faults.is_empty() {
            return faults;
        }
        let lock = u32::try_from(LOCK_BYTE / self.size + 1).unwrap_or(u32::MAX);
        for number in 1..=self.count {
            if !self.met[number as usize] && number != lock {
                match self.page(number) {
                    Ok((_, place)) => {
                        faults.push((place, format!("page {number} is not in use by anything")));
                    }
                    Err(fault) => faults.push(fault),
                }
                break;
            }
        }
        faults
    }

    fn free_list(&mut self) -> Result<()> {
        let (head, place) = self.page(1)?;
        let (mut next, count) = (long(head, 32), long(head, 36));
        let (mut from, mut free) = (place.plus(32), 0);
        while next != 0 {
            let (trunk, place) = self.meet(next, from)?;
            let leaves = long(trunk, 4);
            if leaves as usize > self.size / 4 - 2 {
                return Err((place.plus(4), format!("a page of the free list names {leaves} others")));
            }
            for leaf in 0..leaves as usize {
                let at = 8 + 4 * leaf;
                self.meet(long(trunk, at), place.plus(at))?;
            }
            free += 1 + leaves;
            (next, from) = (long(trunk, 0), place);
        }
        if free == count {
            Ok(())
        } else {
            Err((place.plus(36), format!("{free} pages are free instead of {count}")))
        }
    }
}

/// Where a cell of a page is, and its payload.
#[derive(Debug, Clone, Copy)]
struct Cell {
    start: usize,
    end: usize,
    key: i64,
    body: usize,
    /// How long the record is, and how much of it stands here \[bytes\].
    payload: usize,
    local: usize,
}

struct Layout {
    is_leaf: bool,
    /// Where the head of the tree's part begins.
    head: usize,
    /// In the order of their keys; a cell that cannot be is a fault.
    cells: Vec<Result<Cell>>,
    /// What else is wrong with the page: not every byte of it is accounted for.
    fault: Option<(Place, String)>,
}

/// The cells of a page, and whether each byte of it is accounted for.
fn layout(page: &[u8], head: usize, place: Place) -> Result<Layout> {
    let is_leaf = match page[head] {
        13 => true,
        5 => false,
        other => return Err((place.plus(head), format!("{other} is no kind of page of a table"))),
    };
    let pointers = head + if is_leaf { 8 } else { 12 };
    let count = short(page, head + 3);
    // No more than there is room for.
    let room = (page.len() - pointers) / 2;
    let cells = (0..count.min(room)).map(|number| {
        let at = pointers + 2 * number;
        let start = short(page, at);
        let cell = if start < pointers { None } else { cell(page, start, is_leaf) };
        cell.ok_or_else(|| (place.plus(at), "a page has a cell that does not fit into it".to_owned()))
    });
    let cells: Vec<Result<Cell>> = cells.collect();
    let fault = match accounted(page, head, pointers + 2 * count, &cells) {
        Ok(()) => None,
        Err((at, what)) => Some((place.plus(at), what.to_owned())),
    };
    Ok(Layout { is_leaf, head, cells, fault })
}

/// Whether each byte behind the list of cells, which ends at `gap`, belongs to one thing only; where not, and why.
fn accounted(
    page: &[u8],
    head: usize,
    gap: usize,
    cells: &[Result<Cell>],
) -> std::result::Result<(), (usize, &'static str)> {
    let content = match short(page, head + 5) {
        0 => 1 << 16,
        start => start,
    };
    if content < gap || content > page.len() {
        return Err((head + 3, "the cells of a page and where they are named overlap"));
    }
    let cells = cells.iter().flatten().map(|cell| (cell.start, cell.end));
    let mut used: Vec<(usize, usize)> = cells.collect();
    let mut free = short(page, head + 1);
    let mut from = head + 1;
    let mut before = content.max(1) - 1;
    while free != 0 {
        if free <= before || free + 4 > page.len() {
            return Err((from, "the free blocks of a page are out of order"));
        }
        let length = short(page, free + 2);
        if length < 4 || free + length > page.len() {
            return Err((free + 2, "a free block of a page has a length that cannot be"));
        }
        used.push((free, free + length));
        (before, from) = (free + length - 1, free);
        free = short(page, free);
    }
    used.sort_unstable();
    let (mut at, mut fragments) = (content, 0);
    for (start, end) in used {
        if start < at {
            return Err((start, "two things of a page overlap"));
        }
        fragments += start - at;
        at = end;
    }
    fragments += page.len() - at;
    if fragments == usize::from(page[head + 7]) {
        Ok(())
    } else {
        Err((head + 7, "a page has bytes that belong to nothing"))
    }
}

/// The cell that begins at a place, if it ends within the page. Nothing of the page is reserved.
fn cell(page: &[u8], start: usize, is_leaf: bool) -> Option<Cell> {
    let usable = page.len();
    if !is_leaf {
        let (key, taken) = varint(page.get(start + 4..)?)?;
        let end = start + 4 + taken;
        return Some(Cell { start, end, key: key.cast_signed(), body: end, payload: 0, local: 0 });
    }
    let (payload, first) = varint(page.get(start..)?)?;
    let (key, second) = varint(page.get(start + first..)?)?;
    let (payload, body) = (usize::try_from(payload).ok()?, start + first + second);
    let (most, least) = (usable - 35, (usable - 12) * 32 / 255 - 23);
    let local = if payload <= most {
        payload
    } else {
        let local = least + (payload - least) % (usable - 4);
        if local <= most { local } else { least }
    };
    let end = body + local + if local < payload { 4 } else { 0 };
    // A cell that is shorter than a free block takes the room of one.
    let end = end.max(start + 4);
    (end <= usable).then_some(Cell { start, end, key: key.cast_signed(), body, payload, local })
}

impl From<(Source, Fault)> for Place {
    fn from((source, fault): (Source, Fault)) -> Self {
        Self { source, offset: fault.offset }
    }
}
