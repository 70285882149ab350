//! [`page`]: the page of all keys, written from the JSON Schema, so that the two cannot say different things.
//!
//! ```text
//! Manifest (schemars) --> schema --> page --> docs/manifest.md
//! examples/tour/swarm.json ------------^
//! ```
//!
//! Each object of the schema is a section headed by its place, with a table of its keys; words and shared values are
//! explained where they first come up. What stands behind `Default:` in a description fills the column of that name.

use std::{collections::BTreeMap, fmt::Write as _};

use jsonc_parser::{ParseOptions, ast::Value as Node, common::Ranged, parse_to_ast};
use serde_json::{Map, Value};

use super::schema::plain;

/// A manifest that has every section.
const EXAMPLE: &str = include_str!("../../examples/tour/swarm.json");

/// Values that many keys share, explained once.
const SHARED: [&str; 3] = ["Name", "Duration", "Priority"];

const BEGINNING: &str = "\
# The manifest

A manifest is one JSON file that says what a swarm is: what starts up, which agents there are, what they hear and what they
do. `phalanx check FILE` names all of its faults, `phalanx run FILE` runs it. This page is written by
`phalanx schema --markdown` from the same types that read the file; `phalanx schema` prints the JSON Schema, with which
editors complete keys. The examples are the parts of [one manifest](../examples/tour/swarm.json) that runs.

A key that is left out has its default. A key that is not known, stands twice, or means nothing next to the others is a
fault.

## Values

| value | written as |
| --- | --- |
";

const PLACEHOLDERS: &str = "\
| placeholder | `${name}` or `${name:-default}` in any text, filled by `--set name=value`; `$${` stands for `${` itself. A \
text with a placeholder may also stand where a number is expected. |

In ids and bodies, `{index}` stands for the number of an agent or of an item, from 0, and `{path}` for the path of a file.
";

/// The page of all keys, as Markdown.
///
/// # Examples
/// ```
/// assert!(phalanx::manifest::page().contains("| `capacity` |"));
/// ```
pub fn page() -> String {
    let schema = plain();
    let mut page =
        Page { definitions: &schema["$defs"], explained: BTreeMap::new(), text: BEGINNING.to_owned() };
    for name in SHARED {
        let row = sentence(&page.definitions[name]);
        let _ = writeln!(page.text, "| {} | {} |", name.to_lowercase(), cell(&row));
    }
    page.text.push_str(PLACEHOLDERS);
    page.text.push_str("\n## The whole\n");
    page.table(&schema);
    let examples = examples();
    let head = examples.iter().filter(|(key, _)| !is_section(&schema["properties"][*key]));
    page.example(&head.map(|(_, text)| text.as_str()).collect::<Vec<_>>());
    let properties = schema["properties"].as_object().into_iter().flatten();
    for (key, property) in properties.filter(|(_, property)| is_section(property)) {
        let _ = writeln!(page.text, "\n## `{key}`\n\n{}", prose(property).0);
        page.section(key, property, 3);
        let own = examples.iter().filter(|(name, _)| name == key);
        page.example(&own.map(|(_, text)| text.as_str()).collect::<Vec<_>>());
    }
    page.text
}

/// The top-level keys of the example with their text as it is written there.
fn examples() -> Vec<(&'static str, String)> {
    let parsed = parse_to_ast(EXAMPLE, &jsonc_parser::CollectOptions::default(), &ParseOptions::default());
    let Some(Node::Object(whole)) = parsed.expect("the example is JSON").value else { return Vec::new() };
    let texts = whole.properties.iter().map(|property| {
        let (start, end) = (property.range().start, property.range().end);
        let key = EXAMPLE[start..].split('"').nth(1).unwrap_or_default();
        (key, EXAMPLE[start..end].replace("\n  ", "\n"))
    });
    texts.collect()
}

/// Whether a key of the whole has a section of its own.
fn is_section(property: &Value) -> bool {
    property.get("$ref").is_some() || property.pointer("/items/$ref").is_some()
}

struct Page<'s> {
    definitions: &'s Value,
    /// The definitions that have been written, and where.
    explained: BTreeMap<&'s str, String>,
    text: String,
}

impl<'s> Page<'s> {
    /// The definition that a schema refers to, by itself or for its elements.
    fn target(&self, property: &'s Value) -> Option<(&'s str, &'s Value, bool)> {
        let direct = property.get("$ref").map(|name| (name, false));
        let (name, list) = direct.or_else(|| property.pointer("/items/$ref").map(|name| (name, true)))?;
        let name = name.as_str()?.strip_prefix("#/$defs/")?;
        Some((name, &self.definitions[name], list))
    }

    /// What a key refers to: its table, its words or its choices, and what those refer to.
    fn section(&mut self, place: &str, property: &'s Value, level: usize) {
        let Some((name, target, list)) = self.target(property) else { return };
        if SHARED.contains(&name) {
            return;
        }
        let place = if list { format!("{place}[]") } else { place.to_owned() };
        if self.explained.contains_key(name) {
            return;
        }
        self.explained.insert(name, place.clone());
        if let Some(choices) = target.get("oneOf").and_then(Value::as_array) {
            self.choices(&place, target, choices, level);
            if has_keys(target) {
                self.text.push_str("\nBeside one of these keys:\n");
                self.table(target);
                self.below(&place, target, level);
            }
        } else if has_keys(target) {
            self.heading(&place, target, level);
            self.table(target);
            self.below(&place, target, level);
        }
    }

    /// The sections of what the keys of an object refer to.
    fn below(&mut self, place: &str, object: &'s Value, level: usize) {
        for (key, property) in object["properties"].as_object().into_iter().flatten() {
            self.section(&format!("{place}.{key}"), property, level);
        }
        for rule in object.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            let kind = rule.pointer("/if/properties/kind/const").and_then(Value::as_str);
            let Some((kind, parameters)) = kind.zip(rule.pointer("/then/properties/parameters")) else {
                continue;
            };
            let place = place.replace("[]", &format!("[kind={kind}]"));
            self.section(&format!("{place}.parameters"), parameters, level);
        }
    }

    fn heading(&mut self, place: &str, target: &Value, level: usize) {
        let marks = "#".repeat(level);
        // The section of a top-level key has its heading already.
        if place.contains(['.', '[']) {
            let _ = writeln!(self.text, "\n{marks} `{place}`\n\n{}", sentence(target));
        }
    }

    /// An enumeration: words, or objects with one key each.
    fn choices(&mut self, place: &str, target: &Value, choices: &'s [Value], level: usize) {
        self.heading(place, target, level);
        let is_words = choices.iter().all(|choice| choice.get("properties").is_none());
        let first = if is_words { "word" } else { "key" };
        let _ = writeln!(self.text, "\n| {first} | {}meaning |", if is_words { "" } else { "value | " });
        let _ = writeln!(self.text, "| --- | {}--- |", if is_words { "" } else { "--- | " });
        let mut inner = Vec::new();
        for choice in choices {
            let meaning = cell(&sentence(choice));
            if let Some(word) = choice.get("const").and_then(Value::as_str) {
                let _ = writeln!(self.text, "| `{word}` | {meaning} |");
            }
            for (key, property) in choice["properties"].as_object().into_iter().flatten() {
                let _ = writeln!(self.text, "| `{key}` | {} | {meaning} |", self.kind(property));
                inner.push((format!("{place}.{key}"), property));
            }
        }
        for (place, property) in inner {
            self.section(&place, property, level);
        }
    }

    /// The keys of an object.
    fn table(&mut self, object: &'s Value) {
        self.text.push_str("\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
        let must = object.get("required").and_then(Value::as_array);
        for (key, property) in object["properties"].as_object().into_iter().flatten() {
            let (mut meaning, default) = prose(property);
            if let Some(bounds) = bounds(property) {
                // They stand beside it.
                meaning = meaning.replace(&format!(", {bounds}"), "");
            }
            let must = must.is_some_and(|must| must.iter().any(|one| one == key.as_str()));
            let default =
                default.unwrap_or_else(|| if must { "must be there" } else { "see below" }.to_owned());
            let _ = writeln!(
                self.text,
                "| `{key}` | {} | {} | {} |",
                self.kind(property),
                cell(&default),
                cell(&meaning)
            );
        }
    }

    /// What sort of value one is, in a few words.
    fn kind(&self, property: &Value) -> String {
        if let Some(name) = property.get("$ref").and_then(Value::as_str) {
            let name = name.trim_start_matches("#/$defs/");
            let target = &self.definitions[name];
            let what = match name {
                _ if SHARED.contains(&name) => return name.to_lowercase(),
                _ if target.get("oneOf").is_some_and(is_word_list) => "word",
                _ if has_keys(target) => "object",
                _ if target.get("oneOf").is_some() => "object with one key",
                _ => return "`{}`".to_owned(),
            };
            let before = self.explained.get(name).map(|place| format!(", as `{place}`"));
            return format!("{what}{}", before.unwrap_or_default());
        }
        let bounded = |what: &str| {
            let bounds = bounds(property).map(|bounds| format!(", {bounds}"));
            format!("{what}{}", bounds.unwrap_or_default())
        };
        match property["type"].as_str() {
            Some("integer") => bounded("whole number"),
            Some("number") => bounded("number"),
            Some("array") => {
                let element = self.kind(&property["items"]);
                let (what, rest) = element.split_at(element.find([' ', ',']).unwrap_or(element.len()));
                format!("list of {what}s{rest}")
            }
            Some("object") if property.get("additionalProperties").is_some_and(Value::is_object) => {
                "object of texts".to_owned()
            }
            Some("string") => "text".to_owned(),
            _ => "object".to_owned(),
        }
    }

    fn example(&mut self, parts: &[&str]) {
        let _ = write!(self.text, "\n```json\n{}\n```\n", parts.join(",\n"));
    }
}

fn is_word_list(choices: &Value) -> bool {
    choices.as_array().is_some_and(|all| all.iter().all(|one| one.get("properties").is_none()))
}

fn has_keys(target: &Value) -> bool {
    target["properties"].as_object().is_some_and(|properties: &Map<_, _>| !properties.is_empty())
}

/// The bounds of a number, as descriptions state them.
fn bounds(property: &Value) -> Option<String> {
    let bound = |key: &str| property.get(key).and_then(Value::as_number).map(plain_number);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}")),
        (Some(least), None) => Some(format!("at least {least}")),
        (None, most) => most.map(|most| format!("at most {most}")),
    }
}

/// A bound without the fraction that the schema gives to whole numbers.
fn plain_number(number: &serde_json::Number) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

/// A description in one line.
fn sentence(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ")
}

/// What a key means, and its default as the description states it.
fn prose(property: &Value) -> (String, Option<String>) {
    let text = sentence(property);
    match text.rsplit_once(" Default: ") {
        Some((meaning, default)) => {
            (meaning.to_owned(), Some(default.strip_suffix('.').unwrap_or(default).to_owned()))
        }
        None => (text, None),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_the_documentation_is_the_one_that_the_schema_makes() {
        assert!(
            include_str!("../../docs/manifest.md") == page(),
            "docs/manifest.md is out of date: cargo run -- schema --markdown > docs/manifest.md"
        );
    }

    /// Every key of every object, with its name and schema.
    fn keys<'v>(schema: &'v Value, found: &mut Vec<(&'v str, &'v Value, bool)>) {
        match schema {
            Value::Object(object) => {
                let must = object.get("required").and_then(Value::as_array);
                for (key, property) in
                    object.get("properties").and_then(Value::as_object).into_iter().flatten()
                {
                    let must = must.is_some_and(|must| must.iter().any(|one| one == key.as_str()));
                    found.push((key, property, must));
                }
                object.iter().filter(|(key, _)| *key != "allOf").for_each(|(_, value)| keys(value, found));
            }
            Value::Array(all) => all.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }

    #[test]
    fn the_default_that_a_description_states_is_the_one_that_counts() {
        let schema = plain();
        let mut found = Vec::new();
        keys(&schema, &mut found);
        let mut compared = 0;
        for (key, property, must) in found {
            let stated = prose(property).1;
            match property.get("default") {
                Some(Value::Object(_)) => {}
                Some(Value::Array(all)) if all.is_empty() => {
                    assert!(stated.is_some(), "{key} states no default");
                }
                Some(default) => {
                    let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
                    let default = default.strip_suffix(".0").unwrap_or(&default);
                    let stated = stated.unwrap_or_else(|| panic!("{key} states no default"));
                    let stated = stated.trim_matches('`').split(',').next().unwrap_or_default();
                    assert_eq!(stated, if default.is_empty() { "empty" } else { default }, "{key}");
                    compared += 1;
                }
                None => assert!(
                    must || stated.is_some() || property.get("$ref").is_some() || key == "parameters",
                    "{key}"
                ),
            }
        }
        assert!(compared > 25, "{compared}");
    }

    #[test]
    fn every_key_and_word_is_on_the_page() {
        let (page, schema) = (page(), plain());
        let mut found = Vec::new();
        keys(&schema, &mut found);
        assert!(found.len() > 100, "{}", found.len());
        for (key, ..) in found {
            assert!(page.contains(&format!("| `{key}` |")), "{key}");
        }
        for definition in schema["$defs"].as_object().unwrap().values() {
            for word in definition.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
                if let Some(word) = word.get("const").and_then(Value::as_str) {
                    assert!(page.contains(&format!("| `{word}` |")), "{word}");
                }
            }
        }
    }
}
