//! How a queued message meets its handler, whatever its type: [`Envelope`] for one message, [`Accept`] for each type
//! that an agent takes.
//!
//! ```text
//! tell, ask: Direct<M> --Box<dyn Envelope<A>>--> open() ----+--> A::handle(M) or A::handle(Delivery<M>)
//! publish:   Rc<Batch<M>> + the agent's Accept<A> --run()---+         |
//!                                                      reply, outcome --> Stint
//! ```
//!
//! **Invariant.** Opening an envelope or running a message of a batch ends in exactly one outcome noted in the
//! [`Stint`], or unwinds, in which case the caller counts that one message as failed.

use std::{
    any::{Any, TypeId},
    cell::Cell,
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use actix::{
    Context, Handler, Message, MessageResult,
    dev::{MessageResponse, OneshotSender},
};
use tokio::sync::oneshot;

use super::{
    Agent, AgentId, Delivery, Interventions, Meta, Objection, Parcel, Passage, Reason, Timestamp,
    intervention::Shown,
    outcome::short_type_name,
    walk::{Passed, run, unpacked},
};

/// How a message whose handler had not ended at once came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Delivered,
    /// Delivered, but whoever asked had gone.
    Late,
    Failed,
}

/// The rest of a response, with whoever waits for it.
pub(crate) trait Outstanding: Future<Output = Ended> + Unpin {
    /// Ends it now: as delivered when the value is there already, else as failed, telling whoever asked why.
    fn give_up(&mut self, reason: Reason) -> Ended;
}

pub(crate) type Unfinished = Box<dyn Outstanding>;

struct Awaited<R> {
    value: oneshot::Receiver<R>,
    reply: Option<Reply<R>>,
}

impl<R> Awaited<R> {
    fn end(&mut self, value: Option<R>, reason: Reason) -> Ended {
        match (value, self.reply.take()) {
            (Some(_), None) => Ended::Delivered,
            (Some(value), Some(reply)) => reply.answer(value),
            (None, reply) => {
                if let Some(reply) = reply {
                    reply.refuse(reason);
                }
                Ended::Failed
            }
        }
    }
}

impl<R> Future for Awaited<R> {
    type Output = Ended;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Ended> {
        let this = self.get_mut();
        // The sender is dropped when the future of the response panics, or its actor is restarted.
        Pin::new(&mut this.value).poll(cx).map(|value| this.end(value.ok(), Reason::Panicked))
    }
}

impl<R> Outstanding for Awaited<R> {
    fn give_up(&mut self, reason: Reason) -> Ended {
        let value = self.value.try_recv().ok();
        self.end(value, reason)
    }
}

/// A message that was not handled, for the dead letters.
pub(crate) struct Lost {
    pub(crate) reason: Reason,
    pub(crate) objection: Option<Objection>,
    pub(crate) name: &'static str,
    pub(crate) meta: Meta,
    pub(crate) content: Content,
}

/// The content of a lost message.
pub(crate) enum Content {
    Owned(Box<dyn Any + Send>),
    Shared(Arc<dyn Any + Send + Sync>),
}

/// What one uninterrupted run over an inbox may do and has done.
pub(crate) struct Stint<'a> {
    pub(crate) me: &'a AgentId,
    pub(crate) interventions: &'a Interventions,
    pub(crate) now: &'a dyn Fn() -> Timestamp,
    /// Set when something of another lane came in: stop and look again.
    pub(crate) preempt: &'a Cell<bool>,
    /// How many more messages may be handled.
    pub(crate) left: u32,
    pub(crate) delivered: u32,
    pub(crate) late: u32,
    pub(crate) failed: u32,
    /// The position in its batch of the message being handled; 0 for a single one.
    pub(crate) at: u16,
    /// Whether the message at a position is one that the agent has got already; `None` when none can be.
    pub(crate) repeats: Option<&'a dyn Fn(u16) -> bool>,
    /// Those whose responses go on, with their positions.
    pub(crate) unfinished: Vec<(u16, Unfinished)>,
    /// Those that were not handled, with their positions.
    pub(crate) lost: Vec<(u16, Lost)>,
}

impl Stint<'_> {
    pub(super) fn is_overdue(&self, meta: &Meta) -> bool {
        meta.deadline().is_some_and(|deadline| (self.now)() > deadline)
    }

    /// Notes that the message at hand is not handled.
    pub(super) fn lose(&mut self, lost: Lost) {
        self.lost.push((self.at, lost));
    }

    fn note(&mut self, ended: Ended) {
        match ended {
            Ended::Delivered => self.delivered += 1,
            Ended::Late => {
                self.delivered += 1;
                self.late += 1;
            }
            Ended::Failed => self.failed += 1,
        }
    }
}

/// Where an answer goes.
pub(crate) struct Reply<R>(oneshot::Sender<Result<R, Reason>>);

impl<R> Reply<R> {
    pub(crate) fn new() -> (Self, oneshot::Receiver<Result<R, Reason>>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    fn answer(self, value: R) -> Ended {
        if self.0.send(Ok(value)).is_ok() { Ended::Delivered } else { Ended::Late }
    }

    pub(crate) fn refuse(self, reason: Reason) {
        // Whoever asked has gone: nobody is left to tell.
        let _ = self.0.send(Err(reason));
    }
}

/// A queued message for one agent of type `A`.
pub(crate) trait Envelope<A: Agent>: Send {
    /// Hands the message to its handler.
    fn open(self: Box<Self>, agent: &mut A, context: &mut Context<A>, stint: &mut Stint<'_>);
    /// Gives the message up, telling whoever waits for an answer.
    fn give_up(self: Box<Self>, reason: Reason) -> Lost;
}

/// Marks messages that are handled by value.
pub enum ByValue {}
/// Marks messages that are handled as [`Delivery`].
pub enum ByDelivery {}

/// One message on its way to one agent.
pub(crate) struct Direct<M: Message, How> {
    pub(crate) parcel: Parcel<M>,
    pub(crate) reply: Option<Reply<M::Result>>,
    how: PhantomData<fn(How)>,
}

impl<M: Message, How> Direct<M, How> {
    pub(crate) fn new(parcel: Parcel<M>, reply: Option<Reply<M::Result>>) -> Self {
        Self { parcel, reply, how: PhantomData }
    }
}

impl<M, How> Direct<M, How>
where
    M: Message + Send + 'static,
{
    fn lose(self, reason: Reason, objection: Option<Objection>) -> Lost {
        if let Some(reply) = self.reply {
            reply.refuse(reason);
        }
        lost_message(self.parcel, reason, objection)
    }

    /// What must be true before the handler is called; gives the message back when it is.
    #[inline]
    fn clear(self: Box<Self>, stint: &mut Stint<'_>) -> Option<Box<Self>> {
        if self.parcel.meta.may_expire() || !stint.interventions.is_empty() {
            self.inspect(stint)
        } else {
            Some(self)
        }
    }

    #[inline(never)]
    fn inspect(mut self: Box<Self>, stint: &mut Stint<'_>) -> Option<Box<Self>> {
        if stint.is_overdue(&self.parcel.meta) {
            stint.lose(self.lose(Reason::Expired, None));
            return None;
        }
        if self.parcel.meta.is_recalled() {
            stint.lose(self.lose(Reason::Recalled, None));
            return None;
        }
        if !stint.interventions.is_empty() {
            let Parcel { meta, message } = &mut self.parcel;
            let mut passage = Passage::new(Some(stint.me), None, meta, Shown::Owned(message));
            if let Err(objection) = stint.interventions.inbound(&mut passage) {
                stint.lose(self.lose(Reason::Intervened, Some(objection)));
                return None;
            }
        }
        Some(self)
    }
}

impl<A, M> Envelope<A> for Direct<M, ByValue>
where
    A: Agent + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn open(self: Box<Self>, agent: &mut A, context: &mut Context<A>, stint: &mut Stint<'_>) {
        if let Some(cleared) = self.clear(stint) {
            let Self { parcel, reply, .. } = *cleared;
            let response = agent.handle(parcel.message, context);
            respond::<A, M, _>(response, context, reply, stint);
        }
    }

    fn give_up(self: Box<Self>, reason: Reason) -> Lost {
        self.lose(reason, None)
    }
}

impl<A, M> Envelope<A> for Direct<M, ByDelivery>
where
    A: Agent + Handler<Delivery<M>>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn open(self: Box<Self>, agent: &mut A, context: &mut Context<A>, stint: &mut Stint<'_>) {
        if let Some(cleared) = self.clear(stint) {
            let Self { parcel, reply, .. } = *cleared;
            let response = agent.handle(Delivery::single(Arc::new(parcel)), context);
            respond::<A, Delivery<M>, _>(response, context, reply, stint);
        }
    }

    fn give_up(self: Box<Self>, reason: Reason) -> Lost {
        self.lose(reason, None)
    }
}

/// Takes a value out of a response that is nothing but the value.
fn immediate<N: Message + 'static, R: 'static>(response: R) -> Result<N::Result, R> {
    let mut response = Some(response);
    let any: &mut dyn Any = &mut response;
    if let Some(value) = any.downcast_mut::<Option<N::Result>>() {
        return Ok(value.take().expect("it was put there above"));
    }
    if let Some(value) = any.downcast_mut::<Option<MessageResult<N>>>() {
        return Ok(value.take().expect("it was put there above").0);
    }
    Err(response.expect("nothing took it"))
}

fn respond<A, N, R>(
    response: R,
    context: &mut Context<A>,
    reply: Option<Reply<N::Result>>,
    stint: &mut Stint<'_>,
) where
    A: Agent,
    N: Message + 'static,
    R: MessageResponse<A, N> + 'static,
{
    match immediate::<N, R>(response) {
        Ok(value) => stint.note(reply.map_or(Ended::Delivered, |reply| reply.answer(value))),
        Err(response) => {
            let (sender, mut receiver): (OneshotSender<N::Result>, _) = oneshot::channel();
            response.handle(context, Some(sender));
            match receiver.try_recv() {
                Ok(value) => stint.note(reply.map_or(Ended::Delivered, |reply| reply.answer(value))),
                Err(_) => stint.unfinished.push((stint.at, Box::new(Awaited { value: receiver, reply }))),
            }
        }
    }
}

type Open<A> = fn(Box<dyn Any + Send>) -> Result<Box<dyn Envelope<A>>, Box<dyn Any + Send>>;
type Run<A> = fn(&Rc<dyn Any>, &mut u16, &mut A, &mut Context<A>, &mut Stint<'_>);

/// One message type that agents of type `A` take, and how it meets its handler.
pub(crate) struct Accept<A: Agent> {
    pub(crate) message: TypeId,
    /// The short name of the type; asked for once per profile, not per agent.
    pub(crate) name: fn() -> &'static str,
    /// Whether the agent handles it as [`Delivery`].
    pub(crate) shares: bool,
    /// Turns a boxed `Direct<M, ByValue>` into an envelope for `A`.
    pub(crate) open: Open<A>,
    /// Handles messages of an `Rc<Batch<M>>` from the given position on, moving the position before each.
    pub(crate) run: Run<A>,
}

impl<A: Agent> Clone for Accept<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: Agent> Copy for Accept<A> {}

impl<A: Agent> Accept<A> {
    pub(crate) fn plain<M>() -> Self
    where
        A: Handler<M>,
        M: Message + Clone + Send + Sync + 'static,
        M::Result: Send,
    {
        Self {
            message: TypeId::of::<M>(),
            name: short_type_name::<M>,
            shares: false,
            open: |boxed| Ok(boxed.downcast::<Direct<M, ByValue>>()?),
            run: |batch, at, agent, context, stint| {
                let batch = unpacked::<M>(batch);
                let copies = batch.copies();
                run(&batch, at, stint, |passed, stint| {
                    let message = match passed {
                        Passed::Original(at) => batch.copy(copies, at),
                        Passed::Rewritten(parcel) => parcel.message,
                    };
                    let response = agent.handle(message, context);
                    respond::<A, M, _>(response, context, None, stint);
                    context_is_waiting(context)
                });
            },
        }
    }

    pub(crate) fn delivery<M>() -> Self
    where
        A: Handler<Delivery<M>>,
        M: Message + Send + Sync + 'static,
        M::Result: Send,
    {
        Self {
            message: TypeId::of::<M>(),
            name: short_type_name::<M>,
            shares: true,
            open: |boxed| {
                let direct = boxed.downcast::<Direct<M, ByValue>>()?;
                Ok(Box::new(Direct::<M, ByDelivery>::new(direct.parcel, direct.reply)))
            },
            run: |batch, at, agent, context, stint| {
                let batch = unpacked::<M>(batch);
                run(&batch, at, stint, |passed, stint| {
                    let delivery = match passed {
                        Passed::Original(at) => Delivery::batched(&batch, at),
                        Passed::Rewritten(parcel) => Delivery::single(Arc::new(parcel)),
                    };
                    let response = agent.handle(delivery, context);
                    respond::<A, Delivery<M>, _>(response, context, None, stint);
                    context_is_waiting(context)
                });
            },
        }
    }
}

fn context_is_waiting<A: Agent>(context: &Context<A>) -> bool {
    use actix::AsyncContext;
    context.waiting()
}

pub(crate) fn lost_message<M>(parcel: Parcel<M>, reason: Reason, objection: Option<Objection>) -> Lost
where
    M: Send + 'static,
{
    Lost {
        reason,
        objection,
        name: short_type_name::<M>(),
        meta: parcel.meta,
        content: Content::Owned(Box::new(parcel.message)),
    }
}

pub(crate) fn lost_parcel<M>(parcel: &Arc<Parcel<M>>, reason: Reason, objection: Option<Objection>) -> Lost
where
    M: Send + Sync + 'static,
{
    Lost {
        reason,
        objection,
        name: short_type_name::<M>(),
        meta: parcel.meta.clone(),
        content: Content::Shared(Arc::clone(parcel) as Arc<dyn Any + Send + Sync>),
    }
}
