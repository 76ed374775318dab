//! A fixed run of grid nodes with everything the one-step problem needs there. Blocks do not share anything, so they are worked
//! on in parallel, and they are always cut at the same nodes, so results do not depend on the number of threads.

use crate::ddpm::DdpmStep;
use crate::inner::History;
use crate::symmetric::eigenvalue_range;
use hjbridge_model::{CubicSpline, PointBlock, Points};
use rayon::prelude::*;

/// Nodes per block.
pub(crate) const BLOCK: usize = 64;

/// Largest absolute values over a block, over all its nodes and over those of the tracked region.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sup {
    pub all: f64,
    pub region: f64,
}

impl Sup {
    /// NaN wins, so that it is seen.
    pub(crate) fn take(&mut self, value: f64, in_region: bool) {
        if value > self.all || value.is_nan() {
            self.all = value;
        }
        if in_region && (value > self.region || value.is_nan()) {
            self.region = value;
        }
    }

    pub(crate) fn join(&mut self, other: Sup) {
        self.take(other.all, false);
        if other.region > self.region || other.region.is_nan() {
            self.region = other.region;
        }
    }
}

/// lam times the curvature of V_{k+1}: positive part of the largest eigenvalue, and of minus the smallest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Curvature {
    pub plus: Sup,
    pub minus: Sup,
}

/// The nodes `start .. start + len` of the grid.
pub(crate) struct NodeBlock {
    pub start: usize,
    pub dim: usize,
    pub nodes: PointBlock,
    pub in_region: Vec<bool>,
    /// s_k at the nodes.
    pub score: PointBlock,
    /// m_k at the nodes.
    pub mean: PointBlock,
    /// D^(m).
    pub shift: PointBlock,
    /// The next update D^(m+1) - D^(m).
    pub update: PointBlock,
    /// G(m + D) - |D|^2 / (2 lam), or the soft value.
    pub value: Vec<f64>,
    /// grad G(m + D).
    pub gradient: PointBlock,
    /// D^2 G(m + D), d x d, symmetric.
    pub hessian: PointBlock,
    /// Newton's bookkeeping: |lam grad G - D| at the last accepted iterate, and the fraction of the step taken from there.
    pub accepted_residual: Vec<f64>,
    pub fraction: Vec<f64>,
    /// Newton found I - lam D^2 G not positive definite at a node.
    pub refused: bool,
    /// Anderson's differences.
    pub history: History,
    /// Sup norms of `update`, of `shift` and of the defect lam grad G - D.
    pub update_sup: Sup,
    pub shift_sup: Sup,
    pub defect_sup: Sup,
    /// Quadrature scratch: points z + sig x_q, V and grad V there.
    pub query: PointBlock,
    pub query_value: Vec<f64>,
    pub query_gradient: PointBlock,
    /// V at every quadrature point, for the soft value only.
    pub soft_values: Vec<f64>,
    /// lam times the eigenvalues of D^2 V_{k+1} at the nodes.
    pub curvature: Curvature,
    /// The same of D^2 G where the iterates took the region's nodes, which may be outside the region.
    pub met: Curvature,
}

impl NodeBlock {
    fn new(start: usize, nodes: PointBlock, in_region: Vec<bool>) -> Self {
        let (dim, len) = (nodes.dim(), nodes.len());
        let vectors = || PointBlock::zeros(dim, len);
        NodeBlock {
            start,
            dim,
            nodes,
            in_region,
            score: vectors(),
            mean: vectors(),
            shift: vectors(),
            update: vectors(),
            value: vec![0.0; len],
            gradient: vectors(),
            hessian: PointBlock::zeros(dim * dim, len),
            accepted_residual: vec![f64::INFINITY; len],
            fraction: vec![1.0; len],
            refused: false,
            history: History::default(),
            update_sup: Sup::default(),
            shift_sup: Sup::default(),
            defect_sup: Sup::default(),
            query: vectors(),
            query_value: vec![0.0; len],
            query_gradient: vectors(),
            soft_values: Vec::new(),
            curvature: Curvature::default(),
            met: Curvature::default(),
        }
    }

    /// Cut the grid into blocks.
    pub(crate) fn cut(nodes: Points<'_>, in_region: &[bool]) -> Vec<NodeBlock> {
        let dim = nodes.dim();
        (0..nodes.len())
            .step_by(BLOCK)
            .map(|start| {
                let range = start..(start + BLOCK).min(nodes.len());
                let mut own = PointBlock::zeros(dim, range.len());
                let window = nodes.window(range.clone());
                for i in 0..dim {
                    own.as_mut().coord_mut(i).copy_from_slice(window.coord(i));
                }
                NodeBlock::new(start, own, in_region[range].to_vec())
            })
            .collect()
    }

    /// Number of nodes.
    pub(crate) fn len(&self) -> usize {
        self.value.len()
    }

    /// Score, kernel mean and curvature of V_{k+1} at the nodes; u^(0) = s_k, that is D = 0.
    pub(crate) fn begin(&mut self, step: &DdpmStep<'_>, next: &CubicSpline) {
        step.score(self.nodes.as_points(), self.score.as_mut());
        self.mean.data_mut().copy_from_slice(self.score.data());
        step.controlled_mean_in_place(self.nodes.as_points(), self.mean.as_mut());
        self.restart();
        let lam = step.lambda();
        next.hessian(self.nodes.as_points(), self.hessian.as_mut());
        (self.curvature, self.met) = (Curvature::default(), Curvature::default());
        let mut matrix = vec![0.0; self.dim * self.dim];
        for j in 0..self.len() {
            self.hessian.as_points().copy_point(j, &mut matrix);
            let (low, high) = eigenvalue_range(self.dim, &matrix);
            self.curvature.plus.take(lam * high.max(0.0), self.in_region[j]);
            self.curvature.minus.take(lam * (-low).max(0.0), self.in_region[j]);
        }
    }

    /// Take up lam times the eigenvalues of D^2 G at m + D of the region's nodes, after an evaluation.
    pub(crate) fn meet(&mut self, lam: f64) {
        let mut matrix = vec![0.0; self.dim * self.dim];
        for j in (0..self.len()).filter(|&j| self.in_region[j]) {
            self.hessian.as_points().copy_point(j, &mut matrix);
            let (low, high) = eigenvalue_range(self.dim, &matrix);
            self.met.plus.take(lam * high.max(0.0), true);
            self.met.minus.take(lam * (-low).max(0.0), true);
        }
    }

    /// Back to D = 0, with no update pending.
    pub(crate) fn restart(&mut self) {
        self.shift.data_mut().fill(0.0);
        self.update.data_mut().fill(0.0);
        self.accepted_residual.fill(f64::INFINITY);
        self.fraction.fill(1.0);
        self.refused = false;
        self.history.clear();
    }

    /// The coordinates of node j of the block.
    pub(crate) fn node(&self, j: usize) -> Vec<f64> {
        let mut point = vec![0.0; self.dim];
        self.nodes.as_points().copy_point(j, &mut point);
        point
    }

    /// The largest lam lambda_max(D^2 G) and its node, after an evaluation.
    pub(crate) fn steepest(&self, lam: f64) -> (usize, f64) {
        let mut matrix = vec![0.0; self.dim * self.dim];
        let mut worst = (0, f64::NEG_INFINITY);
        for j in 0..self.len() {
            self.hessian.as_points().copy_point(j, &mut matrix);
            let (_, high) = eigenvalue_range(self.dim, &matrix);
            if lam * high > worst.1 {
                worst = (j, lam * high);
            }
        }
        worst
    }

    /// Sup over the nodes of the Euclidean norm of a vector per node.
    pub(crate) fn sup_norm(&self, vectors: &PointBlock) -> Sup {
        let mut sup = Sup::default();
        for j in 0..self.len() {
            let square: f64 = (0..self.dim).map(|i| vectors.coord(i)[j].powi(2)).sum();
            sup.take(square.sqrt(), self.in_region[j]);
        }
        sup
    }

    /// Sup over the nodes of |lam grad G - D|.
    pub(crate) fn defect(&self, lam: f64) -> Sup {
        let mut sup = Sup::default();
        for j in 0..self.len() {
            let square: f64 = (0..self.dim).map(|i| (lam * self.gradient.coord(i)[j] - self.shift.coord(i)[j]).powi(2)).sum();
            sup.take(square.sqrt(), self.in_region[j]);
        }
        sup
    }

    /// D <- D + update.
    pub(crate) fn apply_update(&mut self) {
        for (d, u) in self.shift.data_mut().iter_mut().zip(self.update.data()) {
            *d += u;
        }
    }
}

/// Who works on the blocks.
pub(crate) enum Team {
    Caller,
    Shared,
    Own(rayon::ThreadPool),
}

impl Team {
    /// Run `work` where rayon's parallel loops take this team's threads.
    pub(crate) fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match self {
            Team::Own(pool) => pool.install(work),
            Team::Caller | Team::Shared => work(),
        }
    }

    /// Run `work` on every block.
    pub(crate) fn each(&self, blocks: &mut [NodeBlock], work: impl Fn(&mut NodeBlock) + Send + Sync) {
        match self {
            _ if blocks.len() == 1 => blocks.iter_mut().for_each(work),
            Team::Caller => blocks.iter_mut().for_each(work),
            Team::Shared => blocks.par_iter_mut().for_each(work),
            Team::Own(pool) => pool.install(|| blocks.par_iter_mut().for_each(work)),
        }
    }
}
