//! The files that a run writes: reports, whole or not at all, and the trace.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::report::RunReport;

/// What a report is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Markdown,
}

/// Where a report goes, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReportFile {
    path: PathBuf,
    form: Form,
}

/// The name of a report does not say what it is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it ends in neither .json nor .md; name it after one of the two forms a report has")]
pub(super) struct UnknownForm;

/// A file that a run is to write cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the {what} {} cannot be written: {}; choose another file or mend its permissions", path.display(), plain(source))]
pub(super) struct Unwritable {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
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

impl ReportFile {
    /// The form comes from the end of the name.
    pub(super) fn new(path: PathBuf) -> Result<Self, UnknownForm> {
        let ends_in =
            |end: &str| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(end));
        let form = match (ends_in("json"), ends_in("md")) {
            (true, _) => Form::Json,
            (_, true) => Form::Markdown,
            _ => return Err(UnknownForm),
        };
        Ok(Self { path, form })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn unwritable(&self, source: io::Error) -> Unwritable {
        Unwritable { what: "report", path: self.path.clone(), source }
    }

    /// Tries whether the report could be written, and leaves nothing behind.
    pub(super) fn probe(&self) -> Result<(), Unwritable> {
        self.temporary().map(drop).map_err(|error| self.unwritable(error))
    }

    /// Writes the report beside its place and then puts it there, so that no reader ever sees half of one.
    pub(super) fn write(&self, report: &RunReport) -> Result<(), Unwritable> {
        let text = match self.form {
            Form::Json => report.to_json(),
            Form::Markdown => report.to_markdown(),
        };
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

/// Makes the file of a trace, or empties it. The run itself holds back what it writes until there is enough.
pub(super) fn trace(path: &Path) -> Result<File, Unwritable> {
    File::create(path).map_err(|source| Unwritable { what: "trace", path: path.to_owned(), source })
}

/// Whether two paths lead to the same place, whether or not there is something yet.
pub(super) fn same_place(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        fs::canonicalize(path).unwrap_or_else(|_| {
            let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
            fs::canonicalize(folder).unwrap_or_default().join(path.file_name().unwrap_or(OsStr::new("")))
        })
    };
    one == other || place(one) == place(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::RunReport;

    fn file(path: &Path) -> ReportFile {
        ReportFile::new(path.to_owned()).unwrap()
    }

    fn report() -> RunReport {
        crate::report::sample::least()
    }

    #[test]
    fn the_end_of_the_name_says_what_a_report_is() {
        let form = |path: &str| ReportFile::new(path.into()).map(|file| file.form);
        assert_eq!(form("a.json"), Ok(Form::Json));
        assert_eq!(form("b/a.MD"), Ok(Form::Markdown));
        for path in ["a", "a.txt", ".json", "a.json.gz", "a.md/"] {
            let expected = if path == "a.md/" { Ok(Form::Markdown) } else { Err(UnknownForm) };
            assert_eq!(form(path), expected, "{path}");
        }
    }

    #[test]
    fn a_report_replaces_what_was_there_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.json", "a.md"] {
            let path = folder.path().join(name);
            fs::write(&path, "x".repeat(100_000)).unwrap();
            file(&path).probe().unwrap();
            assert_eq!(fs::metadata(&path).unwrap().len(), 100_000);
            file(&path).write(&report()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((read("a.json"), read("a.md")), (report().to_json(), report().to_markdown()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_cannot_be_written_is_known_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("d.json");
        fs::create_dir(&directory).unwrap();
        let missing = folder.path().join("no/such/a.md");
        let below_a_file = folder.path().join("f.json/a.json");
        fs::write(folder.path().join("f.json"), "").unwrap();
        for path in [directory, missing, below_a_file] {
            let error = file(&path).probe().unwrap_err().to_string();
            assert!(error.starts_with(&format!("the report {} cannot", path.display())), "{error}");
            assert!(!error.contains(".phalanx-"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_what_it_leads_to_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.json"), folder.path().join("link.json"));
        fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        file(&link).write(&report()).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), report().to_json());
    }

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
