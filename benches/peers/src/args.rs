//! What may be asked for.

use std::path::PathBuf;

use clap::Parser;

use crate::{
    page,
    peers::{self, Kind, Peer},
    work::{self, Pace, Payload, Setting},
};

/// Compares phalanx's multicast with other actor runtimes and channels, side by side in one run.
///
/// Each peer runs in a process of its own, with its agents on two threads; rounds of all follow one another by turns. Every
/// delivery is counted. The tables go to the standard output, progress to the standard error.
#[derive(Debug, Parser)]
#[command(
    name = "peers",
    after_help = "Exit codes: 0 measured, 1 a peer lost a message or failed (or, with --check, a target is missed), \
                  2 wrong arguments."
)]
pub(crate) struct Args {
    /// Short rounds, all within about a minute, and 100,000 agents with one payload and steady streams alone: for a look, not
    /// for figures to quote
    #[arg(long)]
    pub(crate) quick: bool,

    /// Only works with this in their name, or, when no work has it, phalanx, plain actix and peers with this in theirs;
    /// may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,

    /// Writes every figure: each round, medians, spread, versions, class of machine
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Puts the tables between the marks `<!-- peers:begin -->` and `<!-- peers:end -->` of a page
    #[arg(long, value_name = "FILE")]
    pub(crate) page: Option<PathBuf>,

    /// Writes a chart of the rates
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// Ends with exit code 1 when a target is missed
    #[arg(long)]
    pub(crate) check: bool,
}

/// What is measured.
pub(crate) struct Plan {
    pub(crate) settings: Vec<Setting>,
    pub(crate) peers: Vec<&'static dyn Peer>,
}

impl Args {
    /// What they come to.
    ///
    /// # Errors
    /// When they do not go together, name nothing, or name files that cannot be written.
    pub(crate) fn plan(&self) -> Result<Plan, String> {
        if !self.only.is_empty() {
            let whole =
                [("--page", self.page.is_some()), ("--svg", self.svg.is_some()), ("--check", self.check)];
            if let Some((option, _)) = whole.iter().find(|(_, is_set)| *is_set) {
                return Err(format!("{option} wants all works and peers: leave out --only"));
            }
        }
        for path in [&self.json, &self.page, &self.svg].into_iter().flatten() {
            page::can_be_written(path)?;
        }
        if let Some(path) = &self.page {
            page::with_text(path, "")?;
        }
        let mut works = Vec::new();
        let mut rivals: Vec<&str> = Vec::new();
        for filter in &self.only {
            if !work::picked(std::slice::from_ref(filter)).is_empty() {
                works.push(filter.clone());
            } else if peers::ALL.iter().any(|peer| peer.name().contains(filter.as_str())) {
                rivals.push(filter);
            } else {
                return Err(format!("no work and no peer has `{filter}` in its name; {}", names()));
            }
        }
        let is_asked = |peer: &&dyn Peer| {
            rivals.is_empty()
                || peer.kind() == Kind::Phalanx
                || peer.name() == peers::ACTIX.name()
                || rivals.iter().any(|rival| peer.name().contains(rival))
        };
        let mut settings = work::picked(&works);
        if self.quick {
            // Of the crowds that take the longest, one work.
            settings.retain(|setting| {
                setting.crowd.agents <= 1_000 || setting.payload == Payload::Shared1024 || !works.is_empty()
            });
            for setting in settings.iter_mut().filter(|setting| setting.crowd.agents > 1_000) {
                setting.works.retain(|work| work.pace == Pace::Steady || !works.is_empty());
            }
        }
        Ok(Plan { settings, peers: peers::ALL.into_iter().filter(is_asked).collect() })
    }
}

/// What may be picked.
fn names() -> String {
    let settings = work::settings();
    let works: Vec<&str> =
        settings.iter().flat_map(|setting| &setting.works).map(|work| work.name.as_str()).collect();
    let peers = peers::ALL.map(Peer::name);
    format!("works are: {}\npeers are: {}", works.join("; "), peers.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &[&str]) -> Result<Plan, String> {
        let words = ["peers"].iter().chain(words);
        Args::try_parse_from(words).map_err(|fault| fault.to_string())?.plan()
    }

    #[test]
    fn all_works_and_peers_are_measured_unless_something_is_picked() {
        let plan = plan(&[]).expect("nothing is wrong");
        assert_eq!((plan.settings, plan.peers.len()), (work::settings(), peers::ALL.len()));
    }

    #[test]
    fn a_quick_look_does_one_work_of_the_largest_crowd_unless_others_are_asked_for() {
        let quick = plan(&["--quick"]).expect("nothing is wrong");
        assert_eq!(quick.settings.len() + 1, work::settings().len());
        let largest =
            quick.settings.iter().find(|setting| setting.crowd.agents > 1_000).expect("there is one");
        assert_eq!(largest.works.len(), 1);
        let asked = plan(&["--quick", "--only", "to 100,000, 16 B"]).expect("nothing is wrong");
        assert_eq!(asked.settings.len(), 1);
    }

    #[test]
    fn a_name_picks_works_and_another_picks_peers() {
        let plan = plan(&["--only", "to 10, 16 B", "--only", "tokio"]).expect("both name something");
        assert_eq!(plan.settings.len(), 1);
        let names: Vec<&str> = plan.peers.iter().map(|peer| peer.name()).collect();
        assert_eq!(
            names,
            ["phalanx", "actix, do_send", "tokio broadcast, two runtimes", "tokio broadcast, multi-thread"]
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_to_do() {
        let fault = plan(&["--only", "akka"]).err().expect("there is no such name");
        assert!(
            fault.starts_with("no work and no peer has `akka` in its name; works are: fan-out"),
            "{fault}"
        );
        let fault = plan(&["--only", "flume", "--check"]).err();
        assert_eq!(fault.as_deref(), Some("--check wants all works and peers: leave out --only"));
        assert!(plan(&["--page", "no-such-folder/page.md"]).is_err());
        assert!(plan(&["--quickly"]).is_err());
    }

    #[test]
    fn a_page_without_marks_is_refused_before_the_work() {
        let folder = tempfile::tempdir().expect("there is room");
        let path = folder.path().join("page.md");
        std::fs::write(&path, "# A page\n").expect("there is room");
        let fault = plan(&["--page", path.to_str().expect("it is text")]).err().expect("it has no marks");
        assert!(fault.ends_with("page.md: there is no line `<!-- peers:begin -->`"), "{fault}");
    }
}
