//! What the `use` declarations of a module bring in.

use std::collections::BTreeMap;

use proc_macro2::Ident;
use syn::{UseTree, visit::Visit};

/// The imported names, each with the paths it may stand for.
pub(super) type Imports = BTreeMap<String, Vec<Vec<String>>>;

/// One name a `use` brings in.
pub(super) struct Leaf {
    /// The whole path; a glob ends in `*`.
    pub(super) words: Vec<String>,
    /// The name it goes by in the module.
    pub(super) name: String,
    /// The line, from 1.
    pub(super) line: usize,
}

/// Every name a tree of a `use` brings in.
pub(super) fn leaves(tree: &UseTree) -> Vec<Leaf> {
    fn walk(tree: &UseTree, before: &[String], found: &mut Vec<Leaf>) {
        let with = |ident: &Ident| before.iter().cloned().chain([ident.to_string()]).collect::<Vec<_>>();
        match tree {
            UseTree::Path(path) => walk(&path.tree, &with(&path.ident), found),
            UseTree::Group(group) => group.items.iter().for_each(|tree| walk(tree, before, found)),
            UseTree::Glob(star) => {
                let words = before.iter().cloned().chain(["*".to_owned()]).collect();
                found.push(Leaf { words, name: "*".into(), line: star.star_token.spans[0].start().line });
            }
            UseTree::Name(syn::UseName { ident }) | UseTree::Rename(syn::UseRename { ident, .. }) => {
                let words = if ident == "self" && !before.is_empty() { before.to_vec() } else { with(ident) };
                let name = match tree {
                    UseTree::Rename(rename) => rename.rename.to_string(),
                    _ => words.last().expect("a name has a word").clone(),
                };
                found.push(Leaf { words, name, line: ident.span().start().line });
            }
        }
    }
    let mut found = Vec::new();
    walk(tree, &[], &mut found);
    found
}

/// What a module imports by name, in its items and in the bodies of its functions, but not in its inner modules.
pub(super) fn imports_of(items: &[syn::Item]) -> Imports {
    struct Uses(Imports);
    impl<'ast> Visit<'ast> for Uses {
        fn visit_item_mod(&mut self, _: &'ast syn::ItemMod) {}
        fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
            for leaf in leaves(&item.tree) {
                self.0.entry(leaf.name).or_default().push(leaf.words);
            }
        }
    }
    let mut uses = Uses(Imports::new());
    for item in items {
        uses.visit_item(item);
    }
    uses.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_known_by_their_own_names_and_inner_modules_keep_theirs() {
        let text = "use a::{self, b as c}; fn f() { use d::e; } mod inner { use g::h; } use a::*;";
        let file = syn::parse_file(text).expect("the text is Rust");
        let imports: Vec<(String, String)> = imports_of(&file.items)
            .into_iter()
            .map(|(name, paths)| {
                (name, paths.iter().map(|path| path.join("::")).collect::<Vec<_>>().join(" "))
            })
            .collect();
        let expected = [("*", "a::*"), ("a", "a"), ("c", "a::b"), ("e", "d::e")];
        assert_eq!(imports, expected.map(|(name, path)| (name.to_owned(), path.to_owned())));
    }
}
