//! Large payloads: [`Chunk`]s with flow control, and the [`Assembler`] that puts them together again.
//!
//! ```text
//!  bulk(payload) ──> chunk 0, 1, 2 .. ──lane low, at most a window of them unconfirmed──> recipients
//!                       ^                                                                │
//!                       └────────────── confirmed by all: the next one goes out ─────────┘
//! ```
//!
//! A payload is shared, not copied: a chunk is a part of it. Chunks wait in the lowest lane, so that they are never ahead of
//! anything else, and the slowest recipient decides how fast they go.
//!
//! **Invariant.** No more than a window of chunks is on its way, and what is assembled is what was sent.

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use actix::Message;
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use super::{ConfirmError, ConfirmOptions, Confirmed, Publisher};
use crate::{
    agent::{AgentId, MessageId, Priority},
    inbox::SendOptions,
};

/// The largest payload \[bytes\].
pub const MAX_BULK: usize = 256 * 1024 * 1024;
/// The largest chunk \[bytes\].
pub const MAX_CHUNK: usize = 16 * 1024 * 1024;
/// How many chunks may be on their way at most.
pub const MAX_WINDOW: usize = 1_024;

/// Identifies one payload on a host: by the number that its sender gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransferId(MessageId);

impl fmt::Display for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One part of a large payload.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub struct Chunk {
    transfer: TransferId,
    number: u32,
    count: u32,
    from: usize,
    until: usize,
    payload: Arc<[u8]>,
}

impl Chunk {
    /// Which payload it is a part of.
    pub fn transfer(&self) -> TransferId {
        self.transfer
    }

    /// Which part, from 0 on.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// In how many parts the payload comes.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// How large the whole payload is \[bytes\].
    pub fn total(&self) -> usize {
        self.payload.len()
    }

    /// Where in the payload it begins \[bytes\].
    pub fn offset(&self) -> usize {
        self.from
    }

    /// The part.
    pub fn bytes(&self) -> &[u8] {
        &self.payload[self.from..self.until]
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Chunk({} of {}, {} bytes of {})",
            self.number,
            self.count,
            self.bytes().len(),
            self.total()
        )
    }
}

/// How a large payload is sent.
#[derive(Debug, Clone)]
pub struct BulkOptions {
    chunk: usize,
    window: usize,
    confirm: ConfirmOptions,
}

impl Default for BulkOptions {
    /// Chunks of 64 KiB, of which 8 are on their way; each is confirmed with the usual retries.
    fn default() -> Self {
        Self { chunk: 64 * 1024, window: 8, confirm: ConfirmOptions::new() }
    }
}

impl BulkOptions {
    /// Chunks of 64 KiB, of which 8 are on their way.
    pub fn new() -> Self {
        Self::default()
    }

    /// How large a chunk is \[bytes\].
    #[must_use]
    pub fn chunk(mut self, bytes: usize) -> Self {
        self.chunk = bytes;
        self
    }

    /// How many chunks are on their way at most.
    #[must_use]
    pub fn window(mut self, chunks: usize) -> Self {
        self.window = chunks;
        self
    }

    /// How each chunk is confirmed. Its lane is the lowest, whatever is said here.
    #[must_use]
    pub fn confirm(mut self, confirm: ConfirmOptions) -> Self {
        self.confirm = confirm;
        self
    }
}

/// Why a large payload was not sent, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    /// There is a bound.
    #[error("a payload of {bytes} bytes is larger than {MAX_BULK}: send it in parts, or a reference to it")]
    TooLarge {
        /// Its size \[bytes\].
        bytes: usize,
    },
    /// A chunk of this size makes no sense.
    #[error("a chunk of {bytes} bytes is not possible: choose 1 to {MAX_CHUNK}")]
    Chunk {
        /// The size \[bytes\].
        bytes: usize,
    },
    /// A window of this size makes no sense.
    #[error("a window of {chunks} chunks is not possible: choose 1 to {MAX_WINDOW}")]
    Window {
        /// The size \[chunks\].
        chunks: usize,
    },
    /// A chunk was not published.
    #[error("chunk {number} of {count} was not sent: {why}")]
    Chunked {
        /// Which.
        number: u32,
        /// Of how many.
        count: u32,
        /// Why not.
        why: ConfirmError<Chunk>,
    },
}

/// What became of a large payload at its recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkReceipt {
    /// Which payload.
    pub transfer: TransferId,
    /// In how many chunks it went.
    pub chunks: u32,
    /// How many recipients its first chunk had.
    pub recipients: usize,
    /// Who missed how many chunks, in the order of the first one missed.
    pub missed: IndexMap<AgentId, u32>,
}

impl BulkReceipt {
    /// Whether every recipient has every chunk.
    pub fn is_complete(&self) -> bool {
        self.missed.is_empty()
    }
}

impl Publisher<Chunk> {
    /// Sends a large payload in chunks to everyone on the route, as fast as the slowest of them confirms them. Who joins
    /// meanwhile gets the rest only.
    ///
    /// # Errors
    /// [`BulkError`]; when a chunk is refused for good, those before it have gone out.
    pub async fn bulk(
        &self,
        payload: impl Into<Arc<[u8]>>,
        options: BulkOptions,
    ) -> Result<BulkReceipt, BulkError> {
        let (payload, BulkOptions { chunk, window, confirm }) = (payload.into(), options);
        let bytes = payload.len();
        if bytes > MAX_BULK {
            return Err(BulkError::TooLarge { bytes });
        }
        if chunk == 0 || chunk > MAX_CHUNK {
            return Err(BulkError::Chunk { bytes: chunk });
        }
        if window == 0 || window > MAX_WINDOW {
            return Err(BulkError::Window { chunks: window });
        }
        let count = u32::try_from(bytes.div_ceil(chunk).max(1)).expect("payloads are bounded");
        let transfer = TransferId(self.next_id());
        let low = SendOptions::new().priority(Priority::Low);
        let confirm = confirm.send(low);
        let mut receipt = BulkReceipt { transfer, chunks: count, recipients: 0, missed: IndexMap::new() };
        let mut on_their_way: VecDeque<Confirmed> = VecDeque::new();
        for number in 0..count {
            if on_their_way.len() >= window
                && let Some(first) = on_their_way.pop_front()
            {
                note(&mut receipt, first).await;
            }
            let from = number as usize * chunk;
            let (until, payload) = (bytes.min(from + chunk), payload.clone());
            let mut part = Chunk { transfer, number, count, from, until, payload };
            let confirmed = loop {
                match self.confirm_with(part, confirm.clone()) {
                    Ok(confirmed) => break confirmed,
                    // Others are ahead: they are waited for, and the receipts of this one's own chunks with them.
                    Err(why) if why.is_transient() => {
                        part = why.into_message().expect("what is transient comes back");
                        match on_their_way.pop_front() {
                            Some(first) => note(&mut receipt, first).await,
                            None => tokio::time::sleep(Duration::from_millis(1)).await,
                        }
                    }
                    Err(why) => return Err(BulkError::Chunked { number, count, why }),
                }
            };
            if number == 0 {
                receipt.recipients = confirmed.recipients();
            }
            on_their_way.push_back(confirmed);
        }
        for confirmed in on_their_way {
            note(&mut receipt, confirmed).await;
        }
        Ok(receipt)
    }
}

async fn note(receipt: &mut BulkReceipt, confirmed: Confirmed) {
    let confirmed = confirmed.await;
    for row in confirmed.missed() {
        *receipt.missed.entry(row.agent).or_insert(0) += 1;
    }
}

/// A payload that is not complete yet.
struct Partial {
    bytes: Vec<u8>,
    has: Vec<bool>,
    missing: u32,
}

/// Puts the chunks of payloads together, in whatever order they come and however often.
///
/// # Examples
/// ```
/// use actix::prelude::*;
/// use phalanx_actors::{agent::{Agent, Card}, router::{Assembler, Chunk}};
///
/// #[derive(Default)]
/// struct Archive { assembler: Assembler, payloads: Vec<Vec<u8>> }
/// impl Actor for Archive { type Context = Context<Self>; }
/// impl Supervised for Archive {}
/// impl Handler<Chunk> for Archive {
///     type Result = ();
///     fn handle(&mut self, chunk: Chunk, _: &mut Context<Self>) {
///         self.payloads.extend(self.assembler.take(&chunk));
///     }
/// }
/// impl Agent for Archive {
///     fn card(&self) -> Card<Self> { Card::new().accepts::<Chunk>() }
/// }
/// ```
pub struct Assembler {
    partial: IndexMap<TransferId, Partial, FxBuildHasher>,
    bytes: usize,
    limit: usize,
}

impl Default for Assembler {
    /// Room for one payload of the largest size.
    fn default() -> Self {
        Self::with_limit(MAX_BULK)
    }
}

impl Assembler {
    /// Holds at most so many bytes of payloads that are not complete \[bytes\]: when there is no room for another, the
    /// oldest of them is given up.
    pub fn with_limit(limit: usize) -> Self {
        Self { partial: IndexMap::default(), bytes: 0, limit }
    }

    /// Takes a chunk. Answers the payload when that was the last one missing. A payload that is larger than the limit by itself
    /// is not taken.
    pub fn take(&mut self, chunk: &Chunk) -> Option<Vec<u8>> {
        if chunk.count() == 1 {
            return Some(chunk.bytes().to_vec());
        }
        if chunk.total() > self.limit {
            return None;
        }
        if !self.partial.contains_key(&chunk.transfer) {
            while self.bytes + chunk.total() > self.limit
                && let Some((_, given_up)) = self.partial.shift_remove_index(0)
            {
                self.bytes -= given_up.bytes.len();
            }
            self.bytes += chunk.total();
        }
        let partial = self.partial.entry(chunk.transfer).or_insert_with(|| Partial {
            bytes: vec![0; chunk.total()],
            has: vec![false; chunk.count() as usize],
            missing: chunk.count(),
        });
        let has = &mut partial.has[chunk.number as usize];
        if !std::mem::replace(has, true) {
            partial.bytes[chunk.from..chunk.until].copy_from_slice(chunk.bytes());
            partial.missing -= 1;
        }
        if partial.missing > 0 {
            return None;
        }
        let complete = self.partial.shift_remove(&chunk.transfer)?;
        self.bytes -= complete.bytes.len();
        Some(complete.bytes)
    }

    /// How many payloads are not complete.
    pub fn incomplete(&self) -> usize {
        self.partial.len()
    }
}

impl fmt::Debug for Assembler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assembler").field("incomplete", &self.incomplete()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunks(transfer: u64, payload: &[u8], chunk: usize) -> Vec<Chunk> {
        let count = payload.len().div_ceil(chunk).max(1);
        let payload: Arc<[u8]> = payload.into();
        (0..count)
            .map(|number| Chunk {
                transfer: TransferId(MessageId(transfer)),
                number: u32::try_from(number).unwrap(),
                count: u32::try_from(count).unwrap(),
                from: number * chunk,
                until: payload.len().min((number + 1) * chunk),
                payload: payload.clone(),
            })
            .collect()
    }

    #[test]
    fn the_oldest_incomplete_payload_makes_room_and_one_that_never_fits_is_not_begun() {
        let mut assembler = Assembler::with_limit(10);
        let (one, two) = (chunks(1, &[1; 6], 3), chunks(2, &[2; 6], 3));
        assert_eq!(assembler.take(&one[0]), None);
        assert_eq!(assembler.take(&two[0]), None);
        assert_eq!(assembler.incomplete(), 1, "the first was given up");
        assert_eq!(assembler.take(&two[1]), Some(vec![2; 6]));
        assert_eq!(assembler.take(&chunks(3, &[3; 11], 3)[0]), None);
        assert_eq!((assembler.incomplete(), assembler.bytes), (0, 0));
    }

    proptest! {
        #[test]
        fn payloads_come_together_from_chunks_in_any_order_and_repeated(
            sizes in prop::collection::vec((0usize..40, 1usize..9), 1..4),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        ) {
            let payload = |transfer: usize, size: usize| -> Vec<u8> {
                (0..size).map(|at| u8::try_from(transfer * 50 + at).unwrap()).collect()
            };
            let mut all: Vec<Chunk> = sizes
                .iter()
                .enumerate()
                .flat_map(|(at, (size, chunk))| chunks(at as u64, &payload(at, *size), *chunk))
                .collect();
            for (at, other) in order.iter().enumerate() {
                let (at, other) = (at % all.len(), other.index(all.len()));
                all.swap(at, other);
            }
            let mut assembler = Assembler::default();
            let mut complete = vec![0; sizes.len()];
            for chunk in &all {
                // Each comes twice; the payload comes out once, with the first time of its last chunk.
                if let Some(bytes) = assembler.take(chunk) {
                    let at = usize::try_from(chunk.transfer.0.0).unwrap();
                    prop_assert_eq!(bytes, payload(at, sizes[at].0));
                    complete[at] += 1;
                } else {
                    prop_assert!(assembler.take(chunk).is_none());
                }
            }
            prop_assert!(complete.iter().all(|times| *times == 1));
            prop_assert_eq!((assembler.incomplete(), assembler.bytes), (0, 0));
        }
    }
}
