//! Interventions: a chain that sees every message on its way out of a sender and into an agent.
//!
//! ```text
//! tell, ask, publish --> outbound chain --> ... --> inbox --> inbound chain --> handler
//!                        pass | rewrite | drop               pass | rewrite | drop
//! ```
//!
//! Tracing, budgets, authorisation and fault injection hook in here. A chain without links costs one comparison.

use std::{
    any::Any,
    borrow::Cow,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{AgentId, Meta};

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on, rewritten or not.
    Pass,
    /// It goes no further and is accounted as dropped, [`Reason::Intervened`](super::Reason::Intervened).
    Drop(Objection),
}

/// Why an intervention dropped a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// The sender may not send this.
    Unauthorised,
    /// The sender or the recipient has used up what it was given.
    OverBudget,
    /// A fault was injected on purpose.
    Injected,
    /// Anything else, in words.
    Other(Cow<'static, str>),
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Objection::Unauthorised => "the sender may not send this",
            Objection::OverBudget => "over budget",
            Objection::Injected => "a fault injected on purpose",
            Objection::Other(words) => words,
        })
    }
}

pub(crate) enum Shown<'a> {
    Owned(&'a mut dyn Any),
    Shared { message: &'a dyn Any, replacement: &'a mut Option<Box<dyn Any + Send + Sync>> },
}

/// A message on its way, as an intervention sees it.
pub struct Passage<'a> {
    to: Option<&'a AgentId>,
    route: Option<&'a str>,
    meta: &'a Meta,
    shown: Shown<'a>,
}

impl<'a> Passage<'a> {
    pub(crate) fn new(
        to: Option<&'a AgentId>,
        route: Option<&'a str>,
        meta: &'a Meta,
        shown: Shown<'a>,
    ) -> Self {
        Self { to, route, meta, shown }
    }

    /// The recipient; `None` on the way out of a publisher, where there may be many.
    pub fn to(&self) -> Option<&AgentId> {
        self.to
    }

    /// The topic, group or capability it was published to, where it was.
    pub fn route(&self) -> Option<&str> {
        self.route
    }

    /// What travels with the message.
    pub fn meta(&self) -> &Meta {
        self.meta
    }

    /// The message, when it is of this type.
    pub fn message<M: 'static>(&self) -> Option<&M> {
        match &self.shown {
            Shown::Owned(message) => message.downcast_ref(),
            Shown::Shared { replacement: Some(message), .. } => message.downcast_ref(),
            Shown::Shared { message, replacement: None } => message.downcast_ref(),
        }
    }

    /// Puts another message of the same type in its place, for this recipient only on the way in. Answers whether the
    /// type fitted.
    pub fn rewrite<M: Send + Sync + 'static>(&mut self, message: M) -> bool {
        match &mut self.shown {
            Shown::Owned(held) => match held.downcast_mut::<M>() {
                Some(place) => {
                    *place = message;
                    true
                }
                None => false,
            },
            Shown::Shared { message: held, replacement } => {
                let fits = held.is::<M>();
                if fits {
                    **replacement = Some(Box::new(message));
                }
                fits
            }
        }
    }
}

/// One link of the chain. Called on the thread of the sender (outbound) or of the recipient (inbound); must not block.
/// A message over which a link panics is dropped, and accounted for, as if the link had objected.
pub trait Intervention: Send + Sync {
    /// A message leaves a sender.
    fn outbound(&self, _passage: &mut Passage<'_>) -> Verdict {
        Verdict::Pass
    }

    /// A message is about to be handled.
    fn inbound(&self, _passage: &mut Passage<'_>) -> Verdict {
        Verdict::Pass
    }
}

/// The chain, called in order until one link drops the message.
#[derive(Clone, Default)]
pub struct Interventions(Arc<[Arc<dyn Intervention>]>);

impl Interventions {
    /// A chain of these links.
    pub fn new(links: impl IntoIterator<Item = Arc<dyn Intervention>>) -> Self {
        Self(links.into_iter().collect())
    }

    /// Whether the chain has no links.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn outbound(&self, passage: &mut Passage<'_>) -> Result<(), Objection> {
        Self::walk(&self.0, |link| link.outbound(passage))
    }

    pub(crate) fn inbound(&self, passage: &mut Passage<'_>) -> Result<(), Objection> {
        Self::walk(&self.0, |link| link.inbound(passage))
    }

    fn walk(
        links: &[Arc<dyn Intervention>],
        mut call: impl FnMut(&dyn Intervention) -> Verdict,
    ) -> Result<(), Objection> {
        for link in links {
            // What was counted as sent must end somewhere, so a panic must not pass through the sender.
            match catch_unwind(AssertUnwindSafe(|| call(&**link))) {
                Ok(Verdict::Pass) => {}
                Ok(Verdict::Drop(objection)) => return Err(objection),
                Err(_) => return Err(Objection::Other(Cow::Borrowed("the intervention panicked"))),
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Interventions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interventions({} links)", self.0.len())
    }
}
