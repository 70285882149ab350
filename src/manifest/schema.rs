//! [`schema`]: the JSON Schema of the manifest, made from the types of the model.

use std::borrow::Cow;

use phalanx_actors::agent::MAX_NAME_BYTES;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};

use super::{
    model::{Behaviour, Body, Counter, Hasher, KindWord, Logger, Manifest, Relay, Runner, Ticker},
    values::MAX_AMOUNT,
};

/// The JSON Schema of the manifest, draft 2020-12.
///
/// # Examples
/// ```
/// let schema = phalanx::manifest::schema();
/// assert_eq!(schema["properties"]["agents"]["type"], "array");
/// ```
pub fn schema() -> Value {
    let mut schema = plain();
    take_placeholders(&mut schema);
    let placeholder = json!({
        "description": "A text with `${name}` or `${name:-default}`, filled by `--set name=value` and then read as the value it stands for.",
        "type": "string",
        "pattern": "\\$\\{",
    });
    schema["$defs"]["Placeholder"] = placeholder;
    schema
}

/// The same without placeholders.
pub(super) fn plain() -> Value {
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    let mut schema = settings.into_generator().into_root_schema_for::<Manifest>().to_value();
    refuse_null(&mut schema);
    keep_prose(&mut schema);
    schema
}

/// Takes `null` out: a key without a value is left out.
fn refuse_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|one| one != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    object.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(any)) = object.get_mut("anyOf") {
                any.retain(|one| one != &json!({"type": "null"}));
                if let [Value::Object(one)] = any.as_slice() {
                    let one = one.clone();
                    object.shift_remove("anyOf");
                    object.extend(one);
                }
            }
            if object.get("default") == Some(&Value::Null) {
                object.shift_remove("default");
            }
            object.iter_mut().filter(|(key, _)| *key != "default").for_each(|(_, value)| refuse_null(value));
        }
        Value::Array(all) => all.iter_mut().for_each(refuse_null),
        _ => {}
    }
}

/// Takes out of descriptions what is for readers of the Rust documentation only: sections, and the ends of lines.
fn keep_prose(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(text) if key == "description" => {
                        let prose = text.split("\n\n# ").next().unwrap_or_default();
                        let paragraphs: Vec<_> =
                            prose.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
                        *text = paragraphs.join("\n\n");
                    }
                    _ => keep_prose(value),
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(keep_prose),
        _ => {}
    }
}

/// Lets every value that is not any text also be a text with a placeholder.
fn take_placeholders(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if is_restricted(object) {
                let inner = Value::Object(std::mem::take(object));
                let mut outer = Map::new();
                let mut inner = inner;
                for key in ["description", "default", "title"] {
                    if let Some(value) = inner.as_object_mut().and_then(|inner| inner.shift_remove(key)) {
                        outer.insert(key.to_owned(), value);
                    }
                }
                outer.insert("anyOf".to_owned(), json!([inner, {"$ref": "#/$defs/Placeholder"}]));
                *object = outer;
                return;
            }
            for (key, value) in object.iter_mut() {
                match key.as_str() {
                    "default" | "enum" | "const" | "examples" => {}
                    _ => take_placeholders(value),
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(take_placeholders),
        _ => {}
    }
}

/// Whether a schema is that of one value which is not any text: a number, a name, a duration, a word.
fn is_restricted(schema: &Map<String, Value>) -> bool {
    let is = |name: &str| match schema.get("type") {
        Some(Value::String(one)) => one == name,
        Some(Value::Array(several)) => several.iter().any(|one| one == name),
        _ => false,
    };
    let narrows = ["pattern", "maxLength", "enum", "const"].iter().any(|key| schema.contains_key(*key));
    let words = |key: &str| {
        schema.get(key).and_then(Value::as_array).is_some_and(|all| {
            all.iter().all(|one| one.get("const").is_some_and(Value::is_string) || one.get("enum").is_some())
        })
    };
    is("integer") || is("number") || (is("string") && narrows) || words("oneOf") || words("anyOf")
}

/// How a manifest writes a name.
pub(super) struct NameText;

impl JsonSchema for NameText {
    fn schema_name() -> Cow<'static, str> {
        "Name".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A name: 1 to 255 bytes without control characters and without white space at either end.",
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_NAME_BYTES,
            "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
        })
    }
}

/// How much of a resource.
pub(super) struct Amount;

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An amount of a resource, in whole units.",
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_AMOUNT,
        })
    }
}

/// How a manifest writes a duration.
pub(super) struct DurationText;

impl JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration: numbers with their units (ns, us, ms, s, m, h, d), at most 365 days.",
            "type": "string",
            "pattern": "^\\s*([0-9][0-9 ]*(\\.[0-9]+)?\\s*[a-zA-Zµ]+\\s*)+$",
            "examples": ["100us", "250ms", "5s", "2m", "1h 30m"],
        })
    }
}

/// How a manifest writes a priority.
pub(super) struct PriorityWord;

impl JsonSchema for PriorityWord {
    fn schema_name() -> Cow<'static, str> {
        "Priority".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "How urgent something is: a word, or its number from low (1) to critical (5).",
            "enum": ["low", "normal", "high", "urgent", "critical", 1, 2, 3, 4, 5],
            "type": ["string", "integer"],
        })
    }
}

/// The bodies that a start-up task may have.
pub(super) struct StartupBody;

impl JsonSchema for StartupBody {
    fn schema_name() -> Cow<'static, str> {
        "StartupBody".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Body::json_schema(generator);
        schema.insert("description".to_owned(), json!("What a start-up task does, by its one key."));
        if let Some(Value::Array(all)) = schema.get_mut("oneOf") {
            all.retain(|one| Body::STARTUP_KEYS.iter().any(|key| one["required"] == json!([key])));
        }
        schema
    }
}

/// Each kind with the parameters of its own.
impl JsonSchema for Behaviour {
    fn schema_name() -> Cow<'static, str> {
        "Behaviour".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rows = [
            (KindWord::Hasher, generator.subschema_for::<Hasher>(), false),
            (KindWord::Counter, generator.subschema_for::<Counter>(), false),
            (KindWord::Relay, generator.subschema_for::<Relay>(), true),
            (KindWord::Ticker, generator.subschema_for::<Ticker>(), true),
            (KindWord::Logger, generator.subschema_for::<Logger>(), false),
            (KindWord::Runner, generator.subschema_for::<Runner>(), false),
        ];
        let rules: Vec<Value> = rows
            .into_iter()
            .map(|(kind, parameters, must)| {
                let required = if must { json!(["parameters"]) } else { json!([]) };
                json!({
                    "if": {"properties": {"kind": {"const": kind.as_str()}}},
                    "then": {"properties": {"parameters": parameters}, "required": required},
                })
            })
            .collect();
        let mut kind = generator.subschema_for::<KindWord>();
        kind.insert("description".to_owned(), json!("What they do."));
        json_schema!({
            "type": "object",
            "properties": {
                "kind": kind,
                "parameters": {
                    "description": "The parameters of the kind; `counter` and `runner` have none.",
                    "type": "object",
                },
            },
            "required": ["kind"],
            "allOf": rules,
        })
    }
}
