//! Random operations on a task graph against a model that looks at everything each time.

use std::{collections::BTreeSet, time::Duration};

use proptest::{prelude::*, sample::Index};
use serde_json::Value;

use super::*;
use crate::agent::{AgentId, Capability, Priority, TaskId, Timestamp};

#[derive(Debug, Clone)]
enum Op {
    Submit(Vec<Draft>),
    Enroll { agent: usize, offers: u8, slots: u32 },
    Withdraw { agent: usize },
    Answer { which: Index, ok: bool },
    Stale { which: Index },
    Late { which: Index, ok: bool },
    Refuse { which: Index },
    Cancel { which: Index },
    CancelAll,
    Forget { which: Index },
    Advance { millis: u64 },
}

#[derive(Debug, Clone)]
struct Draft {
    priority: u8,
    needs: u8,
    on: Vec<Index>,
    follows: Vec<Index>,
    retries: u32,
    timeout: u64,
    kept: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Pending,
    Ready,
    Executing { agent: usize, due: Timestamp },
    Backoff { due: Timestamp },
    Ended(TaskState),
}

#[derive(Debug)]
struct Task {
    draft: Draft,
    on: Vec<usize>,
    follows: Vec<usize>,
    stage: Stage,
    attempts: u32,
    failures: u32,
}

#[derive(Debug)]
struct Agent {
    name: usize,
    offers: u8,
    slots: usize,
    dispatched: u64,
    paused: Option<Timestamp>,
    present: bool,
}

#[derive(Debug, Default)]
struct Model {
    tasks: Vec<Task>,
    agents: Vec<Agent>,
    now: Timestamp,
    limit: Option<usize>,
    /// Whether tasks are cancelled that no agent can do.
    cancels: bool,
    dispatched: Vec<(usize, usize, u32)>,
    /// Attempts given up, with the agents that have not let go of them.
    recalled: Vec<(usize, u32, usize)>,
}

impl Model {
    /// How many slots of an agent are taken.
    fn taken(&self, agent: usize) -> usize {
        let executing = |t: &&Task| matches!(t.stage, Stage::Executing { agent: a, .. } if a == agent);
        let releasing = self.recalled.iter().filter(|(_, _, a)| *a == agent).count();
        self.tasks.iter().filter(executing).count() + releasing
    }

    /// Gives up what a task executes, if it does.
    fn recall(&mut self, task: usize) {
        if let Stage::Executing { agent, .. } = self.tasks[task].stage {
            self.recalled.push((task, self.tasks[task].attempts, agent));
        }
    }

    /// Lets failures and completions reach whom they concern, then hands out work, all by looking at everything.
    fn settle(&mut self) {
        let bad = |stage: Stage| matches!(stage, Stage::Ended(s) if s != TaskState::Completed);
        let ended = |stage: Stage| matches!(stage, Stage::Ended(_));
        loop {
            let change = self.tasks.iter().enumerate().find_map(|(n, t)| {
                let stage = |on: &usize| self.tasks[*on].stage;
                let is_ready = matches!(t.stage, Stage::Ready | Stage::Backoff { .. });
                if is_ready && self.cancels && !self.is_served(n) {
                    return Some((n, Stage::Ended(TaskState::Cancelled)));
                }
                if t.stage != Stage::Pending {
                    return None;
                }
                if t.on.iter().any(|on| bad(stage(on))) {
                    Some((n, Stage::Ended(TaskState::Failed)))
                } else if t.on.iter().chain(&t.follows).all(|on| ended(stage(on))) {
                    Some((n, Stage::Ready))
                } else {
                    None
                }
            });
            let Some((task, stage)) = change else { break };
            self.tasks[task].stage = stage;
        }
        loop {
            let running = self.tasks.iter().filter(|t| matches!(t.stage, Stage::Executing { .. })).count();
            if self.limit.is_some_and(|limit| running + self.recalled.len() >= limit) {
                break;
            }
            let mut ready: Vec<usize> =
                (0..self.tasks.len()).filter(|n| self.tasks[*n].stage == Stage::Ready).collect();
            ready.sort_by_key(|n| (u8::MAX - self.tasks[*n].draft.priority, *n));
            let choice = ready.into_iter().find_map(|task| {
                let needs = self.tasks[task].draft.needs;
                (0..self.agents.len())
                    .filter(|a| {
                        let agent = &self.agents[*a];
                        agent.present
                            && agent.paused.is_none()
                            && agent.offers & needs == needs
                            && self.taken(*a) < agent.slots
                    })
                    .min_by(|a, b| {
                        // Slots are at most 3, so sixths are exact.
                        let load = |a: usize| self.taken(a) * 6 / self.agents[a].slots;
                        let key = |a: usize| (load(a), self.agents[a].dispatched, a);
                        key(*a).cmp(&key(*b))
                    })
                    .map(|agent| (task, agent))
            });
            let Some((task, agent)) = choice else { break };
            self.agents[agent].dispatched += 1;
            let slot = &mut self.tasks[task];
            slot.attempts += 1;
            let due = self.now.plus(Duration::from_millis(slot.draft.timeout));
            slot.stage = Stage::Executing { agent, due };
            self.dispatched.push((task, self.agents[agent].name, slot.attempts));
        }
    }

    fn fail(&mut self, task: usize, last: TaskState, at_once: bool) {
        let slot = &mut self.tasks[task];
        slot.failures += 1;
        slot.stage = if slot.failures > slot.draft.retries {
            Stage::Ended(last)
        } else if at_once {
            Stage::Ready
        } else {
            Stage::Backoff { due: self.now.plus(Duration::from_millis(100 << (slot.failures - 1))) }
        };
    }

    fn advance(&mut self) {
        for task in 0..self.tasks.len() {
            match self.tasks[task].stage {
                Stage::Executing { due, .. } if due <= self.now => {
                    self.recall(task);
                    self.fail(task, TaskState::TimedOut, false);
                }
                Stage::Backoff { due } if due <= self.now => self.tasks[task].stage = Stage::Ready,
                _ => {}
            }
        }
        for agent in &mut self.agents {
            agent.paused = agent.paused.filter(|until| *until > self.now);
        }
    }

    /// Whether a task must be known: it has not ended, is kept, has an attempt that was not let go of, or is linked to a task
    /// that has not ended, in either direction.
    fn is_needed(&self, task: usize) -> bool {
        let links = |t: &Task| t.on.iter().chain(&t.follows).copied().collect::<Vec<_>>();
        let open = |t: usize| !matches!(self.tasks[t].stage, Stage::Ended(_));
        open(task)
            || self.tasks[task].draft.kept
            || self.recalled.iter().any(|(t, _, _)| *t == task)
            || self.tasks.iter().enumerate().any(|(n, t)| open(n) && links(t).contains(&task))
            || links(&self.tasks[task]).into_iter().any(open)
    }

    /// Whether an attempt was given up: yes while its agent holds on to it, no while it executes, and else unknown here.
    fn is_recalled(&self, task: &TaskId, attempt: u32) -> Option<bool> {
        if self.recalled.iter().any(|(t, a, _)| (id(*t), *a) == (task.clone(), attempt)) {
            return Some(true);
        }
        let executes = |(number, t): (usize, &Task)| {
            id(number) == *task && t.attempts == attempt && matches!(t.stage, Stage::Executing { .. })
        };
        self.tasks.iter().enumerate().any(executes).then_some(false)
    }

    fn is_served(&self, task: usize) -> bool {
        let needs = self.tasks[task].draft.needs;
        self.agents.iter().any(|a| a.present && a.offers & needs == needs)
    }

    fn state(&self, task: usize) -> TaskState {
        match self.tasks[task].stage {
            Stage::Pending => TaskState::Pending,
            Stage::Ready if self.is_served(task) => TaskState::Queued,
            Stage::Ready | Stage::Backoff { .. } => TaskState::Waiting,
            Stage::Executing { .. } => TaskState::Executing,
            Stage::Ended(state) => state,
        }
    }
}

fn id(task: usize) -> TaskId {
    TaskId::new(format!("t{task}")).unwrap()
}

fn agent_id(agent: usize) -> AgentId {
    AgentId::new(format!("a{agent}")).unwrap()
}

fn capabilities(mask: u8) -> BTreeSet<Capability> {
    (0..3).filter(|bit| mask >> bit & 1 == 1).map(|bit| Capability::new(format!("c{bit}")).unwrap()).collect()
}

/// Submits tasks to both. Those that the graph has forgotten cannot be depended upon.
fn submit(drafts: Vec<Draft>, graph: &mut TaskGraph, model: &mut Model, effects: &mut Vec<Effect>) {
    let first = model.tasks.len();
    let mut specs = Vec::new();
    for (at, draft) in drafts.into_iter().enumerate() {
        let number = first + at;
        let pick = |all: &[Index]| -> Vec<usize> {
            let is_known = |n: &usize| *n >= first || graph.state(&id(*n)).is_some();
            let some = all.iter().filter(|_| number > 0).map(|i| i.index(number));
            some.filter(is_known).collect()
        };
        let (on, follows) = (pick(&draft.on), pick(&draft.follows));
        specs.push(TaskSpec {
            needs: capabilities(draft.needs),
            keep: draft.kept,
            ..TaskSpec::new(id(number))
                .with_priority(Priority::try_from(draft.priority).unwrap())
                .after(on.iter().copied().map(id))
                .following(follows.iter().copied().map(id))
                .retrying(draft.retries)
                .within(Duration::from_millis(draft.timeout))
        });
        let stage = Stage::Pending;
        model.tasks.push(Task { draft, on, follows, stage, attempts: 0, failures: 0 });
    }
    graph.submit(specs, model.now, effects).unwrap();
}

/// Does one operation on both; whatever it refers to is chosen among what exists.
fn apply(op: Op, graph: &mut TaskGraph, model: &mut Model, effects: &mut Vec<Effect>) {
    let now = model.now;
    let executing: Vec<usize> =
        (0..model.tasks.len()).filter(|n| model.state(*n) == TaskState::Executing).collect();
    match op {
        Op::Submit(drafts) => submit(drafts, graph, model, effects),
        Op::Enroll { agent, offers, slots } => {
            let taken = graph.enroll(agent_id(agent), capabilities(offers), slots, now, effects).is_ok();
            assert_eq!(taken, !model.agents.iter().any(|a| a.present && a.name == agent));
            if taken {
                let slots = slots as usize;
                let (dispatched, paused, present) = (0, None, true);
                model.agents.push(Agent { name: agent, offers, slots, dispatched, paused, present });
            }
        }
        Op::Withdraw { agent } => {
            let found = model.agents.iter().position(|a| a.present && a.name == agent);
            assert_eq!(graph.withdraw(&agent_id(agent), now, effects), found.is_some());
            if let Some(found) = found {
                model.agents[found].present = false;
                model.recalled.retain(|(_, _, agent)| *agent != found);
                for task in executing {
                    if matches!(model.tasks[task].stage, Stage::Executing { agent, .. } if agent == found) {
                        model.fail(task, TaskState::Failed, true);
                    }
                }
            }
        }
        Op::Answer { which, ok } if !executing.is_empty() => {
            let task = executing[which.index(executing.len())];
            let result = if ok { Ok(Value::from(task)) } else { Err("no".to_owned()) };
            assert!(graph.attempt_ended(&id(task), model.tasks[task].attempts, result, now, effects));
            if ok {
                model.tasks[task].stage = Stage::Ended(TaskState::Completed);
            } else {
                model.fail(task, TaskState::Failed, false);
            }
        }
        Op::Stale { which } if !model.tasks.is_empty() => {
            let task = which.index(model.tasks.len());
            let attempt = model.tasks[task].attempts + u32::from(model.state(task) == TaskState::Executing);
            assert!(!graph.attempt_ended(&id(task), attempt, Ok(Value::Null), now, effects));
            model.recalled.retain(|(t, a, _)| (*t, *a) != (task, attempt));
        }
        Op::Late { which, ok } if !model.recalled.is_empty() => {
            let (task, attempt, _) = model.recalled.remove(which.index(model.recalled.len()));
            let result = if ok { Ok(Value::from(task)) } else { Err("late".to_owned()) };
            assert!(!graph.attempt_ended(&id(task), attempt, result, now, effects));
        }
        Op::Refuse { which } if !executing.is_empty() => {
            let task = executing[which.index(executing.len())];
            let Stage::Executing { agent, .. } = model.tasks[task].stage else { unreachable!() };
            assert!(graph.attempt_refused(&id(task), model.tasks[task].attempts, now, effects));
            model.agents[agent].paused = Some(now.plus(Duration::from_millis(10)));
            model.tasks[task].stage = Stage::Ready;
        }
        Op::Cancel { which } if !model.tasks.is_empty() => {
            let task = which.index(model.tasks.len());
            let open = !model.state(task).ended();
            assert_eq!(graph.cancel(&id(task), "test", now, effects), open);
            if open {
                model.recall(task);
                model.tasks[task].stage = Stage::Ended(TaskState::Cancelled);
            }
        }
        Op::CancelAll => {
            let open: Vec<usize> = (0..model.tasks.len()).filter(|n| !model.state(*n).ended()).collect();
            assert_eq!(graph.cancel_all("test", now, effects), open.len());
            for task in open {
                model.recall(task);
                model.tasks[task].stage = Stage::Ended(TaskState::Cancelled);
            }
        }
        Op::Forget { which } if !model.tasks.is_empty() => {
            let task = which.index(model.tasks.len());
            let kept = std::mem::take(&mut model.tasks[task].draft.kept);
            assert_eq!(graph.forget(&[id(task)]), usize::from(kept));
        }
        Op::Advance { millis } => {
            model.now = now.plus(Duration::from_millis(millis));
            graph.advance(model.now, effects);
            model.advance();
        }
        _ => {}
    }
    model.settle();
}

fn draft() -> impl Strategy<Value = Draft> {
    let some = || prop::collection::vec(any::<Index>(), 0..3);
    let needs = prop_oneof![3 => Just(0u8), 3 => Just(1), 1 => Just(2), 1 => Just(3), 1 => Just(4)];
    (1u8..=5, needs, some(), some(), 0u32..3, 1u64..400, prop::bool::weighted(0.1)).prop_map(
        |(priority, needs, on, follows, retries, timeout, kept)| Draft {
            priority,
            needs,
            on,
            follows,
            retries,
            timeout,
            kept,
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => prop::collection::vec(draft(), 0..6).prop_map(Op::Submit),
        3 => (0usize..5, 0u8..8, 1u32..4)
            .prop_map(|(agent, offers, slots)| Op::Enroll { agent, offers, slots }),
        1 => (0usize..5).prop_map(|agent| Op::Withdraw { agent }),
        8 => (any::<Index>(), prop::bool::weighted(0.7)).prop_map(|(which, ok)| Op::Answer { which, ok }),
        1 => any::<Index>().prop_map(|which| Op::Stale { which }),
        2 => (any::<Index>(), any::<bool>()).prop_map(|(which, ok)| Op::Late { which, ok }),
        1 => any::<Index>().prop_map(|which| Op::Refuse { which }),
        1 => any::<Index>().prop_map(|which| Op::Cancel { which }),
        1 => prop::bool::weighted(0.2).prop_map(|all| if all { Op::CancelAll } else { Op::Advance { millis: 1 } }),
        1 => any::<Index>().prop_map(|which| Op::Forget { which }),
        3 => (0u64..300).prop_map(|millis| Op::Advance { millis }),
    ]
}

fn dispatches(effects: &[Effect]) -> Vec<(String, String, u32)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Dispatch(a) => Some((a.task.to_string(), a.agent.to_string(), a.attempt)),
            _ => None,
        })
        .collect()
}

proptest! {
    #[test]
    fn any_sequence_of_operations_goes_as_the_model_says(
        ops in prop::collection::vec(op(), 1..60),
        limit in prop::option::weighted(0.3, 1usize..4),
        history in 0usize..8,
        cancels in prop::bool::weighted(0.3),
    ) {
        let mut graph = TaskGraph::new(GraphOptions {
            max_concurrent: limit,
            history,
            unserved: if cancels { Unserved::Cancel } else { Unserved::Wait },
            ..GraphOptions::default()
        });
        let mut model = Model { limit, cancels, ..Model::default() };
        let (mut ends, mut effects, mut tokens) = (BTreeSet::new(), Vec::new(), Vec::new());
        for op in ops {
            let shown = format!("{op:?}");
            apply(op, &mut graph, &mut model, &mut effects);
            prop_assert_eq!(graph.verify(), Ok(()), "after {}", shown);
            for number in 0..model.tasks.len() {
                match graph.state(&id(number)) {
                    Some(state) => prop_assert_eq!(state, model.state(number), "task {} after {}", number, shown),
                    None => prop_assert!(!model.is_needed(number), "task {} was forgotten before {}", number, shown),
                }
            }
            let expected: Vec<_> = model
                .dispatched
                .drain(..)
                .map(|(task, agent, attempt)| (id(task).to_string(), agent_id(agent).to_string(), attempt))
                .collect();
            prop_assert_eq!(dispatches(&effects), expected, "after {}", shown);
            for effect in effects.drain(..) {
                if let Effect::Recall { cancellation, .. } = &effect {
                    cancellation.cancel();
                }
                if let Effect::Dispatch(assignment) = &effect {
                    tokens.push(((assignment.task.clone(), assignment.attempt), assignment.cancellation.clone()));
                }
                if let Effect::Event(TaskEvent::TaskEnded { task, fault, .. }) = effect {
                    if let Some(TaskFault::Dependency { because_of }) = fault {
                        // One that failed long ago may be forgotten.
                        let root = graph.report(&because_of);
                        let first = root.is_none_or(|root| {
                            !matches!(root.fault, None | Some(TaskFault::Dependency { .. }))
                        });
                        prop_assert!(first, "{} is not where it began", because_of);
                    }
                    prop_assert!(ends.insert(task), "a task ends once");
                }
            }
            graph.trim();
            prop_assert_eq!(graph.verify(), Ok(()), "trimmed after {}", shown);
            let needed = (0..model.tasks.len()).filter(|task| model.is_needed(*task)).count();
            prop_assert!(graph.known() <= needed + history, "after {}", shown);
            // A token is cancelled exactly when its attempt was given up.
            let metrics = graph.metrics();
            prop_assert_eq!(metrics.releasing, model.recalled.len());
            for ((task, attempt), token) in &tokens {
                let gone = model.is_recalled(task, *attempt);
                prop_assert!(gone.is_none_or(|gone| gone == token.is_cancelled()), "{} {}", task, attempt);
            }
            prop_assert_eq!(metrics.open() + ends.len(), metrics.submitted);
        }
    }
}
