//! The tables: one for each setting, one of the targets, one of the peers; Markdown that reads as text as well.

use std::fmt::Write as _;

use crate::report::{Figures, Line, Report};

/// All of it, as it stands in the page.
pub(crate) fn render(report: &Report) -> String {
    let mut text = format!(
        "{}, {} processors, {}; medians of {} rounds.\n",
        report.machine.model, report.machine.processors, report.machine.system, report.rounds
    );
    let mut settings: Vec<&str> = Vec::new();
    for line in &report.works {
        if !settings.contains(&line.setting.as_str()) {
            settings.push(&line.setting);
        }
    }
    for setting in settings {
        let lines: Vec<&Line> = report.works.iter().filter(|line| line.setting == setting).collect();
        for is_rate in [true, false] {
            let lines: Vec<&Line> =
                lines.iter().filter(|line| line.measure.is_rate() == is_rate).copied().collect();
            if !lines.is_empty() {
                let _ = write!(text, "\n{}\n\n{}", title(setting, is_rate), of_setting(report, &lines));
            }
        }
    }
    if !report.targets.is_empty() {
        let _ = write!(text, "\n**Targets**\n\n{}", of_targets(report));
    }
    let _ = write!(text, "\n**Peers**\n\n{}", of_peers(report));
    text
}

fn title(setting: &str, is_rate: bool) -> String {
    let what = if is_rate {
        "M messages handled in a second; x: how many times as many phalanx handles"
    } else {
        "us until all have handled it; x: how much of that phalanx takes"
    };
    format!("**{setting}** ({what})")
}

/// A row for each peer, a column for each line.
fn of_setting(report: &Report, lines: &[&Line]) -> String {
    let mut head = vec!["peer".to_owned()];
    head.extend(lines.iter().map(|line| {
        let name = line.name();
        name.strip_prefix(&line.setting).unwrap_or(&name).trim_start_matches(", ").to_owned()
    }));
    let mut rows = vec![head];
    for peer in &report.peers {
        let cells: Vec<String> = lines
            .iter()
            .map(|line| line.figures.iter().find(|figures| figures.peer == peer.name).map(cell))
            .map(|cell| cell.unwrap_or_else(|| "-".to_owned()))
            .collect();
        if cells.iter().any(|cell| cell != "-") {
            let mut row = vec![peer.name.clone()];
            row.extend(cells);
            rows.push(row);
        }
    }
    aligned(&rows)
}

fn cell(figures: &Figures) -> String {
    let Figures { median, p10, p90, ratio, .. } = figures;
    format!("{} ({}..{}) {}x", shown(*median), shown(*p10), shown(*p90), shown(*ratio))
}

fn of_targets(report: &Report) -> String {
    let mut rows = vec![["work", "asked", "measured", "against", "met?"].map(str::to_owned).to_vec()];
    rows.extend(report.targets.iter().map(|target| {
        let met = if target.is_met { "yes" } else { "NO" };
        vec![
            target.work.clone(),
            target.wanted.clone(),
            format!("{}x", shown(target.ratio)),
            target.rival.clone(),
            met.to_owned(),
        ]
    }));
    aligned(&rows)
}

fn of_peers(report: &Report) -> String {
    let head =
        ["peer", "package", "steady: on their way to 10", "to 1,000", "to 100,000", "10 topics of 100"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(report.peers.iter().map(|peer| {
        let package = match (&peer.package, &peer.version) {
            (Some(package), Some(version)) => format!("{package} {version}"),
            _ => "-".to_owned(),
        };
        let mut row = vec![peer.name.clone(), package];
        row.extend(peer.steady_windows.map(|window| window.to_string()));
        row
    }));
    aligned(&rows)
}

/// A figure with three digits that count, or all those before the point.
pub(crate) fn shown(figure: f64) -> String {
    match figure.abs() {
        size if size >= 99.95 => format!("{figure:.0}"),
        size if size >= 9.995 => format!("{figure:.1}"),
        size if size >= 0.0995 => format!("{figure:.2}"),
        _ => format!("{figure:.4}"),
    }
}

/// A table whose columns are aligned, the first row its head.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if number == 0 {
            for width in &widths {
                let _ = write!(text, "| {} ", "-".repeat(*width));
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{peers, report::tests::report};

    #[test]
    fn every_peer_and_every_work_is_in_the_table() {
        let text = render(&report());
        for peer in peers::ALL {
            // In the list of peers, and in a table at least.
            assert!(text.matches(&format!("| {} ", peer.name())).count() > 1, "{}", peer.name());
        }
        for setting in crate::work::settings() {
            assert!(text.contains(&format!("**{}**", setting.name)), "{}", setting.name);
        }
        assert!(text.contains("1 KiB shared, lone, p99"), "{text}");
    }

    #[test]
    fn rows_of_a_table_are_equally_long_and_have_as_many_cells_as_its_head() {
        let text = render(&report());
        let mut shape = None;
        for line in text.lines() {
            let now = line.starts_with('|').then(|| (line.chars().count(), line.matches('|').count()));
            assert!(shape.is_none() || now.is_none() || now == shape, "{line}");
            shape = now;
        }
    }

    #[test]
    fn a_cell_has_median_spread_and_ratio() {
        let report = report();
        let actix = report.works[0].figures.iter().find(|figures| figures.peer == peers::ACTIX.name());
        assert_eq!(cell(actix.expect("it takes part")), "1.00 (1.00..1.00) 100x");
    }

    #[test]
    fn figures_keep_three_digits() {
        for (figure, wanted) in [
            (694.81, "695"),
            (99.96, "100"),
            (48.889, "48.9"),
            (1.234, "1.23"),
            (0.123_4, "0.12"),
            (0.012, "0.0120"),
        ] {
            assert_eq!(shown(figure), wanted);
        }
    }

    #[test]
    fn a_missed_target_says_no() {
        let mut report = report();
        assert!(!of_targets(&report).contains("NO"));
        report.targets[0].is_met = false;
        assert_eq!(of_targets(&report).matches("| NO ").count(), 1);
    }
}
