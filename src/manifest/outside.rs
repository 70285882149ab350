//! The checks that look at the outside world: programs on PATH, files and directories that can be read.
//!
//! Only what must be there before the swarm starts is looked at: what an earlier task may still make is left alone.

use std::{
    fs::{self, File},
    path::Path,
};

use super::{
    decode::{Decoder, Spanned},
    fault::{Code, quote},
    marks::Outside,
    template::{INDEX, PATH},
};

/// Looks at everything that the bodies need and that no task of the manifest can make first.
pub(super) fn check(cx: &mut Decoder<'_>) {
    let programs_first = cx.marks.startup.iter().any(|task| makes_things(&task.outside));
    let startup = cx.marks.startup.iter().map(|task| (&task.outside, task.depends_on.is_empty()));
    let tasks =
        cx.marks.tasks.iter().map(|task| (&task.outside, task.depends_on.is_empty() && !programs_first));
    let all: Vec<(Outside, bool)> = startup
        .chain(tasks)
        .flat_map(|(outside, first)| outside.iter().map(move |one| (one.clone(), first)))
        .collect();
    for (one, first) in all {
        match one {
            Outside::Program { program, within } => check_program(cx, &program, within.as_deref(), first),
            Outside::File(path) if first && !has_place(&path.value) => check_file(cx, &path),
            Outside::Directory(path) if first && !has_place(&path.value) => check_directory(cx, &path),
            Outside::File(_) | Outside::Directory(_) => {}
        }
    }
}

fn makes_things(outside: &[Outside]) -> bool {
    outside.iter().any(|one| matches!(one, Outside::Program { .. }))
}

fn has_place(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.contains(PATH) || text.contains(INDEX)
}

fn check_program(cx: &mut Decoder<'_>, program: &Spanned<String>, within: Option<&Path>, first: bool) {
    let path = Path::new(&program.value);
    let is_path = path.components().count() > 1;
    if has_place(path) || within.is_some_and(has_place) || (is_path && !first) {
        return;
    }
    let found = match within {
        Some(directory) if is_path => which::which(directory.join(path)),
        _ => which::which(path),
    };
    if found.is_err() {
        let (message, help) = if is_path {
            (
                format!("the program {} is not there, or cannot be executed", quote(&program.value)),
                "check the path and its permissions",
            )
        } else {
            (format!("the program {} is not on PATH", quote(&program.value)), "install it, or write its path")
        };
        cx.fault(Code::MissingProgram, program.span.clone(), message, help);
    }
}

fn check_file(cx: &mut Decoder<'_>, path: &Spanned<std::path::PathBuf>) {
    let name = quote(&path.value.to_string_lossy());
    let problem = match fs::metadata(&path.value) {
        Err(error) => Some((
            format!("the file {name} cannot be read: {}", plain(&error)),
            "check the path and its permissions",
        )),
        Ok(about) if about.is_dir() => {
            Some((format!("{name} is a directory, not a file"), "write the path of a file"))
        }
        // Opening a pipe would wait for its writer.
        Ok(about) if !about.is_file() => None,
        Ok(_) => File::open(&path.value).err().map(|error| {
            (format!("the file {name} cannot be read: {}", plain(&error)), "check its permissions")
        }),
    };
    if let Some((message, help)) = problem {
        cx.fault(Code::UnreadableFile, path.span.clone(), message, help);
    }
}

fn check_directory(cx: &mut Decoder<'_>, path: &Spanned<std::path::PathBuf>) {
    let name = quote(&path.value.to_string_lossy());
    let problem = match fs::metadata(&path.value) {
        Ok(about) if !about.is_dir() => Some(format!("{name} is no directory")),
        Ok(_) => fs::read_dir(&path.value)
            .err()
            .map(|error| format!("the directory {name} cannot be read: {}", plain(&error))),
        Err(error) => Some(format!("the directory {name} cannot be read: {}", plain(&error))),
    };
    if let Some(message) = problem {
        cx.fault(Code::UnreadableFile, path.span.clone(), message, "check the path and its permissions");
    }
}

/// An error of the operating system in words that do not differ between systems where they are common.
pub(super) fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "it is not there".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}
