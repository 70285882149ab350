//! The file in which a manifest's start-up keeps how long its tasks took, from run to run.
//!
//! **Invariant.** What cannot be read as such a file is not written over.

use std::{fs, io, path::Path};

use phalanx_actors::initializer::Estimates;

use crate::whole::{Unwritable, WholeFile};

/// Why there are no estimates to learn from.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnreadEstimates {
    /// The file cannot be read.
    #[error("the estimates {path} cannot be read: {source}; mend its permissions or name another file")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{path} holds no estimates of start-up tasks: {source}; remove it or name another file")]
    Other {
        /// The file.
        path: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// What was learned so far; nothing before the first run.
pub(crate) fn load(path: &Path) -> Result<Estimates, UnreadEstimates> {
    let name = || path.display().to_string();
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        let source = io::Error::other("it is no regular file");
        return Err(UnreadEstimates::Io { path: name(), source });
    }
    match fs::read(path) {
        Ok(text) => {
            serde_json::from_slice(&text).map_err(|source| UnreadEstimates::Other { path: name(), source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Estimates::default()),
        Err(source) => Err(UnreadEstimates::Io { path: name(), source }),
    }
}

/// Keeps what was learned, whole or not at all.
pub(super) fn save(path: &Path, estimates: &Estimates) -> Result<(), Unwritable> {
    let text = serde_json::to_string_pretty(estimates).expect("estimates have a JSON form");
    WholeFile::new("file of estimates", path.to_owned()).write(&(text + "\n"))
}
