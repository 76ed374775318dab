//! The right-hand side of the method of lines,
//!
//!   V_tau = f.grad V + (1/2) sum_ij a_ij V_ij + l + H(grad V) - rho V,
//!
//! with tau = T - t, or the distance from the next jump of the coefficients above t,
//!
//!   H(p) = p'Mp/2, M = G R^{-1} G', for a free control;  H(p) = sum_i { v_i G_ii p_i - R_ii v_i^2/2 },
//!   v_i = clip(G_ii p_i / R_ii), for one in a box,
//!
//! with central differences of order 4, 6 or 8. Derivatives are taken row by row (a row is a line of the last axis) into
//! buffers that stay in the first-level cache, multiplied with the coefficients there and handed to the time integrator's
//! update in the same pass. Rows are independent: the result does not depend on the number of threads. Within a step the
//! coefficients are the parabola through their values at its start, middle and end.

use crate::error::HjbError;
use crate::interrupt::Interrupt;
use crate::norms::sup;
use crate::smooth::channels::{Channel, NodeModel};
use crate::smooth::control::ControlMatrices;
use crate::smooth::differences::{AxisDifferences, Differences, SERIAL_BELOW};
use crate::smooth::panels::{ChannelPath, Segment};
use crate::smooth::rkc::{StabilisedSystem, StageUpdate, Stiffness};
use crate::smooth::row::Row;
use crate::time_variation::TimeVariation;
use hjbridge_model::ControlledDiffusion;
use hjbridge_model::grid::TensorGrid;
use rayon::prelude::*;
use std::sync::Arc;

/// Parallel tasks per thread: enough to even out a busy core, few enough to cost nothing.
const TASKS_PER_THREAD: usize = 6;

/// The equation on a grid.
pub(crate) struct SmoothOperator<'a> {
    pub model: NodeModel<'a>,
    pub differences: Differences,
    pub path: ChannelPath,
    /// What is integrated; tau counts from its upper end.
    pub segment: Segment,
    pub variation: Arc<TimeVariation>,
    /// Coefficients at the start, middle and end of the step, and their times.
    sets: [Vec<Channel>; 3],
    times: [f64; 3],
    /// Change of V that the interpolation of the coefficients may cause: relative and absolute.
    tolerance: (f64, f64),
    pub interrupt: Interrupt<'a>,
}

/// Buffers of one thread.
struct Work {
    first: Vec<Vec<f64>>,
    second: Vec<Vec<f64>>,
    cross: [Vec<f64>; 3],
    rate: Vec<f64>,
}

impl Work {
    fn new(dim: usize, len: usize) -> Self {
        let row = || vec![0.0; len];
        let rows = || (0..dim).map(|_| row()).collect();
        Work { first: rows(), second: rows(), cross: [row(), row(), row()], rate: row() }
    }
}

impl<'a> SmoothOperator<'a> {
    pub fn new(
        model: &'a dyn ControlledDiffusion,
        grid: Arc<TensorGrid>,
        (order, closure): (usize, usize),
        tolerance: (f64, f64),
        (segment, variation): (Segment, Arc<TimeVariation>),
    ) -> Result<Self, HjbError> {
        let model_on_nodes = NodeModel::new(model, grid.points())?;
        let differences = Differences::with_closure(grid, order, closure)?;
        let set = || vec![Channel::Uniform(0.0); model_on_nodes.layout.len()];
        Ok(SmoothOperator {
            sets: [set(), set(), set()],
            times: [f64::NAN; 3],
            path: ChannelPath::new(model.horizon(), segment, variation.clone()),
            segment,
            variation,
            model: model_on_nodes,
            differences,
            tolerance,
            interrupt: Interrupt::default(),
        })
    }

    pub fn len(&self) -> usize {
        self.model.len()
    }

    /// The optimal control at generation time t for the gradient `gradient` (d x n); m x n.
    pub fn control(&self, t: f64, gradient: &[f64]) -> Result<Vec<f64>, HjbError> {
        let at = self.model.model.at(t);
        ControlMatrices::new(&self.model, at.as_ref(), t)?.maximiser(&self.model, t, gradient)
    }

    /// Make the channels at tau the ones in use, evaluated exactly; those of the last three times are kept.
    pub fn load_exact(&mut self, tau: f64) -> Result<(), HjbError> {
        match self.times.iter().position(|t| *t == tau) {
            Some(k) => {
                self.times.swap(0, k);
                self.sets.swap(0, k);
            }
            None => {
                let channels = self.model.evaluate(self.segment.time(tau))?;
                self.path.statistics.evaluations += 1;
                self.sets.rotate_right(1);
                self.times.rotate_right(1);
                (self.sets[0], self.times[0]) = (channels, tau);
            }
        }
        Ok(())
    }

    /// The channels at the start of the step (or loaded last).
    pub fn channels(&self) -> &[Channel] {
        &self.sets[0]
    }

    /// How much V_tau changes with a unit change of each channel, at most.
    fn sensitivity(&self, tau: f64, v: &[f64]) -> Result<Vec<f64>, HjbError> {
        let (l, n) = (self.model.layout, self.len());
        let mut out = vec![0.0; l.len()];
        let mut gradient = vec![0.0; l.dim * n];
        let mut curvature = vec![0.0; l.dim];
        let mut second = vec![0.0; n];
        for i in 0..l.dim {
            self.differences.derivatives(i, v, &mut gradient[i * n..(i + 1) * n], &mut second)?;
            out[l.drift(i)] = sup(&gradient[i * n..(i + 1) * n]);
            curvature[i] = sup(&second);
        }
        for i in 0..l.dim {
            for j in i..l.dim {
                out[l.diffusion(i, j)] = if i == j { 0.5 * curvature[i] } else { (curvature[i] * curvature[j]).sqrt() };
            }
        }
        if l.mobile() {
            for i in 0..l.dim {
                for j in i..l.dim {
                    let product = out[l.drift(i)] * out[l.drift(j)];
                    out[l.mobility(i, j)] = if i == j { 0.5 * product } else { product };
                }
            }
        } else if l.controls > 0 {
            let control = self.control(self.segment.time(tau), &gradient)?;
            for i in 0..l.controls {
                let v = sup(&control[i * n..(i + 1) * n]);
                out[l.gain(i)] = v * out[l.drift(i)];
                out[l.weight(i)] = 0.5 * v * v;
            }
        }
        out[l.running()] = 1.0;
        Ok(out)
    }

    /// Channel c on the row of `len` nodes from `base`, at the place in the step that the weights `basis` stand for.
    fn channel(&self, c: usize, basis: [f64; 3], base: usize, len: usize) -> Row<'_> {
        let sets = [&self.sets[0][c], &self.sets[1][c], &self.sets[2][c]];
        if let Some(k) = (0..3).find(|&k| basis[k] == 1.0) {
            return Row::at(sets[k], base, len);
        }
        match sets {
            [Channel::Uniform(a), Channel::Uniform(b), Channel::Uniform(c)] => {
                Row::Uniform(basis[0] * a + basis[1] * b + basis[2] * c)
            }
            [Channel::Nodal(a), Channel::Nodal(b), Channel::Nodal(c)] => {
                Row::Moving([&a[base..base + len], &b[base..base + len], &c[base..base + len]], basis)
            }
            mixed => Row::Mixed(mixed, basis, base),
        }
    }

    /// Rows per parallel task.
    fn rows_per_task(&self) -> usize {
        let rows = self.len() / self.differences.row_len();
        rows.div_ceil(TASKS_PER_THREAD * rayon::current_num_threads()).max(1)
    }

    /// Call `finish(base, rate, out)` for each row, with the right-hand side on the row.
    fn for_rows(&self, theta: f64, v: &[f64], out: &mut [f64], finish: impl Fn(usize, &[f64], &mut [f64]) + Sync) {
        let len = self.differences.row_len();
        let basis = basis(theta);
        let run = |work: &mut Work, first_row: usize, block: &mut [f64]| {
            for (r, out) in block.chunks_mut(len).enumerate() {
                let row = first_row + r;
                self.rate_of_row(basis, v, row, work);
                finish(row * len, &work.rate, out);
            }
        };
        let dim = self.differences.axes.len();
        if out.len() < SERIAL_BELOW {
            run(&mut Work::new(dim, len), 0, out);
        } else {
            let rows = self.rows_per_task();
            out.par_chunks_mut(rows * len)
                .enumerate()
                .for_each(|(task, block)| run(&mut Work::new(dim, len), task * rows, block));
        }
    }

    /// The right-hand side on one row, into `work.rate`.
    fn rate_of_row(&self, basis: [f64; 3], v: &[f64], row: usize, work: &mut Work) {
        let l = self.model.layout;
        let len = work.rate.len();
        let base = row * len;
        let channel = |c: usize| self.channel(c, basis, base, len);
        for i in 0..l.dim {
            self.differences.row(i, v, row, &mut work.first[i], &mut work.second[i]);
        }
        let rate = &mut work.rate[..len];
        match channel(l.running()) {
            Row::Uniform(c) => rate.fill(c),
            other => {
                rate.fill(0.0);
                other.add_to(rate, |_| 1.0);
            }
        }
        if self.model.discount > 0.0 {
            (0..len).for_each(|j| rate[j] -= self.model.discount * v[base + j]);
        }
        for i in 0..l.dim {
            let (first, second) = (&work.first[i][..len], &work.second[i][..len]);
            let mobility = if l.mobile() { channel(l.mobility(i, i)) } else { Row::Uniform(0.0) };
            match (channel(l.diffusion(i, i)), channel(l.drift(i)), mobility) {
                // What fine-tuning gives, in one pass.
                (Row::Uniform(a), Row::Moving([f, g, h], w), Row::Uniform(m)) => {
                    let (a, m) = (0.5 * a, 0.5 * m);
                    for j in 0..len {
                        let drift = w[0] * f[j] + w[1] * g[j] + w[2] * h[j];
                        rate[j] += a * second[j] + (drift + m * first[j]) * first[j];
                    }
                }
                (a, f, m) => {
                    a.add_to(rate, |j| 0.5 * second[j]);
                    f.add_to(rate, |j| first[j]);
                    m.add_to(rate, |j| 0.5 * first[j] * first[j]);
                }
            }
            if l.boxed(i) {
                let (lo, up) = self.model.bounds[i];
                let (gain, weight) = (channel(l.gain(i)), channel(l.weight(i)));
                for j in 0..len {
                    let (g, r) = (gain.get(j), weight.get(j));
                    let gp = g * first[j];
                    let v = (gp / r).max(lo).min(up);
                    rate[j] += v * (gp - 0.5 * r * v);
                }
            }
        }
        for i in 0..l.dim {
            for k in i + 1..l.dim {
                if l.mobile() {
                    let (p, q) = (&work.first[i][..len], &work.first[k][..len]);
                    channel(l.mobility(i, k)).add_to(&mut work.rate[..len], |j| p[j] * q[j]);
                }
                let a = channel(l.diffusion(i, k));
                if a.is_zero() {
                    continue;
                }
                self.cross(i, k, v, row, &work.first[i], &mut work.cross);
                let cross = &work.cross[0][..len];
                a.add_to(&mut work.rate[..len], |j| cross[j]);
            }
        }
    }

    /// V_ik on a row into `cross[0]`: the first difference along k of the first differences along i.
    fn cross(&self, i: usize, k: usize, v: &[f64], row: usize, first_i: &[f64], cross: &mut [Vec<f64>; 3]) {
        let axes = &self.differences.axes;
        let [out, a, b] = cross;
        if k + 1 == axes.len() {
            axes[k].along(first_i, out, a);
            return;
        }
        let (axis, len) = (&axes[k], out.len());
        let index = row * len / axis.stride % axis.count;
        let stencil = &axis.nodes[index];
        out.fill(0.0);
        for (s, w) in stencil.first.iter().enumerate().filter(|(_, w)| **w != 0.0) {
            let shifted = row + (stencil.start + s) * axis.stride / len - index * axis.stride / len;
            self.differences.row(i, v, shifted, a, b);
            for (o, a) in out.iter_mut().zip(a.iter()) {
                *o += w * a;
            }
        }
    }

    /// Bounds for the linearised right-hand side on one row, over the step's two ends. Drift gives imaginary parts, diffusion
    /// and discount real ones.
    fn stiffness_of_row(&self, v: &[f64], row: usize, work: &mut Work) -> Stiffness {
        const ENDS: [[f64; 3]; 2] = [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
        let l = self.model.layout;
        let len = work.rate.len();
        let base = row * len;
        let axes = &self.differences.axes;
        let Work { first, second, cross: [speed, imaginary, convection], rate: real } = work;
        for i in 0..l.dim {
            self.differences.row(i, v, row, &mut first[i], &mut second[i]);
        }
        // The second derivatives are not needed: their buffer is the second speed.
        let other = &mut second[0];
        real.fill(self.model.discount);
        imaginary.fill(0.0);
        convection.fill(0.0);
        for i in 0..l.dim {
            for (basis, total) in [(ENDS[0], &mut *speed), (ENDS[1], &mut *other)] {
                let channel = |c: usize| self.channel(c, basis, base, len);
                total.fill(0.0);
                channel(l.drift(i)).add_to(total, |_| 1.0);
                for k in (0..l.dim).filter(|_| l.mobile()) {
                    let p = &first[k][..len];
                    channel(l.mobility(i, k)).add_to(total, |j| p[j]);
                }
                if l.boxed(i) {
                    let (lo, up) = self.model.bounds[i];
                    let (gain, weight) = (channel(l.gain(i)), channel(l.weight(i)));
                    for j in 0..len {
                        let g = gain.get(j);
                        total[j] += g * (g * first[i][j] / weight.get(j)).max(lo).min(up);
                    }
                }
            }
            let [a, b] = ENDS.map(|basis| self.channel(l.diffusion(i, i), basis, base, len));
            let (bound1, bound2) = (bound(axes, i, base, &axes[i].first_bound), bound(axes, i, base, &axes[i].second_bound));
            let mut total = Totals { imaginary, real, convection };
            match (a, b, bound1, bound2) {
                (Row::Uniform(a), Row::Uniform(b), Row::Uniform(s1), Row::Uniform(s2)) => {
                    total.add(speed, other, |_| (a, b), |_| (s1, s2));
                }
                (Row::Uniform(a), Row::Uniform(b), Row::Nodal(s1), Row::Nodal(s2)) => {
                    let (s1, s2) = (&s1[..len], &s2[..len]);
                    total.add(speed, other, |_| (a, b), |j| (s1[j], s2[j]));
                }
                _ => total.add(speed, other, |j| (a.get(j), b.get(j)), |j| (bound1.get(j), bound2.get(j))),
            }
            for k in i + 1..l.dim {
                let [a, b] = ENDS.map(|basis| self.channel(l.diffusion(i, k), basis, base, len));
                if a.is_zero() && b.is_zero() {
                    continue;
                }
                let bound_k = bound(axes, k, base, &axes[k].first_bound);
                for j in 0..len {
                    real[j] += a.get(j).abs().max(b.get(j).abs()) * bound1.get(j) * bound_k.get(j);
                }
            }
        }
        real.iter_mut().zip(imaginary.iter()).for_each(|(r, i)| *r += i);
        Stiffness { radius: sup(real), convection: sup(convection) }
    }
}

/// Sums over the axes on one row.
struct Totals<'t> {
    imaginary: &'t mut [f64],
    real: &'t mut [f64],
    convection: &'t mut [f64],
}

impl Totals<'_> {
    /// Add one axis: its speeds, diffusions and symbol bounds at the step's two ends.
    #[inline(always)]
    fn add(
        &mut self,
        speed: &[f64],
        other: &[f64],
        diffusion: impl Fn(usize) -> (f64, f64),
        symbols: impl Fn(usize) -> (f64, f64),
    ) {
        let n = speed.len();
        let (imaginary, real) = (&mut self.imaginary[..n], &mut self.real[..n]);
        let (convection, other) = (&mut self.convection[..n], &other[..n]);
        for j in 0..n {
            let ((a, b), (s1, s2)) = (diffusion(j), symbols(j));
            let (x, y) = (speed[j].abs(), other[j].abs());
            let speed = if y > x { y } else { x };
            imaginary[j] += speed * s1;
            real[j] += 0.5 * (if b > a { b } else { a }) * s2;
            // A speed without diffusion, however small, asks for the largest damping.
            convection[j] += speed * speed / (0.5 * (if b < a { b } else { a }) + 1e-12 * speed + f64::MIN_POSITIVE);
        }
    }
}

/// The bounds of axis i on the row from `base`: along the last axis they vary, on the others they are one number.
fn bound<'r>(axes: &[AxisDifferences], i: usize, base: usize, bounds: &'r [f64]) -> Row<'r> {
    if i + 1 < axes.len() { Row::Uniform(bounds[base / axes[i].stride % axes[i].count]) } else { Row::Nodal(bounds) }
}

/// Lagrange weights at the place theta of the values at 0, 1/2 and 1.
fn basis(theta: f64) -> [f64; 3] {
    [(1.0 - theta) * (1.0 - 2.0 * theta), 4.0 * theta * (1.0 - theta), theta * (2.0 * theta - 1.0)]
}

impl StabilisedSystem for SmoothOperator<'_> {
    type Error = HjbError;

    fn len(&self) -> usize {
        self.model.len()
    }

    fn limit(&mut self, tau: f64, y: &[f64]) -> Result<f64, HjbError> {
        if tau >= self.path.end() && tau < self.segment.length() {
            let sensitivity = self.sensitivity(tau, y)?;
            let (relative, absolute) = self.tolerance;
            self.path.advance(&self.model, &sensitivity, absolute + relative * sup(y))?;
            self.times = [f64::NAN; 3];
        }
        Ok(self.path.limit(tau))
    }

    fn prepare(&mut self, tau: f64, h: f64) -> Result<(), HjbError> {
        let times = [tau, tau + 0.5 * h, tau + h];
        if self.times[2] == tau {
            self.sets.swap(0, 2);
            self.times[0] = tau;
        }
        let Self { sets, times: loaded, path, .. } = self;
        let mut missing: Vec<(f64, &mut [Channel])> = Vec::with_capacity(3);
        for ((set, loaded), time) in sets.iter_mut().zip(loaded).zip(times) {
            if *loaded != time {
                *loaded = time;
                missing.push((time, set.as_mut_slice()));
            }
        }
        path.fill(&mut missing);
        Ok(())
    }

    fn stiffness(&self, y: &[f64]) -> Stiffness {
        let len = self.differences.row_len();
        let count = y.len() / len;
        let join =
            |a: Stiffness, b: Stiffness| Stiffness { radius: a.radius.max(b.radius), convection: a.convection.max(b.convection) };
        let run = |rows: std::ops::Range<usize>| {
            let mut work = Work::new(self.differences.axes.len(), len);
            rows.map(|row| self.stiffness_of_row(y, row, &mut work)).fold(Stiffness::default(), join)
        };
        if y.len() < SERIAL_BELOW {
            run(0..count)
        } else {
            let rows = self.rows_per_task();
            let tasks = (0..count.div_ceil(rows)).into_par_iter();
            let all: Vec<_> = tasks.map(|task| run(task * rows..((task + 1) * rows).min(count))).collect();
            all.into_iter().fold(Stiffness::default(), join)
        }
    }

    fn rate(&self, theta: f64, y: &[f64], out: &mut [f64]) {
        self.for_rows(theta, y, out, |_, rate, out| out.copy_from_slice(rate));
    }

    fn stage(&self, theta: f64, y: &[f64], update: StageUpdate<'_>, out: &mut [f64]) {
        let StageUpdate { start, start_rate, start_weight, last_weight, before_weight, rate_weight, start_rate_weight } = update;
        self.for_rows(theta, y, out, |base, rate, out| {
            let len = out.len();
            let (y0, f0, y, rate) = (&start[base..][..len], &start_rate[base..][..len], &y[base..][..len], &rate[..len]);
            for j in 0..len {
                out[j] = start_weight * y0[j]
                    + last_weight * y[j]
                    + before_weight * out[j]
                    + rate_weight * rate[j]
                    + start_rate_weight * f0[j];
            }
        });
    }
}
