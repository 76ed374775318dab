//! Ridges of the discrete Hamiltonian: controls v with f_i + (G v)_i at an end of the central window of axis i.
//!
//! H jumps or has a kink across such a hyperplane g'v = const and may have its maximum on it, where no pattern of fixed
//! directions finds it. Points are moved onto the hyperplane along g.

use super::block::{Block, Slopes};
use hjbridge_model::PointBlock;

/// One end of the window of one axis, at the nodes of a block.
pub(super) struct Ridge {
    axis: usize,
    /// The end; NaN where no control of the box reaches it.
    end: Vec<f64>,
}

impl Ridge {
    /// The ridges that some control of the box reaches at some node.
    pub fn all(block: &Block<'_>, bounds: &[(f64, f64)]) -> Vec<Ridge> {
        let (n, m) = (block.len(), bounds.len());
        let mut ridges = Vec::new();
        for (axis, slopes) in block.axes.iter().enumerate() {
            let Slopes::Three { low, high, .. } = slopes else { continue };
            let mut least = block.drift[axis].to_vec();
            let mut most = least.clone();
            for (k, (lo, up)) in bounds.iter().enumerate() {
                if let Some(gain) = block.gain[axis * m + k] {
                    for j in 0..n {
                        let (a, b) = (gain[j] * lo, gain[j] * up);
                        least[j] += a.min(b);
                        most[j] += a.max(b);
                    }
                }
            }
            for ends in [low, high] {
                let reached = |j: usize| least[j] < ends[j] && ends[j] < most[j];
                let end: Vec<f64> = (0..n).map(|j| if reached(j) { ends[j] } else { f64::NAN }).collect();
                let twin =
                    ridges.last().is_some_and(|r: &Ridge| r.axis == axis && (0..n).all(|j| !(r.end[j] != end[j] && reached(j))));
                if !twin && end.iter().any(|e| !e.is_nan()) {
                    ridges.push(Ridge { axis, end });
                }
            }
        }
        ridges
    }

    /// Move `v` onto the ridge; `on` tells where that leads to a control of the box, elsewhere `v` stays.
    pub fn project(&self, block: &Block<'_>, bounds: &[(f64, f64)], v: &mut PointBlock, on: &mut [bool], mu: &mut [f64]) {
        let (n, m) = (v.len(), v.dim());
        block.drifts(self.axis, v.as_points(), mu);
        let gain = |k: usize, j: usize| block.gain[self.axis * m + k].map_or(0.0, |g| g[j]);
        for j in 0..n {
            let square: f64 = (0..m).map(|k| gain(k, j).powi(2)).sum();
            let length = (self.end[j] - mu[j]) / square;
            // false for a NaN
            on[j] = (0..m).all(|k| {
                let to = v.coord(k)[j] + length * gain(k, j);
                to >= bounds[k].0 && to <= bounds[k].1
            });
            if on[j] {
                (0..m).for_each(|k| v.data_mut()[k * n + j] += length * gain(k, j));
            }
        }
    }
}
