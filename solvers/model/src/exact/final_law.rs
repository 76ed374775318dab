//! The law of Y_T under the optimal control, started from any nu_0, for problems with a tilted-mixture solution.
//!
//! The optimal process is the exact reverse diffusion of p*, so that X_T | Y_0 = y has the density
//! p*(x) N(y; e x, (1-e^2) I) / p*_T(y), and
//!   q(x) = p*(x) E[ nu_0(Y) / p*_T(Y) ],   Y ~ N(e x, (1-e^2) I).
//! Gauss-Hermite quadrature in y; q = p* exactly when nu_0 = p*_T. d <= 3.

use super::TiltedMixture;
use crate::error::ModelError;
use crate::fine_tuning::FineTuning;
use crate::law::{GaussianMixture, Law};
use crate::points::{PointBlock, Points};
use crate::quadrature::standard_normal_rule;

/// The final law of the continuous optimal process.
#[derive(Clone, Debug)]
pub struct FinalLaw {
    tilted: GaussianMixture,
    tilted_noised: GaussianMixture,
    initial: GaussianMixture,
    e: f64,
    noise_sd: f64,
    nodes: PointBlock,
    weights: Vec<f64>,
}

impl FinalLaw {
    /// From the problem's initial law and its solution.
    ///
    /// # Errors
    /// d > 3.
    pub fn new(problem: &FineTuning, solution: &TiltedMixture) -> Result<Self, ModelError> {
        let dim = problem.initial_law().dim();
        let per_axis = match dim {
            1 => 128,
            2 => 48,
            3 => 24,
            _ => return Err(ModelError::invalid("dimension", dim, "at most 3 for tensor quadrature")),
        };
        FinalLaw::with_nodes(problem, solution, per_axis)
    }

    /// The same with this many quadrature nodes on each axis: nu_0/p*_T is smooth where the noise at T is nearly all, and a few
    /// nodes are enough there.
    ///
    /// # Errors
    /// No nodes, or too many.
    pub fn with_nodes(problem: &FineTuning, solution: &TiltedMixture, per_axis: usize) -> Result<Self, ModelError> {
        let (nodes, weights) = standard_normal_rule(per_axis, problem.initial_law().dim())?;
        let integral = problem.schedule().remaining(0.0);
        Ok(FinalLaw {
            tilted: solution.tilted().clone(),
            tilted_noised: solution.tilted().noised_by(integral),
            initial: problem.initial_law().clone(),
            e: (-0.5 * integral).exp(),
            noise_sd: (-(-integral).exp_m1()).sqrt(),
            nodes,
            weights,
        })
    }

    /// Write the density q at each point.
    pub fn density(&self, x: Points<'_>, out: &mut [f64]) {
        let (d, q) = (x.dim(), self.weights.len());
        self.tilted.log_density(x, out);
        let mut y = PointBlock::zeros(d, q);
        let (mut top, mut bottom) = (vec![0.0; q], vec![0.0; q]);
        for (j, o) in out.iter_mut().enumerate() {
            for i in 0..d {
                let mean = self.e * x.coord(i)[j];
                for (y, z) in y.as_mut().coord_mut(i).iter_mut().zip(self.nodes.coord(i)) {
                    *y = mean + self.noise_sd * z;
                }
            }
            self.initial.log_density(y.as_points(), &mut top);
            self.tilted_noised.log_density(y.as_points(), &mut bottom);
            let ratio: f64 = (0..q).map(|n| self.weights[n] * (top[n] - bottom[n]).exp()).sum();
            *o = o.exp() * ratio;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::tests::{golden_lq, golden_mixture};
    use crate::fine_tuning::InitialLaw;

    fn density_on_line(p: &FineTuning) -> (Vec<f64>, Vec<f64>, f64) {
        let law = FinalLaw::new(p, &TiltedMixture::new(p).unwrap()).unwrap();
        let h = 0.01;
        let x: Vec<f64> = (0..1601).map(|i| -8.0 + h * i as f64).collect();
        let mut q = vec![0.0; x.len()];
        law.density(Points::new(&x, 1), &mut q);
        (x, q, h)
    }

    #[test]
    fn the_optimal_initial_law_ends_at_the_tilted_law() {
        let p = golden_mixture(InitialLaw::Optimal);
        let (x, q, _) = density_on_line(&p);
        let mut want = vec![0.0; x.len()];
        TiltedMixture::new(&p).unwrap().tilted().log_density(Points::new(&x, 1), &mut want);
        for (a, b) in q.iter().zip(&want) {
            assert!((a - b.exp()).abs() < 1e-12);
        }
    }

    #[test]
    fn other_initial_laws_keep_mass_one_and_have_a_bias() {
        let p = golden_mixture(InitialLaw::NoisedPrior);
        let (x, q, h) = density_on_line(&p);
        let mass: f64 = q.iter().sum::<f64>() * h;
        assert!((mass - 1.0).abs() < 1e-9, "{mass}");
        let mean: f64 = x.iter().zip(&q).map(|(x, q)| x * q).sum::<f64>() * h;
        let tilted = TiltedMixture::new(&p).unwrap().tilted().mean()[0];
        assert!((mean - tilted).abs() > 1e-3 && (mean - tilted).abs() < 0.2, "{mean} {tilted}");
    }

    #[test]
    fn linear_quadratic_moments() {
        // from N(n, Pi): mean H (C^-1 mu0 + c n + q/beta), covariance H + c^2 H Pi H, here by quadrature on a plane
        let p = golden_lq();
        let law = FinalLaw::new(&p, &TiltedMixture::new(&p).unwrap()).unwrap();
        let h = 0.08;
        let n = 150;
        let pts: Vec<[f64; 2]> = (0..n * n).map(|i| [-6.0 + h * (i / n) as f64 + 1.0, -6.0 + h * (i % n) as f64 + 1.4]).collect();
        let block = PointBlock::from_points(2, &pts).unwrap();
        let mut q = vec![0.0; pts.len()];
        law.density(block.as_points(), &mut q);
        let mass: f64 = q.iter().sum::<f64>() * h * h;
        let mean0: f64 = q.iter().zip(&pts).map(|(q, x)| q * x[0]).sum::<f64>() * h * h;
        // golden_lq starts at the noised prior: n = e mu0, Pi = e^2 C + (1-e^2) I; scalars assembled by hand
        let e2 = (-3.5_f64).exp();
        let c = e2.sqrt() / (1.0 - e2);
        let cov = [[0.7, 0.3], [0.3, 1.5]];
        let det = 0.96;
        let ci = [[1.5 / det, -0.3 / det], [-0.3 / det, 0.7 / det]];
        let g = e2 / (1.0 - e2);
        let m = [[ci[0][0] + g + 0.9 / 0.6, ci[0][1] - 0.2 / 0.6], [ci[1][0] - 0.2 / 0.6, ci[1][1] + g + 0.4 / 0.6]];
        let dm = m[0][0] * m[1][1] - m[0][1] * m[1][0];
        let hmat = [[m[1][1] / dm, -m[0][1] / dm], [-m[1][0] / dm, m[0][0] / dm]];
        let mu0 = [0.8, -0.4];
        let rhs: Vec<f64> =
            (0..2).map(|i| ci[i][0] * mu0[0] + ci[i][1] * mu0[1] + c * e2.sqrt() * mu0[i] + [0.5, 1.1][i] / 0.6).collect();
        let want = hmat[0][0] * rhs[0] + hmat[0][1] * rhs[1];
        assert!(cov[0][0] > 0.0 && (mass - 1.0).abs() < 1e-6, "{mass}");
        assert!((mean0 - want).abs() < 1e-6, "{mean0} {want}");
    }
}
