//! The files of the project, read and parsed once.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use anyhow::Context as _;
use proc_macro2::TokenStream;

use super::Finding;

/// The project's own files by their path from the root, with `/` between folders.
pub(super) struct Tree {
    texts: BTreeMap<String, String>,
    rust: Vec<RustFile>,
    unreadable: Vec<Finding>,
}

/// A Rust file.
pub(super) struct RustFile {
    /// Its path from the root.
    pub(super) path: String,
    /// Its items.
    pub(super) ast: syn::File,
    /// Its tokens: no comments, and each literal whole.
    pub(super) tokens: TokenStream,
    /// Whether it is compiled for tests alone: below a `tests` folder or behind a `#[cfg(test)] mod`.
    pub(super) test: bool,
}

impl Tree {
    /// A tree of these texts.
    pub(super) fn new(texts: BTreeMap<String, String>) -> Self {
        let mut rust = Vec::new();
        let mut unreadable = Vec::new();
        for (path, text) in texts.iter().filter(|(path, _)| is_rust(path)) {
            let parsed = syn::parse_file(text)
                .and_then(|ast| Ok((ast, text.parse::<TokenStream>().map_err(syn::Error::from)?)));
            match parsed {
                Ok((ast, tokens)) => {
                    let test = path.split('/').rev().skip(1).any(|folder| folder == "tests");
                    rust.push(RustFile { path: path.clone(), ast, tokens, test });
                }
                Err(fault) => {
                    let line = fault.span().start().line;
                    unreadable.push(Finding::error(path, line, format!("does not parse as Rust: {fault}")));
                }
            }
        }
        let modules: BTreeSet<String> = rust.iter().flat_map(test_modules).collect();
        for file in &mut rust {
            let stem = file.path.strip_suffix(".rs").expect("only Rust files are in the list");
            file.test |= modules.iter().any(|module| {
                stem.strip_prefix(module.as_str())
                    .is_some_and(|rest| matches!(rest.chars().next(), None | Some('/')))
            });
        }
        Self { texts, rust, unreadable }
    }

    /// The files git knows of or would add; without git, all but `target` and hidden folders.
    ///
    /// # Errors
    /// When a file or folder cannot be read.
    pub(super) fn load(root: &Path) -> anyhow::Result<Self> {
        let paths = match listed_by_git(root) {
            Some(paths) => paths,
            None => walked(root)?,
        };
        let mut texts = BTreeMap::new();
        for path in paths {
            let place = root.join(&path);
            if place.is_file() {
                let bytes = std::fs::read(&place).with_context(|| format!("reading {path}"))?;
                texts.insert(path, String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        Ok(Self::new(texts))
    }

    /// Files that cannot be parsed: no other rule sees them.
    pub(super) fn unreadable(&self) -> Vec<Finding> {
        self.unreadable.clone()
    }

    /// The text of one file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// All files with their texts, in the order of their paths.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The Rust files, in the order of their paths.
    pub(super) fn rust(&self) -> &[RustFile] {
        &self.rust
    }

    /// A tree of these paths and texts.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        Self::new(files.iter().map(|&(path, text)| (path.to_owned(), text.to_owned())).collect())
    }
}

/// Whether attributes hold `#[cfg(test)]`, alone or as a part of `all(..)`, or mark a test.
pub(super) fn for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        if path.is_ident("cfg") {
            return attribute.meta.require_list().is_ok_and(|list| {
                let mut tokens = list.tokens.clone().into_iter();
                match (tokens.next(), tokens.next()) {
                    (Some(proc_macro2::TokenTree::Ident(word)), None) => word == "test",
                    (
                        Some(proc_macro2::TokenTree::Ident(word)),
                        Some(proc_macro2::TokenTree::Group(parts)),
                    ) => word == "all" && parts.stream().into_iter().any(|part| part.to_string() == "test"),
                    _ => false,
                }
            });
        }
        path.segments.last().is_some_and(|last| last.ident == "test")
    })
}

/// The stems of the files a Rust file declares as modules for tests alone, by name or by `#[path]`.
fn test_modules(file: &RustFile) -> Vec<String> {
    let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    let own = match name {
        "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
        name => below(folder, name.trim_end_matches(".rs")),
    };
    file.ast
        .items
        .iter()
        .filter_map(|item| match item {
            syn::Item::Mod(module) if module.content.is_none() && for_tests(&module.attrs) => {
                Some(module.attrs.iter().find_map(path_given).map_or_else(
                    || below(&own, &module.ident.to_string()),
                    |path| below(folder, path.trim_end_matches(".rs")),
                ))
            }
            _ => None,
        })
        .collect()
}

/// The text of `#[path = ".."]`.
fn path_given(attribute: &syn::Attribute) -> Option<String> {
    let pair = attribute.path().is_ident("path").then(|| attribute.meta.require_name_value().ok())??;
    match &pair.value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

fn walked(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut open = vec![String::new()];
    while let Some(folder) = open.pop() {
        let place = root.join(&folder);
        for entry in std::fs::read_dir(&place).with_context(|| format!("reading {}", place.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = below(&folder, &name);
            let kind = entry.file_type()?;
            if kind.is_file() {
                found.push(path);
            } else if kind.is_dir() && name != "target" && name != ".git" {
                open.push(path);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_parse_is_an_error_at_its_line() {
        let tree = Tree::of(&[("src/a.rs", "fn good() {}\nfn bad( {}\n"), ("src/b.rs", "fn good() {}")]);
        let [finding] = &tree.unreadable()[..] else { panic!("one file of two is bad") };
        assert!(finding.to_string().starts_with("error: src/a.rs:2: does not parse as Rust: "), "{finding}");
    }

    #[test]
    fn a_module_behind_cfg_test_is_a_test_file_and_so_is_all_below_it() {
        let tree = Tree::of(&[
            ("src/a.rs", "#[cfg(test)] mod model; #[cfg(all(test, unix))] mod more; mod plain;"),
            ("src/a/model.rs", ""),
            ("src/a/model/part.rs", ""),
            ("src/a/models.rs", ""),
            ("src/a/more.rs", ""),
            ("src/a/plain.rs", ""),
            ("src/b.rs", "#[cfg(not(test))] mod live;"),
            ("src/b/live.rs", ""),
            ("src/c.rs", "#[cfg(test)] #[path = \"c_tests.rs\"] mod tests;"),
            ("src/c_tests.rs", ""),
            ("tests/kill.rs", ""),
        ]);
        let tests: Vec<&str> = tree.rust().iter().filter(|file| file.test).map(|file| &*file.path).collect();
        assert_eq!(
            tests,
            ["src/a/model.rs", "src/a/model/part.rs", "src/a/more.rs", "src/c_tests.rs", "tests/kill.rs"]
        );
    }

    #[test]
    fn the_walk_without_git_finds_this_file_and_nothing_built() {
        let paths = walked(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("this package can be read");
        assert!(paths.contains(&"src/tidy/tree.rs".to_owned()));
        assert!(paths.iter().all(|path| !path.contains("target/")));
    }
}
