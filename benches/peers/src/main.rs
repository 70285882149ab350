//! phalanx's multicast beside other actor runtimes and channels, in one run.
//!
//! ```text
//!   args ──> round: peers by turns, each a child in a process of its own ──> report ──> table, chart, JSON
//! ```
//!
//! Machines differ and are seldom quiet: only ratios of interleaved rounds are judged. A delivery too few or too many is
//! an error.

mod args;
mod chart;
mod child;
mod lanes;
mod load;
mod machine;
mod page;
mod peers;
mod progress;
mod report;
mod round;
mod stage;
mod stat;
mod table;
mod work;

use std::{path::Path, process::ExitCode};

use clap::{CommandFactory, Parser, error::ErrorKind};

use args::Args;
use report::Report;
use round::Effort;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    if words.next().is_some_and(|word| word == child::MARK) {
        let played = words.next().ok_or_else(|| "a part is missing".to_owned());
        if let Err(fault) = played.and_then(|part| child::serve(&part)) {
            eprintln!("error: {fault}");
            return ExitCode::FAILURE;
        }
        // The threads of the peer go on, and its agents are not taken down one by one.
        std::process::exit(0);
    }
    let args = Args::parse();
    let plan = match args.plan() {
        Ok(plan) => plan,
        Err(fault) => Args::command().error(ErrorKind::ValueValidation, fault).exit(),
    };
    let effort = if args.quick { Effort::QUICK } else { Effort::FULL };
    let measured = round::measure(&plan, effort);
    let written = measured.and_then(|measured| {
        let report = Report::new(&measured, effort, &plan.peers);
        write(&args, &report).map(|()| report.missed())
    });
    match written {
        Ok(missed) if missed > 0 && args.check => {
            eprintln!("error: {missed} targets are missed");
            ExitCode::FAILURE
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("error: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn write(args: &Args, report: &Report) -> Result<(), String> {
    let text = table::render(report);
    println!("{text}");
    if let Some(path) = &args.json {
        let figures = serde_json::to_string_pretty(report).map_err(|fault| fault.to_string())?;
        page::write_whole(path, &format!("{figures}\n"))?;
    }
    if let Some(path) = &args.svg {
        page::write_whole(path, &chart::draw(report)?)?;
    }
    if let Some(path) = &args.page {
        let picture = args.svg.as_ref().and_then(|svg| picture(path, svg)).unwrap_or_default();
        page::write_whole(path, &page::with_text(path, &format!("{picture}{text}"))?)?;
    }
    Ok(())
}

/// How a page shows a chart that lies next to it.
fn picture(page: &Path, chart: &Path) -> Option<String> {
    let name = chart.file_name()?.to_str()?;
    let is_next = page.parent() == chart.parent();
    is_next.then(|| format!("![Messages handled in a second, by peers, on a log scale]({name})\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_the_chart_next_to_it_and_no_other() {
        let shown = picture(Path::new("docs/a.md"), Path::new("docs/b.svg")).expect("it lies next to it");
        assert!(shown.ends_with("](b.svg)\n\n"), "{shown}");
        assert_eq!(picture(Path::new("docs/a.md"), Path::new("b.svg")), None);
    }
}
