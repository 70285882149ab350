//! Waiting until something of the outside world is there: a port, an HTTP server, a file.
//!
//! A try that fails tells nothing: whoever waits gives up when its own time is over.

use std::{future::Future, time::Duration};

use http_body_util::Empty;
use hyper::{
    Request, Uri,
    body::Bytes,
    client::conn::http1,
    header::{CONNECTION, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{
    manifest::{WaitForFile, WaitForHttp, WaitForPort},
    swarm::world::World,
};

/// How long one try may take.
const TRY: Duration = Duration::from_secs(1);

/// Tries again and again until there is something to tell.
async fn until<F: Future<Output = Option<Value>>>(
    world: &World,
    every: Duration,
    attempt: impl Fn() -> F,
) -> Result<Value, String> {
    loop {
        if let Ok(Some(found)) = tokio::time::timeout(TRY, attempt()).await {
            return Ok(found);
        }
        world.pass(every).await?;
    }
}

/// Waits until a TCP port accepts connections.
pub(super) async fn port(world: &World, wait: &WaitForPort) -> Result<Value, String> {
    let attempt = || async {
        let stream = TcpStream::connect((wait.host.as_str(), wait.port)).await.ok()?;
        let address = stream.peer_addr().map(|address| address.to_string()).unwrap_or_default();
        Some(json!({"address": address}))
    };
    until(world, wait.every, attempt).await
}

/// Waits until an HTTP server answers with a status that counts as well.
pub(super) async fn http(world: &World, wait: &WaitForHttp) -> Result<Value, String> {
    let uri: Uri = wait.url.parse().map_err(|error| format!("{:?} is no URL: {error}", wait.url))?;
    let attempt = || async {
        let status = get(&uri).await?;
        let is_well = wait.status.map_or((200..400).contains(&status), |wanted| status == wanted);
        is_well.then(|| json!({"status": status}))
    };
    until(world, wait.every, attempt).await
}

/// The status with which a server answers.
async fn get(uri: &Uri) -> Option<u16> {
    let authority = uri.authority()?;
    // Brackets are of the URL, not of the address.
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, authority.as_str())
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .ok()?;
    let answer = sender.send_request(request);
    tokio::pin!(answer);
    let answer = tokio::select! {
        answer = &mut answer => answer,
        // The answer may have come with the end of the connection.
        _ = connection => answer.await,
    };
    answer.ok().map(|answer| answer.status().as_u16())
}

/// Waits until a file or a directory is there.
pub(super) async fn file(world: &World, wait: &WaitForFile) -> Result<Value, String> {
    let attempt = || async {
        let path = wait.path.clone();
        let found = tokio::task::spawn_blocking(move || std::fs::metadata(path)).await.ok()?.ok()?;
        Some(json!({"bytes": if found.is_dir() { 0 } else { found.len() }}))
    };
    until(world, wait.every, attempt).await
}
