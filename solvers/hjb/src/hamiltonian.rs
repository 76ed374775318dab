//! Node-wise maximisation of the discrete Hamiltonian.
//!
//! At each node the discrete equation holds the maximum over the control v of
//!
//!   sum_i [ mu_i p_i(mu_i) - R_ii v_i^2 / 2 ] + (second differences) + l,     mu_i = f_i + G_ii v_i,
//!
//! where p_i(mu) is the slope that the space scheme uses at drift mu: central inside its window, one-sided outside.
//! Maximising this expression itself, instead of inserting v = R^{-1} G' grad V of the continuous equation, makes Howard's
//! iteration monotone and Newton-like. With diagonal G and R the maximum splits over the axes. On one axis there are
//! three candidates, each a concave parabola in v on a closed interval:
//!
//!   central slope  for mu in the window [w-, w+],   upward slope for mu >= w+,   downward slope for mu <= w-.
//!
//! Write v = (G/R) q and kappa = G^2/R, so mu = f + kappa q and the cost is kappa q^2/2: the parabola (f + kappa q) p -
//! kappa q^2/2 has its top at q = p and is clipped to the interval; bounds on v become bounds on q.
//! The fitted scheme has one smooth function of the drift instead (`space/fitted.rs`). Cross derivatives add the same rates to
//! corner nodes for every policy, and a discount rate rho adds -rho V.
//! Both slopes belong to the policy at an end of the window, so the set of policies is closed and the maximum is attained.
//! Reference: J. Wang, P. A. Forsyth, SIAM J. Numer. Anal. 46 (2008) 1580-1601, section 5.

use crate::axis_maximum::{Axis, ControlData, Maximised};
use crate::coefficients::{NodeCoefficients, checked_discount};
use crate::controls::{Controls, SearchParams};
use crate::error::HjbError;
use crate::exit::TargetRows;
use crate::faces::Faces;
use crate::geometry::{Geometry, Jumps};
use crate::hamiltonian_search::Search;
use crate::space::rates::{AxisRates, SpaceRates};
use crate::space::{Kernel, Slope, SpaceScheme};
use crate::stencil::StencilMatrix;
use hjbridge_model::ControlledDiffusion;
use hjbridge_model::grid::TensorGrid;
use std::sync::Arc;

/// A feedback on the nodes: the control, and the slope used on each axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// v, m x n, component by component.
    pub control: Vec<f64>,
    /// The slope, d x n, axis by axis.
    pub slope: Vec<Slope>,
}

/// The linear operator of one policy: V -> L^v V - rho V + l - c(v).
#[derive(Clone, Debug, PartialEq)]
pub struct Operator {
    /// L^v - rho, with the diagonal first.
    pub generator: StencilMatrix,
    /// l - c(v) (and what boundary data on a target set contribute).
    pub running: Vec<f64>,
}

impl Operator {
    /// out = L^v V - rho V + l - c(v).
    pub fn apply(&self, value: &[f64], out: &mut [f64]) {
        out.copy_from_slice(&self.running);
        self.generator.multiply_add(1.0, value, out);
    }
}

/// The discrete Hamiltonian of a model on a grid; [`Hamiltonian::prepare`] sets the time.
pub struct Hamiltonian<'a> {
    model: &'a dyn ControlledDiffusion,
    geometry: Geometry,
    pub(crate) control_set: Controls,
    coefficients: NodeCoefficients,
    rates: SpaceRates,
    /// The control on each axis that has one.
    controls: Vec<Option<ControlData>>,
    jumps: Jumps,
    /// Number of shifts in the pattern of the generators.
    shifts: usize,
    discount: f64,
    target: Option<TargetRows>,
    /// In place of the maximisation per axis.
    pub(crate) search: Option<Box<Search<'a>>>,
    pub(crate) search_params: SearchParams,
}

impl<'a> Hamiltonian<'a> {
    /// The Hamiltonian of `model` on `grid`.
    pub fn new(
        model: &'a dyn ControlledDiffusion,
        grid: Arc<TensorGrid>,
        scheme: &'static dyn SpaceScheme,
        faces: Faces,
    ) -> Result<Self, HjbError> {
        let coefficients = NodeCoefficients::new(model, grid.points())?;
        let control_set = Controls::new(model)?;
        let discount = checked_discount(model.discount())?;
        faces.validate(&grid)?;
        let geometry = Geometry::new(grid, faces);
        let n = geometry.len();
        let controls = (0..geometry.dim())
            .map(|i| {
                let bounds = control_set.bounds.get(i).filter(|_| coefficients.matrices.is_none());
                bounds.map(|&bounds| ControlData::new(bounds, n))
            })
            .collect();
        let pairs: Vec<_> = coefficients.cross.iter().map(|c| c.axes).collect();
        let rates = SpaceRates::new(&geometry, scheme, &pairs);
        let jumps = Jumps::new(&geometry);
        let shifts = rates.pattern(&geometry).flat_shifts().len();
        let search = match coefficients.matrices {
            Some(_) => {
                let (params, kernel) = (SearchParams::default(), scheme.kernel());
                Some(Box::new(Search::new(&control_set, params, kernel, geometry.dim(), n)?))
            }
            None => None,
        };
        let target = None;
        let search_params = SearchParams::default();
        Ok(Hamiltonian {
            model,
            geometry,
            control_set,
            coefficients,
            rates,
            controls,
            jumps,
            shifts,
            discount,
            target,
            search,
            search_params,
        })
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.geometry.len()
    }

    /// Whether there is no node; never true for a grid.
    pub fn is_empty(&self) -> bool {
        self.geometry.len() == 0
    }

    /// The policy v = 0 (the nearest control of the set to it) with central slopes; `apply` corrects the slopes.
    pub fn zero_policy(&self) -> Policy {
        let n = self.len();
        let control = self.control_set.zero().into_iter().flat_map(|v| std::iter::repeat_n(v, n)).collect();
        let slope = if self.rates.kernel() == Kernel::Fitted { Slope::Fitted } else { Slope::Central };
        Policy { control, slope: vec![slope; n * self.geometry.dim()] }
    }

    /// An operator of the right pattern, zero.
    pub fn zero_operator(&self) -> Operator {
        Operator { generator: self.rates.pattern(&self.geometry), running: vec![0.0; self.len()] }
    }

    /// The pairs of axes whose noise is, or may at some time be, correlated.
    pub(crate) fn correlated(&self) -> Vec<(usize, usize)> {
        let d = if self.coefficients.may_correlate { self.dim() } else { 0 };
        (0..d).flat_map(|i| (i + 1..d).map(move |k| (i, k))).collect()
    }

    /// Room for the correlations that have appeared since the last time: the pattern of the generators widens.
    fn take_up_cross(&mut self) -> Result<(), HjbError> {
        let pairs: Vec<_> = self.coefficients.cross.iter().map(|c| c.axes).collect();
        self.rates.set_pairs(&self.geometry, &pairs);
        self.shifts = self.rates.pattern(&self.geometry).flat_shifts().len();
        if let (Some(cross), Some(target)) = (&mut self.rates.cross, &mut self.target) {
            target.cut_diagonals(&self.geometry, cross)?;
        }
        Ok(())
    }

    /// Impose V = g on a target set; distances to its boundary replace the spacing where an edge is cut, and parts of
    /// diagonals the whole ones.
    ///
    /// # Errors
    /// A diagonal cut next to an end of a periodic axis.
    pub(crate) fn set_target(&mut self, mut target: TargetRows) -> Result<(), HjbError> {
        for edge in &target.edges {
            self.geometry.set_distance(edge.axis, edge.node, edge.upper, edge.distance);
        }
        if let Some(cross) = &mut self.rates.cross {
            target.cut_diagonals(&self.geometry, cross)?;
        }
        self.target = Some(target);
        Ok(())
    }

    /// The target rows, if there are any.
    pub(crate) fn target(&self) -> Option<&TargetRows> {
        self.target.as_ref()
    }

    /// [`Hamiltonian::apply`] with the rates across cut edges and at target nodes left in the operator.
    pub(crate) fn apply_open(&mut self, policy: &mut Policy, reselect: bool, operator: &mut Operator) {
        let target = self.target.take();
        self.apply(policy, reselect, operator);
        self.target = target;
    }

    /// The same, to set their data.
    pub(crate) fn target_mut(&mut self) -> Option<&mut TargetRows> {
        self.target.as_mut()
    }

    /// The discount rate.
    pub(crate) fn discount(&self) -> f64 {
        self.discount
    }

    /// Difference weights.
    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Coefficients at the current time.
    pub(crate) fn coefficients(&self) -> &NodeCoefficients {
        &self.coefficients
    }

    /// Write g on the nodes.
    pub fn terminal_reward(&self, out: &mut [f64]) -> Result<(), HjbError> {
        self.model.terminal_reward(self.coefficients.nodes.as_points(), out);
        self.coefficients.check_finite("terminal_reward", out, self.model.horizon())?;
        self.geometry.close_periodic("terminal_reward", out, self.model.horizon())
    }

    /// Write l at any time on the nodes, without making it the current one.
    pub(crate) fn running_at(&self, t: f64, out: &mut [f64]) -> Result<(), HjbError> {
        self.model.at(t).running_reward(self.coefficients.nodes.as_points(), out);
        self.coefficients.check_finite("running_reward", out, t)?;
        self.geometry.close_periodic("running_reward", out, t)
    }

    /// sup |l| at the current time, and the size of c where the cost of the control is not small for a small control.
    pub fn running_sup(&self) -> f64 {
        let cost = self.search.as_ref().map_or(0.0, |search| search.cost_sup());
        self.coefficients.running.iter().fold(cost, |m: f64, l| m.max(l.abs()))
    }

    /// Evaluate the coefficients of the model at time t; everything below is for this time.
    pub fn prepare(&mut self, t: f64) -> Result<(), HjbError> {
        let at = self.model.at(t);
        let known = self.coefficients.cross.len();
        self.coefficients.evaluate(at.as_ref(), t)?;
        if self.coefficients.cross.len() > known {
            self.take_up_cross()?;
        }
        let c = &mut self.coefficients;
        let n = self.geometry.len();
        for (name, values) in [
            ("drift", &mut c.drift),
            ("sigma sigma'", &mut c.variance),
            ("control_matrix", &mut c.gain),
            ("control_weight", &mut c.weight),
            ("running_reward", &mut c.running),
        ] {
            self.geometry.close_periodic(name, values, t)?;
        }
        for cross in &mut c.cross {
            self.geometry.close_periodic("sigma sigma'", &mut cross.a, t)?;
        }
        if let Some(full) = &mut c.matrices {
            self.geometry.close_periodic("control_matrix", &mut full.gain, t)?;
            self.geometry.close_periodic("control_weight", &mut full.weight, t)?;
        }
        self.rates.set(&self.geometry, &c.variance, &c.cross);
        if self.coefficients.matrices.is_some() {
            return self.prepare_search(at, t);
        }
        let c = &self.coefficients;
        for (i, control) in self.controls.iter_mut().enumerate() {
            if let (Some(control), None) = (control, &c.matrices) {
                let nodes = i * n..(i + 1) * n;
                let rates = &self.rates.axes[i];
                control.prepare(&c.drift[nodes.clone()], &c.gain[nodes.clone()], &c.weight[nodes], rates);
            }
        }
        Ok(())
    }

    /// For the value V at the current time: the maximising policy, its operator, and the maximum itself,
    /// `maximum` = max_v { L^v V + l - c(v) } - rho V. O(d n), no allocation.
    pub fn maximise(&mut self, value: &[f64], policy: &mut Policy, operator: &mut Operator, maximum: &mut [f64]) {
        if self.search.is_some() {
            return self.maximise_by_search(value, policy, operator, maximum);
        }
        let n = value.len();
        operator.running.copy_from_slice(&self.coefficients.running);
        maximum.copy_from_slice(&self.coefficients.running);
        for (i, g) in self.geometry.axes.iter().enumerate() {
            let (below, above) = self.geometry.differences(i, value, &mut self.jumps, |jumps| {
                if let Some(target) = &self.target {
                    target.cut_differences(i, g.stride, value, jumps);
                }
            });
            let nodes = i * n..(i + 1) * n;
            let axis = Axis {
                geometry: g,
                rates: &self.rates.axes[i],
                control: self.controls[i].as_ref(),
                drift: &self.coefficients.drift[nodes.clone()],
                below: &below[..n],
                above: &above[..n],
            };
            let slope = &mut policy.slope[nodes.clone()];
            let weight = self.coefficients.weight.get(nodes.clone()).unwrap_or_default();
            let control = policy.control.get_mut(nodes).unwrap_or_default();
            let out =
                Maximised { slope, control, running: &mut operator.running, rates: operator.generator.pair_mut(i), maximum };
            match self.rates.kernel() {
                Kernel::Slopes => axis.maximise_slopes(weight, out),
                Kernel::Fitted => axis.maximise_fitted(weight, out),
            }
        }
        self.add_cross_part(value, maximum);
        self.close(operator);
        if self.discount > 0.0 {
            maximum.iter_mut().zip(value).for_each(|(m, v)| *m -= self.discount * v);
        }
        if let Some(target) = &self.target {
            target.close_maximum(value, maximum);
        }
    }

    /// The rates of one axis at the current time.
    pub(crate) fn axis_rates(&self, axis: usize) -> &AxisRates {
        &self.rates.axes[axis]
    }

    /// Axes of the state.
    pub(crate) fn dim(&self) -> usize {
        self.geometry.dim()
    }

    /// Differences of `value` to the neighbours of each node on `axis`, below (V - V-) and above (V+ - V), each n entries;
    /// boundary data of a target set and periodic neighbours are taken in. Meaningless where there is no neighbour (every
    /// weight there is zero).
    pub(crate) fn axis_jumps(&self, axis: usize, value: &[f64], below: &mut [f64], above: &mut [f64]) {
        let stride = self.geometry.axes[axis].stride;
        let mut room = Jumps::new(&self.geometry);
        let (lower, upper) = self.geometry.differences(axis, value, &mut room, |jumps| {
            if let Some(target) = &self.target {
                target.cut_differences(axis, stride, value, jumps);
            }
        });
        below.copy_from_slice(lower);
        above.copy_from_slice(upper);
    }

    /// The slope that the scheme uses at drift `mu`.
    #[inline]
    pub(crate) fn slope(&self, axis: usize, node: usize, mu: f64) -> Slope {
        self.rates.axes[axis].slope(node, mu)
    }

    /// Rates to the lower and upper neighbour on `axis` at drift `mu` with this slope.
    #[inline]
    pub(crate) fn rates(&self, axis: usize, node: usize, mu: f64, slope: Slope) -> (f64, f64) {
        self.rates.axes[axis].rates(&self.geometry.axes[axis], node, mu, slope)
    }

    /// Add the part of L^v V that no control changes and that belongs to no single axis (the rates to corner nodes of cross
    /// derivatives) to `out`. [`Hamiltonian::close`] writes these rates into the operator.
    pub(crate) fn add_cross_part(&self, value: &[f64], out: &mut [f64]) {
        if let Some(cross) = &self.rates.cross {
            cross.add(value, out);
            if let Some(target) = &self.target {
                target.cut_corners(|kind, node| cross.rate(kind, node), value, out);
            }
        }
    }

    /// Cross and periodic neighbours, diagonal, discount and target rows of an operator whose rates on the axes are set.
    pub(crate) fn close(&self, operator: &mut Operator) {
        if operator.generator.flat_shifts().len() != self.shifts {
            operator.generator.widen(self.rates.pattern(&self.geometry));
        }
        self.rates.complete(&self.geometry, &mut operator.generator);
        if self.discount > 0.0 {
            operator.generator.diagonal_mut(0).iter_mut().for_each(|d| *d -= self.discount);
        }
        if let Some(target) = &self.target {
            target.close_operator(operator);
        }
    }

    /// The operator of a given policy at the current time. With `reselect` the slopes are chosen anew from the drift and
    /// written to the policy, otherwise the policy's own are used. O(d n), no allocation.
    pub fn apply(&self, policy: &mut Policy, reselect: bool, operator: &mut Operator) {
        if let Some(search) = &self.search {
            return self.apply_to_search(search, policy, reselect, operator);
        }
        let n = self.len();
        let c = &self.coefficients;
        operator.running.copy_from_slice(&c.running);
        for (i, (rates, g)) in self.rates.axes.iter().zip(&self.geometry.axes).enumerate() {
            let (lower, upper) = operator.generator.pair_mut(i);
            for j in 0..n {
                let k = i * n + j;
                let mut mu = c.drift[k];
                if self.controls[i].is_some() {
                    let v = policy.control[k];
                    mu += c.gain[k] * v;
                    operator.running[j] -= 0.5 * c.weight[k] * v * v;
                }
                if reselect {
                    policy.slope[k] = rates.slope(j, mu);
                }
                (lower[j], upper[j]) = rates.rates(g, j, mu, policy.slope[k]);
            }
        }
        self.close(operator);
    }
}
