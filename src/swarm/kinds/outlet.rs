//! [`Outlet`]: how notices go out on a topic, as its entry of the manifest says.
//!
//! ```text
//! to all        publish         waits for room where there is none
//! to_one        unicast         by the strategy; waits for room where all are full
//! confirm       confirm         a note for each subscriber that did not confirm one
//! ```
//!
//! **Invariant.** A notice goes out, or comes back to be tried again, or a note says why it does neither.

use std::time::Duration;

use phalanx_actors::{
    agent::{AgentId, Reason, TopicName},
    inbox::{Batching, SendOptions},
    router::{
        Chosen, ConfirmError, ConfirmOptions, Confirmed, PublishError, Publisher, Selector, Strategy,
        Unicast, UnicastError, UnicastFault,
    },
};

use super::Notice;
use crate::{
    manifest::{Batch, TopicEntry},
    swarm::world::Env,
};

/// How long a notice waits at least before it is tried again.
const PAUSE: Duration = Duration::from_millis(1);

/// Publishes notices on one topic.
#[derive(Clone)]
pub(in crate::swarm) struct Outlet {
    env: Env,
    pub(in crate::swarm) topic: TopicName,
    publisher: Publisher<Notice>,
    to_one: Option<Strategy>,
    confirm: Option<ConfirmOptions>,
}

impl Outlet {
    /// Opens the topic, with what the manifest says of it.
    pub(in crate::swarm) fn open(env: &Env, topic: &TopicName) -> Self {
        let mut publisher = env.host.multicast(&Selector::Topic(topic.clone()));
        let entry = env.world.manifest.topics.iter().find(|entry| entry.name.as_str() == topic.as_str());
        let (mut to_one, mut confirm) = (None, None);
        if let Some(TopicEntry { keep_last, batch, to_one: strategy, confirm: confirmed, .. }) = entry {
            if *keep_last > 0 {
                publisher = publisher.keep_last(*keep_last as usize);
            }
            if let Some(batch) = batch {
                publisher = publisher.batching(batching(batch));
            }
            to_one = *strategy;
            confirm = confirmed
                .as_ref()
                .map(|confirm| ConfirmOptions::new().retries(confirm.retries).ttl(confirm.ttl));
        }
        Self { env: env.clone(), topic: topic.clone(), publisher, to_one, confirm }
    }

    /// Sends a notice now, or gives it back when there is no room for it.
    ///
    /// # Errors
    /// The notice.
    pub(in crate::swarm) fn send(&self, notice: Notice, by: Option<&AgentId>) -> Result<(), Notice> {
        let options = said(by);
        if let Some(strategy) = self.to_one {
            return match self.unicast(&notice, strategy, by) {
                Some(unicast) => self.went(self.publisher.unicast_with(notice, unicast)),
                None => Ok(()),
            };
        }
        let Some(confirm) = &self.confirm else {
            return match self.publisher.publish_with(notice, options) {
                // Refused for good only by an intervention, which the ledger counts.
                Err(PublishError { reason: Reason::Congested, message: Some(notice), .. }) => Err(notice),
                Ok(_) | Err(_) => Ok(()),
            };
        };
        match self.publisher.confirm_with(notice, confirm.clone().send(options)) {
            Ok(confirmed) => _ = actix_rt::spawn(note_missed(self.clone(), confirmed)),
            Err(ConfirmError::Closed { .. }) => {}
            Err(refused) if refused.is_transient() => return refused.into_message().map_or(Ok(()), Err),
            Err(refused) => self.note("unconfirmed", format!("a notice was not confirmed: {refused}")),
        }
        Ok(())
    }

    /// Sends a notice that was given back, as soon as there is room for it.
    pub(in crate::swarm) async fn send_waiting(&self, mut notice: Notice, by: Option<AgentId>) {
        if self.to_one.is_none() && self.confirm.is_none() {
            // Refused for good only by an intervention, which the ledger counts.
            _ = self.publisher.publish_waiting(notice, said(by.as_ref())).await;
            return;
        }
        if let Some(strategy) = self.to_one {
            if let Some(unicast) = self.unicast(&notice, strategy, by.as_ref()) {
                _ = self.went(self.publisher.unicast_waiting(notice, unicast).await);
            }
            return;
        }
        loop {
            self.publisher.room(&said(by.as_ref())).await;
            // There may be room and yet too many unconfirmed: others must come to their turn.
            self.env.host.sleep(PAUSE).await;
            match self.send(notice, by.as_ref()) {
                Ok(()) => return,
                Err(back) => notice = back,
            }
        }
    }

    /// To whom a notice goes, where that can be said; else a note says why not.
    fn unicast(&self, notice: &Notice, strategy: Strategy, by: Option<&AgentId>) -> Option<Unicast> {
        let unicast = Unicast::new().by(strategy).key(&*notice.from).options(said(by));
        if strategy != Strategy::Geographic {
            return Some(unicast);
        }
        let agent = by.and_then(|by| self.env.host.agent(by).ok());
        let Some(place) = agent.and_then(|agent| agent.listing().location) else {
            let by = by.map_or("the coordinator", AgentId::as_str);
            let topic = &self.topic;
            self.note(
                &format!("nowhere/{by}"),
                format!("{by} is nowhere, so nobody on {topic} is near: give it a \"location\", or {topic} another \"to_one\""),
            );
            return None;
        };
        Some(unicast.near(place.latitude, place.longitude))
    }

    /// Whether a notice went out; gives it back when there will be room for it.
    fn went(&self, sent: Result<Chosen, UnicastError<Notice>>) -> Result<(), Notice> {
        match sent {
            Ok(_) => Ok(()),
            // Who is not there may never come, and those who are full will have room.
            Err(refused) if matches!(refused.fault, UnicastFault::Refused { reason, .. } if reason.is_transient()) => {
                refused.message.map_or(Ok(()), Err)
            }
            Err(refused) => {
                self.note("nobody", format!("a notice went to nobody: {refused}"));
                Ok(())
            }
        }
    }

    fn note(&self, about: &str, note: String) {
        self.env.world.tally.note_once(&format!("outlet/{}/{about}", self.topic), note);
    }
}

fn said(by: Option<&AgentId>) -> SendOptions {
    by.map_or_else(SendOptions::new, |by| SendOptions::new().from(by))
}

fn batching(batch: &Batch) -> Batching {
    let batching = batch.size.map_or(Ok(Batching::adaptive()), Batching::fixed);
    batching.and_then(|batching| batching.linger(batch.linger)).expect("the manifest keeps to the bounds")
}

/// Waits for a receipt and names who did not confirm, each once.
async fn note_missed(outlet: Outlet, confirmed: Confirmed) {
    let receipt = confirmed.await;
    for row in receipt.missed() {
        let (agent, topic) = (&row.agent, &outlet.topic);
        outlet.note(
            &format!("missed/{agent}"),
            format!("{agent} did not confirm a notice on {topic}: {}", row.outcome),
        );
    }
}
