//! Laws on the line: bars of real data, densities as curves, a simulated final law as points with error bars.

use super::axis::{Axis, extent};
use super::canvas::{Area, Canvas, Marker, Stroke};
use super::legend::{Key, header};
use super::panel::Panel;
use super::style::{self, INK, LINE_WIDTH, MARKER_RADIUS};
use super::surface::Surface;
use super::{Chart, Figure, Mark};
use crate::report::ReportError;

/// A normalised histogram: heights integrate to one over the bins (less the samples outside).
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Histogram {
    /// Legend text.
    pub label: String,
    /// Bin edges, increasing; one more than there are bins.
    pub edges: Vec<f64>,
    /// Height per bin, in 1 / (unit of the edges).
    pub density: Vec<f64>,
    /// Standard error of each height, or empty.
    pub standard_error: Vec<f64>,
}

impl Histogram {
    /// Bins `samples` with the Freedman-Diaconis width `2 IQR n^(-1/3)`, but at least Sturges' `log2(n) + 1` bins (the first
    /// is too wide when the data have two modes) and at most 200; one bin for constant data.
    ///
    /// References: D. Freedman, P. Diaconis, "On the histogram as a density estimator: L2 theory",
    /// Z. Wahrscheinlichkeitstheorie verw. Gebiete 57 (1981); H. Sturges, "The choice of a class interval",
    /// J. Amer. Statist. Assoc. 21 (1926). Errors: non-finite or missing samples.
    pub fn from_samples(label: &str, samples: &[f64]) -> Result<Self, ReportError> {
        let mut sorted = samples.to_vec();
        if let Some(i) = sorted.iter().position(|v| !v.is_finite()) {
            return Err(ReportError::invalid(format!("{label}[{i}]"), sorted[i], "must be finite"));
        }
        sorted.sort_by(f64::total_cmp);
        let (Some(low), Some(high)) = (sorted.first().copied(), sorted.last().copied()) else {
            return Err(ReportError::empty(format!("histogram {label:?}"), "no samples"));
        };
        let quantile = |q: f64| sorted[((sorted.len() - 1) as f64 * q).round() as usize];
        let width = 2.0 * (quantile(0.75) - quantile(0.25)) / (sorted.len() as f64).cbrt();
        if high <= low {
            let half = if low == 0.0 { 0.5 } else { 0.05 * low.abs() };
            return Self::with_edges(label, samples, &[low - half, low + half]);
        }
        let sturges = (sorted.len() as f64).log2().ceil() + 1.0;
        let bins = if width > 0.0 { ((high - low) / width).ceil() } else { 20.0 }.max(sturges).min(200.0) as usize;
        let edges: Vec<f64> = (0..=bins).map(|k| low + (high - low) * k as f64 / bins as f64).collect();
        Self::with_edges(label, samples, &edges)
    }

    /// Bins `samples` (n of them) with the given edges (the last bin is closed). Standard errors are binomial,
    /// `sqrt(q (1 - q) / n) / width` with `q` the share of the bin. Samples outside count in n only.
    pub fn with_edges(label: &str, samples: &[f64], edges: &[f64]) -> Result<Self, ReportError> {
        ReportError::check_increasing("histogram edges", edges)?;
        if edges.len() < 2 || samples.is_empty() {
            return Err(ReportError::empty(format!("histogram {label:?}"), "needs two edges and one sample"));
        }
        let bins = edges.len() - 1;
        let mut counts = vec![0usize; bins];
        for (i, x) in samples.iter().enumerate() {
            if !x.is_finite() {
                return Err(ReportError::invalid(format!("{label}[{i}]"), x, "must be finite"));
            }
            if *x == edges[bins] {
                counts[bins - 1] += 1;
            } else if *x >= edges[0] && *x < edges[bins] {
                counts[edges.partition_point(|e| e <= x) - 1] += 1;
            }
        }
        let n = samples.len() as f64;
        let (mut density, mut standard_error) = (Vec::with_capacity(bins), Vec::with_capacity(bins));
        for (k, count) in counts.iter().enumerate() {
            let (share, width) = (*count as f64 / n, edges[k + 1] - edges[k]);
            density.push(share / width);
            standard_error.push((share * (1.0 - share) / n).sqrt() / width);
        }
        Ok(Self { label: label.into(), edges: edges.to_vec(), density, standard_error })
    }

    fn check(&self) -> Result<(), ReportError> {
        ReportError::check_increasing(&format!("{}: edges", self.label), &self.edges)?;
        ReportError::check_len(&format!("{}: density", self.label), self.density.len() + 1, self.edges.len().max(2))?;
        let errors = self.standard_error.len();
        if errors > 0 { ReportError::check_len("standard_error", errors, self.density.len()) } else { Ok(()) }
    }

    fn centres(&self) -> Vec<f64> {
        self.edges.windows(2).map(|e| 0.5 * (e[0] + e[1])).collect()
    }
}

/// A density as a curve.
#[derive(Debug, Clone, Copy)]
pub struct DensityLine<'a> {
    /// Legend text.
    pub label: &'a str,
    /// Where it is known, increasing.
    pub x: &'a [f64],
    /// Its values there, in 1 / (unit of x).
    pub density: &'a [f64],
}

/// Laws on the line in one panel.
#[derive(Debug, Clone, Copy)]
pub struct Densities<'a> {
    /// Title.
    pub title: &'a str,
    /// Label of the horizontal axis with its unit, e.g. `waiting time (min)`.
    pub x_label: &'a str,
    /// Label of the vertical axis with its unit, e.g. `density (1/min)`.
    pub y_label: &'a str,
    /// Real data, as bars.
    pub data: Option<&'a Histogram>,
    /// Densities, as curves.
    pub lines: &'a [DensityLine<'a>],
    /// A simulated law, as points with two standard errors either way.
    pub simulated: Option<&'a Histogram>,
}

impl Densities<'_> {
    /// The x-range: all bins, and of each curve the part above a thousandth of its peak.
    fn x_range(&self) -> Option<(f64, f64)> {
        let mut ends = Vec::new();
        for line in self.lines {
            let peak = line.density.iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
            let shown = line.x.iter().zip(line.density).filter(|(x, f)| x.is_finite() && **f > 1e-3 * peak);
            ends.extend(extent(shown.map(|(x, _)| *x)).map(|(a, b)| [a, b]).into_iter().flatten());
        }
        for histogram in self.data.iter().chain(self.simulated.iter()) {
            let filled = histogram.edges.windows(2).zip(&histogram.density).filter(|(_, f)| **f > 0.0);
            ends.extend(filled.flat_map(|(e, _)| [e[0], e[1]]));
        }
        extent(ends.into_iter())
    }
}

impl Figure for Densities<'_> {
    fn size(&self) -> (u32, u32) {
        (800, 500)
    }

    fn charts(&self) -> Vec<Chart> {
        let mut chart = Chart::new(self.title, self.x_label, self.y_label);
        if let Some(h) = self.data {
            chart = chart.with(Mark::Bars, &h.label, &h.edges, &h.density);
        }
        for line in self.lines {
            chart = chart.with(Mark::Line, line.label, line.x, line.density);
        }
        if let Some(h) = self.simulated {
            let middle: Vec<f64> = h.edges.windows(2).map(|e| 0.5 * (e[0] + e[1])).collect();
            let spread: Vec<f64> = h.standard_error.iter().map(|e| 2.0 * e).collect();
            chart = chart.with_points(&format!("{} ± 2 standard errors", h.label), &middle, &h.density, &spread);
        }
        vec![chart]
    }

    fn draw<S: Surface>(&self, canvas: &mut Canvas<S>) -> Result<(), ReportError> {
        for histogram in self.data.iter().chain(self.simulated.iter()) {
            histogram.check()?;
        }
        for line in self.lines {
            ReportError::check_len(&format!("{}: density", line.label), line.density.len(), line.x.len())?;
        }
        let (low, high) = self
            .x_range()
            .ok_or_else(|| ReportError::empty(format!("densities {:?}", self.title), "no finite positive density"))?;
        let heights = self.lines.iter().flat_map(|l| l.density.iter().copied());
        let bars = self.data.iter().flat_map(|h| h.density.iter().copied());
        let dots = self
            .simulated
            .iter()
            .flat_map(|h| h.density.iter().enumerate().map(|(k, f)| f + 2.0 * h.standard_error.get(k).copied().unwrap_or(0.0)));
        let peak = heights.chain(bars).chain(dots).filter(|v| v.is_finite()).fold(0.0, f64::max);
        let x = Axis::linear(self.x_label, [low, high].into_iter(), 0.03, 7);
        let y = Axis::linear_range(self.y_label, 0.0, 1.06 * peak, 5);

        let mut entries = Vec::new();
        if let Some(data) = self.data {
            entries.push((Key::Box(style::DATA_FILL, 1.0), data.label.clone()));
        }
        for (i, line) in self.lines.iter().enumerate() {
            entries.push((Key::Line(line_stroke(i), None), line.label.to_string()));
        }
        if let Some(simulated) = self.simulated {
            entries.push((Key::ErrorBar(Marker::Disk, INK), simulated.label.clone()));
        }
        let outer = Area { left: 14.0, top: 12.0, right: 780.0, bottom: 490.0 };
        let indent = outer.left + Panel::left_margin(canvas, &y);
        let below = header(canvas, outer, indent, self.title, &entries)?;
        let panel = Panel::fit(canvas, below, x, y);
        panel.grid(canvas)?;
        if let Some(data) = self.data {
            bars_of(canvas, &panel, data)?;
        }
        for (i, line) in self.lines.iter().enumerate() {
            panel.note_misplaced(canvas, line.label, line.x, line.density);
            panel.curve(canvas, line.x, line.density, line_stroke(i))?;
        }
        if let Some(simulated) = self.simulated {
            dots_of(canvas, &panel, simulated)?;
        }
        panel.axes(canvas, false)
    }
}

fn line_stroke(i: usize) -> Stroke {
    Stroke::solid(style::line_color(i), 1.15 * LINE_WIDTH).dashed(style::line_dash(i))
}

fn bars_of<S: Surface>(canvas: &mut Canvas<S>, panel: &Panel, data: &Histogram) -> Result<(), ReportError> {
    for (edge, height) in data.edges.windows(2).zip(&data.density) {
        if let (Some(a), Some(b)) = (panel.place(edge[0], 0.0), panel.place(edge[1], *height)) {
            let bar = Area { left: a.0 + 0.6, top: b.1, right: b.0 - 0.6, bottom: a.1 };
            canvas.rectangle(bar, style::DATA_FILL, 1.0)?;
        }
    }
    panel.note_misplaced(canvas, &data.label, &data.centres(), &data.density);
    Ok(())
}

fn dots_of<S: Surface>(canvas: &mut Canvas<S>, panel: &Panel, simulated: &Histogram) -> Result<(), ReportError> {
    let centres = simulated.centres();
    panel.note_misplaced(canvas, &simulated.label, &centres, &simulated.density);
    for (k, (x, height)) in centres.iter().zip(&simulated.density).enumerate() {
        if let Some(error) = simulated.standard_error.get(k).filter(|e| e.is_finite()) {
            let bar = ([*x, *x], [(height - 2.0 * error).max(0.0), height + 2.0 * error]);
            panel.curve(canvas, &bar.0, &bar.1, Stroke::solid(INK, 1.3))?;
        }
    }
    panel.markers(canvas, &centres, &simulated.density, (Marker::Disk, 0.75 * MARKER_RADIUS, INK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_count_each_sample_once() {
        let h = Histogram::with_edges("x", &[0.0, 0.5, 1.0, 1.5, 2.0, 9.0], &[0.0, 1.0, 2.0]).unwrap();
        assert_eq!(h.density, vec![2.0 / 6.0, 3.0 / 6.0]);
        assert!((h.standard_error[1] - (0.5 * 0.5 / 6.0f64).sqrt()).abs() < 1e-15);
        let samples: Vec<f64> = (0..1000).map(|i| (i as f64 * 0.618).fract()).collect();
        let h = Histogram::from_samples("x", &samples).unwrap();
        // IQR 1/2, n = 1000: width 0.1; Sturges asks for 11 bins.
        assert!((10..=11).contains(&h.density.len()), "{}", h.density.len());
        let mass: f64 = h.density.iter().zip(h.edges.windows(2)).map(|(f, e)| f * (e[1] - e[0])).sum();
        assert!((mass - 1.0).abs() < 1e-12);
    }

    #[test]
    fn degenerate_samples() {
        assert_eq!(Histogram::from_samples("x", &[3.0; 5]).unwrap().density.len(), 1);
        assert!(Histogram::from_samples("x", &[]).is_err());
        assert!(Histogram::from_samples("x", &[1.0, f64::NAN]).unwrap_err().to_string().contains("x[1]"));
        assert!(Histogram::with_edges("x", &[1.0], &[1.0, 0.0]).is_err());
    }
}
