//! The five protocol actors of a host, and who hears of what.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use actix::Addr;
use phalanx_actors::{
    agent::{AgentId, Lifecycle, LifecycleChange, Timestamp},
    coordinator::{Coordinator, GraphOptions, TaskEvent, TasksState, Withdraw},
    inbox::{AgentHandle, Hub, Observer},
    initializer::{Initializer, StartupEvent, StartupState},
    monitor::{Event, Monitor, MonitorCell, MonitorOptions, Tap, Teller},
    registrar::{
        Delist, Recorder, Recovered, Registrar, RegistrarCell, RegistrarEvent, RegistrarOptions, Rules,
    },
    router::{Arbiters, Directory, Heartbeat, Router, RouterSink},
    supervisor::{SpawnError, Supervision, Supervisor, Watches},
};
use tokio::sync::Notify;

use super::{sampler::SharedWindow, spawn::Names};

/// Ids of the host's own actors begin like this.
pub(super) const OWN: &str = "phalanx/";

/// The addresses of the protocol actors. They stay the same over restarts.
#[derive(Debug, Clone)]
pub struct Protocols {
    /// Knows what happened.
    pub monitor: Addr<Monitor>,
    /// Knows who gets what.
    pub router: Addr<Router>,
    /// Knows who exists.
    pub registrar: Addr<Registrar>,
    /// Knows who does what.
    pub coordinator: Addr<Coordinator>,
    /// Knows how start-up stands.
    pub initializer: Addr<Initializer>,
    pub(super) registrar_cell: RegistrarCell,
    pub(super) monitor_cell: MonitorCell,
    pub(super) teller: Teller,
    /// The same five as agents, in this order: monitor, router, registrar, coordinator, initializer.
    pub(super) agents: [AgentHandle; 5],
}

impl Protocols {
    /// The five as agents, in the order monitor, router, registrar, coordinator, initializer: to look into them, or to
    /// inject faults.
    pub fn agents(&self) -> &[AgentHandle; 5] {
        &self.agents
    }

    /// What the registrar knows, to read without asking it.
    pub fn registrar_cell(&self) -> &RegistrarCell {
        &self.registrar_cell
    }
}

/// How the protocol actors are set up.
#[derive(Default)]
pub(super) struct ProtocolOptions {
    pub(super) monitor: MonitorOptions,
    pub(super) tap: Option<Tap>,
    pub(super) registration: RegistrarOptions,
    pub(super) rules: Rules,
    pub(super) tasks: GraphOptions,
    pub(super) heartbeat: Option<Heartbeat>,
    /// Where the registrar's records go, and what is recovered from there.
    pub(super) recorder: Option<(Arc<dyn Recorder>, Recovered)>,
}

/// How many agents are alive.
#[derive(Default)]
pub(super) struct Alive {
    count: AtomicUsize,
    changed: Notify,
}

impl Alive {
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until none is.
    pub(super) async fn none(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            changed.await;
        }
    }

    fn observe(&self, change: &Lifecycle) {
        match change.change {
            LifecycleChange::Started => _ = self.count.fetch_add(1, Ordering::AcqRel),
            LifecycleChange::Terminated(_) => {
                if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
                    self.changed.notify_waiters();
                }
            }
            LifecycleChange::Crashed { .. }
            | LifecycleChange::Restarting { .. }
            | LifecycleChange::Restarted => {}
        }
    }
}

fn own(name: &str) -> AgentId {
    AgentId::new(format!("{OWN}{name}")).expect("a fixed name")
}

/// Tells the monitor of a protocol actor's own events: they follow from what callers await, so their number is bounded.
fn always(teller: &Teller) -> impl Fn(Event) + Clone + Send + Sync + 'static {
    let teller = teller.clone();
    move |event| teller.tell_always(event)
}

/// Starts the five under one supervisor, against the flow: each gets the live addresses it needs.
pub(super) async fn start(
    arbiters: &Arbiters,
    directory: &Directory,
    root: &Addr<Supervisor>,
    options: ProtocolOptions,
    (window, simulated): (&SharedWindow, bool),
) -> Result<Protocols, SpawnError> {
    let hub = arbiters.hub().clone();
    let clock = |hub: &Arc<Hub>| {
        let hub = hub.clone();
        move || -> Timestamp { hub.now() }
    };
    let (lasting, root) = (Supervision::ALWAYS, Some(root));
    // The router makes the routes of one batch while the registrar is at the next.
    let last = hub.ports().len() - 1;

    let monitor_cell = MonitorCell::new(options.monitor, Arc::new(clock(&hub)), options.tap);
    let cell = monitor_cell.clone();
    let make = move || move |_: &_| Monitor::new(cell.clone());
    let monitor = arbiters.spawn_local(own("monitor"), 0, make, lasting, root).await?;
    let teller = monitor_cell.teller(monitor.address());
    let tell = always(&teller);

    let tables = directory.clone();
    let told = tell.clone();
    let sink: RouterSink = Arc::new(move |event| told(event.into()));
    let heartbeat = options.heartbeat;
    let make = move || {
        move |_: &_| {
            let router = Router::new(tables.clone()).telling(sink.clone());
            match heartbeat {
                Some(heartbeat) => router.beating(heartbeat, simulated),
                None => router,
            }
        }
    };
    let router = arbiters.spawn_local(own("router"), last, make, lasting, root).await?;

    // The coordinator is there before anybody can be registered.
    let coordinator_cell = Arc::new(OnceLock::<Addr<Coordinator>>::new());
    let registrar_cell = match options.recorder {
        None => RegistrarCell::new(options.registration, options.rules),
        Some((recorder, recovered)) => {
            RegistrarCell::recording(options.registration, options.rules, recorder, recovered)
        }
    };
    let make = {
        let (cell, router, now, tell) = (registrar_cell.clone(), router.address(), clock(&hub), tell.clone());
        let now = Arc::new(now);
        let coordinator = coordinator_cell.clone();
        let tell = Arc::new(move |event: RegistrarEvent| {
            if let RegistrarEvent::LeaseExpired { agent, .. } = &event
                && let Some(coordinator) = coordinator.get()
            {
                // It lives on, and is nobody's worker any more.
                coordinator.do_send(Withdraw(agent.clone()));
            }
            tell(event.into());
        });
        move || move |_: &_| Registrar::new(cell.clone(), router.clone(), now.clone(), tell.clone())
    };
    let registrar = arbiters.spawn_local(own("registrar"), 0, make, lasting, root).await?;

    let make = {
        let (now, tell, tasks, window) = (clock(&hub), tell.clone(), options.tasks, window.clone());
        move || {
            let state = Rc::new(RefCell::new(TasksState::new(tasks)));
            let now: Rc<dyn Fn() -> Timestamp> = Rc::new(now);
            let tell: Rc<dyn Fn(TaskEvent)> = Rc::new(move |event| {
                window.observe(&event);
                tell(event.into());
            });
            move |_: &_| Coordinator::new(state.clone(), now.clone(), tell.clone())
        }
    };
    let coordinator = arbiters.spawn_local(own("coordinator"), 0, make, lasting, root).await?;
    _ = coordinator_cell.set(coordinator.address());

    let make = {
        let (now, tell) = (clock(&hub), tell.clone());
        move || {
            let state = Rc::new(RefCell::new(StartupState::default()));
            let now: Rc<dyn Fn() -> Timestamp> = Rc::new(now);
            let tell: Rc<dyn Fn(StartupEvent)> = Rc::new(move |event| tell(event.into()));
            move |_: &_| Initializer::new(state.clone(), now.clone(), tell.clone())
        }
    };
    let initializer = arbiters.spawn_local(own("initializer"), 0, make, lasting, root).await?;

    Ok(Protocols {
        agents: [
            monitor.handle(),
            router.handle(),
            registrar.handle(),
            coordinator.handle(),
            initializer.handle(),
        ],
        monitor: monitor.address(),
        router: router.address(),
        registrar: registrar.address(),
        coordinator: coordinator.address(),
        initializer: initializer.address(),
        registrar_cell,
        monitor_cell,
        teller,
    })
}

/// Who hears of the lives of agents: those who count, watch, monitor, and forget them.
pub(super) fn observers(
    protocols: &Protocols,
    watches: &Watches,
    alive: &Arc<Alive>,
    names: &Arc<Names>,
) -> Vec<Observer> {
    let (registrar, coordinator) = (protocols.registrar.clone(), protocols.coordinator.clone());
    let teller = protocols.teller.clone();
    let (watches, alive, names) = (watches.clone(), alive.clone(), names.clone());
    vec![Arc::new(move |change: &Lifecycle| {
        match change.change {
            // An agent has one start and one end, so these are bounded by the number of agents; its crashes are not.
            LifecycleChange::Started | LifecycleChange::Terminated(_) => {
                teller.tell_always(change.into());
            }
            LifecycleChange::Crashed { .. }
            | LifecycleChange::Restarting { .. }
            | LifecycleChange::Restarted => {
                teller.tell(change.into());
            }
        }
        if change.agent.as_str().starts_with(OWN) {
            return;
        }
        if let LifecycleChange::Terminated(_) = change.change {
            // Never refused: one for each agent.
            registrar.do_send(Delist(vec![change.agent.clone()]));
            coordinator.do_send(Withdraw(change.agent.clone()));
        }
        watches.observe(change);
        alive.observe(change);
        if let LifecycleChange::Terminated(_) = change.change {
            // Last: whoever takes the name next comes behind the removals above in every mailbox, and is counted alone.
            names.release(std::slice::from_ref(&change.agent));
        }
    })]
}
