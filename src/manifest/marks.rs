//! [`Marks`]: the names a manifest gives and uses, with their places, for the checks across its parts.
//!
//! The typed manifest has no positions, so that two manifests that say the same are equal. The marks have them, and
//! are there even for parts that are faulty elsewhere: a task with a wrong timeout still is the task others depend on.

use std::{fmt::Display, hash::Hash, path::PathBuf};

use indexmap::IndexMap;
use phalanx_actors::{
    agent::{AgentId, Capability, GroupName, ResourceName, TaskId, TopicFilter, TopicName},
    initializer::Phase,
};

use super::{
    decode::{Decoder, Spanned},
    fault::{Code, quote},
    model::KindWord,
    template::IdTemplate,
};

use std::ops::Range;

/// Names of the parts of a manifest, for [`Marks::incomplete`].
pub(super) mod section {
    pub(in crate::manifest) const STARTUP: &str = "start-up task";
    pub(in crate::manifest) const RESOURCES: &str = "resource";
    pub(in crate::manifest) const TASKS: &str = "task";
    pub(in crate::manifest) const AGENTS: &str = "agent";
    pub(in crate::manifest) const GROUPS: &str = "group";
    pub(in crate::manifest) const TOPICS: &str = "topic";
}

/// Something of the outside world that a body needs.
#[derive(Debug, Clone)]
pub(super) enum Outside {
    /// A program, and the directory it is started in.
    Program { program: Spanned<String>, within: Option<PathBuf> },
    /// A file to read.
    File(Spanned<PathBuf>),
    /// A directory.
    Directory(Spanned<PathBuf>),
}

/// A start-up task.
#[derive(Debug)]
pub(super) struct StartupMark {
    pub(super) id: Spanned<TaskId>,
    pub(super) phase: Option<Phase>,
    pub(super) depends_on: Vec<Spanned<TaskId>>,
    pub(super) after_phases: Vec<Spanned<Phase>>,
    pub(super) needs: Vec<(Spanned<ResourceName>, u64)>,
    pub(super) lazy: bool,
    /// Whether those that depend on it wait for it.
    pub(super) waited_for: bool,
    pub(super) outside: Vec<Outside>,
}

/// A task, or as many as its loop makes.
#[derive(Debug)]
pub(super) struct TaskMark {
    pub(super) id: Spanned<TaskId>,
    pub(super) depends_on: Vec<Spanned<TaskId>>,
    pub(super) needs: Vec<Spanned<Capability>>,
    /// The start-up tasks it uses.
    pub(super) uses: Vec<Spanned<TaskId>>,
    /// The capability its body needs, and where the body stands.
    pub(super) body: Option<(&'static str, Range<usize>)>,
    pub(super) outside: Vec<Outside>,
    pub(super) count: u64,
}

/// The agents of one entry.
#[derive(Debug)]
pub(super) struct AgentMark {
    pub(super) id: Spanned<IdTemplate>,
    pub(super) kind: KindWord,
    pub(super) count: u64,
    pub(super) count_span: Range<usize>,
    pub(super) capabilities: Vec<Capability>,
}

/// A group.
#[derive(Debug)]
pub(super) struct GroupMark {
    pub(super) name: Spanned<GroupName>,
    pub(super) parent: Option<Spanned<GroupName>>,
}

/// All names given and used.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) startup: Vec<StartupMark>,
    /// How much there is of what start-up tasks share.
    pub(super) resources: Vec<(Spanned<ResourceName>, u64)>,
    /// Where start-up tasks say how they are undone.
    pub(super) undos: Vec<Range<usize>>,
    pub(super) tasks: Vec<TaskMark>,
    pub(super) agents: Vec<AgentMark>,
    pub(super) groups: Vec<GroupMark>,
    pub(super) topics: Vec<Spanned<TopicFilter>>,
    pub(super) handlers: Vec<Spanned<String>>,
    pub(super) topics_used: Vec<Spanned<TopicName>>,
    pub(super) groups_used: Vec<Spanned<GroupName>>,
    pub(super) agents_used: Vec<Spanned<AgentId>>,
    pub(super) kinds_used: Vec<Spanned<KindWord>>,
    pub(super) capabilities_used: Vec<Spanned<Capability>>,
    /// The keys of the supervision read last that say how often and how late agents are restarted.
    pub(super) restart_keys: Vec<(&'static str, Range<usize>)>,
    /// Where agents are given a priority.
    pub(super) priorities: Vec<Range<usize>>,
    /// Whether a topic chooses by the priority of its subscribers.
    pub(super) chooses_by_priority: bool,
    /// Where the subscribers of the topic being read want a replay.
    pub(super) replays: Vec<Range<usize>>,
    /// Parts with an entry whose name cannot be read: what refers to them cannot be called unknown.
    pub(super) incomplete: Vec<&'static str>,
}

impl Decoder<'_> {
    /// Notes every value that stands twice in a list.
    pub(super) fn distinct<T: Hash + Eq + Display>(&mut self, all: &[Spanned<T>], of: &str) {
        let mut seen: IndexMap<&T, usize> = IndexMap::with_capacity(all.len());
        for one in all {
            match seen.get(&one.value) {
                Some(first) => {
                    let line = self.line(*first);
                    let message = format!(
                        "{} stands twice in `{of}`, first on line {line}",
                        quote(&one.value.to_string())
                    );
                    self.fault(Code::Duplicate, one.span.clone(), message, "remove it");
                }
                None => _ = seen.insert(&one.value, one.span.start),
            }
        }
    }
}
