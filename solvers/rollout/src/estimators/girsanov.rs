//! The density of one control's path measure with respect to another's, along simulated paths.
//!
//! Paths run under the feedback v; with theta = sigma^+ G (v - v_ref) and dB the increments of the simulation,
//!   log dP_ref/dP_v = - int theta'dB - (1/2) int |theta|^2 dt,     KL(P_v | P_ref) = E_v (1/2) int |theta|^2 dt,
//! both as sums over the steps with the integrands at t_k. For the Euler-Maruyama scheme these are the exact density and
//! divergence of the two Euler chains, whatever the step; for other schemes they have the weak order of the left rule, 1.
//!
//! The control must act where the noise does: sigma theta = G (v - v_ref) needs a solution. Otherwise the two measures are
//! singular to each other, which is reported as an error of the path.
//!
//! Reference: Girsanov, *On transforming a certain class of stochastic processes by absolutely continuous substitution of
//! measures*, Theory Probab. Appl. 5 (1960).

use hjbridge_model::{Feedback, MatrixCoefficient, PointBlock, PointsMut, VectorField};

use crate::closed_loop::{ClosedLoop, add_product};
use crate::error::RolloutError;
use crate::functional::{PathFunctional, PreparedFunctional, StepView};
use crate::noise::LANES;
use crate::sweep;

/// Two numbers per path: log dP_ref/dP_v and (1/2) int |theta|^2 dt.
#[derive(Clone, Copy)]
pub struct GirsanovWeight<'a> {
    reference: &'a dyn Feedback,
}

impl<'a> GirsanovWeight<'a> {
    /// Against the paths under `reference`; a [`ZeroFeedback`](hjbridge_model::ZeroFeedback) for the uncontrolled ones.
    pub fn new(reference: &'a dyn Feedback) -> Self {
        GirsanovWeight { reference }
    }
}

impl PathFunctional for GirsanovWeight<'_> {
    fn values(&self) -> usize {
        2
    }

    fn prepare<'s>(&'s self, system: &'s ClosedLoop<'s>) -> Result<Box<dyn PreparedFunctional + 's>, RolloutError> {
        let (d, m) = (system.problem().dim(), system.problem().control_dim());
        let (found, found_m) = (self.reference.dim(), self.reference.control_dim());
        if found != d {
            return Err(RolloutError::Dimension { what: "state dimension of the reference feedback", found, expected: d });
        }
        if found_m != m {
            let what = "control dimension of the reference feedback";
            return Err(RolloutError::Dimension { what, found: found_m, expected: m });
        }
        let fields = (0..system.steps()).map(|k| self.reference.at(system.level(k).time)).collect();
        Ok(Box::new(Prepared { fields }))
    }
}

struct Prepared<'s> {
    fields: Vec<Box<dyn VectorField + 's>>,
}

impl PreparedFunctional for Prepared<'_> {
    fn step(&self, step: &StepView<'_>, mut values: PointsMut<'_>) {
        let (d, m, q) = (step.before.dim(), step.control.dim(), step.noise.dim());
        let mut v = PointBlock::zeros(m, LANES);
        self.fields[step.step].eval(step.before, v.as_mut());
        for i in 0..m {
            for (reference, control) in v.as_mut().coord_mut(i).iter_mut().zip(step.control.coord(i)) {
                *reference = control - *reference;
            }
        }
        // G (v - v_ref), then theta.
        let mut drift = PointBlock::zeros(d, LANES);
        match &step.level.control_matrix {
            MatrixCoefficient::Scaled(c) => sweep::add_scaled(drift.data_mut(), *c, v.data()),
            MatrixCoefficient::Field(g) => {
                add_product(g.as_ref(), step.before, m, v.data(), 1.0, &mut Vec::new(), drift.data_mut());
            }
        }
        let theta = match &step.level.diffusion {
            MatrixCoefficient::Scaled(s) => {
                let mut theta = drift;
                theta.data_mut().iter_mut().for_each(|t| *t = if *t == 0.0 { 0.0 } else { *t / s });
                theta
            }
            MatrixCoefficient::Field(sigma) => {
                let mut matrix = PointBlock::zeros(d * q, LANES);
                sigma.eval(step.before, matrix.as_mut());
                solve(&matrix, &drift, q)
            }
        };
        let (h, sqrt_h) = (step.step_length, step.step_length.sqrt());
        let (mut linear, mut square) = ([0.0; LANES], [0.0; LANES]);
        for i in 0..q {
            for (((l, s), t), xi) in linear.iter_mut().zip(&mut square).zip(theta.coord(i)).zip(step.noise.coord(i)) {
                *l += t * xi;
                *s += t * t;
            }
        }
        for ((w, l), s) in values.coord_mut(0).iter_mut().zip(linear).zip(square) {
            *w -= sqrt_h * l + 0.5 * h * s;
        }
        for (kl, s) in values.coord_mut(1).iter_mut().zip(square) {
            *kl += 0.5 * h * s;
        }
    }
}

/// The shortest theta with sigma theta = w, lane by lane; NaN where there is none. For q >= d, theta = sigma' (sigma sigma')^{-1} w;
/// otherwise theta = (sigma' sigma)^{-1} sigma' w, and the remainder w - sigma theta must vanish.
fn solve(sigma: &PointBlock, w: &PointBlock, q: usize) -> PointBlock {
    let d = w.dim();
    let mut theta = PointBlock::zeros(q, LANES);
    let wide = q >= d;
    let n = d.min(q);
    let (mut a, mut b, mut out) = (vec![0.0; n * n], vec![0.0; n], vec![0.0; q]);
    for lane in 0..LANES {
        let s = |i: usize, j: usize| sigma.coord(i * q + j)[lane];
        let w = |i: usize| w.coord(i)[lane];
        if (0..d).all(|i| w(i) == 0.0) {
            continue;
        }
        for i in 0..n {
            for j in 0..n {
                a[i * n + j] =
                    if wide { (0..q).map(|k| s(i, k) * s(j, k)).sum() } else { (0..d).map(|k| s(k, i) * s(k, j)).sum() };
            }
            b[i] = if wide { w(i) } else { (0..d).map(|k| s(k, i) * w(k)).sum() };
        }
        cholesky_solve(&mut a, &mut b);
        for j in 0..q {
            out[j] = if wide { (0..d).map(|i| s(i, j) * b[i]).sum() } else { b[j] };
        }
        let size = (0..d).map(|i| w(i).abs()).fold(0.0, f64::max);
        let missed = |i: usize| (w(i) - (0..q).map(|j| s(i, j) * out[j]).sum::<f64>()).abs() > 1e-7 * size;
        let singular = (0..d).any(missed);
        theta.as_mut().set_point(lane, &out);
        if singular {
            theta.as_mut().coord_mut(0)[lane] = f64::NAN;
        }
    }
    theta
}

/// Overwrite b by the solution of A x = b for a symmetric positive definite A, which is overwritten; NaN when A is not.
fn cholesky_solve(a: &mut [f64], b: &mut [f64]) {
    let n = b.len();
    for j in 0..n {
        for i in j..n {
            let dot: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
            let entry = a[i * n + j] - dot;
            a[i * n + j] = if i == j { entry.sqrt() } else { entry / a[j * n + j] };
        }
    }
    for i in 0..n {
        let dot: f64 = (0..i).map(|k| a[i * n + k] * b[k]).sum();
        b[i] = (b[i] - dot) / a[i * n + i];
    }
    for i in (0..n).rev() {
        let dot: f64 = (i + 1..n).map(|k| a[k * n + i] * b[k]).sum();
        b[i] = (b[i] - dot) / a[i * n + i];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constant(entries: &[f64]) -> PointBlock {
        let points = vec![entries.to_vec(); LANES];
        PointBlock::from_points(entries.len(), &points).unwrap()
    }

    #[test]
    fn theta_of_square_wide_and_tall_noise() {
        // Square: inverse of [[2,1],[0,3]] applied to (5, 6).
        let theta = solve(&constant(&[2.0, 1.0, 0.0, 3.0]), &constant(&[5.0, 6.0]), 2);
        assert!((theta.coord(0)[3] - 1.5).abs() < 1e-14 && (theta.coord(1)[3] - 2.0).abs() < 1e-14);
        // Wide: the shortest solution of t1 + t2 = 3 is (1.5, 1.5).
        let theta = solve(&constant(&[1.0, 1.0]), &constant(&[3.0]), 2);
        assert!((theta.coord(0)[9] - 1.5).abs() < 1e-14 && (theta.coord(1)[9] - 1.5).abs() < 1e-14);
        // Tall: noise (1, 2)' drives what is along it, nothing else.
        let theta = solve(&constant(&[1.0, 2.0]), &constant(&[0.5, 1.0]), 1);
        assert!((theta.coord(0)[0] - 0.5).abs() < 1e-14);
        assert!(solve(&constant(&[1.0, 2.0]), &constant(&[1.0, 0.0]), 1).coord(0)[0].is_nan());
        assert!(solve(&constant(&[0.0, 0.0, 0.0, 0.0]), &constant(&[1.0, 0.0]), 2).coord(0)[0].is_nan());
        assert_eq!(solve(&constant(&[0.0, 0.0, 0.0, 0.0]), &constant(&[0.0, 0.0]), 2).coord(0)[0], 0.0);
    }
}
