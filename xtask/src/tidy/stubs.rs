//! Tokens that have no place in the project: stubs, silenced lints, skipped tests, `unsafe` outside its one module.
//!
//! Tokens are compared, not text, so comments and strings may speak of them.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::{Finding, tree::Tree};

/// Macros that stand for work not done, or for work on the way.
const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// The only files that may hold `unsafe` code; each is small and says before every use why it is sound.
const AUDITED: [&str; 1] = ["actors/src/audited.rs"];

/// No Rust file calls a macro of [`MACROS`].
pub(super) fn macros(tree: &Tree) -> Vec<Finding> {
    each(tree, |tokens, at| match &tokens[at..] {
        [TokenTree::Ident(name), TokenTree::Punct(mark), TokenTree::Group(_), ..]
            if mark.as_char() == '!' && MACROS.iter().any(|stub| name == stub) =>
        {
            Some(format!("`{name}!` is left in the code: finish it or take it out"))
        }
        _ => None,
    })
}

/// No Rust file silences a lint by `allow`, nor skips a test by `ignore`, not even behind `cfg_attr`.
pub(super) fn attributes(tree: &Tree) -> Vec<Finding> {
    each(tree, |tokens, at| {
        let TokenTree::Punct(hash) = &tokens[at] else { return None };
        let group = match tokens.get(at + 1)? {
            TokenTree::Punct(mark) if mark.as_char() == '!' => tokens.get(at + 2)?,
            other => other,
        };
        let TokenTree::Group(group) = group else { return None };
        if hash.as_char() != '#' || group.delimiter() != Delimiter::Bracket {
            return None;
        }
        match forbidden(group.stream())?.as_str() {
            "allow" => {
                Some("a lint is silenced by `allow`: mend it, or use `expect` with a reason".to_owned())
            }
            _ => Some("a test is skipped by `ignore`: mend it or take it out".to_owned()),
        }
    })
}

/// The forbidden attribute among the tokens between the brackets.
fn forbidden(tokens: TokenStream) -> Option<String> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let name = tokens.first()?.to_string();
    match (name.as_str(), tokens.get(1)) {
        ("allow" | "ignore", _) => Some(name),
        ("cfg_attr", Some(TokenTree::Group(parts))) => {
            let parts: Vec<TokenTree> = parts.stream().into_iter().collect();
            parts
                .split(|part| matches!(part, TokenTree::Punct(mark) if mark.as_char() == ','))
                .skip(1)
                .find_map(|part| forbidden(part.iter().cloned().collect()))
        }
        _ => None,
    }
}

/// `unsafe` stands in no file but those of [`AUDITED`].
pub(super) fn unsafe_code(tree: &Tree) -> Vec<Finding> {
    let mut findings = each(tree, |tokens, at| match &tokens[at] {
        TokenTree::Ident(word) if word == "unsafe" => {
            Some(format!("`unsafe` outside {}: do without, or move it there", AUDITED.join(" and ")))
        }
        _ => None,
    });
    findings.retain(|finding| !AUDITED.contains(&finding.path.as_str()));
    findings
}

/// Looks at every place in the tokens of every Rust file, at every depth.
fn each(tree: &Tree, look: impl Fn(&[TokenTree], usize) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let mut open = vec![file.tokens.clone()];
        let first = findings.len();
        while let Some(tokens) = open.pop() {
            let tokens: Vec<TokenTree> = tokens.into_iter().collect();
            for (at, token) in tokens.iter().enumerate() {
                if let Some(text) = look(&tokens, at) {
                    findings.push(Finding::error(&file.path, token.span().start().line, text));
                }
                if let TokenTree::Group(group) = token {
                    open.push(group.stream());
                }
            }
        }
        findings[first..].sort_by_key(|finding| finding.line);
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(findings: Vec<Finding>) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_stub_macro_is_an_error_at_any_depth() {
        let tree = Tree::of(&[(
            "src/a.rs",
            "fn a() { if x { todo!() } }\nfn b() { vec![dbg!(1)]; }\nfn c() { std::unimplemented!(\"x\") }",
        )]);
        assert_eq!(
            texts(macros(&tree)),
            [
                "error: src/a.rs:1: `todo!` is left in the code: finish it or take it out",
                "error: src/a.rs:2: `dbg!` is left in the code: finish it or take it out",
                "error: src/a.rs:3: `unimplemented!` is left in the code: finish it or take it out",
            ]
        );
    }

    #[test]
    fn speaking_of_a_stub_is_no_stub() {
        let text = "//! todo!() and #[allow(x)] and unsafe\nfn todo() -> bool { let _ = \"dbg!(x) #[ignore]\"; todo() }";
        let tree = Tree::of(&[("src/a.rs", text)]);
        assert_eq!(texts(macros(&tree)), [""; 0]);
        assert_eq!(texts(attributes(&tree)), [""; 0]);
        assert_eq!(texts(unsafe_code(&tree)), [""; 0]);
    }

    #[test]
    fn a_silenced_lint_and_a_skipped_test_are_errors() {
        let tree = Tree::of(&[(
            "src/a.rs",
            "#![allow(dead_code)]\n#[cfg_attr(unix, inline, allow(x))]\nfn a() {}\n#[test]\n#[ignore = \"slow\"]\nfn b() {}",
        )]);
        assert_eq!(
            texts(attributes(&tree)),
            [
                "error: src/a.rs:1: a lint is silenced by `allow`: mend it, or use `expect` with a reason",
                "error: src/a.rs:2: a lint is silenced by `allow`: mend it, or use `expect` with a reason",
                "error: src/a.rs:5: a test is skipped by `ignore`: mend it or take it out",
            ]
        );
    }

    #[test]
    fn other_attributes_pass() {
        let text = "#[expect(dead_code, reason = \"x\")]\n#[cfg_attr(unix, inline)]\nfn allow() { let ignore = [1]; }";
        assert_eq!(texts(attributes(&Tree::of(&[("src/a.rs", text)]))), [""; 0]);
    }

    #[test]
    fn unsafe_outside_the_audited_module_is_an_error() {
        let text = "fn a() {\n unsafe { b() } }";
        let tree = Tree::of(&[("actors/src/audited.rs", text), ("actors/src/inbox/lane.rs", text)]);
        assert_eq!(
            texts(unsafe_code(&tree)),
            [
                "error: actors/src/inbox/lane.rs:2: `unsafe` outside actors/src/audited.rs: do without, or move it \
                 there"
            ]
        );
    }
}
