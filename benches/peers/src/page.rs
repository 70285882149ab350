//! Files that are written whole or not at all, and the part of a page between two marks.

use std::{io::Write, path::Path};

const MARKS: [&str; 2] = ["<!-- peers:begin -->", "<!-- peers:end -->"];

/// Puts the text between the marks of a page.
///
/// # Errors
/// When a mark is missing.
pub(crate) fn within_marks(page: &str, text: &str) -> Result<String, String> {
    let [begin, end] = MARKS;
    let (before, rest) = page.split_once(begin).ok_or_else(|| format!("there is no line `{begin}`"))?;
    let (_, after) = rest.split_once(end).ok_or_else(|| format!("there is no `{end}` after `{begin}`"))?;
    Ok(format!("{before}{begin}\n\n{}\n\n{end}{after}", text.trim_end()))
}

/// Reads a page and puts the text between its marks.
///
/// # Errors
/// When it cannot be read, or a mark is missing.
pub(crate) fn with_text(page: &Path, text: &str) -> Result<String, String> {
    let old = std::fs::read_to_string(page).map_err(|fault| format!("{}: {fault}", page.display()))?;
    within_marks(&old, text).map_err(|fault| format!("{}: {fault}", page.display()))
}

/// Writes a file: a new one next to it takes its place when it is complete.
///
/// # Errors
/// When that cannot be done; then the old file stays as it is.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<(), String> {
    let fault = |fault: std::io::Error| format!("{}: {fault}", path.display());
    let mut file =
        tempfile::Builder::new().permissions(permissions()).tempfile_in(folder(path)).map_err(fault)?;
    file.write_all(text.as_bytes()).map_err(fault)?;
    file.persist(path).map_err(|error| fault(error.error))?;
    Ok(())
}

/// Finds out before the work whether a file can be written after it.
///
/// # Errors
/// When it cannot.
pub(crate) fn can_be_written(path: &Path) -> Result<(), String> {
    if path.is_dir() {
        return Err(format!("{}: is a folder", path.display()));
    }
    tempfile::tempfile_in(folder(path)).map_err(|fault| format!("{}: {fault}", path.display()))?;
    Ok(())
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Those of a file that is made the plain way, before the user's mask.
#[cfg(unix)]
fn permissions() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_comes_between_the_marks_and_the_rest_stays() {
        let page = "# A\n\n<!-- peers:begin -->\nold\n<!-- peers:end -->\n\nB\n";
        let new = within_marks(page, "new\n").expect("it has both marks");
        assert_eq!(new, "# A\n\n<!-- peers:begin -->\n\nnew\n\n<!-- peers:end -->\n\nB\n");
        assert_eq!(within_marks(&new, "new\n").as_deref(), Ok(new.as_str()), "and again it changes nothing");
    }

    #[test]
    fn a_page_without_marks_is_refused() {
        assert_eq!(within_marks("", "x").unwrap_err(), "there is no line `<!-- peers:begin -->`");
        let swapped = "<!-- peers:end --><!-- peers:begin -->";
        assert_eq!(
            within_marks(swapped, "x").unwrap_err(),
            "there is no `<!-- peers:end -->` after `<!-- peers:begin -->`"
        );
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left_behind() {
        let folder = tempfile::tempdir().expect("there is room");
        let path = folder.path().join("page.md");
        for text in ["one", "two, which is longer"] {
            write_whole(&path, text).expect("the folder can be written");
            assert_eq!(std::fs::read_to_string(&path).expect("it is there"), text);
        }
        assert_eq!(std::fs::read_dir(&folder).expect("it is there").count(), 1);
        assert_eq!(can_be_written(&path), Ok(()));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_known_before() {
        let folder = tempfile::tempdir().expect("there is room");
        assert!(can_be_written(folder.path()).unwrap_err().ends_with("is a folder"));
        assert!(can_be_written(&folder.path().join("none/page.md")).is_err());
        assert!(write_whole(&folder.path().join("none/page.md"), "x").is_err());
    }
}
