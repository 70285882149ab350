//! Medians and percentiles.

/// The value that so many of 100 are at most as large as, between two values by proportion; 0 of none.
pub(crate) fn percentile(values: &[f64], of_100: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    #[expect(clippy::cast_precision_loss, reason = "there are a few thousand values at most")]
    let place = of_100.clamp(0.0, 100.0) / 100.0 * last as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and `last`")]
    let below = place as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

/// The middle one.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert!((median(&[5.0, 1.0, 3.0]) - 3.0).abs() < 1e-12);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-12);
        assert!((median(&[7.0]) - 7.0).abs() < 1e-12);
        assert!(median(&[]).abs() < 1e-12);
    }

    #[test]
    fn percentiles_lie_between_the_values_by_proportion() {
        let values: Vec<f64> = (0..=10).map(f64::from).collect();
        for (of_100, wanted) in
            [(0.0, 0.0), (10.0, 1.0), (55.0, 5.5), (99.0, 9.9), (100.0, 10.0), (150.0, 10.0)]
        {
            assert!((percentile(&values, of_100) - wanted).abs() < 1e-9, "{of_100}");
        }
    }
}
