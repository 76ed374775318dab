//! Anderson acceleration of the damped inner iteration, at every node by itself and safeguarded.
//!
//! With f_m = lam grad G(m(y) + D^(m)) - D^(m) the defect, dX and dF the last differences of D and of f (newest first, at most
//! `depth` and at most d of them),
//!
//! ```text
//!   gamma = argmin |f_m - dF gamma|,      D^(m+1) = D^(m) + w f_m - (dX + w dF) gamma,      w as in `Damped`.
//! ```
//!
//! The equation is one in R^d for each node, so d differences determine it where it is linear: a linear-quadratic step ends after
//! d + 1 updates at any rho. On the line it is the secant method (order 1.618). A step after which the defect at a node has not
//! shrunk is taken back there: the history is dropped and the damped step is made, which always contracts. Prefer it to `Newton`
//! when no Hessian is wanted, to `Damped` when rho is not small.
//!
//! References: D. G. Anderson, Iterative procedures for nonlinear integral equations, J. ACM 12 (1965); H. F. Walker, P. Ni,
//! Anderson acceleration for fixed-point iterations, SIAM J. Numer. Anal. 49 (2011).

use super::plain;
use crate::block::NodeBlock;

/// Columns of dF shorter than this part of their length after orthogonalisation are dropped.
const RANK: f64 = 1e-10;

/// The differences kept at each node of a block, allocated at the first use.
#[derive(Default)]
pub(crate) struct History {
    /// D and f at the last point that was not taken back.
    point: Vec<f64>,
    defect: Vec<f64>,
    size: Vec<f64>,
    /// Whether the step from there was an accelerated one.
    accelerated: Vec<bool>,
    /// Differences kept at each node.
    count: Vec<usize>,
    /// dX then dF: node major, then newest first, then component.
    shifts: Vec<f64>,
    defects: Vec<f64>,
}

impl History {
    /// Forget everything: the next update starts a new iteration.
    pub(crate) fn clear(&mut self) {
        self.size.fill(f64::INFINITY);
        self.count.fill(0);
        self.accelerated.fill(false);
    }

    fn allocate(&mut self, nodes: usize, d: usize, columns: usize) {
        if self.size.len() != nodes || self.shifts.len() != nodes * d * columns {
            *self = History {
                point: vec![0.0; nodes * d],
                defect: vec![0.0; nodes * d],
                size: vec![f64::INFINITY; nodes],
                accelerated: vec![false; nodes],
                count: vec![0; nodes],
                shifts: vec![0.0; nodes * d * columns],
                defects: vec![0.0; nodes * d * columns],
            };
        }
    }
}

/// Write the accelerated update, or the way back to the damped one. A node whose defect is at most `rounding` takes the damped
/// step: differences of rounding errors point anywhere.
pub(crate) fn propose(block: &mut NodeBlock, lam: f64, (w, depth): (f64, usize), rounding: f64) {
    plain::propose(block, lam);
    let (d, nodes) = (block.dim, block.len());
    let columns = depth.min(d).max(1);
    block.history.allocate(nodes, d, columns);
    let NodeBlock { history: h, update, shift, .. } = block;
    let (mut x, mut f) = (vec![0.0; d], vec![0.0; d]);
    let mut basis = vec![0.0; columns * d];
    let mut triangle = vec![0.0; columns * columns];
    for j in 0..nodes {
        shift.as_points().copy_point(j, &mut x);
        update.as_points().copy_point(j, &mut f);
        let own = j * d..(j + 1) * d;
        let size = f.iter().map(|v| v * v).sum::<f64>().sqrt();
        if size <= rounding {
            h.accelerated[j] = false;
            h.count[j] = 0;
            h.size[j] = f64::INFINITY;
            f.iter_mut().for_each(|f| *f *= w);
            update.as_mut().set_point(j, &f);
            continue;
        }
        let shrunk = size < h.size[j];
        if h.accelerated[j] && !shrunk {
            h.accelerated[j] = false;
            h.count[j] = 0;
            for (i, (p, q)) in h.point[own.clone()].iter().zip(&h.defect[own]).enumerate() {
                f[i] = p + w * q - x[i];
            }
            update.as_mut().set_point(j, &f);
            continue;
        }
        let block = j * columns * d;
        if h.size[j].is_finite() && depth > 0 {
            let (dx, df) = (&mut h.shifts[block..block + columns * d], &mut h.defects[block..block + columns * d]);
            dx.copy_within(..(columns - 1) * d, d);
            df.copy_within(..(columns - 1) * d, d);
            let minus = |to: &mut [f64], a: &[f64], b: &[f64]| {
                to.iter_mut().zip(a.iter().zip(b)).for_each(|(to, (a, b))| *to = a - b);
            };
            minus(dx, &x, &h.point[own.clone()]);
            minus(df, &f, &h.defect[own.clone()]);
            h.count[j] = (h.count[j] + 1).min(columns);
        }
        h.point[own.clone()].copy_from_slice(&x);
        h.defect[own].copy_from_slice(&f);
        h.size[j] = size;
        // Modified Gram-Schmidt, newest first: what is left of f is what the differences cannot remove.
        let (dx, df) = (&h.shifts[block..block + columns * d], &h.defects[block..block + columns * d]);
        let mut rank = 0;
        let mut taken = [0usize; MOST];
        for c in 0..h.count[j].min(MOST) {
            let column = &df[c * d..(c + 1) * d];
            let length = norm(column);
            let mut rest = column.to_vec();
            for r in 0..rank {
                let q = &basis[r * d..(r + 1) * d];
                let along = dot(q, &rest);
                triangle[r * columns + rank] = along;
                rest.iter_mut().zip(q).for_each(|(v, q)| *v -= along * q);
            }
            let left = norm(&rest);
            if left > RANK * length && left.is_finite() {
                triangle[rank * columns + rank] = left;
                basis[rank * d..(rank + 1) * d].iter_mut().zip(&rest).for_each(|(b, v)| *b = v / left);
                taken[rank] = c;
                rank += 1;
            }
        }
        let mut gamma = vec![0.0; rank];
        let mut rest = f.clone();
        for (r, g) in gamma.iter_mut().enumerate() {
            let q = &basis[r * d..(r + 1) * d];
            *g = dot(q, &rest);
            rest.iter_mut().zip(q).for_each(|(v, q)| *v -= *g * q);
        }
        for r in (0..rank).rev() {
            let later: f64 = (r + 1..rank).map(|s| triangle[r * columns + s] * gamma[s]).sum();
            gamma[r] = (gamma[r] - later) / triangle[r * columns + r];
        }
        h.accelerated[j] = rank > 0;
        for (i, f) in f.iter_mut().enumerate() {
            let back: f64 = (0..rank).map(|r| gamma[r] * (dx[taken[r] * d + i] + w * df[taken[r] * d + i])).sum();
            *f = w * *f - back;
        }
        update.as_mut().set_point(j, &f);
    }
}

/// Differences are never more than the dimension, and grids have few.
const MOST: usize = 8;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}
