//! Gaussian prior N(mu0, C), quadratic reward -x'Qx/2 + q'x + c0: V = -y'K(t)y/2 + k(t)'y + l(t), U* = s + (k - Ky)/beta.
//!
//! With P = e^2 C + (1-e^2) I, m = e mu0, A = b (I/2 - P^-1), a = b P^-1 m the coefficients solve the Riccati system
//!   K' = -(A'K + KA) + (b/beta) K^2,          K(T) = Q
//!   k' = -A'k + K a + (b/beta) K k,           k(T) = q
//!   l' = -a'k + (b/2) tr K - (b/(2 beta)) |k|^2,   l(T) = c0
//! integrated by an adaptive Runge-Kutta method (Tsitouras 5(4), tolerances 1e-12) for any beta(t). For constant beta it has
//! the solution used here (n0 = C^-1 mu0, eps = 1 - e^2, M = eps C^-1 + e^2 I, H = M + eps Q/beta):
//!   K = e^2 M^-1 Q H^-1,   k = e [ H^-1 q - eps M^-1 Q H^-1 n0 ],
//!   l = c0 + beta [ -log(det H / det M)/2 - eps^2 n0'M^-1 Q H^-1 n0 / (2 beta) + eps n0'H^-1 q / beta + eps q'H^-1 q / (2 beta^2) ].

use super::{ClosedForm, ClosedFormSlice};
use crate::error::ModelError;
use crate::fine_tuning::FineTuning;
use crate::kl::KlWeight;
use crate::law::GaussianMixture;
use crate::points::{Points, PointsMut};
use crate::reward::QuadraticTerm;
use crate::schedule::Schedule;
use crate::spd::{Spd, solve_square};
use diffsol::{FaerMat, OdeBuilder, OdeSolverMethod};
use faer::{Mat, MatRef};

/// A quadratic function -y'Ky/2 + k'y + l.
#[derive(Clone, Debug)]
pub struct LqCoefficients {
    /// K, symmetric, d x d.
    pub curvature: Mat<f64>,
    /// k.
    pub slope: Vec<f64>,
    /// l.
    pub constant: f64,
}

impl LqCoefficients {
    /// Write the value at each point.
    pub fn value(&self, y: Points<'_>, out: &mut [f64]) {
        let d = y.dim();
        for (j, o) in out.iter_mut().enumerate() {
            let at = |i: usize| y.coord(i)[j];
            *o = self.constant
                + (0..d)
                    .map(|i| at(i) * (self.slope[i] - 0.5 * (0..d).map(|s| self.curvature[(i, s)] * at(s)).sum::<f64>()))
                    .sum::<f64>();
        }
    }

    /// Add weight * (k - Ky) to `out`.
    fn add_gradient(&self, weight: f64, y: Points<'_>, out: &mut PointsMut<'_>) {
        let d = y.dim();
        for i in 0..d {
            let o = out.coord_mut(i);
            for j in 0..y.len() {
                let ky: f64 = (0..d).map(|s| self.curvature[(i, s)] * y.coord(s)[j]).sum();
                o[j] += weight * (self.slope[i] - ky);
            }
        }
    }
}

/// Points of the Riccati table. Between them cubic Hermite interpolation errs by (T/4096)^4/384 of the fourth derivative, far
/// below the integrator's tolerance where b and beta are smooth; in the panel of a kink (tables, a capped cosine) by (T/4096)^2/8
/// of the jump of the second derivative, in that of a jump of beta by (T/4096)/4 of the jump of the first.
const TABLE: usize = 4096;
/// Most steps of the integrator: problems that are in units of their own take some thousands.
const MOST_STEPS: usize = 200_000;

const EQUATION: &str = "Riccati equation of the linear-quadratic solution";

#[derive(Clone, Debug)]
enum Solution {
    Formula,
    /// (K, k, l) flattened at t_i = i T / TABLE, and the derivative in t.
    Table {
        states: Vec<Vec<f64>>,
        rates: Vec<Vec<f64>>,
    },
}

/// The linear-quadratic solution.
#[derive(Clone, Debug)]
pub struct GaussianLq {
    schedule: Schedule,
    prior: GaussianMixture,
    term: QuadraticTerm,
    kl_weight: KlWeight,
    solution: Solution,
}

impl GaussianLq {
    /// The solution of `problem`: by formula for constant beta, by the Riccati system otherwise.
    ///
    /// # Errors
    /// A prior that is not one Gaussian, a reward that is not quadratic, an ill-posed tilt, or a Riccati solution that
    /// blows up (a reward too convex for its KL weight).
    pub fn new(problem: &FineTuning) -> Result<Self, ModelError> {
        let mut this = Self::prepare(problem)?;
        if problem.kl_weight().as_constant().is_none() {
            this.solution = this.integrate()?;
        }
        Ok(this)
    }

    /// The same through the Riccati system, whatever beta is: an independent route.
    ///
    /// # Errors
    /// As [`GaussianLq::new`].
    pub fn by_riccati(problem: &FineTuning) -> Result<Self, ModelError> {
        let mut this = Self::prepare(problem)?;
        this.solution = this.integrate()?;
        Ok(this)
    }

    fn prepare(problem: &FineTuning) -> Result<Self, ModelError> {
        if problem.prior().components() != 1 {
            let found = format!("{} components", problem.prior().components());
            return Err(ModelError::invalid("prior", found, "must be one Gaussian for the linear-quadratic solution"));
        }
        let term = problem.reward().as_quadratic().ok_or_else(|| {
            ModelError::invalid("reward", "this kind", "must be linear or quadratic for the linear-quadratic solution")
        })?;
        if let Some(beta) = problem.kl_weight().as_constant() {
            super::tilt(problem.prior(), std::slice::from_ref(term), beta)?;
        }
        Ok(GaussianLq {
            schedule: problem.schedule().clone(),
            prior: problem.prior().clone(),
            term: term.clone(),
            kl_weight: problem.kl_weight().clone(),
            solution: Solution::Formula,
        })
    }

    /// K, k, l at time t.
    pub fn coefficients(&self, t: f64) -> LqCoefficients {
        match &self.solution {
            Solution::Formula => self.formula(t, self.kl_weight.at(t)),
            Solution::Table { states, rates } => {
                let d = self.term.slope.len();
                let step = self.schedule.horizon() / TABLE as f64;
                let i = ((t / step) as usize).min(TABLE - 1);
                let w = (t - i as f64 * step) / step;
                let (h10, h01, h11) = (w * (1.0 - w) * (1.0 - w), w * w * (3.0 - 2.0 * w), w * w * (w - 1.0));
                let at = |n: usize| {
                    (1.0 - h01) * states[i][n] + h01 * states[i + 1][n] + step * (h10 * rates[i][n] + h11 * rates[i + 1][n])
                };
                LqCoefficients {
                    curvature: Mat::from_fn(d, d, |r, s| 0.5 * (at(r * d + s) + at(s * d + r))),
                    slope: (0..d).map(|r| at(d * d + r)).collect(),
                    constant: at(d * d + d),
                }
            }
        }
    }

    fn formula(&self, t: f64, beta: f64) -> LqCoefficients {
        let d = self.term.slope.len();
        let integral = self.schedule.remaining(t);
        let (e, eps) = ((-0.5 * integral).exp(), -(-integral).exp_m1());
        let c_inv = self.prior.covariance_of(0).inverse();
        let q = &self.term.curvature;
        let m = Mat::from_fn(d, d, |i, j| eps * c_inv[(i, j)] + if i == j { e * e } else { 0.0 });
        let h = Mat::from_fn(d, d, |i, j| m[(i, j)] + eps / beta * q[(i, j)]);
        let mu0 = Mat::from_fn(d, 1, |i, _| self.prior.mean_of(0)[i]);
        let slope = Mat::from_fn(d, 1, |i, _| self.term.slope[i]);
        let n0 = c_inv * &mu0;
        let h_q = solve_square(h.as_ref(), slope.as_ref());
        let h_n0 = solve_square(h.as_ref(), n0.as_ref());
        let m_q_h = solve_square(m.as_ref(), (q * solve_square(h.as_ref(), Mat::<f64>::identity(d, d).as_ref())).as_ref());
        let m_q_h_n0 = solve_square(m.as_ref(), (q * &h_n0).as_ref());
        let dot = |a: &Mat<f64>, b: &Mat<f64>| (0..d).map(|i| a[(i, 0)] * b[(i, 0)]).sum::<f64>();
        // M and H are positive definite for a well-posed tilt, so the logarithms exist
        let log_ratio = log_det(h.as_ref()) - log_det(m.as_ref());
        LqCoefficients {
            curvature: Mat::from_fn(d, d, |i, j| 0.5 * e * e * (m_q_h[(i, j)] + m_q_h[(j, i)])),
            slope: (0..d).map(|i| e * (h_q[(i, 0)] - eps * m_q_h_n0[(i, 0)])).collect(),
            constant: self.term.constant - 0.5 * beta * log_ratio - 0.5 * eps * eps * dot(&n0, &m_q_h_n0)
                + eps * dot(&n0, &h_q)
                + 0.5 * eps / beta * dot(&slope, &h_q),
        }
    }

    /// d(K, k, l)/dt at time t.
    fn rate(&self, t: f64, state: &[f64], out: &mut [f64]) {
        let d = self.term.slope.len();
        let b = self.schedule.rate(t);
        let noised = self.prior.noised_by(self.schedule.remaining(t));
        let (p_inv, m) = (noised.covariance_of(0).inverse(), noised.mean_of(0));
        let strength = b / self.kl_weight.at(t);
        let a_mat = |i: usize, j: usize| b * (if i == j { 0.5 } else { 0.0 } - p_inv[(i, j)]);
        let a_vec: Vec<f64> = (0..d).map(|i| b * (0..d).map(|j| p_inv[(i, j)] * m[j]).sum::<f64>()).collect();
        let (k, rest) = state.split_at(d * d);
        let slope = &rest[..d];
        for i in 0..d {
            for j in 0..d {
                out[i * d + j] = (0..d)
                    .map(|r| -(a_mat(r, i) * k[r * d + j] + k[i * d + r] * a_mat(r, j)) + strength * k[i * d + r] * k[r * d + j])
                    .sum();
            }
            out[d * d + i] = (0..d).map(|r| -a_mat(r, i) * slope[r] + k[i * d + r] * (a_vec[r] + strength * slope[r])).sum();
        }
        out[d * d + d] = -(0..d).map(|i| a_vec[i] * slope[i]).sum::<f64>() + 0.5 * b * (0..d).map(|i| k[i * d + i]).sum::<f64>()
            - 0.5 * strength * slope.iter().map(|x| x * x).sum::<f64>();
    }

    /// Integrate from T down to 0, in the time to go tau = T - t.
    fn integrate(&self) -> Result<Solution, ModelError> {
        let d = self.term.slope.len();
        let n = d * d + d + 1;
        let horizon = self.schedule.horizon();
        let mut terminal = vec![0.0; n];
        for i in 0..d {
            for j in 0..d {
                terminal[i * d + j] = self.term.curvature[(i, j)];
            }
            terminal[d * d + i] = self.term.slope[i];
        }
        terminal[n - 1] = self.term.constant;

        let failed = |reason: String| ModelError::Integration { equation: EQUATION, time: f64::NAN, reason };
        let backward = |x: &[f64], _p: &[f64], tau: f64, y: &mut [f64]| {
            self.rate(horizon - tau, x, y);
            y.iter_mut().for_each(|v| *v = -*v);
        };
        let start = terminal.clone();
        let ode = OdeBuilder::<FaerMat<f64>>::new()
            .rtol(1e-12)
            .atol([1e-14])
            .rhs(backward)
            .init(move |_p: &[f64], _t: f64, y: &mut [f64]| y.copy_from_slice(&start), n)
            .build()
            .map_err(|e| failed(e.to_string()))?;
        let mut solver = ode.tsit45().map_err(|e| failed(e.to_string()))?;
        solver.set_stop_time(horizon).map_err(|e| failed(e.to_string()))?;
        let mut states = vec![terminal];
        let mut steps = 0;
        for i in 1..=TABLE {
            let tau = horizon * i as f64 / TABLE as f64;
            while solver.state().t < tau {
                steps += 1;
                if steps > MOST_STEPS {
                    let reason = format!("more than {MOST_STEPS} steps: a rate is very large for the horizon");
                    return Err(ModelError::Integration { equation: EQUATION, time: horizon - solver.state().t, reason });
                }
                solver.step().map_err(|e| failed(format!("{e}; the reward may be too convex for its KL weight")))?;
            }
            let state = solver.interpolate(tau).map_err(|e| failed(e.to_string()))?;
            states.push((0..n).map(|r| state[r]).collect::<Vec<f64>>());
        }
        states.reverse();
        let time = |i: usize| horizon * i as f64 / TABLE as f64;
        // the solution is lost going backward, so the last bad time is where
        if let Some(i) = states.iter().rposition(|s| s.iter().any(|v| !v.is_finite())) {
            return Err(ModelError::Integration {
                equation: EQUATION,
                time: time(i),
                reason: "the solution is not finite; the reward is too convex for its KL weight".into(),
            });
        }
        let mut rates = vec![vec![0.0; n]; TABLE + 1];
        for (i, (s, r)) in states.iter().zip(&mut rates).enumerate() {
            self.rate(time(i), s, r);
        }
        Ok(Solution::Table { states, rates })
    }
}

fn log_det(a: MatRef<'_, f64>) -> f64 {
    Spd::new("", a.to_owned()).map_or(f64::NAN, |s| s.log_det())
}

struct Slice {
    coefficients: LqCoefficients,
    noised: GaussianMixture,
    beta: f64,
}

impl ClosedFormSlice for Slice {
    fn value(&self, y: Points<'_>, out: &mut [f64]) {
        self.coefficients.value(y, out);
    }

    fn control(&self, y: Points<'_>, mut out: PointsMut<'_>) {
        self.noised.score(y, out.reborrow());
        self.coefficients.add_gradient(1.0 / self.beta, y, &mut out);
    }
}

impl ClosedForm for GaussianLq {
    fn dim(&self) -> usize {
        self.term.slope.len()
    }

    fn at(&self, t: f64) -> Box<dyn ClosedFormSlice + '_> {
        Box::new(Slice {
            coefficients: self.coefficients(t),
            noised: self.prior.noised_by(self.schedule.remaining(t)),
            beta: self.kl_weight.at(t),
        })
    }

    fn description(&self) -> &'static str {
        match self.solution {
            Solution::Formula => "linear-quadratic (formula)",
            Solution::Table { .. } => "linear-quadratic (Riccati system)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::TiltedMixture;
    use crate::exact::tests::{golden_lq, time_varying_lq};
    use crate::points::PointBlock;

    #[test]
    fn golden_coefficients_in_two_dimensions() {
        for x in [GaussianLq::new(&golden_lq()).unwrap(), GaussianLq::by_riccati(&golden_lq()).unwrap()] {
            let c = x.coefficients(0.0);
            for (i, j, k) in [(0, 0, 0.006271143765), (0, 1, 0.002291688348), (1, 1, 0.012650044784)] {
                assert!((c.curvature[(i, j)] - k).abs() < 2e-12, "{} {k}", c.curvature[(i, j)]);
            }
            assert!((c.slope[0] - 0.02263158707).abs() < 1e-11 && (c.slope[1] - 0.187669159604).abs() < 2e-12);
            assert!((c.constant - 0.615142190004).abs() < 2e-12, "{}", c.constant);
        }
    }

    #[test]
    fn formula_riccati_and_mixture_agree_at_all_times() {
        let p = golden_lq();
        let (f, r, m) = (GaussianLq::new(&p).unwrap(), GaussianLq::by_riccati(&p).unwrap(), TiltedMixture::new(&p).unwrap());
        let y = PointBlock::from_points(2, &[[0.4, -0.3], [-2.0, 1.5], [1.0, 2.5]]).unwrap();
        for i in 0..=37 {
            let t = 2.0 * i as f64 / 37.0;
            let mut v = [[0.0; 3]; 3];
            let mut u = vec![PointBlock::zeros(2, 3); 3];
            for (n, x) in [&f as &dyn ClosedForm, &r, &m].into_iter().enumerate() {
                x.at(t).value(y.as_points(), &mut v[n]);
                x.at(t).control(y.as_points(), u[n].as_mut());
            }
            for j in 0..3 {
                assert!((v[0][j] - v[1][j]).abs() < 1e-10 && (v[0][j] - v[2][j]).abs() < 1e-11, "t = {t}: {v:?}");
            }
            for j in 0..6 {
                assert!((u[0].data()[j] - u[1].data()[j]).abs() < 1e-9 && (u[0].data()[j] - u[2].data()[j]).abs() < 1e-11);
            }
        }
    }

    #[test]
    fn golden_coefficients_with_time_varying_weight() {
        let x = GaussianLq::new(&time_varying_lq()).unwrap();
        let c = x.coefficients(0.0);
        assert!((c.curvature[(0, 0)] - 0.0059959222).abs() < 1e-10);
        assert!((c.slope[0] - 0.0002065363).abs() < 1e-10, "{}", c.slope[0]);
        assert!((c.constant - 0.0584253815).abs() < 1e-10);
    }

    #[test]
    fn a_blow_up_is_an_error() {
        use crate::fine_tuning::{FineTuning, InitialLaw};
        use crate::reward::Reward;
        use std::sync::Arc;
        let with = |beta: fn(f64) -> f64| {
            FineTuning::new(
                Schedule::linear(2.0, 0.5, 3.0).unwrap(),
                GaussianMixture::gaussian(vec![0.0], vec![vec![1.0]]).unwrap(),
                Reward::quadratic(&[vec![-1.0]], vec![0.0], 0.0).unwrap(),
                KlWeight::function(2.0, Arc::new(beta), "beta").unwrap(),
                InitialLaw::NoisedPrior,
            )
        };
        // 1 - 1/beta < 0 at every beta: seen at once
        assert!(matches!(with(|t| 0.3 + 0.01 * t), Err(ModelError::IllPosedTilt { .. })));
        // large enough at the data only: seen by the Riccati equation, with the time
        let e = GaussianLq::new(&with(|t| 0.3 + 1.2 * (t / 2.0).powi(40)).unwrap()).unwrap_err();
        assert!(matches!(e, ModelError::Integration { time, .. } if time > 0.1 && time < 1.99), "{e}");
        assert!(e.to_string().contains("too convex"), "{e}");
    }
}
