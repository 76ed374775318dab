//! The operator of a level and its coarsening, one axis at a time.
//!
//! The coarse operator is the Galerkin product R A P with linear interpolation P and its volume-weighted transpose R,
//! collapsed to the neighbours on the axes: the entry towards the upper neighbour on axis i is R A applied to the
//! interpolated indicator of all coarse nodes one step up that axis. Collapsing keeps row sums, drifts and diffusions
//! of the coarse rows, makes every level as cheap as a rediscretisation (2 d + 1 entries) and needs neither the spacings
//! nor the boundary condition: both are in the entries. Where the coarse cell is convective an entry gets the wrong
//! sign; the missing diffusion is then added to both neighbours, which is the upwind scheme of the coarse grid and keeps
//! coarse operators M-matrices (plain Galerkin products lose that). Couplings across corners (cross derivatives) count
//! for both axes; they are exact in the residual of the solve, not in the correction.

use super::transfer::AxisTransfer;
use crate::error::LinearError;
use crate::stencil::StencilMatrix;

const NAME: &str = "multigrid";

/// Entries of A on a tensor grid: own node, lower and upper neighbour on each axis.
#[derive(Clone)]
pub(super) struct Operator {
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
    pub centre: Vec<f64>,
    /// Lower and upper entries: number 2 i and 2 i + 1 for axis i; zero where there is no neighbour.
    pub off: Vec<Vec<f64>>,
    row_sum: Vec<f64>,
    /// Nodes without any coupling (Dirichlet rows); empty when there is none.
    pub decoupled: Vec<usize>,
}

/// The step per axis of a flat shift, when every component is -1, 0 or 1.
pub(super) fn steps(shape: &[usize], mut flat: isize) -> Option<Vec<isize>> {
    let strides = strides(shape);
    let mut steps = Vec::with_capacity(shape.len());
    for &stride in &strides {
        let stride = stride as isize;
        let step = (flat + stride / 2).div_euclid(stride);
        steps.push(step);
        flat -= step * stride;
    }
    (flat == 0 && steps.iter().all(|s| s.abs() <= 1)).then_some(steps)
}

/// Strides of a shape in C order.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    strides
}

impl Operator {
    /// Whether the pattern of `a` can be coarsened: at least three nodes per axis, neighbours at most one step away.
    pub fn check_pattern(a: &StencilMatrix) -> Result<(), LinearError> {
        let known = a.flat_shifts().iter().all(|&s| steps(a.shape(), s).is_some());
        if a.shape().iter().all(|&len| len >= 3) && known && a.flat_shifts().first() == Some(&0) {
            return Ok(());
        }
        let allowed = "diagonal first, neighbours at most one step away per axis, at least three nodes per axis";
        Err(LinearError::Pattern { solver: NAME, allowed, found: a.flat_shifts().to_vec() })
    }

    /// The operator of the finest level.
    pub fn finest(a: &StencilMatrix) -> Result<Self, LinearError> {
        let (n, d) = (a.len(), a.shape().len());
        let mut off = vec![vec![0.0; n]; 2 * d];
        let mut row_sum = a.diagonal(0).to_vec();
        for (s, &flat) in a.flat_shifts().iter().enumerate().skip(1) {
            row_sum.iter_mut().zip(a.diagonal(s)).for_each(|(r, c)| *r += c);
            for (axis, step) in steps(a.shape(), flat).unwrap_or_default().into_iter().enumerate() {
                if step != 0 {
                    let side = 2 * axis + usize::from(step > 0);
                    off[side].iter_mut().zip(a.diagonal(s)).for_each(|(o, c)| *o += c);
                }
            }
        }
        Operator::close(a.shape().to_vec(), off, row_sum)
    }

    /// Set the centre and find the decoupled rows.
    fn close(shape: Vec<usize>, off: Vec<Vec<f64>>, row_sum: Vec<f64>) -> Result<Self, LinearError> {
        let mut centre = row_sum.clone();
        let mut size = vec![0.0; row_sum.len()];
        for o in &off {
            for ((c, s), o) in centre.iter_mut().zip(&mut size).zip(o) {
                *c -= o;
                *s += o.abs();
            }
        }
        if let Some(row) = centre.iter().position(|c| *c == 0.0 || !c.is_finite()) {
            return Err(LinearError::Singular { row });
        }
        let decoupled = (0..size.len()).filter(|&j| size[j] == 0.0).collect();
        Ok(Operator { strides: strides(&shape), shape, centre, off, row_sum, decoupled })
    }

    pub fn len(&self) -> usize {
        self.centre.len()
    }

    /// The operator on every second node of the axes that have a transfer.
    pub fn coarsen(&self, transfers: &[Option<AxisTransfer>]) -> Result<Self, LinearError> {
        let mut shape = self.shape.clone();
        let mut off = self.off.clone();
        let mut row_sum = self.row_sum.clone();
        let mut is_decoupled = vec![false; if self.decoupled.is_empty() { 0 } else { self.len() }];
        self.decoupled.iter().for_each(|&j| is_decoupled[j] = true);
        for (axis, transfer) in transfers.iter().enumerate() {
            let Some(t) = transfer else { continue };
            let outer: usize = shape[..axis].iter().product();
            let inner: usize = shape[axis + 1..].iter().product();
            let coarse = outer * t.coarse_len() * inner;
            let own_sums = (!is_decoupled.is_empty()).then(|| row_sum.clone());
            if !is_decoupled.is_empty() {
                // Decoupled rows enter neither the averages nor, with their scale, the sums of their neighbours.
                row_sum.iter_mut().zip(&is_decoupled).for_each(|(r, d)| *r = if *d { 0.0 } else { *r });
            }
            let average = |from: &[f64]| {
                let mut to = vec![0.0; coarse];
                t.restrict(outer, inner, from, &mut to);
                to
            };
            let (lower, upper) = t.collapse(outer, inner, &off[2 * axis], &off[2 * axis + 1]);
            off = off.iter().map(|o| average(o)).collect();
            (off[2 * axis], off[2 * axis + 1]) = (lower, upper);
            row_sum = average(&row_sum);
            if let Some(own) = own_sums {
                let mut kept = vec![false; coarse];
                t.inject(outer, inner, |from, to| {
                    if is_decoupled[from] {
                        kept[to] = true;
                        row_sum[to] = own[from];
                        off.iter_mut().for_each(|o| o[to] = 0.0);
                    }
                });
                is_decoupled = kept;
            }
            shape[axis] = t.coarse_len();
        }
        for pair in off.chunks_exact_mut(2) {
            let (lower, upper) = pair.split_at_mut(1);
            for (l, u) in lower[0].iter_mut().zip(&mut upper[0]) {
                // An entry that is exactly zero has no neighbour behind it: at a face the outward part is dropped.
                let excess = l.max(*u);
                if excess > 0.0 && *l != 0.0 && *u != 0.0 {
                    *l -= excess;
                    *u -= excess;
                } else if excess > 0.0 {
                    (*l, *u) = (l.min(0.0), u.min(0.0));
                }
            }
        }
        Operator::close(shape, off, row_sum)
    }

    /// The operator as a matrix, for the direct solver of the coarsest level.
    pub fn to_matrix(&self) -> StencilMatrix {
        let mut a = StencilMatrix::nearest_neighbour(&self.shape);
        a.diagonal_mut(0).copy_from_slice(&self.centre);
        for (s, o) in self.off.iter().enumerate() {
            a.diagonal_mut(s + 1).copy_from_slice(o);
        }
        a
    }

    /// Largest ratio of the couplings of a row to its diagonal.
    pub fn coupling(&self) -> f64 {
        let mut size = vec![0.0; self.len()];
        for o in &self.off {
            size.iter_mut().zip(o).for_each(|(s, o)| *s += o.abs());
        }
        size.iter().zip(&self.centre).fold(0.0, |m: f64, (s, c)| m.max(s / c.abs()))
    }

    /// out = b - A x, with `x` carrying `pad` zeros at both ends.
    pub fn residual(&self, b: &[f64], x: &[f64], pad: usize, out: &mut [f64]) {
        const BLOCK: usize = 512;
        for start in (0..self.len()).step_by(BLOCK) {
            let end = (start + BLOCK).min(self.len());
            let out = &mut out[start..end];
            let own = out.iter_mut().zip(&b[start..]).zip(&self.centre[start..]).zip(&x[pad + start..]);
            own.for_each(|(((o, b), c), x)| *o = b - c * x);
            for (pair, &stride) in self.off.chunks_exact(2).zip(&self.strides) {
                subtract_pair(&pair[0][start..], &pair[1][start..], &x[pad + start - stride..], &x[pad + start + stride..], out);
            }
        }
    }
}

/// out -= lower x_minus + upper x_plus, entry by entry.
#[inline]
pub(super) fn subtract_pair(lower: &[f64], upper: &[f64], minus: &[f64], plus: &[f64], out: &mut [f64]) {
    let n = out.len();
    let (lower, upper, minus, plus) = (&lower[..n], &upper[..n], &minus[..n], &plus[..n]);
    for k in 0..n {
        out[k] -= lower[k] * minus[k] + upper[k] * plus[k];
    }
}
