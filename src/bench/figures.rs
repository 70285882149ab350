//! How figures are written on a page.

use crate::report::units::count;

/// A duration \[us\] in seconds, to the millisecond, or the microsecond where that matters.
pub(super) fn seconds(us: u64) -> String {
    let (whole, part) = (us / 1_000_000, us % 1_000_000);
    if part.is_multiple_of(1_000) {
        format!("{whole}.{:03} s", part / 1_000)
    } else {
        format!("{whole}.{part:06} s")
    }
}

pub(super) fn times(ratio: f64) -> String {
    format!("{}x", three_digits(ratio))
}

/// A figure with three digits, or all before the point.
pub(super) fn three_digits(figure: f64) -> String {
    match figure {
        // What would be written as 10.00 is written as 10.0.
        figure if figure < 9.995 => format!("{figure:.2}"),
        figure if figure < 99.95 => format!("{figure:.1}"),
        figure => whole(figure),
    }
}

pub(super) fn whole(figure: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates and ratios are small and positive"
    )]
    let rounded = figure.round() as u64;
    count(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_digits_and_durations_all_that_matter() {
        let rows = [
            (0.0, "0.00"),
            (9.994, "9.99"),
            (9.996, "10.0"),
            (99.94, "99.9"),
            (99.96, "100"),
            (12_345.6, "12,346"),
        ];
        for (figure, text) in rows {
            assert_eq!(three_digits(figure), text);
        }
        assert_eq!([100_000, 5_100_000, 1_000_001].map(seconds), ["0.100 s", "5.100 s", "1.000001 s"]);
    }
}
