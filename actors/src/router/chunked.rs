//! [`Chunked`]: a list in order that is cheap to copy and to change at any place. Pure.
//!
//! Chunks are shared with earlier versions of the list until they change. So a change of a long list that a publisher holds
//! copies one chunk, and a look-up by number is a binary search.
//!
//! **Invariant.** Numbers rise from the first item to the last. No chunk is empty or holds more than [`CHUNK`] items, and of
//! two neighbours one at least is more than a quarter full.

use std::sync::Arc;

/// How many items a chunk holds at most: a change copies one chunk and a pointer to each of the others.
pub(super) const CHUNK: usize = 256;

/// When something came about, as a number that is never given again: 48 bits of changes. Six bytes aligned as two, so that a
/// recipient with its number is no larger than without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Number([u16; 3]);

impl Number {
    /// The number of the `count`th change.
    #[expect(clippy::cast_possible_truncation, reason = "the words of a number")]
    pub(crate) fn new(count: u64) -> Self {
        debug_assert!(count < 1 << 48, "a million changes a second for nine years");
        Self([(count >> 32) as u16, (count >> 16) as u16, count as u16])
    }
}

/// Something with a number.
pub(crate) trait Numbered {
    fn number(&self) -> Number;
}

/// Items in the order of their numbers.
#[derive(Debug, Clone)]
pub(crate) struct Chunked<T> {
    pub(super) chunks: Vec<Arc<Vec<T>>>,
    len: usize,
    /// The position at which each chunk begins, as long as nothing has changed since the list was made fit to be published.
    starts: Vec<u32>,
}

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0, starts: Vec::new() }
    }
}

impl<T> Chunked<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// The item at a position.
    pub(crate) fn get(&self, position: usize) -> Option<&T> {
        if self.starts.len() < self.chunks.len() {
            return self.pick(std::iter::once(position)).next();
        }
        let at = self.starts.partition_point(|start| *start as usize <= position).checked_sub(1)?;
        self.chunks[at].get(position - self.starts[at] as usize)
    }

    /// The items at rising positions; positions that do not exist are passed over.
    pub(crate) fn pick(&self, positions: impl Iterator<Item = usize>) -> impl Iterator<Item = &T> {
        let (mut chunk, mut before) = (0, 0);
        positions.filter_map(move |position| {
            debug_assert!(position >= before, "positions rise");
            while position - before >= self.chunks.get(chunk)?.len() {
                before += self.chunks[chunk].len();
                chunk += 1;
            }
            self.chunks[chunk].get(position - before)
        })
    }
}

impl<T: Numbered + Clone> Chunked<T> {
    /// Adds an item whose number is not in the list: at the end, or where it belongs.
    pub(crate) fn push(&mut self, item: T) {
        self.len += 1;
        self.starts.clear();
        let number = item.number();
        let Some(last) = self.chunks.last_mut() else {
            self.chunks.push(Arc::new(vec![item]));
            return;
        };
        if last.last().is_some_and(|last| last.number() < number) {
            if last.len() < CHUNK {
                make_mut(last, 1).push(item);
            } else {
                self.chunks.push(Arc::new(vec![item]));
            }
            return;
        }
        let at = self.chunk_of(number).unwrap_or(0);
        let chunk = make_mut(&mut self.chunks[at], 1);
        chunk.insert(chunk.partition_point(|held| held.number() < number), item);
        if chunk.len() > CHUNK {
            let upper = chunk.split_off(CHUNK / 2);
            self.chunks.insert(at + 1, Arc::new(upper));
        }
    }

    /// The item of this number.
    #[cfg(test)]
    fn find(&self, number: Number) -> Option<&T> {
        let chunk = &self.chunks[self.chunk_of(number)?];
        let at = chunk.binary_search_by_key(&number, Numbered::number).ok()?;
        Some(&chunk[at])
    }

    /// Takes the item of this number out.
    pub(crate) fn remove(&mut self, number: Number) -> Option<T> {
        let at = self.chunk_of(number)?;
        let place = self.chunks[at].binary_search_by_key(&number, Numbered::number).ok()?;
        let chunk = make_mut(&mut self.chunks[at], 0);
        let item = chunk.remove(place);
        let left = chunk.len();
        self.len -= 1;
        self.starts.clear();
        if left == 0 {
            self.chunks.remove(at);
        } else if left <= CHUNK / 4 {
            self.merge(at);
        }
        Some(item)
    }

    /// Joins a chunk that is little filled with a neighbour that is, too.
    fn merge(&mut self, at: usize) {
        let few = |at: usize| self.chunks.get(at).is_some_and(|chunk| chunk.len() <= CHUNK / 4);
        let first = match at {
            at if few(at + 1) => at,
            at if at > 0 && few(at - 1) => at - 1,
            _ => return,
        };
        let upper = self.chunks.remove(first + 1);
        let lower = make_mut(&mut self.chunks[first], upper.len());
        match Arc::try_unwrap(upper) {
            Ok(upper) => lower.extend(upper),
            Err(upper) => lower.extend(upper.iter().cloned()),
        }
        if lower.len() <= CHUNK / 4 {
            self.merge(first);
        }
    }

    /// The last chunk that does not begin behind this number.
    fn chunk_of(&self, number: Number) -> Option<usize> {
        self.chunks.partition_point(|chunk| chunk[0].number() <= number).checked_sub(1)
    }

    /// Gives back the room that chunks keep for more items, as far as it is not little, and notes where each begins: before a
    /// version is published.
    pub(crate) fn fit(&mut self) {
        if let Some(last) = self.chunks.last_mut().and_then(Arc::get_mut)
            && last.capacity() - last.len() > last.len() / 8
        {
            last.shrink_to_fit();
        }
        if self.chunks.capacity() > self.chunks.len() * 2 {
            self.chunks.shrink_to(self.chunks.len() + self.chunks.len() / 4);
        }
        let mut start = 0;
        self.starts.clear();
        self.starts.extend(self.chunks.iter().map(|chunk| {
            start += chunk.len();
            u32::try_from(start - chunk.len()).expect("a host has fewer than 2^32 agents")
        }));
    }

    /// Whether the list is as the invariant says.
    pub(crate) fn verify(&self) -> bool {
        let is_few = |chunk: &Arc<Vec<T>>| chunk.len() <= CHUNK / 4;
        self.iter().map(Numbered::number).is_sorted_by(|one, next| one < next)
            && self.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.len()))
            && self.chunks.iter().map(|chunk| chunk.len()).sum::<usize>() == self.len
            && !self.chunks.windows(2).any(|pair| is_few(&pair[0]) && is_few(&pair[1]))
    }
}

/// The chunk as one's own, with room for more: a chunk that is shared is copied once and not again to grow.
fn make_mut<T: Clone>(chunk: &mut Arc<Vec<T>>, more: usize) -> &mut Vec<T> {
    if Arc::get_mut(chunk).is_none() {
        let mut copy = Vec::with_capacity(chunk.len() + more);
        copy.extend(chunk.iter().cloned());
        *chunk = Arc::new(copy);
    }
    Arc::get_mut(chunk).expect("it is shared with nobody: it was copied if it was")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Item(u64, u8);

    impl Numbered for Item {
        fn number(&self) -> Number {
            Number::new(self.0)
        }
    }

    #[derive(Debug, Clone)]
    enum Op {
        /// Adds items from this number on, at so large steps.
        Fill { from: u64, step: u64, count: u64 },
        /// Takes out those of so many numbers in a row.
        Empty { from: u64, count: u64 },
        /// Keeps a copy of this version.
        Publish,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0..3_000_u64, 1..9_u64, 1..500_u64).prop_map(|(from, step, count)| Op::Fill { from, step, count }),
            3 => (0..3_000_u64, 1..700_u64).prop_map(|(from, count)| Op::Empty { from, count }),
            2 => Just(Op::Publish),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_chunked_list_is_a_sorted_list_and_its_earlier_versions_do_not_change(
            ops in prop::collection::vec(op(), 1..30),
        ) {
            let (mut list, mut model) = (Chunked::default(), BTreeMap::new());
            let mut published = Vec::new();
            for (round, op) in (0_u8..).zip(ops) {
                match op {
                    Op::Fill { from, step, count } => {
                        for at in (0..count).map(|nth| from + nth * step) {
                            if let std::collections::btree_map::Entry::Vacant(vacant) = model.entry(at) {
                                list.push(vacant.insert(Item(at, round)).clone());
                            }
                        }
                    }
                    Op::Empty { from, count } => {
                        for at in from..from + count {
                            prop_assert_eq!(list.find(Number::new(at)), model.get(&at));
                            prop_assert_eq!(list.remove(Number::new(at)), model.remove(&at));
                        }
                    }
                    Op::Publish => {
                        list.fit();
                        prop_assert!((0..=model.len()).map_while(|at| list.get(at)).eq(model.values()));
                        published.push((list.clone(), model.clone()));
                    }
                }
                prop_assert!(list.verify());
                prop_assert!(list.iter().eq(model.values()));
                prop_assert!(list.pick((0..).step_by(7).take(500)).eq(model.values().step_by(7).take(500)));
                prop_assert_eq!(list.get(model.len()), None);
                prop_assert_eq!((list.len(), list.is_empty()), (model.len(), model.is_empty()));
            }
            for (list, model) in published {
                prop_assert!(list.iter().eq(model.values()));
            }
        }
    }

    #[test]
    fn numbers_are_in_order_across_their_words() {
        let numbers = [0, 1, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, (1 << 48) - 1];
        assert!(numbers.map(Number::new).is_sorted_by(|one, next| one < next));
        assert_eq!(size_of::<Number>(), 6);
    }
}
