//! [`Body`]: what a task does.

use std::{collections::BTreeMap, ffi::OsStr, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;

use crate::manifest::{
    decode::{At, Decode, Decoder, Fields, Spanned},
    marks::Outside,
    schema::DurationText,
    values::{Filled, HttpUrl, Positive, write_duration},
};

/// What a task does, by its one key.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// Runs a program to its end; it succeeds with exit code 0.
    Run(Run),
    /// Waits until a TCP port accepts connections.
    WaitForPort(WaitForPort),
    /// Waits until an HTTP server answers well.
    WaitForHttp(WaitForHttp),
    /// Waits until a file or a directory is there.
    WaitForFile(WaitForFile),
    /// Reads a file whole.
    ReadFile(ReadFile),
    /// Takes the SHA-256 of a file. Not at start-up.
    HashFile(HashFile),
    /// Takes the SHA-256 of the hashes of the tasks it depends on. Not at start-up.
    CombineHashes(CombineHashes),
    /// Lets time pass.
    Sleep(Sleep),
}

/// Runs a program to its end.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Run {
    /// The program: a name to look up on PATH, or a path.
    #[schemars(length(min = 1))]
    pub program: String,
    /// Its arguments. Default: none.
    #[schemars(default)]
    pub arguments: Vec<String>,
    /// The directory to run it in. Default: that of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// Environment variables to add to those of the host. Default: none.
    #[schemars(default)]
    pub environment: BTreeMap<String, String>,
}

/// Waits until a TCP port accepts connections.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct WaitForPort {
    /// The host name or address. Default: 127.0.0.1.
    #[schemars(default = "localhost", length(min = 1))]
    pub host: String,
    /// The port, 1 to 65535.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// The time between two tries. Default: 50ms.
    #[schemars(default = "fifty_milliseconds", with = "DurationText")]
    #[serde(serialize_with = "write_duration")]
    pub every: Duration,
}

/// Waits until an HTTP server answers well. Each try takes a second at most; redirections are not followed.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct WaitForHttp {
    /// What to get, such as `http://127.0.0.1:8080/health`; without TLS.
    #[schemars(regex(pattern = "^http://.+"))]
    pub url: String,
    /// The status that counts as well, 100 to 599. Default: any from 200 to 399.
    #[schemars(range(min = 100, max = 599))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The time between two tries. Default: 50ms.
    #[schemars(default = "fifty_milliseconds", with = "DurationText")]
    #[serde(serialize_with = "write_duration")]
    pub every: Duration,
}

/// Waits until a file or a directory is there.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct WaitForFile {
    /// The file.
    #[schemars(length(min = 1))]
    pub path: PathBuf,
    /// The time between two looks. Default: 50ms.
    #[schemars(default = "fifty_milliseconds", with = "DurationText")]
    #[serde(serialize_with = "write_duration")]
    pub every: Duration,
}

/// Reads a file whole.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ReadFile {
    /// The file.
    #[schemars(length(min = 1))]
    pub path: PathBuf,
}

/// Takes the SHA-256 of a file.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct HashFile {
    /// The file.
    #[schemars(length(min = 1))]
    pub path: PathBuf,
}

/// Takes the SHA-256 over a line `<hash>  <path>` for each file that the tasks it depends on hashed, in the order of the
/// bytes of the paths, which is what `sha256sum` prints for them.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct CombineHashes {}

/// Lets time pass.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Sleep {
    /// How long.
    #[serde(rename = "for", serialize_with = "write_duration")]
    #[schemars(with = "DurationText")]
    pub duration: Duration,
}

fn localhost() -> String {
    "127.0.0.1".to_owned()
}

fn fifty_milliseconds() -> Duration {
    Duration::from_millis(50)
}

impl Body {
    /// The keys of all bodies.
    pub(crate) const KEYS: [&'static str; 8] = [
        "run",
        "wait_for_port",
        "wait_for_http",
        "wait_for_file",
        "read_file",
        "hash_file",
        "combine_hashes",
        "sleep",
    ];
    /// The keys of the bodies that a start-up task may have.
    pub(crate) const STARTUP_KEYS: [&'static str; 6] =
        ["run", "wait_for_port", "wait_for_http", "wait_for_file", "read_file", "sleep"];

    /// The key as a manifest has it.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::WaitForPort(_) => "wait_for_port",
            Self::WaitForHttp(_) => "wait_for_http",
            Self::WaitForFile(_) => "wait_for_file",
            Self::ReadFile(_) => "read_file",
            Self::HashFile(_) => "hash_file",
            Self::CombineHashes(_) => "combine_hashes",
            Self::Sleep(_) => "sleep",
        }
    }

    /// The capability that an agent needs to do it: `sha256` for hashes, `run` for the rest.
    pub const fn capability(&self) -> &'static str {
        match self {
            Self::HashFile(_) | Self::CombineHashes(_) => "sha256",
            Self::Run(_)
            | Self::WaitForPort(_)
            | Self::WaitForHttp(_)
            | Self::WaitForFile(_)
            | Self::ReadFile(_)
            | Self::Sleep(_) => "run",
        }
    }

    /// The body for one item of a loop: every `place` in its texts is replaced by the item. A path that is nothing
    /// but the place becomes the item byte for byte, even where it is no UTF-8.
    pub(crate) fn for_item(&self, place: &str, item: &OsStr) -> Self {
        let text = |text: &str| text.replace(place, &item.to_string_lossy());
        let path = |path: &PathBuf| match path.to_str() {
            Some(whole) if whole == place => PathBuf::from(item),
            Some(whole) => PathBuf::from(text(whole)),
            None => path.clone(),
        };
        match self {
            Self::Run(run) => Self::Run(Run {
                program: text(&run.program),
                arguments: run.arguments.iter().map(|argument| text(argument)).collect(),
                directory: run.directory.as_ref().map(path),
                environment: run.environment.iter().map(|(key, value)| (key.clone(), text(value))).collect(),
            }),
            Self::WaitForHttp(wait) => Self::WaitForHttp(WaitForHttp { url: text(&wait.url), ..*wait }),
            Self::WaitForFile(wait) => Self::WaitForFile(WaitForFile { path: path(&wait.path), ..*wait }),
            Self::ReadFile(read) => Self::ReadFile(ReadFile { path: path(&read.path) }),
            Self::HashFile(hash) => Self::HashFile(HashFile { path: path(&hash.path) }),
            Self::WaitForPort(_) | Self::CombineHashes(_) | Self::Sleep(_) => self.clone(),
        }
    }

    /// Reads a body, and notes what of the outside world it needs.
    pub(in crate::manifest) fn read(
        cx: &mut Decoder<'_>,
        at: At<'_>,
        known: &[&'static str],
    ) -> Option<(Self, Vec<Outside>)> {
        let (key, at) = cx.choice(at, known)?;
        let mut outside = Vec::new();
        let body = match key {
            "run" => {
                let mut fields = Fields::open(cx, at, "`run`")?;
                let program = fields.required::<Spanned<Filled>>(cx, "program", "\"sh\"");
                let arguments = fields.or(cx, "arguments", Vec::new());
                let directory = fields.optional::<Spanned<PathBuf>>(cx, "directory");
                let environment = fields.or(cx, "environment", BTreeMap::new());
                fields.close(cx);
                let (program, directory, environment) = (program?, directory?, environment?);
                if let Some(directory) = &directory {
                    outside.push(Outside::Directory(directory.clone()));
                }
                if !environment.contains_key("PATH") {
                    let within = directory.as_ref().map(|directory| directory.value.clone());
                    let program = Spanned { value: program.value.0.clone(), span: program.span.clone() };
                    outside.push(Outside::Program { program, within });
                }
                let directory = directory.map(|directory| directory.value);
                Self::Run(Run { program: program.value.0, arguments: arguments?, directory, environment })
            }
            "wait_for_port" => {
                let mut fields = Fields::open(cx, at, "`wait_for_port`")?;
                let host = fields.or(cx, "host", Filled(localhost()));
                let port =
                    fields.must(cx, "port", "8080").and_then(|at| cx.integer(at, 1, u64::from(u16::MAX)));
                let every = fields.or(cx, "every", Positive(fifty_milliseconds()));
                fields.close(cx);
                Self::WaitForPort(WaitForPort { host: host?.0, port: port?, every: every?.0 })
            }
            "wait_for_http" => {
                let mut fields = Fields::open(cx, at, "`wait_for_http`")?;
                let url = fields.required::<HttpUrl>(cx, "url", "\"http://127.0.0.1:8080/health\"");
                let status = fields.take("status").map(|at| cx.integer(at, 100, 599));
                let every = fields.or(cx, "every", Positive(fifty_milliseconds()));
                fields.close(cx);
                let status = match status {
                    Some(status) => Some(status?),
                    None => None,
                };
                Self::WaitForHttp(WaitForHttp { url: url?.0, status, every: every?.0 })
            }
            "wait_for_file" => {
                let mut fields = Fields::open(cx, at, "`wait_for_file`")?;
                let path = fields.required::<PathBuf>(cx, "path", "\"/run/ready\"");
                let every = fields.or(cx, "every", Positive(fifty_milliseconds()));
                fields.close(cx);
                Self::WaitForFile(WaitForFile { path: path?, every: every?.0 })
            }
            "read_file" | "hash_file" => {
                let mut fields =
                    Fields::open(cx, at, if key == "read_file" { "`read_file`" } else { "`hash_file`" })?;
                let path = fields.required::<Spanned<PathBuf>>(cx, "path", "\"config.json\"");
                fields.close(cx);
                let path = path?;
                outside.push(Outside::File(path.clone()));
                let path = path.value;
                if key == "read_file" {
                    Self::ReadFile(ReadFile { path })
                } else {
                    Self::HashFile(HashFile { path })
                }
            }
            "combine_hashes" => {
                Fields::open(cx, at, "`combine_hashes`")?.close(cx);
                Self::CombineHashes(CombineHashes {})
            }
            "sleep" => {
                let mut fields = Fields::open(cx, at, "`sleep`")?;
                let duration = fields.required(cx, "for", "\"1s\"");
                fields.close(cx);
                Self::Sleep(Sleep { duration: duration? })
            }
            other => unreachable!("`{other}` is none of Body::KEYS"),
        };
        Some((body, outside))
    }
}

impl Decode for Body {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        Self::read(cx, at, &Self::KEYS).map(|(body, _)| body)
    }
}
