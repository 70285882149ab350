//! [`World`]: what all parts of one run share; [`Env`]: the same with the host, for agents.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use phalanx_actors::{
    agent::{AgentId, TopicName},
    monitor::Event,
};

use super::{Stop, tally::Tally};
use crate::{Host, manifest::Manifest};

/// What all parts of one run share.
pub(super) struct World {
    pub(super) manifest: Manifest,
    /// Whether the outside world is left alone.
    pub(super) simulated: bool,
    pub(super) stop: Stop,
    pub(super) tally: Arc<Tally>,
    /// Paths that are no UTF-8, and so cannot stand in JSON: they go by number.
    odd_paths: Mutex<Vec<Arc<Path>>>,
    gauges: Mutex<BTreeMap<(AgentId, TopicName), Arc<AtomicU64>>>,
}

impl World {
    pub(super) fn new(manifest: Manifest, simulated: bool, stop: Stop, tally: Arc<Tally>) -> Self {
        Self { manifest, simulated, stop, tally, odd_paths: Mutex::default(), gauges: Mutex::default() }
    }

    /// The number for a path that is no UTF-8.
    pub(super) fn odd_path(&self, path: &Path) -> usize {
        let mut known = self.odd_paths.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().position(|known| **known == *path).unwrap_or_else(|| {
            known.push(path.into());
            known.len() - 1
        })
    }

    pub(super) fn odd_path_at(&self, number: usize) -> Option<PathBuf> {
        let known = self.odd_paths.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(number).map(|path| path.to_path_buf())
    }

    /// The count of what an agent heard on a topic.
    pub(super) fn gauge(&self, agent: &AgentId, topic: &TopicName) -> Arc<AtomicU64> {
        let mut gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        gauges.entry((agent.clone(), topic.clone())).or_default().clone()
    }

    /// Who heard how much on which topic.
    pub(super) fn heard(&self) -> Vec<(AgentId, TopicName, u64)> {
        let gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |((agent, topic), count): (&(AgentId, TopicName), &Arc<AtomicU64>)| {
            (agent.clone(), topic.clone(), count.load(Ordering::Relaxed))
        };
        gauges.iter().map(count).collect()
    }

    /// Lets time pass, unless the run is told to stop.
    ///
    /// # Errors
    /// It was.
    pub(super) async fn pass(&self, time: Duration) -> Result<(), String> {
        tokio::select! {
            biased;
            () = self.stop.asked() => Err("the run was told to stop".to_owned()),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }
}

/// A world with a host in it.
#[derive(Clone)]
pub(super) struct Env {
    pub(super) world: Arc<World>,
    pub(super) host: Host,
}

impl Env {
    /// Tells the monitor what an agent counted on a topic.
    pub(super) fn tell_count(&self, agent: &AgentId, topic: &TopicName, count: u64) {
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 messages")]
        let value = count as f64;
        let event = Event::custom_metric(agent, "topic.heard", value, "notices", self.host.now());
        self.host.record(event.about(agent.clone()).with("topic", topic.as_str()));
    }
}
