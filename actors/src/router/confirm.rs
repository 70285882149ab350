//! Publishing for confirmation: [`ConfirmOptions`], [`Confirmed`], [`ConfirmError`].

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use actix::Message;

use super::{
    PublishError, Publisher,
    consignment::{self, Consignment, Part},
    courier::NotTaken,
    publisher::{Admitted, RouteCell},
    receipt::Receipt,
};
use crate::{
    agent::{ConfirmedBy, Confirming, MessageId, Parcel, short_type_name},
    inbox::{PortItem, SendOptions},
    supervisor::Backoff,
};

/// How a message is confirmed.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use phalanx_actors::router::ConfirmOptions;
///
/// let options = ConfirmOptions::new().retries(5).ttl(Duration::from_secs(10)).with_path();
/// # let _ = options;
/// ```
#[derive(Debug, Clone)]
pub struct ConfirmOptions {
    pub(crate) retries: u16,
    pub(crate) backoff: Backoff,
    pub(crate) repeat_after: Duration,
    pub(crate) ttl: Duration,
    pub(crate) deduplicates: bool,
    pub(crate) path: bool,
    pub(crate) send: SendOptions,
}

impl Default for ConfirmOptions {
    fn default() -> Self {
        Self {
            retries: 3,
            backoff: Backoff {
                initial: Duration::from_millis(100),
                max: Duration::from_secs(10),
                factor: 2.0,
                jitter: 0.2,
            },
            repeat_after: Duration::from_secs(30),
            ttl: Duration::from_secs(300),
            deduplicates: true,
            path: false,
            send: SendOptions::new(),
        }
    }
}

impl ConfirmOptions {
    /// Three retries, the first after 100 ms, each after twice as long as the one before; 30 s for an attempt, 300 s in all.
    pub fn new() -> Self {
        Self::default()
    }

    /// How often it is sent again to a recipient that has not handled it.
    #[must_use]
    pub fn retries(mut self, retries: u16) -> Self {
        self.retries = retries.min(u16::MAX - 1);
        self
    }

    /// How long to wait before it is sent again to those who refused or lost it.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// After this long without a word it is sent again. What a recipient is handling meanwhile it does not get again, unless
    /// duplicates are allowed.
    #[must_use]
    pub fn repeat_after(mut self, after: Duration) -> Self {
        self.repeat_after = after;
        self
    }

    /// How long it may take in all: what is not handled by then expires, and the receipt is complete.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Lets a recipient get it again when it has handled it, or is handling it, but an answer was too late. Without this a
    /// recipient handles it once in an incarnation.
    #[must_use]
    pub fn allow_duplicates(mut self) -> Self {
        self.deduplicates = false;
        self
    }

    /// Keeps who decided what on its way, for [`Receipt::path`].
    #[must_use]
    pub fn with_path(mut self) -> Self {
        self.path = true;
        self
    }

    /// Says more about the message. An earlier deadline among the options holds.
    #[must_use]
    pub fn send(mut self, options: SendOptions) -> Self {
        self.send = options;
        self
    }
}

/// A message that was published and is to be confirmed. Await it for its [`Receipt`], or drop it: it is followed up all the
/// same.
#[must_use = "await it for the receipt; the message is on its way already"]
pub struct Confirmed {
    consignment: Arc<Consignment>,
}

impl Confirmed {
    pub(crate) fn new(consignment: Arc<Consignment>) -> Self {
        Self { consignment }
    }

    /// The message, to ask the router how it stands.
    pub fn id(&self) -> MessageId {
        self.consignment.id
    }

    /// How many recipients it has.
    pub fn recipients(&self) -> usize {
        self.consignment.recipients()
    }
}

impl Future for Confirmed {
    type Output = Receipt;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Receipt> {
        if let Some(receipt) = self.consignment.receipt() {
            return Poll::Ready(receipt);
        }
        self.consignment.waker().register(cx.waker());
        // It may have come between the look and the registration.
        self.consignment.receipt().map_or(Poll::Pending, Poll::Ready)
    }
}

impl fmt::Debug for Confirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirmed").field("id", &self.id()).field("recipients", &self.recipients()).finish()
    }
}

impl<M: Message + Send + Sync + 'static> Publisher<M> {
    /// Sends a message to everyone on the route, for a receipt that says what became of it at each of them: at least once,
    /// as far as retries and time allow. Nothing is waited for until the receipt is awaited.
    ///
    /// # Errors
    /// [`ConfirmError`] when it was not published, or nobody is there to confirm it.
    pub fn confirm(&self, message: M) -> Result<Confirmed, ConfirmError<M>> {
        self.confirm_with(message, ConfirmOptions::new())
    }

    /// Sends a message for a receipt, saying more about how.
    ///
    /// # Errors
    /// As [`Publisher::confirm`].
    pub fn confirm_with(
        &self,
        mut message: M,
        options: ConfirmOptions,
    ) -> Result<Confirmed, ConfirmError<M>> {
        let RouteCell { hub, route, history, courier, .. } = &*self.cell;
        let name = || route.name.clone();
        match courier.has_room() {
            Ok(()) => {}
            Err(NotTaken::Closed) => return Err(ConfirmError::Closed { route: name(), message }),
            Err(NotTaken::TooMany) => return Err(ConfirmError::TooMany { route: name(), message }),
        }
        if self.recipients() == 0 && !self.cell.is_misdirected() {
            return Err(ConfirmError::Nobody { route: name(), message });
        }
        let at = hub.now();
        let by = Some(at.plus(options.ttl));
        let meta = match self.clear(&mut message, options.send.clone(), false, by) {
            Ok(meta) => meta,
            Err(turned) => return Err(ConfirmError::Refused(self.turn(turned, message))),
        };
        let kept = history.lock();
        let Admitted { snapshot, chosen } = match self.admit(&meta, &message, false) {
            Ok(admitted) => admitted,
            Err(turned) => {
                drop(kept);
                return Err(ConfirmError::Refused(self.turn(turned, message)));
            }
        };
        if snapshot.total + chosen.len() == 0 {
            drop(kept);
            return Err(ConfirmError::Nobody { route: name(), message });
        }
        let lists = snapshot.lists.iter().enumerate();
        let mut parts: Vec<Part> = lists
            .filter_map(|(arbiter, list)| list.as_ref().map(|to| Part { arbiter, to: to.clone() }))
            .collect();
        parts.extend(self.chosen_parts(&snapshot, &chosen));
        let (id, lane, deadline) = (meta.id(), meta.lane(), meta.deadline());
        let consignment = Arc::new_cyclic(|weak: &Weak<Consignment>| {
            let confirmed_by = ConfirmedBy(weak.clone() as Weak<dyn Confirming>);
            let meta = meta.with_confirmation(confirmed_by);
            let published = consignment::Published {
                id,
                route: name(),
                lane,
                at,
                deadline: deadline.expect("it was stamped with one"),
                parts: parts.clone(),
                parcel: Arc::new(Parcel { meta, message }),
            };
            Consignment::new(hub.clone(), Arc::downgrade(courier), options, published)
        });
        // Closed meanwhile: it goes out all the same, and its receipt is made as it stands.
        let is_closed = courier.take(&consignment).is_err();
        let parcel = consignment.parcel().expect("it has not ended");
        let mut refused = Vec::new();
        for Part { arbiter, to } in &parts {
            refused.extend(hub.ports()[*arbiter].publish(lane, to, parcel.clone()));
        }
        let gone = kept.map(|mut kept| kept.keep(lane, deadline, parcel));
        drop(gone);
        refused.into_iter().for_each(PortItem::abandon);
        if is_closed {
            consignment.break_off();
        }
        Ok(Confirmed::new(consignment))
    }
}

/// Why a message was not published for confirmation.
pub enum ConfirmError<M> {
    /// It was not published: transient when congested.
    Refused(PublishError<M>),
    /// Nobody is there to confirm it: the route leads to nobody, or no predicate passed it.
    Nobody {
        /// The topic, group, capability or list.
        route: Arc<str>,
        /// The message.
        message: M,
    },
    /// Too many messages wait for their receipts; transient.
    TooMany {
        /// The topic, group, capability or list.
        route: Arc<str>,
        /// The message.
        message: M,
    },
    /// The host is shutting down.
    Closed {
        /// The topic, group, capability or list.
        route: Arc<str>,
        /// The message.
        message: M,
    },
}

impl<M> ConfirmError<M> {
    /// Whether the same may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            ConfirmError::Refused(refused) => refused.reason.is_transient(),
            ConfirmError::TooMany { .. } => true,
            ConfirmError::Nobody { .. } | ConfirmError::Closed { .. } => false,
        }
    }

    /// The message, unless an intervention dropped it.
    pub fn into_message(self) -> Option<M> {
        match self {
            ConfirmError::Refused(refused) => refused.message,
            ConfirmError::Nobody { message, .. }
            | ConfirmError::TooMany { message, .. }
            | ConfirmError::Closed { message, .. } => Some(message),
        }
    }
}

impl<M> fmt::Display for ConfirmError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = short_type_name::<M>();
        match self {
            ConfirmError::Refused(refused) => refused.fmt(f),
            ConfirmError::Nobody { route, .. } => write!(
                f,
                "nobody is on {route} to confirm a {message}: subscribe an agent that accepts it, or publish without confirmation"
            ),
            ConfirmError::TooMany { route, .. } => write!(
                f,
                "{route} did not take a {message}: {} messages wait for their receipts already; await some of them first",
                super::MAX_UNCONFIRMED
            ),
            ConfirmError::Closed { route, .. } => {
                write!(f, "{route} did not take a {message}: the host is shutting down")
            }
        }
    }
}

impl<M> fmt::Debug for ConfirmError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfirmError({self})")
    }
}

impl<M> std::error::Error for ConfirmError<M> {}
