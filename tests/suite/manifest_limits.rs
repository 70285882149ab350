//! Hostile manifests: huge, deep, cut off, or full of faults. Each ends soon, in bounded memory, with its place.

use std::{fmt::Write as _, fs::File, io::Write as _, path::Path};

use phalanx::manifest::{
    self, Code, Faults, LoadError, MAX_BYTES, MAX_SHOWN, MAX_VALUES, Manifest, Variables,
};

fn faults_of(text: &str) -> Faults {
    Manifest::parse(text, "m.json", &Variables::default()).unwrap_err()
}

fn only(faults: &Faults) -> (Code, usize, usize) {
    assert_eq!(faults.total(), 1, "{faults:?}");
    let fault = &faults.list()[0];
    (fault.code, fault.line, fault.column)
}

fn load(path: &Path) -> LoadError {
    manifest::load(path, &Variables::default()).unwrap_err()
}

#[test]
fn a_manifest_of_a_hundred_megabytes_is_refused_unread() {
    let file = tempfile::NamedTempFile::new().unwrap();
    // A hole: were it read, its zero bytes would be the fault.
    file.as_file().set_len(100 * 1024 * 1024).unwrap();
    let LoadError::Faulty(faults) = load(file.path()) else { panic!("faulty expected") };
    assert_eq!(only(&faults), (Code::TooLarge, 1, 1));
    assert_eq!(faults.list()[0].message, "the manifest is 104857600 bytes long, more than 16777216");
}

#[test]
fn a_manifest_of_just_the_largest_size_is_read() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"{\"name\": \"a\"}").unwrap();
    let room = usize::try_from(MAX_BYTES).unwrap() - 13;
    file.write_all(&vec![b' '; room]).unwrap();
    assert!(manifest::load(file.path(), &Variables::default()).is_ok());
    file.write_all(b" ").unwrap();
    assert!(matches!(load(file.path()), LoadError::Faulty(_)));
}

#[cfg(target_os = "linux")]
#[test]
fn an_endless_file_is_refused() {
    let LoadError::Faulty(faults) = load("/dev/zero".as_ref()) else { panic!("faulty expected") };
    assert_eq!(only(&faults).0, Code::TooLarge);
}

#[test]
fn a_million_levels_are_refused_at_the_first_too_deep() {
    assert_eq!(only(&faults_of(&"[".repeat(1_000_000))), (Code::TooDeep, 1, 65));
    assert_eq!(only(&faults_of(&"{\"a\":\n".repeat(1_000_000))), (Code::TooDeep, 65, 1));
}

#[test]
fn more_values_than_allowed_are_refused_before_they_are_read() {
    let text = format!("[{}1]", "1,".repeat(MAX_VALUES));
    let (code, line, column) = only(&faults_of(&text));
    assert_eq!((code, line), (Code::TooLarge, 1));
    assert!(column < text.len());
}

#[test]
fn a_manifest_cut_off_anywhere_has_a_fault_inside_it() {
    let text = include_str!("../manifests/good/everything.json").trim_end();
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        let faults = faults_of(&text[..end]);
        let fault = &faults.list()[0];
        assert_eq!((faults.total(), fault.code), (1, Code::Syntax), "cut at {end}: {faults:?}");
        assert!(
            fault.span.end <= end && fault.line <= text[..end].lines().count().max(1),
            "cut at {end}: {faults:?}"
        );
    }
}

#[test]
fn thousands_of_faults_are_counted_and_the_first_hundred_shown() {
    let mut text = String::from("{\"name\": \"a\", \"agents\": [\n");
    for at in 0..50_000 {
        let _ =
            writeln!(text, "{{\"kind\": \"hasher\", \"id\": \"h{at}\", \"capabilites\": [\"gpu{at}\"]}},");
    }
    text.push_str("{\"kind\": \"logger\"}]}");
    let faults = faults_of(&text);
    assert_eq!((faults.list().len(), faults.total()), (MAX_SHOWN, 50_000));
    assert_eq!((faults.list()[99].line, faults.list()[99].code), (101, Code::UnknownField));
}

#[test]
fn a_chain_of_many_tasks_and_its_circle_are_followed_without_recursion() {
    const LENGTH: usize = 100_000;
    let mut text = String::from("{\"name\": \"a\", \"agents\": [{\"kind\": \"runner\"}], \"tasks\": [\n");
    for at in 0..LENGTH {
        let next = (at + 1) % LENGTH;
        let comma = if next == 0 { "" } else { "," };
        let _ = writeln!(
            text,
            "{{\"id\": \"t{at}\", \"depends_on\": [\"t{next}\"], \"do\": {{\"sleep\": {{\"for\": \"1s\"}}}}}}{comma}"
        );
    }
    text.push_str("]}");
    let faults = faults_of(&text);
    assert_eq!(only(&faults), (Code::Cycle, 2, 29));
    assert_eq!(
        faults.list()[0].message,
        "tasks depend on each other in a circle: `t0` -> `t1` -> `t2` -> `t3` -> `t4` -> `t5` -> (99989 more) -> \
         `t99995` -> `t99996` -> `t99997` -> `t99998` -> `t99999` -> `t0`"
    );
}

#[test]
fn patterns_that_stand_for_too_much_are_refused() {
    let mut text = String::from("{\"name\": \"a\", \"agents\": [{\"kind\": \"runner\"}], \"tasks\": [\n");
    for at in 0..5_000 {
        let _ = writeln!(
            text,
            "{{\"id\": \"t{at}\", \"depends_on\": [\"*\"], \"do\": {{\"sleep\": {{\"for\": \"1s\"}}}}}},"
        );
    }
    text.push_str("{\"id\": \"end\", \"do\": {\"sleep\": {\"for\": \"1s\"}}}]}");
    assert_eq!(only(&faults_of(&text)).0, Code::TooLarge);
}

#[test]
fn files_that_cannot_be_read_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(load(folder.path()), LoadError::Directory { .. }));
    let missing = load(&folder.path().join("missing.json"));
    assert!(
        missing
            .to_string()
            .ends_with("missing.json cannot be read: it is not there; check the path and its permissions")
    );
    let file = folder.path().join("utf8.json");
    File::create(&file).unwrap().write_all(b"{\"name\":\n \"\xff\"}").unwrap();
    let LoadError::Faulty(faults) = load(&file) else { panic!("faulty expected") };
    assert_eq!(only(&faults), (Code::NotUtf8, 2, 3));
}

#[test]
fn many_entries_with_an_index_are_refused_beyond_the_bound() {
    let entries = |count: usize| {
        let all: Vec<String> = (0..count)
            .map(|at| format!("{{\"kind\": \"logger\", \"id\": \"{at}/{{index}}\", \"count\": 2}}"))
            .collect();
        format!("{{\"name\": \"a\", \"agents\": [{}]}}", all.join(","))
    };
    assert!(Manifest::parse(&entries(500), "m.json", &Variables::default()).is_ok());
    assert_eq!(only(&faults_of(&entries(501))).0, Code::TooLarge);
}
