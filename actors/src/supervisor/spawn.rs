//! Spawning: from a factory to a running agent with an inbox, on the arbiter where this is called.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use actix::{AsyncContext, Context};
use hashbrown::HashTable;
use tokio::sync::oneshot;

use super::{
    Factory, Rule, Supervision,
    keeper::{Keeper, Origin, panicked},
};
use crate::{
    agent::{Agent, AgentId, Card, ExitReason, InvalidName, Me},
    inbox::{AgentRef, ArbiterPort, Arrival, Hub, Inbox, InboxConfig, Profile},
};

/// Why an agent was not spawned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpawnError {
    /// Its id, or a name on its card, is no name.
    #[error("agent {agent}: {fault}")]
    Name {
        /// Whose.
        agent: String,
        /// What is wrong with the name.
        fault: InvalidName,
    },
    /// Its factory or its `card()` panicked.
    #[error("agent {agent}: its factory panicked: {text}")]
    Panicked {
        /// Whose.
        agent: AgentId,
        /// The text of the panic.
        text: String,
    },
    /// Another agent has this id.
    #[error("agent {agent} exists already: choose another id, or stop the other one first")]
    Taken {
        /// The id that both want.
        agent: AgentId,
    },
    /// The host, or the arbiter that should run it, is shutting down.
    #[error("agent {agent}: the host is shutting down")]
    ShuttingDown {
        /// Whose.
        agent: AgentId,
    },
    /// The registrar or the coordinator was restarted with the answer in its hands. Transient.
    #[error("agent {agent}: its registration was not answered: try again")]
    NoAnswer {
        /// Whose.
        agent: AgentId,
    },
    /// Its registration was refused or cancelled.
    #[error("agent {agent} was not registered: {why}")]
    Unregistered {
        /// Whose.
        agent: AgentId,
        /// Why.
        why: String,
    },
}

/// Some of the agents that were to be spawned together could not be, so none was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct SpawnFailed {
    /// Why.
    pub error: SpawnError,
    /// Those that had been spawned already. They were killed, and the end of each is told like any other.
    pub killed: Vec<AgentId>,
}

/// How an agent is hosted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SpawnOptions {
    /// The bounds of its inbox.
    pub inbox: InboxConfig,
    /// When and how it is restarted.
    pub supervision: Supervision,
    /// Which arbiter runs it, counted from 0; by default they take turns.
    pub arbiter: Option<usize>,
}

fn build<A: Agent>(id: &AgentId, factory: &Factory<A>) -> Result<(A, Card<A>), SpawnError> {
    let me = Me { id: id.clone(), generation: 0 };
    catch_unwind(AssertUnwindSafe(|| {
        let agent = factory(&me);
        let card = agent.card();
        (agent, card)
    }))
    .map_err(|panic| {
        let text = match panicked(panic) {
            ExitReason::Panicked(text) => text,
            other => other.to_string(),
        };
        SpawnError::Panicked { agent: id.clone(), text }
    })
}

/// Changes a card before the agent is spawned, as a manifest does that adds capabilities.
pub(crate) type Amend<A> = Arc<dyn Fn(Card<A>) -> Card<A> + Send + Sync>;

/// Agents that nobody has taken over yet: whoever wanted them may be gone before the answer is looked at. Dropped, they
/// are killed.
pub(crate) struct Spawned<A: Agent>(Vec<AgentRef<A>>);

impl<A: Agent> Spawned<A> {
    pub(crate) fn new(agents: Vec<AgentRef<A>>) -> Self {
        Self(agents)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &AgentId> {
        self.0.iter().map(AgentRef::id)
    }

    pub(crate) fn join(&mut self, others: Self) {
        self.0.extend(others.take());
    }

    /// Takes them over.
    pub(crate) fn take(mut self) -> Vec<AgentRef<A>> {
        std::mem::take(&mut self.0)
    }
}

impl<A: Agent> Drop for Spawned<A> {
    fn drop(&mut self) {
        self.0.iter().for_each(AgentRef::kill);
    }
}

/// To how many deliveries one spawn comes.
const SPAWN_WEIGHT: usize = 8;

/// How many different cards of agents that are spawned together are known at a time.
const CARDS: usize = 1_024;

/// Cards by what they say, and the profile of all agents whose cards say the same.
struct Known<A: Agent> {
    cards: HashTable<(u64, Card<A>, Arc<Profile<A>>)>,
}

impl<A: Agent> Known<A> {
    fn new() -> Self {
        Self { cards: HashTable::new() }
    }

    /// The profile of this card, made when there is none.
    fn profile(
        &mut self,
        card: Card<A>,
        make: impl FnOnce(&Card<A>) -> Result<Arc<Profile<A>>, SpawnError>,
    ) -> Result<Arc<Profile<A>>, SpawnError> {
        let hash = card.hash();
        if let Some((.., profile)) = self.cards.find(hash, |(_, known, _)| known.is_like(&card)) {
            return Ok(profile.clone());
        }
        let profile = make(&card)?;
        if self.cards.len() >= CARDS {
            self.cards.clear();
        }
        self.cards.insert_unique(hash, (hash, card, profile.clone()), |(hash, ..)| *hash);
        Ok(profile)
    }
}

/// Spawns agents of one type on the arbiter at whose port it arrives.
pub(crate) struct SpawnJob<A: Agent> {
    pub(crate) hub: Arc<Hub>,
    pub(crate) port: Arc<ArbiterPort>,
    pub(crate) ids: Vec<AgentId>,
    pub(crate) factory: Factory<A>,
    pub(crate) amend: Option<Amend<A>>,
    pub(crate) inbox: InboxConfig,
    pub(crate) rule: Arc<Rule>,
    pub(crate) answer: oneshot::Sender<Result<Spawned<A>, SpawnFailed>>,
}

impl<A: Agent> SpawnJob<A> {
    fn spawn_all(&self) -> Result<Vec<AgentRef<A>>, SpawnFailed> {
        let mut agents: Vec<AgentRef<A>> = Vec::with_capacity(self.ids.len());
        let origin = Arc::new(Origin { factory: self.factory.clone(), rule: self.rule.clone() });
        let mut known = Known::new();
        for id in &self.ids {
            match self.spawn_one(id, &origin, &mut known) {
                Ok(agent) => agents.push(agent),
                Err(error) => {
                    // All or nothing: what runs already is taken back.
                    agents.iter().for_each(AgentRef::kill);
                    let killed = agents.iter().map(|agent| agent.id().clone()).collect();
                    return Err(SpawnFailed { error, killed });
                }
            }
        }
        Ok(agents)
    }

    fn spawn_one(
        &self,
        id: &AgentId,
        origin: &Arc<Origin<A>>,
        known: &mut Known<A>,
    ) -> Result<AgentRef<A>, SpawnError> {
        let (agent, card) = build(id, &self.factory)?;
        let card = match &self.amend {
            Some(amend) => amend(card),
            None => card,
        };
        let profile = known.profile(card, |card| self.profile(id, card))?;
        let context = Context::new();
        let inbox = Inbox::new(id.clone(), profile, context.address());
        let future = context.into_future(agent);
        let agent = AgentRef::new(inbox.clone());
        if let Rule::Group(overseer, supervision) = &*origin.rule {
            overseer.joins(agent.handle(), *supervision);
        }
        Keeper::new(future, inbox, origin.clone()).launch();
        Ok(agent)
    }

    fn profile(&self, id: &AgentId, card: &Card<A>) -> Result<Arc<Profile<A>>, SpawnError> {
        let listing = card.listing().map_err(|fault| SpawnError::Name { agent: id.to_string(), fault })?;
        Ok(Arc::new(Profile {
            writer: self.hub.writer_of(self.port.owner()),
            hub: self.hub.clone(),
            port: self.port.clone(),
            listing: Arc::new(listing),
            accepts: card.accepts.clone().into_boxed_slice(),
            config: self.inbox.within_bounds(),
        }))
    }
}

impl<A: Agent> Arrival for SpawnJob<A> {
    fn weight(&self) -> usize {
        self.ids.len() * SPAWN_WEIGHT
    }

    fn arrive(self: Box<Self>) {
        let result = self.spawn_all().map(Spawned::new);
        // Not taken, they are killed.
        let _ = self.answer.send(result);
    }
}

#[cfg(test)]
mod tests {
    use actix::{Actor, Supervised};

    use super::*;
    use crate::inbox::HubConfig;

    struct Idler;
    impl Actor for Idler {
        type Context = Context<Self>;
    }
    impl Supervised for Idler {}
    impl Agent for Idler {
        fn card(&self) -> Card<Self> {
            Card::new()
        }
    }

    /// Says one of a few things on its card.
    struct Sorted(u32);
    impl Actor for Sorted {
        type Context = Context<Self>;
    }
    impl Supervised for Sorted {}
    impl Agent for Sorted {
        fn card(&self) -> Card<Self> {
            let card = Card::new().offers(format!("sort_{}", self.0 % 3));
            // Said in either order, and apart by what is compared alone.
            let card = if self.0 < 6 {
                card.with("a", "1").with("b", "2")
            } else {
                card.with("b", "2").with("a", "1")
            };
            card.at(f64::from(self.0 / 12), 0.0)
        }
    }

    #[test]
    fn agents_that_are_spawned_together_share_what_their_cards_say_in_whatever_order_they_come() {
        actix_rt::System::new().block_on(async {
            let port = ArbiterPort::here();
            let hub = Hub::new(HubConfig::default(), vec![port.clone()]);
            let (answer, mut spawned) = oneshot::channel();
            let number = std::sync::atomic::AtomicU32::new(0);
            let next = move |_: &Me| Sorted(number.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            let job = SpawnJob {
                hub,
                port,
                ids: (0..24).map(|number| AgentId::new(number.to_string()).unwrap()).collect(),
                factory: Arc::new(next),
                amend: None,
                inbox: InboxConfig::default(),
                rule: Arc::new(Rule::Own(Supervision::default())),
                answer,
            };
            Box::new(job).arrive();
            let agents = spawned.try_recv().unwrap().unwrap().take();
            for (one, agent) in agents.iter().enumerate() {
                for (other, another) in agents.iter().enumerate() {
                    let (agent, another) = (agent.handle(), another.handle());
                    let is_shared = Arc::ptr_eq(agent.listing(), another.listing());
                    let is_alike = one % 3 == other % 3 && one / 12 == other / 12;
                    assert_eq!(is_shared, is_alike, "{one} and {other}");
                    assert_eq!(agent.listing() == another.listing(), is_alike, "{one} and {other}");
                }
            }
        });
    }

    #[test]
    fn the_inbox_of_a_terminated_agent_is_freed_with_its_last_reference() {
        for kill in [false, true] {
            actix_rt::System::new().block_on(async {
                let port = ArbiterPort::here();
                let hub = Hub::new(HubConfig::default(), vec![port.clone()]);
                let (answer, mut spawned) = oneshot::channel();
                let job = SpawnJob {
                    hub,
                    port,
                    ids: vec![AgentId::new("a").unwrap()],
                    factory: Arc::new(|_: &Me| Idler),
                    amend: None,
                    inbox: InboxConfig::default(),
                    rule: Arc::new(Rule::Own(Supervision::default())),
                    answer,
                };
                Box::new(job).arrive();
                let agent = spawned.try_recv().unwrap().unwrap().take().pop().unwrap();
                let inbox = agent.downgrade();
                tokio::task::yield_now().await;
                if kill {
                    agent.kill();
                } else {
                    agent.stop();
                }
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                assert!(agent.handle().has_ended());
                assert_eq!(inbox.strong_count(), 1, "nothing but the reference holds the inbox");
                drop(agent);
                assert_eq!(inbox.strong_count(), 0);
            });
        }
    }
}
