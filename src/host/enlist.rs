//! Registering agents that were spawned: in portions, of which the next ones are made while the registrar works on one.

use std::collections::VecDeque;

use actix::dev::Request as Sent;
use phalanx_actors::{
    agent::Timestamp,
    inbox::AgentHandle,
    registrar::{Enlist, Enlistment, Registrar, Request, RequestId, Status},
    supervisor::SpawnError,
};

use super::{AgentOptions, Host};

/// How many agents a portion has at most: its memory is used again by the next but two, while it is still at hand.
const PORTION: usize = 8_192;
/// How many portions are under way at once.
const UNDER_WAY: usize = 3;
/// How often a portion is sent when the registrar is restarted with the answer in its hands.
const ATTEMPTS: u32 = 4;

/// Agents that are to be registered together.
struct Portion<'a> {
    host: &'a Host,
    agents: &'a [AgentHandle],
    options: &'a AgentOptions,
    /// Requests are numbered, so asking again after a restart of the registrar registers nobody twice.
    numbers: Vec<RequestId>,
    since: Timestamp,
}

impl<'a> Portion<'a> {
    fn new(host: &'a Host, agents: &'a [AgentHandle], options: &'a AgentOptions, since: Timestamp) -> Self {
        let cell = host.protocols().registrar_cell();
        let number = |_| options.request.unwrap_or_else(|| cell.next_request());
        let numbers = agents.iter().map(number).collect();
        Self { host, agents, options, numbers, since }
    }

    fn send(&self) -> Sent<Registrar, Enlist> {
        let mut numbers = self.numbers.iter();
        let number = || *numbers.next().expect("one for each");
        let requests = Request::of_all(self.agents, number, self.options.priority, self.since);
        let enlistments = requests.zip(self.agents).map(|(request, agent)| {
            let mut request = match self.options.registered_within {
                Some(timeout) => request.within(timeout),
                None => request,
            };
            request.lease = self.options.lease;
            Enlistment { request, agent: agent.clone() }
        });
        self.host.protocols().registrar.send(Enlist(enlistments.collect()))
    }

    async fn registered(self, mut sent: Sent<Registrar, Enlist>) -> Result<(), SpawnError> {
        for _ in 1..ATTEMPTS {
            match sent.await {
                Ok(requests) => return judge(requests),
                Err(_) => sent = self.send(),
            }
        }
        let no_answer = || SpawnError::NoAnswer { agent: self.agents[0].id().clone() };
        sent.await.map_err(|_| no_answer()).and_then(judge)
    }
}

fn judge(requests: Vec<Request>) -> Result<(), SpawnError> {
    let failed = requests.into_iter().find(|request| *request.status() != Status::Completed);
    failed.map_or(Ok(()), |request| {
        let why = request.status().to_string();
        Err(SpawnError::Unregistered { agent: request.agent, why })
    })
}

impl Host {
    /// Registers agents, in their order.
    pub(super) async fn enlist(
        &self,
        agents: &[AgentHandle],
        options: &AgentOptions,
    ) -> Result<(), SpawnError> {
        let since = self.now();
        // All that came wait before a batch is formed. Half of the room is left to others.
        let room = (self.protocols().registrar_cell().capacity() / 2).max(1);
        let portion = (room / UNDER_WAY).clamp(1, PORTION);
        let most = (room / portion).min(UNDER_WAY);
        let mut under_way = VecDeque::with_capacity(most);
        for agents in agents.chunks(portion) {
            if under_way.len() == most
                && let Some((portion, sent)) = under_way.pop_front()
            {
                Portion::registered(portion, sent).await?;
            }
            let portion = Portion::new(self, agents, options, since);
            let sent = portion.send();
            under_way.push_back((portion, sent));
        }
        for (portion, sent) in under_way {
            portion.registered(sent).await?;
        }
        Ok(())
    }
}
