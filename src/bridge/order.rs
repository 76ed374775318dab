//! Observed orders of convergence, with their uncertainty.
//!
//! A sequence of errors is deterministic: its scatter about a power law is what the next terms of its expansion add, not noise. The
//! standard errors and 95 % bands (Student's law) of a fit therefore say how far the sequence is from a pure power of N, and an
//! order outside its band happens more often than once in twenty. The order in the limit is extrapolated besides, by a fit that
//! knows of the next term.

use serde::Serialize;

/// A least-squares fit of log error = log C - order log N.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OrderFit {
    /// The order.
    pub order: f64,
    /// Standard error of the slope from the scatter about the line; 0 for two points.
    pub standard_error: f64,
    /// Half the width of its 95 % band; absent for two points.
    pub half_width_95: Option<f64>,
    /// C in error = C N^-order.
    pub constant: f64,
    /// Its 95 % band; absent for two points.
    pub constant_band_95: Option<(f64, f64)>,
}

/// What a sequence of errors says about its order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OrderStudy {
    /// From each N to the next.
    pub octave_orders: Vec<Option<f64>>,
    /// The power law through the last (at most three) points.
    pub fit: Option<OrderFit>,
    /// p in error = C N^-p exp(D/N), that is C N^-p (1 + D/N + ...), through the last (at most four) points: the order in the limit.
    pub limit: Option<f64>,
    /// Half the width of its 95 % band; absent for three points, which determine it.
    pub limit_half_width_95: Option<f64>,
    /// C of that law.
    pub limit_constant: Option<f64>,
    /// The same limit by Aitken's extrapolation of the last three octave orders.
    pub aitken: Option<f64>,
    /// The first N from which on all octave orders are within 0.1 of the limit.
    pub asymptotic_from: Option<usize>,
}

/// Octave orders this close to the limit count as asymptotic.
const ASYMPTOTIC: f64 = 0.1;

impl OrderStudy {
    /// Of the errors at these N, ascending.
    pub fn new(steps: &[usize], errors: &[f64]) -> Self {
        let octave_orders = octave_orders(steps, errors);
        let corrected = corrected_law(&usable(steps, errors, 4));
        let limit = corrected.map(|c| c.0);
        let asymptotic_from = limit.and_then(|limit| {
            let close = |o: &Option<f64>| o.is_some_and(|o| (o - limit).abs() <= ASYMPTOTIC);
            let first = octave_orders.iter().rposition(|o| !close(o)).map_or(0, |i| i + 1);
            (first < octave_orders.len()).then(|| steps[first])
        });
        let aitken = match octave_orders[..] {
            [.., Some(a), Some(b), Some(c)] => {
                let limit = c - (c - b).powi(2) / (c - 2.0 * b + a);
                limit.is_finite().then_some(limit)
            }
            _ => None,
        };
        OrderStudy {
            fit: fit_order(steps, errors, 3),
            limit,
            limit_half_width_95: corrected.and_then(|c| c.1),
            limit_constant: corrected.map(|c| c.2),
            aitken,
            asymptotic_from,
            octave_orders,
        }
    }
}

/// A Richardson table of V_N at t = 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RichardsonTable {
    /// The N of the rows.
    pub steps: Vec<usize>,
    /// For each row the distance of its entries from the reference, sup over the comparison box: first V_N, then the combinations of
    /// order 2 and 3, T_{j+1}^N = (2^j T_j^N - T_j^{N/2})/(2^j - 1). A row has as many entries as N/2, N/4 are there.
    pub errors: Vec<Vec<f64>>,
    /// The same by differences alone, without a reference: |T_{j+1}^N - T_j^N|. The last entry of a row has none.
    pub estimates: Vec<Vec<f64>>,
}

/// Columns of the table.
const COLUMNS: usize = 3;

impl RichardsonTable {
    /// From V_N at some points and the reference there, N ascending.
    pub fn new(values: &[(usize, Vec<f64>)], reference: &[f64]) -> Self {
        let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
        let mut table = RichardsonTable::default();
        let mut rows: Vec<(usize, Vec<Vec<f64>>)> = Vec::new();
        for (n, value) in values {
            let half = rows.iter().find(|(m, _)| 2 * m == *n).map(|(_, row)| row);
            let mut row = vec![value.clone()];
            for (j, coarse) in half.into_iter().flatten().enumerate().take(COLUMNS - 1) {
                let power = (1u32 << (j + 1)) as f64;
                let combined = row[j].iter().zip(coarse).map(|(f, c)| (power * f - c) / (power - 1.0)).collect();
                row.push(combined);
            }
            table.steps.push(*n);
            table.errors.push(row.iter().map(|entry| distance(entry, reference)).collect());
            table.estimates.push(row.windows(2).map(|w| distance(&w[1], &w[0])).collect());
            rows.push((*n, row));
        }
        table
    }
}

/// log(e_i / e_{i+1}) / log(N_{i+1} / N_i) for each pair of neighbours; `None` where an error is not positive.
pub fn octave_orders(steps: &[usize], errors: &[f64]) -> Vec<Option<f64>> {
    let pair = |i: usize| {
        let order = (errors[i] / errors[i + 1]).ln() / (steps[i + 1] as f64 / steps[i] as f64).ln();
        order.is_finite().then_some(order)
    };
    (0..steps.len().min(errors.len()).saturating_sub(1)).map(pair).collect()
}

/// (N, log error) of the last `points` pairs, where the error is positive and finite.
fn usable(steps: &[usize], errors: &[f64], points: usize) -> Vec<(f64, f64)> {
    let skipped = steps.len().min(errors.len()).saturating_sub(points);
    let last = steps.iter().zip(errors).skip(skipped).filter(|(_, e)| e.is_finite() && **e > 0.0);
    last.map(|(&n, &e)| (n as f64, e.ln())).collect()
}

/// Fit on the last `points` pairs (N, error); `None` with fewer than two usable ones.
pub fn fit_order(steps: &[usize], errors: &[f64], points: usize) -> Option<OrderFit> {
    let usable: Vec<(f64, f64)> = usable(steps, errors, points).iter().map(|(n, e)| (n.ln(), *e)).collect();
    let n = usable.len() as f64;
    if usable.len() < 2 {
        return None;
    }
    let (mx, my) = usable.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / n, b + y / n));
    let sxx: f64 = usable.iter().map(|(x, _)| (x - mx).powi(2)).sum();
    let slope = usable.iter().map(|(x, y)| (x - mx) * (y - my)).sum::<f64>() / sxx;
    let scatter: f64 = usable.iter().map(|(x, y)| (y - my - slope * (x - mx)).powi(2)).sum();
    let variance = if usable.len() > 2 { scatter / (n - 2.0) } else { 0.0 };
    let standard_error = (variance / sxx).sqrt();
    let quantile = student_975(usable.len() - 2);
    let intercept = my - slope * mx;
    let band = quantile.map(|q| q * (variance * (1.0 / n + mx * mx / sxx)).sqrt());
    slope.is_finite().then(|| OrderFit {
        order: -slope,
        standard_error,
        half_width_95: quantile.map(|q| q * standard_error),
        constant: intercept.exp(),
        constant_band_95: band.map(|w| ((intercept - w).exp(), (intercept + w).exp())),
    })
}

/// p, half the width of its band and C of log e = log C - p log N + D/N through three points or more, by least squares.
fn corrected_law(points: &[(f64, f64)]) -> Option<(f64, Option<f64>, f64)> {
    if points.len() < 3 {
        return None;
    }
    // columns 1, -log N, 1/N, made orthogonal one after the other; the columns' means are the first coefficients
    let count = points.len() as f64;
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mean = |a: &[f64]| a.iter().sum::<f64>() / count;
    let centred = |a: Vec<f64>| -> (Vec<f64>, f64) {
        let m = mean(&a);
        (a.iter().map(|a| a - m).collect(), m)
    };
    let (x, mean_x) = centred(points.iter().map(|(n, _)| -n.ln()).collect());
    let (z, mean_z) = centred(points.iter().map(|(n, _)| 1.0 / n).collect());
    let (y, mean_y) = centred(points.iter().map(|(_, e)| *e).collect());
    let share = dot(&x, &z) / dot(&z, &z);
    let rest: Vec<f64> = x.iter().zip(&z).map(|(x, z)| x - share * z).collect();
    let p = dot(&rest, &y) / dot(&rest, &rest);
    let d = (dot(&z, &y) - p * dot(&z, &x)) / dot(&z, &z);
    let constant = (mean_y - p * mean_x - d * mean_z).exp();
    let scatter: f64 = (0..points.len()).map(|i| (y[i] - p * x[i] - d * z[i]).powi(2)).sum();
    let free = points.len() - 3;
    let half_width = student_975(free).map(|q| q * (scatter / free as f64 / dot(&rest, &rest)).sqrt());
    (p.is_finite() && constant.is_finite()).then_some((p, half_width, constant))
}

/// The 97.5 % quantile of Student's law, to three digits after the point; `None` without degrees of freedom.
fn student_975(freedom: usize) -> Option<f64> {
    const TABLE: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    (freedom > 0).then(|| TABLE.get(freedom - 1).copied().unwrap_or(2.228))
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
        assert!((f.order - 1.5).abs() < 1e-12 && f.standard_error < 1e-12 && (f.constant - 3.0).abs() < 1e-12);
        // only the last points count, and an error of zero is left out
        let f = fit_order(&[4, 8, 16, 32], &[1e9, 1.0, 0.5, 0.25], 3).unwrap();
        assert!((f.order - 1.0).abs() < 1e-12);
        assert!(fit_order(&[4, 8], &[1.0, 0.0], 2).is_none());
        assert_eq!(octave_orders(&[4, 8], &[1.0, 0.0]), vec![None]);
        let f = fit_order(&[4, 8], &[1.0, 0.5], 3).unwrap();
        assert!(f.half_width_95.is_none() && f.constant_band_95.is_none() && (f.constant - 4.0).abs() < 1e-12);
    }

    /// Residuals (1, -2, 1)/10 about a line have the variance 6/100, the slope one of 6/100 / (2 log(2)^2).
    #[test]
    fn bands_are_those_of_the_regression() {
        let noise = [0.1, -0.2, 0.1f64];
        let errors: Vec<f64> = (0..3).map(|i| (noise[i] - i as f64 * 2f64.ln()).exp()).collect();
        let f = fit_order(&[1, 2, 4], &errors, 3).unwrap();
        let expected = (0.06 / (2.0 * 2f64.ln().powi(2))).sqrt();
        assert!((f.order - 1.0).abs() < 1e-12 && (f.standard_error - expected).abs() < 1e-12);
        assert!((f.half_width_95.unwrap() - 12.706 * expected).abs() < 1e-9);
        // log C = 0 with the standard error sqrt(0.06 (1/3 + log(2)^2/(2 log(2)^2)))
        let (low, high) = f.constant_band_95.unwrap();
        let half = 12.706 * (0.06f64 * (1.0 / 3.0 + 0.5)).sqrt();
        assert!((f.constant - 1.0).abs() < 1e-12 && (low.ln() + half).abs() < 1e-9 && (high.ln() - half).abs() < 1e-9);
    }

    #[test]
    fn the_limit_is_seen_through_the_next_term() {
        let steps = [8, 16, 32, 64, 128];
        let errors = steps.map(|n| 2.0 / n as f64 * (-6.0 / n as f64).exp());
        let s = OrderStudy::new(&steps, &errors);
        assert!((s.limit.unwrap() - 1.0).abs() < 1e-12 && s.limit_half_width_95.unwrap() < 1e-9, "{s:?}");
        assert!((s.limit_constant.unwrap() - 2.0).abs() < 1e-11);
        // octave orders 1 - 6/(2 N log 2), halving in distance: Aitken is exact, and the first within 0.1 is that at N = 64
        assert!((s.aitken.unwrap() - 1.0).abs() < 1e-10 && s.asymptotic_from == Some(64), "{s:?}");
        // a law that is not exponential in D/N is met up to the next term, (D/N)^2 at N = 16
        let errors = steps.map(|n| 2.0 / n as f64 * (1.0 - 4.0 / n as f64));
        let s = OrderStudy::new(&steps, &errors);
        assert!((s.limit.unwrap() - 1.0).abs() < (4.0f64 / 16.0).powi(2) && s.limit.unwrap() != 1.0, "{s:?}");
        assert!(OrderStudy::new(&[8, 16], &[1.0, 0.5]).limit.is_none());
    }

    #[test]
    fn the_table_removes_one_power_for_each_column() {
        let value = |n: usize| {
            let h = 1.0 / n as f64;
            vec![1.0 + h + 3.0 * h * h, 2.0 - h + h.powi(3)]
        };
        let values: Vec<_> = [4, 8, 16, 24].map(|n| (n, value(n))).into();
        let t = RichardsonTable::new(&values, &[1.0, 2.0]);
        assert_eq!(t.errors.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 3, 1]);
        // the first component is exact in the third column, the second has h^3 times (2 + 8 (1/2)^3 ...) there: by hand
        let second = |n: f64| (2.0 * (2.0 - 1.0 / n + n.powi(-3)) - (2.0 - 2.0 / n + 8.0 * n.powi(-3))) - 2.0;
        let third = (4.0 * second(16.0) - second(8.0)) / 3.0;
        assert!((t.errors[2][2] - third.abs()).abs() < 1e-13, "{t:?}");
        assert!((t.errors[1][0] - (1.0 / 8.0 + 3.0 / 64.0)).abs() < 1e-15);
        assert!((t.estimates[1][0] - (1.0 / 8.0 + 3.0 / 64.0 - (-6.0 / 64.0))).abs() < 1e-13, "{t:?}");
    }
}
