//! What tasks and start-up tasks do.
//!
//! Live, bodies touch the outside world. In simulated time, whatever would do so takes its estimate instead and returns
//! nothing, which the run says once for each sort of body: `run`, `wait_for_port`, `wait_for_http`, `wait_for_file`,
//! `read_file`, `hash_file`, and `combine_hashes`, which has no hashes then. `sleep` sleeps in either.
//!
//! | body | returns |
//! | --- | --- |
//! | `run` | `{"exit_code", "stdout", "stderr"}`, of each stream the last [`TAIL`](program::TAIL) bytes |
//! | `wait_for_port` | `{"address"}`, the one that answered |
//! | `wait_for_http` | `{"status"}`, with which it answered |
//! | `wait_for_file` | `{"bytes"}`, its length; 0 for a directory |
//! | `read_file` | `{"bytes"}` |
//! | `hash_file` | a text, `<hash>  <path>`; for a path that is no UTF-8 `{"sha256", "path", "odd_path"}` |
//! | `combine_hashes` | a text, the hash |
//! | `sleep` | null |

mod files;
mod payload;
mod probes;
mod program;

use std::{sync::Arc, time::Duration};

use phalanx_actors::{
    coordinator::{CancellationToken, Work},
    initializer::StartupBody,
};
use serde_json::Value;

use super::world::{Env, World};
use crate::manifest::{Body, Hasher, StartupTask};

pub(super) use payload::{Item, payload};

/// What a body says that was given up.
const GIVEN_UP: &str = "it was given up before it had ended";

/// Does a task that was assigned to an agent. When the attempt is given up this ends as soon as its program is gone or its
/// reading has stopped, not before; when it is dropped, these end soon after.
pub(super) async fn perform_task(env: Env, work: Work, chunk: usize) -> Result<Value, String> {
    let world = env.world;
    let (entry, body) = payload::read(&world, work.payload())?;
    let estimate = world.manifest.tasks[entry].estimate;
    match &body {
        Body::CombineHashes(_) if !world.simulated => {
            files::combine(world.clone(), work.assignment.inputs.clone(), work.cancellation()).await
        }
        body => perform(&world, body, estimate, chunk, work.cancellation()).await,
    }
}

/// The body of a start-up task, and what undoes it.
pub(super) fn startup(world: &Arc<World>, task: &StartupTask) -> StartupBody {
    let work = |body: &Body| {
        let (world, body, estimate) = (world.clone(), body.clone(), task.estimate);
        move || {
            let (world, body) = (world.clone(), body.clone());
            // Given up by being dropped.
            let never = CancellationToken::new();
            async move { perform(&world, &body, estimate, Hasher::default().chunk, &never).await }
        }
    };
    let run = work(&task.body);
    let body = StartupBody::new(move |_| run());
    match &task.undo {
        None => body,
        Some(undo) => {
            let undo = work(undo);
            body.undone_by(move |_| {
                let undone = undo();
                async move { undone.await.map(drop) }
            })
        }
    }
}

async fn perform(
    world: &World,
    body: &Body,
    estimate: Duration,
    chunk: usize,
    cancelled: &CancellationToken,
) -> Result<Value, String> {
    if let Body::Sleep(sleep) = body {
        unless(cancelled, world.pass(sleep.duration)).await?;
        return Ok(Value::Null);
    }
    if world.simulated {
        let what = match body {
            Body::Run(_) => "no program is started",
            Body::WaitForPort(_) | Body::WaitForHttp(_) => "no port is tried",
            Body::CombineHashes(_) => "there are no hashes to combine",
            Body::WaitForFile(_) => "no file is looked for",
            _ => "no file is read",
        };
        let key = body.key();
        let note = format!("`{key}` is simulated: {what}, each takes its estimate instead");
        world.tally.note_once(&format!("simulated/{key}"), note);
        unless(cancelled, world.pass(estimate)).await?;
        return Ok(Value::Null);
    }
    match body {
        Body::Run(run) => program::run(run, cancelled).await,
        Body::WaitForPort(wait) => unless(cancelled, probes::port(world, wait)).await,
        Body::WaitForHttp(wait) => unless(cancelled, probes::http(world, wait)).await,
        Body::WaitForFile(wait) => unless(cancelled, probes::file(world, wait)).await,
        Body::ReadFile(read) => files::read(read.path.clone(), chunk, cancelled).await,
        Body::HashFile(hash) => files::hash(world, hash.path.clone(), chunk, cancelled).await,
        Body::CombineHashes(_) => Err("there are no tasks to combine the hashes of".to_owned()),
        Body::Sleep(_) => unreachable!("it was done above"),
    }
}

/// Does what may be dropped at any time, unless it is given up.
async fn unless<T>(
    cancelled: &CancellationToken,
    done: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    cancelled.run_until_cancelled(done).await.unwrap_or_else(|| Err(GIVEN_UP.to_owned()))
}
