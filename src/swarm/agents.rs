//! The groups and agents of a manifest on a host.

use futures_util::future::try_join_all;
use phalanx_actors::{
    agent::{Agent, AgentId, Me},
    inbox::{AgentHandle, AgentRef, InboxConfig},
    monitor::{Event, Severity},
    registrar::{BatcherOptions, RegistrarOptions},
    supervisor::{self, GroupSpec, Intensity, SpawnError},
};
use serde_json::Value;

use super::{
    RunError,
    kinds::{Counter, Hasher, Logger, Relay, Runner, Ticker},
    world::Env,
};
use crate::{
    AgentOptions, HostError,
    manifest::{AgentEntry, Backoff, Behaviour, Group, Manifest, Supervision},
};

/// How many agents are asked for at once.
const CHUNK: usize = 4096;

/// How registration requests form batches. Where they wait for each other, all of them may wait.
pub(super) fn registration(manifest: &Manifest) -> RegistrarOptions {
    let usual = RegistrarOptions::default();
    let agents = usize::try_from(manifest.agent_count()).unwrap_or(usize::MAX);
    let capacity = usual.batcher.capacity.max(agents);
    let batcher = BatcherOptions { strategy: manifest.registration.strategy, capacity, ..usual.batcher };
    RegistrarOptions { batcher, limits: manifest.registration.limits.clone(), ..usual }
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
            backoff: backoff(&group.backoff),
            ..supervisor::Supervision::default()
        },
    }
}

/// Spawns all agents; answers when they are registered, or when the run is told to stop.
///
/// They are spawned entry after entry, so that members join their groups in the order of the manifest. Where registration
/// requests wait for each other they are all sent before any is waited for, so that they share one window; otherwise each
/// chunk is registered before the next is spawned, so that few requests wait at any time.
pub(super) async fn spawn_all(env: &Env) -> Result<(), RunError> {
    let manifest = &env.world.manifest;
    let together = manifest.registration.gathers();
    let mut registering = Vec::new();
    for entry in &manifest.agents {
        let options = options(entry);
        let failed = |source| RunError::Agents { entry: entry.id.as_str().to_owned(), source };
        let mut ids = entry.id.ids();
        loop {
            let chunk: Vec<AgentId> = ids.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                break;
            }
            if env.world.stop.is_asked() {
                return Ok(());
            }
            let agents = spawn(env, entry, chunk, &options).await.map_err(failed)?;
            let options = options.clone();
            let registered =
                async move { env.host.register_spawned(&agents, &options).await.map_err(failed) };
            if together {
                registering.push(registered);
            } else {
                registered.await?;
            }
        }
        env.host.record(spawned(env, entry));
    }
    tokio::select! {
        biased;
        () = env.world.stop.asked() => Ok(()),
        registered = try_join_all(registering) => registered.map(drop),
    }
}

/// What the trace and the handlers hear of an entry: all that its agents have in common.
fn spawned(env: &Env, entry: &AgentEntry) -> Event {
    let mut event = Event::system(Severity::Info, "swarm", "swarm.agents_spawned", env.host.now())
        .with("entry", entry.id.as_str())
        .with("kind", entry.behaviour.kind().as_str())
        .with("count", entry.count)
        .with("offers", entry.offers().collect::<Vec<_>>())
        .with("priority", entry.priority.unwrap_or_default() as u8);
    if let Some(group) = &entry.group {
        event = event.with("group", group.as_str());
    }
    if let Some(tenant) = &entry.tenant {
        event = event.with("tenant", tenant.as_str());
    }
    if let Some(location) = entry.location {
        event = event.with("location", vec![location.latitude, location.longitude]);
    }
    if !entry.metadata.is_empty() {
        let metadata = entry.metadata.iter().map(|(key, value)| (key.clone(), value.as_str().into()));
        event = event.with("metadata", Value::Object(metadata.collect()));
    }
    event
}

async fn spawn(
    env: &Env,
    entry: &AgentEntry,
    ids: Vec<AgentId>,
    options: &AgentOptions,
) -> Result<Vec<AgentHandle>, SpawnError> {
    let (host, env) = (&env.host, env.clone());
    match entry.behaviour.clone() {
        Behaviour::Hasher(hasher) => {
            let make = move |_: &Me| Hasher::new(env.clone(), hasher.chunk);
            host.spawn_unregistered(ids, options, make).await.map(handles)
        }
        Behaviour::Runner(_) => {
            let make = move |_: &Me| Runner::new(env.clone());
            host.spawn_unregistered(ids, options, make).await.map(handles)
        }
        Behaviour::Counter(_) => {
            let make = move |me: &Me| Counter::new(env.clone(), me.id.clone());
            host.spawn_unregistered(ids, options, make).await.map(handles)
        }
        Behaviour::Logger(logger) => {
            let make = move |me: &Me| Logger::new(env.clone(), me.id.clone(), logger.level);
            host.spawn_unregistered(ids, options, make).await.map(handles)
        }
        Behaviour::Relay(relay) => {
            let make = move |me: &Me| Relay::new(env.clone(), me.id.clone(), &relay.to);
            host.spawn_unregistered(ids, options, make).await.map(handles)
        }
        Behaviour::Ticker(ticker) => {
            let make = move |me: &Me| Ticker::new(env.clone(), me.id.clone(), ticker.clone());
            host.spawn_unregistered(ids, options, make).await.map(handles)
        }
    }
}

fn handles<A: Agent>(agents: Vec<AgentRef<A>>) -> Vec<AgentHandle> {
    agents.iter().map(AgentRef::handle).collect()
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
        priority: entry.priority.unwrap_or_default(),
        capabilities: entry.capabilities.clone(),
        metadata: entry.metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        tenant: entry.tenant.clone(),
        location: entry.location.map(|location| (location.latitude, location.longitude)),
        ..AgentOptions::default()
    }
}

fn supervision(manifest: &Supervision) -> supervisor::Supervision {
    let usual = supervisor::Supervision::default();
    supervisor::Supervision {
        policy: manifest.policy,
        intensity: Intensity {
            restarts: manifest.restarts.unwrap_or(usual.intensity.restarts),
            within: manifest.within.unwrap_or(usual.intensity.within),
        },
        backoff: manifest.backoff.as_ref().map_or(usual.backoff, backoff),
    }
}

fn backoff(manifest: &Backoff) -> supervisor::Backoff {
    supervisor::Backoff {
        initial: manifest.initial,
        max: manifest.max,
        factor: manifest.factor,
        jitter: manifest.jitter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Variables;

    #[test]
    fn all_agents_of_a_manifest_may_wait_at_once() {
        let waiting = |count: usize| {
            let text = format!(r#"{{"name": "n", "agents": [{{"kind": "counter", "count": {count}}}]}}"#);
            registration(&Manifest::parse(&text, "test.json", &Variables::default()).unwrap())
                .batcher
                .capacity
        };
        assert_eq!(waiting(1), RegistrarOptions::default().batcher.capacity);
        assert_eq!(waiting(3_000_000), 3_000_000);
    }
}
