//! Registrations of a program's own numbers: asked about, and taken back.

use phalanx_actors::registrar::{CancelRequest, QueryRequest, Request, RequestId};

use super::{Host, HostError};

impl Host {
    /// How a registration stands, and when it came to each step; the number is that of
    /// [`AgentOptions::request`](super::AgentOptions::request). Nothing, if it never came, or ended so long ago that it is
    /// forgotten.
    ///
    /// # Errors
    /// [`HostError::NoAnswer`] when the registrar breaks over it.
    ///
    /// # Examples
    /// ```
    /// # use actix::prelude::*;
    /// # use phalanx::{Agent, AgentOptions, Card};
    /// # struct Seller;
    /// # impl Actor for Seller { type Context = Context<Self>; }
    /// # impl Supervised for Seller {}
    /// # impl Agent for Seller { fn card(&self) -> Card<Self> { Card::new() } }
    /// use phalanx::registrar::{RequestId, Status};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// phalanx::simulate(7, |host| async move {
    ///     let number = RequestId::own(1);
    ///     assert!(host.request(number).await?.is_none());
    ///     let options = AgentOptions { request: Some(number), ..AgentOptions::default() };
    ///     host.spawn_with("seller", options, |_| Seller).await?;
    ///     let request = host.request(number).await?.expect("it came");
    ///     assert_eq!((request.agent.as_str(), request.status()), ("seller", &Status::Completed));
    ///     assert!(host.cancel(number).await.is_err(), "too late");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub async fn request(&self, number: RequestId) -> Result<Option<Request>, HostError> {
        let answer = self.inner.protocols.registrar.send(QueryRequest(number)).await;
        answer.map_err(|_| HostError::NoAnswer("registrar"))
    }

    /// Takes a registration back while it waits or is validated by async rules: whoever spawned the agent hears that it was
    /// cancelled, and the agent is killed. Answers with the cancelled request.
    ///
    /// # Errors
    /// [`HostError::Cancel`] when it never came, or is further than that.
    pub async fn cancel(&self, number: RequestId) -> Result<Request, HostError> {
        let answer = self.inner.protocols.registrar.send(CancelRequest(number)).await;
        Ok(answer.map_err(|_| HostError::NoAnswer("registrar"))??)
    }
}
