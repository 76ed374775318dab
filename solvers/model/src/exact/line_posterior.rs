//! Expectations over the data given the noised state, on the line: one quadrature for all components of the prior.
//!
//!   E[ exp(r(X)/beta) | X_tau = y ] = int exp(r/beta) p N(y; e x, 1-e^2) dx / int p N(y; e x, 1-e^2) dx
//!
//! by the trapezoidal rule, exponentially accurate for these integrands. The window grows until both ends of the integrand are
//! below 1e-19 of its top, and the spacing h_0 / 2^l is halved until halving changes nothing; so neither depends on guessing where
//! the tilt moves the mass or how sharp the reward is. log p and r at the nodes x_j = j h do not depend on y and are tabulated once
//! for each l. Cost of a point: a few hundred to a few thousand exponentials, whatever the number of components.
//! Reference: L. N. Trefethen and J. A. C. Weideman, The exponentially convergent trapezoidal rule, SIAM Rev. 56 (2014).

use crate::error::ModelError;
use crate::field::ScalarField;
use crate::lanes::exp_in_place;
use crate::law::{GaussianMixture, Law};
use crate::points::Points;
use crate::reward::Reward;
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

/// Levels that are tabulated; finer ones have short windows and are computed for each point.
const TABULATED: usize = 6;
/// Halvings of the spacing that are tried before an integral counts as not converged.
const HALVINGS: usize = 7;
/// Half-width of the first window, in standard deviations; the table reaches twice as far.
const REACH: f64 = 10.0;
/// Ends of a window are negligible this far below its top, in natural logarithms (less than the first window of a Gaussian has).
const NEGLIGIBLE: f64 = 45.0;
/// Widenings of a window that are tried.
const WIDENINGS: usize = 64;
/// Change of log E (and relative change of the mean) by halving the spacing that counts as none.
const CONVERGED: f64 = 1e-11;
/// Most nodes of a window.
const MOST_NODES: i64 = 1 << 20;

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
    /// Where the prior and the tilted law live.
    extent: (f64, f64),
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

/// log of an integral, its mean, and whether quadrature settled.
#[derive(Clone, Copy, Debug)]
struct Integral {
    log: f64,
    mean: f64,
    /// Whether the integrand is not negligible at the lower and the upper end.
    open: (bool, bool),
    settled: bool,
}

impl LinePosterior {
    /// Find where the tilted law lives.
    ///
    /// # Errors
    /// A tilt whose mass escapes, or that quadrature cannot resolve: there is no closed form to offer then.
    pub fn new(prior: &GaussianMixture, reward: &Reward, beta: f64) -> Result<Self, ModelError> {
        let narrowest = (0..prior.components()).map(|i| sd(prior, i)).fold(f64::INFINITY, f64::min);
        let ends = (0..prior.components()).map(|i| (prior.mean_of(i)[0], 2.0 * REACH * sd(prior, i)));
        let extent = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), (m, r)| (a.min(m - r), b.max(m + r)));
        let mut this = LinePosterior {
            prior: prior.clone(),
            reward: reward.clone(),
            beta,
            spacing: 0.125 * narrowest.min(reward.length_scale()),
            extent,
            tables: Arc::new((0..=TABULATED).map(|_| OnceLock::new()).collect()),
        };
        let unresolved =
            |what: &str| ModelError::invalid("reward", what, "the tilt cannot be integrated to rounding on the line");
        let mut window = extent;
        if !(0..WIDENINGS).any(|_| this.holds(&mut window)) {
            return Err(unresolved("a tilt whose mass escapes"));
        }
        this.extent = (extent.0.min(window.0), extent.1.max(window.1));
        // probe the noised problem where it is hardest and where it is easiest
        let mut work = Vec::new();
        for integral in [1e-4, 1e-2, 0.3, 1.5, 6.0_f64] {
            let at = Noising { e: (-0.5 * integral).exp(), noise: -(-integral).exp_m1() };
            for q in 0..=8 {
                let y = at.e * (this.extent.0 + (this.extent.1 - this.extent.0) * (0.25 + 0.0625 * f64::from(q)));
                if !this.integral(at, y, true, &mut work).settled || !this.integral(at, y, false, &mut work).settled {
                    return Err(unresolved("a reward too sharp for its KL weight"));
                }
            }
        }
        Ok(this)
    }

    /// (log E[exp(r/beta) | y], E*[X | y]) where E* weighs by exp(r/beta).
    pub fn expectation(&self, at: Noising, y: f64, work: &mut Vec<f64>) -> (f64, f64) {
        let plain = self.integral(at, y, false, work);
        let tilted = self.integral(at, y, true, work);
        (tilted.log - plain.log, tilted.mean)
    }

    /// log int f p N(y; e x, noise) dx up to a constant, f = exp(r/beta) or 1, and the mean of x under the integrand.
    fn integral(&self, at: Noising, y: f64, tilted: bool, work: &mut Vec<f64>) -> Integral {
        // the posterior of component i is N(m_i, S_i)
        let (mut low, mut high, mut shortest) = (f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY);
        for i in 0..self.prior.components() {
            let c = sd(&self.prior, i).powi(2);
            let s = at.noise * c / (at.noise + at.e * at.e * c);
            let m = s * (self.prior.mean_of(i)[0] / c + at.e * y / at.noise);
            let reach = REACH * s.sqrt();
            (low, high, shortest) = (low.min(m - reach), high.max(m + reach), shortest.min(s.sqrt()));
        }
        let mut window = (low, high);
        let wanted = 0.125 * shortest.min(self.reward.length_scale());
        let first = (self.spacing / wanted).log2().ceil().clamp(0.0, 50.0) as usize;
        let mut last = self.at_level(first, window, at, y, tilted, work);
        for _ in 0..WIDENINGS {
            let step = 0.25 * (window.1 - window.0);
            match last.open {
                (false, false) => break,
                (lower, upper) => {
                    window.0 -= if lower { step } else { 0.0 };
                    window.1 += if upper { step } else { 0.0 };
                }
            }
            last = self.at_level(first, window, at, y, tilted, work);
        }
        for level in first + 1..=first + HALVINGS {
            let finer = self.at_level(level, window, at, y, tilted, work);
            let same = (finer.log - last.log).abs() <= CONVERGED * (1.0 + finer.log.abs())
                && (finer.mean - last.mean).abs() <= CONVERGED * (1.0 + finer.mean.abs());
            last = Integral { settled: same, ..finer };
            // written so that a NaN ends the search unsettled
            if same || !finer.log.is_finite() {
                break;
            }
        }
        last
    }

    /// The rule of spacing h_0 / 2^level on `window`.
    fn at_level(&self, level: usize, window: (f64, f64), at: Noising, y: f64, tilted: bool, work: &mut Vec<f64>) -> Integral {
        let h = self.spacing * 0.5_f64.powi(level as i32);
        // in floating point: scales out of all proportion pass what integers hold
        let many = |(a, b): (f64, f64)| {
            let furthest = a.abs().max(b.abs()) / h;
            !((b - a) / h <= MOST_NODES as f64 && furthest < 1e15)
        };
        if many(window) {
            return Integral { log: f64::NAN, mean: f64::NAN, open: (false, false), settled: false };
        }
        let nodes = (window.0 / h).floor() as i64..=(window.1 / h).ceil() as i64;
        let tabulated = (level <= TABULATED && !many(self.extent))
            .then(|| self.tables[level].get_or_init(|| self.table(h, self.table_nodes(h))));
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
        let log_density = if tilted { &table.log_tilted } else { &table.log_p };
        work.clear();
        work.extend((0..count).map(|q| log_density[first + q] - 0.5 * (y - at.e * x(q)).powi(2) / at.noise));
        let top = work.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let open = (work[0] > top - NEGLIGIBLE, work[count - 1] > top - NEGLIGIBLE);
        work.iter_mut().for_each(|v| *v -= top);
        exp_in_place(work);
        let sum: f64 = work.iter().sum();
        let mean = work.iter().enumerate().map(|(q, w)| w * x(q)).sum::<f64>() / sum;
        Integral { log: top + (h * sum).ln(), mean, open, settled: false }
    }

    /// Whether `window` holds the tilted law, seen at 257 points; widens it where it does not.
    fn holds(&self, window: &mut (f64, f64)) -> bool {
        let n = 256;
        let width = window.1 - window.0;
        let x: Vec<f64> = (0..=n).map(|i| window.0 + width * i as f64 / n as f64).collect();
        let (mut log_p, mut r) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        self.prior.log_density(Points::new(&x, 1), &mut log_p);
        self.reward.value(Points::new(&x, 1), &mut r);
        let f = |i: usize| log_p[i] + r[i] / self.beta;
        let top = (0..=n).map(f).fold(f64::NEG_INFINITY, f64::max);
        let (lower, upper) = (f(0) > top - NEGLIGIBLE, f(n) > top - NEGLIGIBLE);
        window.0 -= if lower { width } else { 0.0 };
        window.1 += if upper { width } else { 0.0 };
        !(lower || upper)
    }

    fn table_nodes(&self, h: f64) -> RangeInclusive<i64> {
        (self.extent.0 / h).floor() as i64..=(self.extent.1 / h).ceil() as i64
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::{ClosedForm, ColeHopf, TiltedMixture};
    use crate::fine_tuning::{FineTuning, InitialLaw};
    use crate::kl::KlWeight;
    use crate::points::PointsMut;
    use crate::reward::{Bump, QuadraticTerm};
    use crate::schedule::Schedule;

    fn problem(reward: Reward, beta: f64) -> FineTuning {
        let prior =
            GaussianMixture::new(vec![0.4, 0.6], vec![vec![-1.5], vec![1.0]], vec![vec![vec![0.15]], vec![vec![0.4]]]).unwrap();
        let schedule = Schedule::linear(2.0, 0.5, 3.0).unwrap();
        FineTuning::new(schedule, prior, reward, KlWeight::constant(beta).unwrap(), InitialLaw::NoisedPrior).unwrap()
    }

    /// beta log E[exp(r/beta) | y] by a fine Riemann sum over a wide interval.
    fn brute_force(p: &FineTuning, beta: f64, t: f64, y: f64) -> f64 {
        let integral = p.schedule().remaining(t);
        let (e, noise) = ((-0.5 * integral).exp(), -(-integral).exp_m1());
        let x: Vec<f64> = (0..800_001).map(|i| -40.0 + 1e-4 * f64::from(i)).collect();
        let (mut log_p, mut r) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        p.prior().log_density(Points::new(&x, 1), &mut log_p);
        p.reward().value(Points::new(&x, 1), &mut r);
        let log_sum = |f: &dyn Fn(usize) -> f64| {
            let top = (0..x.len()).map(f).fold(f64::NEG_INFINITY, f64::max);
            top + (0..x.len()).map(|i| (f(i) - top).exp()).sum::<f64>().ln()
        };
        let kernel = |i: usize| log_p[i] - 0.5 * (y - e * x[i]).powi(2) / noise;
        beta * (log_sum(&|i| kernel(i) + r[i] / beta) - log_sum(&kernel))
    }

    #[test]
    fn strong_and_sharp_tilts_are_integrated_all_the_same() {
        let term = |q2: f64, q: f64| QuadraticTerm::new(&[vec![q2]], vec![q], 0.0).unwrap();
        let bump = Bump { center: vec![1.0], width: 0.5, height: 100.0 };
        let cases = [
            (Reward::log_sum_exp(vec![term(0.0, 1.0), term(0.0, -1.0)], 0.01).unwrap(), 0.1),
            (Reward::log_sum_exp(vec![term(40.0, 1.0), term(40.0, 0.0)], 0.5).unwrap(), 0.2),
            (Reward::log_sum_exp(vec![term(0.0, 14.0), term(0.0, 14.0)], 0.5).unwrap(), 0.7),
            (Reward::bumps(vec![bump]).unwrap(), 0.5),
        ];
        for (reward, beta) in cases {
            let p = problem(reward, beta);
            let x = ColeHopf::new(&p).unwrap();
            for (t, y) in [(0.0, 0.3), (1.0, -1.0), (1.9, 0.8)] {
                let mut v = [0.0];
                x.at(t).value(Points::new(&[y], 1), &mut v);
                let want = brute_force(&p, beta, t, y);
                assert!((v[0] - want).abs() < 1e-9 * (1.0 + want.abs()), "t = {t}, y = {y}: {} against {want}", v[0]);
            }
        }
    }

    #[test]
    fn a_log_sum_exp_at_another_temperature_is_no_different_when_it_has_one_effective_term() {
        // two equal terms at temperature 0.5 are one term plus 0.5 log 2
        let t = || QuadraticTerm::new(&[vec![0.3]], vec![2.0], 0.0).unwrap();
        let twice = problem(Reward::log_sum_exp(vec![t(), t()], 0.5).unwrap(), 0.7);
        let once = problem(Reward::quadratic(&[vec![0.3]], vec![2.0], 0.5 * 2.0_f64.ln()).unwrap(), 0.7);
        let (a, b) = (ColeHopf::new(&twice).unwrap(), TiltedMixture::new(&once).unwrap());
        let y = [-3.0, 0.0, 2.0];
        for time in [0.0, 1.3, 1.99] {
            let (mut va, mut vb, mut ua, mut ub) = ([0.0; 3], [0.0; 3], [0.0; 3], [0.0; 3]);
            a.at(time).value(Points::new(&y, 1), &mut va);
            b.at(time).value(Points::new(&y, 1), &mut vb);
            a.at(time).control(Points::new(&y, 1), PointsMut::new(&mut ua, 1));
            b.at(time).control(Points::new(&y, 1), PointsMut::new(&mut ub, 1));
            for i in 0..3 {
                assert!((va[i] - vb[i]).abs() < 1e-10 && (ua[i] - ub[i]).abs() < 1e-8, "{va:?} {vb:?} {ua:?} {ub:?}");
            }
        }
    }
}
