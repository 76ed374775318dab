//! The maximum of the discrete Hamiltonian along one axis, where it splits over the axes (`hamiltonian.rs` has the formulas):
//! three parabolas for the schemes of three slopes, a smooth function of the drift for the fitted one.

use crate::geometry::AxisGeometry;
use crate::space::Slope;
use crate::space::fitted::FittedHamiltonian;
use crate::space::rates::AxisRates;

/// Mobilities G^2/R below this act as zero: the control has no effect that could be represented.
const NO_CONTROL: f64 = 1e-200;

/// The control on one axis: mobility kappa, G/R, the window and the bounds in terms of q.
pub(crate) struct ControlData {
    pub bounds: (f64, f64),
    pub mobility: Vec<f64>,
    pub per_dual: Vec<f64>,
    pub window: Vec<(f64, f64)>,
    pub dual_bounds: Vec<(f64, f64)>,
}

/// One axis of the Hamiltonian, with the differences of the value.
pub(crate) struct Axis<'h> {
    pub geometry: &'h AxisGeometry,
    pub rates: &'h AxisRates,
    pub control: Option<&'h ControlData>,
    pub drift: &'h [f64],
    pub below: &'h [f64],
    pub above: &'h [f64],
}

/// Where the maximiser of one axis goes; `running` and `maximum` are added to.
pub(crate) struct Maximised<'o> {
    pub slope: &'o mut [Slope],
    pub control: &'o mut [f64],
    pub running: &'o mut [f64],
    pub rates: (&'o mut [f64], &'o mut [f64]),
    pub maximum: &'o mut [f64],
}

impl Axis<'_> {
    /// For schemes of three slopes: the best of three parabolas.
    pub fn maximise_slopes(&self, weight: &[f64], out: Maximised<'_>) {
        let n = self.drift.len();
        let (g, r) = (self.geometry, self.rates);
        let (lower, upper) = out.rates;
        let (below, above, minus, plus) = (&self.below[..n], &self.above[..n], &r.minus[..n], &r.plus[..n]);
        for j in 0..n {
            let (db, da) = (below[j], above[j]);
            let (cm, cp, im, ip) = (g.central_minus[j], g.central_plus[j], g.inverse_minus[j], g.inverse_plus[j]);
            let quotients = Quotients { central: cm * db + cp * da, upward: ip * da, downward: im * db };
            let f = self.drift[j];
            let (kind, mu, gain) = match self.control {
                Some(c) if c.mobility[j] > 0.0 => {
                    let (kind, q, best) = quotients.maximise(f, c.mobility[j], c.window[j], c.dual_bounds[j]);
                    let kq = c.mobility[j] * q;
                    out.control[j] = c.per_dual[j] * q;
                    out.running[j] -= 0.5 * kq * q;
                    (kind, f + kq, best)
                }
                other => {
                    let kind = r.slope(j, f);
                    let mut gain = f * quotients.get(kind);
                    if let Some(c) = other {
                        let v = c.idle();
                        let cost = 0.5 * weight[j] * v * v;
                        out.control[j] = v;
                        out.running[j] -= cost;
                        gain -= cost;
                    }
                    (kind, f, gain)
                }
            };
            let (down, up) = match kind {
                Slope::Central | Slope::Fitted => (cm, cp),
                Slope::Upward => (0.0, ip),
                Slope::Downward => (im, 0.0),
            };
            let (m, p) = (minus[j], plus[j]);
            out.slope[j] = kind;
            lower[j] = m - mu * down;
            upper[j] = p + mu * up;
            out.maximum[j] += gain + (p * da - m * db);
        }
    }

    /// For the fitted scheme: a smooth function of the drift with at most two local maxima.
    pub fn maximise_fitted(&self, weight: &[f64], out: Maximised<'_>) {
        let (g, r) = (self.geometry, self.rates);
        let (lower, upper) = out.rates;
        out.slope.fill(Slope::Fitted);
        for (j, &f) in self.drift.iter().enumerate() {
            let (db, da) = (self.below[j], self.above[j]);
            let mobility = self.control.map_or(0.0, |c| c.mobility[j]);
            let h = FittedHamiltonian {
                central: g.central_minus[j] * db + g.central_plus[j] * da,
                second: g.diffusion_plus[j] * da - g.diffusion_minus[j] * db,
                variance: r.variance[j],
                spacing: r.spacing[j],
                drift: f,
                mobility,
            };
            let (mu, gain) = match self.control {
                Some(c) if mobility > 0.0 => {
                    let (q, best) = h.maximise(c.dual_bounds[j]);
                    out.control[j] = c.per_dual[j] * q;
                    out.running[j] -= 0.5 * mobility * q * q;
                    (f + mobility * q, best)
                }
                Some(c) => {
                    let v = c.idle();
                    let cost = 0.5 * weight[j] * v * v;
                    out.control[j] = v;
                    out.running[j] -= cost;
                    (f, h.gain(f) - cost)
                }
                None => (f, h.gain(f)),
            };
            (lower[j], upper[j]) = r.rates(g, j, mu, Slope::Fitted);
            out.maximum[j] += gain + (r.plus[j] * da - r.minus[j] * db);
        }
    }
}

impl ControlData {
    /// Room for n nodes.
    pub fn new(bounds: (f64, f64), n: usize) -> Self {
        ControlData {
            bounds,
            mobility: vec![0.0; n],
            per_dual: vec![0.0; n],
            window: vec![(0.0, 0.0); n],
            dual_bounds: vec![(0.0, 0.0); n],
        }
    }

    /// The control that costs least, for nodes where it has no effect.
    fn idle(&self) -> f64 {
        0.0f64.max(self.bounds.0).min(self.bounds.1)
    }

    pub fn prepare(&mut self, drift: &[f64], gain: &[f64], weight: &[f64], rates: &AxisRates) {
        let (bound_low, bound_high) = self.bounds;
        let free = bound_low == f64::NEG_INFINITY && bound_high == f64::INFINITY;
        for j in 0..drift.len() {
            let (f, g, r) = (drift[j], gain[j], weight[j]);
            let kappa = g * g / r;
            self.per_dual[j] = g / r;
            if kappa > NO_CONTROL {
                self.mobility[j] = kappa;
                if let (Some(low), Some(high)) = (rates.low.get(j), rates.high.get(j)) {
                    self.window[j] = ((low - f) / kappa, (high - f) / kappa);
                }
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
            Slope::Central | Slope::Fitted => self.central,
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
