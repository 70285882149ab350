//! Leases: renewed by whoever holds them, ended by the clock.

use super::State;
use crate::{
    agent::{AgentId, Timestamp},
    inbox::AgentHandle,
    registrar::{RegistrarEvent, Renew, Request, Roster, RosterError, waiters::Effects},
    support::micros,
};

/// Gives an agent that was registered just now the lease that its request asks for.
pub(super) fn grant(roster: &mut Roster<AgentHandle>, request: &Request, now: Timestamp) {
    if let Some(length) = request.lease {
        roster.lease(&request.agent, length, now);
    }
}

impl State {
    /// Renews a lease. An incarnation that was followed by another in its own inbox is out of date, even if the later one
    /// has not been heard yet.
    pub(in crate::registrar) fn renew(
        &mut self,
        Renew { agent, generation }: &Renew,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<Timestamp, RosterError> {
        // What is over is over, also when the timer comes a little late.
        self.end_leases(now, effects);
        let least = self.roster.get(agent).map_or(0, |member| u64::from(member.handle().generation()));
        // Whoever holds the lease counts its own incarnations; the roster goes on from what is written of earlier ones.
        let base = self.writes.base(agent);
        let before = self.roster.get(agent).map(|member| member.generation());
        // No incarnation has a later count.
        let offered = (*generation).min(u64::from(u32::MAX)).saturating_add(base);
        let renewed = self.roster.renew(agent, offered, least + base, now);
        if self.writes.is_on() && renewed.is_ok() && before < Some(offered) {
            self.write_renewed(agent.clone(), offered, now);
        }
        renewed.map_err(|error| match error {
            RosterError::Stale { agent, present, .. } => {
                RosterError::Stale { agent, present: present - base, offered: *generation }
            }
            other => other,
        })
    }

    /// Removes those whose leases are over.
    pub(super) fn end_leases(&mut self, now: Timestamp, effects: &mut Effects) {
        let (mut ended, mut gone): (Vec<AgentId>, _) = (Vec::new(), Vec::new());
        while let Some((agent, generation, length)) = self.take_expired(now) {
            effects.events.push(RegistrarEvent::LeaseExpired {
                at: now,
                agent: agent.clone(),
                generation,
                lease_us: micros(length),
            });
            gone.extend(self.writes.is_on().then(|| (agent.clone(), generation)));
            ended.push(agent);
        }
        self.write_removed(gone, Vec::new(), now);
        self.remove_routes(ended, Vec::new(), effects);
    }
}
