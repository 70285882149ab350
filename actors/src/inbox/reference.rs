//! How senders know an agent: [`AgentRef`] where its type is known, [`AgentHandle`] where only its id is.

use std::{any::TypeId, fmt, sync::Arc};

use super::{Ask, Asked, Command, Door, Inbox, InboxStatus, Packed, SendOptions};
use crate::agent::{
    Agent, AgentId, ByDelivery, ByValue, Delivery, Direct, Envelope, ExitReason, Lane, Listing, Meta, Parcel,
    Passage, Reason, Refused, Reply, Shown, Timestamp, lost_message,
};
use actix::{Addr, Handler, Message};

/// Agents that handle messages of type `M`, by value or as [`Delivery`]; the compiler finds out how.
pub trait Takes<M: Message, How>: Agent {
    #[doc(hidden)]
    fn seal(parcel: Parcel<M>, reply: Option<SealedReply<M::Result>>) -> SealedEnvelope<Self>;
}

#[doc(hidden)]
pub struct SealedReply<R>(Reply<R>);
#[doc(hidden)]
pub struct SealedEnvelope<A: Agent>(Box<dyn Envelope<A>>);

impl<A, M> Takes<M, ByValue> for A
where
    A: Agent + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    #[inline]
    fn seal(parcel: Parcel<M>, reply: Option<SealedReply<M::Result>>) -> SealedEnvelope<A> {
        SealedEnvelope(Box::new(Direct::<M, ByValue>::new(parcel, reply.map(|reply| reply.0))))
    }
}

impl<A, M> Takes<M, ByDelivery> for A
where
    A: Agent + Handler<Delivery<M>>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    #[inline]
    fn seal(parcel: Parcel<M>, reply: Option<SealedReply<M::Result>>) -> SealedEnvelope<A> {
        SealedEnvelope(Box::new(Direct::<M, ByDelivery>::new(parcel, reply.map(|reply| reply.0))))
    }
}

/// What a send goes through before the message is on its way: counted, seen by the interventions, given a place unless
/// it has one. A caller that has a place gives it back when the message is refused.
#[expect(clippy::inline_always, reason = "so that a plain tell has no options to look at")]
#[inline(always)]
fn clear<M: Send + 'static>(
    door: &(impl Door + ?Sized),
    options: SendOptions,
    by: Option<Timestamp>,
    mut message: M,
    has_place: bool,
) -> Result<(Meta, M), Refused<M>> {
    let hub = door.hub();
    let writer = door.writer();
    let lane = options.lane();
    hub.direct.ledger.sent(writer, 1);
    let meta = options.stamp(hub, writer, by);
    if !hub.interventions.is_empty() {
        let shown = Shown::Owned(&mut message);
        let passed = hub.interventions.outbound(&mut Passage::new(Some(door.id()), None, &meta, shown));
        if let Err(objection) = passed {
            let (to, reason) = (door.id().clone(), Reason::Intervened);
            hub.lose(
                writer,
                &hub.direct,
                &to,
                lost_message(Parcel { meta, message }, reason, Some(objection)),
            );
            hub.settled();
            return Err(Refused { to, reason, message: None });
        }
    }
    match if has_place { Ok(()) } else { door.admit(lane) } {
        Ok(()) => Ok((meta, message)),
        Err(reason) => Err(refuse(door, reason, Some(message))),
    }
}

#[cold]
fn refuse<M: Send + 'static>(door: &(impl Door + ?Sized), reason: Reason, message: Option<M>) -> Refused<M> {
    let hub = door.hub();
    hub.lose_gone(hub.writer(), &hub.direct, door.id(), reason, crate::agent::short_type_name::<M>());
    hub.settled();
    Refused { to: door.id().clone(), reason, message }
}

/// Waits until there is a place, and takes it. Anything but want of room ends the wait, too.
async fn take_place(door: &dyn Door, lane: Lane) -> Result<(), Reason> {
    loop {
        let room = door.room().notified();
        tokio::pin!(room);
        room.as_mut().enable();
        match door.admit(lane) {
            Err(Reason::Congested) => door.port().wait_for_room(lane).await,
            Err(Reason::Full) => room.await,
            decided => return decided,
        }
    }
}

/// A hosted agent whose type is known. Cheap to clone, may be sent anywhere.
pub struct AgentRef<A: Agent> {
    inbox: Arc<Inbox<A>>,
}

impl<A: Agent> Clone for AgentRef<A> {
    fn clone(&self) -> Self {
        Self { inbox: self.inbox.clone() }
    }
}

impl<A: Agent> AgentRef<A> {
    pub(crate) fn new(inbox: Arc<Inbox<A>>) -> Self {
        Self { inbox }
    }

    /// The agent's identity.
    pub fn id(&self) -> &AgentId {
        &self.inbox.id
    }

    /// The actix address, the same in every incarnation unless the first one broke in a `ctx.wait` of its `started()`.
    /// What is sent there is neither bounded nor accounted.
    pub fn address(&self) -> Addr<A> {
        self.inbox.address()
    }

    #[cfg(test)]
    pub(crate) fn downgrade(&self) -> std::sync::Weak<Inbox<A>> {
        Arc::downgrade(&self.inbox)
    }

    /// The same agent without its type.
    pub fn handle(&self) -> AgentHandle {
        AgentHandle { door: self.inbox.clone() }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`Refused`] says why the agent did not take it, and gives it back where it can.
    #[inline]
    pub fn tell<M, How>(&self, message: M) -> Result<(), Refused<M>>
    where
        A: Takes<M, How>,
        M: Message + Send + 'static,
    {
        self.tell_with(message, SendOptions::new())
    }

    /// Sends a message, saying more about it.
    ///
    /// # Errors
    /// [`Refused`] says why the agent did not take it, and gives it back where it can.
    #[expect(clippy::inline_always, reason = "so that a plain tell has no options to look at")]
    #[inline(always)]
    pub fn tell_with<M, How>(&self, message: M, options: SendOptions) -> Result<(), Refused<M>>
    where
        A: Takes<M, How>,
        M: Message + Send + 'static,
    {
        let (meta, message) = clear(&*self.inbox, options, None, message, false)?;
        let lane = meta.lane();
        self.inbox.deliver(lane, A::seal(Parcel { meta, message }, None).0);
        Ok(())
    }

    /// Sends a message as soon as the inbox has room for it.
    ///
    /// # Errors
    /// [`Refused`] when it is refused for another reason than want of room.
    pub async fn tell_waiting<M, How>(&self, message: M, options: SendOptions) -> Result<(), Refused<M>>
    where
        A: Takes<M, How>,
        M: Message + Send + 'static,
    {
        let lane = options.lane();
        let has_place = take_place(&*self.inbox, lane).await.is_ok();
        let cleared = clear(&*self.inbox, options, None, message, has_place);
        if has_place && cleared.is_err() {
            Door::give_back(self.inbox.clone(), lane);
        }
        let (meta, message) = cleared?;
        self.inbox.deliver(lane, A::seal(Parcel { meta, message }, None).0);
        Ok(())
    }

    /// Asks: sends a message and waits for what its handler answers.
    pub fn ask<M, How>(
        &self,
        message: M,
    ) -> Ask<'_, M::Result, impl FnOnce(SendOptions, Timestamp) -> Asked<M::Result>>
    where
        A: Takes<M, How>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let inbox = &self.inbox;
        Ask::new(inbox.hub(), move |options, by| {
            let (meta, message) =
                clear(&**inbox, options, Some(by), message, false).map_err(|refused| refused.reason)?;
            let lane = meta.lane();
            let (reply, answer) = Reply::new();
            inbox.deliver(lane, A::seal(Parcel { meta, message }, Some(SealedReply(reply))).0);
            Ok(answer)
        })
    }

    /// Lets nothing more in, lets the agent handle what it holds, then stops it.
    pub fn stop(&self) {
        self.inbox.send_command(Command::Drain);
    }

    /// Stops the agent at once; what it holds is accounted as failed.
    pub fn kill(&self) {
        self.inbox.send_command(Command::Kill(ExitReason::Killed));
    }

    /// A look into the inbox.
    pub fn status(&self) -> InboxStatus {
        Door::status(&*self.inbox)
    }
}

impl<A: Agent> fmt::Debug for AgentRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentRef({})", self.id())
    }
}

/// A hosted agent whose type is not known: what it accepts is looked up when something is sent.
#[derive(Clone)]
pub struct AgentHandle {
    pub(crate) door: Arc<dyn Door>,
}

impl fmt::Debug for AgentHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentHandle({})", self.id())
    }
}

impl AgentHandle {
    /// The agent's identity.
    pub fn id(&self) -> &AgentId {
        self.door.id()
    }

    /// What the agent said of itself.
    pub fn listing(&self) -> &Arc<Listing> {
        self.door.listing()
    }

    /// Which incarnation serves the inbox.
    pub fn generation(&self) -> u32 {
        self.door.generation()
    }

    /// Whether the agent takes messages: it has neither stopped nor been told to.
    pub fn is_open(&self) -> bool {
        self.door.is_open()
    }

    /// Whether the agent is no more. One that was told to stop goes on until it has handled what it holds.
    pub fn has_ended(&self) -> bool {
        self.door.has_ended()
    }

    /// Injects a fault: a panic, as if one of the agent's futures had panicked. An agent that waits in `ctx.wait` is struck
    /// at once, too.
    pub fn inject_panic(&self, text: impl Into<String>) {
        self.door.clone().command(Command::Panic(text.into()));
    }

    /// Whether the agent accepts messages of this type.
    pub fn accepts<M: 'static>(&self) -> bool {
        self.door.accept(TypeId::of::<M>()).is_some()
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`Refused`] says why the agent did not take it, and gives it back where it can.
    pub fn tell<M>(&self, message: M) -> Result<(), Refused<M>>
    where
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.tell_with(message, SendOptions::new())
    }

    /// Sends a message, saying more about it.
    ///
    /// # Errors
    /// [`Refused`] says why the agent did not take it, and gives it back where it can.
    pub fn tell_with<M>(&self, message: M, options: SendOptions) -> Result<(), Refused<M>>
    where
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.send(message, options, None, None, false)
    }

    /// Sends a message as soon as the inbox has room for it.
    ///
    /// # Errors
    /// [`Refused`] when it is refused for another reason than want of room.
    pub async fn tell_waiting<M>(&self, message: M, options: SendOptions) -> Result<(), Refused<M>>
    where
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let has_place = take_place(&*self.door, options.lane()).await.is_ok();
        self.send(message, options, None, None, has_place)
    }

    /// Waits until it may have room for a message of this lane: others may take it first. Anything but want of room ends
    /// the wait, too.
    pub(crate) async fn room(&self, lane: Lane) {
        if take_place(&*self.door, lane).await.is_ok() {
            self.door.clone().give_back(lane);
        }
    }

    /// Asks: sends a message and waits for what its handler answers.
    pub fn ask<M>(
        &self,
        message: M,
    ) -> Ask<'_, M::Result, impl FnOnce(SendOptions, Timestamp) -> Asked<M::Result>>
    where
        M: Message + Send + 'static,
        M::Result: Send,
    {
        Ask::new(self.door.hub(), move |options, by| self.ask_now(message, options, by))
    }

    /// Sends a message now, for an answer by a deadline of the host's clock. The answer, or why there is none, comes by the
    /// receiver; one that is dropped makes the answer a late one.
    ///
    /// # Errors
    /// [`Reason`] says why the agent did not take it.
    pub fn ask_by<M>(&self, message: M, options: SendOptions, by: Timestamp) -> Asked<M::Result>
    where
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.ask_now(message, options, by)
    }

    pub(crate) fn ask_now<M>(&self, message: M, options: SendOptions, by: Timestamp) -> Asked<M::Result>
    where
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let (reply, answer) = Reply::new();
        self.send(message, options, Some(by), Some(reply), false).map_err(|refused| refused.reason)?;
        Ok(answer)
    }

    /// Counts a message that was sent here and refused, where a place was asked for before.
    pub(crate) fn turn_away<M: Send + 'static>(&self, message: M, reason: Reason) -> Refused<M> {
        let hub = self.door.hub();
        hub.direct.ledger.sent(hub.writer(), 1);
        refuse(&*self.door, reason, Some(message))
    }

    /// Sends a message; with `has_place`, the place that it takes was given by the door before.
    pub(crate) fn send<M>(
        &self,
        message: M,
        options: SendOptions,
        by: Option<Timestamp>,
        reply: Option<Reply<M::Result>>,
        has_place: bool,
    ) -> Result<(), Refused<M>>
    where
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let Some(accept) = self.door.accept(TypeId::of::<M>()) else {
            let hub = self.door.hub();
            hub.direct.ledger.sent(hub.writer(), 1);
            if has_place {
                self.door.clone().give_back(options.lane());
            }
            return Err(refuse(&*self.door, Reason::NotAccepted, Some(message)));
        };
        let lane = options.lane();
        let cleared = clear(&*self.door, options, by, message, has_place);
        if has_place && cleared.is_err() {
            self.door.clone().give_back(lane);
        }
        let (meta, message) = cleared?;
        let direct = Box::new(Direct::<M, ByValue>::new(Parcel { meta, message }, reply));
        self.door.clone().offer(accept, lane, direct);
        Ok(())
    }

    /// Lets nothing more in, lets the agent handle what it holds, then stops it.
    pub fn stop(&self) {
        self.door.clone().command(Command::Drain);
    }

    /// Stops the agent at once; what it holds is accounted as failed.
    pub fn kill(&self) {
        self.door.clone().command(Command::Kill(ExitReason::Killed));
    }

    /// A look into the inbox.
    pub fn status(&self) -> InboxStatus {
        self.door.status()
    }

    pub(crate) fn push(&self, lane: Lane, packed: &std::rc::Rc<Packed>, accept: u16, position: u32) {
        self.door.push(lane, packed, accept, position);
    }
}
