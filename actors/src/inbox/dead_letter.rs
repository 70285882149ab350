//! Dead letters: messages that were not handled, for whoever wants to see them.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use actix::Message;

use crate::agent::{AgentId, Meta, Objection, Parcel, Reason, envelope::Content};

/// The content of a dead letter.
#[derive(Clone)]
pub enum LetterContent {
    /// Sent to one agent: whoever takes it first has it.
    Owned(Arc<Mutex<Option<Box<dyn Any + Send>>>>),
    /// Sent to many, as `Parcel<M>`.
    Shared(Arc<dyn Any + Send + Sync>),
    /// It was consumed, as by a handler that panicked.
    Gone,
}

/// A message that was not handled, to whom it was sent, and why it was not handled.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub struct DeadLetter {
    /// To whom it was sent.
    pub to: AgentId,
    /// The type of the message, by its short name.
    pub message_type: &'static str,
    /// Why it was not handled.
    pub reason: Reason,
    /// What an intervention had against it.
    pub objection: Option<Objection>,
    /// What travelled with it, where it got so far.
    pub meta: Option<Meta>,
    /// The message itself.
    pub content: LetterContent,
}

impl DeadLetter {
    /// Looks at the message, when it is of this type and was not taken.
    pub fn look<M: 'static, T>(&self, look: impl FnOnce(&M) -> T) -> Option<T> {
        match &self.content {
            LetterContent::Owned(held) => {
                let held = held.lock().unwrap_or_else(PoisonError::into_inner);
                held.as_ref()?.downcast_ref().map(look)
            }
            LetterContent::Shared(parcel) => {
                parcel.downcast_ref::<Parcel<M>>().map(|parcel| look(&parcel.message))
            }
            LetterContent::Gone => None,
        }
    }
}

impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("to", &self.to)
            .field("message_type", &self.message_type)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

type Subscriber = Arc<dyn Fn(&DeadLetter) + Send + Sync>;

/// Where dead letters go. Without subscribers they are only counted.
#[derive(Default)]
pub struct DeadLetters {
    wanted: AtomicBool,
    next: AtomicU64,
    subscribers: RwLock<Vec<(u64, Subscriber)>>,
}

/// Identifies a subscription to the dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription(u64);

impl DeadLetters {
    /// Calls `call` for each dead letter, on the thread where it came up. It must not block.
    pub fn subscribe(&self, call: impl Fn(&DeadLetter) + Send + Sync + 'static) -> Subscription {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut subscribers = self.subscribers.write().unwrap_or_else(PoisonError::into_inner);
        subscribers.push((number, Arc::new(call)));
        self.wanted.store(true, Ordering::Release);
        Subscription(number)
    }

    /// Ends a subscription. Answers whether it existed.
    pub fn unsubscribe(&self, subscription: Subscription) -> bool {
        let mut subscribers = self.subscribers.write().unwrap_or_else(PoisonError::into_inner);
        let before = subscribers.len();
        subscribers.retain(|(number, _)| *number != subscription.0);
        self.wanted.store(!subscribers.is_empty(), Ordering::Release);
        subscribers.len() < before
    }

    #[inline]
    pub(crate) fn are_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    pub(crate) fn post(&self, letter: &DeadLetter) {
        // The list is copied so that a subscriber may send, subscribe and unsubscribe.
        let subscribers: Vec<Subscriber> = {
            let held = self.subscribers.read().unwrap_or_else(PoisonError::into_inner);
            held.iter().map(|(_, call)| Arc::clone(call)).collect()
        };
        for call in subscribers {
            // A subscriber's panic is its own affair; the sender or agent on whose thread this runs goes on.
            if catch_unwind(AssertUnwindSafe(|| call(letter))).is_err() {
                tracing::error!(letter = ?letter, "a subscriber to the dead letters panicked");
            }
        }
    }
}

impl From<Content> for LetterContent {
    fn from(content: Content) -> Self {
        match content {
            Content::Owned(message) => LetterContent::Owned(Arc::new(Mutex::new(Some(message)))),
            Content::Shared(parcel) => LetterContent::Shared(parcel),
        }
    }
}
