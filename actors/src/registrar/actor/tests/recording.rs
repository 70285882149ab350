//! A registrar with a recorder, in virtual time.

use std::collections::VecDeque;

use super::*;
use crate::registrar::{Record, Recorded, Recorder, Recovered, Recovery, Unrecorded};

mod ended;
mod owed;

/// What the recorder does with a call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Conduct {
    /// It writes within so many milliseconds.
    Write(u64),
    /// It refuses after so many milliseconds.
    Refuse(u64),
    /// It takes the records and says nothing.
    Silence,
    /// It breaks.
    Break,
    /// It panics.
    Panic,
}

/// A recorder that writes into memory, in order, as it is told to; when it is told nothing, at once.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) log: Mutex<Vec<Record>>,
    conduct: Mutex<VecDeque<Conduct>>,
    /// What it is silent about.
    silent: Mutex<Vec<(Vec<Record>, Recorded)>>,
    /// When the call before is through.
    free_at: Mutex<Option<tokio::time::Instant>>,
}

impl Memory {
    pub(super) fn conduct(&self, conduct: impl IntoIterator<Item = Conduct>) {
        self.conduct.lock().unwrap().extend(conduct);
    }

    pub(super) fn recovered(&self) -> Recovered {
        let mut recovery = Recovery::new(1 << 16);
        for (before, record) in (0..).zip(self.log.lock().unwrap().iter()) {
            recovery.take(before + 1, record.clone()).unwrap();
        }
        recovery.finish()
    }

    /// The agents that are registered by what is written, with their generations.
    fn members(&self) -> Vec<(String, u64)> {
        let members = self.recovered().members.into_iter();
        members.map(|member| (member.request.agent.to_string(), member.generation)).collect()
    }

    fn kinds(&self) -> Vec<&'static str> {
        let kind = |record: &Record| match record {
            Record::Opened { .. } => "opened",
            Record::Registered { .. } => "registered",
            Record::Replaced { .. } => "replaced",
            Record::Ended { .. } => "ended",
            Record::Undone { .. } => "undone",
            Record::Removed { .. } => "removed",
            Record::Renewed { .. } => "renewed",
        };
        self.log.lock().unwrap().iter().map(kind).collect()
    }

    /// Writes what it was silent about, after all.
    fn speak(&self) {
        for (records, recorded) in std::mem::take(&mut *self.silent.lock().unwrap()) {
            self.log.lock().unwrap().extend(records);
            recorded.tell(Ok(()));
        }
    }

    /// Refuses what it was silent about.
    fn refuse(&self) {
        for (_, recorded) in std::mem::take(&mut *self.silent.lock().unwrap()) {
            recorded.tell(Err(Unrecorded::Refused("the disk is full".to_owned())));
        }
    }

    /// How each request ended by what is written, by its number.
    fn ends(&self) -> Vec<(u64, String)> {
        let mut ends: Vec<_> = self.recovered().requests.into_iter().map(|logged| logged.request).collect();
        ends.sort_by_key(|request| request.id);
        ends.iter().map(|request| (request.id.0, request.status().to_string())).collect()
    }
}

/// A handle on such a recorder.
pub(super) struct Handle(pub(super) Arc<Memory>);

impl Recorder for Handle {
    fn append(&self, records: Vec<Record>, recorded: Recorded) {
        let conduct = self.0.conduct.lock().unwrap().pop_front();
        let (millis, result) = match conduct.unwrap_or(Conduct::Write(0)) {
            Conduct::Write(millis) => (millis, Ok(())),
            Conduct::Refuse(millis) => (millis, Err(Unrecorded::Refused("the disk is full".to_owned()))),
            Conduct::Silence => return self.0.silent.lock().unwrap().push((records, recorded)),
            Conduct::Break => (0, Err(Unrecorded::Broken("the disk is gone".to_owned()))),
            Conduct::Panic => panic!("on purpose"),
        };
        // One call after the other.
        let mut free_at = self.0.free_at.lock().unwrap();
        let now = tokio::time::Instant::now();
        let until = free_at.filter(|at| *at > now).unwrap_or(now) + Duration::from_millis(millis);
        *free_at = Some(until);
        let memory = self.0.clone();
        let write = move || {
            if result.is_ok() {
                memory.log.lock().unwrap().extend(records);
            }
            recorded.tell(result);
        };
        if until == now {
            return write();
        }
        actix_rt::spawn(async move {
            tokio::time::sleep_until(until).await;
            write();
        });
    }
}

pub(super) fn recording(options: RegistrarOptions, recovered: Recovered) -> (RegistrarCell, Arc<Memory>) {
    recording_by(options, Rules::default(), recovered)
}

fn recording_by(
    options: RegistrarOptions,
    rules: Rules,
    recovered: Recovered,
) -> (RegistrarCell, Arc<Memory>) {
    let memory = Arc::<Memory>::default();
    let recorder = Arc::new(Handle(memory.clone()));
    (RegistrarCell::recording(options, rules, recorder, recovered), memory)
}

async fn fresh() -> (World, Arc<Memory>) {
    let options = RegistrarOptions { batch_timeout: Duration::from_secs(5), ..RegistrarOptions::default() };
    let (cell, memory) = recording(options, Recovered::default());
    (World::over(cell).await, memory)
}

async fn millis(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

#[test]
fn an_agent_is_routed_at_once_but_in_the_roster_and_answered_when_its_record_is_durable() {
    paused(async {
        let (world, memory) = fresh().await;
        let agents = world.sellers(&["a"]).await;
        memory.conduct([Conduct::Write(20), Conduct::Write(20)]);
        let answer = world.enlist(&agents);
        millis(10).await;
        assert_eq!((world.routed().len(), world.registered().len(), memory.kinds().len()), (1, 0, 0));
        assert!(!answer.is_finished());
        let pending = world.asked(QueryRequest(RequestId(1))).await.unwrap().unwrap();
        assert_eq!((pending.status(), world.status().await.in_flight), (&Status::Registering, 1));
        let request = answer.await.unwrap().pop().unwrap();
        assert_eq!((request.status(), memory.kinds()), (&Status::Completed, vec!["registered"]));
        assert_eq!(memory.recovered().requests[0].request, request, "what is written is what is answered");
        world.assert_only(&["a"]);

        let removed = world.asked(Delist(vec![id("a")]));
        millis(10).await;
        world.assert_only(&[]);
        let again = world.asked(Delist(vec![id("a")]));
        world.turns().await;
        world.cell.verify().unwrap();
        assert!(!removed.is_finished() && !again.is_finished() && memory.kinds().len() == 1);
        assert_eq!((removed.await.unwrap(), again.await.unwrap()), (1, 0));
        assert_eq!(memory.kinds(), ["registered", "removed"]);
    });
}

#[test]
fn requests_whose_record_is_refused_fail_and_leave_no_route() {
    paused(async {
        let (world, memory) = fresh().await;
        let agents = world.sellers(&["a", "b"]).await;
        memory.conduct([Conduct::Refuse(3), Conduct::Write(3)]);
        let failed = world.enlist(&agents).await.unwrap();
        let why = "failed: its record was not written: the disk is full; try again later";
        assert_eq!(statuses(&failed), [why, why]);
        world.turns().await;
        world.assert_only(&[]);
        assert_eq!(memory.kinds().len(), 0);
        let events = std::mem::take(&mut *world.events.lock().unwrap());
        let unrecorded =
            |event: &RegistrarEvent| matches!(event, RegistrarEvent::Unrecorded { records: 2, .. });
        assert!(events.iter().any(unrecorded), "{events:?}");
        assert_eq!(statuses(&world.enlist(&agents).await.unwrap()), ["completed", "completed"]);
        world.assert_only(&["a", "b"]);
    });
}

#[test]
fn a_removal_whose_record_is_refused_is_written_later_and_then_answered() {
    paused(async {
        let (world, memory) = fresh().await;
        let agents = world.sellers(&["a"]).await;
        world.enlist(&agents).await.unwrap();
        memory.conduct([Conduct::Refuse(0), Conduct::Write(0), Conduct::Refuse(0)]);
        let removed = world.asked(Delist(vec![id("a")]));
        world.turns().await;
        world.assert_only(&[]);
        assert!(!removed.is_finished());
        // Back before the removal is written: its generation tells it from the one that is gone.
        let back = world.sellers(&["a"]).await;
        assert_eq!(statuses(&world.enlist(&back).await.unwrap()), ["completed"]);
        assert_eq!(memory.kinds(), ["registered", "registered"]);
        assert_eq!(removed.await.unwrap(), 1);
        assert_eq!(memory.kinds(), ["registered", "registered", "removed"]);
        let generation = world.cell.with_roster(|roster| roster.get(&id("a")).unwrap().generation());
        assert_eq!((generation, memory.members()), (1, vec![("a".to_owned(), 1)]));
    });
}

#[test]
fn a_recorder_that_breaks_ends_every_request_and_leaves_no_removal_waiting() {
    paused(async {
        for conduct in [Conduct::Break, Conduct::Panic] {
            let (world, memory) = fresh().await;
            let agents = world.sellers(&["a", "b"]).await;
            world.enlist(&agents[..1]).await.unwrap();
            memory.conduct([conduct, conduct]);
            let failed = statuses(&world.enlist(&agents[1..]).await.unwrap());
            assert!(
                failed[0].starts_with("failed: whether its record was written is not known: "),
                "{failed:?}"
            );
            let removed = world.registrar.address().send(Delist(vec![id("a")])).await;
            assert!(matches!(removed, Err(MailboxError::Closed)), "{removed:?}");
            world.turns().await;
            world.assert_only(&[]);
        }
    });
}

#[test]
fn a_recorder_that_says_nothing_is_not_waited_for_and_what_it_wrote_after_all_is_undone() {
    paused(async {
        let (world, memory) = fresh().await;
        let agents = world.sellers(&["a", "b"]).await;
        world.enlist(&agents[1..]).await.unwrap();
        memory.conduct([Conduct::Silence, Conduct::Silence]);
        let answer = world.enlist(&agents[..1]);
        let removed = world.registrar.address().send(Delist(vec![id("b")]));
        let failed = statuses(&answer.await.unwrap());
        let why = "failed: whether its record was written is not known: the recorder said nothing within 5s";
        assert_eq!(failed, [why]);
        assert!(matches!(removed.await, Err(MailboxError::Closed)));
        world.turns().await;
        world.assert_only(&[]);
        // It comes back, and only then the first one is written.
        assert_eq!(statuses(&world.enlist(&agents[..1]).await.unwrap()), ["completed"]);
        memory.speak();
        world.turns().await;
        assert_eq!(memory.kinds(), ["registered", "registered", "removed", "registered", "undone"]);
        world.assert_only(&["a"]);
        let generation = world.cell.with_roster(|roster| roster.get(&id("a")).unwrap().generation());
        assert_eq!(memory.members(), [("a".to_owned(), generation)]);
        let logged = memory.recovered().requests;
        assert_eq!(
            logged.iter().find(|one| one.request.id == RequestId(2)).unwrap().request.status().as_str(),
            "failed"
        );
    });
}

#[test]
fn an_agent_that_ends_or_is_removed_while_its_record_is_written_fails_and_is_undone() {
    paused(async {
        let (world, memory) = fresh().await;
        let agents = world.sellers(&["a", "b", "c"]).await;
        memory.conduct([Conduct::Write(10), Conduct::Write(10)]);
        let answer = world.enlist(&agents);
        millis(5).await;
        agents[0].kill();
        let removed = world.asked(Delist(vec![id("b")]));
        let failed = statuses(&answer.await.unwrap());
        assert_eq!(
            failed,
            [
                "failed: agent a ended before it was registered",
                "failed: agent b was removed while it was being registered",
                "completed"
            ]
        );
        assert!(!removed.is_finished(), "that it is undone is not written yet");
        assert_eq!(removed.await.unwrap(), 0);
        let three = ["registered"; 3];
        assert_eq!(memory.kinds(), [&three[..], &["undone"; 2]].concat());
        world.assert_only(&["c"]);
        assert_eq!(memory.members(), [("c".to_owned(), 0)]);
    });
}

#[test]
fn a_cancelled_request_and_a_failed_one_are_written_too() {
    paused(async {
        let (cell, memory) = recording(slow(), Recovered::default());
        let world = World::over(cell).await;
        let agents = world.sellers(&["a", "b", "c"]).await;
        let answer = world.enlist(&agents);
        world.turns().await;
        world.asked(CancelRequest(RequestId(1))).await.unwrap().unwrap();
        agents[1].kill();
        let requests = answer.await.unwrap();
        assert_eq!(memory.kinds(), ["ended", "ended", "registered"]);
        let logged = memory.recovered().requests.into_iter().map(|logged| logged.request);
        assert_eq!(logged.collect::<Vec<_>>(), requests);
    });
}

#[test]
fn a_registrar_that_is_rebuilt_neither_loses_nor_doubles_what_is_being_written() {
    paused(async {
        for turns in 0..16 {
            let (world, memory) = fresh().await;
            let agents = world.sellers(&["a", "b"]).await;
            memory.conduct([Conduct::Write(turns % 3), Conduct::Write(turns % 2)]);
            let answer = world.enlist(&agents);
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            world.break_registrar();
            assert_eq!(statuses(&answer.await.unwrap()), ["completed", "completed"], "after {turns} turns");
            let removed = world.asked(Delist(vec![id("a")]));
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            world.break_registrar();
            assert_eq!(removed.await.unwrap(), 1, "after {turns} turns");
            assert_eq!(memory.kinds(), ["registered", "registered", "removed"], "after {turns} turns");
            world.turns().await;
            world.assert_only(&["b"]);
        }
    });
}

#[test]
fn a_word_of_the_recorder_that_nobody_read_is_read_by_the_next_registrar() {
    paused(async {
        let (world, memory) = fresh().await;
        let agents = world.sellers(&["a"]).await;
        memory.conduct([Conduct::Silence]);
        let answer = world.enlist(&agents);
        world.turns().await;
        // As if the message were lost with the registrar that was handling it.
        world.cell.hear(Timestamp::ZERO, &mut Effects::default());
        let silent = std::mem::take(&mut *memory.silent.lock().unwrap());
        world.break_registrar();
        for (_, recorded) in silent {
            recorded.tell(Ok(()));
        }
        assert_eq!(statuses(&answer.await.unwrap()), ["completed"]);
    });
}

#[test]
fn what_was_recovered_stays_idempotent_and_its_agents_return_with_later_generations() {
    paused(async {
        let (world, memory) = fresh().await;
        let agents = world.sellers(&["a", "b", "c"]).await;
        let first = world.enlist(&agents).await.unwrap();
        assert_eq!(world.asked(Delist(vec![id("c")])).await.unwrap(), 1);

        let (cell, later) = recording(RegistrarOptions::default(), memory.recovered());
        let world = World::over(cell).await;
        world.assert_only(&[]);
        let names = |members: Vec<crate::registrar::RecoveredMember>| {
            members.iter().map(|member| member.request.agent.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(world.cell.unreturned()), ["a", "b"]);
        let agents = world.sellers(&["a", "c"]).await;
        let enlistment = world.enlistment(&agents[0]);
        assert_eq!(enlistment.request.id, RequestId(4), "numbers go on behind the recovered ones");
        let mut again = enlistment.clone();
        again.request.id = first[0].id;
        assert_eq!(world.asked(Enlist(vec![again])).await.unwrap(), first[..1], "answered from the log");
        assert_eq!(later.kinds().len(), 0);
        let back = world.asked(Enlist(vec![enlistment, world.enlistment(&agents[1])])).await.unwrap();
        assert_eq!(statuses(&back), ["completed", "completed"]);
        assert_eq!(later.kinds(), ["replaced", "registered"]);
        assert_eq!(names(world.cell.unreturned()), ["b"]);
        let generation = |name| world.cell.with_roster(|roster| roster.get(&id(name)).unwrap().generation());
        assert_eq!((generation("a"), generation("c")), (1, 0), "c was not there any more");
        world.asked(Delist(vec![id("a")])).await.unwrap();
        let back = world.sellers(&["a"]).await;
        world.enlist(&back).await.unwrap();
        assert_eq!(generation("a"), 2);
        world.assert_only(&["a", "c"]);
    });
}
