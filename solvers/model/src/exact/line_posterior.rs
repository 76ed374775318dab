//! Expectations over the data given the noised state, on the line: one quadrature for all components of the prior.
//!
//!   E[ f(X) | X_tau = y ] = int f p N(y; e x, 1-e^2) dx / int p N(y; e x, 1-e^2) dx
//!
//! by the trapezoidal rule with spacing an eighth of the shortest length (posterior standard deviation, or the reward's length
//! scale). log p and r at the nodes x_j = j h do not depend on y, and h takes only the values h_0 / 2^l, so they are computed once
//! for each l that is used. Cost of a point: 150 to 2000 exponentials, whatever the number of components.

use crate::field::ScalarField;
use crate::lanes::exp_in_place;
use crate::law::{GaussianMixture, Law};
use crate::points::Points;
use crate::reward::Reward;
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

/// Finest level that is tabulated; finer ones have short windows and are computed for each point.
const TABULATED: usize = 6;
/// Half-width of the integration window and of the table, in standard deviations.
const REACH: f64 = 10.0;

/// log p + r/beta and log p at the nodes j h, j in `nodes`.
#[derive(Debug)]
struct Table {
    nodes: RangeInclusive<i64>,
    log_p: Vec<f64>,
    log_tilted: Vec<f64>,
}

/// The tables of a prior and a reward.
#[derive(Clone, Debug)]
pub(super) struct LinePosterior {
    prior: GaussianMixture,
    reward: Reward,
    beta: f64,
    /// h_0.
    spacing: f64,
    tables: Arc<Vec<OnceLock<Table>>>,
}

/// The noising at one time: what [`LinePosterior::expectation`] needs besides y.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noising {
    /// e.
    pub e: f64,
    /// 1 - e^2, positive.
    pub noise: f64,
}

impl LinePosterior {
    /// Nothing is tabulated yet.
    pub fn new(prior: &GaussianMixture, reward: &Reward, beta: f64) -> Self {
        let narrowest = (0..prior.components()).map(|i| sd(prior, i)).fold(f64::INFINITY, f64::min);
        LinePosterior {
            prior: prior.clone(),
            reward: reward.clone(),
            beta,
            spacing: 0.125 * narrowest.min(reward.length_scale()),
            tables: Arc::new((0..=TABULATED).map(|_| OnceLock::new()).collect()),
        }
    }

    /// (log E[exp(r/beta) | y], E*[X | y]) where E* weighs by exp(r/beta).
    pub fn expectation(&self, at: Noising, y: f64, work: &mut Vec<f64>) -> (f64, f64) {
        // the posterior of component i is N(m_i, S_i)
        let (mut low, mut high, mut shortest) = (f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY);
        for i in 0..self.prior.components() {
            let c = sd(&self.prior, i).powi(2);
            let s = at.noise * c / (at.noise + at.e * at.e * c);
            let m = s * (self.prior.mean_of(i)[0] / c + at.e * y / at.noise);
            let reach = REACH * s.sqrt();
            (low, high, shortest) = (low.min(m - reach), high.max(m + reach), shortest.min(s.sqrt()));
        }
        let wanted = 0.125 * shortest.min(self.reward.length_scale());
        let level = (self.spacing / wanted).log2().ceil().max(0.0) as usize;
        let h = self.spacing * 0.5_f64.powi(level.min(60) as i32);
        let nodes = (low / h).floor() as i64..=(high / h).ceil() as i64;
        let tabulated = (level <= TABULATED).then(|| self.tables[level].get_or_init(|| self.table(h, self.extent(h))));
        let fresh;
        let table = match tabulated.filter(|t| t.nodes.contains(nodes.start()) && t.nodes.contains(nodes.end())) {
            Some(table) => table,
            None => {
                fresh = self.table(h, nodes.clone());
                &fresh
            }
        };
        let first = (nodes.start() - table.nodes.start()) as usize;
        let count = (nodes.end() - nodes.start() + 1) as usize;
        let x = |q: usize| (nodes.start() + q as i64) as f64 * h;
        let mut weighted = |log_density: &[f64]| {
            work.clear();
            work.extend((0..count).map(|q| log_density[first + q] - 0.5 * (y - at.e * x(q)).powi(2) / at.noise));
            let top = work.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            work.iter_mut().for_each(|v| *v -= top);
            exp_in_place(work);
            let sum: f64 = work.iter().sum();
            let mean = work.iter().enumerate().map(|(q, w)| w * x(q)).sum::<f64>() / sum;
            (top + sum.ln(), mean)
        };
        let (log_plain, _) = weighted(&table.log_p);
        let (log_tilted, mean) = weighted(&table.log_tilted);
        (log_tilted - log_plain, mean)
    }

    /// Nodes that hold the prior.
    fn extent(&self, h: f64) -> RangeInclusive<i64> {
        let ends = (0..self.prior.components()).map(|i| (self.prior.mean_of(i)[0], (REACH + 2.0) * sd(&self.prior, i)));
        let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), (m, r)| (a.min(m - r), b.max(m + r)));
        (low / h).floor() as i64..=(high / h).ceil() as i64
    }

    fn table(&self, h: f64, nodes: RangeInclusive<i64>) -> Table {
        let x: Vec<f64> = nodes.clone().map(|j| j as f64 * h).collect();
        let (mut log_p, mut log_tilted) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        self.prior.log_density(Points::new(&x, 1), &mut log_p);
        self.reward.value(Points::new(&x, 1), &mut log_tilted);
        for (r, p) in log_tilted.iter_mut().zip(&log_p) {
            *r = p + *r / self.beta;
        }
        Table { nodes, log_p, log_tilted }
    }
}

fn sd(prior: &GaussianMixture, i: usize) -> f64 {
    prior.covariance_of(i).matrix()[(0, 0)].sqrt()
}
