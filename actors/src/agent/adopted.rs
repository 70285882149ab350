//! [`Adoption`]: lets a plain actix actor, which knows nothing of this crate, live on a host by its recipients.
//!
//! ```text
//!  host ──> inbox of the Adopted agent (bounded, accounted) ──Recipient<M>──> the plain actor's own mailbox
//! ```
//!
//! A message counts as delivered when the plain actor has answered it, and as failed when it has gone.

use std::{
    any::{Any, TypeId},
    sync::Arc,
};

use actix::{
    Actor, Context, Handler, Message, Recipient, Supervised,
    dev::{MessageResponse, OneshotSender},
};
use rustc_hash::FxHashMap;

use super::{Agent, Card, envelope::Accept};

type Amend = Arc<dyn Fn(Card<Adopted>) -> Card<Adopted> + Send + Sync>;

/// The recipients of a plain actix actor, and the card it is hosted under.
///
/// # Examples
/// ```
/// use actix::prelude::*;
/// use phalanx_actors::agent::Adoption;
///
/// #[derive(Clone, Message)]
/// #[rtype(result = "()")]
/// struct Ping;
///
/// struct Plain;
/// impl Actor for Plain { type Context = Context<Self>; }
/// impl Handler<Ping> for Plain { type Result = (); fn handle(&mut self, _: Ping, _: &mut Context<Self>) {} }
///
/// # actix_rt::System::new().block_on(async {
/// let plain = Plain.start();
/// let adoption = Adoption::new("plain").offers("ping").recipient::<Ping>(plain.recipient());
/// # let _ = adoption;
/// # });
/// ```
#[derive(Clone)]
pub struct Adoption {
    recipients: FxHashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    card: Amend,
}

impl Adoption {
    /// An adoption of an actor of this kind. An invalid name is reported by the spawn.
    pub fn new(kind: impl Into<String>) -> Self {
        let kind = kind.into();
        Self { recipients: FxHashMap::default(), card: Arc::new(move |card| card.kind(&kind)) }
    }

    fn amended(mut self, more: impl Fn(Card<Adopted>) -> Card<Adopted> + Send + Sync + 'static) -> Self {
        let before = self.card;
        self.card = Arc::new(move |card| more(before(card)));
        self
    }

    /// Adds a capability.
    pub fn offers(self, capability: impl Into<String>) -> Self {
        let capability = capability.into();
        self.amended(move |card| card.offers(&capability))
    }

    /// Adds a message type, and where its messages go.
    pub fn recipient<M>(mut self, recipient: Recipient<M>) -> Self
    where
        M: Message + Clone + Send + Sync + 'static,
        M::Result: Send,
    {
        self.recipients.insert(TypeId::of::<M>(), Arc::new(recipient));
        self.amended(|mut card| {
            card.accept(Accept::plain::<M>());
            card
        })
    }

    /// The agent that stands for the plain actor.
    pub fn agent(&self) -> Adopted {
        Adopted { adoption: self.clone() }
    }
}

/// Stands for a plain actix actor on a host.
pub struct Adopted {
    adoption: Adoption,
}

impl Actor for Adopted {
    type Context = Context<Self>;
}

impl Supervised for Adopted {}

impl Agent for Adopted {
    fn card(&self) -> Card<Self> {
        (self.adoption.card)(Card::new())
    }
}

/// An answer that the plain actor is asked for.
pub struct Forwarded<M: Message + Send + 'static>
where
    M::Result: Send,
{
    to: Option<Recipient<M>>,
    message: M,
}

impl<M> Handler<M> for Adopted
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    type Result = Forwarded<M>;

    fn handle(&mut self, message: M, _: &mut Context<Self>) -> Forwarded<M> {
        let to = self.adoption.recipients.get(&TypeId::of::<M>());
        Forwarded { to: to.and_then(|to| to.downcast_ref::<Recipient<M>>()).cloned(), message }
    }
}

impl<M> MessageResponse<Adopted, M> for Forwarded<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn handle(self, _: &mut Context<Adopted>, answer: Option<OneshotSender<M::Result>>) {
        // Dropping `answer` without a value counts the message as failed.
        let Some(to) = self.to else { return };
        let request = to.send(self.message);
        actix_rt::spawn(async move {
            if let (Ok(value), Some(answer)) = (request.await, answer) {
                let _ = answer.send(value);
            }
        });
    }
}
