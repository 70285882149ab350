//! All that a program which hosts agents usually needs: `use phalanx::prelude::*;`.

pub use actix::prelude::*;

pub use crate::{
    agent::{Agent, AgentId, Card, Delivery, GroupName, Me, Priority, Reason, TaskId, Terminated},
    coordinator::{TaskSpec, Work},
    host::{AgentOptions, Gather, Host, HostBuilder, HostError, simulate},
    inbox::{AgentHandle, AgentRef, SendOptions, Stopped},
    router::{Publisher, Selector, SubscribeOptions},
    supervisor::{GroupSpec, Supervision},
};
