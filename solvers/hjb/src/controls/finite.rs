//! A finite control set: every control is tried at every node.
//!
//! Exact for any cost. Of several best controls the first is taken, and the present one is given up only for one that is
//! better by more than rounding; policies are finitely many and values increase, so Howard's iteration terminates.
//! O(K d m) per node for K controls, in blocks of nodes so that the loops vectorise.
//! Reference: R. A. Howard, Dynamic Programming and Markov Processes (1960).

use super::block::{Block, Work};
use hjbridge_model::PointBlock;

/// A finite control set.
#[derive(Clone, Debug)]
pub(crate) struct FiniteSet {
    controls: Vec<Vec<f64>>,
}

impl FiniteSet {
    pub fn new(controls: Vec<Vec<f64>>) -> Self {
        FiniteSet { controls }
    }

    /// The best control of the set at each node. `v` holds the present controls and `h` their H; both are overwritten where
    /// a control is better by more than `margin`, or where the present one does not belong to the set.
    pub fn maximise(&self, block: &Block<'_>, margin: &[f64], v: &mut PointBlock, h: &mut [f64], work: &mut Work) {
        let (n, m) = (block.len(), block.controls());
        let mut best = vec![usize::MAX; n];
        let mut value = vec![f64::NEG_INFINITY; n];
        let mut trial = vec![0.0; n];
        let mut candidate = PointBlock::zeros(m, n);
        for (number, control) in self.controls.iter().enumerate() {
            for (k, c) in control.iter().enumerate() {
                candidate.as_mut().coord_mut(k).fill(*c);
            }
            block.values(candidate.as_points(), &mut trial, work);
            for ((t, b), best) in trial.iter().zip(&mut value).zip(&mut best) {
                // false for a NaN
                let better = *t > *b && *t < f64::INFINITY;
                *b = if better { *t } else { *b };
                *best = if better { number } else { *best };
            }
        }
        let mut out = v.as_mut();
        for j in 0..n {
            let Some(control) = self.controls.get(best[j]) else { continue };
            let belongs = |out: &hjbridge_model::PointsMut<'_>| {
                self.controls.iter().any(|c| c.iter().enumerate().all(|(k, c)| out.coord(k)[j] == *c))
            };
            if value[j] > h[j] + margin[j] || !h[j].is_finite() || !belongs(&out) {
                out.set_point(j, control);
                h[j] = value[j];
            }
        }
    }
}
