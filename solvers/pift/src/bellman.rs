//! One Bellman step of the chain in shift form, at a block of nodes.
//!
//! With D = (1-a)/sqrt(a) (u - s), lam = sig^2/beta and G(z) = E V_{k+1}(z + sig W), the mean-shift step is
//!
//! ```text
//!   V_k(y) = max_D { G(m(y) + D) - |D|^2 / (2 lam) },      D* = lam grad G(m(y) + D*):
//! ```
//!
//! a Gaussian smoothing, then a Moreau envelope, then composition with the mean map. With the expectation taken on the grid, G, its
//! gradient and its Hessian are those of one spline. With the expectation taken at the points they come from the same values and
//! gradients of the spline of V_{k+1} at the quadrature points x_q, the Hessian by Stein's identity
//!
//! ```text
//!   D^2 G(z) = (1/sig) E[ W grad V_{k+1}(z + sig W)' ] ~ (1/sig) sum_q w_q x_q grad V_{k+1}(z + sig x_q)'   (symmetrised),
//! ```
//!
//! so that no second derivative of the interpolant is needed. The soft step replaces the maximum over mean shifts by the maximum
//! over all kernels (Donsker-Varadhan):
//!
//! ```text
//!   V_k(y) = F(m(y)),   F(z) = beta log E exp( V_{k+1}(z + sig W) / beta ),   D = E_tilted[Y_{k+1}] - m(y) = sig E_tilted[W] = lam grad F.
//! ```
//!
//! For any control  J <= V_meanshift <= V_soft,  and the two differ by O(h) over the whole chain.

use crate::block::NodeBlock;
use crate::ddpm::DdpmStep;
use crate::expectation::Smooth;
use crate::quadrature::NormalQuadrature;
use hjbridge_model::CubicSpline;
use serde::{Deserialize, Serialize};

/// Which one-step problem is solved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BellmanKind {
    /// Only the mean of the kernel may be moved: the controlled chain of PI-FT.
    #[default]
    MeanShift,
    /// The whole kernel may be changed: an upper bound, and exact for the continuous problem when the chain reverses the noising
    /// process exactly. No inner iteration.
    Soft,
}

/// The numbers of one step that the evaluations need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
    pub k: usize,
    pub sigma: f64,
    pub lam: f64,
    pub beta: f64,
}

impl From<&DdpmStep<'_>> for Kernel {
    fn from(step: &DdpmStep<'_>) -> Self {
        Kernel { k: step.k, sigma: step.sigma, lam: step.lambda(), beta: step.kl_weight }
    }
}

/// grad G, D^2 G and (in `value`) G at m + D; `each` sees V at every quadrature point.
fn smooth(
    block: &mut NodeBlock,
    kernel: &Kernel,
    next: &CubicSpline,
    rule: &NormalQuadrature,
    mut each: impl FnMut(usize, &[f64]),
) {
    let d = block.dim;
    let NodeBlock { mean, shift, value, gradient, hessian, query, query_value, query_gradient, .. } = block;
    value.fill(0.0);
    gradient.data_mut().fill(0.0);
    hessian.data_mut().fill(0.0);
    for q in 0..rule.len() {
        let w = rule.weights()[q];
        for i in 0..d {
            let offset = kernel.sigma * rule.coord(i)[q];
            let mut x = query.as_mut();
            for ((x, m), s) in x.coord_mut(i).iter_mut().zip(mean.coord(i)).zip(shift.coord(i)) {
                *x = (m + s) + offset;
            }
        }
        next.value_gradient(query.as_points(), query_value, query_gradient.as_mut());
        each(q, query_value);
        for (g, v) in value.iter_mut().zip(query_value.iter()) {
            *g += w * v;
        }
        for j in 0..d {
            for (g, v) in gradient.as_mut().coord_mut(j).iter_mut().zip(query_gradient.coord(j)) {
                *g += w * v;
            }
            if kernel.sigma > 0.0 {
                for i in 0..d {
                    let weight = w * rule.coord(i)[q] / kernel.sigma;
                    for (h, v) in hessian.as_mut().coord_mut(i * d + j).iter_mut().zip(query_gradient.coord(j)) {
                        *h += weight * v;
                    }
                }
            }
        }
    }
    let mut h = hessian.as_mut();
    for i in 0..d {
        for j in 0..i {
            for p in 0..h.len() {
                let mean = 0.5 * (h.coord(i * d + j)[p] + h.coord(j * d + i)[p]);
                h.coord_mut(i * d + j)[p] = mean;
                h.coord_mut(j * d + i)[p] = mean;
            }
        }
    }
}

/// G, grad G and D^2 G at m + D.
fn smoothed(block: &mut NodeBlock, kernel: &Kernel, smooth_of: Smooth<'_>) {
    match smooth_of {
        Smooth::OnGrid { mean: spline, .. } => {
            let NodeBlock { mean, shift, value, gradient, hessian, query, .. } = block;
            for ((x, m), s) in query.data_mut().iter_mut().zip(mean.data()).zip(shift.data()) {
                *x = m + s;
            }
            spline.jet(query.as_points(), value, gradient.as_mut(), hessian.as_mut());
        }
        Smooth::AtPoints { next, rule } => smooth(block, kernel, next, rule, |_, _| ()),
    }
}

/// Value of the current shift D: G(m+D) - |D|^2/(2 lam), with grad G and D^2 G at m+D.
pub(crate) fn evaluate_shift(block: &mut NodeBlock, kernel: &Kernel, of: Smooth<'_>) {
    smoothed(block, kernel, of);
    if kernel.lam > 0.0 {
        for i in 0..block.dim {
            for (v, s) in block.value.iter_mut().zip(block.shift.coord(i)) {
                *v -= s * s / (2.0 * kernel.lam);
            }
        }
    }
}

/// The soft value at the nodes and the mean shift of the tilted kernel; grad G and D^2 G at m are left for the diagnostics.
pub(crate) fn evaluate_soft(block: &mut NodeBlock, kernel: &Kernel, of: Smooth<'_>) {
    match of {
        Smooth::OnGrid { soft, mean } => {
            smoothed(block, kernel, of);
            let NodeBlock { mean: at, shift, value, query_gradient, .. } = block;
            soft.unwrap_or(mean).value_gradient(at.as_points(), value, query_gradient.as_mut());
            for (d, g) in shift.data_mut().iter_mut().zip(query_gradient.data()) {
                *d = kernel.lam * g;
            }
        }
        Smooth::AtPoints { next, rule } => soft_at_points(block, kernel, next, rule),
    }
}

fn soft_at_points(block: &mut NodeBlock, kernel: &Kernel, next: &CubicSpline, rule: &NormalQuadrature) {
    let (n, d) = (block.len(), block.dim);
    let mut at_nodes = std::mem::take(&mut block.soft_values);
    at_nodes.resize(n * rule.len(), 0.0);
    smooth(block, kernel, next, rule, |q, v| at_nodes[q * n..(q + 1) * n].copy_from_slice(v));
    for j in 0..n {
        // The largest exponent is taken out: exp then never overflows, and at least one term is 1.
        let top = (0..rule.len()).map(|q| at_nodes[q * n + j]).fold(f64::NEG_INFINITY, f64::max);
        let mut total = 0.0;
        for q in 0..rule.len() {
            let p = rule.weights()[q] * ((at_nodes[q * n + j] - top) / kernel.beta).exp();
            at_nodes[q * n + j] = p;
            total += p;
        }
        block.value[j] = top + kernel.beta * total.ln();
        for i in 0..d {
            let mean: f64 = (0..rule.len()).map(|q| at_nodes[q * n + j] * rule.coord(i)[q]).sum();
            block.shift.as_mut().coord_mut(i)[j] = kernel.sigma * mean / total;
        }
    }
    block.soft_values = at_nodes;
}
