//! Reports for tests: one with everything in it, one with as little as can be.

use std::time::Duration;

use phalanx_actors::{agent::Timestamp, coordinator::TaskMetrics, inbox::Counts};
use serde_json::json;

use super::{
    AgentsSection, BatchSection, FailedTask, HandlerSection, HealthSection, JournalSection, LostAgent,
    Outcome, PhaseSection, RegistrationSection, RollbackSection, RouteSection, RunReport, SCHEMA,
    SizeSection, StartupSection, StartupTaskSection, StepSection, TasksSection, TroubledAgent,
};

fn registration() -> RegistrationSection {
    RegistrationSection {
        requested: 52,
        completed: 51,
        failed: 1,
        batches: 6,
        duration_us: 30_200,
        journal: Some(journal()),
    }
}

fn journal() -> JournalSection {
    JournalSection {
        file: "swarm.journal".to_owned(),
        runs: 3,
        recovered_agents: 52,
        recovered_requests: 1_204,
        unreturned: 1,
        unreturned_first: vec!["hasher/49".to_owned()],
        records: 105,
        groups: 9,
        refused: 0,
        closed: true,
    }
}

fn not_completed(task: &str, reason: &str) -> FailedTask {
    FailedTask { task: task.to_owned(), reason: reason.to_owned() }
}

fn phase(phase: &str, (tasks, completed): (usize, usize), times: Option<(u64, u64)>) -> PhaseSection {
    PhaseSection {
        phase: phase.to_owned(),
        tasks,
        completed,
        started_us: times.map(|(start, _)| start),
        ended_us: times.map(|(_, end)| end),
    }
}

fn startup() -> StartupSection {
    let step = |task: &str, started_us, ended_us| StepSection {
        task: task.to_owned(),
        name: task.to_owned(),
        started_us,
        ended_us,
    };
    StartupSection {
        outcome: "degraded".to_owned(),
        duration_us: 160_250,
        phases: vec![
            phase("dependency_resolution", (3, 3), Some((120, 100_300))),
            phase("core_initialization", (2, 1), Some((100_300, 160_250))),
            phase("ready", (1, 0), None),
        ],
        critical_path: vec![step("root", 120, 100_300), step("warm-up", 100_300, 160_250)],
        failed: vec![not_completed("index", "no file of this name: data/index.bin")],
        rollback: Some(RollbackSection { tasks: 1, undone: 1, failed: 0, duration_us: 10_000 }),
        tasks: vec![
            startup_task("root", "completed", Some((100, 90_100)), Some((120, 100_300))),
            StartupTaskSection {
                rolled_back_us: Some(170_250),
                ..startup_task("warm-up", "rolled_back", Some((90_100, 140_100)), Some((100_300, 160_250)))
            },
            startup_task("index", "failed", Some((90_100, 95_100)), None),
            startup_task("search", "dormant", None, None),
        ],
    }
}

fn startup_task(
    task: &str,
    status: &str,
    planned: Option<(u64, u64)>,
    actual: Option<(u64, u64)>,
) -> StartupTaskSection {
    StartupTaskSection {
        task: task.to_owned(),
        name: task.to_owned(),
        phase: "core_initialization".to_owned(),
        status: status.to_owned(),
        planned_start_us: planned.map(|(start, _)| start),
        planned_end_us: planned.map(|(_, end)| end),
        started_us: actual.map(|(start, _)| start),
        ended_us: actual.map(|(_, end)| end),
        rolled_back_us: None,
    }
}

fn health() -> HealthSection {
    let troubled =
        |agent: &str, state: &str, (crashes, restarts): (u32, u32), (rejected, dropped, expired)| {
            TroubledAgent {
                agent: agent.to_owned(),
                state: state.to_owned(),
                since_us: 10_200_400,
                given_up: state == "failed",
                crashes,
                restarts,
                errors: crashes,
                rejected,
                dropped,
                expired,
            }
        };
    HealthSection {
        by_state: [("healthy".to_owned(), 49), ("degraded".to_owned(), 1), ("failed".to_owned(), 1)].into(),
        troubled: 24,
        worst: vec![
            troubled("hasher/9", "failed", (4, 3), (0, 0, 0)),
            troubled("logger", "degraded", (0, 0), (4, 0, 1_204_500)),
            troubled("hasher/7", "healthy", (1, 1), (0, 0, 0)),
        ],
    }
}

fn batches() -> BatchSection {
    BatchSection {
        count: 48,
        messages: 512,
        mean_size: 10.67,
        largest_size: 128,
        sizes: [(1, 11), (4, 20), (8, 15), (128, 2)]
            .map(|(up_to, batches)| SizeSection { up_to, batches })
            .into(),
        delay_p50_us: Some(39),
        delay_p99_us: Some(6_143),
        bound: 256,
    }
}

/// A report in which every key has a value.
pub(crate) fn full() -> RunReport {
    let ledger = Counts {
        sent: 50_512,
        delivered: 50_500,
        rejected: 4,
        dropped: 3,
        expired: 2,
        failed: 3,
        pending: 0,
    };
    let direct = Counts { sent: 50_000, delivered: 49_999, failed: 1, ..Counts::default() };
    let progress =
        Counts { sent: 512, delivered: 501, rejected: 4, dropped: 3, expired: 2, failed: 2, pending: 0 };
    RunReport {
        schema: SCHEMA,
        name: "checksum".to_owned(),
        description: "hashes every file, with some bad luck".to_owned(),
        outcome: Outcome::Failed,
        failures: vec!["2 of 50,001 tasks did not complete".to_owned(), "start-up task index failed".to_owned()],
        simulated: true,
        seed: 7,
        arbiters: 2,
        duration_us: 12_345_678,
        startup: Some(startup()),
        registration: registration(),
        agents: AgentsSection {
            by_kind: [("hasher".to_owned(), 50), ("logger".to_owned(), 1)].into(),
            crashes: 4,
            restarts: 3,
            abandoned: vec![LostAgent {
                agent: "hasher/9".to_owned(),
                reason: "more than 3 restarts within 5s".to_owned(),
            }],
            killed: 1,
        },
        health: health(),
        ledger,
        routes: vec![
            RouteSection { route: "direct".to_owned(), ledger: direct, batches: None },
            RouteSection { route: "topic progress".to_owned(), ledger: progress, batches: Some(batches()) },
        ],
        reasons: [("full", 4), ("dropped_oldest", 3), ("expired", 2), ("panicked", 3)].into(),
        late_replies: 2,
        tasks: TasksSection {
            totals: TaskMetrics {
                submitted: 50_001,
                completed: 49_990,
                failed: 1,
                cancelled: 1,
                timed_out: 1,
                pending: 2,
                queued: 3,
                executing: 2,
                waiting: 1,
                dispatched: 50_004,
                retried: 3,
                stale: 1,
                releasing: 1,
                agents: 51,
                average_latency: Duration::from_micros(2_345),
                first_submitted: Some(Timestamp::from_start(Duration::from_micros(190_450))),
                last_completed: Some(Timestamp::from_start(Duration::from_millis(12_345))),
            },
            by_type: [("data_sync", 1), ("work", 50_000)].into(),
            not_completed: vec![
                not_completed("hash:/usr/share/a|b", "permission denied"),
                not_completed(
                    "hash:/usr/share/doc/a-path-that-goes-on-for-quite-a-while/and-then-some/changelog.gz",
                    "timed out: no answer within 60s, in the last of 4 attempts; raise its timeout",
                ),
            ],
            results: [
                (
                    "combine".to_owned(),
                    json!({
                        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                        "files": 49_990,
                    }),
                ),
                ("list".to_owned(), json!("a text")),
                ("nap".to_owned(), json!(null)),
            ]
            .into(),
            duration_us: 12_154_550,
        },
        handlers: vec![
            HandlerSection { name: "alerts".to_owned(), handled: 1_207, errors: 0 },
            HandlerSection { name: "seen".to_owned(), handled: 101_530, errors: 2 },
        ],
        notes: vec![
            "hasher/7 was killed on purpose after 25,000 tasks".to_owned(),
            "3 bodies that touch the outside world took their estimates instead: read_file, wait_for_port, run"
                .to_owned(),
        ],
    }
}

/// A report of a run of nothing.
pub(crate) fn least() -> RunReport {
    RunReport {
        schema: SCHEMA,
        name: "nothing yet".to_owned(),
        description: String::new(),
        outcome: Outcome::Succeeded,
        failures: Vec::new(),
        simulated: false,
        seed: 0,
        arbiters: 1,
        duration_us: 950,
        startup: None,
        registration: RegistrationSection::default(),
        agents: AgentsSection::default(),
        health: HealthSection::default(),
        ledger: Counts::default(),
        routes: Vec::new(),
        reasons: [].into(),
        late_replies: 0,
        tasks: TasksSection {
            totals: TaskMetrics::default(),
            by_type: [].into(),
            not_completed: Vec::new(),
            results: [].into(),
            duration_us: 0,
        },
        handlers: Vec::new(),
        notes: Vec::new(),
    }
}
