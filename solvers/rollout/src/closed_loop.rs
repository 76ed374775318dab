//! The diffusion under its feedback, prepared once at every time level and shared by all threads.

use hjbridge_model::{
    Coefficients, ControlCost, ControlSet, ControlledDiffusion, Feedback, MatrixCoefficient, Points, PointsMut, VectorField,
};

use crate::error::RolloutError;
use crate::lanes::Lanes;
use crate::noise::LANES;
use crate::sweep;

/// Everything needed at t_k.
pub struct Level<'a> {
    /// t_k = k h.
    pub time: f64,
    /// f and l.
    pub coefficients: &'a dyn Coefficients,
    /// G, d x m.
    pub control_matrix: MatrixCoefficient<'a>,
    /// sigma, d x q.
    pub diffusion: MatrixCoefficient<'a>,
    /// R, m x m.
    pub control_weight: MatrixCoefficient<'a>,
    /// v(t_k, .).
    pub feedback: Box<dyn VectorField + 'a>,
    /// Whether the control is zero everywhere, allowed there, and without cost: none of it is computed.
    pub idle: bool,
}

/// dX = [f + G v(t,X)] dt + sigma dB on the time levels t_0, ..., t_{N-1}.
pub struct ClosedLoop<'a> {
    problem: &'a dyn ControlledDiffusion,
    step_length: f64,
    control_set: ControlSet,
    levels: Vec<Level<'a>>,
}

impl<'a> ClosedLoop<'a> {
    /// The problem's coefficients at t_k = k h, k < `steps`: the memory that [`ClosedLoop::new`] borrows.
    pub fn coefficients(problem: &'a dyn ControlledDiffusion, steps: usize) -> Vec<Box<dyn Coefficients + 'a>> {
        let h = problem.horizon() / steps as f64;
        (0..steps).map(|k| problem.at(k as f64 * h)).collect()
    }

    /// Join the problem and the feedback at the levels of `coefficients`.
    ///
    /// # Errors
    /// Dimensions that do not fit, a horizon that is not positive, control bounds that are empty.
    pub fn new(
        problem: &'a dyn ControlledDiffusion,
        feedback: &'a dyn Feedback,
        coefficients: &'a [Box<dyn Coefficients + 'a>],
    ) -> Result<Self, RolloutError> {
        validate(problem, feedback)?;
        let (d, m, q) = (problem.dim(), problem.control_dim(), problem.noise_dim());
        let step_length = problem.horizon() / coefficients.len() as f64;
        let control_set = problem.control_set();
        let free = control_set == ControlSet::Free && problem.control_cost() == ControlCost::Quadratic;
        let mut levels = Vec::with_capacity(coefficients.len());
        for (k, coefficients) in coefficients.iter().enumerate() {
            let time = k as f64 * step_length;
            let coefficients = coefficients.as_ref();
            let control_matrix = coefficients.control_matrix();
            let diffusion = coefficients.diffusion();
            scaled_is_square(&control_matrix, "control dimension of a problem whose G is a multiple of the identity", m, d)?;
            scaled_is_square(&diffusion, "noise dimension of a problem whose sigma is a multiple of the identity", q, d)?;
            let control_weight = coefficients.control_weight();
            let feedback = feedback.at(time);
            let idle = free && feedback.is_zero();
            levels.push(Level { time, coefficients, control_matrix, diffusion, control_weight, feedback, idle });
        }
        Ok(ClosedLoop { problem, step_length, control_set, levels })
    }

    /// The problem.
    pub fn problem(&self) -> &'a dyn ControlledDiffusion {
        self.problem
    }

    /// h = T/N.
    pub fn step_length(&self) -> f64 {
        self.step_length
    }

    /// N.
    pub fn steps(&self) -> usize {
        self.levels.len()
    }

    /// Time level k < N.
    pub fn level(&self, k: usize) -> &Level<'a> {
        &self.levels[k]
    }

    /// Evaluate v(t_k, X) into the lanes' control, projected onto the control set.
    pub fn evaluate_control(&self, k: usize, lanes: &mut Lanes) {
        let level = &self.levels[k];
        if level.idle {
            return lanes.control.fill(0.0);
        }
        let (d, m, live) = (self.problem.dim(), self.problem.control_dim(), lanes.live());
        let x = Points::new(&lanes.state, d);
        level.feedback.eval(x, PointsMut::new(&mut lanes.control, m));
        lanes.outside += level.feedback.count_outside(x.window(0..live)) as u64;
        if let ControlSet::Box { lower, upper } = &self.control_set {
            let mut moved = [false; LANES];
            for ((v, &lo), &hi) in lanes.control.chunks_exact_mut(LANES).zip(lower).zip(upper) {
                for (v, moved) in v.iter_mut().zip(&mut moved) {
                    let inside = v.clamp(lo, hi);
                    *moved |= inside != *v;
                    *v = inside;
                }
            }
            lanes.projected += moved[..live].iter().filter(|&&m| m).count() as u64;
        }
    }

    /// Add `weight` times v'Rv/2 and `weight` times l, both at (t_k, X, v), to the running sums.
    pub fn accumulate(&self, k: usize, weight: f64, lanes: &mut Lanes) {
        let level = &self.levels[k];
        let (d, m) = (self.problem.dim(), self.problem.control_dim());
        let x = Points::new(&lanes.state, d);
        if !level.idle {
            lanes.rate.fill(0.0);
            let scale = match &level.control_weight {
                MatrixCoefficient::Scaled(r) => {
                    for v in lanes.control.chunks_exact(LANES) {
                        sweep::add_squares(&mut lanes.rate, v);
                    }
                    0.5 * weight * r
                }
                MatrixCoefficient::Field(r) => {
                    lanes.matrix.resize(m * m * LANES, 0.0);
                    r.eval(x, PointsMut::new(&mut lanes.matrix, m * m));
                    for (r, ij) in lanes.matrix.chunks_exact(LANES).zip(0..) {
                        let (i, j) = (ij / m, ij % m);
                        let (u, v) = (&lanes.control[i * LANES..][..LANES], &lanes.control[j * LANES..][..LANES]);
                        for (((rate, u), r), v) in lanes.rate.iter_mut().zip(u).zip(r).zip(v) {
                            *rate += u * r * v;
                        }
                    }
                    0.5 * weight
                }
            };
            sweep::add_scaled(&mut lanes.running_cost, scale, &lanes.rate);
        }
        level.coefficients.running_reward(x, &mut lanes.rate);
        sweep::add_scaled(&mut lanes.running_reward, weight, &lanes.rate);
    }

    /// Evaluate f + G v at (t_k, X, v) into the lanes' velocity.
    pub fn evaluate_velocity(&self, k: usize, lanes: &mut Lanes) {
        let level = &self.levels[k];
        let (d, m) = (self.problem.dim(), self.problem.control_dim());
        let x = Points::new(&lanes.state, d);
        level.coefficients.drift(x, PointsMut::new(&mut lanes.velocity, d));
        if level.idle {
            return;
        }
        match &level.control_matrix {
            MatrixCoefficient::Scaled(c) => sweep::add_scaled(&mut lanes.velocity, *c, &lanes.control),
            MatrixCoefficient::Field(g) => {
                add_product(g.as_ref(), x, m, &lanes.control, 1.0, &mut lanes.matrix, &mut lanes.velocity);
            }
        }
    }

    /// Add sqrt(h) sigma(t_k, X) xi to `target`; `noise` holds xi, q coordinates of all lanes.
    pub fn add_noise(&self, k: usize, noise: &[f64], x: Points<'_>, matrix: &mut Vec<f64>, target: &mut [f64]) {
        let sqrt_h = self.step_length.sqrt();
        match &self.levels[k].diffusion {
            MatrixCoefficient::Scaled(s) => {
                sweep::add_scaled(target, sqrt_h * s, noise);
            }
            MatrixCoefficient::Field(s) => {
                add_product(s.as_ref(), x, self.problem.noise_dim(), noise, sqrt_h, matrix, target);
            }
        }
    }
}

/// target += scale * A(x) u for a matrix field A with `columns` columns.
fn add_product(
    a: &dyn VectorField,
    x: Points<'_>,
    columns: usize,
    u: &[f64],
    scale: f64,
    matrix: &mut Vec<f64>,
    target: &mut [f64],
) {
    let entries = x.dim() * columns;
    matrix.resize(entries * LANES, 0.0);
    a.eval(x, PointsMut::new(matrix, entries));
    for (a, ij) in matrix.chunks_exact(LANES).zip(0..) {
        let (i, j) = (ij / columns, ij % columns);
        let (out, u) = (&mut target[i * LANES..][..LANES], &u[j * LANES..][..LANES]);
        sweep::add_scaled_product(out, scale, a, u);
    }
}

fn scaled_is_square(a: &MatrixCoefficient<'_>, what: &'static str, found: usize, expected: usize) -> Result<(), RolloutError> {
    match a {
        MatrixCoefficient::Scaled(_) if found != expected => Err(RolloutError::Dimension { what, found, expected }),
        _ => Ok(()),
    }
}

fn validate(problem: &dyn ControlledDiffusion, feedback: &dyn Feedback) -> Result<(), RolloutError> {
    let (d, m) = (problem.dim(), problem.control_dim());
    for (field, dim) in [("problem.dim", d), ("problem.control_dim", m), ("problem.noise_dim", problem.noise_dim())] {
        if dim == 0 {
            return Err(RolloutError::invalid(field, dim, "at least 1"));
        }
    }
    let horizon = problem.horizon();
    if !(horizon > 0.0 && horizon.is_finite()) {
        return Err(RolloutError::invalid("problem.horizon", horizon, "finite and > 0"));
    }
    if feedback.dim() != d {
        return Err(RolloutError::Dimension { what: "state dimension of the feedback", found: feedback.dim(), expected: d });
    }
    if feedback.control_dim() != m {
        let found = feedback.control_dim();
        return Err(RolloutError::Dimension { what: "control dimension of the feedback", found, expected: m });
    }
    if let ControlSet::Box { lower, upper } = problem.control_set() {
        for (what, found) in [("number of lower control bounds", lower.len()), ("number of upper control bounds", upper.len())] {
            if found != m {
                return Err(RolloutError::Dimension { what, found, expected: m });
            }
        }
        if let Some((lo, hi)) = lower.iter().zip(&upper).find(|(lo, hi)| !matches!(lo.partial_cmp(hi), Some(o) if o.is_le())) {
            return Err(RolloutError::invalid("problem.control_set", format!("[{lo}, {hi}]"), "lower <= upper"));
        }
    }
    Ok(())
}
