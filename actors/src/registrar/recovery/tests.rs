use proptest::prelude::*;

use super::*;
use crate::agent::{Kind, Timestamp};

#[derive(Debug, Clone, Copy)]
enum Step {
    Open,
    Register(u8),
    Fail(u8),
    Undo(u8),
    UndoEarlier(u8),
    Renew(u8),
    Remove(u8),
    RemoveEarlier(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => Just(Step::Open),
        4 => (0..5_u8).prop_map(Step::Register),
        1 => (0..5_u8).prop_map(Step::Fail),
        2 => (0..5_u8).prop_map(Step::Undo),
        1 => (0..5_u8).prop_map(Step::UndoEarlier),
        1 => (0..5_u8).prop_map(Step::Renew),
        3 => (0..5_u8).prop_map(Step::Remove),
        1 => (0..5_u8).prop_map(Step::RemoveEarlier),
    ];
    prop::collection::vec(step, 0..60)
}

fn request(number: u64, agent: u8, status: Status) -> Request {
    let (agent, kind) = (AgentId::new(format!("a/{agent}")).unwrap(), Kind::new("k").unwrap());
    Request::new(RequestId(number), agent, kind, Timestamp::ZERO).concluded(status, Timestamp::ZERO)
}

/// A registration in the plain model.
#[derive(Debug, Clone, Copy)]
struct Held {
    generation: u64,
    request: u64,
    run: u64,
}

/// The records that a registrar would write, and by a plain model who is registered at the end: all registrations of an agent
/// that count, or would if a later one were undone, the latest last.
fn written(steps: &[Step]) -> (Vec<Record>, BTreeMap<String, Vec<Held>>) {
    let mut model = BTreeMap::<String, Vec<Held>>::new();
    let (mut records, mut run, mut numbers, mut latest) = (Vec::new(), 0, 0, 0);
    for step in steps {
        numbers += 1;
        let of = |agent: u8| AgentId::new(format!("a/{agent}")).unwrap();
        let failed = |agent| request(numbers, agent, Status::Failed("no".into()));
        match *step {
            Step::Open => {
                run += 1;
                records.push(Record::Opened { run });
            }
            Step::Register(agent) => {
                latest += 1;
                let (request, generation) = (request(numbers, agent, Status::Completed), latest);
                let held = model.entry(of(agent).to_string()).or_default();
                records.push(if held.is_empty() {
                    Record::Registered { request, generation }
                } else {
                    Record::Replaced { request, generation }
                });
                held.push(Held { generation, request: numbers, run });
            }
            Step::Fail(agent) => records.push(Record::Ended { request: failed(agent) }),
            Step::Undo(agent) | Step::UndoEarlier(agent) => {
                let from_last = usize::from(matches!(step, Step::UndoEarlier(_)));
                let held = model.entry(of(agent).to_string()).or_default();
                if let Some(nth) = held.len().checked_sub(1 + from_last)
                    && held[nth].run == run
                {
                    let Held { generation, request: number, .. } = held.remove(nth);
                    let request = request(number, agent, Status::Failed("gone".into()));
                    records.push(Record::Undone { request, generation });
                }
            }
            Step::Renew(agent) => {
                let held = model.entry(of(agent).to_string()).or_default().last_mut();
                if let Some(held) = held.filter(|held| held.run == run) {
                    latest += 1;
                    held.generation = latest;
                    let (agent, generation) = (of(agent), latest);
                    records.push(Record::Renewed { agent, generation, at: Timestamp::ZERO });
                }
            }
            Step::Remove(agent) => {
                if let Some(held) = model.remove(of(agent).as_str()).as_deref().and_then(<[_]>::last) {
                    let (agent, generation) = (of(agent), held.generation);
                    records.push(Record::Removed { agent, generation, at: Timestamp::ZERO });
                }
            }
            Step::RemoveEarlier(agent) => {
                let held = model.entry(of(agent).to_string()).or_default();
                let generation = held.last().map_or(0, |last| last.generation - 1);
                held.retain(|held| held.generation > generation);
                let agent = of(agent);
                records.push(Record::Removed { agent, generation, at: Timestamp::ZERO });
            }
        }
        model.retain(|_, held| !held.is_empty());
    }
    (records, model)
}

fn recovery(records: &[Record], most: usize) -> Recovery {
    let mut recovery = Recovery::new(most);
    for (before, record) in (0_u64..).zip(records) {
        recovery.take(before + 1, record.clone()).unwrap();
    }
    recovery
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_come_to_what_a_plain_model_says_and_so_do_those_that_matter(steps in steps(), most in 0..6_usize) {
        let (records, model) = written(&steps);
        let whole = recovery(&records, most);
        let kept = whole.kept();
        let mut again = Recovery::new(most);
        for sequence in &kept {
            let record = records[usize::try_from(*sequence).unwrap() - 1].clone();
            again.take_kept(*sequence, record).unwrap();
        }
        again.end_kept(whole.sequence()).unwrap();
        prop_assert_eq!(again.kept(), kept.clone(), "what matters does so the next time");
        let held: usize = model.values().map(Vec::len).sum();
        // Each may be renewed, and with each or its renewal the opening of its run is kept.
        let bound = 2 * held + 2 * most;
        prop_assert!(kept.len() <= 2 * bound + 1, "{} of {} kept for {held} registrations", kept.len(), records.len());
        let (whole, again) = (whole.finish(), again.finish());
        let members = whole.members.iter().map(|member| (member.request.agent.to_string(), member.generation));
        let model = model.into_iter().map(|(agent, held)| (agent, held.last().unwrap().generation));
        prop_assert_eq!(members.collect::<BTreeMap<_, _>>(), model.collect::<BTreeMap<_, _>>());
        let mut latest: Vec<&Request> = Vec::new();
        for request in records.iter().filter_map(Record::request) {
            latest.retain(|before| before.id != request.id);
            latest.push(request);
        }
        let latest = &latest[latest.len().saturating_sub(most)..];
        prop_assert_eq!(whole.requests.iter().map(|logged| &logged.request).collect::<Vec<_>>(), latest);
        prop_assert_eq!(again, whole);
    }
}

#[test]
fn a_record_out_of_sequence_is_refused_and_changes_nothing() {
    let mut recovery = Recovery::new(8);
    recovery.take(1, Record::Opened { run: 1 }).unwrap();
    for found in [0, 1, 3, u64::MAX] {
        let refused = recovery.take(found, Record::Opened { run: 9 }).unwrap_err();
        assert_eq!(refused, OutOfSequence { expected: 2, found });
    }
    assert_eq!(recovery.take_kept(1, Record::Opened { run: 9 }).unwrap_err().found, 1);
    assert_eq!(recovery.end_kept(0).unwrap_err().to_string(), "record 1 stands where record 0 belongs");
    let recovered = recovery.finish();
    assert_eq!((recovered.sequence, recovered.run), (1, 1));
}

#[test]
fn an_agent_whose_coming_back_is_undone_is_registered_as_it_was_before_and_not_as_what_was_undone() {
    let done = |number| request(number, 1, Status::Completed);
    let failed = |number| request(number, 1, Status::Failed("gone".into()));
    let agent = done(0).agent;
    let records = [
        Record::Opened { run: 1 },
        Record::Registered { request: done(1), generation: 5 },
        Record::Opened { run: 2 },
        Record::Replaced { request: done(2), generation: 6 },
        Record::Replaced { request: done(3), generation: 7 },
        Record::Undone { request: failed(2), generation: 6 },
        Record::Undone { request: failed(3), generation: 7 },
    ];
    for most in [0, 1, 9] {
        let member = |upto: usize| {
            let member = recovery(&records[..upto], most).finish().members.pop().unwrap();
            (member.generation, member.run, member.sequence, member.request.id.0)
        };
        assert_eq!((member(5), member(6), member(7)), ((7, 2, 5, 3), (7, 2, 5, 3), (5, 1, 2, 1)));
    }
    let mut removed = recovery(&records[..4], 9);
    removed.take(5, Record::Removed { agent, generation: 6, at: Timestamp::ZERO }).unwrap();
    assert_eq!(removed.finish().members, [], "it came back, and went");
}
