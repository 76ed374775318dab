//! Any reward, constant beta: the Cole-Hopf transform by quadrature.
//!
//!   V(t,y) = beta log E_pre[ exp(r(X_T)/beta) | X_t = y ],   U*(t,y) = ( e E*[X_T | y] - y ) / (1 - e^2),
//! where E* weighs the posterior of the data by exp(r/beta). Given y, component i of the prior has the posterior N(m_i, S_i),
//! S_i^-1 = C_i^-1 + e^2/(1-e^2) I,  m_i = S_i (C_i^-1 mu_i + e/(1-e^2) y), with weight proportional to its share of the
//! noised density. On the line one trapezoidal rule serves all components (`line_posterior.rs`), with errors near rounding.
//! In d = 2, 3 each component has a tensor rule, spacing a fifth and a third of the posterior's standard deviation or of the
//! reward's length scale, whichever is smaller; cost: K n^d rewards a point, n about 90 and 50.

use super::line_posterior::{LinePosterior, Noising};
use super::{ClosedForm, ClosedFormSlice};
use crate::error::ModelError;
use crate::field::ScalarField;
use crate::fine_tuning::FineTuning;
use crate::law::GaussianMixture;
use crate::points::{PointBlock, Points, PointsMut};
use crate::quadrature::trapezoidal_normal_rule;
use crate::reward::Reward;
use crate::schedule::Schedule;
use crate::spd::Spd;
use faer::Mat;

/// The exact solution by quadrature of the Cole-Hopf formula.
#[derive(Clone, Debug)]
pub struct ColeHopf {
    schedule: Schedule,
    prior: GaussianMixture,
    reward: Reward,
    beta: f64,
    /// In one dimension all components share one quadrature.
    line: Option<LinePosterior>,
    /// The rule of several dimensions.
    nodes: PointBlock,
    weights: Vec<f64>,
}

/// Spacing of the rule in d = 2, 3, in units of the shorter of the two lengths.
const SPACING: [f64; 2] = [0.2, 0.35];
/// Agreement of two rules that counts as resolved.
const RESOLVED: f64 = 1e-7;

impl ColeHopf {
    /// The solution of `problem`.
    ///
    /// # Errors
    /// KL weight not constant, d > 3, or a reward that the rule does not resolve (found by comparing two rules at trial points).
    pub fn new(problem: &FineTuning) -> Result<Self, ModelError> {
        let beta = problem.kl_weight().as_constant().ok_or_else(|| {
            ModelError::invalid("kl_weight", format!("{:?}", problem.kl_weight()), "must be constant for the Cole-Hopf transform")
        })?;
        let (dim, prior, reward) = (problem.reward().dim(), problem.prior(), problem.reward());
        if dim > 3 {
            return Err(ModelError::invalid("dimension", dim, "at most 3 for tensor quadrature"));
        }
        let mut this = ColeHopf {
            schedule: problem.schedule().clone(),
            prior: prior.clone(),
            reward: reward.clone(),
            beta,
            line: if dim == 1 { Some(LinePosterior::new(prior, reward, beta)?) } else { None },
            nodes: PointBlock::zeros(dim, 0),
            weights: Vec::new(),
        };
        if dim > 1 {
            // the widest posterior is the prior itself, so its spacing serves all times
            let widest = (0..this.distinct()).flat_map(|i| (0..dim).map(move |a| (i, a)));
            let sd = widest.map(|(i, a)| prior.covariance_of(i).matrix()[(a, a)].sqrt()).fold(0.0, f64::max);
            let spacing = SPACING[dim - 2] * (reward.length_scale() / sd).min(1.0);
            (this.nodes, this.weights) = trapezoidal_normal_rule(1.3 * spacing, dim)?;
            let coarse = this.trial();
            (this.nodes, this.weights) = trapezoidal_normal_rule(spacing, dim)?;
            let fine = this.trial();
            let agree = coarse.iter().zip(&fine).all(|(a, b)| (a - b).abs() <= RESOLVED * (1.0 + b.abs()));
            if !agree || this.reaches_the_end() {
                let allowed = "the tilt cannot be integrated to 1e-7 by tensor quadrature";
                return Err(ModelError::invalid("reward", "too sharp or too strong for its KL weight", allowed));
            }
        }
        Ok(this)
    }

    fn distinct(&self) -> usize {
        if self.prior.shares_covariance() { 1 } else { self.prior.components() }
    }

    /// V at the noised means of some components, at three times.
    fn trial(&self) -> Vec<f64> {
        let horizon = self.schedule.horizon();
        let d = self.dim();
        let step = self.prior.components().div_ceil(4);
        let mut out = Vec::new();
        for t in [0.0, 0.5 * horizon, 0.9 * horizon] {
            let points: Vec<Vec<f64>> = (0..self.prior.components())
                .step_by(step)
                .map(|i| self.prior.mean_of(i).iter().map(|m| self.schedule.signal(t) * m + 0.3).collect())
                .collect();
            let Some(block) = PointBlock::from_points(d, &points) else { continue };
            let mut v = vec![0.0; points.len()];
            self.at(t).value(block.as_points(), &mut v);
            out.extend(v);
        }
        out
    }

    /// Whether exp(r/beta) under a component of the prior has weight at the end of the rule, nine standard deviations out.
    fn reaches_the_end(&self) -> bool {
        let d = self.dim();
        (0..self.prior.components()).any(|i| {
            let (mu, l) = (self.prior.mean_of(i), self.prior.covariance_of(i).factor());
            let mut x = PointBlock::zeros(d, self.weights.len());
            for a in 0..d {
                for (q, x) in x.as_mut().coord_mut(a).iter_mut().enumerate() {
                    *x = mu[a] + (0..=a).map(|b| l[(a, b)] * self.nodes.coord(b)[q]).sum::<f64>();
                }
            }
            let mut r = vec![0.0; self.weights.len()];
            self.reward.value(x.as_points(), &mut r);
            let log = |q: usize| self.weights[q].ln() + r[q] / self.beta;
            let top = (0..r.len()).map(log).fold(f64::NEG_INFINITY, f64::max);
            let outer = |q: usize| (0..d).any(|a| self.nodes.coord(a)[q].abs() > 8.0);
            (0..r.len()).any(|q| outer(q) && log(q) > top - 20.0)
        })
    }
}

struct Slice<'a> {
    parent: &'a ColeHopf,
    e: f64,
    noise: f64,
    noised: GaussianMixture,
    /// Posterior covariance of each distinct prior covariance.
    posterior: Vec<Spd>,
}

impl Slice<'_> {
    /// For each point: log E[exp(r/beta)] and, in `tilted_mean`, E*[X_T | y].
    fn expectations(&self, y: Points<'_>, log_phi: &mut [f64], tilted_mean: &mut PointBlock) {
        let p = self.parent;
        if let Some(line) = &p.line {
            let mut work = Vec::new();
            for (j, &y) in y.coord(0).iter().enumerate() {
                let at = Noising { e: self.e, noise: self.noise };
                (log_phi[j], tilted_mean.data_mut()[j]) = line.expectation(at, y, &mut work);
            }
            return;
        }
        let d = y.dim();
        let q = p.weights.len();
        let mut x = PointBlock::zeros(d, q);
        let mut r = vec![0.0; q];
        let (mut point, mut m) = (vec![0.0; d], vec![0.0; d]);
        for j in 0..y.len() {
            y.copy_point(j, &mut point);
            let (mut top, mut top_share) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
            let (mut sum, mut share) = (0.0, 0.0);
            let mut mean = vec![0.0; d];
            // running log-sum-exps over components and nodes, of the tilted and of the plain weights
            for i in 0..p.prior.components() {
                let log_share = self.log_share(i, &point);
                let s = &self.posterior[if p.prior.shares_covariance() { 0 } else { i }];
                self.posterior_mean(i, s, &point, &mut m);
                for a in 0..d {
                    let xa = &mut x.data_mut()[a * q..(a + 1) * q];
                    xa.fill(m[a]);
                    for b in 0..=a {
                        let l = s.factor()[(a, b)];
                        for (x, z) in xa.iter_mut().zip(p.nodes.coord(b)) {
                            *x += l * z;
                        }
                    }
                }
                p.reward.value(x.as_points(), &mut r);
                let level = log_share + r.iter().copied().fold(f64::NEG_INFINITY, f64::max) / p.beta;
                if level > top {
                    let scale = (top - level).exp();
                    sum *= scale;
                    mean.iter_mut().for_each(|v| *v *= scale);
                    top = level;
                }
                if log_share > top_share {
                    share *= (top_share - log_share).exp();
                    top_share = log_share;
                }
                share += (log_share - top_share).exp();
                for n in 0..q {
                    let w = p.weights[n] * (log_share + r[n] / p.beta - top).exp();
                    sum += w;
                    for a in 0..d {
                        mean[a] += w * x.coord(a)[n];
                    }
                }
            }
            log_phi[j] = top - top_share + (sum / share).ln();
            mean.iter_mut().for_each(|v| *v /= sum);
            tilted_mean.as_mut().set_point(j, &mean);
        }
    }

    /// log of component i's share of the noised density, up to a common constant.
    fn log_share(&self, i: usize, y: &[f64]) -> f64 {
        let c = self.noised.covariance_of(i);
        let mu = self.noised.mean_of(i);
        let d = y.len();
        let form: f64 = (0..d).map(|a| (0..d).map(|b| (y[a] - mu[a]) * c.inverse()[(a, b)] * (y[b] - mu[b])).sum::<f64>()).sum();
        self.noised.weights()[i].ln() - 0.5 * (c.log_det() + form)
    }

    fn posterior_mean(&self, i: usize, s: &Spd, y: &[f64], out: &mut [f64]) {
        let p = &self.parent.prior;
        let (c, mu) = (p.covariance_of(i), p.mean_of(i));
        let d = y.len();
        // S (C^-1 mu + e/(1-e^2) y), with S = noise (noise C^-1 + e^2)^-1 so that noise = 0 is no division by zero
        let natural: Vec<f64> =
            (0..d).map(|a| self.noise * (0..d).map(|b| c.inverse()[(a, b)] * mu[b]).sum::<f64>() + self.e * y[a]).collect();
        for a in 0..d {
            out[a] = (0..d).map(|b| s.matrix()[(a, b)] * natural[b]).sum::<f64>() / self.noise;
        }
    }
}

impl ClosedFormSlice for Slice<'_> {
    fn value(&self, y: Points<'_>, out: &mut [f64]) {
        if self.noise == 0.0 {
            self.parent.reward.value(y, out);
            return;
        }
        let mut mean = PointBlock::zeros(y.dim(), y.len());
        self.expectations(y, out, &mut mean);
        out.iter_mut().for_each(|v| *v *= self.parent.beta);
    }

    fn control(&self, y: Points<'_>, mut out: PointsMut<'_>) {
        let d = y.dim();
        if self.noise == 0.0 {
            let mut g = PointBlock::zeros(d, y.len());
            self.parent.reward.gradient(y, g.as_mut());
            self.noised.score(y, out.reborrow());
            for i in 0..d {
                for (u, g) in out.coord_mut(i).iter_mut().zip(g.coord(i)) {
                    *u += g / self.parent.beta;
                }
            }
            return;
        }
        let mut log_phi = vec![0.0; y.len()];
        let mut mean = PointBlock::zeros(d, y.len());
        self.expectations(y, &mut log_phi, &mut mean);
        for i in 0..d {
            for ((u, m), y) in out.coord_mut(i).iter_mut().zip(mean.coord(i)).zip(y.coord(i)) {
                *u = (self.e * m - y) / self.noise;
            }
        }
    }
}

impl ClosedForm for ColeHopf {
    fn dim(&self) -> usize {
        self.reward.dim()
    }

    fn at(&self, t: f64) -> Box<dyn ClosedFormSlice + '_> {
        let integral = self.schedule.remaining(t);
        let (e, noise) = ((-0.5 * integral).exp(), -(-integral).exp_m1());
        let d = self.dim();
        let posterior: Vec<Spd> = (0..self.distinct())
            .filter(|_| noise > 0.0 && d > 1)
            .filter_map(|i| {
                let c_inv = self.prior.covariance_of(i).inverse();
                let scaled = Mat::from_fn(d, d, |a, b| noise * c_inv[(a, b)] + if a == b { e * e } else { 0.0 });
                let inverse = Spd::new("posterior precision", scaled).ok()?;
                let s = Mat::from_fn(d, d, |a, b| noise * inverse.inverse()[(a, b)]);
                Spd::new("posterior covariance", s).ok()
            })
            .collect();
        // a posterior too narrow to be factored is the point itself
        let noise = if d > 1 && posterior.len() < self.distinct() { 0.0 } else { noise };
        Box::new(Slice { parent: self, e, noise, noised: self.prior.noised_by(integral), posterior })
    }

    fn description(&self) -> &'static str {
        "Cole-Hopf by quadrature"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::TiltedMixture;
    use crate::exact::tests::golden_mixture;
    use crate::fine_tuning::InitialLaw;
    use crate::kl::KlWeight;
    use crate::reward::{Bump, ClassReward};

    fn agree(a: &dyn ClosedForm, b: &dyn ClosedForm, t: f64, y: &PointBlock, tol_v: f64, tol_u: f64) {
        let n = y.len();
        let (mut va, mut vb) = (vec![0.0; n], vec![0.0; n]);
        let (mut ua, mut ub) = (PointBlock::zeros(y.dim(), n), PointBlock::zeros(y.dim(), n));
        a.at(t).value(y.as_points(), &mut va);
        b.at(t).value(y.as_points(), &mut vb);
        a.at(t).control(y.as_points(), ua.as_mut());
        b.at(t).control(y.as_points(), ub.as_mut());
        for j in 0..n {
            assert!((va[j] - vb[j]).abs() < tol_v, "t={t} V {} {}", va[j], vb[j]);
        }
        for (x, y) in ua.data().iter().zip(ub.data()) {
            assert!((x - y).abs() < tol_u, "t={t} U {x} {y}");
        }
    }

    #[test]
    fn quadrature_agrees_with_the_mixture_formula() {
        let p = golden_mixture(InitialLaw::NoisedPrior);
        let y = PointBlock::from_points(1, &[[-2.5], [-1.0], [0.0], [0.7], [3.0]]).unwrap();
        for t in [0.0, 1.0, 1.9, 2.0] {
            agree(&ColeHopf::new(&p).unwrap(), &TiltedMixture::new(&p).unwrap(), t, &y, 1e-11, 1e-10);
        }
    }

    #[test]
    fn two_dimensions_agree_too() {
        let prior = GaussianMixture::new(
            vec![0.3, 0.7],
            vec![vec![-1.0, 0.5], vec![0.8, -0.2]],
            vec![vec![vec![0.7, 0.3], vec![0.3, 1.5]], vec![vec![0.4, -0.1], vec![-0.1, 0.3]]],
        )
        .unwrap();
        let r = Reward::quadratic(&[vec![0.9, -0.2], vec![-0.2, 0.4]], vec![0.5, 1.1], 0.2).unwrap();
        let p = FineTuning::new(
            Schedule::linear(2.0, 0.5, 3.0).unwrap(),
            prior,
            r,
            KlWeight::constant(0.6).unwrap(),
            InitialLaw::Optimal,
        )
        .unwrap();
        let y = PointBlock::from_points(2, &[[0.0, 0.0], [-1.5, 1.0], [2.0, -1.0]]).unwrap();
        for t in [0.0, 1.3, 2.0] {
            agree(&ColeHopf::new(&p).unwrap(), &TiltedMixture::new(&p).unwrap(), t, &y, 1e-10, 1e-9);
        }
    }

    #[test]
    fn log_odds_of_two_classes_are_a_linear_reward() {
        let prior = golden_mixture(InitialLaw::NoisedPrior).prior().clone();
        let problem = |reward| {
            let (b, beta) = (Schedule::linear(2.0, 0.5, 3.0).unwrap(), KlWeight::constant(0.7).unwrap());
            FineTuning::new(b, prior.clone(), reward, beta, InitialLaw::NoisedPrior).unwrap()
        };
        let odds = Reward::classifier(vec![vec![0.4], vec![1.3]], vec![0.2, -0.1], 1, ClassReward::LogOdds).unwrap();
        let linear = TiltedMixture::new(&problem(Reward::linear(vec![0.9], -0.3).unwrap())).unwrap();
        let y = PointBlock::from_points(1, &[[-2.5], [0.0], [3.0]]).unwrap();
        for t in [0.0, 1.0, 2.0] {
            agree(&ColeHopf::new(&problem(odds.clone())).unwrap(), &linear, t, &y, 1e-11, 1e-10);
        }
    }

    #[test]
    fn bumps_satisfy_the_feedback_relation() {
        // U* = s + grad V / beta, with grad V by central differences of V
        let prior = GaussianMixture::gaussian(vec![0.2], vec![vec![0.5]]).unwrap();
        let r = Reward::bumps(vec![Bump { center: vec![1.0], width: 0.5, height: 1.5 }]).unwrap();
        let beta = 0.5;
        let p = FineTuning::new(
            Schedule::constant(1.0, 2.0).unwrap(),
            prior,
            r,
            KlWeight::constant(beta).unwrap(),
            InitialLaw::NoisedPrior,
        )
        .unwrap();
        let x = ColeHopf::new(&p).unwrap();
        let slice = x.at(0.4);
        let h = 2e-5;
        let y = [0.5 - h, 0.5, 0.5 + h];
        let (mut v, mut u, mut s) = ([0.0; 3], [0.0; 3], [0.0; 3]);
        slice.value(Points::new(&y, 1), &mut v);
        slice.control(Points::new(&y, 1), PointsMut::new(&mut u, 1));
        p.score().at(0.4).eval(Points::new(&y, 1), PointsMut::new(&mut s, 1));
        let gap = u[1] - s[1] - (v[2] - v[0]) / (2.0 * h) / beta;
        // central differences: h^2 V'''/6 and rounding eps/h
        assert!(gap.abs() < 1e-8, "{gap:e}");
        assert!(v[1] > 0.0 && v[1] < 1.5);
    }
}
