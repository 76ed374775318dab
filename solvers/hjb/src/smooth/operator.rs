//! The right-hand side of the method of lines,
//!
//!   V_tau = f.grad V + (1/2) sum_ij a_ij V_ij + l + H(grad V) - rho V,   tau = T - t,
//!   H(p) = sum_i max_v { G_i v p_i - R_i v^2/2 } = sum_i { v_i G_i p_i - R_i v_i^2/2 },  v_i = clip(G_i p_i / R_i),
//!
//! with central differences of order 4, 6 or 8. Derivatives are taken row by row (a row is a line of the last axis) into
//! buffers that stay in the first-level cache, multiplied with the coefficients there and handed to the time integrator's
//! update in the same pass. Rows are independent: the result does not depend on the number of threads. Within a step the
//! coefficients are the parabola through their values at its start, middle and end.

use crate::error::HjbError;
use crate::norms::sup;
use crate::smooth::channels::{Channel, ChannelPath, NodeModel};
use crate::smooth::differences::{Differences, SERIAL_BELOW};
use crate::smooth::rkc::{StabilisedSystem, StageUpdate, Stiffness};
use hjbridge_model::ControlledDiffusion;
use hjbridge_model::grid::TensorGrid;
use rayon::prelude::*;
use std::sync::Arc;

/// Nodes of one parallel task, rounded to whole rows.
const TASK: usize = 2048;

/// The equation on a grid.
pub(crate) struct SmoothOperator<'a> {
    pub model: NodeModel<'a>,
    pub differences: Differences,
    pub path: ChannelPath,
    /// Coefficients at the start, middle and end of the step, and their times.
    sets: [Vec<Channel>; 3],
    times: [f64; 3],
    /// Change of V that the interpolation of the coefficients may cause: relative and absolute.
    tolerance: (f64, f64),
}

/// Buffers of one thread.
struct Work {
    first: Vec<Vec<f64>>,
    second: Vec<Vec<f64>>,
    cross: [Vec<f64>; 3],
    rate: Vec<f64>,
    rows: [Vec<f64>; 2],
}

impl Work {
    fn new(dim: usize, len: usize) -> Self {
        let row = || vec![0.0; len];
        let rows = || (0..dim).map(|_| row()).collect();
        Work { first: rows(), second: rows(), cross: [row(), row(), row()], rate: row(), rows: [row(), row()] }
    }
}

/// The coefficient of a row: one number, or one per node.
enum Row<'r> {
    Uniform(f64),
    Nodal(&'r [f64]),
}

impl<'a> SmoothOperator<'a> {
    pub fn new(
        model: &'a dyn ControlledDiffusion,
        grid: Arc<TensorGrid>,
        order: usize,
        tolerance: (f64, f64),
    ) -> Result<Self, HjbError> {
        let model_on_nodes = NodeModel::new(model, grid.points())?;
        let differences = Differences::new(grid, order)?;
        let set = || vec![Channel::Uniform(0.0); model_on_nodes.layout.len()];
        Ok(SmoothOperator {
            sets: [set(), set(), set()],
            times: [f64::NAN; 3],
            path: ChannelPath::new(model.horizon()),
            model: model_on_nodes,
            differences,
            tolerance,
        })
    }

    pub fn len(&self) -> usize {
        self.model.len()
    }

    fn horizon(&self) -> f64 {
        self.model.model.horizon()
    }

    /// The optimal control at generation time t for the gradient `gradient` (d x n); m x n.
    pub fn control(&self, t: f64, gradient: &[f64]) -> Result<Vec<f64>, HjbError> {
        let (n, m) = (self.len(), self.model.layout.controls);
        let (gain, weight) = self.model.control_channels(t)?;
        let mut out = vec![0.0; m * n];
        for (i, v) in out.chunks_mut(n).enumerate() {
            let (lo, up) = self.model.bounds[i];
            for (j, (v, p)) in v.iter_mut().zip(&gradient[i * n..]).enumerate() {
                *v = (gain[i].get(j) * p / weight[i].get(j)).max(lo).min(up);
            }
        }
        Ok(out)
    }

    /// Make the channels at tau the ones in use, evaluated exactly; those of the last three times are kept.
    pub fn load_exact(&mut self, tau: f64) -> Result<(), HjbError> {
        match self.times.iter().position(|t| *t == tau) {
            Some(k) => {
                self.times.swap(0, k);
                self.sets.swap(0, k);
            }
            None => {
                let channels = self.model.evaluate((self.horizon() - tau).max(0.0))?;
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
        let control = self.control((self.horizon() - tau).max(0.0), &gradient)?;
        for i in 0..l.controls {
            let v = sup(&control[i * n..(i + 1) * n]);
            out[l.gain(i)] = v * out[l.drift(i)];
            out[l.weight(i)] = 0.5 * v * v;
        }
        out[l.running()] = 1.0;
        Ok(out)
    }

    /// Channel c on the row from `base`, at the place in the step that the weights `basis` stand for.
    fn channel<'r>(&'r self, c: usize, basis: [f64; 3], base: usize, buffer: &'r mut [f64]) -> Row<'r> {
        let len = buffer.len();
        match [&self.sets[0][c], &self.sets[1][c], &self.sets[2][c]] {
            [Channel::Uniform(a), Channel::Uniform(b), Channel::Uniform(c)] => {
                Row::Uniform(basis[0] * a + basis[1] * b + basis[2] * c)
            }
            [Channel::Nodal(a), ..] if basis == [1.0, 0.0, 0.0] => Row::Nodal(&a[base..base + len]),
            [Channel::Nodal(a), Channel::Nodal(b), Channel::Nodal(c)] => {
                let (a, b, c) = (&a[base..base + len], &b[base..base + len], &c[base..base + len]);
                for j in 0..len {
                    buffer[j] = basis[0] * a[j] + basis[1] * b[j] + basis[2] * c[j];
                }
                Row::Nodal(buffer)
            }
            mixed => {
                for (j, o) in buffer.iter_mut().enumerate() {
                    *o = basis.iter().zip(mixed).map(|(w, c)| w * c.get(base + j)).sum();
                }
                Row::Nodal(buffer)
            }
        }
    }

    /// Call `finish(base, rate, out)` for each row, with the right-hand side on the row.
    fn for_rows(&self, theta: f64, v: &[f64], out: &mut [f64], finish: impl Fn(usize, &[f64], &mut [f64]) + Sync) {
        let len = self.differences.row_len();
        let rows = (TASK / len).max(1);
        let basis = basis(theta);
        let run = |work: &mut Work, (task, block): (usize, &mut [f64])| {
            for (r, out) in block.chunks_mut(len).enumerate() {
                let row = task * rows + r;
                self.rate_of_row(basis, v, row, work);
                finish(row * len, &work.rate, out);
            }
        };
        let new = || Work::new(self.differences.axes.len(), len);
        if out.len() < SERIAL_BELOW {
            let mut work = new();
            out.chunks_mut(rows * len).enumerate().for_each(|task| run(&mut work, task));
        } else {
            out.par_chunks_mut(rows * len).enumerate().for_each_init(new, |work, task| run(work, task));
        }
    }

    /// The right-hand side on one row, into `work.rate`.
    fn rate_of_row(&self, basis: [f64; 3], v: &[f64], row: usize, work: &mut Work) {
        let l = self.model.layout;
        let len = work.rate.len();
        let base = row * len;
        let [buffer, other] = &mut work.rows;
        let rate = &mut work.rate[..len];
        match self.channel(l.running(), basis, base, buffer) {
            Row::Uniform(c) => rate.fill(c),
            Row::Nodal(r) => rate.copy_from_slice(r),
        }
        if self.model.discount > 0.0 {
            (0..len).for_each(|j| rate[j] -= self.model.discount * v[base + j]);
        }
        for i in 0..l.dim {
            let (first, second) = (&mut work.first[i][..len], &mut work.second[i][..len]);
            self.differences.row(i, v, row, first, second);
            let (first, second) = (&*first, &*second);
            match self.channel(l.diffusion(i, i), basis, base, buffer) {
                Row::Uniform(a) => (0..len).for_each(|j| rate[j] += 0.5 * a * second[j]),
                Row::Nodal(a) => (0..len).for_each(|j| rate[j] += 0.5 * a[j] * second[j]),
            }
            match self.channel(l.drift(i), basis, base, buffer) {
                Row::Uniform(f) => (0..len).for_each(|j| rate[j] += f * first[j]),
                Row::Nodal(f) => (0..len).for_each(|j| rate[j] += f[j] * first[j]),
            }
            if i >= l.controls {
                continue;
            }
            let (lo, up) = self.model.bounds[i];
            let gain = self.channel(l.gain(i), basis, base, buffer);
            let weight = self.channel(l.weight(i), basis, base, other);
            match (gain, weight) {
                (Row::Uniform(g), Row::Uniform(r)) if self.model.free => {
                    let half = 0.5 * g * g / r;
                    (0..len).for_each(|j| rate[j] += half * first[j] * first[j]);
                }
                (gain, weight) => {
                    for j in 0..len {
                        let (g, r) = (gain.get(j), weight.get(j));
                        let gp = g * first[j];
                        let v = (gp / r).max(lo).min(up);
                        rate[j] += v * (gp - 0.5 * r * v);
                    }
                }
            }
        }
        for i in 0..l.dim {
            for k in i + 1..l.dim {
                let a = self.channel(l.diffusion(i, k), basis, base, buffer);
                if matches!(a, Row::Uniform(c) if c == 0.0) {
                    continue;
                }
                self.cross(i, k, v, row, &work.first[i], &mut work.cross);
                for j in 0..len {
                    rate[j] += a.get(j) * work.cross[0][j];
                }
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

    /// Bounds for the linearised right-hand side on one row, over the step's two ends.
    fn stiffness_of_row(&self, v: &[f64], row: usize, work: &mut Work) -> Stiffness {
        let l = self.model.layout;
        let len = work.rate.len();
        let base = row * len;
        let axes = &self.differences.axes;
        work.rate.fill(self.model.discount);
        work.cross[2].fill(0.0);
        let bound = |i: usize, which: &dyn Fn(usize) -> f64| -> Option<f64> {
            (i + 1 < axes.len()).then(|| which(base / axes[i].stride % axes[i].count))
        };
        for i in 0..l.dim {
            self.differences.row(i, v, row, &mut work.first[i], &mut work.second[i]);
            let fixed1 = bound(i, &|k| axes[i].first_bound[k]);
            let fixed2 = bound(i, &|k| axes[i].second_bound[k]);
            let first_bound = |j: usize| fixed1.unwrap_or_else(|| axes[i].first_bound[j]);
            let second_bound = |j: usize| fixed2.unwrap_or_else(|| axes[i].second_bound[j]);
            for (place, basis) in [(0, [1.0, 0.0, 0.0]), (1, [0.0, 0.0, 1.0])] {
                let total = if place == 0 { &mut work.cross[0] } else { &mut work.cross[1] };
                let [buffer, other] = &mut work.rows;
                match self.channel(l.drift(i), basis, base, buffer) {
                    Row::Uniform(f) => total.fill(f),
                    Row::Nodal(f) => total.copy_from_slice(f),
                }
                if i < l.controls {
                    let (lo, up) = self.model.bounds[i];
                    let gain = self.channel(l.gain(i), basis, base, buffer);
                    let weight = self.channel(l.weight(i), basis, base, other);
                    let first = &work.first[i][..len];
                    match (gain, weight) {
                        (Row::Uniform(g), Row::Uniform(r)) if self.model.free => {
                            let mobility = g * g / r;
                            total.iter_mut().zip(first).for_each(|(t, p)| *t += mobility * p);
                        }
                        (gain, weight) => {
                            for j in 0..len {
                                let g = gain.get(j);
                                total[j] += g * (g * first[j] / weight.get(j)).max(lo).min(up);
                            }
                        }
                    }
                }
            }
            let [buffer, other] = &mut work.rows;
            let start = self.channel(l.diffusion(i, i), [1.0, 0.0, 0.0], base, buffer);
            let end = self.channel(l.diffusion(i, i), [0.0, 0.0, 1.0], base, other);
            for j in 0..len {
                let speed = work.cross[0][j].abs().max(work.cross[1][j].abs());
                let (a, b) = (start.get(j), end.get(j));
                work.rate[j] += speed * first_bound(j) + 0.5 * a.max(b) * second_bound(j);
                // A speed without diffusion, however small, asks for the largest damping.
                work.cross[2][j] += speed * speed / (0.5 * a.min(b) + 1e-12 * speed + f64::MIN_POSITIVE);
            }
            for k in i + 1..l.dim {
                let start = self.channel(l.diffusion(i, k), [1.0, 0.0, 0.0], base, buffer);
                let end = self.channel(l.diffusion(i, k), [0.0, 0.0, 1.0], base, other);
                let fixed = bound(k, &|s| axes[k].first_bound[s]);
                for j in 0..len {
                    let other_bound = fixed.unwrap_or_else(|| axes[k].first_bound[j]);
                    work.rate[j] += start.get(j).abs().max(end.get(j).abs()) * first_bound(j) * other_bound;
                }
            }
        }
        let largest = |values: &[f64]| values.iter().fold(0.0, |m: f64, r| larger(m, *r));
        Stiffness { radius: largest(&work.rate), convection: largest(&work.cross[2]) }
    }
}

/// The larger one; NaN when the second is NaN.
fn larger(a: f64, b: f64) -> f64 {
    if b > a || b.is_nan() { b } else { a }
}

impl Row<'_> {
    #[inline(always)]
    fn get(&self, j: usize) -> f64 {
        match self {
            Row::Uniform(c) => *c,
            Row::Nodal(r) => r[j],
        }
    }
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
        if tau >= self.path.end() && tau < self.horizon() {
            let sensitivity = self.sensitivity(tau, y)?;
            let (relative, absolute) = self.tolerance;
            self.path.advance(&self.model, &sensitivity, absolute + relative * sup(y))?;
            self.times = [f64::NAN; 3];
        }
        Ok(self.path.end())
    }

    fn prepare(&mut self, tau: f64, h: f64) -> Result<(), HjbError> {
        let times = [tau, tau + 0.5 * h, tau + h];
        if self.times[2] == tau {
            self.sets.swap(0, 2);
            self.times[0] = tau;
        }
        for (k, time) in times.into_iter().enumerate() {
            if self.times[k] != time {
                self.path.fill(time, &mut self.sets[k]);
                self.times[k] = time;
            }
        }
        Ok(())
    }

    fn stiffness(&self, y: &[f64]) -> Stiffness {
        let len = self.differences.row_len();
        let rows = y.len() / len;
        let new = || Work::new(self.differences.axes.len(), len);
        let join = |a: Stiffness, b: Stiffness| Stiffness {
            radius: larger(a.radius, b.radius),
            convection: larger(a.convection, b.convection),
        };
        if y.len() < SERIAL_BELOW {
            let mut work = new();
            (0..rows).map(|row| self.stiffness_of_row(y, row, &mut work)).fold(Stiffness::default(), join)
        } else {
            let all: Vec<_> = (0..rows).into_par_iter().map_init(new, |work, row| self.stiffness_of_row(y, row, work)).collect();
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
