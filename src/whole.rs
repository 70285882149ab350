//! [`WholeFile`]: a file that is written whole or not at all.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Where something is to be written, whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WholeFile {
    what: &'static str,
    path: PathBuf,
}

/// A file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the {what} {} cannot be written: {}; choose another file or mend its permissions", path.display(), plain(source))]
pub(crate) struct Unwritable {
    pub(crate) what: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// An error in words that do not differ between systems where they are common.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "its folder is not there".to_owned(),
        io::ErrorKind::NotADirectory => "what should be its folder is a file".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

impl WholeFile {
    pub(crate) fn new(what: &'static str, path: PathBuf) -> Self {
        Self { what, path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn unwritable(&self, source: io::Error) -> Unwritable {
        Unwritable { what: self.what, path: self.path.clone(), source }
    }

    /// Tries whether the file could be written, and leaves nothing behind.
    pub(crate) fn probe(&self) -> Result<(), Unwritable> {
        self.temporary().map(drop).map_err(|error| self.unwritable(error))
    }

    /// Writes the text beside its place and then puts it there, so that no reader ever sees half of one.
    pub(crate) fn write(&self, text: &str) -> Result<(), Unwritable> {
        let write = || {
            let (place, mut file) = self.temporary()?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(place).map_err(|error| error.error)
        };
        write().map(drop).map_err(|error| self.unwritable(error))
    }

    /// The place itself, links followed, and a new file beside it.
    fn temporary(&self) -> io::Result<(PathBuf, tempfile::NamedTempFile)> {
        let place = match fs::canonicalize(&self.path) {
            Ok(place) => place,
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.path.clone(),
            Err(error) => return Err(error),
        };
        match fs::metadata(&place) {
            Ok(there) if there.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(there) if !there.is_file() => return Err(io::Error::other("it is no regular file")),
            Ok(there) if there.permissions().readonly() => return Err(io::ErrorKind::PermissionDenied.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let folder = place.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".phalanx-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // What the umask leaves of it, as for any new file.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(folder).map_err(|error| {
            // The name of the temporary file means nothing to whoever reads this.
            error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
        })?;
        Ok((place, file))
    }
}

/// Whether two paths lead to the same place, whether or not there is something yet.
pub(crate) fn same_place(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        fs::canonicalize(path).unwrap_or_else(|_| {
            let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
            fs::canonicalize(folder).unwrap_or_default().join(path.file_name().unwrap_or(OsStr::new("")))
        })
    };
    one == other || place(one) == place(other)
}

/// Whether the name of a file ends like this, in letters of any case.
pub(crate) fn ends_in(path: &Path, end: &str) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_compared_and_not_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "").unwrap();
        fs::create_dir(path("d")).unwrap();
        for (one, other, same) in
            [("a", "d/../a", true), ("b", "d/../b", true), ("a", "b", false), ("b", "d/b", false)]
        {
            assert_eq!(same_place(&path(one), &path(other)), same, "{one} {other}");
        }
    }
}
