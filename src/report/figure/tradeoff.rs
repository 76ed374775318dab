//! Reward and KL divergence against the inverse KL weight, one panel each: simulated points with error bars, exact curves.

use super::axis::{Axis, extent};
use super::canvas::{Area, Canvas, Marker, Stroke};
use super::legend::{Key, header};
use super::panel::{BOTTOM, Panel};
use super::style::{self, LINE_WIDTH, MARKER_RADIUS};
use super::surface::Surface;
use super::{Chart, Figure, Mark};
use crate::report::ReportError;

/// An estimate at one weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TradeoffPoint {
    /// 1/beta, positive.
    pub at: f64,
    /// Estimate.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
}

/// What a fine-tuned model gains and how far it departs.
#[derive(Debug, Clone, Copy)]
pub struct Tradeoff<'a> {
    /// Title.
    pub title: &'a str,
    /// Estimates of the reward.
    pub reward: &'a [TradeoffPoint],
    /// Estimates of the divergence.
    pub kl: &'a [TradeoffPoint],
    /// (1/beta, reward, divergence) of the exact optimum along the range; may be empty.
    pub exact: &'a [(f64, f64, f64)],
}

/// Range of 1/beta from which its axis is logarithmic.
const DECADES: f64 = 8.0;

impl Figure for Tradeoff<'_> {
    fn size(&self) -> (u32, u32) {
        (800, 640)
    }

    fn charts(&self) -> Vec<Chart> {
        let exact = |f: &dyn Fn(&(f64, f64, f64)) -> f64| self.exact.iter().map(f).collect::<Vec<f64>>();
        let places = exact(&|e| e.0);
        let part = |title: &str, y_label: &str, points: &[TradeoffPoint], exact: Vec<f64>| {
            let of = |f: &dyn Fn(&TradeoffPoint) -> f64| points.iter().map(f).collect::<Vec<f64>>();
            let chart = Chart::new(&format!("{}: {title}", self.title), "inverse KL weight 1/β", y_label);
            let chart =
                chart.with_points("simulated ± 2 standard errors", &of(&|p| p.at), &of(&|p| p.value), &of(&|p| 2.0 * p.error));
            chart.with(Mark::Line, "exact optimum", &places, &exact)
        };
        let (reward, kl) = (exact(&|e| e.1), exact(&|e| e.2));
        vec![part("reward", "reward E r(Y_T)", self.reward, reward), part("divergence", "divergence KL", self.kl, kl)]
    }

    fn draw<S: Surface>(&self, canvas: &mut Canvas<S>) -> Result<(), ReportError> {
        let places = || self.reward.iter().chain(self.kl).map(|p| p.at).chain(self.exact.iter().map(|e| e.0));
        let finite = self.reward.iter().chain(self.kl).any(|p| p.value.is_finite() && p.at > 0.0 && p.at.is_finite());
        let Some((low, high)) = extent(places().filter(|x| *x > 0.0 && x.is_finite())).filter(|_| finite) else {
            return Err(ReportError::empty(format!("sweep {:?}", self.title), "no finite estimate at a positive weight"));
        };
        let label = "inverse KL weight 1/β";
        let linear = || Axis::linear(label, [low, high].into_iter(), 0.04, 7);
        let x = match high / low > DECADES {
            true => Axis::log10(label, [low / 1.1, high * 1.1].into_iter()).unwrap_or_else(linear),
            false => linear(),
        };
        let values = |points: &[TradeoffPoint], exact: &dyn Fn(&(f64, f64, f64)) -> f64| -> Vec<f64> {
            let ends = points.iter().flat_map(|p| [p.value - 2.0 * p.error, p.value + 2.0 * p.error]);
            ends.chain(self.exact.iter().map(exact)).filter(|v| v.is_finite()).collect()
        };
        let reward_y = Axis::linear("reward E r(Y_T)", values(self.reward, &|e| e.1).into_iter(), 0.08, 5);
        let kl_y = Axis::linear("divergence KL", values(self.kl, &|e| e.2).into_iter().chain([0.0]), 0.08, 5);

        let mut entries = vec![
            (Key::ErrorBar(Marker::Disk, style::line_color(0)), "reward, simulated".to_string()),
            (Key::ErrorBar(Marker::Square, style::line_color(1)), "KL, simulated".to_string()),
        ];
        if !self.exact.is_empty() {
            entries.push((Key::Line(Stroke::solid(style::INK, LINE_WIDTH), None), "exact optimum".into()));
        }
        let outer = Area { left: 14.0, top: 12.0, right: 776.0, bottom: 630.0 };
        let left = outer.left + Panel::left_margin(canvas, &reward_y).max(Panel::left_margin(canvas, &kl_y));
        let rest = header(canvas, outer, left, self.title, &entries)?;
        let (top, floor) = (rest.top + 8.0, rest.bottom - BOTTOM);
        let height = 0.5 * (floor - top - 30.0);
        let panel =
            |top: f64, y: Axis| Panel { area: Area { left, top, right: rest.right, bottom: top + height }, x: x.clone(), y };
        let mut upper = panel(top, reward_y);
        let lower = panel(floor - height, kl_y);
        for (i, (panel, points, name)) in [(&upper, self.reward, "reward"), (&lower, self.kl, "KL")].into_iter().enumerate() {
            panel.grid(canvas)?;
            let at: Vec<f64> = self.exact.iter().map(|e| e.0).collect();
            let exact: Vec<f64> = self.exact.iter().map(|e| if i == 0 { e.1 } else { e.2 }).collect();
            panel.curve(canvas, &at, &exact, Stroke::solid(style::INK, LINE_WIDTH))?;
            let colour = style::line_color(i);
            for p in points.iter().filter(|p| p.error.is_finite()) {
                let bar = [p.value - 2.0 * p.error, p.value + 2.0 * p.error];
                panel.curve(canvas, &[p.at, p.at], &bar, Stroke::solid(colour, 1.3))?;
            }
            let (at, value): (Vec<f64>, Vec<f64>) = points.iter().map(|p| (p.at, p.value)).unzip();
            panel.note_misplaced(canvas, name, &at, &value);
            panel.markers(canvas, &at, &value, (Marker::of(i), MARKER_RADIUS, colour))?;
        }
        // one set of tick texts for both panels, below the lower one
        upper.x.label.clear();
        upper.x.factor = None;
        upper.x.ticks.iter_mut().for_each(|t| t.text = Some(String::new()));
        upper.axes(canvas, false)?;
        lower.axes(canvas, false)
    }
}
