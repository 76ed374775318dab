//! Transfer along one axis between a fine line of nodes and every second of them.
//!
//! Coarse nodes are the fine nodes 0, 2, 4, ...; when the number of intervals is odd, the last node joins them and the last
//! interval is not halved, so any number of nodes coarsens. Interpolation is linear in the index, restriction the
//! transpose weighted with the volumes of the nodes (full weighting; half volumes at the faces).
//! Reference: W. L. Briggs, V. E. Henson, S. F. McCormick, A Multigrid Tutorial (2000), chapters 3 and 5.

/// Weights of one axis.
#[derive(Clone)]
pub(super) struct AxisTransfer {
    fine_len: usize,
    /// Fine index of each coarse node.
    nodes: Vec<usize>,
    /// Interpolation weights (left, right) of the node within each coarse interval, if there is one.
    midpoints: Vec<Option<(f64, f64)>>,
    /// Restriction weights of (fine node before, coarse node itself, fine node after).
    weights: Vec<(f64, f64, f64)>,
    /// Positions of the coarse nodes in units of the finest index.
    pub positions: Vec<f64>,
}

impl AxisTransfer {
    /// Transfer for the nodes at `positions`; none when there are fewer than five.
    pub fn new(positions: &[f64]) -> Option<Self> {
        let fine_len = positions.len();
        if fine_len < 5 {
            return None;
        }
        let mut nodes: Vec<usize> = (0..fine_len).step_by(2).collect();
        if fine_len.is_multiple_of(2) {
            nodes.push(fine_len - 1);
        }
        let volume = |k: usize| 0.5 * (positions[(k + 1).min(fine_len - 1)] - positions[k.saturating_sub(1)]);
        let between = |w: &[usize]| {
            (w[1] - w[0] == 2).then(|| {
                let right = (positions[w[0] + 1] - positions[w[0]]) / (positions[w[1]] - positions[w[0]]);
                (1.0 - right, right)
            })
        };
        let midpoints: Vec<Option<(f64, f64)>> = nodes.windows(2).map(between).collect();
        let weights = (0..nodes.len())
            .map(|c| {
                let k = nodes[c];
                let before = if c == 0 { None } else { midpoints[c - 1] };
                let after = midpoints.get(c).copied().flatten();
                let (b, o, a) =
                    (before.map_or(0.0, |m| m.1 * volume(k - 1)), volume(k), after.map_or(0.0, |m| m.0 * volume(k + 1)));
                let sum = b + o + a;
                (b / sum, o / sum, a / sum)
            })
            .collect();
        let positions = nodes.iter().map(|&k| positions[k]).collect();
        Some(AxisTransfer { fine_len, nodes, midpoints, weights, positions })
    }

    pub fn coarse_len(&self) -> usize {
        self.nodes.len()
    }

    /// Fine index of coarse node `c`.
    pub fn node(&self, c: usize) -> usize {
        self.nodes[c]
    }

    /// Restrict `from` (outer x fine x inner) into `to` (outer x coarse x inner).
    pub fn restrict(&self, outer: usize, inner: usize, from: &[f64], to: &mut [f64]) {
        let coarse = self.coarse_len();
        for o in 0..outer {
            let from = &from[o * self.fine_len * inner..][..self.fine_len * inner];
            let to = &mut to[o * coarse * inner..][..coarse * inner];
            if inner == 1 {
                for ((t, &k), &(b, w, a)) in to.iter_mut().zip(&self.nodes).zip(&self.weights) {
                    let (before, after) = (from[k.saturating_sub(1)], from[(k + 1).min(self.fine_len - 1)]);
                    *t = b * before + w * from[k] + a * after;
                }
                continue;
            }
            for ((t, &k), &(b, w, a)) in to.chunks_exact_mut(inner).zip(&self.nodes).zip(&self.weights) {
                let own = &from[k * inner..][..inner];
                let before = &from[k.saturating_sub(1) * inner..][..inner];
                let after = &from[(k + 1).min(self.fine_len - 1) * inner..][..inner];
                for (((t, o), p), q) in t.iter_mut().zip(own).zip(before).zip(after) {
                    *t = b * p + w * o + a * q;
                }
            }
        }
    }

    /// Interpolate `from` (outer x coarse x inner) into `to` (outer x fine x inner).
    pub fn prolong(&self, outer: usize, inner: usize, from: &[f64], to: &mut [f64]) {
        let coarse = self.coarse_len();
        for o in 0..outer {
            let from = &from[o * coarse * inner..][..coarse * inner];
            let to = &mut to[o * self.fine_len * inner..][..self.fine_len * inner];
            if inner == 1 {
                for (c, &k) in self.nodes.iter().enumerate() {
                    to[k] = from[c];
                    if let Some(Some((left, right))) = self.midpoints.get(c) {
                        to[k + 1] = left * from[c] + right * from[c + 1];
                    }
                }
                continue;
            }
            for (c, &k) in self.nodes.iter().enumerate() {
                to[k * inner..][..inner].copy_from_slice(&from[c * inner..][..inner]);
                if let Some(Some((left, right))) = self.midpoints.get(c) {
                    let (below, above) = from[c * inner..][..2 * inner].split_at(inner);
                    for ((t, l), r) in to[(k + 1) * inner..][..inner].iter_mut().zip(below).zip(above) {
                        *t = left * l + right * r;
                    }
                }
            }
        }
    }

    /// Entries towards the coarse neighbours on this axis: R A applied to the interpolated indicators of the nodes below
    /// and above, for the entries `lower` and `upper` of A.
    pub fn collapse(&self, outer: usize, inner: usize, lower: &[f64], upper: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let coarse = self.coarse_len();
        let mut out = (vec![0.0; outer * coarse * inner], vec![0.0; outer * coarse * inner]);
        for o in 0..outer {
            for c in 0..coarse {
                let own = (o * self.fine_len + self.nodes[c]) * inner;
                let to = (o * coarse + c) * inner;
                let (before, centre, after) = self.weights[c];
                if c > 0 {
                    let l = &mut out.0[to..to + inner];
                    match self.midpoints[c - 1] {
                        Some((left, right)) => {
                            let mid = own - inner;
                            for q in 0..inner {
                                l[q] = centre * left * lower[own + q] + before * (right * lower[mid + q] - left * upper[mid + q]);
                            }
                        }
                        None => (0..inner).for_each(|q| l[q] = centre * lower[own + q]),
                    }
                }
                if c + 1 < coarse {
                    let u = &mut out.1[to..to + inner];
                    match self.midpoints[c] {
                        Some((left, right)) => {
                            let mid = own + inner;
                            for q in 0..inner {
                                u[q] = centre * right * upper[own + q] + after * (left * upper[mid + q] - right * lower[mid + q]);
                            }
                        }
                        None => (0..inner).for_each(|q| u[q] = centre * upper[own + q]),
                    }
                }
            }
        }
        out
    }

    /// Call `visit(fine, coarse)` for all coarse nodes and the fine nodes at their places.
    pub fn inject(&self, outer: usize, inner: usize, mut visit: impl FnMut(usize, usize)) {
        let coarse = self.coarse_len();
        for o in 0..outer {
            for (c, &k) in self.nodes.iter().enumerate() {
                (0..inner).for_each(|q| visit((o * self.fine_len + k) * inner + q, (o * coarse + c) * inner + q));
            }
        }
    }
}
