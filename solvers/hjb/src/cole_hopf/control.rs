//! The optimal control v = R^{-1} G' grad V from V on the nodes.
//!
//! Slopes are those of the parabola through three neighbouring values of V, of order 2 on any spacing: one-sided at the
//! faces (zero at reflecting ones, across at periodic ones), with the data in place of a neighbour next to a target set. Differences of V are used, not
//! of phi. Where phi grows like e^{kx} the discrete phi does so with the rate k (1 - (kh)^2/24); differences of V report this
//! rate, beta phi'/phi by differences of phi is off by (kh)^2/8, three times as far and to the other side. Where V is gentle
//! on the spacing neither is better throughout (on a mixture with V of a few temperatures the errors are within 15 per cent
//! of each other).

use crate::controls::ControlMatrices;
use crate::exit::TargetRows;
use crate::faces::{Face, Faces};
use crate::geometry::Geometry;
use crate::hamiltonian::Hamiltonian;
use crate::prescribed_control::ControlContinuation;
use hjbridge_model::grid::TensorGrid;

/// Write v for V in the sign of the maximisation, m x n; continued to prescribed nodes. O(d n), O(n m^3) with full matrices.
pub(super) fn control(hamiltonian: &Hamiltonian<'_>, value: &[f64], out: &mut [f64]) {
    let (c, target) = (hamiltonian.coefficients(), hamiltonian.target());
    let Geometry { grid, faces, .. } = hamiltonian.geometry();
    let (n, d) = (value.len(), grid.dim());
    let slopes = |axis: usize, out: &mut [f64]| {
        slopes(grid, faces, axis, value, out);
        for e in target.into_iter().flat_map(|t| &t.edges).filter(|e| e.axis == axis) {
            out[e.node] = cut_slope(grid, target, axis, e.node, value);
        }
    };
    match &c.matrices {
        None => {
            for (i, out) in out.chunks_exact_mut(n).enumerate() {
                slopes(i, out);
                let factors = c.gain[i * n..][..n].iter().zip(&c.weight[i * n..][..n]);
                out.iter_mut().zip(factors).for_each(|(v, (g, r))| *v *= g / r);
            }
        }
        Some(full) => {
            let m = full.controls;
            let mut gradient = vec![0.0; d * n];
            gradient.chunks_exact_mut(n).enumerate().for_each(|(i, out)| slopes(i, out));
            let (mut p, mut v, mut factor) = (vec![0.0; d], vec![0.0; m], vec![0.0; m * m]);
            for j in 0..n {
                p.iter_mut().enumerate().for_each(|(i, p)| *p = gradient[i * n + j]);
                maximiser(full, n, j, &p, &mut v, &mut factor);
                v.iter().enumerate().for_each(|(k, v)| out[k * n + j] = *v);
            }
        }
    }
    if let Some(target) = target {
        ControlContinuation::new(grid, target.nodes(), &hamiltonian.control_set).apply(out, n);
    }
}

/// v = R^{-1} G' p at node j, by the Cholesky factors of R (which is positive definite: that was checked when it was read).
pub(super) fn maximiser(full: &ControlMatrices, n: usize, j: usize, p: &[f64], v: &mut [f64], factor: &mut [f64]) {
    let m = full.controls;
    for k in 0..m {
        v[k] = p.iter().enumerate().map(|(i, p)| full.gain[(i * m + k) * n + j] * p).sum();
        for l in 0..=k {
            let s: f64 = (0..l).map(|e| factor[k * m + e] * factor[l * m + e]).sum();
            let rest = full.weight[(k * m + l) * n + j] - s;
            factor[k * m + l] = if k == l { rest.sqrt() } else { rest / factor[l * m + l] };
        }
        let s: f64 = (0..k).map(|l| factor[k * m + l] * v[l]).sum();
        v[k] = (v[k] - s) / factor[k * m + k];
    }
    for k in (0..m).rev() {
        let s: f64 = (k + 1..m).map(|l| factor[l * m + k] * v[l]).sum();
        v[k] = (v[k] - s) / factor[k * m + k];
    }
}

/// dV/dx_i at every node.
fn slopes(grid: &TensorGrid, faces: &Faces, axis: usize, value: &[f64], out: &mut [f64]) {
    let (x, stride) = (grid.axis(axis).nodes(), grid.strides()[axis]);
    let count = x.len();
    let quotient = |j: usize, k: usize| (value[j + stride] - value[j]) / (x[k + 1] - x[k]);
    for (j, out) in out.iter_mut().enumerate() {
        let k = (j / stride) % count;
        let end = k == 0 || k + 1 == count;
        let face = if end { faces.face(axis, k > 0) } else { Face::Extrapolated };
        *out = if face == Face::Reflecting {
            0.0
        } else if face == Face::Periodic {
            let first = j - k * stride;
            let last = first + (count - 2) * stride;
            parabola(quotient(last, count - 2), x[count - 1] - x[count - 2], quotient(first, 0), x[1] - x[0])
        } else if end {
            // The quotient next to the face, continued linearly with the one after it.
            let (j, k, away) = if k == 0 { (j, 0, 1isize) } else { (j - stride, count - 2, -1) };
            let near = quotient(j, k);
            if count > 2 {
                let (next_k, next_j) = (k.wrapping_add_signed(away), j.wrapping_add_signed(away * stride as isize));
                let (h, h_next) = (x[k + 1] - x[k], x[next_k + 1] - x[next_k]);
                near + (near - quotient(next_j, next_k)) * h / (h + h_next)
            } else {
                near
            }
        } else {
            parabola(quotient(j - stride, k - 1), x[k] - x[k - 1], quotient(j, k), x[k + 1] - x[k])
        };
    }
}

/// Slope at a node from the quotients below and above.
fn parabola(below: f64, h_below: f64, above: f64, h_above: f64) -> f64 {
    (h_above * below + h_below * above) / (h_below + h_above)
}

/// The slope at a node with a cut edge on this axis.
fn cut_slope(grid: &TensorGrid, target: Option<&TargetRows>, axis: usize, node: usize, value: &[f64]) -> f64 {
    let (x, stride) = (grid.axis(axis).nodes(), grid.strides()[axis]);
    let k = (node / stride) % x.len();
    let mut sides = [None, None];
    if k > 0 {
        let h = x[k] - x[k - 1];
        sides[0] = Some(((value[node] - value[node - stride]) / h, h));
    }
    if k + 1 < x.len() {
        let h = x[k + 1] - x[k];
        sides[1] = Some(((value[node + stride] - value[node]) / h, h));
    }
    for e in target.into_iter().flat_map(|t| &t.edges).filter(|e| e.node == node && e.axis == axis) {
        let quotient = (e.value - value[node]) / e.distance;
        sides[usize::from(e.upper)] = Some((if e.upper { quotient } else { -quotient }, e.distance));
    }
    match sides {
        [Some((below, h_below)), Some((above, h_above))] => parabola(below, h_below, above, h_above),
        [Some((one, _)), None] | [None, Some((one, _))] => one,
        [None, None] => 0.0,
    }
}
