//! The groups, agents and subscriptions of a manifest on a host.

use futures_util::future::try_join_all;
use phalanx_actors::{
    agent::{AgentId, Me},
    inbox::InboxConfig,
    registrar::{self, BatcherOptions, RegistrarOptions},
    router::Selector,
    supervisor::{self, GroupSpec, Intensity, SpawnError},
};

use super::{
    RunError,
    kinds::{Counter, Hasher, Logger, Notice, Relay, Runner, Ticker},
    world::Env,
};
use crate::{
    AgentOptions, HostError,
    manifest::{AgentEntry, BatchStrategy, Behaviour, Group, Registration, Subscriber, Supervision},
};

/// How many agents are asked for at once.
const CHUNK: usize = 4096;

/// How registration requests form batches.
///
/// The size of a batch under `priority_based` is the registrar's own.
pub(super) fn registration(manifest: &Registration) -> BatcherOptions {
    let strategy = match manifest.strategy {
        BatchStrategy::Adaptive => {
            let target = std::time::Duration::from_millis(5);
            registrar::Strategy::Adaptive { min: 5, max: 20, target }
        }
        BatchStrategy::FixedSize => registrar::Strategy::FixedSize { size: manifest.batch },
        BatchStrategy::TimeBased => registrar::Strategy::TimeBased { window: manifest.window },
        BatchStrategy::PriorityBased => registrar::Strategy::PriorityBased { threshold: manifest.threshold },
        BatchStrategy::Streaming => registrar::Strategy::Streaming,
    };
    BatcherOptions { strategy, ..RegistrarOptions::default().batcher }
}

/// Makes the groups, those that others are members of first.
pub(super) async fn make_groups(env: &Env) -> Result<(), HostError> {
    let mut left: Vec<&Group> = env.world.manifest.groups.iter().collect();
    let mut made = Vec::new();
    while !left.is_empty() {
        let before = left.len();
        for group in std::mem::take(&mut left) {
            if group.parent.as_ref().is_none_or(|parent| made.contains(&parent)) {
                env.host.supervise(group_spec(group), group.parent.as_ref()).await?;
                made.push(&group.name);
            } else {
                left.push(group);
            }
        }
        assert!(left.len() < before, "groups in a circle are a fault of the manifest");
    }
    Ok(())
}

fn group_spec(group: &Group) -> GroupSpec {
    GroupSpec {
        name: group.name.clone(),
        strategy: group.strategy,
        supervision: supervisor::Supervision {
            intensity: Intensity { restarts: group.restarts, within: group.within },
            ..supervisor::Supervision::default()
        },
    }
}

/// Spawns all agents; answers when they are registered.
///
/// Entry after entry, so that members join their groups in the order of the manifest; all at once where a batch waits for
/// its window, for otherwise each entry would wait for one of its own.
pub(super) async fn spawn_all(env: &Env) -> Result<(), RunError> {
    let entries = env.world.manifest.agents.iter();
    let waits = matches!(
        env.world.manifest.registration.strategy,
        BatchStrategy::TimeBased | BatchStrategy::PriorityBased
    );
    if waits {
        return try_join_all(entries.map(|entry| spawn_entry(env, entry))).await.map(|_| ());
    }
    for entry in entries {
        spawn_entry(env, entry).await?;
    }
    Ok(())
}

async fn spawn_entry(env: &Env, entry: &AgentEntry) -> Result<(), RunError> {
    let mut ids = entry.id.ids();
    loop {
        let chunk: Vec<AgentId> = ids.by_ref().take(CHUNK).collect();
        if chunk.is_empty() || env.world.stop.is_asked() {
            return Ok(());
        }
        let spawned = spawn(env, entry, chunk).await;
        spawned.map_err(|source| RunError::Agents { entry: entry.id.as_str().to_owned(), source })?;
    }
}

async fn spawn(env: &Env, entry: &AgentEntry, ids: Vec<AgentId>) -> Result<(), SpawnError> {
    let (host, options, env) = (&env.host, options(entry), env.clone());
    match entry.behaviour.clone() {
        Behaviour::Hasher(hasher) => {
            let make = move |_: &Me| Hasher::new(env.clone(), hasher.chunk);
            host.spawn_many(ids, options, make).await.map(drop)
        }
        Behaviour::Runner(_) => {
            host.spawn_many(ids, options, move |_| Runner::new(env.clone())).await.map(drop)
        }
        Behaviour::Counter(_) => {
            let make = move |me: &Me| Counter::new(env.clone(), me.id.clone());
            host.spawn_many(ids, options, make).await.map(drop)
        }
        Behaviour::Logger(logger) => {
            let make = move |me: &Me| Logger::new(env.clone(), me.id.clone(), logger.level);
            host.spawn_many(ids, options, make).await.map(drop)
        }
        Behaviour::Relay(relay) => {
            let make = move |me: &Me| Relay::new(env.clone(), me.id.clone(), relay.to.clone());
            host.spawn_many(ids, options, make).await.map(drop)
        }
        Behaviour::Ticker(ticker) => {
            let make = move |me: &Me| Ticker::new(env.clone(), me.id.clone(), ticker.clone());
            host.spawn_many(ids, options, make).await.map(drop)
        }
    }
}

fn options(entry: &AgentEntry) -> AgentOptions {
    AgentOptions {
        inbox: InboxConfig {
            capacity: entry.inbox.capacity,
            overflow: entry.inbox.overflow,
            ..InboxConfig::default()
        },
        supervision: supervision(&entry.supervision),
        group: entry.group.clone(),
        capabilities: entry.capabilities.clone(),
        metadata: entry.metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        location: entry.location.map(|location| (location.latitude, location.longitude)),
        ..AgentOptions::default()
    }
}

fn supervision(manifest: &Supervision) -> supervisor::Supervision {
    supervisor::Supervision {
        policy: manifest.policy,
        intensity: Intensity { restarts: manifest.restarts, within: manifest.within },
        backoff: supervisor::Backoff {
            initial: manifest.backoff.initial,
            max: manifest.backoff.max,
            factor: manifest.backoff.factor,
            jitter: manifest.backoff.jitter,
        },
    }
}

/// Subscribes agents to their topics. Those that take no notices are named in a note and left out.
pub(super) async fn subscribe_all(env: &Env) -> Result<(), HostError> {
    for topic in &env.world.manifest.topics {
        for subscriber in &topic.subscribers {
            let agents = match subscriber {
                Subscriber::Agent(agent) => vec![env.host.agent(agent)?],
                Subscriber::Kind(kind) => env.host.select(&Selector::Kind(
                    phalanx_actors::agent::Kind::new(kind.as_str()).expect("a kind's word is a name"),
                )),
                Subscriber::Capability(capability) => {
                    env.host.select(&Selector::Capability(capability.clone()))
                }
                Subscriber::Group(group) => env.host.select(&Selector::Group(group.clone())),
            };
            for agent in agents {
                if agent.accepts::<Notice>() {
                    env.host.subscribe(&topic.name, agent.id()).await?;
                } else {
                    let kind = &agent.listing().kind;
                    env.world.tally.note_once(
                        &format!("deaf/{}/{kind}", topic.name),
                        format!(
                            "{} is not subscribed to {}: a {kind} hears no topics",
                            agent.id(),
                            topic.name
                        ),
                    );
                }
            }
        }
    }
    Ok(())
}
