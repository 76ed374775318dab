//! Where the coefficients of a model jump or vary quickly in time.
//!
//! An integrator that adapts its steps to V sees nothing of a coefficient that is switched on and off between two of them. So
//! all coefficients are sampled beforehand, at [`INTERVALS`] + 1 equal times on a few nodes. A jump is a difference of
//! neighbouring samples, out of line with those around it, that bisection does not make smaller; it is known to the last bit.
//! Between jumps the interval of time is halved until polynomials through [`KNOTS`] samples meet the others: what had to
//! be halved often varies quickly. What is on for less than T/1024, or away from the nodes sampled, is not seen.

mod defect;

pub(crate) use defect::{StageTimes, stage_defect};

use hjbridge_model::grid::TensorGrid;
use hjbridge_model::{Coefficients, ControlCost, ControlSet, ControlledDiffusion, MatrixCoefficient, PointBlock};

/// Intervals between samples.
pub(crate) const INTERVALS: usize = 1024;
/// Nodes sampled along each axis, by dimension.
const NODES: [usize; 3] = [5, 3, 2];
/// Most controls at which a general cost is sampled.
const CONTROLS: usize = 8;
/// Samples through which polynomials are laid.
const KNOTS: usize = 9;
/// A second difference this many times as large as those around it may be a jump,
const OUT_OF_LINE: f64 = 6.0;
/// if it is not below this part of the range of its coefficient.
const ROUNDING: f64 = 1e-9;
/// Times this part of the horizon apart are the same for a stop.
const SLACK: f64 = 1e-9;
/// Bisections after which a difference must still be there to be a jump.
const HALVINGS: usize = 60;
/// The error of a polynomial by the length of its interval, as parts of the range and of T, below which it will do.
const RESOLVED: f64 = 1e-5;
/// Intervals up to this part of the horizon count as quick.
const QUICK: usize = INTERVALS / 16;
/// Shortest interval that is halved.
const SHORTEST: usize = 2 * (KNOTS - 1);

/// A jump of a coefficient: it lies between two neighbouring numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Jump {
    /// The last time before it.
    pub below: f64,
    /// The first time after it.
    pub above: f64,
    /// Which coefficient.
    pub what: &'static str,
}

/// What the coefficients of a model do in time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TimeVariation {
    /// Jumps, ascending.
    pub jumps: Vec<Jump>,
    /// Intervals (from, to) in which a coefficient varies quickly, ascending and disjoint; a polynomial of degree 8 is enough in
    /// each, or it is the shortest that is looked at.
    pub quick: Vec<(f64, f64)>,
    horizon: f64,
}

/// A coefficient in the list of samples.
struct Group {
    what: &'static str,
    entries: std::ops::Range<usize>,
    /// Largest range over time of any of its entries.
    range: f64,
}

/// Samples the coefficients at chosen points.
struct Sampler<'a> {
    model: &'a dyn ControlledDiffusion,
    points: PointBlock,
    /// Controls at which a general cost is taken.
    controls: Vec<Vec<f64>>,
}

impl Sampler<'_> {
    /// All entries at time t, with the names of the coefficients and how many entries each has.
    fn sample(&self, t: f64) -> (Vec<f64>, Vec<(&'static str, usize)>) {
        let (d, m, q) = (self.model.dim(), self.model.control_dim(), self.model.noise_dim());
        let (at, x, n) = (self.model.at(t), self.points.as_points(), self.points.len());
        let (mut all, mut groups) = (Vec::new(), Vec::new());
        let mut add = |what: &'static str, values: &[f64]| {
            all.extend_from_slice(values);
            groups.push((what, values.len()));
        };
        let matrix = |matrix: MatrixCoefficient<'_>, entries: usize| match matrix {
            MatrixCoefficient::Scaled(c) => vec![c],
            MatrixCoefficient::Field(field) => {
                let mut values = PointBlock::zeros(entries, n);
                field.eval(x, values.as_mut());
                values.data().to_vec()
            }
        };
        let mut drift = PointBlock::zeros(d, n);
        at.drift(x, drift.as_mut());
        add("the drift", drift.data());
        let mut running = vec![0.0; n];
        at.running_reward(x, &mut running);
        add("the running reward", &running);
        add("the diffusion", &matrix(at.diffusion(), d * q));
        if m > 0 {
            add("the control matrix", &matrix(at.control_matrix(), d * m));
            match self.model.control_cost() {
                ControlCost::Quadratic => add("the control weight", &matrix(at.control_weight(), m * m)),
                ControlCost::General => add("the cost of the control", &self.costs(at.as_ref())),
            }
        }
        (all, groups)
    }

    fn costs(&self, at: &dyn Coefficients) -> Vec<f64> {
        let n = self.points.len();
        let mut all = vec![0.0; n * self.controls.len()];
        for (v, out) in self.controls.iter().zip(all.chunks_mut(n)) {
            let mut block = PointBlock::zeros(v.len(), n);
            v.iter().enumerate().for_each(|(k, v)| block.as_mut().coord_mut(k).fill(*v));
            at.control_cost(self.points.as_points(), block.as_points(), out);
        }
        all
    }
}

/// Nodes spread over the grid.
fn spread(grid: &TensorGrid) -> PointBlock {
    let count = NODES.get(grid.dim() - 1).copied().unwrap_or(2);
    let lines: Vec<Vec<f64>> = grid
        .axes()
        .iter()
        .map(|axis| {
            let count = count.min(axis.len());
            (0..count).map(|k| axis.nodes()[((2 * k + 1) * axis.len() / (2 * count)).min(axis.len() - 1)]).collect()
        })
        .collect();
    let total = lines.iter().map(Vec::len).product();
    let mut block = PointBlock::zeros(lines.len(), total);
    for j in 0..total {
        let mut rest = j;
        for (a, line) in lines.iter().enumerate() {
            block.as_mut().coord_mut(a)[j] = line[rest % line.len()];
            rest /= line.len();
        }
    }
    block
}

/// Corners and centre of a box, or controls of a list.
fn some_controls(set: &ControlSet) -> Vec<Vec<f64>> {
    match set {
        ControlSet::Free => Vec::new(),
        ControlSet::Finite { controls } => controls.iter().step_by(controls.len().div_ceil(CONTROLS).max(1)).cloned().collect(),
        ControlSet::Box { lower, upper } => {
            let corner = |bits: usize| {
                let side = |k: usize| if bits >> k & 1 == 1 { upper[k] } else { lower[k] };
                (0..lower.len()).map(side).collect::<Vec<f64>>()
            };
            let corners = 1usize.checked_shl(lower.len() as u32).unwrap_or(CONTROLS).min(CONTROLS);
            // Off the centre, where a cost need not be least.
            let inside = lower.iter().zip(upper).map(|(lo, up)| 0.4 * lo + 0.6 * up).collect();
            (0..corners).map(corner).chain([inside]).collect()
        }
    }
}

impl TimeVariation {
    /// Sample `model` on a few nodes of `grid` over [0, T]; 1025 evaluations, and some 60 more for each jump. What is not finite
    /// is left for the solvers to find.
    pub fn of(model: &dyn ControlledDiffusion, grid: &TensorGrid) -> Self {
        let horizon = model.horizon();
        let sampler = Sampler { model, points: spread(grid), controls: some_controls(&model.control_set()) };
        let time = |k: usize| if k == INTERVALS { horizon } else { k as f64 * (horizon / INTERVALS as f64) };
        let (first, names) = sampler.sample(0.0);
        let mut samples = vec![first];
        samples.extend((1..=INTERVALS).map(|k| sampler.sample(time(k)).0));
        // A matrix may be given as a number at one time and as a field at another.
        if samples.iter().any(|s| s.len() != samples[0].len()) {
            return TimeVariation { horizon, quick: vec![(0.0, horizon)], ..Default::default() };
        }
        let series: Vec<Vec<f64>> = (0..samples[0].len()).map(|e| samples.iter().map(|s| s[e]).collect()).collect();
        let ranges: Vec<f64> = series.iter().map(|s| range(s)).collect();
        let mut groups = Vec::with_capacity(names.len());
        let mut start = 0;
        for (what, count) in names {
            let entries = start..start + count;
            let range = ranges[entries.clone()].iter().fold(0.0f64, |m, r| m.max(*r));
            start = entries.end;
            if range > 0.0 {
                groups.push(Group { what, entries, range });
            }
        }
        let mut found = TimeVariation { horizon, ..Default::default() };
        for group in &groups {
            for e in group.entries.clone().filter(|e| ranges[*e] > 0.0) {
                found.add_jumps(&sampler, &series[e], e, group, &time);
            }
        }
        found.jumps.sort_by(|a, b| a.below.total_cmp(&b.below));
        // The samples of each smooth piece.
        let mut from = 0;
        let place = |t: f64| t / horizon * INTERVALS as f64;
        let ends = found.jumps.iter().map(|j| (place(j.below).floor() as usize, place(j.above).ceil() as usize));
        let mut pieces = Vec::new();
        for (last, next) in ends.chain([(INTERVALS, INTERVALS + 1)]) {
            pieces.push((from, last.min(INTERVALS)));
            from = next;
        }
        for (from, to) in pieces.into_iter().filter(|(from, to)| to > from) {
            found.halve(&groups, &series, &ranges, (from, to), &time);
        }
        found
    }

    /// The jumps of entry `e`, whose samples are `s`.
    fn add_jumps(&mut self, sampler: &Sampler<'_>, s: &[f64], e: usize, group: &Group, time: &dyn Fn(usize) -> f64) {
        let least = ROUNDING * group.range;
        let second = |k: usize| (s[k + 1] - 2.0 * s[k] + s[k - 1]).abs();
        let mut tested = usize::MAX;
        for k in 1..INTERVALS {
            let around = match (k > 3, k + 3 < INTERVALS) {
                (true, true) => second(k - 3).min(second(k + 3)),
                (true, false) => second(k - 3),
                (false, _) => second(k + 3),
            };
            let bends = second(k) > OUT_OF_LINE * around + least;
            if !bends {
                continue;
            }
            // The interval with the larger difference.
            let interval = if (s[k] - s[k - 1]).abs() > (s[k + 1] - s[k]).abs() { k - 1 } else { k };
            if interval == tested {
                continue;
            }
            tested = interval;
            let (mut a, mut b) = (time(interval), time(interval + 1));
            if self.jumps.iter().any(|j| j.below >= a && j.above <= b) {
                continue;
            }
            // Without the trend around it.
            let trend = match (interval > 1, interval + 3 <= INTERVALS) {
                (true, true) => 0.5 * (s[interval - 1] - s[interval - 2] + s[interval + 3] - s[interval + 2]),
                (true, false) => s[interval - 1] - s[interval - 2],
                (false, _) => s[interval + 3] - s[interval + 2],
            };
            let (start, slope) = (a, trend / (b - a));
            let (mut low, mut high) = (s[interval], s[interval + 1] - trend);
            let whole = (high - low).abs();
            for _ in 0..HALVINGS {
                let middle = 0.5 * (a + b);
                let jumps = (high - low).abs() >= 0.6 * whole;
                if middle <= a || middle >= b || !jumps {
                    break;
                }
                let Some(value) = sampler.sample(middle).0.get(e).map(|v| v - slope * (middle - start)) else { break };
                if (value - low).abs() > (high - value).abs() { (b, high) = (middle, value) } else { (a, low) = (middle, value) }
            }
            let middle = 0.5 * (a + b);
            if (middle <= a || middle >= b) && (high - low).abs() >= 0.6 * whole && whole > least {
                self.jumps.push(Jump { below: a, above: b, what: group.what });
            }
        }
    }

    /// Halve an interval of samples until polynomials resolve it, and note those that had to be made short.
    fn halve(
        &mut self,
        groups: &[Group],
        series: &[Vec<f64>],
        ranges: &[f64],
        (from, to): (usize, usize),
        time: &dyn Fn(usize) -> f64,
    ) {
        let mut left = vec![(from, to, true)];
        while let Some((from, to, whole)) = left.pop() {
            let resolved = groups.iter().all(|g| {
                let allowed = RESOLVED * g.range * INTERVALS as f64 / (to - from) as f64;
                g.entries.clone().filter(|e| ranges[*e] > 0.0).all(|e| misfit(&series[e], from, to) <= allowed)
            });
            if !resolved && to - from >= SHORTEST {
                let middle = from + (to - from) / 2;
                left.push((middle, to, false));
                left.push((from, middle, false));
            } else if (!resolved || !whole) && to - from <= QUICK {
                self.quick.push((time(from), time(to)));
            }
        }
    }

    /// Intervals without a jump inside, the latest first; they cover [0, T] but for the width of the jumps.
    pub fn segments(&self) -> Vec<(f64, f64)> {
        let mut upper = self.horizon;
        let mut all = Vec::with_capacity(self.jumps.len() + 1);
        for jump in self.jumps.iter().rev() {
            all.push((jump.above, upper));
            upper = jump.below;
        }
        all.push((0.0, upper));
        all
    }

    /// The latest end below t, or start, of an interval of quick variation: an integrator that comes down from t should stop
    /// there; with the longest step from t that is safe.
    pub fn next_stop(&self, t: f64) -> (f64, f64) {
        let t = t - SLACK * self.horizon;
        match self.quick.iter().rev().find(|(from, _)| *from < t) {
            Some(&(from, to)) if to >= t => (from, 0.25 * (to - from)),
            Some(&(_, to)) => (to, f64::INFINITY),
            None => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// Stops of an integrator on its way from `upper` down to `lower`, as distances from `upper`, ascending: where quick variation
    /// begins and ends, and four for each interval of it.
    pub fn stops(&self, lower: f64, upper: f64) -> Vec<f64> {
        let (mut all, mut t) = (Vec::new(), upper);
        loop {
            let (stop, longest) = self.next_stop(t);
            let stop = stop.max(lower);
            let parts = if longest.is_finite() { ((t - stop) / longest).ceil().max(1.0) as usize } else { 1 };
            all.extend((1..=parts).map(|k| upper - t + (t - stop) * k as f64 / parts as f64));
            if stop <= lower + SLACK * self.horizon {
                // The end itself is none.
                all.pop();
                return all;
            }
            t = stop;
        }
    }

    /// Whether a time scheme whose stage goes from one time to an earlier one does not see what a coefficient does in between.
    pub fn is_rough(&self, from: f64, to: f64) -> bool {
        let length = to - from;
        self.jumps.iter().any(|j| j.above > from && j.below < to)
            || self.quick.iter().any(|(a, b)| *b > from && *a < to && b - a < 8.0 * length)
    }

    /// Parts of [from, to] in each of which the coefficients are smooth.
    pub fn pieces(&self, from: f64, to: f64) -> Vec<(f64, f64)> {
        let ends = self.jumps.iter().map(|j| j.above).chain(self.quick.iter().flat_map(|(a, b)| [*a, 0.5 * (a + b), *b]));
        let mut cuts: Vec<f64> = ends.filter(|t| *t > from && *t < to).chain([from, to]).collect();
        cuts.sort_by(f64::total_cmp);
        cuts.dedup();
        cuts.windows(2).map(|w| (w[0], w[1])).collect()
    }
}

/// Difference of the largest and the least number; zero for none. NaN does not count.
fn range(s: &[f64]) -> f64 {
    let (low, high) = s.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    if high > low && (high - low).is_finite() { high - low } else { 0.0 }
}

/// Largest distance of the samples from..=to to the polynomial through [`KNOTS`] of them, near Chebyshev points; zero for so
/// few.
fn misfit(s: &[f64], from: usize, to: usize) -> f64 {
    let n = to - from;
    if n < KNOTS {
        return 0.0;
    }
    let last = (KNOTS - 1) as f64;
    let chebyshev = |k: usize| 0.5 * (1.0 - (std::f64::consts::PI * k as f64 / last).cos());
    let mut knots: Vec<usize> = (0..KNOTS).map(|k| (chebyshev(k) * n as f64).round() as usize).collect();
    // On short intervals neighbours may fall together.
    for k in 1..KNOTS {
        knots[k] = knots[k].max(knots[k - 1] + 1);
    }
    knots[KNOTS - 1] = n;
    for k in (1..KNOTS).rev() {
        knots[k - 1] = knots[k - 1].min(knots[k] - 1);
    }
    // Distances in units of a quarter of the interval, so that products neither overflow nor vanish.
    let scale = 4.0 / n as f64;
    let weights: Vec<f64> = (0..KNOTS)
        .map(|k| {
            let others = (0..KNOTS).filter(|i| *i != k);
            1.0 / others.map(|i| scale * (knots[k] as f64 - knots[i] as f64)).product::<f64>()
        })
        .collect();
    let mut worst = 0.0f64;
    for (j, value) in s[from..=to].iter().enumerate() {
        if knots.binary_search(&j).is_ok() {
            continue;
        }
        let (mut top, mut bottom) = (0.0, 0.0);
        for (w, knot) in weights.iter().zip(&knots) {
            let share = w / (scale * (j as f64 - *knot as f64));
            top += share * s[from + knot];
            bottom += share;
        }
        worst = worst.max((top / bottom - value).abs());
    }
    worst
}

#[cfg(test)]
mod tests;
