//! Listing the regular files below a directory.
//!
//! Names come sorted within each directory, so the order is the same each time. Symbolic links below the directory are not
//! followed (the directory itself may be one), and pipes, sockets and devices are left out.

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// A file, or a directory that cannot be read, with the reason.
pub(super) type Listed = Result<PathBuf, String>;

/// The regular files below a directory. Also in simulated time the names are read, for they say which tasks there are.
pub(super) fn files(root: &Path) -> impl Iterator<Item = Listed> + Send + use<> {
    let shown = root.to_path_buf();
    WalkDir::new(root).sort_by_file_name().into_iter().filter_map(move |entry| match entry {
        Ok(entry) => entry.file_type().is_file().then(|| Ok(entry.into_path())),
        Err(error) => {
            let path = error.path().unwrap_or(&shown).display().to_string();
            let why = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
            Some(Err(format!("{path} cannot be listed: {why}")))
        }
    })
}
