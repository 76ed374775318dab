//! The diffusion under its feedback, prepared once at every time level and shared by all threads.

use hjbridge_model::{
    Coefficients, ControlCost, ControlSet, ControlledDiffusion, Feedback, MatrixCoefficient, Points, PointsMut, VectorField,
};

use crate::error::RolloutError;
use crate::lanes::Lanes;
use crate::noise::LANES;
use crate::scheme::StageTimes;
use crate::sweep;
use crate::time_grid::TimeGrid;

/// Everything needed at one time.
pub struct Level<'a> {
    /// t.
    pub time: f64,
    /// e^{-rho (t - t_0)}.
    pub discount: f64,
    /// f and l.
    pub coefficients: &'a dyn Coefficients,
    /// G, d x m.
    pub control_matrix: MatrixCoefficient<'a>,
    /// sigma, d x q.
    pub diffusion: MatrixCoefficient<'a>,
    /// R, m x m.
    pub control_weight: MatrixCoefficient<'a>,
    /// v(t, .).
    pub feedback: Box<dyn VectorField + 'a>,
    /// Whether the control is zero everywhere, allowed there, and without cost: none of it is computed.
    pub idle: bool,
}

/// dX = [f + G v(t,X)] dt + sigma dB on the time levels t_0, ..., t_{N-1} and wherever else the scheme evaluates.
pub struct ClosedLoop<'a> {
    problem: &'a dyn ControlledDiffusion,
    grid: &'a TimeGrid,
    stages: StageTimes,
    control_set: ControlSet,
    general_cost: bool,
    levels: Vec<Level<'a>>,
}

impl<'a> ClosedLoop<'a> {
    /// The problem's coefficients at the levels of the grid and the stages of a scheme: the memory that [`ClosedLoop::new`]
    /// borrows.
    pub fn coefficients(
        problem: &'a dyn ControlledDiffusion,
        grid: &TimeGrid,
        stages: StageTimes,
    ) -> Vec<Box<dyn Coefficients + 'a>> {
        stage_times(grid, stages).map(|t| problem.at(t)).collect()
    }

    /// Join the problem and the feedback at the levels of `coefficients`, which are those of the same grid and stages.
    ///
    /// # Errors
    /// Dimensions that do not fit, a horizon that is not positive, control bounds that are empty, a grid that does not end at
    /// the horizon.
    pub fn new(
        problem: &'a dyn ControlledDiffusion,
        feedback: &'a dyn Feedback,
        grid: &'a TimeGrid,
        stages: StageTimes,
        coefficients: &'a [Box<dyn Coefficients + 'a>],
    ) -> Result<Self, RolloutError> {
        validate(problem, feedback)?;
        validate_grid(problem, grid)?;
        let (d, m, q) = (problem.dim(), problem.control_dim(), problem.noise_dim());
        let control_set = problem.control_set();
        let general_cost = problem.control_cost() == ControlCost::General;
        let free = control_set == ControlSet::Free && !general_cost;
        let rho = problem.discount();
        if !(rho >= 0.0 && rho.is_finite()) {
            return Err(RolloutError::invalid("problem.discount", rho, "finite and >= 0"));
        }
        let mut levels = Vec::with_capacity(coefficients.len());
        for (time, coefficients) in stage_times(grid, stages).zip(coefficients) {
            let discount = (-rho * (time - grid.start())).exp();
            let coefficients = coefficients.as_ref();
            let control_matrix = coefficients.control_matrix();
            let diffusion = coefficients.diffusion();
            scaled_is_square(&control_matrix, "control dimension of a problem whose G is a multiple of the identity", m, d)?;
            scaled_is_square(&diffusion, "noise dimension of a problem whose sigma is a multiple of the identity", q, d)?;
            let control_weight = coefficients.control_weight();
            let feedback = feedback.at(time);
            let idle = free && feedback.is_zero();
            levels.push(Level { time, discount, coefficients, control_matrix, diffusion, control_weight, feedback, idle });
        }
        Ok(ClosedLoop { problem, grid, stages, control_set, general_cost, levels })
    }

    /// The problem.
    pub fn problem(&self) -> &'a dyn ControlledDiffusion {
        self.problem
    }

    /// t_0, ..., t_N.
    pub fn grid(&self) -> &'a TimeGrid {
        self.grid
    }

    /// h_k.
    pub fn step_length(&self, k: usize) -> f64 {
        self.grid.step_length(k)
    }

    /// N.
    pub fn steps(&self) -> usize {
        self.grid.steps()
    }

    /// Time level k < N; also k = N when the scheme's stages include the end of a step.
    ///
    /// # Panics
    /// As slice indexing does.
    pub fn level(&self, k: usize) -> &Level<'a> {
        &self.levels[k * (1 + self.stages.inner.len())]
    }

    /// The level of inner stage i of step k.
    ///
    /// # Panics
    /// As slice indexing does.
    pub fn inner_level(&self, k: usize, i: usize) -> &Level<'a> {
        &self.levels[k * (1 + self.stages.inner.len()) + 1 + i]
    }

    /// Most bytes of tables that one level reads.
    pub(crate) fn table_bytes(&self) -> usize {
        self.levels.iter().map(|level| level.coefficients.table_bytes() + level.feedback.table_bytes()).max().unwrap_or(0)
    }

    /// e^{-rho (T - t_0)}.
    pub fn terminal_discount(&self) -> f64 {
        (-self.problem.discount() * (self.grid.end() - self.grid.start())).exp()
    }

    /// Evaluate v(t, X) into the lanes' control, projected onto the control set.
    pub fn evaluate_control(&self, level: &Level<'_>, lanes: &mut Lanes) {
        lanes.projected += self.projected_control(level, lanes);
        if level.idle {
            return;
        }
        let (x, live) = (Points::new(&lanes.state, self.problem.dim()), lanes.live());
        let outside = level.feedback.count_outside(x.window(0..live)) as u64;
        if outside > 0 {
            lanes.outside += outside;
            for lane in 0..live {
                lanes.lane_outside[lane] += level.feedback.count_outside(x.window(lane..lane + 1)) as f64;
            }
        }
    }

    /// The control, without counting points outside; how many live lanes were projected.
    fn projected_control(&self, level: &Level<'_>, lanes: &mut Lanes) -> u64 {
        if level.idle {
            lanes.control.fill(0.0);
            return 0;
        }
        let (d, m, live) = (self.problem.dim(), self.problem.control_dim(), lanes.live());
        level.feedback.eval(Points::new(&lanes.state, d), PointsMut::new(&mut lanes.control, m));
        if let ControlSet::Box { lower, upper } = &self.control_set {
            let mut moved = [false; LANES];
            for ((v, &lo), &hi) in lanes.control.chunks_exact_mut(LANES).zip(lower).zip(upper) {
                for (v, moved) in v.iter_mut().zip(&mut moved) {
                    let inside = v.clamp(lo, hi);
                    *moved |= inside != *v;
                    *v = inside;
                }
            }
            return moved[..live].iter().filter(|&&m| m).count() as u64;
        }
        if let ControlSet::Finite { controls } = &self.control_set {
            return nearest_of(controls, &mut lanes.control, live);
        }
        0
    }

    /// Add `weight` times the cost of the control and `weight` times l, both at (t, X, v) and discounted, to the running sums.
    pub fn accumulate(&self, level: &Level<'_>, weight: f64, lanes: &mut Lanes) {
        self.accumulate_cost(level, weight, lanes);
        self.accumulate_reward(level, weight, lanes);
    }

    /// Add `weight` e^{-rho (t - t_0)} l(t, X) to the running reward.
    pub fn accumulate_reward(&self, level: &Level<'_>, weight: f64, lanes: &mut Lanes) {
        let x = Points::new(&lanes.state, self.problem.dim());
        level.coefficients.running_reward(x, &mut lanes.rate);
        sweep::add_scaled(&mut lanes.running_reward, weight * level.discount, &lanes.rate);
    }

    /// Add `weight` e^{-rho (t - t_0)} times v'Rv/2, or the general cost c(t, X, v), to the running cost.
    pub fn accumulate_cost(&self, level: &Level<'_>, weight: f64, lanes: &mut Lanes) {
        let (d, m) = (self.problem.dim(), self.problem.control_dim());
        let (x, v) = (Points::new(&lanes.state, d), Points::new(&lanes.control, m));
        if let Some(factor) = self.cost_rate(level, x, v, &mut lanes.matrix, &mut lanes.rate) {
            sweep::add_scaled(&mut lanes.running_cost, weight * level.discount * factor, &lanes.rate);
        }
    }

    /// l(t, X) minus the cost of the control at (t, X, v), without discount; as many entries as points, all lanes.
    pub fn running_rate(&self, level: &Level<'_>, x: Points<'_>, control: Points<'_>, out: &mut [f64]) {
        let (mut cost, mut matrix) = (vec![0.0; x.len()], Vec::new());
        level.coefficients.running_reward(x, out);
        if let Some(factor) = self.cost_rate(level, x, control, &mut matrix, &mut cost) {
            out.iter_mut().zip(cost).for_each(|(l, c)| *l -= factor * c);
        }
    }

    /// The cost of the control but for a factor, which is returned; none where there is no control.
    fn cost_rate(
        &self,
        level: &Level<'_>,
        x: Points<'_>,
        control: Points<'_>,
        matrix: &mut Vec<f64>,
        out: &mut [f64],
    ) -> Option<f64> {
        let m = self.problem.control_dim();
        if self.general_cost {
            level.coefficients.control_cost(x, control, out);
            return Some(1.0);
        }
        if level.idle {
            return None;
        }
        out.fill(0.0);
        match &level.control_weight {
            MatrixCoefficient::Scaled(r) => {
                (0..m).for_each(|i| sweep::add_squares(out, control.coord(i)));
                Some(0.5 * r)
            }
            MatrixCoefficient::Field(r) => {
                matrix.resize(m * m * LANES, 0.0);
                r.eval(x, PointsMut::new(matrix, m * m));
                for (r, ij) in matrix.chunks_exact(LANES).zip(0..) {
                    let (u, v) = (control.coord(ij / m), control.coord(ij % m));
                    for (((rate, u), r), v) in out.iter_mut().zip(u).zip(r).zip(v) {
                        *rate += u * r * v;
                    }
                }
                Some(0.5)
            }
        }
    }

    /// Evaluate f + G v at (t, X, v) into the lanes' velocity.
    pub fn evaluate_velocity(&self, level: &Level<'_>, lanes: &mut Lanes) {
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

    /// At the lanes' stage state and another level: the control, f + G v into the stage velocity, and `weight` times cost and
    /// reward. The state, the control and the velocity at t_k stay as they are, and so do the counts of points outside.
    pub(crate) fn evaluate_stage(&self, level: &Level<'_>, weight: f64, lanes: &mut Lanes) {
        lanes.swap_stage();
        self.projected_control(level, lanes);
        self.accumulate(level, weight, lanes);
        self.evaluate_velocity(level, lanes);
        lanes.swap_stage();
    }

    /// Add `scale` sigma(t, X) xi to `target`; `noise` holds xi, q coordinates of all lanes.
    pub fn add_noise(
        &self,
        level: &Level<'_>,
        scale: f64,
        noise: &[f64],
        x: Points<'_>,
        matrix: &mut Vec<f64>,
        target: &mut [f64],
    ) {
        match &level.diffusion {
            MatrixCoefficient::Scaled(s) => {
                sweep::add_scaled(target, scale * s, noise);
            }
            MatrixCoefficient::Field(s) => {
                add_product(s.as_ref(), x, self.problem.noise_dim(), noise, scale, matrix, target);
            }
        }
    }

    /// sigma(t, X), d x q entries row by row, one per lane.
    pub(crate) fn evaluate_diffusion(&self, level: &Level<'_>, x: Points<'_>, out: &mut Vec<f64>) {
        let (d, q) = (self.problem.dim(), self.problem.noise_dim());
        out.resize(d * q * LANES, 0.0);
        match &level.diffusion {
            MatrixCoefficient::Scaled(s) => {
                out.fill(0.0);
                (0..d).for_each(|i| out[(i * q + i) * LANES..][..LANES].fill(*s));
            }
            MatrixCoefficient::Field(s) => s.eval(x, PointsMut::new(out, d * q)),
        }
    }
}

/// The times of all levels, in the order in which they are stored.
fn stage_times(grid: &TimeGrid, stages: StageTimes) -> impl Iterator<Item = f64> + '_ {
    let step = move |k: usize| {
        let (t, h) = (grid.times()[k], grid.step_length(k));
        std::iter::once(t).chain(stages.inner.iter().map(move |c| t + c * h))
    };
    (0..grid.steps()).flat_map(step).chain(stages.end.then(|| grid.end()))
}

/// Replace every control by the nearest of the allowed ones, the first of several; how many live lanes moved.
fn nearest_of(controls: &[Vec<f64>], control: &mut [f64], live: usize) -> u64 {
    let mut moved = 0;
    for lane in 0..LANES {
        let distance = |c: &[f64]| c.iter().zip(control.chunks_exact(LANES)).map(|(c, v)| (c - v[lane]).powi(2)).sum::<f64>();
        let mut best = (f64::INFINITY, None);
        for c in controls {
            let squared = distance(c);
            if squared < best.0 {
                best = (squared, Some(c));
            }
        }
        // A control that is not a number is left as it is, to be reported.
        if let (squared, Some(c)) = best {
            control.chunks_exact_mut(LANES).zip(c).for_each(|(v, c)| v[lane] = *c);
            moved += u64::from(squared > 0.0 && lane < live);
        }
    }
    moved
}

/// target += scale * A(x) u for a matrix field A with `columns` columns.
pub(crate) fn add_product(
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
    add_matrix_product(matrix, columns, u, scale, target);
}

/// target += scale * A u for the values of a matrix field with `columns` columns, row by row, one per lane.
pub(crate) fn add_matrix_product(a: &[f64], columns: usize, u: &[f64], scale: f64, target: &mut [f64]) {
    for (a, ij) in a.chunks_exact(LANES).zip(0..) {
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

pub(crate) fn validate_grid(problem: &dyn ControlledDiffusion, grid: &TimeGrid) -> Result<(), RolloutError> {
    if grid.start() < 0.0 || grid.end() != problem.horizon() {
        let allowed = format!("from a time >= 0 to the horizon, {}", problem.horizon());
        return Err(RolloutError::invalid("time grid", format!("[{}, {}]", grid.start(), grid.end()), allowed));
    }
    Ok(())
}

pub(crate) fn validate(problem: &dyn ControlledDiffusion, feedback: &dyn Feedback) -> Result<(), RolloutError> {
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
    if let ControlSet::Finite { controls } = problem.control_set() {
        if controls.is_empty() {
            return Err(RolloutError::invalid("problem.control_set", "no control", "at least one"));
        }
        if let Some(c) = controls.iter().find(|c| c.len() != m) {
            return Err(RolloutError::Dimension {
                what: "dimension of a control of the finite set",
                found: c.len(),
                expected: m,
            });
        }
    }
    Ok(())
}
