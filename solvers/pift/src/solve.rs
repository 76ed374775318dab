//! PI-FT: backward in time over the chain, at every step a policy iteration with V_{k+1} frozen.
//!
//! ```text
//!   V_N = r;  for k = N-1, ..., 0:   u_k from the inner iteration started at s_k,   V_k = value of u_k against V_{k+1}.
//! ```
//!
//! On a tensor grid, V_{k+1} between the nodes by a cubic spline and expectations by Gauss-Hermite, smoothed on the grid axis by
//! axis or taken at every point (see [`Expectation`]). Linear convergence of the
//! inner iteration with factor rho_k = sig_k^2 Lip(grad V_{k+1}) / beta_k; against the continuous problem max_k |V_k - V(t_k)| and
//! the same for the controls are O(h), in sup over compact sets. The spatial error is that of a spline per step: keep the grid fine
//! enough that it stays below the error in time. Cost per step on the grid: nodes x (d q + updates + 1) spline evaluations; at the
//! points nodes x q^d x (updates + 1).
//! A solver of the continuous equation (the hjb crate) is the better choice when only the continuous limit is wanted.
//!
//! Reference: Han, Razaviyayn, Xu, *Stochastic Control for Fine-tuning Diffusion Models: Optimality, Regularity, and Convergence*
//! (arXiv:2412.18164).

use crate::bellman::{BellmanKind, Kernel, evaluate_soft};
use crate::block::{Curvature, NodeBlock, Sup, Team};
use crate::ddpm::{Ddpm, DdpmStep};
use crate::error::PiFtError;
use crate::expectation::{Expectation, Smoother};
use crate::info::{IterateInfo, PiFtInfo, RegularityInfo, RewardInfo, StepInfo, contraction, over_region, rate, value_exponent};
use crate::inner::{Inner, InnerRule, Outcome, Problem, Running, check_finite};
use crate::params::PiFtParams;
use crate::regularity::Regularity;
use crate::solution::{PiFtSolution, StepView};
use hjbridge_model::{CubicSpline, TensorGrid};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// PI-FT for a chain on a grid.
pub struct PiFt<'a> {
    ddpm: &'a Ddpm<'a>,
    grid: Arc<TensorGrid>,
    params: PiFtParams,
    in_region: Vec<bool>,
    /// Smallest distance of two nodes on an axis.
    spacing: f64,
    team: Team,
    interrupt: Option<&'a AtomicBool>,
}

/// Rounding of the slope of a spline through values of size v at distance dx, in units of eps v / dx; 5 was seen.
const ROUNDING: f64 = 16.0;
/// Below this many evaluations (0.4 ms) the calling thread works alone: to wake others takes as long as they would save.
const SHORT: usize = 1 << 14;

/// The slices of the current step over the whole grid.
#[derive(Clone)]
struct Slices {
    value: Vec<f64>,
    control: Vec<f64>,
    shift: Vec<f64>,
    score: Vec<f64>,
}

/// Regularity of V_{k+1}, and the scratch to find that of V_k.
struct Tracker {
    regularity: Regularity,
    value: f64,
    gradient: f64,
    iterates: Vec<Iterate>,
}

/// u^(m) and V^(m) over the region (u component by component), and Lip V^(m), Lip grad V^(m), Lip u^(m).
struct Iterate {
    m: usize,
    value: Vec<f64>,
    control: Vec<f64>,
    lipschitz: [f64; 3],
}

impl<'a> PiFt<'a> {
    /// PI-FT for `ddpm` on `grid`.
    ///
    /// # Errors
    /// `Invalid` for parameters out of range or a grid of another dimension, `Model` for a region without nodes.
    pub fn new(ddpm: &'a Ddpm<'a>, grid: Arc<TensorGrid>, params: PiFtParams) -> Result<Self, PiFtError> {
        let dim = ddpm.dim();
        if grid.dim() != dim {
            return Err(PiFtError::invalid("grid.dim", grid.dim(), format!("{dim}, the dimension of the chain")));
        }
        params.check(dim)?;
        let in_region = match &params.region {
            Some(region) => grid.region_mask(region)?,
            None => vec![true; grid.len()],
        };
        if !in_region.contains(&true) {
            return Err(PiFtError::invalid("region", "no node", "a region that contains a node of the grid"));
        }
        let team = match params.threads {
            0 => Team::Shared,
            1 => Team::Caller,
            n => Team::Own(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(n)
                    .build()
                    .map_err(|e| PiFtError::invalid("threads", n, format!("a number of threads the system gives ({e})")))?,
            ),
        };
        let gaps = grid.axes().iter().flat_map(|axis| axis.nodes().windows(2).map(|w| w[1] - w[0]));
        let spacing = gaps.fold(f64::INFINITY, f64::min);
        Ok(PiFt { ddpm, grid, params, in_region, spacing, team, interrupt: None })
    }

    /// Stop with [`PiFtError::Interrupted`] once this flag is set; it is read at every step of the chain.
    pub fn with_interrupt(mut self, flag: Option<&'a AtomicBool>) -> Self {
        self.interrupt = flag;
        self
    }

    /// Sweep backward and keep the slices that the storage asks for.
    ///
    /// # Errors
    /// `IllPosed`, `NoConvergence`, `NonFinite`, each with the step and the numbers.
    pub fn solve(&self) -> Result<PiFtSolution, PiFtError> {
        let steps = self.ddpm.steps();
        let mut kept = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let info = self.solve_observed(&mut |view| {
            if !self.params.storage.keeps(view.k, steps) {
                return;
            }
            kept.0.push(view.k);
            kept.1.push(view.t);
            kept.2.push(view.value.to_vec());
            kept.3.extend(view.control.map(<[f64]>::to_vec));
            kept.4.extend(view.shift.map(<[f64]>::to_vec));
        })?;
        let (mut steps, mut times, mut values, mut controls, mut shifts) = kept;
        steps.reverse();
        times.reverse();
        values.reverse();
        controls.reverse();
        shifts.reverse();
        Ok(PiFtSolution { grid: self.grid.clone(), steps, times, values, controls, shifts, info })
    }

    /// Sweep backward without keeping anything; `observe` sees every k, V_N first.
    ///
    /// # Errors
    /// As [`PiFt::solve`].
    pub fn solve_observed(&self, observe: &mut dyn FnMut(StepView<'_>)) -> Result<PiFtInfo, PiFtError> {
        let (n, d, steps) = (self.grid.len(), self.ddpm.dim(), self.ddpm.steps());
        let nodes = self.grid.points();
        let vectors = || vec![0.0; n * d];
        let mut slices = Slices { value: vec![0.0; n], control: vectors(), shift: vectors(), score: vectors() };
        self.ddpm.reward().value(nodes.as_points(), &mut slices.value);
        if let Some(at) = slices.value.iter().position(|v| !v.is_finite()) {
            let mut point = vec![0.0; d];
            self.grid.node(at, &mut point);
            return Err(PiFtError::NonFinite { step: steps, quantity: "reward", value: slices.value[at], point });
        }
        let mut next = CubicSpline::new(self.grid.clone(), &slices.value, self.params.extrapolation)?;
        let mut blocks = NodeBlock::cut(nodes.as_points(), &self.in_region);
        let mut smoother = Smoother::new(
            self.params.expectation,
            self.params.bellman,
            self.params.quadrature_nodes,
            &next,
            steps,
            self.params.threads != 1 && n >= SHORT / 4,
        )?;
        let mut tracker = self.params.track.then(|| Tracker::new(&self.in_region, &next, &slices.value)).transpose()?;
        let reward = tracker.as_ref().map(|t| RewardInfo { lipschitz: t.value, lipschitz_gradient: t.gradient });
        observe(StepView { k: steps, t: self.ddpm.horizon(), value: &slices.value, control: None, shift: None, info: None });
        let mut infos = Vec::with_capacity(steps);
        for k in (0..steps).rev() {
            if self.interrupt.is_some_and(|flag| flag.load(Ordering::Relaxed)) {
                return Err(PiFtError::Interrupted { step: k });
            }
            let step = self.ddpm.at(k);
            let info = self.step(&step, &next, &mut smoother, &mut blocks, &mut slices, tracker.as_mut())?;
            observe(StepView {
                k,
                t: step.time,
                value: &slices.value,
                control: Some(&slices.control),
                shift: Some(&slices.shift),
                info: Some(&info),
            });
            infos.push(info);
            if k > 0 {
                next.set_values(&slices.value)?;
            }
        }
        infos.reverse();
        let q = smoother.info.nodes_per_axis;
        let quadrature_points = match self.params.expectation {
            Expectation::OnGrid => d * q,
            Expectation::AtPoints => q.pow(d as u32),
        };
        Ok(PiFtInfo { nodes: n, quadrature_points, quadrature: smoother.info, reward, steps: infos })
    }

    /// One Bellman step: blocks, slices and the report of step k.
    fn step(
        &self,
        step: &DdpmStep<'_>,
        next: &CubicSpline,
        smoother: &mut Smoother,
        blocks: &mut [NodeBlock],
        slices: &mut Slices,
        mut tracker: Option<&mut Tracker>,
    ) -> Result<StepInfo, PiFtError> {
        let kernel = Kernel::from(step);
        self.team.install(|| smoother.prepare(&kernel, self.params.bellman, &slices.value, &self.in_region))?;
        let smooth = smoother.view(&kernel, next);
        let team = match self.grid.len() * smooth.evaluations() {
            short if short < SHORT => &Team::Caller,
            _ => &self.team,
        };
        team.each(blocks, |block| block.begin(step, next));
        let mut curvature = Curvature::default();
        for block in blocks.iter() {
            curvature.plus.join(block.curvature.plus);
            curvature.minus.join(block.curvature.minus);
        }
        let per_control = step.shift_per_control();
        let size = slices.value.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        let problem = Problem {
            kernel,
            smooth,
            team,
            shift_per_control: per_control,
            step: 1.0 - step.alpha,
            rounding: ROUNDING * f64::EPSILON * kernel.lam * size / self.spacing,
            quadrature_nodes: self.params.quadrature_nodes,
            rho_plus: curvature.plus.all,
            rho_minus: curvature.minus.all,
        };
        let outcome = match self.params.bellman {
            BellmanKind::Soft => {
                team.each(blocks, |block| evaluate_soft(block, &kernel, smooth));
                check_finite(blocks, kernel.k)?;
                problem.check_concave(blocks)?;
                None
            }
            BellmanKind::MeanShift => {
                let mut seen = |m: usize, blocks: &[NodeBlock]| match tracker.as_deref_mut() {
                    Some(tracker) => {
                        slices.gather(blocks, per_control);
                        tracker.record(m, slices)
                    }
                    None => Ok(()),
                };
                Some(problem.iterate(blocks, self.params.inner, self.params.rule, &mut seen)?)
            }
        };
        slices.gather(blocks, per_control);
        let mut met = Curvature::default();
        for block in blocks.iter() {
            met.plus.join(block.met.plus);
            met.minus.join(block.met.minus);
        }
        let (rho_plus, rho_minus) = over_region(&curvature, &met);
        let (largest, first) = outcome.as_ref().map_or((None, None), |o| contraction(&o.updates, o.scale));
        let mut info = StepInfo {
            k: kernel.k,
            t: step.time,
            alpha: step.alpha,
            sigma: step.sigma,
            kl_weight: step.kl_weight,
            method: outcome.as_ref().map_or("soft", |o| o.running.name()),
            damping: outcome.as_ref().and_then(|o| match o.running {
                Running::Damped(w) | Running::Anderson(w, _) => Some(w),
                _ => None,
            }),
            iterations: outcome.as_ref().map_or(0, |o| o.iterations),
            rho: rho_plus.max(rho_minus),
            rho_plus,
            rho_minus,
            contraction: largest,
            first_ratio: first,
            rate: outcome.as_ref().and_then(|o| rate(&o.defects, o.scale)),
            error_bound: outcome.as_ref().map_or(0.0, |o| o.error_bound) / per_control,
            value_exponent: None,
            last_update: last_update(outcome.as_ref()) / per_control,
            means_outside: blocks.iter().map(|b| next.count_outside(b.mean.as_points())).sum(),
            iterates: Vec::new(),
            regularity: None,
        };
        if let Some(tracker) = tracker {
            // what the iterates should have come to; the last of them when they ended by their tolerance
            let ended = outcome.is_none() || matches!(self.params.rule, InnerRule::Tolerance { .. }) || kernel.lam == 0.0;
            let converged = ended || {
                team.each(blocks, NodeBlock::restart);
                problem.iterate(blocks, Inner::Auto, InnerRule::default(), &mut |_, _| Ok(())).is_ok()
            };
            let updates = outcome.map_or(Vec::new(), |o| o.updates);
            tracker.finish(step, slices, converged.then_some(&*blocks), &updates, &mut info)?;
        }
        Ok(info)
    }
}

fn last_update(outcome: Option<&Outcome>) -> f64 {
    outcome.and_then(|o| o.updates.last()).map_or(0.0, |u: &Sup| u.all)
}

impl Slices {
    /// Copy value, score and shift out of the blocks; u = s + D sqrt(a)/(1-a).
    fn gather(&mut self, blocks: &[NodeBlock], per_control: f64) {
        let n = self.value.len();
        for block in blocks {
            let range = block.start..block.start + block.len();
            self.value[range.clone()].copy_from_slice(&block.value);
            for i in 0..block.dim {
                let own = i * n + range.start..i * n + range.end;
                self.shift[own.clone()].copy_from_slice(block.shift.coord(i));
                self.score[own.clone()].copy_from_slice(block.score.coord(i));
                for ((u, s), d) in self.control[own].iter_mut().zip(block.score.coord(i)).zip(block.shift.coord(i)) {
                    *u = s + d / per_control;
                }
            }
        }
    }
}

impl Tracker {
    fn new(in_region: &[bool], terminal: &CubicSpline, reward: &[f64]) -> Result<Self, PiFtError> {
        let nodes = in_region.iter().enumerate().filter_map(|(j, &inside)| inside.then_some(j)).collect();
        let mut regularity = Regularity::new(nodes, terminal);
        let value = regularity.lipschitz(reward)?;
        let gradient = regularity.lipschitz_gradient(reward)?;
        Ok(Tracker { regularity, value, gradient, iterates: Vec::new() })
    }

    /// Remember iterate m.
    fn record(&mut self, m: usize, slices: &Slices) -> Result<(), PiFtError> {
        let r = &mut self.regularity;
        let lipschitz = [r.lipschitz(&slices.value)?, r.lipschitz_gradient(&slices.value)?, r.lipschitz(&slices.control)?];
        let (value, control) = (self.over_region(&slices.value), self.over_region(&slices.control));
        self.iterates.push(Iterate { m, value, control, lipschitz });
        Ok(())
    }

    /// The region's part of one or several components.
    fn over_region(&self, data: &[f64]) -> Vec<f64> {
        let components = data.chunks_exact(self.regularity.grid_nodes());
        components.flat_map(|c| self.regularity.nodes().iter().map(|&j| c[j])).collect()
    }

    /// Write the iterates and the regularity of V_k with its bounds, and keep the latter for the next step.
    /// `blocks` hold the converged policy, if there is one; else the last iterate stands for it.
    fn finish(
        &mut self,
        step: &DdpmStep<'_>,
        slices: &Slices,
        blocks: Option<&[NodeBlock]>,
        updates: &[Sup],
        info: &mut StepInfo,
    ) -> Result<(), PiFtError> {
        let per_control = step.shift_per_control();
        let mut best = slices.clone();
        if let Some(blocks) = blocks {
            best.gather(blocks, per_control);
        }
        let (best_value, best_control) = (self.over_region(&best.value), self.over_region(&best.control));
        let nodes = best_value.len();
        let scale = best_value.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        for (Iterate { m, value, control, lipschitz }, update) in self.iterates.drain(..).zip(updates) {
            let value_gap = value.iter().zip(&best_value).fold(0.0, |gap: f64, (a, b)| gap.max((a - b).abs()));
            let square =
                |j: usize| (j..control.len()).step_by(nodes).map(|c| (control[c] - best_control[c]).powi(2)).sum::<f64>();
            let control_gap = (0..nodes).map(square).fold(0.0, f64::max).sqrt();
            let [lipschitz_value, lipschitz_gradient, lipschitz_control] = lipschitz;
            let update = update.region / per_control;
            info.iterates.push(IterateInfo {
                m,
                update,
                lipschitz_value,
                lipschitz_control,
                lipschitz_gradient,
                control_gap,
                value_gap,
            });
        }
        info.value_exponent = value_exponent(&info.iterates, scale);
        let score = self.regularity.lipschitz(&slices.score)?;
        let score_gradient = self.regularity.lipschitz_gradient(&slices.score)?;
        let (gain, root) = (1.0 - step.alpha, step.alpha.sqrt());
        let mean_map = (1.0 + gain * score) / root;
        let gradient_bound = (info.rho < 1.0)
            .then(|| mean_map.powi(2) * self.gradient / (1.0 - info.rho) + self.value * gain * score_gradient / root);
        let control_bound = (info.rho < 1.0).then(|| score + info.rho * mean_map / ((1.0 - info.rho) * per_control));
        let value_bound = mean_map * self.value;
        self.value = self.regularity.lipschitz(&slices.value)?;
        self.gradient = self.regularity.lipschitz_gradient(&slices.value)?;
        info.regularity = Some(RegularityInfo {
            score,
            score_gradient,
            mean_map,
            value: self.value,
            value_bound,
            gradient: self.gradient,
            gradient_bound,
            control_bound,
        });
        Ok(())
    }
}
