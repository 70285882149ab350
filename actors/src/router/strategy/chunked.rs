//! [`Chunked`]: a vector that is cheap to copy and to change, as a list that is read while it changes must be. Pure.
//!
//! Chunks are shared with earlier copies until they change: a copy costs one count for each chunk, a change copies one
//! chunk at most.

use std::sync::Arc;

const CHUNK: usize = 512;

/// A vector in chunks that its copies share.
#[derive(Debug, Clone)]
pub(crate) struct Chunked<T> {
    chunks: Vec<Arc<Vec<T>>>,
    len: usize,
}

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T> Chunked<T> {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn get(&self, at: usize) -> &T {
        &self.chunks[at / CHUNK][at % CHUNK]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }
}

impl<T: Clone> Chunked<T> {
    pub(crate) fn get_mut(&mut self, at: usize) -> &mut T {
        &mut Arc::make_mut(&mut self.chunks[at / CHUNK])[at % CHUNK]
    }

    pub(crate) fn push(&mut self, value: T) {
        match self.chunks.last_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => Arc::make_mut(chunk).push(value),
            None => self.chunks.push(Arc::new(vec![value])),
        }
        self.len += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let last = self.chunks.last_mut()?;
        let value = Arc::make_mut(last).pop();
        if last.is_empty() {
            self.chunks.pop();
        }
        self.len -= usize::from(value.is_some());
        value
    }

    /// Takes a value out and puts the last one into its place.
    ///
    /// # Panics
    /// When there is none at this position.
    pub(crate) fn swap_remove(&mut self, at: usize) -> T {
        assert!(at < self.len, "there are {} values, none at {at}", self.len);
        let last = self.pop().expect("there is one at least");
        if at == self.len { last } else { std::mem::replace(self.get_mut(at), last) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_a_vector_would_and_copies_stay_as_they_were(
            steps in prop::collection::vec((0_u8..4, any::<u32>()), 0..3_000),
        ) {
            let (mut chunked, mut model) = (Chunked::default(), Vec::new());
            let mut copy = (chunked.clone(), model.clone());
            for (step, number) in steps {
                let at = number as usize % model.len().max(1);
                match step {
                    0 | 1 => { chunked.push(number); model.push(number); }
                    2 if !model.is_empty() => prop_assert_eq!(chunked.swap_remove(at), model.swap_remove(at)),
                    3 if !model.is_empty() => { *chunked.get_mut(at) = number; model[at] = number; }
                    _ => copy = (chunked.clone(), model.clone()),
                }
                prop_assert_eq!(chunked.len(), model.len());
            }
            prop_assert!(chunked.iter().eq(&model));
            prop_assert!(copy.0.iter().eq(&copy.1));
            prop_assert!((0..model.len()).all(|at| chunked.get(at) == &model[at]));
        }
    }
}
