use proptest::prelude::*;

use super::*;
use crate::agent::{Kind, Timestamp};

#[derive(Debug, Clone, Copy)]
enum Step {
    Open,
    Register(u8),
    Fail(u8),
    Undo(u8),
    Remove(u8),
    RemoveEarlier(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => Just(Step::Open),
        4 => (0..5_u8).prop_map(Step::Register),
        1 => (0..5_u8).prop_map(Step::Fail),
        1 => (0..5_u8).prop_map(Step::Undo),
        3 => (0..5_u8).prop_map(Step::Remove),
        1 => (0..5_u8).prop_map(Step::RemoveEarlier),
    ];
    prop::collection::vec(step, 0..60)
}

fn request(number: u64, agent: u8, status: Status) -> Request {
    let (agent, kind) = (AgentId::new(format!("a/{agent}")).unwrap(), Kind::new("k").unwrap());
    Request::new(RequestId(number), agent, kind, Timestamp::ZERO).concluded(status, Timestamp::ZERO)
}

/// The records that a registrar would write, and by a plain model who is registered at the end with which generation.
fn written(steps: &[Step]) -> (Vec<Record>, BTreeMap<String, u64>) {
    let mut model = BTreeMap::<String, (u64, u64)>::new();
    let (mut records, mut run, mut numbers, mut latest) = (Vec::new(), 0, 0, 0);
    for step in steps {
        numbers += 1;
        let of = |agent: u8| format!("a/{agent}");
        let failed = |agent| request(numbers, agent, Status::Failed("no".into()));
        match *step {
            Step::Open => {
                run += 1;
                records.push(Record::Opened { run });
            }
            Step::Register(agent) => {
                latest += 1;
                let (request, generation) = (request(numbers, agent, Status::Completed), latest);
                records.push(match model.insert(of(agent), (generation, numbers)) {
                    None => Record::Registered { request, generation },
                    Some(_) => Record::Replaced { request, generation },
                });
            }
            Step::Fail(agent) => records.push(Record::Ended { request: failed(agent) }),
            Step::Undo(agent) => {
                if let Some((generation, number)) = model.remove(&of(agent)) {
                    let request = request(number, agent, Status::Failed("gone".into()));
                    records.push(Record::Undone { request, generation });
                }
            }
            Step::Remove(agent) => {
                if let Some((generation, _)) = model.remove(&of(agent)) {
                    let agent = AgentId::new(of(agent)).unwrap();
                    records.push(Record::Removed { agent, generation, at: Timestamp::ZERO });
                }
            }
            Step::RemoveEarlier(agent) => {
                let later = model.get(&of(agent)).map_or(1, |(generation, _)| *generation);
                let (agent, generation) = (AgentId::new(of(agent)).unwrap(), later - 1);
                records.push(Record::Removed { agent, generation, at: Timestamp::ZERO });
            }
        }
    }
    (records, model.into_iter().map(|(agent, (generation, _))| (agent, generation)).collect())
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
        let bound = model.len() + 2 * most;
        prop_assert!(kept.len() <= 2 * bound + 1, "{} of {} kept for {} agents", kept.len(), records.len(), model.len());
        let (whole, again) = (whole.finish(), again.finish());
        let members = whole.members.iter().map(|member| (member.request.agent.to_string(), member.generation));
        prop_assert_eq!(members.collect::<BTreeMap<_, _>>(), model);
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
