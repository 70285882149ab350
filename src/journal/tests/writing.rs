//! Writing, opening again, compacting, refusing.

use super::*;

#[test]
fn what_was_told_to_be_durable_is_there_again_in_order_and_numbers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let (journal, before) = Journal::open(&path, &small()).unwrap();
    assert_eq!(before, Contents::default());
    append(&journal, vec![registered(1), registered(2)]).unwrap();
    append(&journal, vec![removed(1)]).unwrap();
    let stats = close(journal);
    assert_eq!((stats.sequence, stats.records, stats.groups, stats.largest), (4, 3, 2, 2));
    let (journal, before) = Journal::open(&path, &small()).unwrap();
    let members: Vec<_> = before
        .recovered
        .members
        .iter()
        .map(|one| (one.request.agent.as_str(), one.sequence, one.run))
        .collect();
    assert_eq!(members, [("seller/2", 3, 1)]);
    assert_eq!((before.recovered.requests.len(), before.recovered.sequence, before.recovered.run), (2, 4, 1));
    assert_eq!(before.recovered.requests[0].request, request(1, "seller/1"));
    append(&journal, vec![registered(3)]).unwrap();
    assert_eq!(close(journal).sequence, 6, "the second opening is record 5");
    assert_eq!(Contents::read(&path, 9).unwrap().recovered.run, 2);
}

#[test]
fn a_second_host_is_refused_and_a_reader_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let missing = Contents::read(&path, 9).unwrap_err().to_string();
    assert!(missing.starts_with("there is no journal "), "{missing}");
    let (journal, _) = Journal::open(&path, &small()).unwrap();
    append(&journal, vec![registered(1)]).unwrap();
    let refused = Journal::open(&path, &small()).unwrap_err();
    assert!(matches!(refused, JournalError::InUse { .. }), "{refused}");
    assert!(matches!(Journal::repair(&path), Err(JournalError::InUse { .. })));
    let contents = Contents::read(&path, 9).unwrap();
    assert_eq!((contents.in_use, contents.records, contents.damage.len()), (true, 2, 0));
    // Neither the refused one nor the reader took the writer's hold away.
    append(&journal, vec![removed(7), removed(8)]).unwrap();
    assert_eq!(Contents::read(&path, 9).unwrap().records, 4);
    assert!(matches!(Journal::open(&path, &small()), Err(JournalError::InUse { .. })));
    close(journal);
    let contents = Contents::read(&path, 9).unwrap();
    assert_eq!((contents.in_use, contents.records), (false, 4));
    Journal::open(&path, &small()).unwrap();
}

#[test]
fn churn_does_not_make_a_journal_grow_and_numbers_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let options = JournalOptions { remember: 8, spare: 64, ..small() };
    let (journal, _) = Journal::open(&path, &options).unwrap();
    append(&journal, vec![registered(1), registered(2)]).unwrap();
    let mut largest = 0;
    for number in 3..600 {
        append(&journal, vec![registered(number), removed(number)]).unwrap();
        largest = largest.max(fs::metadata(&path).unwrap().len());
    }
    let stats = close(journal);
    assert_eq!(stats.sequence, 1 + 2 + 2 * 597);
    assert!(stats.compactions > 5, "{stats:?}");
    assert!(largest < 64 << 10, "{largest} bytes");
    let contents = Contents::read(&path, 8).unwrap();
    assert_eq!((contents.damage.len(), contents.recovered.sequence), (0, stats.sequence));
    assert!(contents.records < 200, "{contents:?}");
    let members: Vec<_> = contents.recovered.members.iter().map(|one| one.request.id.0).collect();
    assert_eq!(members, [1, 2]);
    let logged: Vec<_> = contents.recovered.requests.iter().map(|one| one.request.id.0).collect();
    assert_eq!(logged, (592..600).collect::<Vec<_>>());
    let by_sqlite = by_sqlite(&path).unwrap();
    assert_eq!(by_sqlite.len() as u64, contents.records);
    let (journal, again) = Journal::open(&path, &options).unwrap();
    assert_eq!(again, contents);
    close(journal);
}

#[test]
fn calls_that_come_together_share_one_transaction_and_none_is_split() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let (journal, _) = Journal::open(&path, &JournalOptions { group: 10, ..small() }).unwrap();
    let (tell, told) = mpsc::channel();
    for call in 0..50_u64 {
        let (tell, number) = (tell.clone(), call * 4 + 1);
        let recorded = Recorded::new(move |result| tell.send((call, result)).unwrap());
        journal.recorder().append((number..number + 4).map(registered).collect(), recorded);
    }
    drop(tell);
    let told: Vec<_> = told.iter().collect();
    assert_eq!(told, (0..50).map(|call| (call, Ok(()))).collect::<Vec<_>>());
    let stats = close(journal);
    assert_eq!((stats.records, stats.largest % 4, stats.largest <= 12), (200, 0, true), "{stats:?}");
    assert!(stats.groups < 50, "{stats:?}");
}

#[test]
fn a_journal_that_is_full_refuses_what_does_not_fit_and_takes_what_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let options = JournalOptions { max_pages: Some(12), ..small() };
    let (journal, _) = Journal::open(&path, &options).unwrap();
    let (mut written, mut refused) = (Vec::new(), 0);
    for number in 1..200 {
        match append(&journal, vec![registered(number), removed(number)]) {
            Ok(()) => written.push(number),
            Err(Unrecorded::Refused(reason)) => {
                assert!(reason.starts_with("the journal has no room to grow: "), "{reason}");
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(!written.is_empty() && refused > 0);
    let stats = close(journal);
    assert_eq!((stats.records, stats.refused), (2 * written.len() as u64, 2 * refused));
    let contents = Contents::read(&path, 1 << 16).unwrap();
    assert_eq!((contents.damage.len(), contents.recovered.sequence), (0, stats.sequence));
    let logged: Vec<_> = contents.recovered.requests.iter().map(|one| one.request.id.0).collect();
    assert_eq!(logged, written);
    // With room, it goes on.
    let (journal, _) = Journal::open(&path, &small()).unwrap();
    append(&journal, vec![registered(500)]).unwrap();
    close(journal);
}

#[test]
fn a_closed_journal_takes_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(&folder.path().join("j"), &small()).unwrap();
    let recorder = journal.recorder();
    close(journal);
    let (tell, told) = mpsc::channel();
    recorder.append(vec![registered(1)], Recorded::new(move |result| tell.send(result).unwrap()));
    assert_eq!(told.recv().unwrap(), Err(Unrecorded::Broken("the journal is closed".to_owned())));
}

#[test]
fn a_record_that_could_not_be_read_again_is_refused_and_costs_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let (journal, _) = Journal::open(&path, &JournalOptions { remember: 2, spare: 0, ..small() }).unwrap();
    let deep = (0..200).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
    let deep = Record::Registered { request: request(2, "deep").metadata("deep", deep), generation: 0 };
    append(&journal, vec![registered(1)]).unwrap();
    let refused = append(&journal, vec![deep]).unwrap_err();
    assert!(matches!(&refused, Unrecorded::Refused(why) if why.contains("recursion limit")), "{refused}");
    for number in 3..40 {
        append(&journal, vec![registered(number), removed(number)]).unwrap();
    }
    let stats = close(journal);
    assert!(stats.compactions > 0 && stats.refused == 1, "{stats:?}");
    let contents = Contents::read(&path, 99).unwrap();
    assert_eq!((contents.damage.len(), contents.recovered.members.len()), (0, 1));
}

#[test]
fn a_full_journal_makes_room_where_there_is_something_to_leave_out_also_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let options = |remember| JournalOptions { max_pages: Some(40), remember, ..small() };
    let (journal, _) = Journal::open(&path, &options(10)).unwrap();
    for number in 1..2_000 {
        append(&journal, vec![registered(number), removed(number)]).unwrap();
    }
    let stats = close(journal);
    assert!(stats.compactions > 5 && stats.refused == 0, "{stats:?}");
    // Until nothing more fits, as more is remembered.
    let (journal, _) = Journal::open(&path, &options(1 << 16)).unwrap();
    let mut number = 2_000;
    while append(&journal, vec![registered(number)]).is_ok() {
        number += 1;
    }
    for agent in 2_000..number {
        // What is small may fit.
        _ = append(&journal, vec![removed(agent)]);
    }
    let stats = close(journal);
    assert!(stats.refused > 0 && stats.compactions == 0, "{stats:?}");
    while Journal::open(&path, &options(1 << 16)).map(|(journal, _)| close(journal)).is_ok() {}
    let (journal, before) = Journal::open(&path, &options(10)).unwrap();
    assert!(before.damage.is_empty() && before.recovered.sequence >= stats.sequence);
    append(&journal, vec![registered(9_999)]).unwrap();
    assert!(close(journal).compactions > 0);
}

#[test]
fn somebody_who_reads_neither_stalls_the_writer_nor_is_a_log_that_was_not_cut_counted_as_carried_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let (journal, _) =
        Journal::open(&path, &JournalOptions { group: 1, ..JournalOptions::default() }).unwrap();
    let opened = journal.stats().checkpoints;
    let reader = Connection::open(&path).unwrap();
    let count = || reader.query_row("SELECT count(*) FROM records", (), |row| row.get::<_, i64>(0)).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(count(), 1);
    let large = |number| {
        let request = request(number, "large").metadata("text", "x".repeat(1 << 20));
        vec![Record::Registered { request, generation: number }]
    };
    let (tell, told) = mpsc::channel();
    for number in 1..16 {
        let tell = tell.clone();
        journal.recorder().append(large(number), Recorded::new(move |result| tell.send(result).unwrap()));
    }
    for _ in 1..16 {
        // One that waits for the reader does so for 5 s.
        assert_eq!(told.recv_timeout(Duration::from_millis(4_900)), Ok(Ok(())));
    }
    assert_eq!(journal.stats().checkpoints, opened);
    reader.execute_batch("COMMIT").unwrap();
    for number in 16..22 {
        append(&journal, large(number)).unwrap();
    }
    drop(reader);
    assert!(close(journal).checkpoints > opened);
    assert_eq!(Contents::read(&path, 99).unwrap().records, 22);
}

#[cfg(unix)]
#[test]
fn a_journal_that_is_named_by_a_link_is_the_one_that_the_link_leads_to() {
    let folder = tempfile::tempdir().unwrap();
    let (real, other) = (folder.path().join("real"), folder.path().join("other"));
    fs::create_dir_all(&real).unwrap();
    fs::create_dir_all(&other).unwrap();
    let (path, link) = (real.join("j"), other.join("k"));
    std::os::unix::fs::symlink("../real/j", &link).unwrap();
    // It is not there yet.
    let (journal, _) = Journal::open(&link, &small()).unwrap();
    append(&journal, vec![registered(1)]).unwrap();
    assert!(matches!(Journal::open(&path, &small()), Err(JournalError::InUse { .. })));
    assert_eq!(Contents::read(&link, 9).unwrap().records, 2);
    // As after a kill: what is in the log alone counts.
    let killed = folder.path().join("killed");
    copy(&path, &killed);
    let named = other.join("l");
    std::os::unix::fs::symlink(&killed, &named).unwrap();
    close(journal);
    assert_eq!(fs::read_dir(&other).unwrap().count(), 2, "nothing stands beside the links");
    assert_eq!(Contents::read(&named, 9).unwrap().records, 2);
    let (journal, before) = Journal::open(&named, &small()).unwrap();
    assert_eq!(before.records, 2);
    close(journal);
    assert_eq!(Journal::repair(&link).unwrap().kept, None);
    // One that leads to itself.
    std::os::unix::fs::symlink("m", other.join("m")).unwrap();
    let refused = Journal::open(&other.join("m"), &small()).unwrap_err().to_string();
    assert!(refused.contains("more than 40 links lead on from it"), "{refused}");
}

#[test]
fn somebody_who_reads_at_that_moment_does_not_keep_a_journal_from_being_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    close(Journal::open(&path, &small()).unwrap().0);
    let lock::Reading::Locked { _lock: reading } = Lock::share(&path).unwrap() else { panic!("it is free") };
    let (tell, told) = mpsc::channel();
    let opening = std::thread::spawn(move || {
        let opened = Journal::open(&path, &small());
        tell.send(()).unwrap();
        close(opened.unwrap().0)
    });
    assert!(told.recv_timeout(Duration::from_millis(100)).is_err(), "it waits");
    drop(reading);
    assert_eq!(opening.join().unwrap().sequence, 2);
}
