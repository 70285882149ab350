//! The main job: hashes of all files below a directory, while one of those who take them is killed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use phalanx::{
    manifest::{self, Assignment, Manifest, Variables},
    report::{Outcome, RunReport},
    swarm::{self, RunOptions, Stop},
};
use sha2::{Digest, Sha256};

const EXAMPLE: &str = "examples/checksum/swarm.json";

fn example(root: &Path) -> Manifest {
    let root: Assignment = format!("root={}", root.display()).parse().unwrap();
    manifest::check(Path::new(EXAMPLE), &Variables::from_assignments([root]).unwrap()).unwrap()
}

/// So many files in nested directories, some of them empty, with the awkward names that files have.
fn files(count: usize) -> (tempfile::TempDir, Vec<PathBuf>) {
    let root = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for at in 0..count {
        let name = ["plain", "with space", "a.b", "ünï", "back\\slash", "line\nfeed"][at % 6];
        let directory = root.path().join(format!("d{}", at % 7)).join("x".repeat(at % 3 + 1));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join(format!("{name}{at}"));
        fs::write(&path, "z".repeat(at * 997 % 200_000)).unwrap();
        paths.push(path);
    }
    (root, paths)
}

fn hash(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// The hash over what `sha256sum` prints for the files in the order of their paths' bytes.
fn combined(paths: &mut [PathBuf]) -> String {
    paths.sort_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    let lines = paths.iter().map(|path| {
        let (hash, name) = (hash(&fs::read(path).unwrap()), path.to_str().unwrap());
        let escaped = name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
        let mark = if escaped == name { "" } else { "\\" };
        format!("{mark}{hash}  {escaped}\n")
    });
    hash(lines.collect::<String>().as_bytes())
}

fn run(manifest: &Manifest) -> RunReport {
    swarm::run(manifest, RunOptions::default(), |_| {}, Stop::default()).unwrap()
}

#[test]
fn every_file_is_hashed_although_one_hasher_is_killed_half_way() {
    let (root, mut paths) = files(300);
    let report = run(&example(root.path()));
    assert_eq!((report.outcome, &report.failures), (Outcome::Succeeded, &Vec::<String>::new()));
    assert_eq!(report.tasks.results["combine"], combined(&mut paths));
    assert_eq!((report.tasks.totals.submitted, report.tasks.totals.completed), (301, 301));
    assert_eq!((report.agents.crashes, report.agents.restarts), (1, 1));
    assert!(report.agents.abandoned.is_empty() && report.agents.killed == 0);
    assert!(report.ledger.balances() && report.ledger.pending == 0, "{:?}", report.ledger);
    assert_eq!((report.registration.requested, report.registration.completed), (52, 52));
    assert!(report.registration.batches > 2, "{:?}", report.registration);
    let startup = report.startup.unwrap();
    assert_eq!((startup.outcome.as_str(), startup.phases.len()), ("succeeded", 6));
    assert_eq!(startup.critical_path.last().unwrap().task, "go");
    assert!(report.routes.iter().any(|route| route.route.contains("progress") && route.ledger.delivered > 0));
    assert!(report.notes.iter().any(|note| note.starts_with("counter heard ")), "{:?}", report.notes);
}

#[test]
fn the_combined_hash_is_what_the_shell_s_tools_print() {
    let script = "find \"$0\" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum";
    let (root, mut paths) = files(60);
    let expected = combined(&mut paths);
    match Command::new("sh").args(["-c", script]).arg(root.path()).output() {
        Ok(output) if output.status.success() && output.stdout.len() > 64 => {
            assert_eq!(String::from_utf8_lossy(&output.stdout)[..64], expected);
        }
        other => eprintln!("these tools are not here, so nothing was compared: {other:?}"),
    }
    assert_eq!(run(&example(root.path())).tasks.results["combine"], expected);
}
