//! Axes: linear, logarithmic (base 10, and base 2 for step counts), their ticks and the text of the ticks.

/// How values are laid along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Proportional.
    Linear,
    /// Logarithmic; only positive values have a place.
    Log,
}

/// A mark on an axis; minor ticks have no text.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// Value.
    pub at: f64,
    /// Text, if any.
    pub text: Option<String>,
}

/// A labelled axis over `[lower, upper]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// How values are laid out.
    pub scale: Scale,
    /// Smallest value shown.
    pub lower: f64,
    /// Largest value shown; always above `lower`.
    pub upper: f64,
    /// Label with its unit.
    pub label: String,
    /// Ticks in increasing order.
    pub ticks: Vec<Tick>,
    /// Common factor of the tick texts, e.g. `×10⁻⁶`.
    pub factor: Option<String>,
}

impl Axis {
    /// A linear axis that holds all finite `values` with a margin of `margin` times their range on both sides
    /// (constant or missing data get a range of their own), with about `count` ticks.
    pub fn linear(label: &str, values: impl Iterator<Item = f64>, margin: f64, count: usize) -> Self {
        let (low, high) = widen(extent(values.filter(|v| v.is_finite())));
        let pad = margin * (high - low);
        Self::linear_range(label, low - pad, high + pad, count)
    }

    /// A linear axis over exactly `[lower, upper]` (swapped or widened if need be), with about `count` ticks.
    pub fn linear_range(label: &str, lower: f64, upper: f64, count: usize) -> Self {
        let (lower, upper) = widen(Some((lower.min(upper), upper.max(lower))));
        let step = nice_step((upper - lower) / count.max(1) as f64);
        let first = (lower / step - 1e-9).ceil() as i64;
        let last = (upper / step + 1e-9).floor() as i64;
        let at: Vec<f64> = (first..=last).map(|k| k as f64 * step).collect();
        let (texts, factor) = linear_texts(&at, step);
        let ticks = at.into_iter().zip(texts).map(|(at, text)| Tick { at, text: Some(text) }).collect();
        Self { scale: Scale::Linear, lower, upper, label: label.into(), ticks, factor }
    }

    /// A base-10 logarithmic axis that holds all positive finite `values`; `None` if there is none.
    pub fn log10(label: &str, values: impl Iterator<Item = f64>) -> Option<Self> {
        let (low, high) = extent(values.filter(|v| v.is_finite() && *v > 0.0))?;
        let (low, high) = (low.log10(), high.log10());
        let pad = (0.06 * (high - low)).max(if high - low < 0.2 { 0.3 } else { 0.1 });
        let (lower, upper) = ((low - pad).max(-307.0), (high + pad).min(308.0));
        let (from, to) = (lower.floor() as i32, upper.ceil() as i32);
        let decades = (from..=to).filter(|k| (*k as f64) >= lower && (*k as f64) <= upper).count();
        let stride = (decades as i32 - 1) / 8 + 1;
        // Fewer than two decades: 2 and 5 carry texts too, else the reader has no scale.
        let spelled: &[i32] = if upper - lower > 2.0 { &[1] } else { &[1, 2, 5] };
        // One notation per axis: plain numbers only if all of them are short.
        let plain = lower > -2.5 && upper < 4.0;
        let mut ticks = Vec::new();
        for k in from..=to {
            for digit in 1..10 {
                let exponent = (digit as f64).log10() + k as f64;
                let minor = digit > 1 && stride > 1;
                if exponent < lower - 1e-9 || exponent > upper + 1e-9 || minor {
                    continue;
                }
                let text = (spelled.contains(&digit) && k % stride == 0).then(|| power_text(digit, k, plain));
                ticks.push(Tick { at: 10f64.powf(exponent), text });
            }
        }
        let (lower, upper) = (10f64.powf(lower), 10f64.powf(upper));
        Some(Self { scale: Scale::Log, lower, upper, label: label.into(), ticks, factor: None })
    }

    /// A logarithmic axis for step counts with its ticks at the counts themselves; `None` if there is none.
    pub fn counts(label: &str, values: &[usize]) -> Option<Self> {
        let mut counts: Vec<usize> = values.iter().copied().filter(|n| *n > 0).collect();
        counts.sort_unstable();
        counts.dedup();
        let (first, last) = (*counts.first()? as f64, *counts.last()? as f64);
        let pad = (last / first).powf(0.06).max(1.25);
        let ticks = counts.iter().map(|n| Tick { at: *n as f64, text: Some(n.to_string()) }).collect();
        Some(Self { scale: Scale::Log, lower: first / pad, upper: last * pad, label: label.into(), ticks, factor: None })
    }

    /// Position of `value` along the axis, 0 at `lower` and 1 at `upper`; NaN where it has no place.
    pub fn position(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.lower) / (self.upper - self.lower),
            Scale::Log if value > 0.0 => (value / self.lower).ln() / (self.upper / self.lower).ln(),
            Scale::Log => f64::NAN,
        }
    }

    /// The value at a position: inverse of [`Axis::position`].
    pub fn value(&self, position: f64) -> f64 {
        match self.scale {
            Scale::Linear => self.lower + position * (self.upper - self.lower),
            Scale::Log => self.lower * (self.upper / self.lower).powf(position),
        }
    }
}

/// Smallest and largest value, `None` without values.
pub fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, v| Some(range.map_or((v, v), |(low, high): (f64, f64)| (low.min(v), high.max(v)))))
}

/// A range of positive length: constants are widened around themselves, missing data give `[0, 1]`.
fn widen(range: Option<(f64, f64)>) -> (f64, f64) {
    let (low, high) = range.filter(|(low, high)| low.is_finite() && high.is_finite()).unwrap_or((0.0, 1.0));
    // Halving first keeps the difference of huge values finite.
    let (low, high) = (low.clamp(-1e300, 1e300), high.clamp(-1e300, 1e300));
    let size = low.abs().max(high.abs());
    if high - low > 1e-12 * size && high - low > 1e-300 {
        return (low, high);
    }
    let half = if size > 1e-280 { 0.1 * size } else { 1.0 };
    (low - half, high + half)
}

/// The smallest of 1, 2, 2.5, 5 times a power of ten that is at least 0.7 `raw`.
fn nice_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.log10().floor());
    let fraction = 0.7 * raw / power;
    [1.0, 2.0, 2.5, 5.0].into_iter().find(|s| *s >= fraction - 1e-9).unwrap_or(10.0) * power
}

/// Texts with equal numbers of decimals and, for very large or small values, a common power of ten.
fn linear_texts(ticks: &[f64], step: f64) -> (Vec<String>, Option<String>) {
    let largest = ticks.iter().fold(0.0f64, |m, t| m.max(t.abs()));
    let exponent = if largest > 0.0 { largest.log10().floor() as i32 } else { 0 };
    let (unit, factor) = if (-2..5).contains(&exponent) {
        (1.0, None)
    } else {
        (10f64.powi(exponent), Some(format!("×10{}", superscript(exponent))))
    };
    let scaled = step / unit;
    let decimals = (0..16).find(|d| {
        let shifted = scaled * 10f64.powi(*d);
        (shifted - shifted.round()).abs() < 1e-6 * shifted
    });
    let decimals = decimals.unwrap_or(3) as usize;
    (ticks.iter().map(|t| number(t / unit, decimals)).collect(), factor)
}

/// A number with a fixed count of decimals and a proper minus sign.
pub fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().any(|c| c.is_ascii_digit() && c != '0') => format!("−{rest}"),
        Some(rest) => rest.to_string(),
        None => text,
    }
}

/// An integer in superscript digits.
pub fn superscript(value: i32) -> String {
    value
        .to_string()
        .chars()
        .map(|c| match c {
            '-' => '⁻',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            '0' => '⁰',
            '4' => '⁴',
            '5' => '⁵',
            '6' => '⁶',
            '7' => '⁷',
            '8' => '⁸',
            _ => '⁹',
        })
        .collect()
}

/// `10ᵏ`, `2×10ᵏ`, or the number spelled out.
fn power_text(digit: i32, exponent: i32, plain: bool) -> String {
    match (digit, exponent) {
        (d, k) if plain => number(d as f64 * 10f64.powi(k), (-k).max(0) as usize),
        (1, k) => format!("10{}", superscript(k)),
        (d, k) => format!("{d}×10{}", superscript(k)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().filter_map(|t| t.text.clone()).collect()
    }

    #[test]
    fn linear_ticks_are_round_and_inside() {
        let axis = Axis::linear_range("y", -3.1, 3.1, 6);
        assert_eq!(texts(&axis), ["−3", "−2", "−1", "0", "1", "2", "3"]);
        let axis = Axis::linear_range("y", 0.0, 1.0, 3);
        assert_eq!(texts(&axis), ["0.00", "0.25", "0.50", "0.75", "1.00"]);
        let axis = Axis::linear("residual", [-3e-6, 2e-6].into_iter(), 0.0, 5);
        assert_eq!((texts(&axis).join(" "), axis.factor.as_deref()), ("−3 −2 −1 0 1 2".into(), Some("×10⁻⁶")));
        for (low, high) in [(-1e-12, 3e-12), (5.0, 1e9), (-7.3, -7.2999), (1e200, 3e200), (-f64::MAX, f64::MAX)] {
            let axis = Axis::linear("x", [low, high].into_iter(), 0.04, 5);
            assert!((2..=12).contains(&axis.ticks.len()), "{low} {high}: {:?}", axis.ticks);
            assert!(axis.ticks.iter().all(|t| (-1e-9..1.0 + 1e-9).contains(&axis.position(t.at))), "{axis:?}");
        }
    }

    #[test]
    fn degenerate_ranges_get_a_length() {
        for values in [vec![], vec![0.0], vec![4.0; 3], vec![-1e-290, -1e-290], vec![f64::NAN, f64::INFINITY], vec![f64::MAX]] {
            let axis = Axis::linear("x", values.iter().copied(), 0.05, 5);
            assert!(axis.upper > axis.lower && !axis.ticks.is_empty(), "{values:?}: {axis:?}");
        }
        let axis = Axis::linear("x", [4.0; 2].into_iter(), 0.0, 5);
        assert!((axis.position(4.0) - 0.5).abs() < 1e-12, "a constant sits in the middle");
    }

    #[test]
    fn log_axes_label_powers_and_skip_what_has_no_logarithm() {
        let axis = Axis::log10("error", [1.1e-6, 0.03, -1.0, 0.0, f64::NAN].into_iter()).unwrap();
        assert_eq!(texts(&axis), ["10⁻⁶", "10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²"]);
        assert!(axis.position(-1.0).is_nan() && axis.position(0.0).is_nan());
        assert!((axis.value(axis.position(3e-4)) - 3e-4).abs() < 1e-18);
        let short = Axis::log10("factor", [0.2, 30.0].into_iter()).unwrap();
        assert_eq!(texts(&short), ["1", "10"], "0.1 is outside");
        let short = Axis::log10("error", [1.2e-3, 4e-3].into_iter()).unwrap();
        assert!(texts(&short).contains(&"2×10⁻³".to_string()), "{:?}", texts(&short));
        assert!(Axis::log10("error", [0.0, -1.0, f64::NAN].into_iter()).is_none());
        let wide = Axis::log10("error", [1e-300, 1e300].into_iter()).unwrap();
        assert!(texts(&wide).len() <= 10, "{:?}", texts(&wide));
    }

    #[test]
    fn count_ticks_are_the_counts() {
        let axis = Axis::counts("N", &[128, 32, 64, 32]).unwrap();
        assert_eq!(texts(&axis), ["32", "64", "128"]);
        let middle = 0.5 * (axis.position(32.0) + axis.position(128.0));
        assert!((axis.position(64.0) - middle).abs() < 1e-12, "octaves are equally long");
        assert!(Axis::counts("N", &[0]).is_none());
    }

    #[test]
    fn numbers_have_proper_signs() {
        assert_eq!(number(-1.25, 2), "−1.25");
        assert_eq!(number(-1e-9, 1), "0.0", "no negative zero");
        assert_eq!(superscript(-10), "⁻¹⁰");
    }
}
