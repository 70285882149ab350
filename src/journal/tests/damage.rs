//! Files of which any byte is changed, or that are cut at any place.

use super::*;

/// The files of a journal, with the records in it.
struct Sample {
    files: Files,
    records: Vec<(u64, Record)>,
    name: &'static str,
}

/// All is in the log; all is in the database; a snapshot and records in the database, and more in the log.
fn samples() -> Vec<Sample> {
    let folder = tempfile::tempdir().unwrap();
    let (path, copied) = (folder.path().join("j"), folder.path().join("copy"));
    let (journal, _) = Journal::open(&path, &small()).unwrap();
    for number in (1..13).step_by(4) {
        append(&journal, (number..number + 4).map(registered).chain([removed(number)]).collect()).unwrap();
    }
    // One that takes more than a page.
    let mut long = request(50, "long");
    long = long.metadata("text", "x".repeat(700));
    append(&journal, vec![Record::Registered { request: long, generation: 3 }]).unwrap();
    let mut samples = vec![sample(&path, "log")];
    copy(&path, &copied);
    close(journal);
    samples.push(sample(&path, "database"));
    let (journal, _) = Journal::open(&copied, &JournalOptions { remember: 4, spare: 0, ..small() }).unwrap();
    append(&journal, vec![registered(60), registered(61)]).unwrap();
    append(&journal, vec![registered(62)]).unwrap();
    samples.push(sample(&copied, "snapshot"));
    close(journal);
    assert!(samples[0].files.log.len() > 5_000 && samples[0].files.database.len() < 2_000);
    assert!(samples[1].files.log.is_empty() && samples[1].files.database.len() > 3_000);
    assert!(samples[2].files.log.len() > 1_000 && samples[2].files.database.len() > 3_000);
    samples
}

fn sample(path: &Path, name: &'static str) -> Sample {
    let files = Files::read(path).unwrap().unwrap();
    let (contents, taken) = files.contents(path, Intake::new(1 << 16, true));
    assert_eq!(contents.damage, [], "{name}");
    let records = taken.unwrap();
    assert!(records.len() > 10);
    Sample { files, records, name }
}

fn read(files: &Files) -> (Contents, Vec<(u64, Record)>) {
    let (contents, taken) = files.contents(Path::new("j"), Intake::new(1 << 16, true));
    (contents, taken.unwrap())
}

fn clone(files: &Files) -> Files {
    let Files { database, log, index } = files;
    Files { database: database.clone(), log: log.clone(), index: index.clone() }
}

/// Where the records stand in a database without a log; the first page of those that take more than one.
fn rows(files: &Files) -> Vec<std::ops::Range<usize>> {
    let wal = wal::Wal::default();
    let mut rows = Vec::new();
    if files.log.is_empty() {
        let mut pages = pages::Pages::new(&files.database, &[], &wal, 512);
        pages.table(format::RECORDS, &mut |found| match found {
            pages::Found::Row(_, record, place) => {
                rows.push(place.offset..place.offset + record.len().min(100));
            }
            pages::Found::Fault(..) => panic!("{found:?}"),
        });
        assert!(rows.len() > 10);
    }
    rows
}

/// The damage is named with a place in one of the files, and what is recovered is how the records begin.
fn judge(sample: &Sample, files: &Files, what: &str) -> Vec<Damage> {
    let (contents, taken) = read(files);
    let name = sample.name;
    assert!(sample.records.starts_with(&taken), "{name}, {what}: {contents:?}");
    if contents.damage.is_empty() {
        assert_eq!(taken.len(), sample.records.len(), "{name}, {what}: records are lost without a word");
    }
    for damage in &contents.damage {
        let length = if damage.file.ends_with("j-wal") { files.log.len() } else { files.database.len() };
        assert!(damage.offset <= length as u64, "{name}, {what}: {damage}");
    }
    let whole = (taken.len() as u64 + contents.refused) <= sample.records.len() as u64;
    assert!(whole, "{name}, {what}: {contents:?}");
    contents.damage
}

#[test]
fn any_changed_byte_is_named_with_its_place_or_changes_nothing_and_what_is_before_it_is_recovered() {
    let disk = tempfile::tempdir().unwrap();
    let path = disk.path().join("j");
    for sample in samples() {
        let (mut silent, mut named) = (0, 0);
        let rows = rows(&sample.files);
        for of_log in [false, true] {
            let length = if of_log { sample.files.log.len() } else { sample.files.database.len() };
            for offset in 0..length {
                for flip in [1 << (offset % 8), 0xff_u8] {
                    if flip == 0xff && offset % 4 != 0 {
                        continue;
                    }
                    let mut files = clone(&sample.files);
                    let bytes = if of_log { &mut files.log } else { &mut files.database };
                    bytes[offset] ^= flip;
                    let what = format!("byte {offset} ^ {flip:02x}, log {of_log}");
                    let damage = judge(&sample, &files, &what);
                    if of_log {
                        // Every byte of a log counts, and the frame is named.
                        let frame = if offset < 32 {
                            0..32
                        } else {
                            let start = offset - (offset - 32) % 536;
                            start..start + 536
                        };
                        let is_named = |one: &Damage| {
                            let at = usize::try_from(one.offset).unwrap();
                            one.file.ends_with("j-wal") && frame.contains(&at)
                        };
                        assert!(damage.iter().any(is_named), "{}, {what}: {damage:?}", sample.name);
                    } else if let [first, ..] = &damage[..] {
                        // Where SQLite is led astray, the page that leads there is named.
                        let is_named = |one: &Damage| one.offset / 512 == offset as u64 / 512;
                        let is_head = offset < 512;
                        // A long row is named where it begins.
                        let is_row = |one: &Damage| one.what.starts_with("row ");
                        assert!(
                            is_head || is_row(first) || damage.iter().any(is_named),
                            "{}, {what}: {first}",
                            sample.name
                        );
                    }
                    if !of_log && let Some(at) = rows.iter().position(|row| row.contains(&offset)) {
                        let whole = read(&files).1.len();
                        assert!(
                            whole >= at,
                            "{}, {what}: row {at} is hit, {whole} are recovered",
                            sample.name
                        );
                    }
                    named += usize::from(!damage.is_empty());
                    if damage.is_empty() {
                        silent += 1;
                        // What is not named does not matter to SQLite either.
                        if silent % 16 == 0 {
                            fs::write(&path, &files.database).unwrap();
                            fs::write(lock::beside(&path, "-wal"), &files.log).unwrap();
                            let by_sqlite = by_sqlite(&path);
                            assert_eq!(by_sqlite.as_ref(), Ok(&sample.records), "{}, {what}", sample.name);
                        }
                    }
                }
            }
        }
        println!("{}: {named} changes are damage, {silent} are in free space", sample.name);
        assert!(named > 1_000 && silent > 30, "{}", sample.name);
    }
}

#[test]
fn a_file_that_is_cut_at_any_byte_is_named_and_what_is_before_it_is_recovered() {
    let disk = tempfile::tempdir().unwrap();
    let path = disk.path().join("j");
    for sample in samples() {
        for of_log in [false, true] {
            let length = if of_log { sample.files.log.len() } else { sample.files.database.len() };
            for keep in 0..length {
                let mut files = clone(&sample.files);
                let bytes = if of_log { &mut files.log } else { &mut files.database };
                bytes.truncate(keep);
                let what = format!("cut at {keep}, log {of_log}");
                let damage = judge(&sample, &files, &what);
                let end = if of_log { "j-wal" } else { "j" };
                let is_named = |one: &Damage| one.file.ends_with(end) && one.offset <= keep as u64;
                if damage.is_empty() && !of_log && !files.log.is_empty() {
                    // The log has all pages from there on, so nothing is lost, to SQLite neither.
                    if keep % 64 < 2 {
                        fs::write(&path, &files.database).unwrap();
                        fs::write(lock::beside(&path, "-wal"), &files.log).unwrap();
                        assert_eq!(by_sqlite(&path).as_ref(), Ok(&sample.records), "{}, {what}", sample.name);
                    }
                    continue;
                }
                assert!(damage.iter().any(is_named), "{}, {what}: {damage:?}", sample.name);
                if of_log {
                    // Without the index, only a log that is cut exactly behind a transaction passes for a shorter one.
                    files.index = None;
                    let damage = judge_prefix(&sample, &files);
                    let is_whole = damage.is_empty();
                    assert!(!is_whole || keep == 0 || (keep - 32) % 536 == 0, "{}, {what}", sample.name);
                }
            }
        }
    }
}

/// As [`judge`], where records may be lost without a word.
fn judge_prefix(sample: &Sample, files: &Files) -> Vec<Damage> {
    let (contents, taken) = read(files);
    assert!(sample.records.starts_with(&taken), "{}", sample.name);
    contents.damage
}

#[test]
fn what_a_killed_process_leaves_unfinished_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let (journal, _) = Journal::open(&path, &small()).unwrap();
    append(&journal, vec![registered(1)]).unwrap();
    let mut files = Files::read(&path).unwrap().unwrap();
    append(&journal, vec![registered(2), registered(3)]).unwrap();
    let later = Files::read(&path).unwrap().unwrap();
    close(journal);
    // The next transaction is on its way into the log, and the index does not know of it.
    for length in files.log.len()..later.log.len() {
        files.log = later.log[..length].to_vec();
        let (contents, taken) = read(&files);
        assert_eq!((contents.damage, taken.len()), (vec![], 2), "{length} bytes");
    }
    files.log = later.log;
    let (contents, taken) = read(&files);
    assert_eq!((contents.damage, taken.len()), (vec![], 4), "it was committed, but nobody was told");
}

#[test]
fn frames_of_transactions_that_were_never_committed_are_no_damage_though_their_sums_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copied) = (folder.path().join("j"), folder.path().join("copy"));
    let (journal, _) = Journal::open(&path, &small()).unwrap();
    append(&journal, vec![registered(1)]).unwrap();
    let earlier = Files::read(&path).unwrap().unwrap();
    append(&journal, vec![registered(2), registered(3)]).unwrap();
    for number in 4..8 {
        append(&journal, vec![registered(number)]).unwrap();
    }
    // It holds a few pages at once, so most are in the log before the commit, some of them twice.
    let other = Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA cache_size = 4; PRAGMA synchronous = OFF; BEGIN").unwrap();
    let mut insert = other.prepare("INSERT INTO records VALUES (?1, zeroblob(300))").unwrap();
    for row in 1_000..1_200 {
        insert.execute([row]).unwrap();
    }
    drop(insert);
    other.execute_batch("UPDATE records SET body = zeroblob(299) WHERE sequence >= 1000").unwrap();
    let is_bad = |files: &Files| {
        let wal = wal::Wal::read(&files.log, None, 512);
        wal.fault.is_some_and(|fault| fault.what.starts_with("the checksum of frame "))
    };
    let judge = |records: usize, when: &str| {
        copy(&path, &copied);
        let files = Files::read(&copied).unwrap().unwrap();
        let (contents, taken) = read(&files);
        assert!(is_bad(&files) && contents.unfinished > 10_000, "{when}");
        assert_eq!((contents.damage, taken.len()), (vec![], records), "{when}");
        let (journal, before) = Journal::open(&copied, &small()).unwrap();
        assert_eq!(before.records, records as u64, "{when}");
        close(journal);
        assert_eq!(by_sqlite(&copied).unwrap().len(), records + 1, "{when}, and its opening");
        files
    };
    judge(8, "killed within the transaction");
    // Taken back, and a smaller one is written over the first of its frames.
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    append(&journal, vec![registered(8)]).unwrap();
    let mut files = judge(9, "killed after a smaller one");

    // What is behind the last commit of an index that is out of date, as after a power cut, is not taken for leftovers.
    let frames = wal::Wal::read(&files.log, files.index.as_deref(), 512).frames as usize;
    let committed = wal::Wal::read(&earlier.log, earlier.index.as_deref(), 512).frames as usize;
    assert!(committed > 0 && committed + 3 < frames);
    for (is_old, index) in [(false, files.index.clone()), (true, earlier.index)] {
        files.index = index;
        let last = if is_old { frames - 1 } else { frames };
        for frame in committed..last {
            let at = 32 + 536 * frame + 100;
            files.log[at] ^= 1;
            let named = &read(&files).0.damage;
            let place = named.iter().map(|damage| damage.offset).next();
            assert_eq!(place, Some(32 + 536 * frame as u64), "frame {frame}, {is_old}: {named:?}");
            files.log[at] ^= 1;
        }
    }
    close(journal);
}

#[test]
fn a_damaged_journal_is_not_opened_until_it_is_repaired_and_the_evidence_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copied) = (folder.path().join("j"), folder.path().join("copy"));
    let (journal, _) = Journal::open(&path, &small()).unwrap();
    for number in 1..9 {
        append(&journal, vec![registered(number)]).unwrap();
    }
    copy(&path, &copied);
    close(journal);
    let wal = lock::beside(&copied, "-wal");
    let mut log = fs::read(&wal).unwrap();
    let middle = log.len() / 2;
    log[middle] ^= 4;
    fs::write(&wal, &log).unwrap();
    let before = Files::read(&copied).unwrap().unwrap();
    let refused = Journal::open(&copied, &small()).unwrap_err().to_string();
    let frame = middle - (middle - 32) % 536;
    assert!(refused.contains(&format!("copy-wal at byte {frame}: the checksum of frame ")), "{refused}");
    assert!(refused.ends_with("--repair`, which keeps a copy"), "{refused}");
    let contents = Contents::read(&copied, 99).unwrap();
    let records = contents.records;
    assert!(records > 2 && records < 9, "{contents:?}");
    let same = |files: &Files| {
        (&files.database, &files.log, &files.index) == (&before.database, &before.log, &before.index)
    };
    assert!(same(&Files::read(&copied).unwrap().unwrap()), "nothing was changed");

    let repaired = Journal::repair(&copied).unwrap();
    assert_eq!(repaired.before, Contents { recovered: repaired.before.recovered.clone(), ..contents });
    let kept = repaired.kept.unwrap();
    assert!(kept.ends_with("copy.damaged-1") && same(&Files::read(&kept).unwrap().unwrap()));
    let (journal, after) = Journal::open(&copied, &small()).unwrap();
    assert_eq!((after.records, after.damage.len()), (records, 0));
    assert_eq!(after.recovered, repaired.before.recovered);
    append(&journal, vec![registered(20)]).unwrap();
    close(journal);
    assert_eq!(Journal::repair(&copied).unwrap().kept, None, "it is whole");
}

#[test]
fn a_repair_that_was_broken_off_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let (journal, _) = Journal::open(&path, &small()).unwrap();
    append(&journal, vec![registered(1), registered(2)]).unwrap();
    close(journal);
    // As it is between the removal of the log and the last step.
    let good = lock::beside(&path, "-repaired");
    fs::copy(&path, &good).unwrap();
    fs::write(&path, "half of something").unwrap();
    let refused = Journal::open(&path, &small()).unwrap_err();
    assert!(matches!(refused, JournalError::Unrepaired { .. }), "{refused}");
    let repaired = Journal::repair(&path).unwrap();
    assert_eq!(fs::read(repaired.kept.unwrap()).unwrap(), b"half of something");
    let (journal, after) = Journal::open(&path, &small()).unwrap();
    assert_eq!((after.records, good.exists()), (3, false));
    close(journal);
}

#[test]
fn other_files_are_no_journals_and_are_left_alone_also_by_a_repair() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let refuse = |text: &str| {
        let before = fs::read(&path).unwrap();
        let refused = [
            Journal::open(&path, &small()).unwrap_err().to_string(),
            Contents::read(&path, 9).unwrap_err().to_string(),
            Journal::repair(&path).unwrap_err().to_string(),
        ];
        for refused in refused {
            assert!(refused.contains(text), "{refused}");
        }
        assert_eq!(fs::read(&path).unwrap(), before);
        let names = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name());
        assert!(names.into_iter().all(|name| name == "j" || name == "j-lock"));
    };
    for text in [&b""[..], b"x", b"SQLite format 3\0", &[0; 4096], &[0xff; 5000]] {
        fs::write(&path, text).unwrap();
        refuse("j is no journal of registration; name another file, or move this one away");
    }
    fs::remove_file(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'x'); CREATE INDEX i ON t (b)")
        .unwrap();
    drop(other);
    refuse("j is no journal of registration");

    fs::remove_file(&path).unwrap();
    let (journal, _) = Journal::open(&path, &small()).unwrap();
    append(&journal, vec![registered(1)]).unwrap();
    close(journal);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
    refuse("j has version 2, and 1 is the latest known here; use a later phalanx");
}

#[test]
fn a_journal_whose_first_page_is_lost_is_still_told_by_its_records_and_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let (journal, _) = Journal::open(&path, &JournalOptions { remember: 1 << 17, ..small() }).unwrap();
    for thousand in 0..70 {
        append(&journal, (0..1_000).map(|one| registered(thousand * 1_000 + one + 1)).collect()).unwrap();
    }
    close(journal);
    let mut bytes = fs::read(&path).unwrap();
    bytes[..100].fill(0);
    // The size of pages is told by the length alone.
    bytes[16..18].copy_from_slice(&[2, 0]);
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(Journal::open(&path, &small()), Err(JournalError::Damaged { .. })));
    let repaired = Journal::repair(&path).unwrap();
    assert!(repaired.kept.is_some());
    let contents = Contents::read(&path, usize::MAX).unwrap();
    let is = (contents.damage.len(), contents.recovered.requests.len(), contents.recovered.members.len());
    assert_eq!(is, (0, 70_000, 70_000), "all of them, though 65,536 are remembered by default");
}
