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
//! A discount rate rho adds -rho V, the same for every policy.
//! Both slopes belong to the policy at an end of the window, so the set of policies is closed and the maximum is attained.
//! Reference: J. Wang, P. A. Forsyth, SIAM J. Numer. Anal. 46 (2008) 1580-1601, section 5.

use crate::coefficients::{NodeCoefficients, control_bounds};
use crate::error::HjbError;
use crate::exit::TargetRows;
use crate::geometry::{Boundary, Geometry, differences};
use crate::space::{Slope, SpaceScheme, choose};
use crate::stencil::StencilMatrix;
use hjbridge_model::ControlledDiffusion;
use hjbridge_model::grid::TensorGrid;
use std::sync::Arc;

/// Mobilities G^2/R below this act as zero: the control has no effect that could be represented.
const NO_CONTROL: f64 = 1e-200;

/// A feedback on the nodes: the control, and the slope used on each axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// v, m x n, component by component.
    pub control: Vec<f64>,
    /// The slope, d x n, axis by axis.
    pub slope: Vec<Slope>,
}

/// The linear operator of one policy: V -> L^v V - rho V + l - v'Rv/2.
#[derive(Clone, Debug, PartialEq)]
pub struct Operator {
    /// L^v - rho, with the diagonal first.
    pub generator: StencilMatrix,
    /// l - v'Rv/2 (and what boundary data on a target set contribute).
    pub running: Vec<f64>,
}

impl Operator {
    /// out = L^v V - rho V + l - v'Rv/2.
    pub fn apply(&self, value: &[f64], out: &mut [f64]) {
        out.copy_from_slice(&self.running);
        self.generator.multiply_add(1.0, value, out);
    }
}

/// The discrete Hamiltonian of a model on a grid; [`Hamiltonian::prepare`] sets the time.
pub struct Hamiltonian<'a> {
    model: &'a dyn ControlledDiffusion,
    geometry: Geometry,
    scheme: &'static dyn SpaceScheme,
    bounds: Vec<(f64, f64)>,
    coefficients: NodeCoefficients,
    axes: Vec<AxisData>,
    jumps: Vec<f64>,
    discount: f64,
    target: Option<TargetRows>,
}

/// What one axis needs at the current time; n entries each.
struct AxisData {
    /// Ends of the central window.
    low: Vec<f64>,
    high: Vec<f64>,
    controlled: Option<ControlData>,
}

/// The control on one axis: mobility kappa, G/R, the window and the bounds in terms of q.
struct ControlData {
    bounds: (f64, f64),
    mobility: Vec<f64>,
    per_dual: Vec<f64>,
    window: Vec<(f64, f64)>,
    dual_bounds: Vec<(f64, f64)>,
}

impl<'a> Hamiltonian<'a> {
    /// The Hamiltonian of `model` on `grid`.
    pub fn new(
        model: &'a dyn ControlledDiffusion,
        grid: Arc<TensorGrid>,
        scheme: &'static dyn SpaceScheme,
        boundary: Boundary,
    ) -> Result<Self, HjbError> {
        let coefficients = NodeCoefficients::new(model, grid.points())?;
        let bounds = control_bounds(model)?;
        let discount = model.discount();
        if !(discount >= 0.0 && discount.is_finite()) {
            return Err(HjbError::invalid("discount", discount, "finite and not negative"));
        }
        let geometry = Geometry::new(grid, boundary);
        let n = geometry.len();
        let axes = (0..geometry.dim())
            .map(|i| AxisData {
                low: vec![0.0; n],
                high: vec![0.0; n],
                controlled: bounds.get(i).map(|&bounds| ControlData {
                    bounds,
                    mobility: vec![0.0; n],
                    per_dual: vec![0.0; n],
                    window: vec![(0.0, 0.0); n],
                    dual_bounds: vec![(0.0, 0.0); n],
                }),
            })
            .collect();
        let widest = geometry.axes.iter().map(|a| a.stride).max().unwrap_or(1);
        let jumps = vec![0.0; n + widest];
        Ok(Hamiltonian { model, geometry, scheme, bounds, coefficients, axes, jumps, discount, target: None })
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.geometry.len()
    }

    /// Whether there is no node; never true for a grid.
    pub fn is_empty(&self) -> bool {
        self.geometry.len() == 0
    }

    /// The policy v = 0 (clipped to the control set) with central slopes; `apply` corrects the slopes.
    pub fn zero_policy(&self) -> Policy {
        let n = self.len();
        let control = self.bounds.iter().flat_map(|&(lo, up)| std::iter::repeat_n(0.0f64.max(lo).min(up), n)).collect();
        Policy { control, slope: vec![Slope::Central; n * self.geometry.dim()] }
    }

    /// An operator of the right pattern, zero.
    pub fn zero_operator(&self) -> Operator {
        Operator { generator: StencilMatrix::nearest_neighbour(self.geometry.grid.shape()), running: vec![0.0; self.len()] }
    }

    /// Impose V = g on a target set; distances to its boundary replace the spacing where an edge is cut.
    pub(crate) fn set_target(&mut self, target: TargetRows) {
        for edge in &target.edges {
            self.geometry.set_distance(edge.axis, edge.node, edge.upper, edge.distance);
        }
        self.target = Some(target);
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
        self.coefficients.check_finite("terminal_reward", out, self.model.horizon())
    }

    /// sup |l| at the current time.
    pub fn running_sup(&self) -> f64 {
        self.coefficients.running.iter().fold(0.0, |m: f64, l| m.max(l.abs()))
    }

    /// Evaluate the coefficients of the model at time t; everything below is for this time.
    pub fn prepare(&mut self, t: f64) -> Result<(), HjbError> {
        let at = self.model.at(t);
        let c = &mut self.coefficients;
        c.evaluate(at.as_ref(), t)?;
        let n = self.geometry.len();
        for (i, axis) in self.axes.iter_mut().enumerate() {
            let nodes = i * n..(i + 1) * n;
            let AxisData { low, high, controlled } = axis;
            self.geometry.central_windows(self.scheme, i, &c.variance[nodes.clone()], low, high);
            if let Some(control) = controlled {
                control.prepare(&c.drift[nodes.clone()], &c.gain[nodes.clone()], &c.weight[nodes], low, high);
            }
        }
        Ok(())
    }

    /// For the value V at the current time: the maximising policy, its operator, and the maximum itself,
    /// `maximum` = max_v { L^v V + l - v'Rv/2 } - rho V. O(d n), no allocation.
    pub fn maximise(&mut self, value: &[f64], policy: &mut Policy, operator: &mut Operator, maximum: &mut [f64]) {
        let n = value.len();
        operator.running.copy_from_slice(&self.coefficients.running);
        maximum.copy_from_slice(&self.coefficients.running);
        for (i, (axis, g)) in self.axes.iter().zip(&self.geometry.axes).enumerate() {
            differences(value, g.stride, &mut self.jumps);
            if let Some(target) = &self.target {
                target.cut_differences(i, g.stride, value, &mut self.jumps);
            }
            let (below, above) = (&self.jumps[..n], &self.jumps[g.stride..][..n]);
            let drift = &self.coefficients.drift[i * n..][..n];
            let variance = &self.coefficients.variance[i * n..][..n];
            let slope = &mut policy.slope[i * n..][..n];
            let (lower, upper) = operator.generator.pair_mut(i);
            let (low, high) = (&axis.low[..n], &axis.high[..n]);
            for j in 0..n {
                let (db, da) = (below[j], above[j]);
                let (cm, cp, im, ip) = (g.central_minus[j], g.central_plus[j], g.inverse_minus[j], g.inverse_plus[j]);
                let quotients = Quotients { central: cm * db + cp * da, upward: ip * da, downward: im * db };
                let f = drift[j];
                let (kind, mu, gain) = match &axis.controlled {
                    Some(c) if c.mobility[j] > 0.0 => {
                        let (kind, q, best) = quotients.maximise(f, c.mobility[j], c.window[j], c.dual_bounds[j]);
                        let kq = c.mobility[j] * q;
                        policy.control[i * n + j] = c.per_dual[j] * q;
                        operator.running[j] -= 0.5 * kq * q;
                        (kind, f + kq, best)
                    }
                    other => {
                        let kind = choose(f, low[j], high[j]);
                        let mut gain = f * quotients.get(kind);
                        if let Some(c) = other {
                            let v = 0.0f64.max(c.bounds.0).min(c.bounds.1);
                            let cost = 0.5 * self.coefficients.weight[i * n + j] * v * v;
                            policy.control[i * n + j] = v;
                            operator.running[j] -= cost;
                            gain -= cost;
                        }
                        (kind, f, gain)
                    }
                };
                let (down, up) = match kind {
                    Slope::Central => (cm, cp),
                    Slope::Upward => (0.0, ip),
                    Slope::Downward => (im, 0.0),
                };
                let (am, ap) = (variance[j] * g.diffusion_minus[j], variance[j] * g.diffusion_plus[j]);
                slope[j] = kind;
                lower[j] = am - mu * down;
                upper[j] = ap + mu * up;
                maximum[j] += gain + (ap * da - am * db);
            }
        }
        self.close(operator);
        if self.discount > 0.0 {
            maximum.iter_mut().zip(value).for_each(|(m, v)| *m -= self.discount * v);
        }
        if let Some(target) = &self.target {
            target.close_maximum(value, maximum);
        }
    }

    /// Diagonal, discount and target rows of an operator whose rates are set.
    fn close(&self, operator: &mut Operator) {
        operator.generator.close_rows();
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
        let n = self.len();
        let c = &self.coefficients;
        operator.running.copy_from_slice(&c.running);
        for (i, (axis, g)) in self.axes.iter().zip(&self.geometry.axes).enumerate() {
            let (lower, upper) = operator.generator.pair_mut(i);
            for j in 0..n {
                let k = i * n + j;
                let mut mu = c.drift[k];
                if axis.controlled.is_some() {
                    let v = policy.control[k];
                    mu += c.gain[k] * v;
                    operator.running[j] -= 0.5 * c.weight[k] * v * v;
                }
                if reselect {
                    policy.slope[k] = choose(mu, axis.low[j], axis.high[j]);
                }
                let (down, up) = match policy.slope[k] {
                    Slope::Central => (g.central_minus[j], g.central_plus[j]),
                    Slope::Upward => (0.0, g.inverse_plus[j]),
                    Slope::Downward => (g.inverse_minus[j], 0.0),
                };
                lower[j] = c.variance[k] * g.diffusion_minus[j] - mu * down;
                upper[j] = c.variance[k] * g.diffusion_plus[j] + mu * up;
            }
        }
        self.close(operator);
    }
}

impl ControlData {
    fn prepare(&mut self, drift: &[f64], gain: &[f64], weight: &[f64], low: &[f64], high: &[f64]) {
        let (bound_low, bound_high) = self.bounds;
        let free = bound_low == f64::NEG_INFINITY && bound_high == f64::INFINITY;
        for j in 0..drift.len() {
            let (f, g, r) = (drift[j], gain[j], weight[j]);
            let kappa = g * g / r;
            self.per_dual[j] = g / r;
            if kappa > NO_CONTROL {
                self.mobility[j] = kappa;
                self.window[j] = ((low[j] - f) / kappa, (high[j] - f) / kappa);
                self.dual_bounds[j] = if free {
                    (f64::NEG_INFINITY, f64::INFINITY)
                } else {
                    let (a, b) = (bound_low * (r / g), bound_high * (r / g));
                    (a.min(b), a.max(b))
                };
            } else {
                self.mobility[j] = 0.0;
            }
        }
    }
}

/// The three difference quotients at a node.
#[derive(Clone, Copy)]
struct Quotients {
    central: f64,
    upward: f64,
    downward: f64,
}

impl Quotients {
    #[inline]
    fn get(&self, kind: Slope) -> f64 {
        match kind {
            Slope::Central => self.central,
            Slope::Upward => self.upward,
            Slope::Downward => self.downward,
        }
    }

    /// The best slope, q and value of (f + kappa q) p - kappa q^2/2; central wins ties.
    #[inline]
    fn maximise(&self, f: f64, kappa: f64, window: (f64, f64), bounds: (f64, f64)) -> (Slope, f64, f64) {
        // An empty interval, or one that lies at infinity, is no candidate.
        let top = |p: f64, lo: f64, up: f64| {
            let q = p.max(lo).min(up);
            let value = (f + kappa * q) * p - 0.5 * kappa * q * q;
            if lo <= up && q.abs() < f64::INFINITY { (q, value) } else { (q, f64::NEG_INFINITY) }
        };
        let (q_c, value_c) = top(self.central, window.0.max(bounds.0), window.1.min(bounds.1));
        let (q_u, value_u) = top(self.upward, window.1.max(bounds.0), bounds.1);
        let (q_d, value_d) = top(self.downward, bounds.0, window.0.min(bounds.1));
        let mut best = (Slope::Central, q_c, value_c);
        if value_u > best.2 {
            best = (Slope::Upward, q_u, value_u);
        }
        if value_d > best.2 {
            best = (Slope::Downward, q_d, value_d);
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Value of the discrete Hamiltonian at one q, for every slope that the drift allows.
    fn brute(quotients: Quotients, f: f64, kappa: f64, window: (f64, f64), bounds: (f64, f64)) -> f64 {
        let (lo, up) = (bounds.0.max(-40.0), bounds.1.min(40.0));
        let mut best = f64::NEG_INFINITY;
        for k in 0..=400_000 {
            let q = lo + (up - lo) * k as f64 / 400_000.0;
            let mut slopes = Vec::new();
            if q >= window.0 && q <= window.1 {
                slopes.push(quotients.central);
            }
            if q >= window.1 {
                slopes.push(quotients.upward);
            }
            if q <= window.0 {
                slopes.push(quotients.downward);
            }
            for p in slopes {
                best = best.max((f + kappa * q) * p - 0.5 * kappa * q * q);
            }
        }
        best
    }

    #[test]
    fn the_maximum_agrees_with_a_search_over_the_control() {
        let free = (f64::NEG_INFINITY, f64::INFINITY);
        let mut state = 12345u64;
        let mut random = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 53) as f64 * 6.0 - 3.0
        };
        for trial in 0..60 {
            let quotients = Quotients { central: random(), upward: random(), downward: random() };
            let (f, kappa) = (random(), 0.2 + random().abs());
            let (a, b) = (random(), random());
            // Windows that contain zero drift, as every scheme's do; sometimes of width zero.
            let half = if trial % 5 == 0 { 0.0 } else { random().abs() };
            let window = ((-half - f) / kappa, (half - f) / kappa);
            let bounds = if trial % 2 == 0 { free } else { (a.min(b), a.max(b)) };
            let (_, q, value) = quotients.maximise(f, kappa, window, bounds);
            let search = brute(quotients, f, kappa, window, bounds);
            assert!(q >= bounds.0 && q <= bounds.1);
            assert!(value >= search - 1e-12 && value <= search + 2e-3, "{trial}: {value} against {search}");
        }
    }

    #[test]
    fn infinite_windows_at_the_faces_leave_the_inward_slope_only() {
        let quotients = Quotients { central: 2.0, upward: 9.0, downward: -9.0 };
        let all = (f64::NEG_INFINITY, f64::INFINITY);
        assert_eq!(quotients.maximise(0.5, 2.0, all, all), (Slope::Central, 2.0, 5.0));
    }
}
