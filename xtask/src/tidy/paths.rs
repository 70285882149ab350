//! Every path a Rust file names: in `use`, inline, and inside macros.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::{
    imports::{Imports, imports_of, leaves},
    tree::{RustFile, for_tests},
};

/// One path as a file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// The path as written, with `self` and `super` turned into `crate::..`; a glob ends in `*`.
    pub(super) written: Vec<String>,
    /// The same with the first word replaced by what the module imports under it; as written when it imports none.
    pub(super) meant: Vec<String>,
    /// The line, from 1.
    pub(super) line: usize,
    /// Whether it stands in code compiled for tests alone.
    pub(super) test: bool,
}

/// All paths of two words or more that `file` names, and imported names used alone, in the order of the file.
pub(super) fn named(file: &RustFile) -> Vec<Named> {
    let mut reader = Reader {
        module: module_of(&file.path),
        imports: imports_of(&file.ast.items),
        test: file.test,
        found: Vec::new(),
    };
    reader.visit_file(&file.ast);
    reader.found
}

/// The module a file is, by its path below its `src` folder.
fn module_of(path: &str) -> Vec<String> {
    let below = path.rsplit_once("src/").map_or(path, |(_, below)| below);
    let mut module: Vec<String> = below.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        module.pop();
    }
    module
}

struct Reader {
    module: Vec<String>,
    imports: Imports,
    test: bool,
    found: Vec<Named>,
}

impl Reader {
    fn add(&mut self, words: &[String], line: usize, import: bool) {
        let written = self.absolute(words);
        let candidates = if import { None } else { self.imports.get(&words[0]) };
        let Some(candidates) = candidates else {
            if written.len() > 1 {
                self.found.push(Named { meant: written.clone(), written, line, test: self.test });
            }
            return;
        };
        for candidate in candidates {
            let meant = candidate.iter().chain(&words[1..]).cloned().collect();
            self.found.push(Named { meant, written: written.clone(), line, test: self.test });
        }
    }

    /// `self::a`, `super::a` and `crate::a` as `crate::..::a`; other paths as they are.
    fn absolute(&self, words: &[String]) -> Vec<String> {
        let mut base = self.module.clone();
        let mut rest = words;
        if !matches!(rest[0].as_str(), "self" | "super") {
            return words.to_vec();
        }
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "self" => {}
                "super" => drop(base.pop()),
                _ => break,
            }
            rest = after;
        }
        std::iter::once("crate".to_owned()).chain(base).chain(rest.iter().cloned()).collect()
    }

    /// Finds `a::b::c` and `a::{b, c::d}` among the tokens of a macro.
    fn scan(&mut self, tokens: TokenStream, prefix: &[String]) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Ident(first) => {
                    let line = first.span().start().line;
                    let mut words = prefix.to_vec();
                    words.push(first.to_string());
                    at += 1;
                    let mut grouped = false;
                    while is_separator(&tokens, at) {
                        match tokens.get(at + 2) {
                            Some(TokenTree::Ident(word)) => words.push(word.to_string()),
                            Some(TokenTree::Punct(star)) if star.as_char() == '*' => words.push("*".into()),
                            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                                self.scan(group.stream(), &words);
                                grouped = true;
                            }
                            _ => break,
                        }
                        at += 3;
                    }
                    if !grouped {
                        self.add(&words, line, false);
                    }
                }
                TokenTree::Group(group) => {
                    self.scan(group.stream(), &[]);
                    at += 1;
                }
                _ => at += 1,
            }
        }
    }

    fn within(&mut self, test: bool, read: impl FnOnce(&mut Self)) {
        let before = self.test;
        self.test |= test;
        read(self);
        self.test = before;
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        self.within(for_tests(attributes(item)), |reader| visit::visit_item(reader, item));
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let test = matches!(item, syn::ImplItem::Fn(function) if for_tests(&function.attrs));
        self.within(test, |reader| visit::visit_impl_item(reader, item));
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let Some((_, items)) = &module.content else { return };
        self.module.push(module.ident.to_string());
        let outer = std::mem::replace(&mut self.imports, imports_of(items));
        visit::visit_item_mod(self, module);
        self.imports = outer;
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        for leaf in leaves(&item.tree) {
            self.add(&leaf.words, leaf.line, true);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let line = path.segments.first().map_or(0, |first| first.ident.span().start().line);
        self.add(&words, line, false);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        visit::visit_macro(self, call);
        self.scan(call.tokens.clone(), &[]);
    }
}

fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(mark)) if mark.as_char() == ':');
    colon(at) && colon(at + 1)
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    use syn::Item as I;
    match item {
        I::Const(item) => &item.attrs,
        I::Enum(item) => &item.attrs,
        I::ExternCrate(item) => &item.attrs,
        I::Fn(item) => &item.attrs,
        I::ForeignMod(item) => &item.attrs,
        I::Impl(item) => &item.attrs,
        I::Macro(item) => &item.attrs,
        I::Mod(item) => &item.attrs,
        I::Static(item) => &item.attrs,
        I::Struct(item) => &item.attrs,
        I::Trait(item) => &item.attrs,
        I::TraitAlias(item) => &item.attrs,
        I::Type(item) => &item.attrs,
        I::Union(item) => &item.attrs,
        I::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tree::Tree, *};

    fn of(path: &str, text: &str) -> Vec<(String, String, usize, bool)> {
        let tree = Tree::of(&[(path, text)]);
        named(&tree.rust()[0])
            .into_iter()
            .map(|named| (named.written.join("::"), named.meant.join("::"), named.line, named.test))
            .collect()
    }

    fn row(written: &str, meant: &str, line: usize, test: bool) -> (String, String, usize, bool) {
        (written.to_owned(), meant.to_owned(), line, test)
    }

    #[test]
    fn use_trees_are_flattened_with_groups_globs_renames_and_self() {
        assert_eq!(
            of("src/a/b.rs", "use crate::{x::{self, Y as Z},\n w::*};\nuse super::c::D;\nuse self::e::F;"),
            [
                row("crate::x", "crate::x", 1, false),
                row("crate::x::Y", "crate::x::Y", 1, false),
                row("crate::w::*", "crate::w::*", 2, false),
                row("crate::a::c::D", "crate::a::c::D", 3, false),
                row("crate::a::b::e::F", "crate::a::b::e::F", 4, false),
            ]
        );
    }

    #[test]
    fn inline_paths_are_found_and_led_back_to_their_import() {
        assert_eq!(
            of("src/a.rs", "use std::time as t;\nfn f() -> t::Instant {\n t::Instant::now() }"),
            [
                row("std::time", "std::time", 1, false),
                row("t::Instant", "std::time::Instant", 2, false),
                row("t::Instant::now", "std::time::Instant::now", 3, false),
            ]
        );
    }

    #[test]
    fn paths_inside_macros_are_found_too() {
        assert_eq!(
            of("src/a.rs", "fn f() { vec![crate::x::Y,\n g(super::z())]; }\nm! { use crate::{p::Q, r}; }"),
            [
                row("crate::x::Y", "crate::x::Y", 1, false),
                row("crate::z", "crate::z", 2, false),
                row("crate::p::Q", "crate::p::Q", 3, false),
                row("crate::r", "crate::r", 3, false),
            ]
        );
    }

    #[test]
    fn code_for_tests_is_marked_as_such() {
        let text = "#[cfg(test)]\nmod tests {\n use super::super::x::Y;\n}\nuse crate::z::W;";
        assert_eq!(
            of("src/a/b.rs", text),
            [row("crate::a::x::Y", "crate::a::x::Y", 3, true), row("crate::z::W", "crate::z::W", 5, false)]
        );
    }
}
