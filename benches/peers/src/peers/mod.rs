//! Who is compared: one file for each peer, behind one small trait.
//!
//! ```text
//!   Peer ──start(crowd)──> Troupe { publisher of a topic, spawn on a lane }
//! ```
//!
//! **Invariant.** Every peer's agents do the same to a message ([`Ear`](crate::load::Ear)) on the same two lanes, and its
//! publishers are tasks there, too.

mod actix;
mod actix_broker;
mod floor;
mod flume;
mod kameo;
mod phalanx;
mod ractor;
mod tokio_broadcast;
mod xtra;

use serde::Serialize;

use crate::{
    lanes::Lanes,
    stage::{Crowd, Job, Publish, Troupe},
    work::Payload,
};

/// What a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Kind {
    /// Whom this is about.
    Phalanx,
    /// An actor runtime, by one of its ways to send to many.
    Runtime,
    /// A channel, without actors.
    Channel,
    /// The same handler in a plain loop.
    Floor,
}

/// Somebody who can do the works.
pub(crate) trait Peer: Sync {
    /// What it is called in tables.
    fn name(&self) -> &'static str;

    /// The package whose version is told; none for what comes without one.
    fn package(&self) -> Option<&'static str>;

    fn kind(&self) -> Kind;

    /// How many publications of each topic may be on their way when it may choose.
    fn steady(&self, crowd: Crowd) -> u64 {
        match crowd.agents {
            ..=10 => 1_024,
            11..=1_000 => 64,
            _ => 4,
        }
    }

    /// Whether it can do works with this crowd.
    fn plays(&self, crowd: Crowd) -> bool;

    /// Starts the agents, all of them ready to hear.
    fn start(&self, crowd: Crowd, payload: Payload) -> Troupe;
}

/// All of them, in the order of the tables.
pub(crate) const ALL: [&dyn Peer; 15] = [
    &phalanx::Phalanx,
    &actix::DoSend,
    &actix_broker::SystemBrokered,
    &ractor::Direct,
    &ractor::Port,
    &ractor::Group,
    &kameo::Direct,
    &kameo::Published,
    &kameo::Brokered,
    &xtra::Direct,
    &xtra::Broadcast,
    &tokio_broadcast::Still,
    &tokio_broadcast::Roaming,
    &flume::Channels,
    &floor::Floor,
];

/// The peer that plain actix is.
pub(crate) const ACTIX: &dyn Peer = &actix::DoSend;

/// The peer of this name.
pub(crate) fn named(name: &str) -> Option<&'static dyn Peer> {
    ALL.into_iter().find(|peer| peer.name() == name)
}

/// A troupe on these lanes, with the publishers that `publisher` makes.
fn troupe(lanes: Lanes, publisher: impl Fn(usize) -> Publish + 'static) -> Troupe {
    let spawn = move |lane, job: Job| lanes.spawn(lane, job);
    Troupe { publisher: Box::new(publisher), spawn: Box::new(spawn) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_has_a_name_of_its_own_by_which_it_is_found() {
        for peer in ALL {
            let found = named(peer.name()).expect("it is among all");
            assert_eq!((found.name(), found.kind()), (peer.name(), peer.kind()));
            assert_eq!(ALL.iter().filter(|other| other.name() == peer.name()).count(), 1);
        }
        assert!(named("nobody").is_none());
    }
}
