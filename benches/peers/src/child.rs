//! A peer in a process of its own: no peer sees another's allocator, threads or globals.
//!
//! ```text
//!   Child::start ──argument: Part──> serve: starts the agents ──"ready"──>
//!   Child::perform ──Order, a line of JSON──> Stage::perform ──Result<Took, String>, a line of JSON──>
//! ```
//!
//! A child ends with its standard input, so none outlives who started it.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child as Process, ChildStdin, ChildStdout, Command, Stdio},
};

use serde::{Deserialize, Serialize};

use crate::{
    peers::{self, Peer},
    stage::{Crowd, Order, Stage, Took},
    work::Payload,
};

/// The argument that makes this program a child, followed by its part.
pub(crate) const MARK: &str = "--as-peer";

/// Which peer a child is, and with whom.
#[derive(Serialize, Deserialize)]
struct Part {
    peer: String,
    crowd: Crowd,
    payload: Payload,
}

/// Plays a part until the standard input ends.
///
/// # Errors
/// When the part or an order cannot be read, or nobody reads the answers.
pub(crate) fn serve(part: &str) -> Result<(), String> {
    let Part { peer, crowd, payload } = serde_json::from_str(part).map_err(|fault| fault.to_string())?;
    let peer = peers::named(&peer).ok_or_else(|| format!("there is no peer `{peer}`"))?;
    let mut stage = Stage::new(crowd, peer.start(crowd, payload));
    let mut answers = std::io::stdout().lock();
    let mut answer = |line: &str| {
        writeln!(answers, "{line}").and_then(|()| answers.flush()).map_err(|fault| fault.to_string())
    };
    answer("ready")?;
    for order in std::io::stdin().lock().lines() {
        let order = order.map_err(|fault| fault.to_string())?;
        let order: Order = serde_json::from_str(&order).map_err(|fault| fault.to_string())?;
        let took: Result<Took, String> = stage.perform(order);
        answer(&serde_json::to_string(&took).map_err(|fault| fault.to_string())?)?;
    }
    Ok(())
}

/// A peer that was started, with its agents.
pub(crate) struct Child {
    pub(crate) peer: &'static dyn Peer,
    pub(crate) crowd: Crowd,
    process: Process,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Child {
    /// Starts a peer and waits until its agents are there.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start(peer: &'static dyn Peer, crowd: Crowd, payload: Payload) -> Result<Self, String> {
        let part = Part { peer: peer.name().to_owned(), crowd, payload };
        let part = serde_json::to_string(&part).map_err(|fault| fault.to_string())?;
        let program = std::env::current_exe().map_err(|fault| format!("this program's path: {fault}"))?;
        let mut process = Command::new(program)
            .args([MARK, &part])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|fault| format!("{} does not start: {fault}", peer.name()))?;
        let orders = process.stdin.take().expect("it is piped");
        let answers = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut child = Self { peer, crowd, process, orders, answers };
        match child.answer()?.as_str() {
            "ready" => Ok(child),
            other => Err(format!("{} says `{other}` instead of `ready`", peer.name())),
        }
    }

    /// Has work done.
    ///
    /// # Errors
    /// When the peer ends before, or a delivery is missing or wrong.
    pub(crate) fn perform(&mut self, order: Order) -> Result<Took, String> {
        let name = self.peer.name();
        let line = serde_json::to_string(&order).map_err(|fault| fault.to_string())?;
        writeln!(self.orders, "{line}").map_err(|fault| format!("{name} takes no order: {fault}"))?;
        let took: Result<Took, String> = serde_json::from_str(&self.answer()?)
            .map_err(|fault| format!("{name} answers with something else: {fault}"))?;
        took.map_err(|fault| format!("{name}: {fault}"))
    }

    fn answer(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(0) => Err(format!("{} ended before it answered", self.peer.name())),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(fault) => Err(format!("{}: {fault}", self.peer.name())),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
