//! The subscriptions of a manifest: those at the beginning, and those that come later.
//!
//! **Invariant.** Each subscription comes about once for each of its agents, or a note says why it did not.

use phalanx_actors::{
    agent::Kind,
    inbox::AgentHandle,
    router::{Selector, SubscribeOptions},
};
use tokio::task::JoinHandle;

use super::{kinds::Notice, world::Env};
use crate::{
    HostError,
    manifest::{Subscriber, Subscription, TopicEntry},
};

/// The subscriptions that are still to come.
pub(super) struct Later(Vec<(String, JoinHandle<()>)>);

impl Later {
    /// Names those that have not come about, as the run ends.
    pub(super) fn end(self, env: &Env) {
        for (what, subscribing) in self.0 {
            if !subscribing.is_finished() {
                subscribing.abort();
                env.world.tally.note(format!("{what} did not come about: the run ended before"));
            }
        }
    }
}

/// Subscribes agents to their topics, now or when it is time. Those that take no notices are named in a note and left out.
///
/// # Errors
/// An agent that was named is no more, or the router does not answer.
pub(super) async fn subscribe_all(env: &Env) -> Result<Later, HostError> {
    let mut later = Vec::new();
    for topic in &env.world.manifest.topics {
        for subscription in &topic.subscribers {
            if subscription.after.is_zero() {
                subscribe(env, topic, subscription).await?;
                continue;
            }
            let what = format!("the subscription to {} after {:?}", topic.name, subscription.after);
            let (env, topic, subscription) = (env.clone(), topic.clone(), subscription.clone());
            let about = what.clone();
            let subscribing = actix_rt::spawn(async move {
                env.host.sleep(subscription.after).await;
                if let Err(error) = subscribe(&env, &topic, &subscription).await {
                    env.world.tally.note(format!("{about} did not come about: {error}"));
                }
            });
            later.push((what, subscribing));
        }
    }
    Ok(Later(later))
}

async fn subscribe(env: &Env, topic: &TopicEntry, subscription: &Subscription) -> Result<(), HostError> {
    // Whoever is named twice keeps what the first entry says, which matters where entries differ.
    let has_wishes = topic.subscribers.iter().any(|one| one.replay > 0 || one.from.is_some());
    for agent in agents(env, &subscription.who)? {
        if agent.accepts::<Notice>() {
            let (id, name) = (agent.id(), &topic.name);
            match env.host.subscribe_with(name, id, options(subscription)).await {
                Ok(false) if has_wishes => env.world.tally.note_once(
                    &format!("twice/{name}/{id}"),
                    format!("{id} is subscribed to {name} already: what its entry says beside has no effect"),
                ),
                Ok(_) => {}
                // The others are there.
                Err(HostError::UnknownAgent(_)) => {
                    env.world.tally.note(format!("{id} is not subscribed to {name}: it is no more"));
                }
                Err(error) => return Err(error),
            }
        } else {
            let kind = &agent.listing().kind;
            env.world.tally.note_once(
                &format!("deaf/{}/{kind}", topic.name),
                format!("{} is not subscribed to {}: a {kind} hears no topics", agent.id(), topic.name),
            );
        }
    }
    Ok(())
}

fn agents(env: &Env, who: &Subscriber) -> Result<Vec<AgentHandle>, HostError> {
    Ok(match who {
        Subscriber::Agent(agent) => vec![env.host.agent(agent)?],
        Subscriber::Kind(kind) => {
            env.host.select(&Selector::Kind(Kind::new(kind.as_str()).expect("a kind's word is a name")))
        }
        Subscriber::Capability(capability) => env.host.select(&Selector::Capability(capability.clone())),
        Subscriber::Group(group) => env.host.select(&Selector::Group(group.clone())),
    })
}

fn options(subscription: &Subscription) -> SubscribeOptions {
    let options = SubscribeOptions::new().replay(subscription.replay as usize);
    match subscription.from.clone() {
        Some(from) => options.only(move |notice: &Notice| *notice.from == *from.as_str()),
        None => options,
    }
}
