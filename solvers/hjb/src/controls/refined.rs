//! Any running cost over a box: a lattice of controls, then a pattern around its best points that moves and shrinks.
//!
//! At each node H is evaluated on a lattice over the box; its best local maxima and the present control are the starts. A
//! round of a refinement tries the neighbours v + s e, e in {-1,0,1}^m (along the components only for m > 3), clipped to
//! the box, and the top of the parabola through them; it moves to the best one if that is better, and shrinks s otherwise,
//! until s is below the resolution. Where the drift of an axis meets an end of its central window H jumps or has a kink:
//! local maxima are taken among points of the lattice with the same slopes, and each such ridge that the box meets has a
//! start of its own that stays on it.
//! The result is a local maximum of H to the resolution, exact up to rounding where H is smooth and concave nearby, and the
//! global one when the lattice resolves the peaks: a peak narrower than its spacing can be missed. In several components
//! the search can also stall on a kink of the cost itself that runs along none of the directions of the pattern (kinks at
//! v_i = const and v_i = +-v_j are no obstacle); a finite set has no such weakness. All nodes of a block share each call of
//! the model's cost. Quadratic costs are better left to `coupled.rs`, which is exact and far cheaper.
//! Reference: V. Torczon, On the convergence of pattern search algorithms, SIAM J. Optim. 7 (1997) 1-25.

use super::block::{Block, Work};
use super::parabola::Top;
use super::params::SearchParams;
use super::ridges::Ridge;
use crate::error::HjbError;
use hjbridge_model::PointBlock;

/// Components up to which the pattern has all 3^m - 1 neighbours.
const FULL_PATTERN: usize = 3;

/// The step after a round without success, and after a successful one that the parabola proposed.
const SHRINK: f64 = 0.25;
const SHRINK_SMOOTH: f64 = 0.125;

/// A box of controls with its lattice and pattern.
#[derive(Clone, Debug)]
pub(crate) struct Refined {
    bounds: Vec<(f64, f64)>,
    /// Lattice points, one after the other.
    lattice: Vec<Vec<f64>>,
    /// Points per component.
    counts: Vec<usize>,
    /// First step as a fraction of the width.
    first_step: f64,
    /// Offsets of the pattern in steps, without zero.
    pattern: Vec<Vec<i8>>,
    params: SearchParams,
}

/// One start per node: control, H, step (0 where there is none or it is done).
struct Start {
    v: PointBlock,
    h: Vec<f64>,
    step: Vec<f64>,
}

impl Start {
    fn none(m: usize, n: usize) -> Self {
        Start { v: PointBlock::zeros(m, n), h: vec![f64::NEG_INFINITY; n], step: vec![0.0; n] }
    }
}

impl Refined {
    /// The search over a bounded box.
    pub fn new(bounds: Vec<(f64, f64)>, params: SearchParams) -> Result<Self, HjbError> {
        let m = bounds.len();
        let points = params.points(m)?;
        let counts: Vec<usize> = bounds.iter().map(|(lo, up)| if lo == up { 1 } else { points }).collect();
        let mut lattice = vec![Vec::new()];
        for (&(lo, up), &count) in bounds.iter().zip(&counts) {
            let level = |k: usize| if k + 1 == points { up } else { lo + (up - lo) * k as f64 / (points - 1) as f64 };
            lattice = lattice.iter().flat_map(|v| (0..count).map(move |k| [v.as_slice(), &[level(k)]].concat())).collect();
        }
        let pattern = if m <= FULL_PATTERN {
            let all = (0..3usize.pow(m as u32)).map(|code| digits(code, m));
            all.filter(|e| e.iter().any(|e| *e != 0)).collect()
        } else {
            let along = |k: usize, sign: i8| (0..m).map(|i| if i == k { sign } else { 0 }).collect();
            (0..m).flat_map(|k| [along(k, -1), along(k, 1)]).collect()
        };
        Ok(Refined { bounds, lattice, counts, first_step: 0.5 / (points - 1) as f64, pattern, params })
    }

    /// The best control found at each node. `v` holds the present controls and `h` their H; both are overwritten where a
    /// control is better by more than `margin` (a multiple of the rounding of H), or better at all and next to the present.
    pub fn maximise(&self, block: &Block<'_>, margin: &[f64], v: &mut PointBlock, h: &mut [f64], work: &mut Work) {
        let n = block.len();
        let ridges = Ridge::all(block, &self.bounds);
        let (mut starts, on_ridges) = self.lattice_starts(block, &ridges, work);
        starts.push(Start { v: v.clone(), h: h.to_vec(), step: vec![self.first_step; n] });
        for start in &mut starts {
            self.refine(block, margin, start, None, work);
            self.accept(start, margin, v, h);
        }
        for (mut start, ridge) in on_ridges.into_iter().zip(&ridges) {
            self.refine(block, margin, &mut start, Some(ridge), work);
            self.accept(&start, margin, v, h);
        }
    }

    /// Take over what is better.
    fn accept(&self, start: &Start, margin: &[f64], v: &mut PointBlock, h: &mut [f64]) {
        let (n, m) = (v.len(), v.dim());
        let near = 8.0 * self.params.resolution;
        for j in 0..n {
            let found = start.h[j];
            if !found.is_finite() || h[j] >= found {
                continue;
            }
            let close = |k: usize| (start.v.coord(k)[j] - v.coord(k)[j]).abs() <= near * self.width(k);
            if found > h[j] + margin[j] || !h[j].is_finite() || (0..m).all(close) {
                copy_point(&start.v, j, v);
                h[j] = found;
            }
        }
    }

    fn width(&self, k: usize) -> f64 {
        self.bounds[k].1 - self.bounds[k].0
    }

    /// The best local maxima of H on the lattice, of equal ones the first; and the best point of the lattice moved onto each
    /// ridge.
    fn lattice_starts(&self, block: &Block<'_>, ridges: &[Ridge], work: &mut Work) -> (Vec<Start>, Vec<Start>) {
        let (n, m, d, total) = (block.len(), block.controls(), block.axes.len(), self.lattice.len());
        let mut all = vec![0.0; n * total];
        // Which slopes H uses there.
        let mut region = vec![0u32; if ridges.is_empty() { 0 } else { n * total }];
        let mut candidate = PointBlock::zeros(m, n);
        let (mut mu, mut on) = (vec![0.0; n], vec![false; n]);
        let mut on_ridges: Vec<Start> = ridges.iter().map(|_| Start::none(m, n)).collect();
        for (p, point) in self.lattice.iter().enumerate() {
            (0..m).for_each(|k| candidate.as_mut().coord_mut(k).fill(point[k]));
            let out = &mut all[p * n..(p + 1) * n];
            values(block, &candidate, out, work);
            if ridges.is_empty() {
                continue;
            }
            for i in 0..d {
                block.drifts(i, candidate.as_points(), &mut mu);
                for (j, region) in region[p * n..(p + 1) * n].iter_mut().enumerate() {
                    *region = 3 * *region + block.axes[i].at(j, mu[j]).1 as u32;
                }
            }
            let mut h = vec![0.0; n];
            for (ridge, start) in ridges.iter().zip(&mut on_ridges) {
                let mut moved = candidate.clone();
                ridge.project(block, &self.bounds, &mut moved, &mut on, &mut mu);
                values(block, &moved, &mut h, work);
                for j in (0..n).filter(|&j| on[j]) {
                    if h[j] > start.h[j] {
                        copy_point(&moved, j, &mut start.v);
                        start.h[j] = h[j];
                        start.step[j] = if m > 1 { self.first_step } else { 0.0 };
                    }
                }
            }
        }
        let strides: Vec<usize> = (0..m).map(|k| self.counts[k + 1..].iter().product()).collect();
        let mut starts: Vec<Start> = (0..self.params.starts).map(|_| Start::none(m, n)).collect();
        let mut kept: Vec<(f64, usize)> = Vec::with_capacity(self.params.starts + 1);
        for j in 0..n {
            let at = |p: usize| all[p * n + j];
            let apart = |p: usize, q: usize| !region.is_empty() && region[p * n + j] != region[q * n + j];
            kept.clear();
            for p in 0..total {
                let h = at(p);
                let full = kept.len() == self.params.starts;
                if h == f64::NEG_INFINITY || (full && kept.last().is_some_and(|(worst, _)| h <= *worst)) {
                    continue;
                }
                let peak = strides.iter().zip(&self.counts).all(|(&stride, &count)| {
                    let k = (p / stride) % count;
                    (k == 0 || apart(p, p - stride) || h > at(p - stride))
                        && (k + 1 == count || apart(p, p + stride) || h >= at(p + stride))
                });
                if peak {
                    let place = kept.iter().position(|(other, _)| h > *other).unwrap_or(kept.len());
                    kept.insert(place, (h, p));
                    kept.truncate(self.params.starts);
                }
            }
            for (start, &(h, p)) in starts.iter_mut().zip(&kept) {
                start.v.as_mut().set_point(j, &self.lattice[p]);
                start.h[j] = h;
                start.step[j] = self.first_step;
            }
        }
        (starts, on_ridges)
    }

    /// Move and shrink the pattern until all steps are below the resolution; with a ridge all controls stay on it.
    fn refine(&self, block: &Block<'_>, margin: &[f64], start: &mut Start, ridge: Option<&Ridge>, work: &mut Work) {
        let (n, m) = (block.len(), block.controls());
        let mut tried = vec![0.0; n * self.pattern.len()];
        let mut candidate = PointBlock::zeros(m, n);
        let mut best = Start::none(m, n);
        let mut top = Top::new(m);
        let mut moves = vec![None; n];
        let (mut h_top, mut mu, mut on) = (vec![0.0; n], vec![0.0; n], vec![true; n]);
        let clip = |k: usize, v: f64| v.max(self.bounds[k].0).min(self.bounds[k].1);
        for _ in 0..self.params.max_rounds {
            if start.step.iter().all(|s| *s < self.params.resolution) {
                return;
            }
            best.h.fill(f64::NEG_INFINITY);
            for (offset, out) in self.pattern.iter().zip(tried.chunks_exact_mut(n)) {
                for (k, e) in offset.iter().enumerate() {
                    let reach = f64::from(*e) * self.width(k);
                    let (to, from) = (&mut candidate.data_mut()[k * n..(k + 1) * n], start.v.coord(k));
                    for j in 0..n {
                        to[j] = clip(k, from[j] + reach * start.step[j]);
                    }
                }
                if let Some(ridge) = ridge {
                    ridge.project(block, &self.bounds, &mut candidate, &mut on, &mut mu);
                }
                values(block, &candidate, out, work);
                for j in (0..n).filter(|&j| on[j]) {
                    if out[j] > best.h[j] {
                        best.h[j] = out[j];
                        copy_point(&candidate, j, &mut best.v);
                    }
                }
            }
            // The top of the parabola through the pattern, in steps.
            let mut any = false;
            for j in 0..n {
                moves[j] = None;
                let step = start.step[j];
                if ridge.is_none() && step >= self.params.resolution {
                    let inside = |k: usize| {
                        let (reach, v) = (step * self.width(k), start.v.coord(k)[j]);
                        self.width(k) > 0.0 && v - reach >= self.bounds[k].0 && v + reach <= self.bounds[k].1
                    };
                    moves[j] = top.find(&self.pattern, |e| tried[e * n + j], start.h[j], margin[j], inside);
                    any |= moves[j].is_some();
                }
                for k in 0..m {
                    let shift = if moves[j].is_some() { top.move_to[k] * step * self.width(k) } else { 0.0 };
                    candidate.data_mut()[k * n + j] = clip(k, start.v.coord(k)[j] + shift);
                }
            }
            if any {
                values(block, &candidate, &mut h_top, work);
            }
            for j in 0..n {
                if start.step[j] < self.params.resolution {
                    continue;
                }
                if let Some(far) = moves[j]
                    && h_top[j] > best.h[j].max(start.h[j])
                {
                    copy_point(&candidate, j, &mut start.v);
                    start.h[j] = h_top[j];
                    start.step[j] *= if far { SHRINK } else { SHRINK_SMOOTH };
                } else if best.h[j] > start.h[j] + 0.125 * margin[j] {
                    // Smaller gains are rounding.
                    copy_point(&best.v, j, &mut start.v);
                    start.h[j] = best.h[j];
                } else {
                    start.step[j] *= SHRINK;
                }
            }
        }
    }
}

/// H, with minus infinity for what is not finite: no candidate.
fn values(block: &Block<'_>, v: &PointBlock, out: &mut [f64], work: &mut Work) {
    block.values(v.as_points(), out, work);
    out.iter_mut().filter(|h| !h.is_finite()).for_each(|h| *h = f64::NEG_INFINITY);
}

fn copy_point(from: &PointBlock, j: usize, to: &mut PointBlock) {
    let n = to.len();
    (0..from.dim()).for_each(|k| to.data_mut()[k * n + j] = from.coord(k)[j]);
}

/// The digits of `code` in base 3, as -1, 0, 1.
fn digits(code: usize, m: usize) -> Vec<i8> {
    (0..m).map(|k| [0, 1, -1][(code / 3usize.pow(k as u32)) % 3]).collect()
}
