//! The stage that a peer plays on: its agents and publishers on two lanes, and the work done there.
//!
//! ```text
//!   Order ──> perform ──> one flow for each topic, a task on the lane of its publisher ──> Took
//!                          publish, wait while the window is full, wait for the last
//! ```
//!
//! **Invariant.** What `perform` answers was handled in full: for each topic, count and sum of the tallies are exactly
//! what was published times the agents, before the work begins and after it ends.

use std::{
    pin::Pin,
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    load::{self, LANES},
    stat::percentile,
};

/// No progress for so long means that something was lost.
const STALLED: Duration = Duration::from_secs(20);

/// How long a lone message leaves the lanes idle before it: the runtimes' timers are no finer.
const PAUSE: Duration = Duration::from_millis(1);

/// A task for a lane.
pub(crate) type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Publishes the publication with this number.
pub(crate) type Publish = Box<dyn FnMut(u64) + Send>;

/// Who is there: agents that take turns among the lanes, and one publisher for each topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Crowd {
    /// How many topics.
    pub(crate) topics: usize,
    /// How many agents each topic has.
    pub(crate) agents: usize,
    /// The lane of the first agent; publishers begin at lane 0.
    pub(crate) first_lane: usize,
}

impl Crowd {
    /// Whether it is one agent alone, that takes messages of its own.
    pub(crate) fn is_one(self) -> bool {
        self.topics * self.agents == 1
    }

    /// How many agents of each topic live on a lane.
    pub(crate) fn on_lane(self, lane: usize) -> usize {
        let before = (lane + LANES - self.first_lane) % LANES;
        (self.agents + LANES - 1 - before) / LANES
    }

    /// The lane of the publisher of a topic.
    pub(crate) fn publisher_lane(topic: usize) -> usize {
        topic % LANES
    }
}

/// The agents of a peer, ready to hear.
pub(crate) struct Troupe {
    /// Makes the publisher of a topic, which will be used on its lane.
    pub(crate) publisher: Box<dyn Fn(usize) -> Publish>,
    /// Runs a task on a lane.
    pub(crate) spawn: Box<dyn Fn(usize, Job)>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// How many publications for each topic.
    pub(crate) publications: u64,
    /// How many publications of a topic may be on their way; nothing for lone ones, one at a time on idle lanes.
    pub(crate) window: Option<u64>,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Took {
    /// From the first publication until the last was handled.
    pub(crate) nanos: u64,
    /// How many messages were handled.
    pub(crate) deliveries: u64,
    /// For lone publications: how long half of them took until all had handled them \[ns\].
    pub(crate) p50: f64,
    /// And 99 of 100 \[ns\].
    pub(crate) p99: f64,
}

/// What a flow measured.
struct Flowed {
    began: Instant,
    ended: Instant,
    lone: Vec<f64>,
}

/// Publishes to one topic, with a window of publications on their way, and waits until all have been handled.
async fn flow(topic: usize, agents: u64, first: u64, order: Order, mut publish: Publish) -> Flowed {
    let began = Instant::now();
    let mut lone = Vec::new();
    let until = async |wanted: u64| {
        while load::handled(topic) < wanted {
            tokio::task::yield_now().await;
        }
    };
    if let Some(window) = order.window {
        for number in first..first + order.publications {
            until((number + 1).saturating_sub(window) * agents).await;
            publish(number);
        }
    } else {
        for number in first..first + order.publications {
            tokio::time::sleep(PAUSE).await;
            let began = Instant::now();
            publish(number);
            until((number + 1) * agents).await;
            lone.push(nanos(began.elapsed()));
        }
    }
    until((first + order.publications) * agents).await;
    Flowed { began, ended: Instant::now(), lone }
}

#[expect(clippy::cast_precision_loss, reason = "below 2^52 ns, which is 52 days")]
fn nanos(took: Duration) -> f64 {
    took.as_nanos() as f64
}

/// Does work again and again on one troupe.
pub(crate) struct Stage {
    crowd: Crowd,
    troupe: Troupe,
    /// How many publications each topic has had.
    published: u64,
}

impl Stage {
    pub(crate) fn new(crowd: Crowd, troupe: Troupe) -> Self {
        Self { crowd, troupe, published: 0 }
    }

    /// Does the work and checks every delivery.
    ///
    /// # Errors
    /// When messages are lost, doubled or mangled.
    pub(crate) fn perform(&mut self, order: Order) -> Result<Took, String> {
        self.verify("before the work")?;
        let Crowd { topics, agents, .. } = self.crowd;
        let (tell, told) = mpsc::channel();
        let first = self.published;
        for topic in 0..topics {
            let (publish, tell) = ((self.troupe.publisher)(topic), tell.clone());
            let job = async move {
                let flowed = flow(topic, agents as u64, first, order, publish).await;
                // Nobody listens when another topic has stalled already.
                let _ = tell.send(flowed);
            };
            (self.troupe.spawn)(Crowd::publisher_lane(topic), Box::pin(job));
        }
        drop(tell);
        let mut flowed = Vec::new();
        let mut seen = self.handled();
        while flowed.len() < topics {
            match told.recv_timeout(STALLED) {
                Ok(one) => flowed.push(one),
                Err(RecvTimeoutError::Disconnected) => return Err("a publisher panicked".to_owned()),
                Err(RecvTimeoutError::Timeout) => {
                    let now = self.handled();
                    if now == seen {
                        let wanted = (first + order.publications) * (topics * agents) as u64;
                        let stalled = STALLED.as_secs();
                        return Err(format!(
                            "{now} of {wanted} messages were handled, and none in the last {stalled} s"
                        ));
                    }
                    seen = now;
                }
            }
        }
        self.published += order.publications;
        self.verify("after the work")?;
        let began = flowed.iter().map(|flowed| flowed.began).min().expect("there is a topic");
        let ended = flowed.iter().map(|flowed| flowed.ended).max().expect("there is a topic");
        let lone: Vec<f64> = flowed.into_iter().flat_map(|flowed| flowed.lone).collect();
        Ok(Took {
            nanos: u64::try_from((ended - began).as_nanos()).expect("no work takes 500 years"),
            deliveries: order.publications * (topics * agents) as u64,
            p50: percentile(&lone, 50.0),
            p99: percentile(&lone, 99.0),
        })
    }

    fn handled(&self) -> u64 {
        (0..self.crowd.topics).map(load::handled).sum()
    }

    /// Compares the tallies with all that was ever published.
    fn verify(&self, when: &str) -> Result<(), String> {
        let agents = self.crowd.agents as u64;
        let (count, sum) = expected(self.published, agents);
        for topic in 0..self.crowd.topics {
            let (handled, added) = (load::handled(topic), load::sum(topic));
            if handled != count {
                return Err(format!("{when}: topic {topic} has {handled} messages handled, not {count}"));
            }
            if added != sum {
                return Err(format!("{when}: the messages of topic {topic} add up to {added}, not {sum}"));
            }
        }
        Ok(())
    }
}

/// Count and sum of what so many agents hear of so many publications.
fn expected(published: u64, agents: u64) -> (u64, u64) {
    // The sum of 2n for all n below `published`.
    let sum = published.wrapping_mul(published.wrapping_sub(1));
    (published * agents, sum.wrapping_mul(agents))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Ear;

    fn crowd(topics: usize, agents: usize) -> Crowd {
        Crowd { topics, agents, first_lane: 0 }
    }

    /// A troupe on the calling thread's lane whose ears hear a publication as often as `times` says.
    fn troupe(agents: usize, times: fn(u64) -> usize) -> Troupe {
        let spawn = |_, job| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            runtime.expect("a runtime starts").block_on(job);
        };
        let publisher = move |topic| {
            let mut ears = vec![Ear::new(topic); agents];
            Box::new(move |number| {
                for _ in 0..times(number) {
                    for ear in &mut ears {
                        ear.hear(load::value_of(number));
                    }
                }
            }) as Publish
        };
        Troupe { publisher: Box::new(publisher), spawn: Box::new(spawn) }
    }

    #[test]
    fn agents_take_turns_among_the_lanes() {
        for agents in [1, 2, 5, 100] {
            for first_lane in 0..LANES {
                let crowd = Crowd { topics: 1, agents, first_lane };
                for lane in 0..LANES {
                    let counted = (0..agents).filter(|agent| (first_lane + agent) % LANES == lane).count();
                    assert_eq!(crowd.on_lane(lane), counted, "{crowd:?} on lane {lane}");
                }
            }
        }
    }

    #[test]
    fn work_is_counted_and_a_doubled_message_is_an_error() {
        // The tallies are the process's own, so all of this is one test.
        load::enter_lane(0);
        let order = Order { publications: 10, window: Some(4) };
        let mut stage = Stage::new(crowd(2, 3), troupe(3, |number| if number == 25 { 2 } else { 1 }));
        for _ in 0..2 {
            let took = stage.perform(order).expect("nothing is lost");
            assert_eq!(took.deliveries, 60);
        }
        let fault = stage.perform(order).expect_err("number 25 is heard twice");
        assert_eq!(fault, "after the work: topic 0 has 93 messages handled, not 90");
    }

    #[test]
    fn the_expected_sum_is_that_of_all_values_for_all_agents() {
        for published in [0, 1, 2, 4, 1_000] {
            let sum: u64 = (0..published).map(load::value_of).sum();
            assert_eq!(expected(published, 3), (published * 3, sum * 3));
        }
    }
}
