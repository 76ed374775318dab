//! Where the expectation over the noise of a step is taken, and with how many quadrature nodes.
//!
//! G(z) = E V_{k+1}(z + sig W) is wanted at m(y) + D for every iterate D. Two ways:
//!
//! * [`Expectation::OnGrid`]: smooth V_{k+1} once per step, one axis after the other, at the nodes, and take the spline of the
//!   result: G, its gradient and its Hessian then cost one spline evaluation per node and iterate. At the nodes it is the tensor
//!   quadrature rule to rounding; between them it adds an interpolation error of order 4 (value) and 3 (gradient).
//! * [`Expectation::AtPoints`]: the tensor rule at every m(y) + D, q^d spline evaluations per node and iterate, the Hessian by
//!   Stein's identity. No second interpolation; the reference the first is measured against.
//!
//! The nodes per axis are chosen by an estimate unless they are given: the smallest rule of a ladder whose E V over the region
//! differs from that of the next by at most 1e-5 (h/T)^2 times the range of V, h^2 being the order of the gap that one step of the
//! chain leaves against the continuous problem, or by at most the error of the interpolation, whichever is larger: a spline has
//! jumps in its third derivative at the nodes, and below its own error no rule integrates it any better. That error is taken as
//! the largest fourth difference of V along an axis over 384 (the midpoint error dx^4 |V''''|/384). The ladder is climbed at the
//! first step with noise and checked again at twice, four times, ... the distance from the end: log2 N times in all.

use crate::bellman::{BellmanKind, Kernel};
use crate::error::PiFtError;
use crate::quadrature::NormalQuadrature;
use hjbridge_model::{CubicSpline, GaussianSmoothing, TensorGrid};
use serde::{Deserialize, Serialize};

/// Where E V_{k+1} is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expectation {
    /// At the nodes, axis by axis, then interpolated.
    #[default]
    OnGrid,
    /// By the tensor rule at every point that an iterate asks for.
    AtPoints,
}

/// Nodes per axis that are tried.
const LADDER: [usize; 9] = [4, 6, 8, 12, 16, 24, 32, 48, 64];

/// Share of (h/T)^2 range(V) that the quadrature may cost per step.
const SHARE: f64 = 1e-5;

/// How the number of quadrature nodes was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct QuadratureInfo {
    /// Gauss-Hermite nodes per axis, at the end of the sweep.
    pub nodes_per_axis: usize,
    /// Whether they were chosen by the estimate.
    pub chosen: bool,
    /// Difference to the next larger rule, over the region, at the steps of `checked_at`.
    pub estimates: Vec<f64>,
    /// What the estimates should be below: the larger of 1e-5 (h/T)^2 range(V) and the next.
    pub tolerances: Vec<f64>,
    /// Error of the spline of V, estimated from fourth differences, over the region.
    pub interpolation: Vec<f64>,
    /// Steps k at which the difference was taken.
    pub checked_at: Vec<usize>,
}

/// G, ready to be evaluated.
#[derive(Clone, Copy)]
pub(crate) enum Smooth<'a> {
    /// The spline of G, and that of the soft value when it is wanted.
    OnGrid { mean: &'a CubicSpline, soft: Option<&'a CubicSpline> },
    /// The spline of V_{k+1} and the rule.
    AtPoints { next: &'a CubicSpline, rule: &'a NormalQuadrature },
}

impl Smooth<'_> {
    /// Evaluations of a spline for G and its derivatives at one point.
    pub(crate) fn evaluations(&self) -> usize {
        match self {
            Smooth::OnGrid { .. } => 1,
            Smooth::AtPoints { rule, .. } => rule.len(),
        }
    }
}

/// What is kept from step to step.
pub(crate) struct Smoother {
    kind: Expectation,
    smoothing: GaussianSmoothing,
    line: NormalQuadrature,
    tensor: NormalQuadrature,
    none: NormalQuadrature,
    mean: CubicSpline,
    soft: Option<CubicSpline>,
    scratch: Vec<f64>,
    fixed: Option<usize>,
    tolerance: f64,
    steps: usize,
    /// The next k at which the rule is checked, or the first with noise below it.
    next_check: Option<usize>,
    pub info: QuadratureInfo,
}

impl Smoother {
    /// For a chain of `steps` steps; `next` is any spline on the grid. `nodes` per axis, or `None` to choose.
    pub(crate) fn new(
        kind: Expectation,
        bellman: BellmanKind,
        nodes: Option<usize>,
        next: &CubicSpline,
        steps: usize,
        parallel: bool,
    ) -> Result<Self, PiFtError> {
        let dim = next.grid().dim();
        let first = nodes.unwrap_or(LADDER[0]);
        let chosen = nodes.is_none();
        Ok(Smoother {
            kind,
            smoothing: GaussianSmoothing::new(next.grid().clone(), next.extrapolation(), parallel),
            line: NormalQuadrature::new(1, first)?,
            tensor: tensor(kind, dim, first)?,
            none: NormalQuadrature::deterministic(dim),
            mean: next.clone(),
            soft: (bellman == BellmanKind::Soft && kind == Expectation::OnGrid).then(|| next.clone()),
            scratch: vec![0.0; next.grid().len()],
            fixed: nodes,
            tolerance: SHARE / (steps as f64).powi(2),
            steps,
            next_check: Some(steps),
            info: QuadratureInfo { nodes_per_axis: first, chosen, ..QuadratureInfo::default() },
        })
    }

    /// Take V_{k+1}: choose the rule where that is due, and smooth.
    pub(crate) fn prepare(
        &mut self,
        kernel: &Kernel,
        bellman: BellmanKind,
        values: &[f64],
        in_region: &[bool],
    ) -> Result<(), PiFtError> {
        if kernel.sigma > 0.0 && self.fixed.is_none() && self.next_check.is_some_and(|next| kernel.k <= next) {
            self.next_check = self.steps.checked_sub(2 * (self.steps - kernel.k));
            self.choose(kernel, bellman, values, in_region)?;
        }
        if self.kind == Expectation::AtPoints {
            return Ok(());
        }
        self.noise(kernel.sigma);
        self.smoothing.mean(values, &mut self.scratch)?;
        self.mean.set_values(&self.scratch)?;
        if let Some(soft) = &mut self.soft {
            self.smoothing.log_mean_exp(values, kernel.beta, &mut self.scratch)?;
            soft.set_values(&self.scratch)?;
        }
        Ok(())
    }

    /// G of the step prepared.
    pub(crate) fn view<'a>(&'a self, kernel: &Kernel, next: &'a CubicSpline) -> Smooth<'a> {
        match self.kind {
            Expectation::OnGrid => Smooth::OnGrid { mean: &self.mean, soft: self.soft.as_ref() },
            Expectation::AtPoints if kernel.sigma > 0.0 => Smooth::AtPoints { next, rule: &self.tensor },
            Expectation::AtPoints => Smooth::AtPoints { next, rule: &self.none },
        }
    }

    fn noise(&mut self, sigma: f64) {
        if sigma > 0.0 {
            self.smoothing.prepare(sigma, self.line.coord(0), self.line.weights());
        } else {
            self.smoothing.prepare(0.0, &[0.0], &[1.0]);
        }
    }

    fn choose(&mut self, kernel: &Kernel, bellman: BellmanKind, values: &[f64], in_region: &[bool]) -> Result<(), PiFtError> {
        let inside = || values.iter().zip(in_region).filter(|(_, inside)| **inside).map(|(v, _)| *v);
        let range = inside().fold(f64::NEG_INFINITY, f64::max) - inside().fold(f64::INFINITY, f64::min);
        let size = inside().fold(0.0, |m: f64, v| m.max(v.abs()));
        let interpolation = interpolation_error(self.mean.grid(), values, in_region);
        let tolerance = (self.tolerance * range).max(64.0 * f64::EPSILON * size).max(interpolation);
        let smoothed = |s: &mut Self, nodes: usize| -> Result<Vec<f64>, PiFtError> {
            s.line = NormalQuadrature::new(1, nodes)?;
            s.noise(kernel.sigma);
            let mut out = vec![0.0; values.len()];
            match bellman {
                BellmanKind::MeanShift => s.smoothing.mean(values, &mut out)?,
                BellmanKind::Soft => s.smoothing.log_mean_exp(values, kernel.beta, &mut out)?,
            }
            Ok(out)
        };
        let known = LADDER.iter().position(|n| *n >= self.info.nodes_per_axis).unwrap_or(0);
        let from = known.min(LADDER.len() - 2);
        let mut coarse = smoothed(self, LADDER[from])?;
        let mut taken = LADDER[known];
        let mut gap = f64::INFINITY;
        for pair in LADDER[from..].windows(2) {
            if fits(self.kind, self.mean.grid().dim(), pair[1]).is_none() {
                break;
            }
            let fine = smoothed(self, pair[1])?;
            let differences = coarse.iter().zip(&fine).zip(in_region).filter(|(_, inside)| **inside);
            gap = differences.fold(0.0, |m: f64, ((a, b), _)| m.max((a - b).abs()));
            if gap <= tolerance {
                taken = LADDER[known].max(pair[0]);
                break;
            }
            taken = pair[1];
            coarse = fine;
        }
        self.line = NormalQuadrature::new(1, taken)?;
        self.tensor = tensor(self.kind, self.mean.grid().dim(), taken)?;
        self.info.nodes_per_axis = taken;
        self.info.estimates.push(gap);
        self.info.tolerances.push(tolerance);
        self.info.interpolation.push(interpolation);
        self.info.checked_at.push(kernel.k);
        Ok(())
    }
}

/// Largest |fourth difference| / 384 along an axis whose middle node is in the region.
fn interpolation_error(grid: &TensorGrid, values: &[f64], in_region: &[bool]) -> f64 {
    let mut worst = 0.0f64;
    for (&nodes, &stride) in grid.shape().iter().zip(grid.strides()) {
        let inner = |j: usize| (2..nodes.saturating_sub(2)).contains(&(j / stride % nodes));
        for j in (0..values.len()).filter(|&j| in_region[j] && inner(j)) {
            let at = |i: usize| values[j + i * stride - 2 * stride];
            worst = worst.max((at(0) - 4.0 * at(1) + 6.0 * at(2) - 4.0 * at(3) + at(4)).abs());
        }
    }
    worst / 384.0
}

/// The tensor rule has at most 2^20 points.
fn fits(kind: Expectation, dim: usize, nodes: usize) -> Option<usize> {
    match kind {
        Expectation::OnGrid => Some(nodes),
        Expectation::AtPoints => nodes.checked_pow(u32::try_from(dim).ok()?).filter(|n| *n <= 1 << 20),
    }
}

fn tensor(kind: Expectation, dim: usize, nodes: usize) -> Result<NormalQuadrature, PiFtError> {
    match kind {
        Expectation::OnGrid => Ok(NormalQuadrature::deterministic(dim)),
        Expectation::AtPoints => NormalQuadrature::new(dim, nodes),
    }
}
