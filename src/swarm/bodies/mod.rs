//! What tasks and start-up tasks do.
//!
//! Live, bodies touch the outside world. In simulated time, whatever would do so takes its estimate instead and returns
//! nothing, which the run says once for each sort of body: `run`, `wait_for_port`, `read_file`, `hash_file`, and
//! `combine_hashes`, which has no hashes then. `sleep` sleeps in either.
//!
//! | body | returns |
//! | --- | --- |
//! | `run` | `{"exit_code", "stdout", "stderr"}`, of each stream the last [`TAIL`](program::TAIL) bytes |
//! | `wait_for_port` | `{"address"}`, the one that answered |
//! | `read_file` | `{"bytes"}` |
//! | `hash_file` | a text, `<hash>  <path>`; for a path that is no UTF-8 `{"sha256", "path", "odd_path"}` |
//! | `combine_hashes` | a text, the hash |
//! | `sleep` | null |

mod files;
mod payload;
mod program;

use std::{sync::Arc, time::Duration};

use phalanx_actors::{coordinator::Work, initializer};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::world::{Env, World};
use crate::manifest::{Body, Hasher, WaitForPort};

pub(super) use payload::{Item, payload};

/// How much longer than its deadline a body may take: the coordinator gives an attempt up first, by its own clock.
const GRACE: Duration = Duration::from_millis(100);

/// How long one try to reach a port may take.
const CONNECT: Duration = Duration::from_secs(1);

/// Does a task that was assigned to an agent; at its deadline it is dropped, and with it a program or a reading.
pub(super) async fn perform_task(env: Env, work: Work, chunk: usize) -> Result<Value, String> {
    let Env { world, host } = env;
    let (entry, body) = payload::read(&world, work.payload())?;
    let estimate = world.manifest.tasks[entry].estimate;
    let left = work.assignment.deadline.since(host.now()) + GRACE;
    let done = async {
        match &body {
            Body::CombineHashes(_) if !world.simulated => {
                files::combine(world.clone(), work.assignment.inputs.clone()).await
            }
            body => perform(&world, body, estimate, chunk).await,
        }
    };
    match tokio::time::timeout(left, done).await {
        Ok(result) => result,
        Err(_) => Err("its time was up".to_owned()),
    }
}

/// The body of a start-up task.
pub(super) fn startup(world: Arc<World>, body: Body, estimate: Duration) -> initializer::Body {
    Arc::new(move |_| {
        let (world, body) = (world.clone(), body.clone());
        Box::pin(async move { perform(&world, &body, estimate, Hasher::default().chunk).await })
    })
}

async fn perform(world: &World, body: &Body, estimate: Duration, chunk: usize) -> Result<Value, String> {
    if let Body::Sleep(sleep) = body {
        world.pass(sleep.duration).await?;
        return Ok(Value::Null);
    }
    if world.simulated {
        let what = match body {
            Body::Run(_) => "no program is started",
            Body::WaitForPort(_) => "no port is tried",
            Body::CombineHashes(_) => "there are no hashes to combine",
            _ => "no file is read",
        };
        let key = body.key();
        let note = format!("`{key}` is simulated: {what}, each takes its estimate instead");
        world.tally.note_once(&format!("simulated/{key}"), note);
        world.pass(estimate).await?;
        return Ok(Value::Null);
    }
    match body {
        Body::Run(run) => program::run(run).await,
        Body::WaitForPort(wait) => wait_for_port(world, wait).await,
        Body::ReadFile(read) => files::read(read.path.clone(), chunk).await,
        Body::HashFile(hash) => files::hash(world, hash.path.clone(), chunk).await,
        Body::CombineHashes(_) => Err("there are no tasks to combine the hashes of".to_owned()),
        Body::Sleep(_) => unreachable!("it was done above"),
    }
}

async fn wait_for_port(world: &World, wait: &WaitForPort) -> Result<Value, String> {
    loop {
        if let Ok(Ok(stream)) =
            tokio::time::timeout(CONNECT, TcpStream::connect((wait.host.as_str(), wait.port))).await
        {
            let address = stream.peer_addr().map(|address| address.to_string()).unwrap_or_default();
            return Ok(json!({"address": address}));
        }
        world.pass(wait.every).await?;
    }
}
