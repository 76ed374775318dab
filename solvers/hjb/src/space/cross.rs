//! Cross derivatives a_ij V_ij by the sign-adapted seven-point stencil.
//!
//! At a node with spacings h-, h+ on axis i and k-, k+ on axis j, and a_ij > 0,
//!
//!   a_ij V_ij ~ w1 (V(+,+) - V(+,0) - V(0,+) + V) + w2 (V(-,-) - V(-,0) - V(0,-) + V),   w1 h+ k+ + w2 h- k- = a_ij,
//!
//! and for a_ij < 0 the corners (+,-), (-,+) with h+ k- w1 + h- k+ w2 = -a_ij. Each bracket is exact on quadratics, so every
//! split is consistent; equal shares w1 h+ k+ = w2 h- k- = a_ij/2 cancel the third-order terms where spacings are equal or
//! vary smoothly: order 2. The corners get the rates w1, w2; the neighbours on the two axes on that side lose as much:
//! a_ii/(h+ (h- + h+)) - w1 and so on remain. All are non-negative on uniform axes if |a_ij| <= min(a_ii k/h, a_jj h/k). On
//! unequal spacings the shares move away from one half as far as it takes to keep the remaining rates non-negative; where
//! that is impossible they stay at one half and the monotonicity certificate counts the negative rates. Of several pairs in
//! three dimensions each takes from what the ones before left over.
//!
//! On the faces of either axis the term is left out: on a reflecting face V_i = 0 all along it, so V_ij = 0 exactly (the
//! reflection is along the normal); an extrapolated face has no second differences either. A neighbour replaced by the
//! boundary of a target set at distance d < h is brought in by the parabola through the three values on the axis, which
//! keeps exactness on quadratics. A corner inside the set is replaced by the point at which the diagonal meets the boundary,
//! the part theta of the way: with V(theta h+, theta k+) from the data, and V(theta h+, 0) and V(0, theta k+) from the
//! parabolas on the axes, the bracket over theta^2 is exact on quadratics again, and shares in proportion to theta cancel the
//! third-order terms that cancel elsewhere. On uniform axes this is the three-point formula for unequal distances on the
//! diagonal (Shortley-Weller), the rates left on the axes are (a_ii - |a_ij| h/k)/(h- (h- + h+)) with the distances in use,
//! and all are non-negative under the same condition as elsewhere: order 2 up to the boundary of the set.
//! References: J. F. Bonnans, H. Zidani, Consistency of generalized finite difference schemes for the stochastic HJB
//! equation, SIAM J. Numer. Anal. 41 (2003) 1008-1021; P. A. Forsyth, G. Labahn, J. Comput. Finance 11 (2007) 1-44.

use super::rates::AxisRates;
use crate::coefficients::CrossDiffusion;
use crate::exit::CutCorner;
use crate::geometry::{AxisGeometry, Geometry};
use crate::stencil::StencilMatrix;

/// A rate that is this small against what it was is no negative one.
const ROUNDING: f64 = 1e-13;

/// The rates to one kind of corner.
struct Corner {
    shift: Vec<isize>,
    flat: isize,
    rate: Vec<f64>,
}

/// One pair of axes with its corners: which of them serves (side on i, side on j, across the end of i, of j).
struct Pair {
    axes: (usize, usize),
    slots: [Option<usize>; 16],
    /// Parts of the diagonals to the four corners (numbered as the slots) outside a target set, n entries each.
    parts: Option<Box<[Vec<f64>; 4]>>,
}

impl Pair {
    /// The part of the diagonal outside the target set.
    fn part(&self, node: usize, (upper_i, upper_j): (bool, bool)) -> f64 {
        self.parts.as_ref().map_or(1.0, |parts| parts[slot(upper_i, upper_j, false, false)][node])
    }
}

/// Place among the slots.
fn slot(upper_i: bool, upper_j: bool, wrap_i: bool, wrap_j: bool) -> usize {
    usize::from(upper_i) + 2 * usize::from(upper_j) + 4 * usize::from(wrap_i) + 8 * usize::from(wrap_j)
}

/// Rates to the corners for all pairs of axes that are correlated.
pub(crate) struct CrossRates {
    pairs: Vec<Pair>,
    corners: Vec<Corner>,
}

/// Distances of a node to its neighbours on one axis: of the grid, and those in use.
#[derive(Clone, Copy)]
struct Distances {
    grid: [f64; 2],
    used: [f64; 2],
}

impl Distances {
    fn at(g: &AxisGeometry, j: usize) -> Self {
        let used = [g.minus[j], g.plus[j]];
        Distances { grid: g.uncut.as_ref().map_or(used, |(minus, plus)| [minus[j], plus[j]]), used }
    }

    fn is_inside(&self) -> bool {
        self.used.iter().all(|d| d.is_finite())
    }

    /// Weights (to the lower, to the upper neighbour) that stand for the point on one side at this part of the way to the
    /// neighbour of the grid.
    fn weights(&self, upper: bool, part: f64) -> (f64, f64) {
        let [minus, plus] = self.used;
        let s = part * if upper { self.grid[1] } else { -self.grid[0] };
        (s * (s - plus) / (minus * (minus + plus)), s * (s + minus) / (plus * (plus + minus)))
    }
}

impl CrossRates {
    /// Room for these pairs of axes; none when there is no pair.
    pub fn new(geometry: &Geometry, axes: &[(usize, usize)]) -> Option<Self> {
        let n = geometry.len();
        let (mut pairs, mut corners) = (Vec::new(), Vec::new());
        for &(i, k) in axes {
            let mut slots = [None; 16];
            for (number, place) in slots.iter_mut().enumerate() {
                let (gi, gk) = (&geometry.axes[i], &geometry.axes[k]);
                let (wrap_i, wrap_k) = (number & 4 != 0, number & 8 != 0);
                if (wrap_i && !gi.is_periodic()) || (wrap_k && !gk.is_periodic()) {
                    continue;
                }
                let step = |upper: bool, wrap: bool, count: usize| {
                    let far = if wrap { 2 - count as isize } else { 1 };
                    if upper { far } else { -far }
                };
                let mut shift = vec![0isize; geometry.dim()];
                shift[i] = step(number & 1 != 0, wrap_i, gi.count);
                shift[k] = step(number & 2 != 0, wrap_k, gk.count);
                let flat = shift[i] * gi.stride as isize + shift[k] * gk.stride as isize;
                *place = Some(corners.len());
                corners.push(Corner { shift, flat, rate: vec![0.0; n] });
            }
            pairs.push(Pair { axes: (i, k), slots, parts: None });
        }
        (!pairs.is_empty()).then_some(CrossRates { pairs, corners })
    }

    /// The shifts of the corners.
    pub fn shifts(&self) -> impl Iterator<Item = &Vec<isize>> {
        self.corners.iter().map(|c| &c.shift)
    }

    /// Let the diagonals to these corners end at the boundary of a target set, and tell each its kind and distance; corners of
    /// pairs that this was not made for are left alone.
    pub fn cut(&mut self, cut: &mut [CutCorner]) {
        let n = self.corners.first().map_or(0, |c| c.rate.len());
        for c in cut {
            let Some(pair) = self.pairs.iter_mut().find(|p| p.axes == c.axes) else { continue };
            let place = slot(c.upper.0, c.upper.1, false, false);
            let Some(kind) = pair.slots[place] else { continue };
            (c.kind, c.flat) = (Some(kind), self.corners[kind].flat);
            pair.parts.get_or_insert_with(|| Box::new(std::array::from_fn(|_| vec![1.0; n])))[place][c.node] = c.fraction;
        }
    }

    /// The rate of a node to its corner of this kind.
    pub fn rate(&self, kind: usize, node: usize) -> f64 {
        self.corners[kind].rate[node]
    }

    /// Set the rates to the corners for these a_ij and take them from the rates on the axes.
    pub fn set(&mut self, geometry: &Geometry, cross: &[CrossDiffusion], axes: &mut [AxisRates]) {
        self.corners.iter_mut().for_each(|c| c.rate.fill(0.0));
        for pair in &self.pairs {
            let (i, k) = pair.axes;
            let Some(term) = cross.iter().find(|c| c.axes == pair.axes) else { continue };
            let (gi, gk) = (&geometry.axes[i], &geometry.axes[k]);
            for (j, &a) in term.a.iter().enumerate() {
                let (di, dk) = (Distances::at(gi, j), Distances::at(gk, j));
                if a == 0.0 || !di.is_inside() || !dk.is_inside() {
                    continue;
                }
                // Sides on axis k of the corners above and below on axis i.
                let sides = if a > 0.0 { [(true, true), (false, false)] } else { [(true, false), (false, true)] };
                let parts = sides.map(|side| pair.part(j, side));
                // Of each corner: the area of its bracket, and what the bracket takes from the four rates on the axes.
                let area = [0, 1].map(|c| {
                    let (u, v) = sides[c];
                    di.grid[usize::from(u)] * dk.grid[usize::from(v)] * parts[c] * parts[c]
                });
                let taken = [0, 1].map(|c| {
                    let (u, v) = sides[c];
                    let (on_i, on_k) = (di.weights(u, parts[c]), dk.weights(v, parts[c]));
                    [on_i.0, on_i.1, on_k.0, on_k.1].map(|w| w / area[c])
                });
                let rates = [axes[i].minus[j], axes[i].plus[j], axes[k].minus[j], axes[k].plus[j]];
                let share = share(a.abs(), parts, rates, taken);
                let shares = [share, a.abs() - share];
                for (s, axis) in [i, i, k, k].into_iter().enumerate() {
                    let rate = if s % 2 == 0 { &mut axes[axis].minus[j] } else { &mut axes[axis].plus[j] };
                    *rate -= shares[0] * taken[0][s] + shares[1] * taken[1][s];
                }
                for (c, (u, v)) in sides.into_iter().enumerate() {
                    let w = shares[c] / area[c];
                    // A diagonal that is cut ends before the end of a periodic axis.
                    let whole = if parts[c] < 1.0 { Some([(false, 1.0), (true, 0.0)]) } else { None };
                    for (wrap_i, share_i) in whole.unwrap_or_else(|| gi.neighbours(j, u)) {
                        for (wrap_k, share_k) in whole.unwrap_or_else(|| gk.neighbours(j, v)) {
                            if let Some(c) = pair.slots[slot(u, v, wrap_i, wrap_k)] {
                                self.corners[c].rate[j] += w * share_i * share_k;
                            }
                        }
                    }
                }
            }
        }
    }

    /// out += sum over the corners of rate (V(corner) - V).
    pub fn add(&self, value: &[f64], out: &mut [f64]) {
        let n = value.len();
        for c in &self.corners {
            let size = c.flat.unsigned_abs();
            // Rows whose corner is a node; elsewhere the rate is zero.
            let (rows, first) = if c.flat >= 0 { (0..n - size, size) } else { (size..n, 0) };
            let own = out[rows.clone()].iter_mut().zip(&c.rate[rows.clone()]).zip(&value[rows]);
            own.zip(&value[first..]).for_each(|(((o, r), v), corner)| *o += r * (corner - v));
        }
    }

    /// Write the rates into a generator whose pattern has the corners.
    pub fn write(&self, generator: &mut StencilMatrix) {
        for c in &self.corners {
            if let Some(s) = generator.shift_number(&c.shift) {
                generator.diagonal_mut(s).copy_from_slice(&c.rate);
            }
        }
    }
}

/// The share of |a_ij| = `size` that goes to the first of two corners: in proportion to the parts of their diagonals, and as
/// far from that as it takes to keep the rates on the axes non-negative, of which a unit given to a corner takes `taken`;
/// where that is impossible, the proportion.
fn share(size: f64, parts: [f64; 2], rates: [f64; 4], taken: [[f64; 4]; 2]) -> f64 {
    let wanted = size * parts[0] / (parts[0] + parts[1]);
    let left = |s: usize, share: f64| rates[s] - share * taken[0][s] - (size - share) * taken[1][s];
    if (0..4).all(|s| left(s, wanted) >= -ROUNDING * rates[s].abs()) {
        return wanted;
    }
    let (mut least, mut most) = (0.0f64, size);
    for s in 0..4 {
        // What is left falls with the share at this speed.
        let (speed, room) = (taken[0][s] - taken[1][s], rates[s] - size * taken[1][s]);
        if speed > 0.0 {
            most = most.min(room / speed);
        } else if speed < 0.0 {
            least = least.max(room / speed);
        } else if room < 0.0 {
            return wanted;
        }
    }
    if least <= most { wanted.max(least).min(most) } else { wanted }
}
