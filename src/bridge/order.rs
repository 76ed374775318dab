//! Observed orders of convergence.

use serde::Serialize;

/// A least-squares fit of log error = c - order log N.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OrderFit {
    /// The order.
    pub order: f64,
    /// Standard error of the slope from the scatter about the line; 0 for two points.
    pub standard_error: f64,
}

/// log(e_i / e_{i+1}) / log(N_{i+1} / N_i) for each pair of neighbours; `None` where an error is not positive.
pub fn octave_orders(steps: &[usize], errors: &[f64]) -> Vec<Option<f64>> {
    let pair = |i: usize| {
        let order = (errors[i] / errors[i + 1]).ln() / (steps[i + 1] as f64 / steps[i] as f64).ln();
        order.is_finite().then_some(order)
    };
    (0..steps.len().min(errors.len()).saturating_sub(1)).map(pair).collect()
}

/// Fit on the last `points` pairs (N, error); `None` with fewer than two usable ones.
pub fn fit_order(steps: &[usize], errors: &[f64], points: usize) -> Option<OrderFit> {
    let usable: Vec<(f64, f64)> = steps
        .iter()
        .zip(errors)
        .skip(steps.len().min(errors.len()).saturating_sub(points))
        .filter(|(_, e)| e.is_finite() && **e > 0.0)
        .map(|(&n, &e)| ((n as f64).ln(), e.ln()))
        .collect();
    let n = usable.len() as f64;
    if usable.len() < 2 {
        return None;
    }
    let (mx, my) = usable.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / n, b + y / n));
    let sxx: f64 = usable.iter().map(|(x, _)| (x - mx).powi(2)).sum();
    let slope = usable.iter().map(|(x, y)| (x - mx) * (y - my)).sum::<f64>() / sxx;
    let scatter: f64 = usable.iter().map(|(x, y)| (y - my - slope * (x - mx)).powi(2)).sum();
    let standard_error = if usable.len() > 2 { (scatter / (n - 2.0) / sxx).sqrt() } else { 0.0 };
    slope.is_finite().then_some(OrderFit { order: -slope, standard_error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_have_their_order() {
        let steps = [8, 16, 64];
        let errors = steps.map(|n| 3.0 * (n as f64).powf(-1.5));
        for o in octave_orders(&steps, &errors) {
            assert!((o.unwrap() - 1.5).abs() < 1e-12);
        }
        let f = fit_order(&steps, &errors, 3).unwrap();
        assert!((f.order - 1.5).abs() < 1e-12 && f.standard_error < 1e-12);
        // only the last points count, and an error of zero is left out
        let f = fit_order(&[4, 8, 16, 32], &[1e9, 1.0, 0.5, 0.25], 3).unwrap();
        assert!((f.order - 1.0).abs() < 1e-12);
        assert!(fit_order(&[4, 8], &[1.0, 0.0], 2).is_none());
        assert_eq!(octave_orders(&[4, 8], &[1.0, 0.0]), vec![None]);
    }
}
