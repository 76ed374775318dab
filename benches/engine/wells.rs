//! The double well of C. Domingo-Enrich, J. Han, B. Amos, J. Bruna, R. T. Q. Chen, Stochastic Optimal Control Matching
//! (arXiv:2312.02027), one coordinate of it: minimise E[ int_0^1 v^2/2 dt + nu (X_1^2 - 1)^2 ],
//! dX = (-4 kappa X (X^2 - 1) + v) dt + dB, kappa = 5, nu = 3. Reference values by extrapolation, good to 1e-10, at t = 0.9 to
//! 5e-8.

use crate::models::{Model, interpolate};
use hjbridge::model::TensorGrid;

/// (x, V, u).
pub type Entry = (f64, f64, f64);

/// (t, entries).
pub const TABLE: [(f64, [Entry; 5]); 3] = [
    (
        0.0,
        [
            (0.0, 0.1366518398, 0.0),
            (0.1, 0.1366518294, 1.884e-7),
            (0.5, 0.1366517781, 1.75e-8),
            (1.0, 0.1366517766, 1e-10),
            (1.5, 0.1366517766, 0.0),
        ],
    ),
    (
        0.5,
        [
            (0.0, 0.1371853068, 0.0),
            (0.1, 0.1370975974, 0.0015909786),
            (0.5, 0.1366640137, 0.0001483780),
            (1.0, 0.1366516039, 1.1671e-6),
            (1.5, 0.1366513591, 2.009e-7),
        ],
    ),
    (
        0.9,
        [
            (0.0, 0.90584174, 0.0),
            (0.1, 0.77836415, 2.2220490),
            (0.5, 0.18689811, 0.3680541),
            (1.0, 0.13537158, 0.0185796),
            (1.5, 0.13102760, 0.0038101),
        ],
    ),
];

/// The model, with the terminal cost as a cost (sign 1) or as a reward (-1).
pub fn soc(sign: f64) -> Model {
    Model {
        sigma: crate::models::Sigma::Scaled(1.0),
        gain: 1.0,
        running: Box::new(|_, l| l.fill(0.0)),
        terminal: Box::new(move |x, g| {
            g.iter_mut().zip(x.coord(0)).for_each(|(g, x)| *g = sign * 3.0 * (x * x - 1.0).powi(2));
        }),
        ..Model::double_well(&[5.0], 2.0, 0.0)
    }
}

/// (V, u) at the points of the table, V with the sign of a cost: time by time.
pub type Values = Vec<Option<[(f64, f64); 5]>>;

/// Note one level if it is in the table.
pub fn read(found: &mut Values, grid: &TensorGrid, sign: f64, t: f64, value: &[f64], control: &[f64]) {
    found.resize(TABLE.len(), None);
    let nodes = grid.axis(0).nodes();
    if let Some(k) = TABLE.iter().position(|row| (row.0 - t).abs() < 1e-9) {
        found[k] = Some(TABLE[k].1.map(|e| (sign * interpolate(nodes, value, e.0), interpolate(nodes, control, e.0))));
    }
}

/// The table itself.
pub fn reference() -> Values {
    TABLE.iter().map(|row| Some(row.1.map(|e| (e.1, e.2)))).collect()
}

/// Largest differences of V and u over the times `which`; NaN where one is missing.
pub fn apart(a: &Values, b: &Values, which: std::ops::Range<usize>) -> (f64, f64) {
    which.fold((0.0, 0.0), |worst, k| match (a[k], b[k]) {
        (Some(a), Some(b)) => {
            a.iter().zip(&b).fold(worst, |m: (f64, f64), (a, b)| (m.0.max((a.0 - b.0).abs()), m.1.max((a.1 - b.1).abs())))
        }
        _ => (f64::NAN, f64::NAN),
    })
}
