//! [`Reporter`]: tells how a run stands while it runs, to whoever started it and on the progress topic.
//!
//! At most [`PACE`] passes between a change and its telling, and no two tellings are closer; notes come in order, each once.

use std::time::Duration;

use phalanx_actors::coordinator::{QueryTasks, TaskMetrics};
use serde_json::json;
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    Progress,
    kinds::{Notice, Outlet},
    tally::Figures,
    world::{Env, World},
};

/// The time between two tellings: at most twenty a second.
const PACE: Duration = Duration::from_millis(50);

/// How long the last notice may wait for room.
const LAST: Duration = Duration::from_secs(1);

/// Who is told.
pub(super) type Listener = Box<dyn FnMut(Progress) + Send>;

/// Tells how a run stands, until it is ended.
pub(super) struct Reporter {
    end: oneshot::Sender<()>,
    telling: JoinHandle<Listener>,
}

impl Reporter {
    /// Begins to tell.
    pub(super) fn start(env: Env, listener: Listener) -> Self {
        let (end, ended) = oneshot::channel();
        let mut telling = Telling::new(env, listener);
        let telling = actix_rt::spawn(async move {
            telling.until(ended).await;
            telling.listener
        });
        Self { end, telling }
    }

    /// Tells the last figures and gives the listener back; none when it has panicked.
    pub(super) async fn end(self) -> Option<Listener> {
        // Gone only when the listener panicked.
        _ = self.end.send(());
        self.telling.await.ok()
    }
}

/// Tells the notes that were not told yet.
pub(super) fn tell_notes(world: &World, listener: &mut Listener) {
    let notes: Vec<String> = world.tally.read().unshown.drain(..).collect();
    for note in notes {
        listener(Progress::Note(note));
    }
}

struct Telling {
    env: Env,
    listener: Listener,
    outlet: Option<Outlet>,
    shown: Figures,
    tasks: Option<Progress>,
}

impl Telling {
    fn new(env: Env, listener: Listener) -> Self {
        let topic = env.world.manifest.coordinator.progress_topic.clone();
        let outlet = topic.map(|topic| Outlet::open(&env, &topic));
        Self { env, listener, outlet, shown: Figures::default(), tasks: None }
    }

    async fn until(&mut self, mut ended: oneshot::Receiver<()>) {
        let mut news = self.env.world.tally.subscribe();
        loop {
            news.mark_unchanged();
            self.tell(false).await;
            let next = async {
                tokio::time::sleep(PACE).await;
                // The sender lives as long as the world.
                _ = news.changed().await;
            };
            tokio::select! {
                biased;
                _ = &mut ended => break,
                () = next => {}
            }
        }
        self.tell(true).await;
    }

    async fn tell(&mut self, is_last: bool) {
        tell_notes(&self.env.world, &mut self.listener);
        let figures = self.env.world.tally.read().outline();
        let (manifest, shown) = (&self.env.world.manifest, &self.shown);
        if (figures.startup_ended, &figures.phase) != (shown.startup_ended, &shown.phase) {
            // Lazy tasks may run besides.
            let tasks = figures.startup_tasks.max(figures.startup_ended);
            let (ended, failed) = (figures.startup_ended, figures.startup_failed);
            (self.listener)(Progress::StartUp { tasks, ended, failed, phase: figures.phase.clone() });
        }
        if figures.registered != shown.registered {
            let agents = usize::try_from(manifest.agent_count()).unwrap_or(usize::MAX);
            (self.listener)(Progress::Registration { agents, registered: figures.registered });
        }
        if figures.draining && !shown.draining {
            (self.listener)(Progress::Draining);
        }
        let tasks = |figures: &Figures| (figures.submitted, figures.completed, figures.failed);
        if tasks(&figures) != tasks(shown) || (is_last && figures.submitted > 0) {
            self.tell_tasks(&figures, is_last).await;
        }
        self.shown = figures;
    }

    async fn tell_tasks(&mut self, figures: &Figures, is_last: bool) {
        let answer = self.env.host.protocols().coordinator.send(QueryTasks).await;
        let metrics: TaskMetrics = answer.map(|totals| totals.metrics).unwrap_or_default();
        let Figures { submitted, completed, failed, .. } = *figures;
        let tasks = Progress::Tasks { submitted, completed, failed, executing: metrics.executing };
        if self.tasks.as_ref() != Some(&tasks) {
            self.tasks = Some(tasks.clone());
            (self.listener)(tasks);
        } else if !is_last {
            return;
        }
        let Some(outlet) = &self.outlet else { return };
        let text = format!("{completed} of {submitted} tasks completed, {failed} failed");
        let data = json!({
            "submitted": submitted, "completed": completed, "failed": failed, "executing": metrics.executing,
            "last": is_last,
        });
        let notice = Notice::new(outlet.topic.clone(), "coordinator", &text, data);
        if is_last {
            let waiting = async {
                if let Err(notice) = outlet.send(notice, None) {
                    outlet.send_waiting(notice, None).await;
                }
            };
            // A second is enough for whoever still listens.
            _ = tokio::time::timeout(LAST, waiting).await;
        } else {
            // Where there is no room, the next figures supersede these; the ledger counts them as refused.
            _ = outlet.send(notice, None);
        }
    }
}
