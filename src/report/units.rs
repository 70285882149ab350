//! Figures and texts as people read them.

use unicode_width::UnicodeWidthStr;

/// A whole number in groups of three digits.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A whole number in at most seven columns: three digits and a unit from a million on.
pub(super) fn brief(number: u64) -> String {
    const UNITS: [(u64, &str); 5] = [
        (1_000_000_000_000_000_000, "E"),
        (1_000_000_000_000_000, "P"),
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
    ];
    // What would be written as 1000 of a unit is written as 1.00 of the next.
    match UNITS.iter().find(|(unit, _)| number >= unit - unit / 2_000) {
        Some((unit, letter)) if number >= 1_000_000 => format!("{} {letter}", three_digits(number, *unit)),
        _ => count(number),
    }
}

/// A count of something, with the plural where it belongs.
pub(crate) fn many(number: u64, one: &str, more: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { more })
}

/// A duration \[us\].
pub(crate) fn took(us: u64) -> String {
    const SECOND: u64 = 1_000_000;
    let seconds = us.saturating_add(SECOND / 2) / SECOND;
    match us {
        0 => "0 s".to_owned(),
        1..1_000 => format!("{us} us"),
        1_000..999_500 => format!("{} ms", three_digits(us, 1_000)),
        999_500..59_950_000 => format!("{} s", three_digits(us, SECOND)),
        _ if seconds < 3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ if seconds < 86_400 => {
            format!("{}h {:02}m {:02}s", seconds / 3_600, seconds / 60 % 60, seconds % 60)
        }
        _ if seconds >= 1_000 * 86_400 => format!("{}d", seconds / 86_400),
        _ => format!("{}d {:02}h {:02}m", seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60),
    }
}

/// `number / unit` with three digits, rounded half up.
fn three_digits(number: u64, unit: u64) -> String {
    let (number, unit) = (u128::from(number), u128::from(unit));
    let rounded = |parts: u128| (number * parts + unit / 2) / unit;
    if rounded(100) < 1_000 {
        format!("{}.{:02}", rounded(100) / 100, rounded(100) % 100)
    } else if rounded(10) < 1_000 {
        format!("{}.{}", rounded(10) / 10, rounded(10) % 10)
    } else {
        rounded(1).to_string()
    }
}

/// A text in one line, without anything that could steer a terminal.
pub(crate) fn tame(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut tame = String::with_capacity(text.len());
    for c in text.trim_end().chars() {
        match c {
            '\n' | '\t' => tame.push(' '),
            '\r' => {}
            c if steers(c) => tame.push('\u{fffd}'),
            c => tame.push(c),
        }
    }
    tame
}

/// A text in at most `width` columns: what is too long loses its middle.
pub(crate) fn fit(text: &str, width: usize) -> String {
    const GAP: &str = "..";
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(GAP.len());
    let (before, after) = (room / 2, room - room / 2);
    // Letters that belong together are wider or narrower than each by itself, so whole pieces are measured.
    let cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let head = cuts.iter().map(|end| &text[..*end]).take_while(|head| head.width() <= before).last();
    let head = head.unwrap_or_default();
    let fitted = |tail: &str| (tail.width() <= after).then(|| format!("{head}{GAP}{tail}"));
    let tails = cuts.iter().map(|start| &text[*start..]);
    tails.filter_map(fitted).find(|fitted| fitted.width() <= width).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_read_well_at_every_scale() {
        let rows = [
            (0, "0 s"),
            (1, "1 us"),
            (999, "999 us"),
            (1_000, "1.00 ms"),
            (12_345, "12.3 ms"),
            (999_499, "999 ms"),
            (999_500, "1.00 s"),
            (1_234_567, "1.23 s"),
            (59_949_999, "59.9 s"),
            (59_950_000, "1m 00s"),
            (3_599_400_000, "59m 59s"),
            (3_600_000_000, "1h 00m 00s"),
            (90_061_000_000, "1d 01h 01m"),
        ];
        for (us, text) in rows {
            assert_eq!(took(us), text);
        }
        assert_eq!(took(u64::MAX), "213503982d");
    }

    #[test]
    fn counts_read_well_at_every_scale() {
        assert_eq!(
            [0, 999, 1_000, 50_001, 1_234_567].map(count),
            ["0", "999", "1,000", "50,001", "1,234,567"]
        );
        assert_eq!(
            [999_999, 1_000_000, 12_345_678, 999_600_000, u64::MAX].map(brief),
            ["999,999", "1.00 M", "12.3 M", "1.00 G", "18.4 E"]
        );
        assert_eq!((many(1, "task", "tasks"), many(2, "task", "tasks")), ("1 task".into(), "2 tasks".into()));
    }

    #[test]
    fn what_could_steer_a_terminal_is_replaced() {
        assert_eq!(tame("a\u{1b}[31mb\r\nc\u{202e}d\n"), "a\u{fffd}[31mb c\u{fffd}d");
    }

    #[test]
    fn letters_that_belong_together_are_measured_together() {
        let text = "A0\u{aaa}0  0 0a\u{1f56f}\u{fe0f}A\u{1e950}\u{1f300}\u{1ee5b}";
        assert!(text.width() > 13 && fit(text, 13).width() <= 13);
    }

    proptest! {
        #[test]
        fn a_brief_count_takes_at_most_seven_columns(number: u64) {
            prop_assert!(brief(number).len() <= 7, "{}", brief(number));
        }

        #[test]
        fn a_fitted_text_keeps_to_its_columns_and_its_ends(text in "\\PC{0,40}", width in 4_usize..30) {
            let fitted = fit(&text, width);
            prop_assert!(fitted.width() <= width, "{fitted:?}");
            prop_assert_eq!(fitted == text, text.width() <= width, "{:?}", fitted);
        }
    }
}
