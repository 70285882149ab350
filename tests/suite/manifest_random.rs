//! Random manifests, good and bad: reading never panics, always answers, and agrees with simple models.

use std::collections::BTreeSet;

use phalanx::manifest::{Code, LoadError, Manifest, Variables, load, schema};
use proptest::prelude::*;
use serde_json::{Value, json};

const GOOD: [&str; 3] = [
    include_str!("../manifests/good/everything.json"),
    include_str!("../manifests/good/checksum.json"),
    include_str!("../manifests/good/minimal.json"),
];

/// Reads a text and checks what must hold whatever it is.
fn read(text: &str) -> Result<Manifest, TestCaseError> {
    match Manifest::parse(text, "m.json", &Variables::default()) {
        Ok(manifest) => Ok(manifest),
        Err(faults) => {
            prop_assert!(!faults.list().is_empty());
            let places: Vec<_> = faults.list().iter().map(|fault| (fault.line, fault.column)).collect();
            prop_assert!(places.is_sorted());
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            for fault in faults.list() {
                prop_assert!(fault.span.start <= fault.span.end && fault.span.end <= text.len());
                let line = text.split('\n').nth(fault.line - 1);
                prop_assert!(
                    line.is_some_and(|line| fault.column <= line.chars().count() + 1),
                    "{:?}",
                    fault
                );
                prop_assert!(
                    !fault.message.contains(char::is_control) && !fault.help.contains(char::is_control)
                );
            }
            // Drawing them must not panic either.
            prop_assert!(!faults.picture(phalanx::manifest::Palette::Plain, 80).is_empty());
            Err(TestCaseError::reject("faulty"))
        }
    }
}

fn must_answer(text: &str) -> Result<(), TestCaseError> {
    match read(text) {
        Err(TestCaseError::Fail(reason)) => Err(TestCaseError::Fail(reason)),
        Ok(_) | Err(TestCaseError::Reject(_)) => Ok(()),
    }
}

/// A change to a text: how much is taken out where, and what is put in.
fn change() -> impl Strategy<Value = (prop::sample::Index, usize, String)> {
    let pieces = prop::sample::select(vec![
        "",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "null",
        "true",
        "-1",
        "1e999",
        "0",
        "99999999999999999999",
        "${",
        "${x}",
        "$${",
        "{index}",
        "{path}",
        "*",
        "\n",
        "\0",
        "\u{feff}",
        "ü",
        "\\ud800",
        "\\u0000",
        "\"hasher\"",
        "[[[[[[[[",
        "\"a\": 1,",
        "\u{202e}",
        "{}",
    ]);
    let text = prop_oneof![4 => pieces.prop_map(str::to_owned), 1 => any::<String>()];
    (any::<prop::sample::Index>(), 0..20_usize, text)
}

fn name() -> impl Strategy<Value = String> {
    "[a-zé][a-z0-9 ./:-]{0,8}[a-z0-9]"
}

/// A text that stands for itself, whatever it holds but NUL.
fn text() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|text| text.replace('\0', "").replace("${", "$${"))
}

fn duration() -> impl Strategy<Value = String> {
    (1..5_000_u32, prop::sample::select(vec!["us", "ms", "s", "m"]))
        .prop_map(|(n, unit)| format!("{n}{unit}"))
}

fn word(all: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(all)
}

fn startup_task(before: Vec<String>, id: String) -> impl Strategy<Value = Value> {
    let body = prop_oneof![
        duration().prop_map(|time| json!({"sleep": {"for": time}})),
        (1..u16::MAX, duration()).prop_map(|(port, every)| json!({"wait_for_port": {"port": port, "every": every}})),
        (text(), prop::collection::vec(text(), 0..3), prop::collection::btree_map("[A-Z]{1,4}", text(), 0..3)).prop_map(
            |(program, arguments, environment)| {
                json!({"run": {"program": format!("p{program}"), "arguments": arguments, "environment": environment}})
            }
        ),
        name().prop_map(|path| json!({"read_file": {"path": path}})),
        (name(), duration()).prop_map(|(path, every)| json!({"wait_for_file": {"path": path, "every": every}})),
        (100..600_u16, duration()).prop_map(|(status, every)| {
            json!({"wait_for_http": {"url": format!("http://h:{status}/x"), "status": status, "every": every}})
        }),
    ];
    let upstream = prop::sample::subsequence(before.clone(), 0..=before.len());
    let dependency = word(&["required", "optional", "blocking", "non_blocking"]);
    (upstream, dependency, 1..=5_u8, duration(), duration(), 0..=100_u32, body).prop_map(
        move |(depends_on, dependency, priority, estimate, timeout, retries, body)| {
            json!({"id": id, "depends_on": depends_on, "dependency": dependency, "priority": priority,
                "estimate": estimate, "timeout": timeout, "retries": retries, "do": body})
        },
    )
}

fn agents(at: usize) -> impl Strategy<Value = Value> {
    let behaviour = prop_oneof![
        (1..100_000_usize).prop_map(|chunk| json!({"kind": "hasher", "parameters": {"chunk": chunk}})),
        Just(json!({"kind": "counter"})),
        Just(json!({"kind": "relay", "parameters": {"to": "topic"}})),
        (duration(), 1..u64::MAX).prop_map(
            |(every, limit)| json!({"kind": "ticker", "parameters": {"topic": "topic", "every": every, "limit": limit}})
        ),
        word(&["trace", "debug", "info", "warn", "error"])
            .prop_map(|level| json!({"kind": "logger", "parameters": {"level": level}})),
        Just(json!({"kind": "runner", "parameters": {}})),
    ];
    let supervision =
        (word(&["permanent", "transient", "temporary"]), 0..9_u32, duration(), 1.0..9.0_f64, 0.0..=1.0_f64)
            .prop_map(|(policy, restarts, within, factor, jitter)| {
                json!({"policy": policy, "restarts": restarts, "within": within,
                "backoff": {"initial": "1us", "factor": factor, "jitter": jitter}})
            });
    let place = (-90.0..=90.0_f64, -180.0..=180.0_f64)
        .prop_map(|(latitude, longitude)| json!({"latitude": latitude, "longitude": longitude}));
    let inbox = (1..5_000_usize, word(&["wait", "reject", "drop_oldest", "drop_newest"]))
        .prop_map(|(capacity, overflow)| json!({"capacity": capacity, "overflow": overflow}));
    let metadata = prop::collection::btree_map("[a-z]{1,4}", text(), 0..3);
    let capabilities = prop::collection::btree_set("[a-q]{1,4}x", 0..3);
    (behaviour, 1..20_u64, capabilities, supervision, place, inbox, metadata, any::<bool>()).prop_map(
        move |(mut entry, count, capabilities, supervision, place, inbox, metadata, grouped)| {
            entry["id"] = json!(format!("e{at}x/{{index}}"));
            entry["count"] = json!(count);
            entry["capabilities"] = json!(capabilities);
            entry["supervision"] = supervision;
            entry["location"] = place;
            entry["inbox"] = inbox;
            entry["metadata"] = json!(metadata);
            if grouped {
                entry["group"] = json!("inner");
            }
            if grouped || entry["supervision"]["policy"] == "temporary" {
                // The group says how often and how late, or nothing is restarted.
                entry["supervision"].as_object_mut().unwrap().retain(|key, _| key == "policy");
            }
            entry
        },
    )
}

fn tasks() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::btree_set(name(), 0..6).prop_flat_map(|names| {
        let names: Vec<String> = names.into_iter().collect();
        let all: Vec<_> = (0..names.len())
            .map(|at| {
                let (id, before) = (names[at].clone(), names[..at].to_vec());
                let upstream = prop::sample::subsequence(before.clone(), 0..=before.len());
                let kind = word(&["work", "synchronization", "data_sync", "load_balancing"]);
                (upstream, kind, 1..=5_u8, duration(), prop::option::of(1..1_000_u64)).prop_map(
                    move |(upstream, kind, priority, time, count)| {
                        let mut task = json!({"id": id, "depends_on": upstream, "type": kind, "priority": priority,
                            "timeout": time, "do": {"sleep": {"for": time}}});
                        if let Some(count) = count.filter(|_| upstream.is_empty()) {
                            task["for_each"] = json!({"count": count});
                        }
                        task
                    },
                )
            })
            .collect();
        all.prop_map(|mut all| {
            // A loop needs its place in the id; those that depend on it say so as well.
            let looped: Vec<String> = all
                .iter()
                .filter(|task| task.get("for_each").is_some())
                .map(|task| task["id"].as_str().unwrap().to_owned())
                .collect();
            for task in &mut all {
                let rename = |value: &mut Value| {
                    if looped.iter().any(|id| value == id) {
                        *value = json!(format!("{}{{index}}", value.as_str().unwrap()));
                    }
                };
                rename(&mut task["id"]);
                task["depends_on"].as_array_mut().unwrap().iter_mut().for_each(rename);
            }
            all
        })
    })
}

fn good() -> impl Strategy<Value = Value> {
    let startup = prop::collection::btree_set(name(), 0..6).prop_flat_map(|names| {
        let names: Vec<String> = names.into_iter().collect();
        (0..names.len()).map(|at| startup_task(names[..at].to_vec(), names[at].clone())).collect::<Vec<_>>()
    });
    let agents = (0..5_usize).prop_flat_map(|count| (0..count).map(agents).collect::<Vec<_>>());
    let strategy = word(&["one_for_one", "one_for_all", "rest_for_one"]);
    (text(), any::<u64>(), prop::option::of(1..64_usize), startup, agents, tasks(), strategy, duration()).prop_map(
        |(description, seed, arbiters, startup, mut agents, tasks, strategy, time)| {
            agents.push(json!({"kind": "runner", "id": "the runner"}));
            let mut manifest = json!({
                "name": "random", "description": description, "seed": seed, "startup": {"tasks": startup},
                "agents": agents, "groups": [{"name": "inner", "strategy": strategy, "parent": "outer"}, {"name": "outer"}],
                "registration": {"strategy": "time_based", "window": time},
                "topics": [{"name": "topic", "subscribers": [{"agent": "the runner"}, {"capability": "run"}]}],
                "tasks": tasks,
                "faults": [{"kill": {"agent": "the runner"}, "when": {"after": time}}],
            });
            if let Some(arbiters) = arbiters {
                manifest["arbiters"] = json!(arbiters);
            }
            manifest
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn random_texts_are_answered(text in any::<String>()) {
        must_answer(&text)?;
    }

    #[test]
    fn random_bytes_in_a_file_are_answered(bytes in any::<Vec<u8>>()) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        match load(file.path(), &Variables::default()) {
            Err(LoadError::Faulty(faults)) => {
                let lines = bytes.split(|byte| *byte == b'\n').count();
                prop_assert!(faults.list().iter().all(|fault| (1..=lines).contains(&fault.line)), "{:?}", faults);
                prop_assert!(faults.total() > 0);
            }
            Err(error) => prop_assert!(false, "{}", error),
            Ok(_) => {}
        }
    }

    #[test]
    fn random_json_is_answered(text in "[\\[\\]{}:,\"0-9a-z\\\\ \n$*]{0,200}") {
        must_answer(&text)?;
    }

    #[test]
    fn good_manifests_with_random_changes_are_answered(
        which in 0..GOOD.len(), changes in prop::collection::vec(change(), 1..6)
    ) {
        let mut text = GOOD[which].to_owned();
        for (at, length, piece) in changes {
            let boundary = |mut at: usize| {
                while !text.is_char_boundary(at) {
                    at += 1;
                }
                at
            };
            let start = boundary(at.index(text.len() + 1));
            let end = boundary((start + length).min(text.len()));
            text.replace_range(start..end, &piece);
        }
        must_answer(&text)?;
    }

    #[test]
    fn random_good_manifests_read_back_from_their_own_json_and_fit_the_schema(manifest in good()) {
        let text = manifest.to_string();
        let read = Manifest::parse(&text, "m.json", &Variables::default());
        prop_assert!(read.is_ok(), "{:?} in {}", read, text);
        let first = read.unwrap();
        let again = first.to_json();
        prop_assert_eq!(&Manifest::parse(&again.to_string(), "m.json", &Variables::default()).unwrap(), &first);
        thread_local!(static VALIDATOR: jsonschema::Validator = jsonschema::draft202012::new(&schema()).unwrap());
        VALIDATOR.with(|validator| {
            prop_assert!(validator.is_valid(&manifest), "{}", text);
            prop_assert!(validator.is_valid(&again), "{}", again);
            Ok(())
        })?;
    }

    #[test]
    fn a_cycle_is_named_just_when_the_tasks_cannot_be_put_in_order(
        edges in prop::collection::btree_set((0..8_usize, 0..8_usize), 0..14)
    ) {
        let tasks: Vec<Value> = (0..8)
            .map(|at| {
                let on: Vec<String> = edges.iter().filter(|(from, _)| *from == at).map(|(_, to)| format!("t{to}")).collect();
                json!({"id": format!("t{at}"), "depends_on": on, "do": {"sleep": {"for": "1s"}}})
            })
            .collect();
        let orderable = {
            // The simple model: again and again take away what depends on nothing that is left.
            let mut left: BTreeSet<usize> = (0..8).collect();
            while let Some(free) = left.iter().copied().find(|at| !edges.iter().any(|(from, to)| from == at && left.contains(to))) {
                left.remove(&free);
            }
            left.is_empty()
        };
        for manifest in [
            json!({"name": "a", "agents": [{"kind": "runner"}], "tasks": tasks}),
            json!({"name": "a", "startup": {"tasks": tasks}}),
        ] {
            match Manifest::parse(&manifest.to_string(), "m.json", &Variables::default()) {
                Ok(_) => prop_assert!(orderable),
                Err(faults) => {
                    prop_assert!(!orderable);
                    for fault in faults.list() {
                        prop_assert_eq!(fault.code, Code::Cycle);
                        let path = fault.message.split_once(": ").unwrap().1;
                        let path: Vec<usize> =
                            path.split(" -> ").map(|name| name.trim_matches('`')[1..].parse().unwrap()).collect();
                        prop_assert_eq!(path.first(), path.last());
                        prop_assert!(path.windows(2).all(|step| edges.contains(&(step[0], step[1]))), "{:?}", path);
                    }
                }
            }
        }
    }
}
