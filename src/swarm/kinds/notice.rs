//! [`Notice`]: what built-in agents say to each other on topics.

use std::sync::Arc;

use actix::Message;
use phalanx_actors::agent::TopicName;
use serde_json::Value;

/// How often one notice is relayed; then it is let go, so that relays in a circle come to rest.
pub const MAX_RELAYS: u8 = 16;

/// The one type of message on the topics of a manifest. A copy for each recipient costs three counts, not the content.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Notice {
    /// The topic it was published on last.
    pub topic: TopicName,
    /// Who said it first: the id of an agent, or a part of the host.
    pub from: Arc<str>,
    /// What is said, for people.
    pub text: Arc<str>,
    /// The same as figures.
    pub data: Arc<Value>,
    /// How often it was relayed.
    pub relayed: u8,
}

impl Notice {
    /// A notice for a topic.
    pub fn new(topic: TopicName, from: &str, text: &str, data: Value) -> Self {
        Self { topic, from: from.into(), text: text.into(), data: Arc::new(data), relayed: 0 }
    }

    /// The same notice for another topic; none when it was relayed often enough.
    pub fn relayed_to(&self, topic: &TopicName) -> Option<Self> {
        let relayed = self.relayed + 1;
        (relayed <= MAX_RELAYS).then(|| Self { topic: topic.clone(), relayed, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_relayed_so_often_and_no_more() {
        let topic = TopicName::new("t").unwrap();
        let mut notice = Notice::new(topic.clone(), "ticker", "tick 1", Value::Null);
        let mut relayed = 0;
        while let Some(next) = notice.relayed_to(&topic) {
            (notice, relayed) = (next, relayed + 1);
        }
        assert_eq!(relayed, MAX_RELAYS);
    }
}
