//! [`HostBuilder`]: the options of a host.

use std::sync::{Arc, atomic::AtomicBool};

use phalanx_actors::{
    agent::{AgentId, GroupName, Interventions},
    coordinator::GraphOptions,
    inbox::HubConfig,
    monitor::{Event, MonitorOptions},
    registrar::{RegistrarOptions, Rules},
    router::{Arbiters, ArbitersConfig, Directory, Heartbeat},
    supervisor::{GroupSpec, Strategy, Supervision, Watches},
};

use super::{
    Host, HostError, Inner,
    handles::Handles,
    protocols::{self, Alive, OWN, ProtocolOptions},
    sampler::{Sampling, SharedWindow},
    spawn::{Groups, Names},
    virtual_time::clock_is_paused,
};

/// The options of a host; every one has a sensible default.
///
/// # Examples
/// ```no_run
/// # async fn example() -> Result<(), phalanx::HostError> {
/// let host = phalanx::Host::builder().arbiters(2).seed(7).start().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct HostBuilder {
    arbiters: ArbitersConfig,
    hub: HubConfig,
    protocols: ProtocolOptions,
    simulated: bool,
    #[cfg(feature = "journal")]
    journal: Option<super::journal::Wanted>,
}

impl HostBuilder {
    /// So many arbiters, that is, threads that agents live on; by default one for each processor.
    pub fn arbiters(mut self, count: usize) -> Self {
        self.arbiters = ArbitersConfig::Threads(count);
        self
    }

    /// The seed of all randomness; 0 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.hub.seed = seed;
        self
    }

    /// Virtual time: one arbiter, the calling thread, whose clock must be paused and jumps to the next timer when nothing is
    /// left to do. The same seed gives the same events, byte for byte.
    pub fn simulated(mut self, seed: u64) -> Self {
        self.simulated = true;
        self.arbiters = ArbitersConfig::Here;
        self.seed(seed)
    }

    /// The chain that sees every message on its way out and in.
    pub fn interventions(mut self, interventions: Interventions) -> Self {
        self.hub.interventions = interventions;
        self
    }

    /// The bounds of the monitor.
    pub fn monitor(mut self, options: MonitorOptions) -> Self {
        self.protocols.monitor = options;
        self
    }

    /// Calls `tap` for every event, in order, at the moment the monitor takes it in.
    pub fn tap(mut self, tap: impl FnMut(&Event) + Send + 'static) -> Self {
        self.protocols.tap = Some(Box::new(tap));
        self
    }

    /// How registration requests form batches, and how much the registrar remembers.
    pub fn registration(mut self, options: RegistrarOptions) -> Self {
        self.protocols.registration = options;
        self
    }

    /// Keeps a journal of registration in a file: who is registered, and how requests end, is durable before anybody is told
    /// of it, and what earlier processes wrote counts.
    ///
    /// Requests that ended then are answered as they were. Agents that were registered then are not there by themselves: whoever
    /// spawns them again gives them a later generation, and [`RegistrarCell::unreturned`] lists the others.
    ///
    /// [`RegistrarCell::unreturned`]: phalanx_actors::registrar::RegistrarCell::unreturned
    #[cfg(feature = "journal")]
    pub fn journal(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        self.journal = Some(super::journal::Wanted { path: path.into(), options: None });
        self
    }

    /// The same with other options.
    #[cfg(feature = "journal")]
    pub fn journal_with(
        mut self,
        path: impl Into<std::path::PathBuf>,
        options: crate::journal::JournalOptions,
    ) -> Self {
        self.journal = Some(super::journal::Wanted { path: path.into(), options: Some(options) });
        self
    }

    /// What a registration request must fulfil.
    pub fn rules(mut self, rules: Rules) -> Self {
        self.protocols.rules = rules;
        self
    }

    /// Has every agent show that it comes to its turn, again and again: one that misses a beat is suspected, one that misses
    /// several in a row is on no route until it beats again. Off unless this is called.
    pub fn heartbeat(mut self, heartbeat: Heartbeat) -> Self {
        self.protocols.heartbeat = Some(heartbeat);
        self
    }

    /// How tasks are shared out.
    pub fn tasks(mut self, options: GraphOptions) -> Self {
        self.protocols.tasks = options;
        self
    }

    /// Starts the host. Must be called inside an actix system.
    ///
    /// # Errors
    /// [`HostError::NoVirtualTime`] when virtual time was asked for and the clock runs, [`HostError::NoAnswer`] when a protocol actor did not
    /// start, and those of the journal when one is kept that cannot be opened, or is damaged.
    #[cfg_attr(not(feature = "journal"), expect(unused_mut, reason = "only a journal is taken out of it"))]
    pub async fn start(mut self) -> Result<Host, HostError> {
        if self.simulated && !clock_is_paused() {
            return Err(HostError::NoVirtualTime);
        }
        #[cfg(feature = "journal")]
        let opened = match self.journal.take() {
            Some(_) if self.simulated => return Err(HostError::JournalInVirtualTime),
            Some(wanted) => {
                let (opened, recorder, recovered) =
                    wanted.open(self.protocols.registration.batcher.remember)?;
                self.protocols.recorder = Some((recorder, recovered));
                Some(opened)
            }
            None => None,
        };
        let arbiters = Arbiters::start(self.arbiters, self.hub).await;
        let directory = Directory::new(arbiters.hub());
        let spec = GroupSpec {
            name: GroupName::new("protocols").expect("a fixed name"),
            strategy: Strategy::OneForOne,
            supervision: Supervision::ALWAYS,
        };
        let id = AgentId::new(format!("{OWN}supervisor")).expect("a fixed name");
        let root = arbiters.supervise(id, spec, None).await.map_err(|_| HostError::NoAnswer("supervisor"))?;
        let (window, sample_every) = (SharedWindow::new(self.simulated), self.protocols.monitor.sample_every);
        let protocols = protocols::start(
            &arbiters,
            &directory,
            &root.address(),
            self.protocols,
            (&window, self.simulated),
        )
        .await
        .map_err(|_| HostError::NoAnswer("protocol actors"))?;
        #[cfg(feature = "journal")]
        let kept = opened.map(|opened| opened.keep(protocols.registrar_cell.clone()));
        let (watches, alive, names) =
            (Watches::default(), Arc::new(Alive::default()), Arc::new(Names::default()));
        arbiters.hub().observe_with(protocols::observers(&protocols, &watches, &alive, &names));
        let sampling = sample_every.filter(|every| !every.is_zero()).map(|every| {
            let (hub, monitor) = (arbiters.hub().clone(), protocols.monitor.clone());
            let timing = (every, protocols.monitor_cell.heard());
            Sampling::start((hub, directory.clone()), monitor, window, self.simulated, timing)
        });
        Ok(Host {
            inner: Arc::new(Handles::new(Inner {
                sampling,
                arbiters,
                directory,
                watches,
                protocols,
                root,
                groups: Groups::default(),
                names,
                alive,
                #[cfg(feature = "journal")]
                journal: kept,
                closing: AtomicBool::new(false),
                ended: AtomicBool::new(false),
                simulated: self.simulated,
            })),
        })
    }
}
