//! Running a program to its end.

use std::{collections::VecDeque, process::Stdio};

use phalanx_actors::coordinator::CancellationToken;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
};

use crate::manifest::Run;

/// How much of what a program writes is kept of each stream, from the end \[bytes\].
pub(super) const TAIL: usize = 4096;

/// Runs a program to its end, without input. When it is given up the program is killed, and this ends when that is gone;
/// when this is dropped it is killed, too. What the program has started itself is not.
///
/// # Errors
/// It cannot be started, ends with another code than 0, or by a signal, or is given up.
pub(super) async fn run(run: &Run, cancelled: &CancellationToken) -> Result<Value, String> {
    let mut command = Command::new(&run.program);
    command.args(&run.arguments).envs(&run.environment).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(directory) = &run.directory {
        command.current_dir(directory);
    }
    let mut child = command
        .spawn()
        .map_err(|error| format!("the program {:?} cannot be started: {error}", run.program))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let ended = futures_util::future::join3(child.wait(), tail(out), tail(err));
    let Some((status, out, err)) = cancelled.run_until_cancelled(ended).await else {
        // It may have ended by itself just now.
        _ = child.kill().await;
        return Err(super::GIVEN_UP.to_owned());
    };
    let status =
        status.map_err(|error| format!("the program {:?} cannot be waited for: {error}", run.program))?;
    if status.success() {
        return Ok(json!({"exit_code": 0, "stdout": out, "stderr": err}));
    }
    let last =
        [&err, &out].into_iter().find_map(|text| text.lines().rev().find(|line| !line.trim().is_empty()));
    let last = last.map(|line| format!(": {}", line.trim())).unwrap_or_default();
    Err(format!("the program {:?} ended with {status}{last}", run.program))
}

/// Reads a stream to its end and keeps the last of it.
async fn tail(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let (mut kept, mut buffer) = (VecDeque::new(), vec![0; TAIL]);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        kept.extend(&buffer[..read]);
        kept.drain(..kept.len().saturating_sub(TAIL));
    }
    String::from_utf8_lossy(kept.make_contiguous()).into_owned()
}
