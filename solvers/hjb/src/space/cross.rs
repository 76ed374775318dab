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
//! keeps exactness on quadratics; a corner inside the set carries the set's data there, which must continue smoothly inside.
//! References: J. F. Bonnans, H. Zidani, Consistency of generalized finite difference schemes for the stochastic HJB
//! equation, SIAM J. Numer. Anal. 41 (2003) 1008-1021; P. A. Forsyth, G. Labahn, J. Comput. Finance 11 (2007) 1-44.

use super::rates::AxisRates;
use crate::coefficients::CrossDiffusion;
use crate::geometry::{AxisGeometry, Geometry};
use crate::stencil::StencilMatrix;

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

    /// Weights (to the lower, to the upper neighbour) that stand for the neighbour of the grid on one side.
    fn weights(&self, upper: bool) -> (f64, f64) {
        let [minus, plus] = self.used;
        let s = if upper { self.grid[1] } else { -self.grid[0] };
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
            pairs.push(Pair { axes: (i, k), slots });
        }
        (!pairs.is_empty()).then_some(CrossRates { pairs, corners })
    }

    /// The shifts of the corners.
    pub fn shifts(&self) -> impl Iterator<Item = &Vec<isize>> {
        self.corners.iter().map(|c| &c.shift)
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
                let rates = |axis: usize, upper: bool| if upper { axes[axis].plus[j] } else { axes[axis].minus[j] };
                let area = sides.map(|(u, v)| di.grid[usize::from(u)] * dk.grid[usize::from(v)]);
                let most = [0, 1].map(|c| area[c] * rates(i, sides[c].0).min(rates(k, sides[c].1)));
                let (size, half) = (a.abs(), 0.5 * a.abs());
                let (least, top) = (size - most[1], most[0]);
                let share = if least <= top { half.max(least).min(top) } else { half };
                for ((u, v), w) in sides.into_iter().zip([share / area[0], (size - share) / area[1]]) {
                    for (axis, upper, distances) in [(i, u, di), (k, v, dk)] {
                        let (lower_weight, upper_weight) = distances.weights(upper);
                        axes[axis].minus[j] -= w * lower_weight;
                        axes[axis].plus[j] -= w * upper_weight;
                    }
                    for (wrap_i, share_i) in gi.neighbours(j, u) {
                        for (wrap_k, share_k) in gk.neighbours(j, v) {
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
