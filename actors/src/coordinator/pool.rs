//! Who can do what: enrolled agents by load, ready tasks by urgency, matched by what the tasks need.
//!
//! ```text
//! ready tasks --by their set of needs--> class: ready tasks by (priority, order)
//! agents ------by what they offer------>        free agents by (load, dispatched, order)
//!                        classes with both, by their most urgent task: `open`
//! ```
//!
//! Owns agents and queues. Never knows dependencies, attempts or the time.
//!
//! **Invariant.** A class is in `open` exactly when it has a ready task and a free capable agent. One change costs
//! O(log n) in the number of agents and tasks, times the number of distinct sets of needs that the agent satisfies.

use std::{
    cmp::{Ordering, Reverse},
    collections::BTreeSet,
    sync::Arc,
};

use rustc_hash::FxHashMap;

use crate::agent::{AgentId, Capability, Priority, Timestamp};

/// The place of a ready task: the most urgent, then the earliest submitted; with its number.
pub(super) type ReadyKey = (Reverse<Priority>, u64, u32);

/// The place of a free agent: the least loaded, then the least used, then the earliest enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LoadKey {
    taken: u32,
    slots: u32,
    dispatched: u64,
    pub(super) agent: u32,
}

impl Ord for LoadKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let load = |a: &Self, b: &Self| u64::from(a.taken) * u64::from(b.slots);
        load(self, other)
            .cmp(&load(other, self))
            .then(self.dispatched.cmp(&other.dispatched))
            .then(self.agent.cmp(&other.agent))
    }
}

impl PartialOrd for LoadKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// One agent.
#[derive(Debug)]
pub(super) struct AgentSlot {
    pub(super) id: AgentId,
    pub(super) offers: BTreeSet<Capability>,
    pub(super) slots: u32,
    pub(super) executing: BTreeSet<u32>,
    /// How many attempts it has not let go of that were given up.
    pub(super) releasing: u32,
    pub(super) dispatched: u64,
    /// Until when it gets no task, having refused one.
    pub(super) paused: Option<Timestamp>,
    pub(super) present: bool,
    /// The classes it is capable of.
    pub(super) classes: Vec<u32>,
}

impl AgentSlot {
    pub(super) fn free(&self) -> bool {
        self.present && self.paused.is_none() && self.taken() < self.slots
    }

    /// How many of its slots are taken.
    pub(super) fn taken(&self) -> u32 {
        u32::try_from(self.executing.len()).expect("at most `slots` tasks") + self.releasing
    }

    fn key(&self, agent: u32) -> LoadKey {
        let taken = self.taken();
        LoadKey { taken, slots: self.slots, dispatched: self.dispatched, agent }
    }
}

/// All tasks with the same needs.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) needs: Arc<BTreeSet<Capability>>,
    /// How many enrolled agents could do them.
    pub(super) capable: usize,
    pub(super) free: BTreeSet<LoadKey>,
    pub(super) ready: BTreeSet<ReadyKey>,
    pub(super) listed: Option<ReadyKey>,
    /// Whether the lack of a capable agent was told.
    announced: bool,
}

/// Agents and ready tasks.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) agents: Vec<AgentSlot>,
    pub(super) by_id: FxHashMap<AgentId, u32>,
    pub(super) classes: Vec<Class>,
    class_of: FxHashMap<Arc<BTreeSet<Capability>>, u32>,
    pub(super) open: BTreeSet<(ReadyKey, u32)>,
    /// Ready tasks that no enrolled agent is capable of.
    pub(super) stranded: usize,
}

impl Pool {
    /// The class of a set of needs.
    pub(super) fn class(&mut self, needs: &BTreeSet<Capability>) -> u32 {
        if let Some(&class) = self.class_of.get(needs) {
            return class;
        }
        let class = u32::try_from(self.classes.len()).expect("fewer classes than tasks");
        let needs = Arc::new(needs.clone());
        let mut new = Class {
            needs: needs.clone(),
            capable: 0,
            free: BTreeSet::new(),
            ready: BTreeSet::new(),
            listed: None,
            announced: false,
        };
        for &agent in self.by_id.values() {
            let slot = &mut self.agents[agent as usize];
            if slot.offers.is_superset(&needs) {
                slot.classes.push(class);
                new.capable += 1;
                if slot.free() {
                    new.free.insert(slot.key(agent));
                }
            }
        }
        self.classes.push(new);
        self.class_of.insert(needs, class);
        class
    }

    /// What the tasks of a class need if nobody offers that, and whether this is the first time that it is asked.
    pub(super) fn lack(&mut self, class: u32) -> Option<(Arc<BTreeSet<Capability>>, bool)> {
        let slot = &mut self.classes[class as usize];
        (slot.capable == 0).then(|| (slot.needs.clone(), !std::mem::replace(&mut slot.announced, true)))
    }

    /// Queues a ready task.
    pub(super) fn queue(&mut self, class: u32, key: ReadyKey) {
        let slot = &mut self.classes[class as usize];
        slot.ready.insert(key);
        self.stranded += usize::from(slot.capable == 0);
        self.refresh(class);
    }

    /// Takes a ready task out of its queue.
    pub(super) fn unqueue(&mut self, class: u32, key: ReadyKey) {
        let slot = &mut self.classes[class as usize];
        if slot.ready.remove(&key) {
            self.stranded -= usize::from(slot.capable == 0);
        }
        self.refresh(class);
    }

    /// The most urgent ready task that has a free capable agent, and the best agent for it.
    pub(super) fn best(&self) -> Option<(u32, u32)> {
        let &((_, _, task), class) = self.open.first()?;
        let agent = self.classes[class as usize].free.first().expect("an open class has a free agent").agent;
        Some((task, agent))
    }

    /// Adds an agent that is not enrolled.
    pub(super) fn enroll(&mut self, id: AgentId, offers: BTreeSet<Capability>, slots: u32) {
        let agent = u32::try_from(self.agents.len()).expect("fewer than 2^32 enrolments");
        let classes: Vec<u32> = (0u32..)
            .zip(&self.classes)
            .filter(|(_, class)| class.needs.is_subset(&offers))
            .map(|(number, _)| number)
            .collect();
        for &class in &classes {
            let slot = &mut self.classes[class as usize];
            if slot.capable == 0 {
                self.stranded -= slot.ready.len();
                slot.announced = false;
            }
            slot.capable += 1;
        }
        self.by_id.insert(id.clone(), agent);
        let executing = BTreeSet::new();
        self.agents.push(AgentSlot {
            id,
            offers,
            slots,
            executing,
            releasing: 0,
            dispatched: 0,
            paused: None,
            present: true,
            classes,
        });
        self.list(agent);
    }

    /// Removes an agent; the tasks it was working on, and the classes that nobody is capable of any more.
    pub(super) fn withdraw(&mut self, id: &str) -> Option<(u32, BTreeSet<u32>, Vec<u32>)> {
        let agent = self.by_id.remove(id)?;
        self.unlist(agent);
        let slot = &mut self.agents[agent as usize];
        slot.present = false;
        let executing = std::mem::take(&mut slot.executing);
        slot.offers = BTreeSet::new();
        let mut bereft = Vec::new();
        for class in std::mem::take(&mut slot.classes) {
            let slot = &mut self.classes[class as usize];
            slot.capable -= 1;
            if slot.capable == 0 {
                self.stranded += slot.ready.len();
                bereft.push(class);
            }
            self.refresh(class);
        }
        Some((agent, executing, bereft))
    }

    /// Changes an agent and puts it where it now belongs.
    pub(super) fn change(&mut self, agent: u32, change: impl FnOnce(&mut AgentSlot)) {
        self.unlist(agent);
        change(&mut self.agents[agent as usize]);
        self.list(agent);
    }

    fn unlist(&mut self, agent: u32) {
        let slot = &self.agents[agent as usize];
        if slot.free() {
            let key = slot.key(agent);
            for &class in &slot.classes {
                self.classes[class as usize].free.remove(&key);
            }
        }
    }

    fn list(&mut self, agent: u32) {
        let slot = &self.agents[agent as usize];
        let key = slot.free().then(|| slot.key(agent));
        for at in 0..slot.classes.len() {
            let class = self.agents[agent as usize].classes[at];
            self.classes[class as usize].free.extend(key);
            self.refresh(class);
        }
    }

    fn refresh(&mut self, class: u32) {
        let slot = &mut self.classes[class as usize];
        let now = if slot.free.is_empty() { None } else { slot.ready.first().copied() };
        if now != slot.listed {
            if let Some(key) = slot.listed {
                self.open.remove(&(key, class));
            }
            self.open.extend(now.map(|key| (key, class)));
            slot.listed = now;
        }
    }
}
