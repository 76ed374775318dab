//! The discrete chain with Gaussian prior and quadratic reward, at finite N: V_k = -y'K_k y/2 + k_k'y + l_k.
//!
//! Chain: Y_{k+1} = (Y_k + (1-a)U)/sqrt(a) + sig W, cost beta (1-a)^2/(2 a sig^2) |U - s|^2. With P, m the noised prior at t_k,
//!   F = (I - (1-a) P^-1)/sqrt(a),   f = (1-a) P^-1 m / sqrt(a),   lam = sig^2/beta,
//!   R = (I + lam K_{k+1})^-1,   Kt = K_{k+1} R:
//!   K_k = F'Kt F,   k_k = F'(R k_{k+1} - Kt f),
//!   l_k = l_{k+1} - (sig^2/2) tr K_{k+1} - f'Kt f/2 + (R k_{k+1})'f + (lam/2) k_{k+1}'R k_{k+1}.
//! The all-kernel (soft) version has -(beta/2) logdet(I + lam K) in place of -(sig^2/2) tr K; its feedback is the same.
//! Optimal shift: D* = lam R (k_{k+1} - K_{k+1}(F y + f)), D = (1-a)/sqrt(a) (u - s).

use super::LqCoefficients;
use crate::error::ModelError;
use crate::fine_tuning::FineTuning;
use crate::spd::Spd;
use faer::Mat;

/// One step of the chain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiscreteStep {
    /// t_k, generation time at the beginning of the step.
    pub t: f64,
    /// a_k in (0, 1).
    pub a: f64,
    /// sig_k^2.
    pub variance: f64,
    /// beta_k.
    pub beta: f64,
}

/// The exact solution of the chain.
#[derive(Clone, Debug)]
pub struct DiscreteLq {
    /// Coefficients of V_k, k = 0..=N.
    pub values: Vec<LqCoefficients>,
    /// The optimal shift of step k is D* = gain y + offset: (gain, offset).
    pub shifts: Vec<(Mat<f64>, Vec<f64>)>,
}

impl DiscreteLq {
    /// Solve backward over `steps` (in generation order); `soft` selects the all-kernel Bellman equation.
    ///
    /// # Errors
    /// A prior that is not one Gaussian, a reward that is not quadratic, or I + lam K not positive definite in some step.
    pub fn new(problem: &FineTuning, steps: &[DiscreteStep], soft: bool) -> Result<Self, ModelError> {
        let (Some(term), 1) = (problem.reward().as_quadratic(), problem.prior().components()) else {
            return Err(ModelError::invalid("problem", "this one", "one Gaussian prior and a linear or quadratic reward"));
        };
        let d = term.slope.len();
        let column = |v: &[f64]| Mat::from_fn(d, 1, |i, _| v[i]);
        let mut values =
            vec![LqCoefficients { curvature: term.curvature.clone(), slope: term.slope.clone(), constant: term.constant }];
        let mut shifts = Vec::with_capacity(steps.len());
        for (k, step) in steps.iter().enumerate().rev() {
            let next = &values[values.len() - 1];
            let (big_k, slope) = (&next.curvature, column(&next.slope));
            let noised = problem.noised_prior(step.t);
            let p_inv = noised.covariance_of(0).inverse();
            let root = step.a.sqrt();
            let f_mat = Mat::from_fn(d, d, |i, j| (if i == j { 1.0 } else { 0.0 } - (1.0 - step.a) * p_inv[(i, j)]) / root);
            let f_vec = (p_inv * column(noised.mean_of(0))) * faer::Scale((1.0 - step.a) / root);
            let lam = step.variance / step.beta;
            let i_plus = Mat::from_fn(d, d, |i, j| if i == j { 1.0 } else { 0.0 } + lam * big_k[(i, j)]);
            let factored = Spd::new(&format!("I + lam K of step {k}"), i_plus)?;
            let r = factored.inverse();
            let kt = big_k * r;
            let r_slope = r * &slope;
            let kt_f = &kt * &f_vec;
            let dot = |a: &Mat<f64>, b: &Mat<f64>| (0..d).map(|i| a[(i, 0)] * b[(i, 0)]).sum::<f64>();
            let trace: f64 = (0..d).map(|i| big_k[(i, i)]).sum();
            let smoothing = if soft { 0.5 * step.beta * factored.log_det() } else { 0.5 * step.variance * trace };
            let curvature = f_mat.transpose() * &kt * &f_mat;
            let slope_k = f_mat.transpose() * (&r_slope - &kt_f);
            let constant =
                next.constant - smoothing - 0.5 * dot(&f_vec, &kt_f) + dot(&r_slope, &f_vec) + 0.5 * lam * dot(&slope, &r_slope);
            let gain = (r * (big_k * &f_mat)) * faer::Scale(-lam);
            let offset = r * (&slope - big_k * &f_vec);
            shifts.push((gain, (0..d).map(|i| lam * offset[(i, 0)]).collect()));
            values.push(LqCoefficients {
                curvature: Mat::from_fn(d, d, |i, j| 0.5 * (curvature[(i, j)] + curvature[(j, i)])),
                slope: (0..d).map(|i| slope_k[(i, 0)]).collect(),
                constant,
            });
        }
        values.reverse();
        shifts.reverse();
        Ok(DiscreteLq { values, shifts })
    }

    /// Fixed-point iterates D^(m) = D* + (-lam K_{k+1})^m (D^(0) - D*) of one step, for m = 0..=`count`.
    pub fn inner_iterates(&self, k: usize, lam: f64, optimal: &[f64], start: &[f64], count: usize) -> Vec<Vec<f64>> {
        let d = optimal.len();
        let big_k = &self.values[k + 1].curvature;
        let mut gap = Mat::from_fn(d, 1, |i, _| start[i] - optimal[i]);
        let mut iterates = Vec::with_capacity(count + 1);
        for _ in 0..=count {
            iterates.push((0..d).map(|i| optimal[i] + gap[(i, 0)]).collect());
            gap = (big_k * &gap) * faer::Scale(-lam);
        }
        iterates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::GaussianLq;
    use crate::exact::tests::golden_lq;
    use crate::fine_tuning::InitialLaw;
    use crate::kl::KlWeight;
    use crate::law::GaussianMixture;
    use crate::reward::Reward;
    use crate::schedule::Schedule;

    fn steps(problem: &FineTuning, n: usize) -> Vec<DiscreteStep> {
        let h = problem.schedule().horizon() / n as f64;
        (0..n)
            .map(|k| {
                let t = k as f64 * h;
                let a = 1.0 - problem.schedule().rate(t) * h;
                DiscreteStep { t, a, variance: 1.0 - a, beta: problem.kl_weight().at(t) }
            })
            .collect()
    }

    #[test]
    fn golden_coefficients_at_eight_steps() {
        let p = golden_lq();
        let v = DiscreteLq::new(&p, &steps(&p, 8), false).unwrap();
        let c = &v.values[0];
        for (i, j, k) in [(0, 0, 0.000535991804), (0, 1, 0.000678028844), (1, 1, 0.002371418469)] {
            assert!((c.curvature[(i, j)] - k).abs() < 2e-12, "{}", c.curvature[(i, j)]);
        }
        assert!((c.slope[0] - 0.01539957742).abs() < 1e-11 && (c.slope[1] - 0.080624659768).abs() < 2e-12);
        assert!((c.constant - 0.516155828075).abs() < 2e-12);
    }

    #[test]
    fn first_order_convergence_to_the_continuous_solution() {
        let p = golden_lq();
        let exact = GaussianLq::new(&p).unwrap().coefficients(0.0).constant;
        let error = |n| DiscreteLq::new(&p, &steps(&p, n), false).unwrap().values[0].constant - exact;
        let ratio = error(512) / error(1024);
        assert!((ratio - 2.0).abs() < 0.03, "{ratio}");
    }

    #[test]
    fn posterior_variance_and_soft_bellman_have_no_time_error() {
        // scalar Gaussian prior, a = exp(-int b), posterior variance: equal to the continuous value at every N
        let p = FineTuning::new(
            Schedule::linear(2.0, 0.5, 3.0).unwrap(),
            GaussianMixture::gaussian(vec![0.7], vec![vec![0.5]]).unwrap(),
            Reward::quadratic(&[vec![1.3]], vec![0.9], 0.0).unwrap(),
            KlWeight::constant(0.6).unwrap(),
            InitialLaw::NoisedPrior,
        )
        .unwrap();
        let s = p.schedule().clone();
        for n in [1, 3, 8] {
            let h = 2.0 / n as f64;
            let steps: Vec<DiscreteStep> = (0..n)
                .map(|k| {
                    let (t, u) = (k as f64 * h, (k + 1) as f64 * h);
                    let a = (-s.integral(t, u)).exp();
                    // the exact transition of the reverse process of a Gaussian: its variance is that of X_{t_{k+1}} given X_{t_k}
                    let (now, later) = (s.remaining(t), s.remaining(u));
                    let var = |r: f64| (-r).exp() * 0.5 - (-r).exp_m1();
                    DiscreteStep { t, a, variance: (1.0 - a) * var(later) / var(now), beta: 0.6 }
                })
                .collect();
            let got = &DiscreteLq::new(&p, &steps, true).unwrap().values[0];
            let want = GaussianLq::new(&p).unwrap().coefficients(0.0);
            assert!((got.curvature[(0, 0)] - want.curvature[(0, 0)]).abs() < 5e-15, "N = {n}");
            assert!((got.constant - want.constant).abs() < 5e-15 && (got.slope[0] - want.slope[0]).abs() < 5e-15, "N = {n}");
        }
    }
}
