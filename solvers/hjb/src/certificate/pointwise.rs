//! The left side of the HJB equation at given points, for any control set and cost.
//!
//!   R = V_t + f.grad V + (1/2) tr(sigma sigma' D^2 V) + l - rho V + sup_v { (G v).grad V - c(t,x,v) },
//!
//! with the supremum taken at each point apart from the solver that produced V: by Cholesky for a free control with quadratic
//! cost, by coordinate ascent (exact in each coordinate, so convergent for R > 0) with bounds, over the list for a finite set,
//! and by a lattice refined around its best node for a general cost on a box.

use crate::error::HjbError;
use hjbridge_model::{ControlCost, ControlSet, ControlledDiffusion, MatrixCoefficient, PointBlock};

/// Lattice points per control component of the first sweep of the search over a box, for 1, 2 and more components.
const LATTICE: [usize; 3] = [33, 9, 5];
/// Sweeps that follow, each on a lattice of 5 points per component over half the last spacing on each side.
const REFINEMENTS: usize = 12;
/// Most sweeps of the coordinate ascent.
const ASCENT_SWEEPS: usize = 500;

/// V and its derivatives at n points: V, V_t (n), grad V (d x n), D^2 V (d d x n).
pub(crate) struct Jets<'a> {
    pub value: &'a [f64],
    pub slope: &'a [f64],
    pub gradient: &'a PointBlock,
    pub hessian: &'a PointBlock,
}

/// A model at fixed points.
pub(crate) struct PointwiseEquation<'a> {
    model: &'a dyn ControlledDiffusion,
    pub points: PointBlock,
    set: ControlSet,
    /// Bounds per component; empty for a finite set.
    bounds: Vec<(f64, f64)>,
    general: bool,
}

/// A matrix at every point, entry (i, j) as coordinate `i * columns + j`.
enum Entries {
    Scaled(f64),
    Field { columns: usize, values: PointBlock },
}

impl Entries {
    fn get(&self, i: usize, j: usize, point: usize) -> f64 {
        match self {
            Entries::Scaled(c) if i == j => *c,
            Entries::Scaled(_) => 0.0,
            Entries::Field { columns, values } => values.coord(i * columns + j)[point],
        }
    }
}

impl<'a> PointwiseEquation<'a> {
    /// The equation of `model` (in the sense of maximisation) at `points`.
    ///
    /// # Errors
    /// A control set that is not valid; a general cost without bounds.
    pub fn new(model: &'a dyn ControlledDiffusion, points: PointBlock) -> Result<Self, HjbError> {
        let (m, set) = (model.control_dim(), model.control_set());
        let general = model.control_cost() == ControlCost::General;
        let bounds = match &set {
            ControlSet::Finite { controls } => {
                if controls.is_empty() {
                    return Err(HjbError::invalid("control_set.controls", "[]", "at least one control"));
                }
                for (k, v) in controls.iter().enumerate() {
                    HjbError::check_shape(&format!("control_set.controls[{k}]"), v.len(), m)?;
                }
                Vec::new()
            }
            ControlSet::Box { lower, upper } => {
                HjbError::check_shape("control_set.lower", lower.len(), m)?;
                HjbError::check_shape("control_set.upper", upper.len(), m)?;
                for (i, (lo, up)) in lower.iter().zip(upper).enumerate() {
                    if lo.is_nan() || up.is_nan() || lo > up {
                        let value = format!("[{lo}, {up}]");
                        return Err(HjbError::invalid(&format!("control_set[{i}]"), value, "lower <= upper, not NaN"));
                    }
                }
                lower.iter().copied().zip(upper.iter().copied()).collect()
            }
            ControlSet::Free => vec![(f64::NEG_INFINITY, f64::INFINITY); m],
        };
        if general && bounds.iter().any(|(lo, up)| !(lo.is_finite() && up.is_finite())) {
            return Err(HjbError::Unsupported {
                what: "a general control cost on an unbounded control set".into(),
                t: 0.0,
                point: Vec::new(),
                allowed: "finite bounds or a finite set",
            });
        }
        Ok(PointwiseEquation { model, points, set, bounds, general })
    }

    /// Write R at each point.
    ///
    /// # Errors
    /// A coefficient that is not finite, R not positive definite.
    pub fn residual(&self, t: f64, jets: &Jets<'_>, out: &mut [f64]) -> Result<(), HjbError> {
        let (d, m, n) = (self.model.dim(), self.model.control_dim(), self.points.len());
        let (at, x) = (self.model.at(t), self.points.as_points());
        let mut drift = PointBlock::zeros(d, n);
        at.drift(x, drift.as_mut());
        self.check("drift", drift.data(), t)?;
        at.running_reward(x, out);
        self.check("running_reward", out, t)?;
        let rho = self.model.discount();
        for (j, r) in out.iter_mut().enumerate() {
            *r += jets.slope[j] - rho * jets.value[j];
        }
        for i in 0..d {
            for (j, r) in out.iter_mut().enumerate() {
                *r += drift.coord(i)[j] * jets.gradient.coord(i)[j];
            }
        }
        let q = self.model.noise_dim();
        let sigma = self.entries("diffusion", at.diffusion(), d, q, t)?;
        for (j, r) in out.iter_mut().enumerate() {
            for k in 0..q {
                // |sigma_k . D|^2 V for each column of sigma.
                for a in 0..d {
                    let left = sigma.get(a, k, j);
                    if left != 0.0 {
                        let row: f64 = (0..d).map(|b| sigma.get(b, k, j) * jets.hessian.coord(a * d + b)[j]).sum();
                        *r += 0.5 * left * row;
                    }
                }
            }
        }
        if m == 0 {
            return Ok(());
        }
        // G' grad V.
        let gain = self.entries("control_matrix", at.control_matrix(), d, m, t)?;
        let mut lever = PointBlock::zeros(m, n);
        for k in 0..m {
            for j in 0..n {
                lever.as_mut().coord_mut(k)[j] = (0..d).map(|i| gain.get(i, k, j) * jets.gradient.coord(i)[j]).sum();
            }
        }
        let weight = if self.general { None } else { Some(self.entries("control_weight", at.control_weight(), m, m, t)?) };
        let best = match (&self.set, &weight) {
            (ControlSet::Finite { controls }, _) => {
                let mut best = vec![f64::NEG_INFINITY; n];
                let mut gains = vec![0.0; n];
                let mut v = PointBlock::zeros(m, n);
                for control in controls {
                    (0..m).for_each(|k| v.as_mut().coord_mut(k).fill(control[k]));
                    self.gains(at.as_ref(), &lever, weight.as_ref(), &v, &mut gains, t)?;
                    best.iter_mut().zip(&gains).for_each(|(b, g)| *b = b.max(*g));
                }
                best
            }
            (_, Some(weight)) => (0..n).map(|j| self.quadratic(&lever, weight, j, t)).collect::<Result<_, _>>()?,
            (_, None) => self.search(at.as_ref(), &lever, t)?,
        };
        out.iter_mut().zip(&best).for_each(|(r, b)| *r += b);
        Ok(())
    }

    /// (G v).grad V - c(v) at every point.
    fn gains(
        &self,
        at: &dyn hjbridge_model::Coefficients,
        lever: &PointBlock,
        weight: Option<&Entries>,
        v: &PointBlock,
        out: &mut [f64],
        t: f64,
    ) -> Result<(), HjbError> {
        let m = v.dim();
        match weight {
            None => {
                at.control_cost(self.points.as_points(), v.as_points(), out);
                self.check("control_cost", out, t)?;
            }
            Some(r) => {
                for (j, o) in out.iter_mut().enumerate() {
                    let quadratic = |i: usize| (0..m).map(|k| r.get(i, k, j) * v.coord(k)[j]).sum::<f64>() * v.coord(i)[j];
                    *o = 0.5 * (0..m).map(quadratic).sum::<f64>();
                }
            }
        }
        for (j, o) in out.iter_mut().enumerate() {
            *o = (0..m).map(|k| lever.coord(k)[j] * v.coord(k)[j]).sum::<f64>() - *o;
        }
        Ok(())
    }

    /// max over the bounds of q.v - v'Rv/2 at point j.
    fn quadratic(&self, lever: &PointBlock, weight: &Entries, j: usize, t: f64) -> Result<f64, HjbError> {
        let m = lever.dim();
        let q: Vec<f64> = (0..m).map(|k| lever.coord(k)[j]).collect();
        // Cholesky: the check of R, and the solution without bounds.
        let mut l = vec![0.0; m * m];
        for i in 0..m {
            for k in 0..=i {
                let s: f64 = weight.get(i, k, j) - (0..k).map(|c| l[i * m + c] * l[k * m + c]).sum::<f64>();
                if i == k {
                    if s <= 0.0 {
                        let (value, point) = (weight.get(i, i, j), self.point(j));
                        return Err(HjbError::ControlWeight { component: i, value, t, node: j, point });
                    }
                    l[i * m + i] = s.sqrt();
                } else {
                    l[i * m + k] = s / l[k * m + k];
                }
            }
        }
        let mut v = q.clone();
        for i in 0..m {
            v[i] = (v[i] - (0..i).map(|k| l[i * m + k] * v[k]).sum::<f64>()) / l[i * m + i];
        }
        for i in (0..m).rev() {
            v[i] = (v[i] - (i + 1..m).map(|k| l[k * m + i] * v[k]).sum::<f64>()) / l[i * m + i];
        }
        if v.iter().zip(&self.bounds).any(|(v, (lo, up))| v < lo || v > up) {
            v.iter_mut().zip(&self.bounds).for_each(|(v, (lo, up))| *v = v.max(*lo).min(*up));
            for _ in 0..ASCENT_SWEEPS {
                let mut moved = 0.0f64;
                for i in 0..m {
                    let others: f64 = (0..m).filter(|k| *k != i).map(|k| weight.get(i, k, j) * v[k]).sum();
                    let new = ((q[i] - others) / weight.get(i, i, j)).max(self.bounds[i].0).min(self.bounds[i].1);
                    moved = moved.max((new - v[i]).abs());
                    v[i] = new;
                }
                if moved <= 1e-14 * v.iter().fold(1.0f64, |s, v| s.max(v.abs())) {
                    break;
                }
            }
        }
        let cost: f64 = (0..m).map(|i| (0..m).map(|k| weight.get(i, k, j) * v[k]).sum::<f64>() * v[i]).sum();
        Ok(q.iter().zip(&v).map(|(q, v)| q * v).sum::<f64>() - 0.5 * cost)
    }

    /// max over the box of q.v - c(v) for a general cost.
    fn search(&self, at: &dyn hjbridge_model::Coefficients, lever: &PointBlock, t: f64) -> Result<Vec<f64>, HjbError> {
        let (m, n) = (lever.dim(), lever.len());
        let first = LATTICE[m.min(LATTICE.len()) - 1];
        let mut half: Vec<f64> = self.bounds.iter().map(|(lo, up)| 0.5 * (up - lo)).collect();
        let mut centre = PointBlock::zeros(m, n);
        for (k, (lo, up)) in self.bounds.iter().enumerate() {
            centre.as_mut().coord_mut(k).fill(0.5 * (lo + up));
        }
        let (mut best, mut gains) = (vec![f64::NEG_INFINITY; n], vec![0.0; n]);
        let (mut v, mut arg) = (centre.clone(), centre.clone());
        for sweep in 0..=REFINEMENTS {
            let count = if sweep == 0 { first } else { 5 };
            let last = (count - 1) as f64;
            for index in 0..count.pow(m as u32) {
                for (k, &(lo, up)) in self.bounds.iter().enumerate() {
                    let place = (index / count.pow(k as u32) % count) as f64;
                    let step = half[k] * (2.0 * place / last - 1.0);
                    for (v, c) in v.as_mut().coord_mut(k).iter_mut().zip(centre.coord(k)) {
                        *v = (c + step).max(lo).min(up);
                    }
                }
                self.gains(at, lever, None, &v, &mut gains, t)?;
                for j in 0..n {
                    if gains[j] > best[j] {
                        best[j] = gains[j];
                        (0..m).for_each(|k| arg.as_mut().coord_mut(k)[j] = v.coord(k)[j]);
                    }
                }
            }
            centre.data_mut().copy_from_slice(arg.data());
            half.iter_mut().for_each(|h| *h *= 2.0 / last);
        }
        Ok(best)
    }

    fn entries(
        &self,
        name: &'static str,
        matrix: MatrixCoefficient<'_>,
        rows: usize,
        columns: usize,
        t: f64,
    ) -> Result<Entries, HjbError> {
        match matrix {
            MatrixCoefficient::Scaled(c) => {
                if rows != columns {
                    return Err(HjbError::Unsupported {
                        what: format!("{name} a multiple of the identity, {rows} x {columns}"),
                        t,
                        point: Vec::new(),
                        allowed: "`Scaled` for a square matrix only; a rectangular one is a `Field`",
                    });
                }
                self.check(name, &[c], t)?;
                Ok(Entries::Scaled(c))
            }
            MatrixCoefficient::Field(field) => {
                let mut values = PointBlock::zeros(rows * columns, self.points.len());
                field.eval(self.points.as_points(), values.as_mut());
                self.check(name, values.data(), t)?;
                Ok(Entries::Field { columns, values })
            }
        }
    }

    fn check(&self, coefficient: &'static str, values: &[f64], t: f64) -> Result<(), HjbError> {
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(k) => {
                Err(HjbError::NonFinite { coefficient, value: values[k], t, point: self.point(k % self.points.len().max(1)) })
            }
        }
    }

    pub fn point(&self, j: usize) -> Vec<f64> {
        (0..self.points.dim()).map(|i| self.points.coord(i)[j]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hjbridge_model::{Coefficients, Points, PointsMut, VectorField};

    /// d = m = 2, constant coefficients; G and R full.
    struct Constant {
        set: ControlSet,
        general: bool,
    }

    const G: [f64; 4] = [1.0, 0.4, -0.3, 0.8];
    const R: [f64; 4] = [2.0, 0.6, 0.6, 0.5];

    struct Matrix([f64; 4]);

    impl VectorField for Matrix {
        fn eval(&self, _x: Points<'_>, mut out: PointsMut<'_>) {
            (0..4).for_each(|k| out.coord_mut(k).fill(self.0[k]));
        }
    }

    impl Coefficients for Constant {
        fn drift(&self, _x: Points<'_>, mut out: PointsMut<'_>) {
            out.coord_mut(0).fill(0.3);
            out.coord_mut(1).fill(-0.7);
        }
        fn control_matrix(&self) -> MatrixCoefficient<'_> {
            MatrixCoefficient::Field(Box::new(Matrix(G)))
        }
        fn diffusion(&self) -> MatrixCoefficient<'_> {
            MatrixCoefficient::Field(Box::new(Matrix([1.0, 0.2, 0.0, 0.5])))
        }
        fn control_weight(&self) -> MatrixCoefficient<'_> {
            MatrixCoefficient::Field(Box::new(Matrix(R)))
        }
        fn control_cost(&self, _x: Points<'_>, v: Points<'_>, out: &mut [f64]) {
            for (j, o) in out.iter_mut().enumerate() {
                let (a, b) = (v.coord(0)[j], v.coord(1)[j]);
                *o = 0.5 * (R[0] * a * a + 2.0 * R[1] * a * b + R[3] * b * b);
            }
        }
    }

    impl ControlledDiffusion for Constant {
        fn dim(&self) -> usize {
            2
        }
        fn control_dim(&self) -> usize {
            2
        }
        fn horizon(&self) -> f64 {
            1.0
        }
        fn discount(&self) -> f64 {
            0.5
        }
        fn control_set(&self) -> ControlSet {
            self.set.clone()
        }
        fn control_cost(&self) -> ControlCost {
            if self.general { ControlCost::General } else { ControlCost::Quadratic }
        }
        fn at(&self, _t: f64) -> Box<dyn Coefficients + '_> {
            Box::new(self)
        }
        fn terminal_reward(&self, _x: Points<'_>, out: &mut [f64]) {
            out.fill(0.0);
        }
    }

    const P: [f64; 2] = [0.9, -1.1];

    /// R at one point with V = 2, V_t = 0.1, grad V = P, D^2 V = [[1, .3], [.3, -2]].
    fn residual(set: ControlSet, general: bool) -> f64 {
        let model = Constant { set, general };
        let equation = PointwiseEquation::new(&model, PointBlock::zeros(2, 1)).unwrap();
        let gradient = PointBlock::from_points(2, &[P]).unwrap();
        let hessian = PointBlock::from_points(4, &[[1.0, 0.3, 0.3, -2.0]]).unwrap();
        let jets = Jets { value: &[2.0], slope: &[0.1], gradient: &gradient, hessian: &hessian };
        let mut out = [0.0];
        equation.residual(0.0, &jets, &mut out).unwrap();
        out[0]
    }

    /// All but the control: V_t - rho V + f.p + (1/2) tr(sigma sigma' H), sigma sigma' = [[1.04, .1], [.1, .25]].
    fn rest() -> f64 {
        0.1 - 0.5 * 2.0 + 0.3 * P[0] - 0.7 * P[1] + 0.5 * (1.04 * 1.0 + 2.0 * 0.1 * 0.3 + 0.25 * -2.0)
    }

    fn lever() -> [f64; 2] {
        [G[0] * P[0] + G[2] * P[1], G[1] * P[0] + G[3] * P[1]]
    }

    fn gain(a: f64, b: f64) -> f64 {
        let q = lever();
        q[0] * a + q[1] * b - 0.5 * (R[0] * a * a + 2.0 * R[1] * a * b + R[3] * b * b)
    }

    #[test]
    fn every_control_set_gives_its_maximum() {
        // Free: q'R^{-1}q/2.
        let (q, determinant) = (lever(), R[0] * R[3] - R[1] * R[2]);
        let free = 0.5 * (R[3] * q[0] * q[0] - 2.0 * R[1] * q[0] * q[1] + R[0] * q[1] * q[1]) / determinant;
        assert!((residual(ControlSet::Free, false) - rest() - free).abs() < 1e-13);
        // A box: on its edges and inside, by a fine lattice.
        for (lower, upper) in [([-0.5, -0.6], [0.4, 0.2]), ([-9.0, -9.0], [9.0, 9.0]), ([0.1, -0.2], [0.1, f64::INFINITY])] {
            let set = ControlSet::Box { lower: lower.to_vec(), upper: upper.to_vec() };
            let found = residual(set.clone(), false) - rest();
            let n = 600;
            let place = |i: usize, k: usize| lower[k] + (upper[k].min(9.0) - lower[k]) * i as f64 / n as f64;
            let lattice = (0..=n).flat_map(|i| (0..=n).map(move |j| (i, j))).map(|(i, j)| gain(place(i, 0), place(j, 1)));
            let best = lattice.fold(f64::NEG_INFINITY, f64::max);
            assert!(found >= best - 1e-12 && found - best < 1e-3, "{found} {best}");
            if upper[1].is_finite() {
                let searched = residual(set, true) - rest();
                assert!((searched - found).abs() < 1e-6, "{searched} {found}");
            }
        }
        let controls = vec![vec![0.0, 0.0], vec![0.3, -0.5], vec![-0.2, -1.0]];
        let best = controls.iter().map(|v| gain(v[0], v[1])).fold(f64::NEG_INFINITY, f64::max);
        for general in [false, true] {
            assert!((residual(ControlSet::Finite { controls: controls.clone() }, general) - rest() - best).abs() < 1e-13);
        }
    }

    #[test]
    fn a_general_cost_needs_bounds() {
        let model = Constant { set: ControlSet::Free, general: true };
        assert!(matches!(PointwiseEquation::new(&model, PointBlock::zeros(2, 1)).err(), Some(HjbError::Unsupported { .. })));
    }
}
