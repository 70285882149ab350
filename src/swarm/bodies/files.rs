//! Reading files and taking their SHA-256, on threads where waiting is allowed.
//!
//! **Invariant.** Of a file no more than one chunk is held at a time, and reading stops at the next chunk when it is given
//! up or nobody waits for it any more.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use phalanx_actors::{agent::TaskId, coordinator::CancellationToken};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::swarm::world::World;

/// Does something that may wait, on a thread for that, to its end. It is told when it is given up, and when this is dropped
/// for nobody waits any more.
async fn aside<T: Send + 'static>(
    cancelled: &CancellationToken,
    work: impl FnOnce(&CancellationToken) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let unwanted = cancelled.child_token();
    let _told = unwanted.clone().drop_guard();
    let done = tokio::task::spawn_blocking(move || work(&unwanted)).await;
    done.map_err(|error| format!("the work was given up: {error}"))?
}

/// Reads a file whole.
pub(super) async fn read(
    path: PathBuf,
    chunk: usize,
    cancelled: &CancellationToken,
) -> Result<Value, String> {
    let bytes = aside(cancelled, move |unwanted| stream(&path, chunk, unwanted, |_| {})).await?;
    Ok(json!({"bytes": bytes}))
}

/// Takes the SHA-256 of a file.
pub(super) async fn hash(
    world: &World,
    path: PathBuf,
    chunk: usize,
    cancelled: &CancellationToken,
) -> Result<Value, String> {
    let name = path.clone();
    let hash = aside(cancelled, move |unwanted| {
        let mut hasher = Sha256::new();
        stream(&path, chunk, unwanted, |bytes| hasher.update(bytes))?;
        Ok(format!("{:x}", hasher.finalize()))
    });
    let hash = hash.await?;
    Ok(match name.to_str() {
        Some(name) => format!("{hash}  {name}").into(),
        None => json!({"sha256": hash, "path": name.to_string_lossy(), "odd_path": world.odd_path(&name)}),
    })
}

/// Hands a file on in chunks; how many bytes it has.
fn stream(
    path: &Path,
    chunk: usize,
    unwanted: &CancellationToken,
    mut each: impl FnMut(&[u8]),
) -> Result<u64, String> {
    let unreadable = |error: &io::Error| {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "it is not there, or no longer".to_owned(),
            io::ErrorKind::PermissionDenied => "permission is denied".to_owned(),
            io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
            _ => error.to_string(),
        };
        format!("{} cannot be read: {why}", path.display())
    };
    // Opening a pipe would wait for its writer.
    let about = std::fs::metadata(path).map_err(|error| unreadable(&error))?;
    if !about.is_file() {
        let what = if about.is_dir() { "it is a directory" } else { "it is no regular file" };
        return Err(format!("{} cannot be read: {what}", path.display()));
    }
    let mut file = File::open(path).map_err(|error| unreadable(&error))?;
    // One byte more than the file has, so that a small file is read and found to end in two short calls.
    let size = usize::try_from(about.len()).unwrap_or(usize::MAX).saturating_add(1);
    let mut buffer = vec![0; chunk.min(size)];
    let mut bytes = 0;
    while !unwanted.is_cancelled() {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(read) => {
                bytes += read as u64;
                each(&buffer[..read]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(&error)),
        }
    }
    Err(format!("{} was not read to its end: {}", path.display(), super::GIVEN_UP))
}

/// Takes the SHA-256 over one line for each file, `<hash>  <path>` and a line feed, in the order of the paths' bytes.
///
/// That is what `sha256sum` prints for the files in this order, so the hash is that of
/// `find DIR -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum`. As there, a line whose path holds a back
/// slash, a line feed or a carriage return begins with a back slash, and these are written `\\`, `\n` and `\r`. Inputs that
/// are no hashes of files are left out.
pub(super) async fn combine(
    world: Arc<World>,
    inputs: Arc<[(TaskId, Arc<Value>)]>,
    cancelled: &CancellationToken,
) -> Result<Value, String> {
    let hash = aside(cancelled, move |unwanted| {
        let odd: Vec<(&str, PathBuf)> =
            inputs.iter().filter_map(|(_, value)| odd_line(&world, value)).collect();
        let plain = inputs.iter().filter_map(|(_, value)| {
            let (hash, path) = value.as_str()?.split_once("  ")?;
            (hash.len() == 64).then_some((path.as_bytes(), hash))
        });
        let odd = odd.iter().map(|(hash, path)| (path.as_os_str().as_encoded_bytes(), *hash));
        let mut lines: Vec<(&[u8], &str)> = plain.chain(odd).collect();
        lines.sort_unstable();
        let mut hasher = Sha256::new();
        for (path, hash) in lines {
            if unwanted.is_cancelled() {
                return Err(super::GIVEN_UP.to_owned());
            }
            write_line(&mut hasher, hash, path);
        }
        Ok(format!("{:x}", hasher.finalize()))
    });
    Ok(hash.await?.into())
}

fn odd_line<'v>(world: &World, value: &'v Value) -> Option<(&'v str, PathBuf)> {
    let number = value.get("odd_path")?.as_u64()?;
    let path = world.odd_path_at(usize::try_from(number).ok()?)?;
    Some((value.get("sha256")?.as_str()?, path))
}

fn write_line(hasher: &mut Sha256, hash: &str, path: &[u8]) {
    let escape = |byte: u8| match byte {
        b'\\' => Some(b"\\\\"),
        b'\n' => Some(b"\\n"),
        b'\r' => Some(b"\\r"),
        _ => None,
    };
    if path.iter().any(|byte| escape(*byte).is_some()) {
        hasher.update(b"\\");
    }
    hasher.update(hash);
    hasher.update(b"  ");
    for part in path.split_inclusive(|byte| escape(*byte).is_some()) {
        match part.split_last() {
            Some((last, plain)) if escape(*last).is_some() => {
                hasher.update(plain);
                hasher.update(escape(*last).expect("looked at above"));
            }
            _ => hasher.update(part),
        }
    }
    hasher.update(b"\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_stops_at_the_next_chunk_once_it_is_given_up() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 40).unwrap();
        let (unwanted, mut chunks) = (CancellationToken::new(), 0);
        let stopped = stream(file.path(), 4096, &unwanted, |_| {
            chunks += 1;
            if chunks == 3 {
                unwanted.cancel();
            }
        });
        let expected =
            format!("{} was not read to its end: {}", file.path().display(), super::super::GIVEN_UP);
        assert_eq!((stopped, chunks), (Err(expected), 3));
    }
}
