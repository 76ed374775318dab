//! Whether the extrapolated faces of the box can be felt in a region inside it.
//!
//! What is wrong at a face reaches the region with those paths that come from there to the face. With mu the optimally controlled
//! drift outward and a the variance along the normal, the chance of that is about exp(-E), E the largest integral of -2 mu/a
//! from the region outward (the barrier), and without outward drift on the way no more than that of a Brownian motion,
//! erfc(d/sqrt(2 a T)) for the distance d. What is wrong there is about the curvature left out,
//! (1/2) a V'', for as long as a path stays next to the face: T, or a/mu^2 where the drift takes it away. It is an estimate that saves
//! most problems a further solution, not a bound.

use crate::error::HjbError;
use crate::faces::{Face, Faces};
use crate::solution::ValueFunction;
use hjbridge_model::grid::Region;
use hjbridge_model::{ControlledDiffusion, MatrixCoefficient, PointBlock};

/// Least error at a face, as a part of the range of V.
const LEAST_ERROR: f64 = 1e-3;
/// A drift that moves by less than this part of the box within the horizon does not leave it.
const AT_REST: f64 = 1e-6;

/// The lower or upper face of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Side {
    pub axis: usize,
    pub upper: bool,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the {} face of axis {}", if self.upper { "upper" } else { "lower" }, self.axis)
    }
}

/// Where the optimally controlled drift leaves the box.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outflow {
    /// Largest speed outward, along the normal.
    pub speed: f64,
    pub point: Vec<f64>,
    pub time: f64,
}

/// What may come from one extrapolated face.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Influence {
    pub side: Side,
    /// Estimated error of V in the region.
    pub error: f64,
    /// `None` when the drift points inward everywhere on it.
    pub outflow: Option<Outflow>,
}

/// The estimate for each extrapolated face, from V and v at the stored times before `end`.
pub(crate) fn influences(
    model: &dyn ControlledDiffusion,
    v: &ValueFunction,
    faces: Faces,
    region: &Region,
    end: f64,
) -> Result<Vec<Influence>, HjbError> {
    let (grid, d, m, q) = (v.grid(), model.dim(), model.control_dim(), model.noise_dim());
    let sides: Vec<Side> = (0..d)
        .flat_map(|axis| [false, true].map(|upper| Side { axis, upper }))
        .filter(|s| faces.face(s.axis, s.upper) == Face::Extrapolated)
        .collect();
    if sides.is_empty() {
        return Ok(Vec::new());
    }
    let (nodes, n, ranges) = (grid.points(), grid.len(), grid.region_ranges(region)?);
    let mut found: Vec<Line> = sides.iter().map(|_| Line::default()).collect();
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let stored = v.times().iter().enumerate().filter(|(_, t)| **t < end * (1.0 - 1e-12));
    for (k, &t) in stored {
        let at = model.at(t);
        let x = nodes.as_points();
        let mut speed = PointBlock::zeros(d, n);
        at.drift(x, speed.as_mut());
        let field = |matrix: MatrixCoefficient<'_>, entries: usize| match matrix {
            MatrixCoefficient::Scaled(c) => Err(c),
            MatrixCoefficient::Field(f) => {
                let mut values = PointBlock::zeros(entries, n);
                f.eval(x, values.as_mut());
                Ok(values)
            }
        };
        if m > 0 {
            let gain = field(at.control_matrix(), d * m);
            let control = |i: usize| &v.control(k)[i * n..][..n];
            for i in 0..d {
                let mut block = speed.as_mut();
                let out = block.coord_mut(i);
                match &gain {
                    Err(c) if i < m => out.iter_mut().zip(control(i)).for_each(|(o, v)| *o += c * v),
                    Err(_) => {}
                    Ok(g) => (0..m).for_each(|l| {
                        out.iter_mut().zip(g.coord(i * m + l)).zip(control(l)).for_each(|((o, g), v)| *o += g * v);
                    }),
                }
            }
        }
        let sigma = field(at.diffusion(), d * q);
        let variance = |axis: usize, j: usize| match &sigma {
            Err(s) => s * s,
            Ok(s) => (0..q).map(|c| s.coord(axis * q + c)[j].powi(2)).sum(),
        };
        let value = v.value(k);
        value.iter().for_each(|v| (low, high) = (low.min(*v), high.max(*v)));
        for (side, line) in sides.iter().zip(&mut found) {
            line.add(v, *side, &ranges[side.axis], speed.coord(side.axis), &|j| variance(side.axis, j), (value, t, end));
        }
    }
    let least = LEAST_ERROR * (high - low).max(0.0);
    Ok(sides
        .into_iter()
        .zip(found)
        .map(|(side, line)| {
            let width = grid.axis(side.axis).upper() - grid.axis(side.axis).lower();
            let free = line.chance.min(if line.outward { 1.0 } else { gaussian_tail(line.distance, line.variance * end) });
            let leaves = line.outflow.filter(|o| o.speed * end > AT_REST * width);
            Influence { side, error: free * line.left_out.max(least), outflow: leaves }
        })
        .collect())
}

/// Worst over the lines that end in a face.
#[derive(Default)]
struct Line {
    /// exp(-E).
    chance: f64,
    /// Whether the drift points outward somewhere between the region and the face.
    outward: bool,
    distance: f64,
    variance: f64,
    /// (1/2) a |V''| next to the face for the time that a path stays there.
    left_out: f64,
    outflow: Option<Outflow>,
}

impl Line {
    fn add(
        &mut self,
        v: &ValueFunction,
        side: Side,
        range: &std::ops::Range<usize>,
        speed: &[f64],
        variance: &dyn Fn(usize) -> f64,
        (value, t, end): (&[f64], f64, f64),
    ) {
        let grid = v.grid();
        let (x, stride) = (grid.axis(side.axis).nodes(), grid.strides()[side.axis]);
        let (face, edge) = if side.upper { (x.len() - 1, range.end - 1) } else { (0, range.start) };
        let sign = if side.upper { 1.0 } else { -1.0 };
        self.distance = (x[face] - x[edge]).abs();
        let way: Vec<usize> = if side.upper { (edge..=face).collect() } else { (face..=edge).rev().collect() };
        for base in (0..grid.len()).filter(|j| j / stride % x.len() == 0) {
            let node = |k: usize| base + k * stride;
            let outward = |k: usize| sign * speed[node(k)];
            let (mut climbed, mut barrier) = (0.0f64, 0.0f64);
            for w in way.windows(2) {
                let step = (x[w[1]] - x[w[0]]).abs();
                let mean = 0.5 * (outward(w[0]) + outward(w[1]));
                let a = 0.5 * (variance(node(w[0])) + variance(node(w[1])));
                self.variance = self.variance.max(a);
                self.outward |= mean > 0.0;
                // Without noise a drift inward is a barrier that is not passed, one outward none at all.
                climbed -= if mean == 0.0 { 0.0 } else { 2.0 * mean * step / a.max(f64::MIN_POSITIVE) };
                barrier = barrier.max(climbed);
            }
            self.chance = self.chance.max((-barrier).exp());
            let out = outward(face);
            if out > self.outflow.as_ref().map_or(0.0, |o| o.speed) {
                let mut point = vec![0.0; grid.dim()];
                grid.node(node(face), &mut point);
                self.outflow = Some(Outflow { speed: out, point, time: t });
            }
            // V'' of the parabola through the three last nodes.
            let k = face.clamp(1, x.len() - 2);
            let slope = |k: usize| (value[node(k + 1)] - value[node(k)]) / (x[k + 1] - x[k]);
            let second = 2.0 * (slope(k) - slope(k - 1)) / (x[k + 1] - x[k - 1]);
            let a = variance(node(face));
            let stay = if out < 0.0 { end.min(a / (out * out)) } else { end };
            self.left_out = self.left_out.max(0.5 * a * second.abs() * stay);
        }
    }
}

/// P(sup of a Brownian motion of this variance at the end > distance), or a little more.
fn gaussian_tail(distance: f64, variance: f64) -> f64 {
    if distance <= 0.0 {
        return 1.0;
    }
    // erfc(z) <= exp(-z^2).
    (-0.5 * distance * distance / variance.max(f64::MIN_POSITIVE)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hjbridge_model::grid::{Axis, TensorGrid};
    use hjbridge_model::{Coefficients, Points, PointsMut};
    use std::sync::Arc;

    /// dX = (k X + v) dt + dB.
    struct Linear(f64);

    impl Coefficients for Linear {
        fn drift(&self, x: Points<'_>, mut out: PointsMut<'_>) {
            out.coord_mut(0).iter_mut().zip(x.coord(0)).for_each(|(o, x)| *o = self.0 * x);
        }
        fn control_matrix(&self) -> MatrixCoefficient<'_> {
            MatrixCoefficient::Scaled(1.0)
        }
        fn diffusion(&self) -> MatrixCoefficient<'_> {
            MatrixCoefficient::Scaled(1.0)
        }
        fn control_weight(&self) -> MatrixCoefficient<'_> {
            MatrixCoefficient::Scaled(1.0)
        }
    }

    impl ControlledDiffusion for Linear {
        fn dim(&self) -> usize {
            1
        }
        fn control_dim(&self) -> usize {
            1
        }
        fn horizon(&self) -> f64 {
            1.0
        }
        fn at(&self, _: f64) -> Box<dyn Coefficients + '_> {
            Box::new(self)
        }
        fn terminal_reward(&self, _: Points<'_>, out: &mut [f64]) {
            out.fill(0.0);
        }
    }

    #[test]
    fn the_barrier_and_the_outflow_are_those_of_the_controlled_drift() {
        let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-4.0, 4.0, 81).unwrap()]).unwrap());
        let x = grid.axis(0).nodes().to_vec();
        // V = x^2, so (1/2) a V'' = 1; v = -s x; a path stays for 1/4^2 at a face with drift 4.
        let solution = |s: f64| {
            let (v, u): (Vec<f64>, Vec<f64>) = (x.iter().map(|x| x * x).collect(), x.iter().map(|x| -s * x).collect());
            ValueFunction::new(grid.clone(), 1, vec![0.0, 1.0], vec![v.clone(), v], vec![u.clone(), u]).unwrap()
        };
        let region = Region::cube(1, 2.0).unwrap();
        let found = influences(&Linear(0.0), &solution(1.0), Faces::default(), &region, 1.0).unwrap();
        assert_eq!(found.len(), 2);
        // int_2^4 2 x dx = 12 (the bound for Brownian motion would be exp(-2)); the curvature counts.
        assert!(found.iter().all(|f| f.outflow.is_none() && (16.0 * f.error / (-12.0f64).exp() - 1.0).abs() < 1e-9), "{found:?}");
        let found = influences(&Linear(1.5), &solution(0.5), Faces::default(), &region, 1.0).unwrap();
        let out = found[1].outflow.as_ref().unwrap();
        assert!((out.speed - 4.0).abs() < 1e-12 && out.point == [4.0] && out.time == 0.0 && found[1].error > 0.9, "{found:?}");
        let faces = Faces::reflecting().with(0, true, Face::Extrapolated);
        let found = influences(&Linear(1.5), &solution(0.5), faces, &region, 1.0).unwrap();
        assert_eq!((found.len(), found[0].side), (1, Side { axis: 0, upper: true }));
    }
}
