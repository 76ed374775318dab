//! Quadratic cost v'Rv/2 with full R and G, v free or in a box: the exact maximum of the discrete Hamiltonian.
//!
//! With the slope p_i of each axis fixed, H is the concave quadratic f'p + v'G'p - v'Rv/2, to be maximised over the box and
//! over the drifts mu = f + G v for which the scheme uses these slopes: central for mu_i in [w-, w+], upward above, downward
//! below. That is a small quadratic programme for each of the 3^d choices; the best of them is the maximum. Most are
//! dismissed by a bound: without constraints the maximum is f'p + p'K p/2, K = G R^{-1} G', and a drift that misses its
//! interval by e costs at least e^2/(2 K_ii).
//! O(3^d d^2) per node, and O((m + d)^2 m^2) for a programme whose constraints matter.

use super::block::{Block, Slopes};
use super::matrices::ControlMatrices;
use super::quadratic_program::{ActiveSet, Constraint};
use crate::space::Slope;
use hjbridge_model::PointBlock;

/// A drift within this fraction of the terms it is made of satisfies its interval.
const ROUNDING: f64 = 1e-13;

const SLOPES: [Slope; 3] = [Slope::Central, Slope::Upward, Slope::Downward];

/// The coupled quadratic maximisation; arrays over all n nodes.
#[derive(Clone, Debug)]
pub(crate) struct Coupled {
    bounds: Vec<(f64, f64)>,
    bounded: bool,
    dim: usize,
    controls: usize,
    n: usize,
    /// R^{-1}, m x m x n.
    inverse: Vec<f64>,
    /// R^{-1} G', m x d x n.
    response: Vec<f64>,
    /// K = G R^{-1} G', d x d x n.
    mobility: Vec<f64>,
}

/// What is being tried at one node.
struct Trial {
    drift: Vec<f64>,
    slope: Vec<usize>,
    quotient: Vec<f64>,
    mu: Vec<f64>,
    v: Vec<f64>,
    programme: ActiveSet,
    constraints: Vec<Constraint>,
}

impl Coupled {
    pub fn new(bounds: Vec<(f64, f64)>, dim: usize, n: usize) -> Self {
        let m = bounds.len();
        Coupled {
            bounded: bounds.iter().any(|(lo, up)| lo.is_finite() || up.is_finite()),
            bounds,
            dim,
            controls: m,
            n,
            inverse: vec![0.0; m * m * n],
            response: vec![0.0; m * dim * n],
            mobility: vec![0.0; dim * dim * n],
        }
    }

    /// Products with R^{-1} at the current time; R has been checked. O(n (m + d) m^2).
    pub fn prepare(&mut self, matrices: &ControlMatrices) {
        let (d, m, n) = (self.dim, self.controls, self.n);
        let mut factor = vec![0.0; m * m];
        let mut column = vec![0.0; m];
        for j in 0..n {
            for i in 0..m {
                for k in 0..=i {
                    let s: f64 = (0..k).map(|l| factor[i * m + l] * factor[k * m + l]).sum();
                    let rest = matrices.weight[(i * m + k) * n + j] - s;
                    factor[i * m + k] = if i == k { rest.sqrt() } else { rest / factor[k * m + k] };
                }
            }
            for c in 0..m + d {
                if c < m {
                    column.fill(0.0);
                    column[c] = 1.0;
                } else {
                    (0..m).for_each(|k| column[k] = matrices.gain[((c - m) * m + k) * n + j]);
                }
                for i in 0..m {
                    let s: f64 = (0..i).map(|l| factor[i * m + l] * column[l]).sum();
                    column[i] = (column[i] - s) / factor[i * m + i];
                }
                for i in (0..m).rev() {
                    let s: f64 = (i + 1..m).map(|l| factor[l * m + i] * column[l]).sum();
                    column[i] = (column[i] - s) / factor[i * m + i];
                }
                for i in 0..m {
                    if c < m {
                        self.inverse[(i * m + c) * n + j] = column[i];
                    } else {
                        self.response[(i * d + c - m) * n + j] = column[i];
                    }
                }
            }
            for a in 0..d {
                for b in 0..d {
                    let gain = |k: usize| matrices.gain[(a * m + k) * n + j];
                    self.mobility[(a * d + b) * n + j] = (0..m).map(|k| gain(k) * self.response[(k * d + b) * n + j]).sum();
                }
            }
        }
    }

    /// K_ii at a node when v is free on R^m.
    pub fn free_mobility(&self, i: usize, node: usize) -> Option<f64> {
        (!self.bounded).then(|| self.mobility[(i * self.dim + i) * self.n + node])
    }

    /// The maximum at each node of the block that starts at node `first`: `v`, `h` and `slope` (d x n of the block) hold the
    /// present policy's and are overwritten unless nothing comes within `margin` of its value.
    pub fn maximise(
        &self,
        block: &Block<'_>,
        first: usize,
        margin: &[f64],
        v: &mut PointBlock,
        h: &mut [f64],
        slope: &mut [Slope],
    ) {
        let (d, m, len) = (self.dim, self.controls, block.len());
        let mut trial = Trial {
            drift: vec![0.0; d],
            slope: vec![0; d],
            quotient: vec![0.0; d],
            mu: vec![0.0; d],
            v: vec![0.0; m],
            programme: ActiveSet::default(),
            constraints: Vec::new(),
        };
        for j in 0..len {
            let mut best = if h[j].is_finite() { h[j] - margin[j] } else { f64::NEG_INFINITY };
            (0..d).for_each(|i| trial.drift[i] = block.drift[i][j]);
            for code in 0..3usize.pow(d as u32) {
                let mut rest = code;
                for i in 0..d {
                    trial.slope[i] = rest % 3;
                    rest /= 3;
                    if let Slopes::Three { quotients, .. } = &block.axes[i] {
                        trial.quotient[i] = quotients[trial.slope[i]][j];
                    }
                }
                if let Some(value) = self.solve(block, first + j, j, best, &mut trial) {
                    best = value;
                    for k in 0..m {
                        let (lo, up) = self.bounds[k];
                        v.as_mut().coord_mut(k)[j] = trial.v[k].max(lo).min(up);
                    }
                    (0..d).for_each(|i| slope[i * len + j] = SLOPES[trial.slope[i]]);
                    h[j] = value;
                }
            }
        }
    }

    /// The maximum for one choice of slopes, if it is above `best`; the control is left in the trial.
    fn solve(&self, block: &Block<'_>, node: usize, j: usize, best: f64, trial: &mut Trial) -> Option<f64> {
        let (d, m, n) = (self.dim, self.controls, self.n);
        let mut objective = 0.0;
        for i in 0..d {
            let push: f64 = (0..d).map(|l| self.mobility[(i * d + l) * n + node] * trial.quotient[l]).sum();
            trial.mu[i] = trial.drift[i] + push;
            objective += (trial.drift[i] + 0.5 * push) * trial.quotient[i];
        }
        if objective <= best {
            return None;
        }
        let mut inside = true;
        for i in 0..d {
            let (lo, up) = interval(&block.axes[i], trial.slope[i], j)?;
            let missed = (lo - trial.mu[i]).max(trial.mu[i] - up);
            let size = trial.drift[i].abs() + trial.mu[i].abs();
            if missed > ROUNDING * size {
                inside = false;
                let mobility = self.mobility[(i * d + i) * n + node];
                // Negated, so that a drift that the control does not move fails.
                if !(mobility > 0.0 && objective - 0.5 * missed * missed / mobility > best) {
                    return None;
                }
            }
        }
        for k in 0..m {
            trial.v[k] = (0..d).map(|i| self.response[(k * d + i) * n + node] * trial.quotient[i]).sum();
            let (lo, up) = self.bounds[k];
            let missed = (lo - trial.v[k]).max(trial.v[k] - up);
            if missed > 0.0 {
                inside = false;
                if objective - 0.5 * missed * missed / self.inverse[(k * m + k) * n + node] <= best {
                    return None;
                }
            }
        }
        if inside {
            return Some(objective);
        }
        let count = self.collect(block, node, j, trial);
        trial.programme.maximise(&trial.constraints[..count], objective, best, &mut trial.v)
    }

    /// The constraints of the box and of the windows at a node; their number.
    fn collect(&self, block: &Block<'_>, node: usize, j: usize, trial: &mut Trial) -> usize {
        let (d, m, n) = (self.dim, self.controls, self.n);
        let Trial { constraints, drift, slope, .. } = trial;
        constraints.resize(2 * (m + d), Constraint::default());
        let mut count = 0;
        let mut push = |normal: &dyn Fn(usize) -> f64, image: &dyn Fn(usize) -> f64, sign: f64, bound: f64| {
            if bound.is_finite() {
                let c = &mut constraints[count];
                c.normal.clear();
                c.image.clear();
                c.normal.extend((0..m).map(|k| sign * normal(k)));
                c.image.extend((0..m).map(|k| sign * image(k)));
                c.bound = sign * bound;
                count += 1;
            }
        };
        for k in 0..m {
            let normal = |l: usize| if l == k { 1.0 } else { 0.0 };
            let image = |l: usize| self.inverse[(l * m + k) * n + node];
            push(&normal, &image, 1.0, self.bounds[k].0);
            push(&normal, &image, -1.0, self.bounds[k].1);
        }
        for i in 0..d {
            let normal = |k: usize| block.gain[i * m + k].map_or(0.0, |g| g[j]);
            let image = |k: usize| self.response[(k * d + i) * n + node];
            if (0..m).all(|k| normal(k) == 0.0) {
                continue; // a drift that no control moves: checked before
            }
            if let Some((lo, up)) = interval(&block.axes[i], slope[i], j) {
                push(&normal, &image, 1.0, lo - drift[i]);
                push(&normal, &image, -1.0, up - drift[i]);
            }
        }
        count
    }
}

/// The drifts for which a slope is used; `None` when there is none.
fn interval(slopes: &Slopes<'_>, slope: usize, j: usize) -> Option<(f64, f64)> {
    let Slopes::Three { low, high, .. } = slopes else { return None };
    let (lo, up) = match slope {
        0 => (low[j], high[j]),
        1 => (high[j], f64::INFINITY),
        _ => (f64::NEG_INFINITY, low[j]),
    };
    (lo < f64::INFINITY && up > f64::NEG_INFINITY).then_some((lo, up))
}
