use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::agent::{Capability, Kind, Priority, Tenant};

fn names() -> impl Strategy<Value = String> {
    "[a-z\u{e9}\u{1f980}][a-z/0-9]{0,12}"
}

fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![0..300_u64, any::<u64>(), Just(u64::MAX)]
}

fn times() -> impl Strategy<Value = Timestamp> {
    numbers().prop_map(|micros| Timestamp::from_start(Duration::from_micros(micros)))
}

/// Points of the clock at which something may happen.
fn points() -> impl Strategy<Value = Timestamp> {
    times().prop_map(|time| time.min(Timestamp::from_start(Duration::from_micros(u64::MAX - 1))))
}

prop_compose! {
    fn requests()(
        (id, agent, kind) in (numbers(), names(), names()),
        capabilities in prop::collection::vec(names(), 0..4),
        priority in prop::sample::select(&Priority::ALL[..]),
        name in prop::option::of("\\PC{0,20}"),
        location in prop::option::of("\\PC{0,9}"),
        metadata in prop::collection::btree_map("\\PC{0,6}", prop_oneof![
            any::<i64>().prop_map(serde_json::Value::from),
            "\\PC{0,200}".prop_map(serde_json::Value::from),
            Just(serde_json::json!({"deep": [null, true, {"x": "y"}]})),
        ], 0..3),
        (submitted, ended) in (times(), points()),
        tenant in prop::option::of(names()),
        lease in prop::option::of((numbers(), 0..1_000_000_000_u32)),
        (validating, registering, deadline) in
            (prop::option::of(points()), prop::option::of(points()), prop::option::of(points())),
    ) -> Request {
        let mut profile = Profile::new(Kind::new(kind).unwrap());
        profile.capabilities = capabilities.iter().map(|name| Capability::new(name).unwrap()).collect();
        (profile.name, profile.location) = (name, location);
        profile.metadata = metadata.into_iter().collect();
        profile.tenant = tenant.map(|tenant| Tenant::new(tenant).unwrap());
        let agent = AgentId::new(agent).unwrap();
        let mut request = Request::with_profile(RequestId(id), agent, Arc::new(profile), submitted);
        request.priority = priority;
        request.lease = lease.map(|(seconds, nanoseconds)| Duration::new(seconds, nanoseconds));
        request.with_times(validating, registering, deadline).concluded(Status::Completed, ended)
    }
}

fn unfinished() -> impl Strategy<Value = Request> {
    (requests(), prop::option::of("\\PC{0,300}")).prop_map(|(request, reason)| {
        let at = request.ended().unwrap();
        request.concluded(reason.map_or(Status::Cancelled, Status::Failed), at)
    })
}

pub(crate) fn records() -> impl Strategy<Value = Record> {
    prop_oneof![
        numbers().prop_map(|run| Record::Opened { run }),
        (requests(), numbers()).prop_map(|(request, generation)| Record::Registered { request, generation }),
        (requests(), numbers()).prop_map(|(request, generation)| Record::Replaced { request, generation }),
        unfinished().prop_map(|request| Record::Ended { request }),
        (unfinished(), numbers()).prop_map(|(request, generation)| Record::Undone { request, generation }),
        (names(), numbers(), times()).prop_map(|(agent, generation, at)| Record::Removed {
            agent: AgentId::new(agent).unwrap(),
            generation,
            at
        }),
        (names(), numbers(), times()).prop_map(|(agent, generation, at)| Record::Renewed {
            agent: AgentId::new(agent).unwrap(),
            generation,
            at
        }),
    ]
}

fn encoded(record: &Record, sequence: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(sequence, &mut bytes);
    bytes
}

/// The bytes with a checksum that fits them.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&bytes).to_le_bytes();
    bytes[8..12].copy_from_slice(&sum);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_record_is_read_as_it_was_written(record in records(), sequence in numbers()) {
        let bytes = encoded(&record, sequence);
        prop_assert_eq!(Record::decode(&bytes), Ok((sequence, record)));
    }

    #[test]
    fn a_record_with_any_bit_changed_or_any_byte_missing_is_refused(
        record in records(),
        sequence in numbers(),
        (at, bit, keep) in (any::<prop::sample::Index>(), 0..8_u32, any::<prop::sample::Index>()),
    ) {
        let bytes = encoded(&record, sequence);
        prop_assert!(Record::decode(&bytes[..keep.index(bytes.len())]).is_err());
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] ^= 1 << bit;
        let is_refused = matches!(Record::decode(&changed), Err(RecordFault::Checksum { .. }));
        prop_assert!(is_refused);
    }

    #[test]
    fn bytes_that_only_their_checksum_speaks_for_never_panic(
        record in records(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        rest in prop::collection::vec(any::<u8>(), 0..4),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encoded(&record, 1);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.extend(rest);
        bytes.truncate(HEAD + keep.index(bytes.len() - HEAD + 1));
        // Read or refused, and what is read is written as something that is read alike.
        if let Ok((sequence, record)) = Record::decode(&sealed(bytes)) {
            prop_assert_eq!(Record::decode(&encoded(&record, sequence)), Ok((sequence, record)));
        }
    }
}

#[test]
fn faults_say_what_is_wrong() {
    let removed = Record::Removed { agent: AgentId::new("a").unwrap(), generation: 300, at: Timestamp::ZERO };
    let bytes = encoded(&removed, 7);
    assert_eq!(bytes[12..], [6, 1, b'a', 0xac, 2, 0]);
    let text = |bytes: &[u8]| Record::decode(bytes).unwrap_err().to_string();
    assert_eq!(text(&bytes[..5]), "a record of 5 bytes is cut off");
    let mut changed = bytes.clone();
    changed[13] ^= 1;
    assert!(text(&changed).starts_with("the checksum of the record is "));
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        text(&sealed(bytes))
    };
    assert_eq!(with(12, 9), "the record cannot be read: 9 stands for no kind of record");
    assert_eq!(with(13, 99), "the record cannot be read: a text is cut off");
    assert_eq!(with(14, 0xff), "the record cannot be read: a text is no UTF-8");
    assert!(with(14, b' ').starts_with("the record cannot be read: its agent is no name: "));
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(text(&sealed(longer)), "the record cannot be read: 1 bytes follow its end");
    let endless = [&bytes[..13], &[0xff; 11][..]].concat();
    assert_eq!(text(&sealed(endless)), "the record cannot be read: a number has more than 64 bits");
}
