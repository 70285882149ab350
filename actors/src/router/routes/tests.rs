//! Random changes of the tables against a plain model.

use std::{
    any::{Any, TypeId},
    collections::BTreeSet,
};

use actix::prelude::*;
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};

use crate::{
    agent::{Agent, AgentId, Card, TopicFilter},
    inbox::{AgentHandle, HubConfig},
    router::{Arbiters, ArbitersConfig, Directory, Publisher, Selector, SubscribeOptions},
    supervisor::SpawnOptions,
};

#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct Number(u8);

#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct Text;

/// An agent that is what its position says.
struct Probe(usize);

impl Actor for Probe {
    type Context = Context<Self>;
}
impl Supervised for Probe {}
impl Handler<Number> for Probe {
    type Result = ();
    fn handle(&mut self, _: Number, _: &mut Context<Self>) {}
}
impl Handler<Text> for Probe {
    type Result = ();
    fn handle(&mut self, _: Text, _: &mut Context<Self>) {}
}
impl Agent for Probe {
    fn card(&self) -> Card<Self> {
        let at = self.0;
        let mut card = Card::new().kind(if at.is_multiple_of(2) { "even" } else { "odd" });
        if at.is_multiple_of(3) {
            card = card.in_group("three");
        }
        if at < 4 {
            card = card.offers("low").in_group("first");
        }
        if at != 5 {
            card = card.accepts::<Number>();
        }
        if at == 6 { card } else { card.accepts::<Text>() }
    }
}

const AGENTS: usize = 10;
const SUBSCRIBERS: usize = 4;
const FILTERS: [&str; 7] = ["a", "b", "a.b", "*", "a.*", ">", "*.b"];
const NUMBERS: std::ops::Range<u8> = 0..4;

#[derive(Debug, Clone)]
enum Op {
    /// One change: who leaves, and who comes.
    Change(Vec<usize>, Vec<usize>),
    /// Who, to which filter, and which numbers it wants when not all.
    Subscribe(usize, usize, Option<u8>),
    Unsubscribe(usize, usize),
    /// Whether for numbers, and whom for.
    Open(bool, Selector),
    /// Drops one of the publishers.
    Drop(prop::sample::Index),
    /// Has one of the routes keep a history.
    Keep(prop::sample::Index),
}

fn part() -> impl Strategy<Value = Selector> {
    let read = |text: &str| serde_json::from_str(text).unwrap();
    let named = [
        r#""everyone""#,
        r#"{"kind":"even"}"#,
        r#"{"kind":"none"}"#,
        r#"{"group":"three"}"#,
        r#"{"group":"first"}"#,
        r#"{"capability":"low"}"#,
        r#"{"topic":"a"}"#,
        r#"{"topic":"b"}"#,
        r#"{"topic":"a.b"}"#,
        r#"{"topic":"c.b"}"#,
    ];
    // The last two never exist.
    let ids = prop::collection::vec(0..AGENTS + 2, 1..4);
    let list = ids.prop_map(|ids| Selector::agents(ids.into_iter().map(id)).unwrap());
    prop_oneof![4 => prop::sample::select(named.map(read).to_vec()), 1 => list]
}

fn selector() -> impl Strategy<Value = Selector> {
    let union = || prop::collection::vec(part(), 2..5).prop_map(|parts| Selector::any(parts).unwrap());
    let nested = (union(), union()).prop_map(|(one, other)| Selector::any([one, other]).unwrap());
    prop_oneof![4 => part(), 4 => union(), 1 => nested]
}

fn op() -> impl Strategy<Value = Op> {
    let some = |most| prop::collection::vec(0..AGENTS, 0..most);
    // Few agents have many subscriptions each, so that one often goes on where another one ends.
    let (agent, filter) = (0..SUBSCRIBERS, 0..FILTERS.len());
    let numbers = prop::option::weighted(0.3, NUMBERS);
    prop_oneof![
        2 => (some(2), some(4)).prop_map(|(gone, new)| Op::Change(gone, new)),
        12 => (agent.clone(), filter.clone(), numbers).prop_map(|(at, to, least)| Op::Subscribe(at, to, least)),
        6 => (agent, filter).prop_map(|(agent, filter)| Op::Unsubscribe(agent, filter)),
        5 => (any::<bool>(), selector()).prop_map(|(numbers, selector)| Op::Open(numbers, selector)),
        3 => any::<prop::sample::Index>().prop_map(Op::Drop),
        1 => any::<prop::sample::Index>().prop_map(Op::Keep),
    ]
}

fn id(at: usize) -> AgentId {
    AgentId::new(format!("agent/{at}")).unwrap()
}

/// A publisher of either type, and the selector it was opened by.
enum Held {
    Numbers(Publisher<Number>),
    Texts(Publisher<Text>),
}

impl Held {
    fn message(&self) -> TypeId {
        match self {
            Held::Numbers(_) => TypeId::of::<Number>(),
            Held::Texts(_) => TypeId::of::<Text>(),
        }
    }
}

struct Subscribed {
    agent: usize,
    filter: TopicFilter,
    /// The least number that it wants.
    least: Option<u8>,
    number: usize,
}

/// The plain model: lists, searched from end to end.
#[derive(Default)]
struct Model {
    members: Vec<(usize, usize)>,
    subscriptions: Vec<Subscribed>,
    held: Vec<(Selector, Held)>,
    /// Those that keep a history and so stay.
    kept: Vec<(Selector, TypeId)>,
    changes: usize,
}

impl Model {
    fn has(&self, agent: usize) -> bool {
        self.members.iter().any(|(member, _)| *member == agent)
    }

    /// Whether one part leads to an agent, since when, and the least number it gets by this part.
    fn by_part<'a>(
        &'a self,
        agents: &'a [AgentHandle],
        part: &'a Selector,
    ) -> impl Iterator<Item = (usize, usize, Option<u8>)> + 'a {
        let named = self.members.iter().filter(move |(at, _)| {
            let listing = agents[*at].listing();
            match part {
                Selector::Everyone => true,
                Selector::Kind(kind) => listing.kind == *kind,
                Selector::Group(group) => listing.groups.contains(group),
                Selector::Capability(capability) => listing.capabilities.contains(capability),
                Selector::Agents(ids) => ids.as_slice().contains(&id(*at)),
                Selector::Topic(_) => false,
                Selector::Any(_) => unreachable!("a union holds no union"),
            }
        });
        let hear = self
            .subscriptions
            .iter()
            .filter(move |held| matches!(part, Selector::Topic(topic) if held.filter.matches(topic)));
        named
            .map(|(at, number)| (*at, *number, None))
            .chain(hear.map(|held| (held.agent, held.number, held.least)))
    }

    /// Those whom a selector leads to, in order.
    fn led_to(&self, agents: &[AgentHandle], selector: &Selector) -> Vec<usize> {
        let parts = selector.parts().iter().flat_map(|part| self.by_part(agents, part));
        let mut all: Vec<_> = parts.map(|(at, number, _)| (number, at)).collect();
        all.sort_unstable();
        let mut seen = BTreeSet::new();
        all.into_iter().map(|(_, at)| at).filter(|at| seen.insert(*at)).collect()
    }

    fn gets(&self, agents: &[AgentHandle], selector: &Selector, agent: usize, number: Option<u8>) -> bool {
        let mut parts = selector.parts().iter().flat_map(|part| self.by_part(agents, part));
        parts.any(|(at, _, least)| at == agent && least.is_none_or(|least| number.is_none_or(|n| n >= least)))
    }
}

fn step(
    agents: &[AgentHandle],
    directory: &Directory,
    model: &mut Model,
    op: Op,
) -> Result<(), TestCaseError> {
    match op {
        Op::Change(gone, new) => {
            let add = new.iter().map(|at| agents[*at].clone()).collect();
            let remove: Vec<_> = gone.iter().map(|at| id(*at)).collect();
            prop_assert!(directory.change(add, &remove).is_empty());
            // Whoever is there and to be added again stays.
            let gone: Vec<_> = gone.into_iter().filter(|at| !(new.contains(at) && model.has(*at))).collect();
            model.members.retain(|(at, _)| !gone.contains(at));
            model.subscriptions.retain(|held| !gone.contains(&held.agent));
            for at in new {
                if !model.has(at) {
                    model.changes += 1;
                    model.members.push((at, model.changes));
                }
            }
        }
        Op::Subscribe(agent, filter, least) => {
            let filter = TopicFilter::new(FILTERS[filter]).unwrap();
            let options = match least {
                None => SubscribeOptions::new(),
                Some(least) => SubscribeOptions::new().only(move |Number(number): &Number| *number >= least),
            };
            let is_new = model.has(agent)
                && !model.subscriptions.iter().any(|held| held.agent == agent && held.filter == filter);
            prop_assert_eq!(directory.subscribe(&filter, &id(agent), &options), is_new);
            if is_new {
                model.changes += 1;
                model.subscriptions.push(Subscribed { agent, filter, least, number: model.changes });
            }
        }
        Op::Unsubscribe(agent, filter) => {
            let filter = TopicFilter::new(FILTERS[filter]).unwrap();
            let before = model.subscriptions.len();
            model.subscriptions.retain(|held| held.agent != agent || held.filter != filter);
            let was_there = model.subscriptions.len() < before;
            prop_assert_eq!(directory.unsubscribe(&filter, &id(agent)), was_there);
        }
        Op::Open(true, selector) => {
            let publisher = directory.publisher(&selector);
            model.held.push((selector, Held::Numbers(publisher)));
        }
        Op::Open(false, selector) => {
            let publisher = directory.publisher(&selector);
            model.held.push((selector, Held::Texts(publisher)));
        }
        Op::Drop(at) if !model.held.is_empty() => {
            let at = at.index(model.held.len());
            drop(model.held.swap_remove(at));
        }
        Op::Keep(at) if !model.held.is_empty() => {
            let (selector, held) = &model.held[at.index(model.held.len())];
            match held {
                Held::Numbers(publisher) => drop(publisher.clone().keep_last(3)),
                Held::Texts(publisher) => drop(publisher.clone().keep_last(3)),
            }
            model.kept.push((selector.clone(), held.message()));
        }
        Op::Drop(_) | Op::Keep(_) => {}
    }
    Ok(())
}

fn check(agents: &[AgentHandle], directory: &Directory, model: &Model) -> Result<(), TestCaseError> {
    let ids = |at: &[usize]| at.iter().map(|at| id(*at)).collect::<Vec<_>>();
    directory.verify().map_err(TestCaseError::fail)?;
    let members: Vec<_> = model.members.iter().map(|(at, _)| *at).collect();
    let held: Vec<_> = directory.agents().iter().map(|agent| agent.id().clone()).collect();
    prop_assert_eq!(held, ids(&members));
    for (selector, held) in &model.held {
        let (recipients, missing) = match held {
            Held::Numbers(publisher) => (publisher.recipients(), publisher.missing()),
            Held::Texts(publisher) => (publisher.recipients(), publisher.missing()),
        };
        let accepts = |at: &usize| agents[*at].door.accept(held.message()).is_some();
        let on = model.led_to(agents, selector).into_iter().filter(accepts);
        prop_assert_eq!(recipients, on.count(), "{}", selector);
        let absent = |id: &&AgentId| !members.iter().any(|at| self::id(*at) == **id);
        let absent: Vec<_> = selector.ids().iter().filter(absent).cloned().collect();
        prop_assert_eq!(missing, absent);
        let selected: Vec<_> = directory.select(selector).iter().map(|agent| agent.id().clone()).collect();
        prop_assert_eq!(selected, ids(&model.led_to(agents, selector)), "{}", selector);
    }
    let open: BTreeSet<_> = model
        .held
        .iter()
        .map(|(selector, held)| (selector.clone(), held.message()))
        .chain(model.kept.iter().cloned())
        .collect();
    let routes = directory.lock();
    let found: BTreeSet<_> =
        routes.entries.iter().map(|(_, entry)| (entry.selector.clone(), entry.message)).collect();
    prop_assert_eq!(&found, &open, "just the routes that somebody holds or that keep a history are open");
    for (_, entry) in &routes.entries {
        let accepts = |at: &usize| agents[*at].door.accept(entry.message).is_some();
        let expected: Vec<_> = model.led_to(agents, &entry.selector).into_iter().filter(accepts).collect();
        let on: Vec<_> =
            entry.agents().into_iter().map(|(agent, has_all)| (agent.id().clone(), has_all)).collect();
        let is_number = entry.message == TypeId::of::<Number>();
        let snapshot = entry.cell().snapshot.load();
        for number in NUMBERS {
            // Predicates are about numbers: of texts everyone gets all.
            let message: &dyn Any = if is_number { &Number(number) } else { &Text };
            let chosen = snapshot.choose(message);
            let chosen: Vec<_> = snapshot
                .selective
                .pick(chosen.into_iter())
                .map(|chosen| chosen.recipient.agent.id())
                .collect();
            let get = on.iter().filter(|(id, has_all)| *has_all || chosen.contains(&id));
            let get: Vec<_> = get.map(|(id, _)| id.clone()).collect();
            let number = is_number.then_some(number);
            let should: Vec<_> = expected
                .iter()
                .copied()
                .filter(|at| model.gets(agents, &entry.selector, *at, number))
                .collect();
            prop_assert_eq!(get, ids(&should), "{} of {:?}", entry.selector, number);
        }
        prop_assert_eq!(on.len(), expected.len(), "{}: each once", entry.selector);
    }
    Ok(())
}

#[test]
fn after_any_changes_each_route_leads_to_whom_the_model_says_in_order_and_once() {
    System::new().block_on(async {
        let arbiters = Arbiters::start(ArbitersConfig::Threads(2), HubConfig::default()).await;
        let mut agents = Vec::new();
        for at in 0..AGENTS {
            let agent = arbiters.spawn(id(at), move |_| Probe(at), SpawnOptions::default()).await.unwrap();
            agents.push(agent.handle());
        }
        let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(256) });
        let played = runner.run(&prop::collection::vec(op(), 1..80), |ops| {
            let (directory, mut model) = (Directory::new(arbiters.hub()), Model::default());
            let all = Op::Change(Vec::new(), (0..AGENTS).collect());
            for op in std::iter::once(all).chain(ops) {
                step(&agents, &directory, &mut model, op)?;
                check(&agents, &directory, &model)?;
            }
            model.held.clear();
            let kept: BTreeSet<_> = model.kept.into_iter().collect();
            prop_assert_eq!(directory.lock().entries.len(), kept.len());
            Ok(())
        });
        arbiters.join();
        if let Err(failure) = played {
            panic!("{failure}");
        }
    });
}
