//! [`Selector`]: whom a multicast is for. Pure.
//!
//! ```text
//! any [ any [ kind a, agents y ], topic t, agents x, kind a ]   =   any [ topic t, kind a, agents x, y ]
//! ```
//!
//! **Invariant.** Lists and unions are never empty, hold nothing twice, and are in order; a union holds no union, one list of
//! ids at most, and two parts at least. So what leads to the same agents by the same parts is equal, and shares a route.

use std::{fmt, hash::Hasher, sync::Arc};

use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};

use crate::agent::{AgentId, Capability, GroupName, Kind, Listing, TopicName};

/// Whom a multicast is for.
///
/// # Examples
/// ```
/// use phalanx_actors::{agent::{AgentId, Kind, TopicName}, router::Selector};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (a, b) = (AgentId::new("a")?, AgentId::new("b")?);
/// let traders = Selector::Kind(Kind::new("trader")?);
/// let all = Selector::any([traders, Selector::Topic(TopicName::new("news")?), Selector::agents([b, a])?])?;
/// assert_eq!(all.to_string(), "any of topic news, kind trader, agents a, b");
/// assert!(Selector::any([]).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Selector {
    /// All agents that accept the message type.
    Everyone,
    /// Those that subscribed to the topic, or to a filter that matches it.
    Topic(TopicName),
    /// Those whose cards put them into the group.
    Group(GroupName),
    /// Those that offer the capability.
    Capability(Capability),
    /// Those of this kind.
    Kind(Kind),
    /// Those of these ids, as far as they exist; made by [`Selector::agents`].
    Agents(AgentIds),
    /// Those that any of several selectors leads to, each once; made by [`Selector::any`].
    Any(Union),
}

/// A list or a union that leads to nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EmptySelector {
    /// A list of ids without an id.
    #[error("the list of agents is empty: name at least one")]
    Agents,
    /// A union without a part.
    #[error("the union is empty: give it at least one selector")]
    Any,
}

/// Ids of agents, in order and each once; at least one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentIds(Arc<[AgentId]>);

impl AgentIds {
    /// The ids, in order.
    pub fn as_slice(&self) -> &[AgentId] {
        &self.0
    }

    /// Whether this id is among them.
    pub fn contains(&self, id: &AgentId) -> bool {
        self.0.binary_search(id).is_ok()
    }

    fn new(ids: impl IntoIterator<Item = AgentId>) -> Result<Self, EmptySelector> {
        let mut ids: Vec<_> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() { Err(EmptySelector::Agents) } else { Ok(Self(ids.into())) }
    }
}

/// Several selectors, none of which is a union; at least two.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Union(Arc<[Selector]>);

impl Union {
    /// Its parts, in order.
    pub fn parts(&self) -> &[Selector] {
        &self.0
    }
}

impl Selector {
    /// Those of these ids. Ids may come twice and in any order.
    ///
    /// # Errors
    /// [`EmptySelector`] when there is no id.
    pub fn agents(ids: impl IntoIterator<Item = AgentId>) -> Result<Self, EmptySelector> {
        AgentIds::new(ids).map(Self::Agents)
    }

    /// Those that any of the parts leads to, each once. Unions among the parts are dissolved and lists of ids are joined; what
    /// is left alone stands for itself. Everyone takes in all other parts but the list of ids, which may name agents that do
    /// not exist.
    ///
    /// # Errors
    /// [`EmptySelector`] when there is no part.
    pub fn any(parts: impl IntoIterator<Item = Selector>) -> Result<Self, EmptySelector> {
        let (mut flat, mut ids) = (Vec::new(), Vec::new());
        let mut take = |part: Selector| match part {
            Selector::Agents(list) => ids.extend(list.0.iter().cloned()),
            other => flat.push(other),
        };
        for part in parts {
            match part {
                Selector::Any(union) => union.0.iter().cloned().for_each(&mut take),
                other => take(other),
            }
        }
        if flat.contains(&Selector::Everyone) {
            flat = vec![Selector::Everyone];
        }
        flat.sort_unstable();
        flat.dedup();
        flat.extend(Selector::agents(ids));
        match flat.len() {
            0 => Err(EmptySelector::Any),
            1 => Ok(flat.remove(0)),
            _ => Ok(Self::Any(Union(flat.into()))),
        }
    }

    /// What it is made of: itself, unless it is a union.
    pub fn parts(&self) -> &[Selector] {
        match self {
            Selector::Any(union) => union.parts(),
            one => std::slice::from_ref(one),
        }
    }

    /// The ids that it names.
    pub(crate) fn ids(&self) -> &[AgentId] {
        // The list comes last.
        match self.parts() {
            [.., Selector::Agents(ids)] => ids.as_slice(),
            _ => &[],
        }
    }

    /// The topics that it names.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &TopicName> {
        self.parts().iter().filter_map(|part| match part {
            Selector::Topic(topic) => Some(topic),
            _ => None,
        })
    }

    /// Whether an agent is meant for what it is, whatever it subscribed to.
    pub(crate) fn names(&self, id: &AgentId, listing: &Listing) -> bool {
        self.parts().iter().any(|part| match part {
            Selector::Everyone => true,
            Selector::Group(group) => listing.groups.contains(group),
            Selector::Capability(capability) => listing.capabilities.contains(capability),
            Selector::Kind(kind) => listing.kind == *kind,
            Selector::Agents(ids) => ids.contains(id),
            Selector::Topic(_) | Selector::Any(_) => false,
        })
    }
}

impl From<AgentId> for Selector {
    fn from(id: AgentId) -> Self {
        Self::Agents(AgentIds([id].into()))
    }
}

/// How many ids of a list are shown before the rest is only counted.
const SHOWN: usize = 8;

impl fmt::Display for AgentIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if self.0.len() > SHOWN { SHOWN / 2 } else { self.0.len() };
        for (at, id) in self.0[..shown].iter().enumerate() {
            write!(f, "{}{id}", if at == 0 { "" } else { ", " })?;
        }
        if shown == self.0.len() {
            return Ok(());
        }
        // Long lists that begin alike are told apart by a number made of all ids.
        let mut hasher = FxHasher::default();
        self.0.iter().for_each(|id| hasher.write(id.as_str().as_bytes()));
        write!(f, " and {} more ({:08x})", self.0.len() - shown, hasher.finish() >> 32)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Everyone => f.write_str("everyone"),
            Selector::Topic(name) => write!(f, "topic {name}"),
            Selector::Group(name) => write!(f, "group {name}"),
            Selector::Capability(name) => write!(f, "capability {name}"),
            Selector::Kind(name) => write!(f, "kind {name}"),
            Selector::Agents(ids) if ids.0.len() == 1 => write!(f, "agent {ids}"),
            Selector::Agents(ids) => write!(f, "agents {ids}"),
            Selector::Any(union) => {
                f.write_str("any of ")?;
                for (at, part) in union.0.iter().enumerate() {
                    write!(f, "{}{part}", if at == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
        }
    }
}

/// A selector as it is written and read.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    Everyone,
    Topic(TopicName),
    Group(GroupName),
    Capability(Capability),
    Kind(Kind),
    Agents(Vec<AgentId>),
    Any(Vec<Selector>),
}

impl From<Selector> for Written {
    fn from(selector: Selector) -> Self {
        match selector {
            Selector::Everyone => Written::Everyone,
            Selector::Topic(name) => Written::Topic(name),
            Selector::Group(name) => Written::Group(name),
            Selector::Capability(name) => Written::Capability(name),
            Selector::Kind(name) => Written::Kind(name),
            Selector::Agents(ids) => Written::Agents(ids.0.to_vec()),
            Selector::Any(union) => Written::Any(union.0.to_vec()),
        }
    }
}

impl TryFrom<Written> for Selector {
    type Error = EmptySelector;

    fn try_from(written: Written) -> Result<Self, EmptySelector> {
        Ok(match written {
            Written::Everyone => Selector::Everyone,
            Written::Topic(name) => Selector::Topic(name),
            Written::Group(name) => Selector::Group(name),
            Written::Capability(name) => Selector::Capability(name),
            Written::Kind(name) => Selector::Kind(name),
            Written::Agents(ids) => Selector::agents(ids)?,
            Written::Any(parts) => Selector::any(parts)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> AgentId {
        AgentId::new(text).unwrap()
    }

    fn kind(text: &str) -> Selector {
        Selector::Kind(Kind::new(text).unwrap())
    }

    fn topic(text: &str) -> Selector {
        Selector::Topic(TopicName::new(text).unwrap())
    }

    #[test]
    fn unions_and_lists_of_the_same_are_equal_however_they_are_nested_and_repeated() {
        let inner = Selector::any([kind("a"), Selector::from(id("y"))]).unwrap();
        let list = Selector::agents([id("x"), id("y"), id("x")]).unwrap();
        let one = Selector::any([inner.clone(), topic("t"), list.clone(), kind("a")]).unwrap();
        let other = Selector::any([list.clone(), topic("t"), kind("a")]).unwrap();
        assert_eq!(one, other);
        assert_eq!(one.parts(), [topic("t"), kind("a"), list.clone()]);
        assert_eq!(one.to_string(), "any of topic t, kind a, agents x, y");
        assert_eq!(
            Selector::any([kind("a"), kind("a")]),
            Ok(kind("a")),
            "what is left alone stands for itself"
        );
        assert_eq!(Selector::any([inner, Selector::Everyone, topic("t")]).unwrap().parts().len(), 2);
        assert_eq!(Selector::any([kind("a"), Selector::Everyone]), Ok(Selector::Everyone));
    }

    #[test]
    fn what_leads_to_nobody_is_refused_with_its_mend_also_when_it_is_read() {
        assert_eq!(Selector::agents([]), Err(EmptySelector::Agents));
        let error = Selector::any([]).unwrap_err();
        assert_eq!(error.to_string(), "the union is empty: give it at least one selector");
        for text in [r#"{"any":[]}"#, r#"{"agents":[]}"#, r#"{"any":[{"kind":"a"},{"any":[]}]}"#] {
            let error = serde_json::from_str::<Selector>(text).unwrap_err().to_string();
            assert!(error.contains("is empty"), "{text}: {error}");
        }
    }

    #[test]
    fn a_selector_is_read_as_it_was_written_and_put_in_order() {
        let union =
            Selector::any([topic("t"), kind("a"), Selector::agents([id("x"), id("y")]).unwrap()]).unwrap();
        for selector in [Selector::Everyone, topic("t"), Selector::from(id("x")), union.clone()] {
            let text = serde_json::to_string(&selector).unwrap();
            assert_eq!(serde_json::from_str::<Selector>(&text).unwrap(), selector, "{text}");
        }
        let text = r#"{"any":[{"agents":["y"]},{"any":[{"kind":"a"},{"topic":"t"}]},{"agents":["x","y"]}]}"#;
        assert_eq!(serde_json::from_str::<Selector>(text).unwrap(), union);
    }

    #[test]
    fn a_long_list_shows_its_first_ids_and_a_number_of_its_own() {
        let list = |last: &str| {
            let ids = (0..99).map(|number| id(&format!("a{number:02}")));
            Selector::agents(ids.chain([id(last)])).unwrap().to_string()
        };
        assert!(list("b").starts_with("agents a00, a01, a02, a03 and 96 more ("), "{}", list("b"));
        assert_ne!(list("b"), list("c"));
        assert_eq!(list("b"), list("b"));
    }
}
