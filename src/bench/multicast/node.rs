//! [`Node`], the agent that the workload goes to, and [`Note`], what it gets.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use actix::{Actor, Context, Handler, Message, MessageResponse, ResponseFuture, Supervised};
use phalanx_actors::agent::{Agent, Card};
use tokio::{sync::Mutex, time::sleep};

use super::workload::{Nodes, Workload};

/// What all nodes offer, and messages go to.
pub(super) const MESSAGING: &str = "messaging";
/// What they offer besides.
pub(super) const ROUTING: &str = "routing";

/// A message.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(super) struct Note {
    /// Who sends it.
    pub(super) sender: u32,
    /// Its number among those of its sender.
    pub(super) number: u32,
}

/// Asks how many messages were handled.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Handled")]
pub(super) struct HowMany;

/// What an agent handled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, MessageResponse)]
pub(super) struct Handled {
    /// How many messages.
    pub(super) messages: u64,
    /// How many of them did not follow the one before of the same sender.
    pub(super) disordered: u64,
}

/// What a node has handled to the end.
#[derive(Default)]
struct Seen {
    handled: Handled,
    /// The number that is next, of each sender.
    next: Vec<u32>,
}

impl Seen {
    fn note(&mut self, Note { sender, number }: Note) {
        let sender = usize::try_from(sender).expect("a count of senders fits");
        if self.next.len() <= sender {
            self.next.resize(sender + 1, 0);
        }
        let next = &mut self.next[sender];
        self.handled.messages += 1;
        self.handled.disordered += u64::from(number != *next);
        *next = number + 1;
    }
}

/// A node whose handler answers when the delivery has taken its time, and, where it handles one message at a time, when its
/// turn has come and is over.
pub(super) struct Node {
    delivery: Duration,
    busy: Option<(Arc<Mutex<()>>, Duration)>,
    seen: Rc<RefCell<Seen>>,
}

impl Node {
    pub(super) fn new(workload: &Workload, nodes: Nodes) -> Self {
        let busy = match nodes {
            Nodes::AtOnce => None,
            Nodes::OneAtATime => Some((Arc::default(), workload.busy(nodes))),
        };
        Self { delivery: workload.delivery(), busy, seen: Rc::default() }
    }
}

impl Actor for Node {
    type Context = Context<Self>;
}

impl Supervised for Node {}

impl Handler<Note> for Node {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, note: Note, _: &mut Context<Self>) -> ResponseFuture<()> {
        let (delivery, busy, seen) = (self.delivery, self.busy.clone(), self.seen.clone());
        Box::pin(async move {
            sleep(delivery).await;
            if let Some((turn, each)) = busy {
                // Who came first has its turn first.
                let _turn = turn.lock().await;
                sleep(each).await;
            }
            seen.borrow_mut().note(note);
        })
    }
}

impl Handler<HowMany> for Node {
    type Result = Handled;

    fn handle(&mut self, _: HowMany, _: &mut Context<Self>) -> Handled {
        self.seen.borrow().handled
    }
}

impl Agent for Node {
    fn card(&self) -> Card<Self> {
        Card::new().kind("node").offers(MESSAGING).offers(ROUTING).accepts::<Note>().accepts::<HowMany>()
    }
}

/// A node that counts, and is done at once.
#[derive(Default)]
pub(super) struct Counter(Handled);

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Supervised for Counter {}

impl Handler<Note> for Counter {
    type Result = ();

    fn handle(&mut self, _: Note, _: &mut Context<Self>) {
        self.0.messages += 1;
    }
}

impl Handler<HowMany> for Counter {
    type Result = Handled;

    fn handle(&mut self, _: HowMany, _: &mut Context<Self>) -> Handled {
        self.0
    }
}

impl Agent for Counter {
    fn card(&self) -> Card<Self> {
        Card::new().kind("node").offers(MESSAGING).offers(ROUTING).accepts::<Note>().accepts::<HowMany>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_twice_one_left_out_and_one_too_early_are_out_of_order() {
        let disordered = |numbers: &[u32]| {
            let mut seen = Seen::default();
            for number in numbers {
                seen.note(Note { sender: 3, number: *number });
            }
            seen.note(Note { sender: 1, number: 0 });
            assert_eq!(seen.handled.messages, numbers.len() as u64 + 1);
            seen.handled.disordered
        };
        assert_eq!(disordered(&[0, 1, 2]), 0);
        assert_eq!([&[0, 0][..], &[0, 2], &[1, 0]].map(disordered), [1, 1, 2]);
    }
}
