//! Maximisation of the discrete Hamiltonian where it does not split over the axes: finite control sets, any running cost,
//! G and R with entries off the diagonal, more controls than coordinates. The methods are in `controls/`; this file cuts
//! the grid into blocks for them and assembles the operator of the policy they find.

use crate::controls::{Block, Controls, Cost, Coupled, Fault, FiniteSet, Refined, SearchParams, Slopes, Work};
use crate::error::HjbError;
use crate::hamiltonian::{Hamiltonian, Operator, Policy};
use crate::space::{Kernel, Slope};
use hjbridge_model::{Coefficients, ControlCost, PointBlock, Points, PointsMut};
use rayon::prelude::*;

/// Nodes in a block: the working arrays of one stay in the nearest caches.
const BLOCK: usize = 256;

/// Grids with fewer nodes are not worth a second thread.
const SERIAL_BELOW: usize = 2048;

/// Differences of H up to this many roundings of its terms do not count.
const ROUNDINGS: f64 = 32.0;

/// How the best control is found.
enum Method {
    Finite(FiniteSet),
    Refined(Refined),
    Coupled(Coupled),
}

/// A search for the best control, with arrays over the nodes.
pub(crate) struct Search<'a> {
    method: Method,
    /// The model at the current time.
    at: Option<Box<dyn Coefficients + 'a>>,
    t: f64,
    /// Differences to the neighbours on each axis.
    below: Vec<Vec<f64>>,
    above: Vec<Vec<f64>>,
    /// Central, upward and downward quotients on each axis; for fitting central quotient and second difference.
    quotients: Vec<[Vec<f64>; 3]>,
    /// Whether G_ik and R_kl vanish at all nodes.
    idle: Vec<bool>,
    idle_weight: Vec<bool>,
    /// mu, d x n, and c(v).
    room: (Vec<f64>, Vec<f64>),
    /// Controls all over the set, whose costs tell the size of c.
    samples: Vec<Vec<f64>>,
    cost_sup: f64,
    work: Work,
    fault: Option<HjbError>,
}

/// Most controls of a finite set among the samples.
const SAMPLES: usize = 64;

/// The best policy on a block.
struct Improved {
    v: PointBlock,
    /// d x len.
    slope: Vec<Slope>,
    fault: Option<Fault>,
}

impl<'a> Search<'a> {
    /// The search that this control set and cost need; quadratic costs on a box or on R^m are maximised exactly.
    pub fn new(controls: &Controls, params: SearchParams, kernel: Kernel, dim: usize, n: usize) -> Result<Self, HjbError> {
        let bounds = controls.bounds.clone();
        let m = bounds.len();
        let samples = match &controls.finite {
            Some(set) => set.iter().step_by(set.len().div_ceil(SAMPLES)).cloned().collect(),
            None if controls.is_bounded() && m <= 3 => corners(&bounds),
            None => vec![controls.zero()],
        };
        let method = match (&controls.finite, controls.cost) {
            (Some(set), _) => Method::Finite(FiniteSet::new(set.clone())),
            (None, ControlCost::General) => Method::Refined(Refined::new(bounds, params)?),
            // Fitting leaves no quadratic programme.
            (None, _) if kernel == Kernel::Fitted && controls.is_bounded() => Method::Refined(Refined::new(bounds, params)?),
            (None, ControlCost::Quadratic) => Method::Coupled(Coupled::new(bounds, dim, n)),
        };
        Ok(Search {
            method,
            at: None,
            t: 0.0,
            below: vec![vec![0.0; n]; dim],
            above: vec![vec![0.0; n]; dim],
            quotients: vec![[vec![0.0; n], vec![0.0; n], vec![0.0; n]]; dim],
            idle: vec![true; dim * m],
            idle_weight: vec![true; m * m],
            room: (vec![0.0; dim * n], vec![0.0; n]),
            samples,
            cost_sup: 0.0,
            work: Work::default(),
            fault: None,
        })
    }

    /// Name of the method, as reports show it.
    pub fn name(&self) -> &'static str {
        match self.method {
            Method::Finite(_) => "finite set",
            Method::Refined(_) => "refined lattice",
            Method::Coupled(_) => "coupled quadratic",
        }
    }

    /// sup |c| over the nodes and some controls of the set: its size, not a bound.
    pub fn cost_sup(&self) -> f64 {
        self.cost_sup
    }

    /// Take over the coefficients at time t.
    fn prepare(&mut self, h: &Hamiltonian<'_>, at: Box<dyn Coefficients + 'a>, t: f64) {
        let coefficients = h.coefficients();
        let n = coefficients.nodes.len();
        if let Some(matrices) = &coefficients.matrices {
            for (idle, gain) in self.idle.iter_mut().zip(matrices.gain.chunks_exact(n)) {
                *idle = gain.iter().all(|g| *g == 0.0);
            }
            for (idle, weight) in self.idle_weight.iter_mut().zip(matrices.weight.chunks_exact(n)) {
                *idle = weight.iter().all(|w| *w == 0.0);
            }
            if let Method::Coupled(coupled) = &mut self.method {
                coupled.prepare(matrices);
            }
        }
        self.at = Some(at);
        self.t = t;
        self.fault = None;
        let (m, mut cost) = (coefficients.control_dim, [0.0; BLOCK]);
        self.cost_sup = 0.0;
        for first in (0..n).step_by(BLOCK) {
            let len = BLOCK.min(n - first);
            let (mut fault, mut sup) = (None, 0.0f64);
            let block = self.block(h, first, len);
            let mut v = PointBlock::zeros(m, len);
            for sample in &self.samples {
                sample.iter().enumerate().for_each(|(k, value)| v.as_mut().coord_mut(k).fill(*value));
                block.costs(v.as_points(), &mut cost[..len], &mut fault);
                sup = cost[..len].iter().fold(sup, |s, c| s.max(c.abs()));
            }
            drop(block);
            self.cost_sup = self.cost_sup.max(sup);
            self.work.fault = fault;
            self.note_fault(h, first);
        }
        if self.fault.is_none() && coefficients.matrices.as_ref().is_some_and(|full| full.weight.is_empty()) {
            self.fault = self.check_periodic_cost(h).err();
        }
    }

    /// Whether the general cost of the samples agrees on the two ends of every periodic axis.
    fn check_periodic_cost(&self, h: &Hamiltonian<'_>) -> Result<(), HjbError> {
        if !h.geometry().has_periodic_axis() {
            return Ok(());
        }
        let n = h.len();
        let mut cost = vec![0.0; n];
        for sample in &self.samples {
            let control: Vec<f64> = sample.iter().flat_map(|v| std::iter::repeat_n(*v, n)).collect();
            self.evaluate_cost(h, &control, &mut cost);
            h.geometry().check_periodic("control_cost", &cost, self.t)?;
        }
        Ok(())
    }

    /// K_ii of the quadratic cost where v is free on R^m.
    pub fn mobility(&self, axis: usize, node: usize) -> Option<f64> {
        match &self.method {
            Method::Coupled(coupled) => coupled.free_mobility(axis, node),
            _ => None,
        }
    }

    /// The nodes `first..first + len` as a block.
    fn block<'b>(&'b self, h: &'b Hamiltonian<'_>, first: usize, len: usize) -> Block<'b> {
        let c = h.coefficients();
        let (d, n, m) = (h.dim(), h.len(), c.control_dim);
        let nodes = first..first + len;
        let part = |values: &'b [f64], k: usize| &values[k * n + first..k * n + first + len];
        let (gain, weight) = c.matrices.as_ref().map_or((&[][..], &[][..]), |full| (&full.gain[..], &full.weight[..]));
        let cost = match (&self.at, weight.is_empty()) {
            (Some(at), true) => Cost::General(at.as_ref()),
            _ => Cost::Quadratic((0..m * m).map(|k| (!self.idle_weight[k]).then(|| part(weight, k))).collect()),
        };
        let axes = (0..d).map(|i| {
            let rates = h.axis_rates(i);
            let [central, second, third] = self.quotients[i].each_ref().map(|q| &q[nodes.clone()]);
            match rates.kernel() {
                Kernel::Slopes => {
                    let (low, high) = (&rates.low[nodes.clone()], &rates.high[nodes.clone()]);
                    Slopes::Three { quotients: [central, second, third], low, high }
                }
                Kernel::Fitted => {
                    let (variance, spacing) = (&rates.variance[nodes.clone()], &rates.spacing[nodes.clone()]);
                    Slopes::Fitted { central, second, variance, spacing }
                }
            }
        });
        Block {
            x: c.nodes.as_points().window(nodes.clone()),
            drift: (0..d).map(|i| part(&c.drift, i)).collect(),
            gain: self.idle.iter().enumerate().map(|(k, idle)| (!idle).then(|| part(gain, k))).collect(),
            axes: axes.collect(),
            cost,
        }
    }

    /// Note a cost that was not finite.
    fn note_fault(&mut self, h: &Hamiltonian<'_>, first: usize) {
        if let Some(fault) = self.work.fault.take()
            && self.fault.is_none()
        {
            let mut point = vec![0.0; h.dim()];
            h.coefficients().nodes.as_points().copy_point(first + fault.node, &mut point);
            self.fault = Some(HjbError::NonFinite { coefficient: "control_cost", value: fault.value, t: self.t, point });
        }
    }

    /// c(v) of a policy on all nodes; false when it is not finite somewhere.
    fn evaluate_cost(&self, h: &Hamiltonian<'_>, control: &[f64], out: &mut [f64]) -> bool {
        let (n, m) = (h.len(), h.coefficients().control_dim);
        let mut fault = None;
        for first in (0..n).step_by(BLOCK) {
            let nodes = first..(first + BLOCK).min(n);
            let v = Points::new(control, m).window(nodes.clone());
            self.block(h, first, nodes.len()).costs(v, &mut out[nodes], &mut fault);
        }
        fault.is_none()
    }
}

impl<'a> Hamiltonian<'a> {
    /// Replace the parameters of the search for the best control (bounded control sets with a general cost).
    ///
    /// # Errors
    /// Parameters out of range.
    pub fn with_search(mut self, params: SearchParams) -> Result<Self, HjbError> {
        params.validate()?;
        self.search_params = params;
        if self.search.is_some() {
            self.search = Some(Box::new(self.new_search()?));
        }
        Ok(self)
    }

    fn new_search(&self) -> Result<Search<'a>, HjbError> {
        Search::new(&self.control_set, self.search_params, self.axis_rates(0).kernel(), self.dim(), self.len())
    }

    /// Hand the coefficients at time t to the search, which is made when G or R turns out not to be diagonal.
    pub(crate) fn prepare_search(&mut self, at: Box<dyn Coefficients + 'a>, t: f64) -> Result<(), HjbError> {
        let mut search = match self.search.take() {
            Some(search) => search,
            None => Box::new(self.new_search()?),
        };
        if matches!(search.method, Method::Coupled(_)) && self.axis_rates(0).kernel() == Kernel::Fitted {
            return Err(HjbError::Unsupported {
                what: "the fitted space scheme with an unbounded control whose G or R is not diagonal".into(),
                t,
                point: Vec::new(),
                allowed: "Space::Hybrid or Space::Upwind, or finite bounds on the control",
            });
        }
        search.prepare(self, at, t);
        self.search = Some(search);
        self.check()
    }

    /// How the best control is found: in closed form per axis, or by a search.
    pub fn maximisation(&self) -> &'static str {
        self.search.as_ref().map_or("per axis", |search| search.name())
    }

    /// An error when a running cost of the control was not finite since [`Hamiltonian::prepare`].
    ///
    /// # Errors
    /// [`HjbError::NonFinite`] with the point.
    pub fn check(&self) -> Result<(), HjbError> {
        match self.search.as_ref().and_then(|search| search.fault.clone()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// What the control does along an axis at a node of its lower or `upper` face, for the watch there: the mobility K_ii of
    /// a quadratic cost (zero where v does not act) and (G v)_i of a policy; `None` where a bound on v keeps the push out of
    /// the box finite, or no control belongs to the axis.
    pub(crate) fn pull(&self, policy: &Policy, axis: usize, upper: bool, node: usize) -> Option<(f64, f64)> {
        let (n, c) = (self.len(), self.coefficients());
        let v = |k: usize| policy.control[k * n + node];
        match (&self.search, &c.matrices) {
            (Some(search), Some(full)) => {
                let m = c.control_dim;
                let push = (0..m).map(|k| full.gain[(axis * m + k) * n + node] * v(k)).sum();
                search.mobility(axis, node).map(|mobility| (mobility, push))
            }
            _ => {
                let &(lower_bound, upper_bound) = self.control_set.bounds.get(axis)?;
                let (g, r) = (c.gain[axis * n + node], c.weight[axis * n + node]);
                let bound = if upper == (g >= 0.0) { upper_bound } else { lower_bound };
                (g == 0.0 || bound.is_infinite()).then(|| (g * g / r, g * v(axis)))
            }
        }
    }

    /// [`Hamiltonian::maximise`] by a search.
    pub(crate) fn maximise_by_search(
        &mut self,
        value: &[f64],
        policy: &mut Policy,
        operator: &mut Operator,
        maximum: &mut [f64],
    ) {
        let Some(mut search) = self.search.take() else { return };
        let d = self.dim();
        for i in 0..d {
            self.axis_jumps(i, value, &mut search.below[i], &mut search.above[i]);
            let g = &self.geometry().axes[i];
            let (below, above) = (&search.below[i], &search.above[i]);
            let [central, second, third] = &mut search.quotients[i];
            let fitted = self.axis_rates(i).kernel() == Kernel::Fitted;
            for j in 0..value.len() {
                let (db, da) = (below[j], above[j]);
                central[j] = g.central_minus[j] * db + g.central_plus[j] * da;
                if fitted {
                    second[j] = g.diffusion_plus[j] * da - g.diffusion_minus[j] * db;
                } else {
                    second[j] = g.inverse_plus[j] * da;
                    third[j] = g.inverse_minus[j] * db;
                }
            }
        }
        self.improve(&mut search, value, policy);
        let mut room = std::mem::take(&mut search.room);
        self.assemble(&search, &mut room, policy, false, operator);
        search.room = room;
        maximum.copy_from_slice(&operator.running);
        for i in 0..d {
            let (lower, upper) = operator.generator.pair_mut(i);
            let jumps = search.below[i].iter().zip(&search.above[i]);
            for (((m, l), u), (db, da)) in maximum.iter_mut().zip(lower.iter()).zip(upper.iter()).zip(jumps) {
                *m += u * da - l * db;
            }
        }
        self.add_cross_part(value, maximum);
        self.close(operator);
        let discount = self.discount();
        if discount > 0.0 {
            maximum.iter_mut().zip(value).for_each(|(m, v)| *m -= discount * v);
        }
        if let Some(target) = self.target() {
            target.close_maximum(value, maximum);
        }
        self.search = Some(search);
    }

    /// [`Hamiltonian::apply`] for a policy of a search.
    pub(crate) fn apply_to_search(&self, search: &Search<'_>, policy: &mut Policy, reselect: bool, operator: &mut Operator) {
        let mut room = (vec![0.0; self.dim() * self.len()], vec![0.0; self.len()]);
        self.assemble(search, &mut room, policy, reselect, operator);
        self.close(operator);
    }

    /// Put the best control and its slopes into the policy. Blocks are independent: the result does not depend on the number
    /// of threads.
    fn improve(&self, search: &mut Search<'_>, value: &[f64], policy: &mut Policy) {
        let (n, d, m) = (self.len(), self.dim(), self.coefficients().control_dim);
        let firsts: Vec<usize> = (0..n).step_by(BLOCK).collect();
        let run = |&first: &usize| self.improve_block(search, value, policy, first, BLOCK.min(n - first));
        let improved: Vec<Improved> =
            if n < SERIAL_BELOW { firsts.iter().map(run).collect() } else { firsts.par_iter().map(run).collect() };
        let mut control = PointsMut::new(&mut policy.control, m);
        for (first, block) in firsts.into_iter().zip(improved) {
            let len = block.v.len();
            let mut out = control.window(first..first + len);
            (0..m).for_each(|k| out.coord_mut(k).copy_from_slice(block.v.coord(k)));
            for i in 0..d {
                policy.slope[i * n + first..][..len].copy_from_slice(&block.slope[i * len..(i + 1) * len]);
            }
            search.work.fault = block.fault;
            search.note_fault(self, first);
        }
    }

    /// The best policy on one block.
    fn improve_block(&self, search: &Search<'_>, at: &[f64], policy: &Policy, first: usize, len: usize) -> Improved {
        let (d, m) = (self.dim(), self.coefficients().control_dim);
        let mut work = Work::default();
        let (mut value, mut margin, mut mu) = (vec![0.0; len], vec![0.0; len], vec![0.0; len]);
        let block = search.block(self, first, len);
        let mut v = PointBlock::zeros(m, len);
        let present = Points::new(&policy.control, m).window(first..first + len);
        (0..m).for_each(|k| v.as_mut().coord_mut(k).copy_from_slice(present.coord(k)));
        let mut slope = vec![Slope::Central; d * len];
        block.values_and_sizes(v.as_points(), &mut value, &mut margin, &mut work);
        // the differences of V that H is made of carry the roundings of V itself, however small they are
        for (i, axis) in self.geometry().axes.iter().enumerate() {
            block.drifts(i, v.as_points(), &mut mu);
            for (j, (s, mu)) in margin.iter_mut().zip(&mu).enumerate() {
                let k = first + j;
                *s += mu.abs() * at[k].abs() * axis.inverse_plus[k].max(axis.inverse_minus[k]);
            }
        }
        let mut choose = |v: &PointBlock, slope: &mut [Slope]| {
            for (i, out) in slope.chunks_exact_mut(len).enumerate() {
                block.drifts(i, v.as_points(), &mut mu);
                out.iter_mut().zip(&mu).enumerate().for_each(|(j, (s, mu))| *s = block.axes[i].at(j, *mu).1);
            }
        };
        margin.iter_mut().for_each(|s| *s *= ROUNDINGS * f64::EPSILON);
        match &search.method {
            Method::Finite(set) => set.maximise(&block, &margin, &mut v, &mut value, &mut work),
            Method::Refined(refined) => refined.maximise(&block, &margin, &mut v, &mut value, &mut work),
            Method::Coupled(coupled) => {
                choose(&v, &mut slope);
                coupled.maximise(&block, first, &margin, &mut v, &mut value, &mut slope);
                return Improved { v, slope, fault: work.fault };
            }
        }
        choose(&v, &mut slope);
        Improved { v, slope, fault: work.fault }
    }

    /// Rates along the axes and running reward of a policy; the rows are not closed.
    fn assemble(
        &self,
        search: &Search<'_>,
        room: &mut (Vec<f64>, Vec<f64>),
        policy: &mut Policy,
        reselect: bool,
        operator: &mut Operator,
    ) {
        let n = self.len();
        let (mu, cost) = room;
        mu.copy_from_slice(&self.coefficients().drift);
        self.coefficients().add_control_drift(&policy.control, mu);
        let finite = search.evaluate_cost(self, &policy.control, cost);
        for (r, (l, c)) in operator.running.iter_mut().zip(self.coefficients().running.iter().zip(cost.iter())) {
            // What is not finite is reported by `check`; it must not reach the linear solver.
            *r = if finite || c.is_finite() { l - c } else { *l };
        }
        for i in 0..self.dim() {
            let (lower, upper) = operator.generator.pair_mut(i);
            for j in 0..n {
                let slope = &mut policy.slope[i * n + j];
                if reselect {
                    *slope = self.slope(i, j, mu[i * n + j]);
                }
                (lower[j], upper[j]) = self.rates(i, j, mu[i * n + j], *slope);
            }
        }
    }
}

/// The points of the box with each component at its lower end, middle or upper end.
fn corners(bounds: &[(f64, f64)]) -> Vec<Vec<f64>> {
    let mut points = vec![Vec::new()];
    for &(lo, up) in bounds {
        points =
            points.iter().flat_map(|p: &Vec<f64>| [lo, 0.5 * (lo + up), up].map(|v| [p.as_slice(), &[v]].concat())).collect();
    }
    points
}
