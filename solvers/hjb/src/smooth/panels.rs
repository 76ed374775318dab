//! The coefficients on the nodes as functions of time: evaluated at few times, interpolated between them.
//!
//! A score with many components costs far more than the derivatives it multiplies, so the model is asked at the
//! Chebyshev points of panels in time, and the polynomial through them stands in between. A panel is accepted when its
//! last Chebyshev coefficients, weighted with the derivatives of V that they multiply, are below a share of the tolerance
//! of the time integration; otherwise it is shortened. Panels begin and end where the coefficients jump in time, and do not straddle what varies quickly.

use crate::error::HjbError;
use crate::smooth::channels::{Channel, NodeModel};
use crate::smooth::differences::SERIAL_BELOW;
use crate::time_variation::TimeVariation;
use rayon::prelude::*;
use std::sync::Arc;

/// Nodes of one parallel task.
const CHUNK: usize = 4096;

/// Nodes combined at once: the knots there stay in the first-level cache.
const BLOCK: usize = 256;

/// The smooth piece of the horizon that is integrated: generation times from `upper` down to `lower`, with no jump between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub lower: f64,
    pub upper: f64,
}

impl Segment {
    /// Its length.
    pub fn length(self) -> f64 {
        self.upper - self.lower
    }

    /// Generation time at tau, the distance from the upper end; never beyond the ends, where coefficients may jump.
    pub fn time(self, tau: f64) -> f64 {
        (self.upper - tau).max(self.lower).min(self.upper)
    }
}

/// A panel of this fraction of the horizon may have a larger error: its share of the whole is small.
const SHORT_PANEL: f64 = 1.0 / 256.0;

/// A panel in tau, the distance in time from the end of the segment, with the channels at its Chebyshev points.
struct Panel {
    start: f64,
    end: f64,
    knots: Vec<Vec<Channel>>,
}

/// Degree of the polynomials in time.
const DEGREE: usize = 8;

impl Panel {
    fn node(start: f64, end: f64, k: usize) -> f64 {
        // Increasing; both ends exact.
        match k {
            0 => start,
            DEGREE => end,
            _ => 0.5 * (start + end) - 0.5 * (end - start) * (k as f64 * std::f64::consts::PI / DEGREE as f64).cos(),
        }
    }

    /// Weights of the knots at tau (barycentric formula).
    fn weights(&self, tau: f64) -> Vec<f64> {
        let sign = |k: usize| {
            let end = if k == 0 || k == DEGREE { 0.5 } else { 1.0 };
            if k.is_multiple_of(2) { end } else { -end }
        };
        let distances: Vec<f64> = (0..=DEGREE).map(|k| tau - Panel::node(self.start, self.end, k)).collect();
        if let Some(hit) = distances.iter().position(|d| d.abs() <= 1e-15 * self.end.abs()) {
            return (0..=DEGREE).map(|k| if k == hit { 1.0 } else { 0.0 }).collect();
        }
        let raw: Vec<f64> = (0..=DEGREE).map(|k| sign(k) / distances[k]).collect();
        let sum: f64 = raw.iter().sum();
        raw.iter().map(|w| w / sum).collect()
    }

    /// Size of the last Chebyshev coefficients of channel c.
    fn tail(&self, c: usize) -> f64 {
        let knots: Vec<&Channel> = self.knots.iter().map(|k| &k[c]).collect();
        let weights = |order: usize| -> Vec<f64> {
            (0..=DEGREE)
                .map(|k| {
                    let end = if k == 0 || k == DEGREE { 0.5 } else { 1.0 };
                    let scale = if order == DEGREE { 1.0 } else { 2.0 } / DEGREE as f64;
                    scale * end * ((order * k) as f64 * std::f64::consts::PI / DEGREE as f64).cos()
                })
                .collect()
        };
        let size = |order: usize| {
            let mut coefficient = Channel::Uniform(0.0);
            combine(&[weights(order)], &knots, &mut [&mut coefficient]);
            coefficient.sup()
        };
        // A coefficient may vanish by symmetry: the one before it guards against that.
        size(DEGREE).max(0.1 * size(DEGREE - 1))
    }
}

/// What the interpolation in time did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ChannelStatistics {
    /// Evaluations of the model on all nodes.
    pub evaluations: usize,
    /// Panels accepted.
    pub panels: usize,
    /// Estimated effect on V.
    pub error: f64,
}

/// The channels as functions of tau, panel by panel, forward in tau.
pub(crate) struct ChannelPath {
    horizon: f64,
    segment: Segment,
    variation: Arc<TimeVariation>,
    panel: Option<Panel>,
    next_length: f64,
    pub statistics: ChannelStatistics,
}

impl ChannelPath {
    /// The path over a segment of [0, horizon].
    pub fn new(horizon: f64, segment: Segment, variation: Arc<TimeVariation>) -> Self {
        let next_length = 0.25 * horizon;
        ChannelPath { horizon, segment, variation, panel: None, next_length, statistics: ChannelStatistics::default() }
    }

    /// The latest tau that a step from `tau` may reach: not beyond the panel, nor over what varies quickly.
    pub fn limit(&self, tau: f64) -> f64 {
        self.end().min(tau + self.variation.next_stop(self.segment.time(tau)).1)
    }

    /// End of the current panel; 0 before the first.
    pub fn end(&self) -> f64 {
        self.panel.as_ref().map_or(0.0, |p| p.end)
    }

    /// Build the panel that follows. `sensitivity[c]` is the change of V_tau for a unit change of channel c, `tolerance`
    /// the change of V that the interpolation may cause over the whole horizon.
    pub fn advance(&mut self, model: &NodeModel<'_>, sensitivity: &[f64], tolerance: f64) -> Result<(), HjbError> {
        let (horizon, segment) = (self.horizon, self.segment);
        let start = self.end();
        let stop = segment.length().min(segment.upper - self.variation.next_stop(segment.time(start)).0);
        let mut first = match self.panel.take() {
            Some(mut p) => p.knots.pop(),
            None => None,
        };
        let mut length = self.next_length;
        loop {
            let mut end = start + length;
            if end > stop - 1e-3 * length {
                end = stop;
            }
            let mut knots = Vec::with_capacity(DEGREE + 1);
            for k in 0..=DEGREE {
                match first.take() {
                    Some(channels) if k == 0 => knots.push(channels),
                    _ => {
                        let t = segment.time(Panel::node(start, end, k));
                        self.statistics.evaluations += 1;
                        knots.push(model.evaluate(t)?);
                    }
                }
            }
            let mut panel = Panel { start, end, knots };
            length = end - start;
            let rate: f64 = sensitivity.iter().enumerate().filter(|(_, s)| **s > 0.0).map(|(c, s)| s * panel.tail(c)).sum();
            let allowed = tolerance * (length / horizon).max(SHORT_PANEL) / length;
            let ratio = if rate > 0.0 { (allowed / rate).powf(1.0 / DEGREE as f64) } else { 2.0 };
            if rate <= allowed || length < 1e-12 * horizon {
                self.next_length = length * (0.9 * ratio).clamp(0.5, 4.0);
                self.statistics.panels += 1;
                self.statistics.error += rate * length;
                self.panel = Some(panel);
                return Ok(());
            }
            length *= (0.8 * ratio).clamp(0.1, 0.8);
            first = Some(panel.knots.swap_remove(0));
        }
    }

    /// Write the channels at several times inside the current panel, each into its own set.
    pub fn fill(&self, targets: &mut [(f64, &mut [Channel])]) {
        let Some(panel) = &self.panel else { return };
        let weights: Vec<Vec<f64>> = targets.iter().map(|(tau, _)| panel.weights(*tau)).collect();
        for c in 0..panel.knots[0].len() {
            let knots: Vec<&Channel> = panel.knots.iter().map(|k| &k[c]).collect();
            let mut outs: Vec<&mut Channel> = targets.iter_mut().map(|(_, set)| &mut set[c]).collect();
            combine(&weights, &knots, &mut outs);
        }
    }
}

/// Make each of `outs` the combination of the knots with its weights; the knots are read once.
fn combine(weights: &[Vec<f64>], knots: &[&Channel], outs: &mut [&mut Channel]) {
    let Some(n) = knots.iter().find_map(|k| if let Channel::Nodal(v) = k { Some(v.len()) } else { None }) else {
        for (out, w) in outs.iter_mut().zip(weights) {
            **out = Channel::Uniform(w.iter().zip(knots).map(|(w, k)| w * k.get(0)).sum());
        }
        return;
    };
    let mut tasks: Vec<Vec<&mut [f64]>> = (0..n.div_ceil(CHUNK)).map(|_| Vec::with_capacity(outs.len())).collect();
    for out in outs.iter_mut() {
        if !matches!(&**out, Channel::Nodal(v) if v.len() == n) {
            **out = Channel::Nodal(vec![0.0; n]);
        }
        if let Channel::Nodal(values) = &mut **out {
            tasks.iter_mut().zip(values.chunks_mut(CHUNK)).for_each(|(task, part)| task.push(part));
        }
    }
    let run = |(chunk, mut parts): (usize, Vec<&mut [f64]>)| {
        let len = parts.first().map_or(0, |p| p.len());
        for start in (0..len).step_by(BLOCK) {
            let end = (start + BLOCK).min(len);
            for (part, w) in parts.iter_mut().zip(weights) {
                combine_block(w, knots, chunk * CHUNK + start, &mut part[start..end]);
            }
        }
    };
    if n < SERIAL_BELOW {
        tasks.into_iter().enumerate().for_each(run);
    } else {
        tasks.into_par_iter().enumerate().for_each(run);
    }
}

/// The combination on the nodes from `start`.
fn combine_block(weights: &[f64], knots: &[&Channel], start: usize, out: &mut [f64]) {
    let len = out.len();
    let mut nodal: [&[f64]; DEGREE + 1] = [&[]; DEGREE + 1];
    let mut found = 0;
    for (slot, knot) in nodal.iter_mut().zip(knots) {
        if let Channel::Nodal(v) = knot {
            *slot = &v[start..start + len];
            found += 1;
        }
    }
    match <[f64; DEGREE + 1]>::try_from(weights) {
        Ok(w) if found == DEGREE + 1 => {
            // Named slices of one length: that is what the compiler vectorises.
            let [a, b, c, d, e, f, g, h, i] = nodal.map(|v| &v[..len]);
            for j in 0..len {
                let low = w[0] * a[j] + w[1] * b[j] + w[2] * c[j] + w[3] * d[j];
                let high = w[4] * e[j] + w[5] * f[j] + w[6] * g[j] + w[7] * h[j];
                out[j] = low + high + w[8] * i[j];
            }
        }
        _ => {
            for (j, o) in out.iter_mut().enumerate() {
                *o = weights.iter().zip(knots).map(|(w, k)| w * k.get(start + j)).sum();
            }
        }
    }
}
