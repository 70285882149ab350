//! The files that a run writes: reports, whole or not at all, and the trace.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use crate::{
    report::RunReport,
    whole::{Unwritable, WholeFile, ends_in},
};

/// What a report is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Markdown,
    /// Start-up as a picture.
    Svg,
}

/// Where a report goes, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReportFile {
    file: WholeFile,
    form: Form,
}

/// The name of a report does not say what it is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it ends in none of .json, .md and .svg; name it after one of the forms a report has")]
pub(super) struct UnknownForm;

impl ReportFile {
    /// The form comes from the end of the name.
    pub(super) fn new(path: PathBuf) -> Result<Self, UnknownForm> {
        let forms = [("json", Form::Json), ("md", Form::Markdown), ("svg", Form::Svg)];
        let form = forms.into_iter().find(|(end, _)| ends_in(&path, end)).ok_or(UnknownForm)?.1;
        Ok(Self { file: WholeFile::new("report", path), form })
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Tries whether the report could be written, and leaves nothing behind.
    pub(super) fn probe(&self) -> Result<(), Unwritable> {
        self.file.probe()
    }

    /// Writes the report, whole or not at all.
    pub(super) fn write(&self, report: &RunReport) -> Result<(), Unwritable> {
        self.file.write(&match self.form {
            Form::Json => report.to_json(),
            Form::Markdown => report.to_markdown(),
            Form::Svg => report.to_svg(),
        })
    }
}

/// Makes the file of a trace, or empties it. The run itself holds back what it writes until there is enough.
pub(super) fn trace(path: &Path) -> Result<File, Unwritable> {
    File::create(path).map_err(|source| Unwritable { what: "trace", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

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
        assert_eq!((form("b/a.MD"), form("a.svg")), (Ok(Form::Markdown), Ok(Form::Svg)));
        for path in ["a", "a.txt", ".json", "a.json.gz", "a.md/"] {
            let expected = if path == "a.md/" { Ok(Form::Markdown) } else { Err(UnknownForm) };
            assert_eq!(form(path), expected, "{path}");
        }
    }

    #[test]
    fn a_report_replaces_what_was_there_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.json", "a.md", "a.svg"] {
            let path = folder.path().join(name);
            fs::write(&path, "x".repeat(100_000)).unwrap();
            file(&path).probe().unwrap();
            assert_eq!(fs::metadata(&path).unwrap().len(), 100_000);
            file(&path).write(&report()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((read("a.json"), read("a.md")), (report().to_json(), report().to_markdown()));
        assert_eq!(read("a.svg"), report().to_svg());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
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
}
