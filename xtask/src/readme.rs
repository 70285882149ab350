//! The two set-up commands README.md promises, found and tried.
//!
//! Each stands alone in a fenced `sh` block under an HTML comment:
//!
//! ````text
//! <!-- set-up: main job -->
//! ```sh
//! cargo run --release -- run examples/checksum/swarm.json
//! ```
//! ````

/// The command README.md must give for the tests.
pub(crate) const TESTS: &str = "cargo xtask test";

const MAIN_JOB_MARKER: &str = "<!-- set-up: main job -->";
const TESTS_MARKER: &str = "<!-- set-up: tests -->";

/// The command of the main job, once both commands of README.md are well formed.
///
/// # Errors
/// A message saying which marker is missing, doubled or without its block, or that the tests are started otherwise.
pub(crate) fn main_job(readme: Option<&str>) -> Result<String, String> {
    let readme =
        readme.ok_or("README.md is missing: write it, with both set-up commands under their markers")?;
    let main = marked(readme, MAIN_JOB_MARKER)?;
    let tests = marked(readme, TESTS_MARKER)?;
    if tests != TESTS {
        return Err(format!("README.md starts the tests by `{tests}`: it must be `{TESTS}`"));
    }
    Ok(main)
}

/// The one command in the fenced block under `marker`.
fn marked(readme: &str, marker: &str) -> Result<String, String> {
    let places: Vec<usize> =
        readme.lines().enumerate().filter(|(_, line)| line.trim() == marker).map(|(at, _)| at + 1).collect();
    let at = match places[..] {
        [at] => at,
        [] => {
            return Err(format!(
                "README.md has no marker `{marker}`: put it on the line above its ```sh block"
            ));
        }
        [first, second, ..] => {
            return Err(format!(
                "README.md has the marker `{marker}` twice, on lines {first} and {second}: keep one"
            ));
        }
    };
    let mut lines = readme.lines().skip(at).skip_while(|line| line.trim().is_empty());
    if lines.next().map(str::trim) != Some("```sh") {
        return Err(format!(
            "README.md has no ```sh block under the marker `{marker}` of line {at}: add it there"
        ));
    }
    let block: Vec<&str> = lines.take_while(|line| line.trim() != "```").collect();
    let commands = commands(&block);
    match &commands[..] {
        [command] => Ok(command.clone()),
        _ => Err(format!(
            "README.md has {} commands in the block under `{marker}`: give exactly one",
            commands.len()
        )),
    }
}

/// The commands of a block: comments and empty lines left out, lines ending in a backslash joined.
pub(crate) fn commands(block: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for line in block.iter().map(|line| line.trim()) {
        if open.is_none() && (line.is_empty() || line.starts_with('#')) {
            continue;
        }
        let (part, more) = line.strip_suffix('\\').map_or((line, false), |part| (part.trim_end(), true));
        let joined = open.take().map_or_else(|| part.to_owned(), |before| format!("{before} {part}"));
        if more {
            open = Some(joined);
        } else {
            found.push(joined);
        }
    }
    found.extend(open);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# phalanx\n\n<!-- set-up: main job -->\n```sh\n# builds first\ncargo run -- run \\\n  a.json\n\
                        ```\n\n<!-- set-up: tests -->\n\n```sh\ncargo xtask test\n```\n";

    #[test]
    fn the_main_job_is_read_from_under_its_marker() {
        assert_eq!(main_job(Some(GOOD)), Ok("cargo run -- run a.json".to_owned()));
    }

    #[test]
    fn a_readme_that_breaks_its_promise_is_refused_with_the_place() {
        let refusals = [
            (
                GOOD.replace("main job -->", "job -->"),
                "README.md has no marker `<!-- set-up: main job -->`: put it on the line above its ```sh block",
            ),
            (
                format!("{GOOD}<!-- set-up: tests -->\n"),
                "README.md has the marker `<!-- set-up: tests -->` twice, on lines 10 and 15: keep one",
            ),
            (
                GOOD.replacen("```sh", "text", 1),
                "README.md has no ```sh block under the marker `<!-- set-up: main job -->` of line 3: add it there",
            ),
            (
                GOOD.replace("# builds first", "cargo build"),
                "README.md has 2 commands in the block under `<!-- set-up: main job -->`: give exactly one",
            ),
            (
                GOOD.replace("xtask test", "test"),
                "README.md starts the tests by `cargo test`: it must be `cargo xtask test`",
            ),
        ];
        for (readme, message) in refusals {
            assert_eq!(main_job(Some(&readme)), Err(message.to_owned()));
        }
    }

    #[test]
    fn a_missing_readme_is_said_so() {
        assert_eq!(
            main_job(None),
            Err("README.md is missing: write it, with both set-up commands under their markers".to_owned())
        );
    }
}
