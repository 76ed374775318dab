//! The inner iteration of PI-FT: policy improvement with V_{k+1} frozen.
//!
//! One file per kind: [`Plain`](Inner::Plain) is the method of the paper, [`Damped`](Inner::Damped),
//! [`Anderson`](Inner::Anderson) and [`Newton`](Inner::Newton) are for steps that are too long for it, [`Auto`](Inner::Auto) chooses. All start at u^(0) = s_k and
//! have the same fixed point u*; they run on all nodes together, so an iterate is a policy and its value is the value of a policy.

mod anderson;
pub(crate) mod damped;
pub(crate) mod newton;
pub(crate) mod plain;

use crate::bellman::{Kernel, evaluate_shift};
use crate::block::{NodeBlock, Sup, Team};
use crate::error::PiFtError;
use crate::expectation::Smooth;
use serde::{Deserialize, Serialize};

pub(crate) use anderson::History;

/// Which inner iteration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inner {
    /// D^(m+1) = lam grad G(m + D^(m)); needs rho_k < 1.
    Plain,
    /// The same with the best constant damping for the curvature of V_{k+1}; needs only the convex side below 1.
    Damped,
    /// Newton with halving of steps that do not shrink the defect.
    Newton,
    /// Damped, accelerated from the last `depth` differences at each node (at most d are of use), safeguarded.
    Anderson {
        /// Differences kept; 0 is `Damped`.
        depth: usize,
    },
    /// Plain while rho_k < 1 over the grid, Newton otherwise and when plain is too slow for the tolerance.
    #[default]
    Auto,
}

/// When the inner iteration ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum InnerRule {
    /// m_k updates at every step. Zero gives the value of the pre-trained model.
    Fixed(usize),
    /// Until sup |u^(m+1) - u^(m)| <= tol max(1, sup |u^(m) - s|) over the grid, or until the defect |lam grad G - D| is rounding:
    /// 16 eps lam sup|V_{k+1}| / spacing, what the slope of a spline through values of that size cannot resolve. On fine grids
    /// (some 1e5 nodes on a line at the default) that comes first.
    Tolerance {
        /// Relative to the larger of 1 and the largest change of the score.
        tol: f64,
        /// Most updates; more is an error, not a loop.
        max: usize,
    },
    /// Until the error of the policy is below the square of the step: |lam grad G - D| / (1 - rho_+), a bound on |D^(m) - D*|
    /// for any iteration (I - lam D^2 G >= 1 - rho_+), in terms of u at most (1 - a_k)^2 max(1, sup |u^(m) - s|). 1 - a_k is the
    /// step in the time of the noise, int b. At least one update is made. Where rho_+ >= 1 over the grid the curvature of G met takes its place, an estimate.
    BelowStep {
        /// Most updates; more is an error.
        max: usize,
    },
}

impl Default for InnerRule {
    fn default() -> Self {
        InnerRule::Tolerance { tol: 1e-10, max: 100 }
    }
}

impl InnerRule {
    pub(crate) fn check(&self) -> Result<(), PiFtError> {
        match *self {
            InnerRule::Tolerance { tol, .. } if !(tol > 0.0 && tol < 1.0) => {
                Err(PiFtError::invalid("rule.tolerance.tol", tol, "between 0 and 1"))
            }
            InnerRule::BelowStep { max: 0 } => Err(PiFtError::invalid("rule.below_step.max", 0, "at least 1")),
            InnerRule::Tolerance { max: 0, .. } => Err(PiFtError::invalid("rule.tolerance.max", 0, "at least 1")),
            _ => Ok(()),
        }
    }
}

/// The iteration that is running at a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Running {
    Plain,
    Damped(f64),
    Newton,
    /// Damping and depth.
    Anderson(f64, usize),
}

impl Running {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Running::Plain => "plain",
            Running::Damped(_) => "damped",
            Running::Newton => "newton",
            Running::Anderson(..) => "anderson",
        }
    }

    fn choose(inner: Inner, rho_plus: f64, rho_minus: f64) -> Running {
        match inner {
            Inner::Plain => Running::Plain,
            Inner::Damped => Running::Damped(damped::weight(rho_plus.min(1.0), rho_minus)),
            Inner::Newton => Running::Newton,
            Inner::Anderson { depth } => Running::Anderson(damped::weight(rho_plus.min(1.0), rho_minus), depth),
            Inner::Auto if rho_plus.max(rho_minus) < 1.0 => Running::Plain,
            Inner::Auto => Running::Newton,
        }
    }
}

/// What the iteration reports of a step.
pub(crate) struct Outcome {
    pub running: Running,
    pub iterations: usize,
    /// sup |D^(m+1) - D^(m)| for m = 0, 1, ..., the last one proposed but not made.
    pub updates: Vec<Sup>,
    /// sup |lam grad G - D^(m)|.
    pub defects: Vec<Sup>,
    /// Bound on sup |D^(m) - D*| of the last iterate.
    pub error_bound: f64,
    /// Largest |D^(m)| met, the scale of the updates.
    pub scale: Sup,
}

/// Called with m and every iterate D^(m), its value known.
pub(crate) type Observer<'a> = dyn FnMut(usize, &[NodeBlock]) -> Result<(), PiFtError> + 'a;

/// What the iteration works with at a step.
pub(crate) struct Problem<'a> {
    pub kernel: Kernel,
    pub smooth: Smooth<'a>,
    pub team: &'a Team,
    /// D = this times (u - s).
    pub shift_per_control: f64,
    /// 1 - a_k.
    pub step: f64,
    /// Rounding of lam grad G.
    pub rounding: f64,
    /// Quadrature nodes, where they were given.
    pub quadrature_nodes: Option<usize>,
    /// lam times the extreme curvatures of V_{k+1} over the grid.
    pub rho_plus: f64,
    pub rho_minus: f64,
}

impl Problem<'_> {
    /// Iterate from D = 0 until the rule is met.
    pub(crate) fn iterate(
        &self,
        blocks: &mut [NodeBlock],
        inner: Inner,
        rule: InnerRule,
        seen: &mut Observer<'_>,
    ) -> Result<Outcome, PiFtError> {
        let lam = self.kernel.lam;
        let untouched = rule == InnerRule::Fixed(0);
        let mut running = if untouched { Running::Plain } else { Running::choose(inner, self.rho_plus, self.rho_minus) };
        let mut limit = match rule {
            InnerRule::Fixed(m) => m,
            InnerRule::Tolerance { max, .. } | InnerRule::BelowStep { max } => max,
        };
        let mut updates: Vec<Sup> = Vec::new();
        let mut defects: Vec<Sup> = Vec::new();
        let mut error_bound;
        let mut scale = Sup::default();
        let mut m = 0;
        loop {
            // One parallel region per iterate: a step is short, and waking threads costs as much as a few hundred evaluations.
            self.team.each(blocks, |block| {
                if m > 0 {
                    block.apply_update();
                }
                evaluate_shift(block, &self.kernel, self.smooth);
                self.propose(block, running);
            });
            if m == 0 {
                check_finite(blocks, self.kernel.k)?;
                if !untouched {
                    self.check_concave(blocks)?;
                }
            }
            seen(m, blocks)?;
            if lam == 0.0 {
                let none = vec![Sup::default()];
                return Ok(Outcome { running, iterations: 0, updates: none.clone(), defects: none, error_bound: 0.0, scale });
            }
            self.check_refused(blocks)?;
            let mut update = Sup::default();
            let mut shift = Sup::default();
            let mut defect = Sup::default();
            for block in blocks.iter() {
                update.join(block.update_sup);
                shift.join(block.shift_sup);
                defect.join(block.defect_sup);
            }
            scale.join(shift);
            updates.push(update);
            defects.push(defect);
            error_bound = defect.all / (1.0 - self.convexity(blocks));
            let tolerance = match rule {
                InnerRule::Fixed(n) if m == n => break,
                InnerRule::Fixed(_) => 0.0,
                InnerRule::Tolerance { tol, .. } => tol * self.shift_per_control.max(shift.all),
                InnerRule::BelowStep { .. } => self.step * self.step * self.shift_per_control.max(shift.all),
            };
            // an Anderson step that is being taken back may be short by accident: its defect must be small too
            let reached = match rule {
                InnerRule::Fixed(_) => false,
                InnerRule::Tolerance { .. } => {
                    let taken_back = if let Running::Anderson(w, _) = running { w * defect.all } else { 0.0 };
                    update.all.max(taken_back) <= tolerance || defect.all <= self.rounding
                }
                InnerRule::BelowStep { .. } => m > 0 && error_bound <= tolerance,
            };
            if reached {
                break;
            }
            let first = updates[0].all;
            let lost = !update.all.is_finite() || update.all > 1e3 * first.max(self.shift_per_control);
            if lost || m == limit {
                if inner == Inner::Auto && running == Running::Plain {
                    // Slower than its bound promised, or the bound was below 1 only by the grid: start again with Newton.
                    running = Running::Newton;
                    limit = m + limit.max(1);
                    if lost {
                        self.team.each(blocks, NodeBlock::restart);
                    } else {
                        self.team.each(blocks, |block| self.propose(block, running));
                        self.check_refused(blocks)?;
                    }
                } else {
                    let before = if m > 0 { updates[m - 1].all } else { f64::NAN };
                    return Err(PiFtError::NoConvergence {
                        step: self.kernel.k,
                        method: running.name(),
                        iterations: m,
                        update: update.all / self.shift_per_control,
                        tolerance: tolerance / self.shift_per_control,
                        contraction: update.all / before,
                        rho: self.rho_plus.max(self.rho_minus),
                    });
                }
            }
            m += 1;
        }
        if m > 0 {
            check_finite(blocks, self.kernel.k)?;
            self.check_concave(blocks)?;
        }
        Ok(Outcome { running, iterations: m, updates, defects, error_bound, scale })
    }

    /// Write the next update into the block.
    fn propose(&self, block: &mut NodeBlock, running: Running) {
        let lam = self.kernel.lam;
        match running {
            Running::Plain => plain::propose(block, lam),
            Running::Damped(w) => damped::propose(block, lam, w),
            Running::Anderson(w, depth) => anderson::propose(block, lam, (w, depth), self.rounding),
            Running::Newton => block.refused = newton::propose(block, lam).is_err(),
        }
        block.meet(lam);
        block.defect_sup = block.defect(lam);
        block.update_sup = block.sup_norm(&block.update);
        block.shift_sup = block.sup_norm(&block.shift);
    }

    /// Upper bound on lam lambda_max(D^2 G), below 1: over the grid, or where that says nothing at the points met.
    fn convexity(&self, blocks: &[NodeBlock]) -> f64 {
        if self.rho_plus < 1.0 {
            return self.rho_plus;
        }
        let met = blocks.iter().map(|b| b.steepest(self.kernel.lam).1).fold(0.0, f64::max);
        met.min(1.0 - f64::EPSILON)
    }

    /// Refuse when Newton met a node where I - lam D^2 G is not positive definite.
    fn check_refused(&self, blocks: &[NodeBlock]) -> Result<(), PiFtError> {
        match blocks.iter().find(|b| b.refused) {
            Some(block) => {
                let (node, steepness) = block.steepest(self.kernel.lam);
                Err(self.ill_posed(block, node, steepness))
            }
            None => Ok(()),
        }
    }

    /// Refuse when lam lambda_max(D^2 G) >= 1 at a node: the one-step problem is not concave there.
    pub(crate) fn check_concave(&self, blocks: &[NodeBlock]) -> Result<(), PiFtError> {
        let mut worst: Option<(&NodeBlock, usize, f64)> = None;
        for block in blocks {
            let (node, steepness) = block.steepest(self.kernel.lam);
            if steepness >= 1.0 && worst.is_none_or(|(_, _, s)| steepness > s) {
                worst = Some((block, node, steepness));
            }
        }
        worst.map_or(Ok(()), |(block, node, steepness)| Err(self.ill_posed(block, node, steepness)))
    }

    fn ill_posed(&self, block: &NodeBlock, node: usize, steepness: f64) -> PiFtError {
        PiFtError::IllPosed {
            step: self.kernel.k,
            point: block.node(node),
            lam_times_curvature: steepness,
            beta: self.kernel.beta,
            quadrature_nodes: self.quadrature_nodes,
        }
    }
}

/// Refuse values, means or gradients that are not finite.
pub(crate) fn check_finite(blocks: &[NodeBlock], k: usize) -> Result<(), PiFtError> {
    for block in blocks {
        let n = block.len();
        let named: [(&'static str, &[f64]); 4] = [
            ("score", block.score.data()),
            ("shift D", block.shift.data()),
            ("value", &block.value),
            ("gradient of E V", block.gradient.data()),
        ];
        for (quantity, data) in named {
            if let Some(at) = data.iter().position(|v| !v.is_finite()) {
                return Err(PiFtError::NonFinite { step: k, quantity, value: data[at], point: block.node(at % n) });
            }
        }
    }
    Ok(())
}
