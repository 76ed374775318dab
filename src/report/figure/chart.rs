//! What a figure of lines shows, as data: `report.html` draws it again, with values under the pointer.

use serde::Serialize;

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// A line.
    Line,
    /// A dashed line: a bound, an exact value.
    Dashed,
    /// A thin line, one of many.
    Thin,
    /// Points joined by a line.
    Joined,
    /// Points, with bars of `spread` either way where there is one.
    Points,
    /// Steps over intervals; `x` has the edges and one entry more than `y`.
    Bars,
    /// The area between `y` and `upper`.
    Band,
}

/// Values at places. What is not finite becomes null and is a gap.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChartSeries {
    /// Legend text; thin lines may share one.
    pub label: String,
    /// How it is drawn.
    pub mark: Mark,
    /// Places.
    pub x: Vec<f32>,
    /// Values.
    pub y: Vec<f32>,
    /// Upper edge of a band.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub upper: Vec<f32>,
    /// Half length of the bars of points.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spread: Vec<f32>,
}

/// A diagram of lines over one pair of axes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chart {
    /// Title.
    pub title: String,
    /// Label of the horizontal axis.
    pub x_label: String,
    /// Label of the vertical axis.
    pub y_label: String,
    /// Whether the horizontal axis is logarithmic.
    pub log_x: bool,
    /// Whether the vertical axis is logarithmic.
    pub log_y: bool,
    /// The series.
    pub series: Vec<ChartSeries>,
}

/// Seven digits are enough to look at.
fn short(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}

impl Chart {
    /// Axes without series.
    pub fn new(title: &str, x_label: &str, y_label: &str) -> Self {
        let [title, x_label, y_label] = [title, x_label, y_label].map(str::to_string);
        Chart { title, x_label, y_label, log_x: false, log_y: false, series: Vec::new() }
    }

    /// With logarithmic axes.
    pub fn logarithmic(mut self, x: bool, y: bool) -> Self {
        (self.log_x, self.log_y) = (x, y);
        self
    }

    /// With one more series; one without values is left out.
    pub fn with(mut self, mark: Mark, label: &str, x: &[f64], y: &[f64]) -> Self {
        if !y.is_empty() {
            let label = label.to_string();
            self.series.push(ChartSeries { label, mark, x: short(x), y: short(y), upper: Vec::new(), spread: Vec::new() });
        }
        self
    }

    /// With points and bars of `spread` either way.
    pub fn with_points(self, label: &str, x: &[f64], y: &[f64], spread: &[f64]) -> Self {
        let mut this = self.with(Mark::Points, label, x, y);
        if let Some(last) = this.series.last_mut().filter(|_| !y.is_empty()) {
            last.spread = short(spread);
        }
        this
    }

    /// With the area between two lines.
    pub fn with_band(self, label: &str, x: &[f64], lower: &[f64], upper: &[f64]) -> Self {
        let mut this = self.with(Mark::Band, label, x, lower);
        if let Some(last) = this.series.last_mut().filter(|_| !lower.is_empty()) {
            last.upper = short(upper);
        }
        this
    }
}
