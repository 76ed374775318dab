//! The discrete Hamiltonian on a block of nodes, for one control per node.
//!
//!   H_j(v) = sum_i phi_i(mu_i) - c(t, x_j, v),   mu_i = f_i + sum_k G_ik v_k,
//!
//! where phi_i(mu) = mu p_i(mu) with the slope p_i that the space scheme uses at drift mu, or whatever else the scheme
//! makes of a drift (exponential fitting). What does not depend on v is left out. At an end of the central window both slopes belong to the
//! scheme: there phi is the larger of the two, so that the maximum over v is attained.

use crate::norms::all_finite;
use crate::space::Slope;
use crate::space::fitted::excess;
use hjbridge_model::{Coefficients, Points};

/// A drift this close to an end of the window, relative to it, counts as the end.
const END: f64 = 1e-13;

/// What the scheme makes of a drift on one axis.
pub(crate) enum Slopes<'b> {
    /// Three difference quotients, chosen by the central window.
    Three {
        /// The quotients: central, upward, downward.
        quotients: [&'b [f64]; 3],
        /// Ends of the window.
        low: &'b [f64],
        high: &'b [f64],
    },
    /// Exponential fitting: mu times the central quotient, and the added diffusion times the second difference.
    Fitted {
        central: &'b [f64],
        second: &'b [f64],
        /// a and h of the added diffusion.
        variance: &'b [f64],
        spacing: &'b [f64],
    },
}

impl Slopes<'_> {
    /// phi and the slope that gives it, at node j.
    #[inline]
    pub fn at(&self, j: usize, mu: f64) -> (f64, Slope) {
        match self {
            Slopes::Three { quotients, low, high } => {
                three([quotients[0][j], quotients[1][j], quotients[2][j]], low[j], high[j], mu)
            }
            Slopes::Fitted { central, second, variance, spacing } => {
                (mu * central[j] + second[j] * excess(mu, variance[j], spacing[j]), Slope::Fitted)
            }
        }
    }

    /// Add phi(mu) to `out`.
    fn add(&self, mu: &[f64], out: &mut [f64]) {
        match self {
            Slopes::Three { quotients: [central, upward, downward], low, high } => {
                let n = out.len();
                let (central, upward, downward) = (&central[..n], &upward[..n], &downward[..n]);
                let (low, high, mu) = (&low[..n], &high[..n], &mu[..n]);
                for j in 0..n {
                    out[j] += three([central[j], upward[j], downward[j]], low[j], high[j], mu[j]).0;
                }
            }
            Slopes::Fitted { .. } => out.iter_mut().zip(mu).enumerate().for_each(|(j, (o, mu))| *o += self.at(j, *mu).0),
        }
    }
}

/// The best of the slopes that the window [low, high] admits at drift mu.
#[inline]
fn three(p: [f64; 3], low: f64, high: f64, mu: f64) -> (f64, Slope) {
    let (low_end, high_end) = (END * low.abs(), END * high.abs());
    let central = if mu >= low - low_end && mu <= high + high_end { mu * p[0] } else { f64::NEG_INFINITY };
    let upward = if mu >= high - high_end { mu * p[1] } else { f64::NEG_INFINITY };
    let downward = if mu <= low + low_end { mu * p[2] } else { f64::NEG_INFINITY };
    let mut best = (central, Slope::Central);
    best = if upward > best.0 { (upward, Slope::Upward) } else { best };
    if downward > best.0 { (downward, Slope::Downward) } else { best }
}

/// The running cost of the control.
pub(crate) enum Cost<'b> {
    /// v'Rv/2: entry (k, l) of R at `k m + l`, a slice over the block each; `None` where it vanishes on the whole grid.
    Quadratic(Vec<Option<&'b [f64]>>),
    /// Whatever the model writes.
    General(&'b dyn Coefficients),
}

/// A cost that was not finite: node of the block and value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub node: usize,
    pub value: f64,
}

/// Nodes next to one another in memory, with everything that H needs there.
pub(crate) struct Block<'b> {
    /// The points.
    pub x: Points<'b>,
    /// f_i.
    pub drift: Vec<&'b [f64]>,
    /// G_ik at `i m + k`; `None` where it vanishes on the whole grid.
    pub gain: Vec<Option<&'b [f64]>>,
    pub axes: Vec<Slopes<'b>>,
    pub cost: Cost<'b>,
}

/// Working arrays for [`Block::values`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    mu: Vec<f64>,
    cost: Vec<f64>,
    /// The first cost that was not finite.
    pub fault: Option<Fault>,
}

impl Block<'_> {
    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.x.len()
    }

    /// Number m of components of the control.
    pub fn controls(&self) -> usize {
        self.gain.len() / self.drift.len().max(1)
    }

    /// c(v) at each node.
    pub fn costs(&self, v: Points<'_>, out: &mut [f64], fault: &mut Option<Fault>) {
        match &self.cost {
            Cost::Quadratic(weight) => {
                let m = v.dim();
                out.fill(0.0);
                for k in 0..m {
                    for l in 0..m {
                        if let Some(weight) = weight[k * m + l] {
                            let factors = weight.iter().zip(v.coord(k)).zip(v.coord(l));
                            out.iter_mut().zip(factors).for_each(|(o, ((r, a), b))| *o += 0.5 * r * a * b);
                        }
                    }
                }
            }
            Cost::General(at) => {
                at.control_cost(self.x, v, out);
                if fault.is_none() && !all_finite(out) {
                    *fault = out.iter().position(|c| !c.is_finite()).map(|node| Fault { node, value: out[node] });
                }
            }
        }
    }

    /// mu_i = f_i + sum_k G_ik v_k at each node.
    pub fn drifts(&self, axis: usize, v: Points<'_>, out: &mut [f64]) {
        let m = v.dim();
        out.copy_from_slice(self.drift[axis]);
        for k in 0..m {
            if let Some(gain) = self.gain[axis * m + k] {
                out.iter_mut().zip(gain).zip(v.coord(k)).for_each(|((mu, g), v)| *mu += g * v);
            }
        }
    }

    /// H(v) at each node; NaN or infinite where the cost is not finite.
    pub fn values(&self, v: Points<'_>, out: &mut [f64], work: &mut Work) {
        let n = self.len();
        work.mu.resize(n, 0.0);
        work.cost.resize(n, 0.0);
        self.costs(v, &mut work.cost, &mut work.fault);
        out.iter_mut().zip(&work.cost).for_each(|(o, c)| *o = -c);
        for (i, slopes) in self.axes.iter().enumerate() {
            self.drifts(i, v, &mut work.mu);
            slopes.add(&work.mu, out);
        }
    }

    /// H(v) at each node, and the sum of the absolute values of its terms: what rounding errors are measured by.
    pub fn values_and_sizes(&self, v: Points<'_>, out: &mut [f64], size: &mut [f64], work: &mut Work) {
        let n = self.len();
        work.mu.resize(n, 0.0);
        work.cost.resize(n, 0.0);
        self.costs(v, &mut work.cost, &mut work.fault);
        for ((o, s), c) in out.iter_mut().zip(size.iter_mut()).zip(&work.cost) {
            (*o, *s) = (-c, c.abs());
        }
        for (i, slopes) in self.axes.iter().enumerate() {
            self.drifts(i, v, &mut work.mu);
            for j in 0..n {
                let (phi, _) = slopes.at(j, work.mu[j]);
                out[j] += phi;
                size[j] += phi.abs();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_slopes_belong_to_an_end_of_the_window() {
        let p = [1.0, 3.0, -2.0];
        assert_eq!(three(p, -1.0, 2.0, 0.5), (0.5, Slope::Central));
        assert_eq!(three(p, -1.0, 2.0, 2.0), (6.0, Slope::Upward));
        assert_eq!(three([4.0, 3.0, -2.0], -1.0, 2.0, 2.0 + 1e-14), (4.0 * (2.0 + 1e-14), Slope::Central));
        assert_eq!(three(p, -1.0, 2.0, -1.0), (2.0, Slope::Downward));
        assert_eq!(three(p, f64::NEG_INFINITY, f64::INFINITY, 50.0), (50.0, Slope::Central));
        assert_eq!(three(p, f64::NEG_INFINITY, 0.0, 2.0), (6.0, Slope::Upward));
        assert_eq!(three(p, 0.0, 0.0, -2.0), (4.0, Slope::Downward));
    }
}
