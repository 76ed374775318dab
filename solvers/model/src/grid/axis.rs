//! One axis of a tensor grid: strictly increasing nodes, and the cell in which a coordinate lies.

use super::tensor::MAX_NODES;
use crate::error::ModelError;

/// Fewest nodes of an axis: what a not-a-knot spline with an interior row of its own needs.
pub const MIN_NODES: usize = 5;

/// Largest departure from equal spacing, in units of the spacing, at which an axis counts as uniform.
const UNIFORM_TOLERANCE: f64 = 1e-9;

/// Strictly increasing, finite nodes x_0 < ... < x_{n-1}, n >= 5.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    nodes: Vec<f64>,
    /// 1/(x_{i+1} - x_i).
    inverse_steps: Vec<f64>,
    search: Search,
}

/// How the cell of a coordinate is found.
#[derive(Clone, Debug, PartialEq)]
enum Search {
    /// Equally spaced nodes: one multiplication by 1/h.
    Uniform { inverse_step: f64 },
    /// Equal buckets, `first[b]` nodes in those before bucket b; binary search among the nodes of one bucket. The map from
    /// coordinates to buckets is monotone in floating-point arithmetic too, so the search is exact.
    Buckets { inverse_width: f64, first: Vec<u32> },
}

impl Search {
    fn buckets(nodes: &[f64], count: usize) -> Self {
        let width = (nodes[nodes.len() - 1] - nodes[0]) / count as f64;
        // Buckets too narrow to be counted: a single one, which makes a plain binary search.
        let inverse_width = if (1.0 / width).is_finite() { 1.0 / width } else { 0.0 };
        let mut first = vec![0_u32; count + 1];
        for &x in nodes {
            first[bucket(x, nodes[0], inverse_width, count) + 1] += 1;
        }
        for b in 0..count {
            first[b + 1] += first[b];
        }
        Search::Buckets { inverse_width, first }
    }
}

/// The bucket of a coordinate; 0 for NaN.
#[inline(always)]
fn bucket(x: f64, lower: f64, inverse_width: f64, count: usize) -> usize {
    (((x - lower) * inverse_width) as i64).clamp(0, count as i64 - 1) as usize
}

impl Axis {
    /// `nodes` equally spaced nodes from `lower` to `upper`, both included.
    ///
    /// The nodes are ((n-1-i) lower + i upper)/(n-1), so an axis with lower = -upper is symmetric to the last bit.
    ///
    /// # Errors
    /// Bounds that are not finite or not increasing, fewer than 5 nodes or more than 2^31, or a spacing below the resolution
    /// of f64.
    pub fn uniform(lower: f64, upper: f64, nodes: usize) -> Result<Self, ModelError> {
        check_bounds(lower, upper, nodes)?;
        let last = (nodes - 1) as f64;
        let blend = |i: usize| (lower * (last - i as f64) + upper * i as f64) / last;
        Axis::from_nodes(with_exact_ends(lower, upper, nodes, blend))
    }

    /// `nodes` nodes from `lower` to `upper`, both included, that concentrate around `center`.
    ///
    /// x(xi) = center + alpha sinh((1-xi) c_1 + xi c_2) at xi = i/(n-1), with alpha = (upper - lower)/strength,
    /// c_1 = asinh((lower - center)/alpha), c_2 = asinh((upper - center)/alpha): strictly monotone for every strength > 0.
    /// The spacing near the centre is smaller than the mean spacing by about strength / (c_2 - c_1); strength -> 0 is the
    /// uniform axis. Source: D. Tavella, C. Randall, *Pricing Financial Instruments: The Finite Difference Method* (2000).
    ///
    /// # Errors
    /// As [`Axis::uniform`]; a centre outside [lower, upper]; a strength that is not finite and positive, or so large that
    /// neighbouring nodes round to the same number.
    pub fn stretched(lower: f64, upper: f64, nodes: usize, center: f64, strength: f64) -> Result<Self, ModelError> {
        check_bounds(lower, upper, nodes)?;
        if !(lower..=upper).contains(&center) {
            return Err(ModelError::invalid("axis.center", center, format!("must lie in [{lower}, {upper}]")));
        }
        if !(strength.is_finite() && strength > 0.0) {
            return Err(ModelError::invalid("axis.strength", strength, "must be finite and positive"));
        }
        // The departure from the uniform axis is O(strength^2): below the resolution of f64 here.
        if strength < 1e-8 {
            return Axis::uniform(lower, upper, nodes);
        }
        let alpha = (upper - lower) / strength;
        let (c1, c2) = (libm::asinh((lower - center) / alpha), libm::asinh((upper - center) / alpha));
        let last = (nodes - 1) as f64;
        let map = |i: usize| center + alpha * libm::sinh((c1 * (last - i as f64) + c2 * i as f64) / last);
        let nodes = with_exact_ends(lower, upper, nodes, map);
        if nodes.windows(2).all(|w| w[0] < w[1]) {
            return Axis::from_nodes(nodes);
        }
        Err(ModelError::invalid("axis.strength", strength, "neighbouring nodes round to the same number; lower the strength"))
    }

    /// The nodes given.
    ///
    /// # Errors
    /// Fewer than 5 nodes or more than 2^31, a node that is not finite, or nodes that do not increase strictly.
    pub fn from_nodes(nodes: Vec<f64>) -> Result<Self, ModelError> {
        check_count(nodes.len())?;
        if let Some(i) = nodes.iter().position(|x| !x.is_finite()) {
            return Err(ModelError::invalid(format!("axis.nodes[{i}]"), nodes[i], "must be finite"));
        }
        if let Some(i) = nodes.windows(2).position(|w| w[0] >= w[1]) {
            let allowed = format!("must exceed the node before it, {}", nodes[i]);
            return Err(ModelError::invalid(format!("axis.nodes[{}]", i + 1), nodes[i + 1], allowed));
        }
        let (first, last) = (nodes[0], nodes[nodes.len() - 1]);
        if !(last - first).is_finite() {
            return Err(ModelError::invalid("axis.upper", last, format!("upper - lower overflows (lower = {first})")));
        }
        let step = (last - first) / (nodes.len() - 1) as f64;
        let equal = |(i, x): (usize, &f64)| (x - (first + i as f64 * step)).abs() <= UNIFORM_TOLERANCE * step;
        let inverse_steps: Vec<f64> = nodes.windows(2).map(|w| 1.0 / (w[1] - w[0])).collect();
        if let Some(i) = inverse_steps.iter().position(|s| !s.is_finite()) {
            let allowed = format!("too close to the node before it, {}: 1/spacing overflows", nodes[i]);
            return Err(ModelError::invalid(format!("axis.nodes[{}]", i + 1), nodes[i + 1], allowed));
        }
        let search = if nodes.iter().enumerate().all(equal) {
            Search::Uniform { inverse_step: 1.0 / step }
        } else {
            Search::buckets(&nodes, 4 * nodes.len())
        };
        Ok(Axis { nodes, inverse_steps, search })
    }

    /// The nodes.
    pub fn nodes(&self) -> &[f64] {
        &self.nodes
    }

    /// Number of nodes, at least 5.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never true: an axis has at least 5 nodes.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The first node.
    pub fn lower(&self) -> f64 {
        self.nodes[0]
    }

    /// The last node.
    pub fn upper(&self) -> f64 {
        self.nodes[self.nodes.len() - 1]
    }

    /// The spacing h when the nodes are equally spaced (to 1e-9 h).
    pub fn spacing(&self) -> Option<f64> {
        let uniform = matches!(self.search, Search::Uniform { .. });
        uniform.then(|| (self.upper() - self.lower()) / (self.nodes.len() - 1) as f64)
    }

    /// 1/h when the nodes are equally spaced (to 1e-9 h).
    pub(super) fn inverse_spacing(&self) -> Option<f64> {
        match self.search {
            Search::Uniform { inverse_step } => Some(inverse_step),
            Search::Buckets { .. } => None,
        }
    }

    /// 1/(x_{i+1} - x_i) for each of the n - 1 cells.
    pub(super) fn inverse_steps(&self) -> &[f64] {
        &self.inverse_steps
    }

    /// Whether `x` lies in [lower, upper]; false for NaN.
    pub fn contains(&self, x: f64) -> bool {
        x >= self.lower() && x <= self.upper()
    }

    /// The cell i with x_i <= x < x_{i+1}, clamped to 0..n-1 (n - 1 cells): 0 left of the box and for NaN, n - 2 right of it
    /// and at the last node. O(1) on
    /// a uniform axis; otherwise a look-up and a binary search among the nodes of one of 4n buckets.
    #[inline]
    pub fn locate(&self, x: f64) -> usize {
        let nodes = &self.nodes[..];
        let last = nodes.len() - 2;
        match &self.search {
            Search::Uniform { inverse_step } => {
                let i = bucket(x, nodes[0], *inverse_step, last + 1);
                // The product may round across a node, hence the comparison.
                if x < nodes[i] && i > 0 {
                    i - 1
                } else if x >= nodes[i + 1] && i < last {
                    i + 1
                } else {
                    i
                }
            }
            Search::Buckets { inverse_width, first } => {
                let b = bucket(x, nodes[0], *inverse_width, first.len() - 1);
                let (start, end) = (first[b] as usize, first[b + 1] as usize);
                let at_or_left = start + nodes[start..end].partition_point(|&node| node <= x);
                at_or_left.saturating_sub(1).min(last)
            }
        }
    }

    /// Weights of the trapezoid rule: half the sum of the adjacent spacings.
    pub fn trapezoid_weights(&self) -> Vec<f64> {
        let n = self.nodes.len();
        (0..n).map(|i| 0.5 * (self.nodes[(i + 1).min(n - 1)] - self.nodes[i.saturating_sub(1)])).collect()
    }
}

fn check_count(nodes: usize) -> Result<(), ModelError> {
    if (MIN_NODES..=MAX_NODES).contains(&nodes) {
        return Ok(());
    }
    Err(ModelError::invalid("axis.nodes", nodes, format!("the number of nodes must be from {MIN_NODES} to {MAX_NODES}")))
}

fn check_bounds(lower: f64, upper: f64, nodes: usize) -> Result<(), ModelError> {
    check_count(nodes)?;
    for (field, value) in [("axis.lower", lower), ("axis.upper", upper)] {
        if !value.is_finite() {
            return Err(ModelError::invalid(field, value, "must be finite"));
        }
    }
    if lower >= upper {
        return Err(ModelError::invalid("axis.upper", upper, format!("must exceed lower = {lower}")));
    }
    Ok(())
}

fn with_exact_ends(lower: f64, upper: f64, nodes: usize, inner: impl Fn(usize) -> f64) -> Vec<f64> {
    let node = |i: usize| match i {
        0 => lower,
        i if i == nodes - 1 => upper,
        i => inner(i),
    };
    (0..nodes).map(node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes() -> Vec<Axis> {
        vec![
            Axis::uniform(-6.0, 6.0, 801).unwrap(),
            Axis::uniform(0.1, 0.7, 7).unwrap(),
            Axis::uniform(-1e-9, 3e-9, 50).unwrap(),
            Axis::stretched(-6.0, 6.0, 101, 0.5, 12.0).unwrap(),
            Axis::stretched(-2.0, 1.0, 33, -2.0, 300.0).unwrap(),
            Axis::from_nodes(vec![-1.0, 0.0, 0.5, 4.0, 4.25]).unwrap(),
        ]
    }

    #[test]
    fn locate_is_right_at_between_and_beyond_the_nodes() {
        for axis in axes() {
            let (x, n) = (axis.nodes(), axis.len());
            for i in 0..n {
                assert_eq!(axis.locate(x[i]), i.min(n - 2), "node {i}");
                if i > 0 {
                    assert_eq!(axis.locate(x[i].next_down()), i - 1);
                }
                if i + 1 < n {
                    assert_eq!(axis.locate(0.5 * (x[i] + x[i + 1])), i);
                }
            }
            let width = x[n - 1] - x[0];
            for (outside, cell) in [(-width, 0), (f64::NEG_INFINITY, 0), (2.0 * width, n - 2), (f64::INFINITY, n - 2)] {
                assert_eq!(axis.locate(x[0] + outside), cell);
            }
            assert_eq!(axis.locate(f64::NAN), 0);
        }
    }

    #[test]
    fn uniform_is_recognised_and_symmetric() {
        let flags: Vec<bool> = axes().iter().map(|a| a.spacing().is_some()).collect();
        assert_eq!(flags, [true, true, true, false, false, false]);
        for axis in [Axis::uniform(-0.3, 0.3, 1000).unwrap(), Axis::stretched(-0.3, 0.3, 1001, 0.0, 40.0).unwrap()] {
            let x = axis.nodes();
            assert!((0..x.len()).all(|i| x[i] == -x[x.len() - 1 - i]));
        }
    }

    #[test]
    fn stretching_concentrates_around_the_centre_for_any_strength() {
        for strength in [1e-12, 1e-6, 0.1, 1.0, 30.0, 1e4, 1e9] {
            for center in [-3.0, 0.0, 1.7, 5.0] {
                let axis = Axis::stretched(-3.0, 5.0, 201, center, strength).unwrap();
                assert_eq!((axis.lower(), axis.upper(), axis.len()), (-3.0, 5.0, 201));
                let x = axis.nodes();
                let step = |i: usize| x[i + 1] - x[i];
                let near = step(axis.locate(center));
                let far = step(0).max(step(x.len() - 2));
                if strength >= 30.0 {
                    assert!(near < far / 4.0, "{strength} {center}: {near} {far}");
                } else if strength <= 1e-6 {
                    assert!((near - far).abs() < 1e-11, "{strength}: {near} {far}");
                }
            }
        }
        // The stated formula, at a node off the ends.
        let axis = Axis::stretched(-1.0, 3.0, 5, 0.0, 4.0).unwrap();
        let expected = (0.75 * (-1.0_f64).asinh() + 0.25 * 3.0_f64.asinh()).sinh();
        assert!((axis.nodes()[1] - expected).abs() < 1e-15);
    }

    #[test]
    fn bad_axes_are_refused_by_name() {
        let message = |r: Result<Axis, ModelError>| r.unwrap_err().to_string();
        assert!(message(Axis::uniform(0.0, 1.0, 4)).starts_with("axis.nodes = 4: "));
        assert!(message(Axis::uniform(0.0, 1.0, usize::MAX)).starts_with("axis.nodes = "));
        assert!(message(Axis::uniform(f64::NAN, 1.0, 9)).starts_with("axis.lower = NaN: "));
        assert!(message(Axis::uniform(0.0, f64::INFINITY, 9)).starts_with("axis.upper = inf: "));
        assert!(message(Axis::uniform(1.0, 1.0, 9)).starts_with("axis.upper = 1: must exceed lower"));
        assert!(message(Axis::uniform(1.0, 1.0 + 1e-15, 9)).starts_with("axis.nodes["));
        assert!(message(Axis::uniform(-f64::MAX, f64::MAX, 9)).contains("axis."));
        assert!(message(Axis::stretched(0.0, 1.0, 9, 1.5, 1.0)).starts_with("axis.center = 1.5: "));
        assert!(message(Axis::stretched(0.0, 1.0, 9, f64::NAN, 1.0)).starts_with("axis.center = NaN: "));
        for strength in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MAX] {
            assert!(message(Axis::stretched(0.0, 1.0, 9, 0.5, strength)).starts_with("axis.strength = "));
        }
        assert!(message(Axis::from_nodes(vec![0.0, 1.0, 1.0, 2.0, 3.0])).starts_with("axis.nodes[2] = 1: must exceed"));
        assert!(message(Axis::from_nodes(vec![0.0, 1.0, f64::NAN, 2.0, 3.0])).starts_with("axis.nodes[2] = NaN: "));
    }
}
