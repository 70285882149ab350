//! The JSON Schema and the reader say the same about the shape of a manifest.

use std::{collections::BTreeSet, fs};

use jsonschema::Validator;
use phalanx::manifest::{Code, Manifest, Variables, schema};
use serde_json::{Value, json};

use crate::manifest_bad::manifests;

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

#[test]
fn the_schema_itself_is_a_schema() {
    assert!(jsonschema::draft202012::meta::is_valid(&schema()));
}

#[test]
fn the_schema_takes_every_good_manifest() {
    let validator = validator();
    for path in manifests("good") {
        let text = fs::read_to_string(&path).unwrap();
        let value = serde_json::from_str(&text).unwrap();
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", path.display());
        let whole = Manifest::parse(&text, "m.json", &Variables::default()).unwrap().to_json();
        assert!(validator.is_valid(&whole), "{}", path.display());
    }
}

#[test]
fn the_schema_refuses_each_bad_shape() {
    let validator = validator();
    let names =
        ["missing-fields", "out-of-range", "startup-body", "unknown-fields", "unknown-words", "wrong-types"];
    for name in names {
        let text = fs::read_to_string(format!("tests/manifests/bad/{name}.json")).unwrap();
        // A number beyond 64 bits is none for the parser of this test.
        let value = serde_json::from_str(&text).unwrap();
        assert!(!validator.is_valid(&value), "{name}");
    }
}

#[test]
fn each_single_mistake_is_refused_by_the_schema_and_by_the_reader() {
    let validator = validator();
    let good: Value = serde_json::from_str(include_str!("../manifests/good/everything.json")).unwrap();
    assert!(validator.is_valid(&good));
    for (place, value) in [
        ("/seed", json!(-1)),
        ("/seed", json!(null)),
        ("/arbiters", json!(0)),
        ("/startup/workers", json!("8")),
        ("/startup/phases", json!("loose")),
        ("/startup/tasks/0/do", json!({"hash_file": {"path": "Cargo.toml"}})),
        ("/startup/tasks/0/priority", json!(6)),
        ("/startup/tasks/0/timeout", json!(30)),
        ("/startup/tasks/0/timeout", json!("30")),
        ("/agents/0/kind", json!("hahser")),
        ("/agents/0/count", json!(0)),
        ("/agents/0/parameters", json!({"topic": "ticks"})),
        ("/agents/0/location/latitude", json!(91)),
        ("/agents/0/capabilities/0", json!("")),
        ("/agents/0/inbox/overflow", json!("drop")),
        ("/agents/1/supervision/backoff/jitter", json!(1.1)),
        ("/agents/1/id", json!(7)),
        ("/agents/2/parameters", json!({})),
        ("/agents/3/parameters", json!({"topic": "ticks", "limit": 0})),
        ("/groups/0/name", json!("a\u{7}")),
        ("/topics/0/subscribers/0", json!({"kind": "relay", "agent": "tally"})),
        ("/topics/0/subscribers/0", json!({"kind": "relay", "afterr": "1s"})),
        ("/topics/0/subscribers/0", json!({"after": "1s"})),
        ("/topics/1/keep_last", json!(65_537)),
        ("/topics/1/batch/size", json!(0)),
        ("/topics/1/confirm/retries", json!(101)),
        ("/topics/1/subscribers/0/replay", json!(-1)),
        ("/topics/3/to_one", json!("random")),
        ("/heartbeat/inactive_after", json!(0)),
        ("/tasks/0/for_each", json!({})),
        ("/tasks/0/retries", json!(1.5)),
        ("/tasks/0/do", json!({})),
        ("/monitor/handlers/0/do", json!({"log": {"path": "x"}})),
        ("/faults/0/when", json!({"tasks_completed": 1.5})),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(place).unwrap_or_else(|| panic!("{place} is there")) = value.clone();
        assert!(!validator.is_valid(&bad), "the schema takes {value} at {place}");
        let read = Manifest::parse(&bad.to_string(), "m.json", &Variables::default());
        assert!(read.is_err(), "the reader takes {value} at {place}");
    }
}

/// Every object of the schema that has keys: its place, its keys and those it must have.
fn objects(schema: &Value, place: String, found: &mut Vec<(String, BTreeSet<String>, BTreeSet<String>)>) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                let must = object.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
                let must = must.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                // One of some keys belongs to the object that has others beside it.
                let choices = object.get("oneOf").and_then(Value::as_array).into_iter().flatten();
                let chosen = choices
                    .filter_map(|choice| choice["properties"].as_object())
                    .flat_map(|keys| keys.keys());
                found.push((place.clone(), properties.keys().chain(chosen).cloned().collect(), must));
            }
            for (key, value) in object {
                objects(value, format!("{place}/{key}"), found);
            }
        }
        Value::Array(all) => {
            all.iter().enumerate().for_each(|(at, value)| objects(value, format!("{place}/{at}"), found));
        }
        _ => {}
    }
}

#[test]
fn the_reader_knows_exactly_the_keys_of_the_schema() {
    // What the reader says it knows, asked for with a key that nothing is near to.
    let probe = r#"{"name": "a", "zzzzzzzzzzzzzzzz": 0,
        "startup": {"zzzzzzzzzzzzzzzz": 0, "tasks": [{"zzzzzzzzzzzzzzzz": 0}]},
        "agents": [{"kind": "hasher", "zzzzzzzzzzzzzzzz": 0, "parameters": {"zzzzzzzzzzzzzzzz": 0},
            "location": {"zzzzzzzzzzzzzzzz": 0}, "inbox": {"zzzzzzzzzzzzzzzz": 0},
            "supervision": {"zzzzzzzzzzzzzzzz": 0, "backoff": {"zzzzzzzzzzzzzzzz": 0}}},
            {"kind": "relay", "parameters": {"zzzzzzzzzzzzzzzz": 0}},
            {"kind": "ticker", "parameters": {"zzzzzzzzzzzzzzzz": 0}},
            {"kind": "logger", "parameters": {"zzzzzzzzzzzzzzzz": 0}}],
        "groups": [{"zzzzzzzzzzzzzzzz": 0}], "registration": {"zzzzzzzzzzzzzzzz": 0, "limits": {"zzzzzzzzzzzzzzzz": 0}},
        "topics": [{"zzzzzzzzzzzzzzzz": 0, "subscribers": [{"zzzzzzzzzzzzzzzz": 0}], "batch": {"zzzzzzzzzzzzzzzz": 0},
            "confirm": {"zzzzzzzzzzzzzzzz": 0}}], "heartbeat": {"zzzzzzzzzzzzzzzz": 0}, "coordinator": {"zzzzzzzzzzzzzzzz": 0},
        "tasks": [{"zzzzzzzzzzzzzzzz": 0}, {"do": {"run": {"zzzzzzzzzzzzzzzz": 0}}},
            {"do": {"wait_for_port": {"zzzzzzzzzzzzzzzz": 0}}}, {"do": {"wait_for_http": {"zzzzzzzzzzzzzzzz": 0}}},
            {"do": {"wait_for_file": {"zzzzzzzzzzzzzzzz": 0}}}, {"do": {"read_file": {"zzzzzzzzzzzzzzzz": 0}}},
            {"do": {"hash_file": {"zzzzzzzzzzzzzzzz": 0}}}, {"do": {"sleep": {"zzzzzzzzzzzzzzzz": 0}}}],
        "monitor": {"zzzzzzzzzzzzzzzz": 0, "handlers": [{"zzzzzzzzzzzzzzzz": 0}, {"do": {"append": {"zzzzzzzzzzzzzzzz": 0}}}]},
        "faults": [{"zzzzzzzzzzzzzzzz": 0}, {"kill": {"zzzzzzzzzzzzzzzz": 0}}]}"#;
    let faults = Manifest::parse(probe, "m.json", &Variables::default()).unwrap_err();
    let read: BTreeSet<BTreeSet<String>> = faults
        .list()
        .iter()
        .filter(|fault| fault.code == Code::UnknownField)
        .map(|fault| {
            let known = fault.help.strip_prefix("known here: ").unwrap_or_else(|| panic!("{fault:?}"));
            known.split(", ").map(|key| key.trim_matches('`').to_owned()).collect()
        })
        .collect();

    let mut found = Vec::new();
    objects(&schema(), String::new(), &mut found);
    // Objects with one key to choose, and the rules per kind, are no records of the reader's.
    let records =
        found.into_iter().filter(|(place, ..)| !place.contains("/oneOf/") && !place.contains("/allOf/"));
    let schema: BTreeSet<BTreeSet<String>> =
        records.map(|(_, keys, _)| keys).filter(|keys| !keys.is_empty()).collect();
    assert_eq!(read, schema);
}

#[test]
fn descriptions_are_prose_and_no_code() {
    fn look(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(all) => {
                found.extend(all.get("description").and_then(Value::as_str).map(str::to_owned));
                all.values().for_each(|value| look(value, found));
            }
            Value::Array(all) => all.iter().for_each(|value| look(value, found)),
            _ => {}
        }
    }
    let mut descriptions = Vec::new();
    look(&schema(), &mut descriptions);
    assert!(descriptions.len() > 150, "{}", descriptions.len());
    for text in descriptions {
        assert!(!["```", "# ", "\n", "[`"].iter().any(|code| text.contains(code)), "{text}");
    }
}

#[test]
fn every_word_is_described() {
    fn look(value: &Value, words: &mut Vec<(String, bool)>) {
        match value {
            Value::Object(all) => {
                if let Some(word) = all.get("const").and_then(Value::as_str) {
                    words.push((word.to_owned(), all.contains_key("description")));
                }
                all.iter().filter(|(key, _)| *key != "if").for_each(|(_, value)| look(value, words));
            }
            Value::Array(all) => all.iter().for_each(|value| look(value, words)),
            _ => {}
        }
    }
    let mut words = Vec::new();
    look(&schema(), &mut words);
    assert!(words.len() > 50, "{words:?}");
    assert!(words.iter().all(|(_, described)| *described), "{words:?}");
}

#[test]
fn every_key_is_described() {
    fn look(value: &Value, place: &str, missing: &mut Vec<String>) {
        if let Some(Value::Object(properties)) = value.get("properties") {
            for (key, property) in properties {
                let inner = place.contains("/oneOf") || place.contains("/allOf");
                if !inner && property.get("description").is_none() && property.get("$ref").is_none() {
                    missing.push(format!("{place}/{key}"));
                }
            }
        }
        match value {
            Value::Object(all) => {
                all.iter().for_each(|(key, value)| look(value, &format!("{place}/{key}"), missing));
            }
            Value::Array(all) => all.iter().for_each(|value| look(value, place, missing)),
            _ => {}
        }
    }
    let mut missing = Vec::new();
    look(&schema(), "", &mut missing);
    assert!(missing.is_empty(), "{missing:?}");
}
