//! [`TaskEntry`]: one task, or one for each item of a loop.

use std::{ffi::OsStr, path::PathBuf, time::Duration};

use phalanx_actors::{
    agent::{Capability, InvalidName, MAX_NAME_BYTES, Priority, TaskId},
    coordinator::TaskType,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Body,
    startup::{one_second, thirty_seconds},
};
use crate::manifest::{
    MAX_AGENTS,
    decode::{At, Decode, Decoder, Fields, Spanned},
    fault::{Code, quote},
    marks::{Outside, TaskMark, section},
    schema::{DurationText, NameText, PriorityWord},
    template::{INDEX, PATH, item_text},
    values::{Positive, write_duration},
};

/// What one entry makes many tasks from, by its one key.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ForEach {
    /// One task for each regular file below a directory, in the order of their paths; `{path}` stands for the path.
    FileBelow(#[schemars(length(min = 1))] PathBuf),
    /// So many tasks, 1 to 10000000; `{index}` stands for the number, from 0.
    Count(#[schemars(range(min = 1, max = 10_000_000))] u64),
}

impl ForEach {
    /// What stands for the item in the id and in the body.
    pub const fn place(&self) -> &'static str {
        match self {
            Self::FileBelow(_) => PATH,
            Self::Count(_) => INDEX,
        }
    }
}

/// One task, or one for each item of a loop.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TaskEntry {
    /// Its id, unlike that of any other task; with `for_each` it holds the place of the item, as in `hash:{path}`.
    #[schemars(with = "NameText")]
    pub id: TaskId,
    /// Makes one task for each item. Default: a single task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEach>,
    /// The ids of the tasks that succeed before it starts, as the entries write them; `*` in one stands for any
    /// text, so `hash:*` means all tasks of the entry `hash:{path}`. Default: none.
    #[schemars(default, with = "Vec<NameText>")]
    pub depends_on: Vec<TaskId>,
    /// The capabilities an agent must offer to get it, in addition to that of its body (`sha256` for `hash_file` and
    /// `combine_hashes`, `run` for the others). Default: none.
    #[schemars(default, with = "Vec<NameText>")]
    pub needs: Vec<Capability>,
    /// The ids of the start-up tasks that are ready before the first of it is handed out; one that is lazy runs then. Default:
    /// none.
    #[schemars(default, with = "Vec<NameText>")]
    pub uses: Vec<TaskId>,
    /// What sort of work it is. Default: work.
    #[serde(rename = "type")]
    #[schemars(default = "work")]
    pub task_type: TaskType,
    /// How urgent it is, low (1) to critical (5). Default: normal.
    #[schemars(default, with = "PriorityWord")]
    pub priority: Priority,
    /// How long one try may take. Default: 30s.
    #[schemars(default = "thirty_seconds", with = "DurationText")]
    #[serde(serialize_with = "write_duration")]
    pub timeout: Duration,
    /// How often it is tried again after a failure, 0 to 100. Default: 3.
    #[schemars(default = "three", range(max = 100))]
    pub retries: u32,
    /// How long it is expected to take; in simulated time it takes exactly that. Default: 1s.
    #[schemars(default = "one_second", with = "DurationText")]
    #[serde(serialize_with = "write_duration")]
    pub estimate: Duration,
    /// What it does.
    #[serde(rename = "do")]
    pub body: Body,
}

fn work() -> TaskType {
    TaskType::Work
}

fn three() -> u32 {
    3
}

impl TaskEntry {
    /// The id and the body of the task for one item of the loop. Whatever the item holds, the id is a good one:
    /// control characters are written as escapes, and an id that gets too long keeps the end of the item and a hash.
    ///
    /// # Errors
    /// The rest of the id leaves no room for an item.
    ///
    /// # Examples
    /// ```
    /// use phalanx::manifest::{Manifest, Variables};
    /// let text = r#"{"name": "n", "agents": [{"kind": "hasher"}], "tasks": [
    ///     {"id": "hash:{path}", "for_each": {"file_below": "src"}, "do": {"hash_file": {"path": "{path}"}}}]}"#;
    /// let manifest = Manifest::parse(text, "swarm.json", &Variables::default()).unwrap();
    /// let (id, _body) = manifest.tasks[0].for_item("src/lib.rs".as_ref()).unwrap();
    /// assert_eq!(id.as_str(), "hash:src/lib.rs");
    /// ```
    pub fn for_item(&self, item: &OsStr) -> Result<(TaskId, Body), InvalidName> {
        let Some(place) = self.for_each.as_ref().map(ForEach::place) else {
            return Ok((self.id.clone(), self.body.clone()));
        };
        let room = (MAX_NAME_BYTES + place.len()).saturating_sub(self.id.as_str().len());
        let id = TaskId::new(self.id.as_str().replacen(place, &item_text(item, room), 1))?;
        Ok((id, self.body.for_item(place, item)))
    }

    /// The capabilities an agent must offer to get it: that of its body first.
    pub fn capabilities(&self) -> impl Iterator<Item = &str> {
        let own = self.body.capability();
        std::iter::once(own).chain(self.needs.iter().map(Capability::as_str).filter(move |need| *need != own))
    }
}

/// Reads the loop and notes the directory it needs.
fn read_loop(cx: &mut Decoder<'_>, at: At<'_>) -> Option<(ForEach, Option<Outside>)> {
    match cx.choice(at, &["file_below", "count"])? {
        ("count", at) => Some((ForEach::Count(cx.integer(at, 1, MAX_AGENTS)?), None)),
        (_, at) => {
            let directory = Spanned::<PathBuf>::decode(cx, at)?;
            Some((ForEach::FileBelow(directory.value.clone()), Some(Outside::Directory(directory))))
        }
    }
}

/// The places in an id must be those of the loop: just one with a loop, none without.
fn check_places(cx: &mut Decoder<'_>, id: &Spanned<TaskId>, place: Option<&str>) {
    let text = id.value.as_str();
    let known = place.map_or(0, |place| text.matches(place).count());
    let others =
        [INDEX, PATH].into_iter().filter(|other| Some(*other) != place).find(|other| text.contains(other));
    let (message, help) = match (place, known, others) {
        (_, _, Some(other)) => (
            format!("the id {} holds {other}, which nothing fills", quote(text)),
            place.map_or_else(
                || "add \"for_each\": {\"file_below\": \"directory\"} for {path}, {\"count\": 10} for {index}".to_owned(),
                |place| format!("write {place} for the item of this loop"),
            ),
        ),
        (Some(place), 0, None) => (
            format!("the id {} is the same for every item of the loop", quote(text)),
            format!("put {place} into it, as in \"{}:{place}\"", text.chars().take(20).collect::<String>()),
        ),
        (Some(place), 2.., None) => {
            (format!("the id {} holds {place} more than once", quote(text)), "keep one of them".to_owned())
        }
        _ => return,
    };
    cx.fault(Code::Conflict, id.span.clone(), message, help);
}

impl Decode for TaskEntry {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "a task")?;
        let id = fields.required::<Spanned<TaskId>>(cx, "id", "\"combine\"");
        let for_each = match fields.take("for_each") {
            Some(at) => read_loop(cx, at).map(Some),
            None => Some(None),
        };
        let depends_on = fields.or::<Vec<Spanned<TaskId>>>(cx, "depends_on", Vec::new());
        let needs = fields.or::<Vec<Spanned<Capability>>>(cx, "needs", Vec::new());
        let uses = fields.or::<Vec<Spanned<TaskId>>>(cx, "uses", Vec::new());
        let task_type = fields.or(cx, "type", work());
        let priority = fields.or(cx, "priority", Priority::Normal);
        let timeout = fields.or(cx, "timeout", Positive(thirty_seconds()));
        let retries = fields.integer(cx, "retries", (0, 100), three());
        let estimate = fields.or(cx, "estimate", one_second());
        let body = fields
            .must(cx, "do", "{\"hash_file\": {\"path\": \"{path}\"}}")
            .and_then(|at| Body::read(cx, at, &Body::KEYS).map(|(body, outside)| (body, outside, at.span())));
        fields.close(cx);
        let (depends_on, needs) = (depends_on.unwrap_or_default(), needs.unwrap_or_default());
        let uses = uses.unwrap_or_default();
        cx.distinct(&uses, "uses");
        cx.distinct(&depends_on, "depends_on");
        cx.distinct(&needs, "needs");
        if let (Some((Body::CombineHashes(_), _, span)), true) = (&body, depends_on.is_empty()) {
            let message =
                "`combine_hashes` combines the hashes of the tasks it depends on, but there are none";
            cx.fault(Code::Conflict, span.clone(), message, "add \"depends_on\": [\"hash:*\"]");
        }
        match &id {
            Some(id) => {
                if let Some(for_each) = &for_each {
                    check_places(cx, id, for_each.as_ref().map(|(for_each, _)| for_each.place()));
                }
                let mut outside = body.as_ref().map(|(_, outside, _)| outside.clone()).unwrap_or_default();
                outside.extend(for_each.iter().flatten().filter_map(|(_, outside)| outside.clone()));
                let body = body.as_ref().map(|(body, _, span)| (body.capability(), span.clone()));
                let count = match &for_each {
                    Some(Some((ForEach::Count(count), _))) => *count,
                    _ => 1,
                };
                let (id, depends_on, needs) = (id.clone(), depends_on.clone(), needs.clone());
                let uses = uses.clone();
                cx.marks.tasks.push(TaskMark { id, depends_on, needs, uses, body, outside, count });
            }
            None => cx.marks.incomplete.push(section::TASKS),
        }
        Some(Self {
            id: id?.value,
            for_each: for_each?.map(|(for_each, _)| for_each),
            depends_on: depends_on.into_iter().map(|on| on.value).collect(),
            needs: needs.into_iter().map(|need| need.value).collect(),
            uses: uses.into_iter().map(|used| used.value).collect(),
            task_type: task_type?,
            priority: priority?,
            timeout: timeout?.0,
            retries: retries?,
            estimate: estimate?,
            body: body?.0,
        })
    }
}
