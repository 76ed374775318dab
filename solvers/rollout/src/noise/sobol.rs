//! Scrambled Sobol points and a Brownian bridge: normal numbers for randomised quasi-Monte Carlo.
//!
//! The n q numbers of a path (n steps, q components) come from one point of an Owen-scrambled Sobol sequence, through the
//! inverse of the normal distribution function and the Brownian bridge: the first q coordinates, in which the points are the
//! most even, give W(T), the next ones W(T/2), then the quarters,
//!   W(m) = ( (r - m) W(l) + (m - l) W(r) ) / (r - l) + sqrt( (m - l)(r - m) / (r - l) ) z,   l < m < r,
//! so that most of the variance of a smooth functional hangs on few good coordinates. The increments are again independent
//! standard normal numbers, because the bridge is an orthogonal map; it is built on the numbers of the steps, so it serves
//! unequal steps as well.
//!
//! A single point is uniform, so every path has the right law and every mean is unbiased; but the points of one scrambling
//! are not independent, and the standard error of one run says little. Repeat with independent scramblings
//! ([`Ensemble::replicate`](crate::Ensemble::replicate)): the spread of their means is the error. Use powers of two as the
//! number of paths.
//!
//! Limits: 65536 paths, n q <= 256; uniform numbers have 24 bits, so |z| <= 5.4.
//!
//! References: Owen, *Randomly permuted (t,m,s)-nets and (t,s)-sequences* (1995); Burley, *Practical hash-based Owen
//! scrambling*, J. Comput. Graph. Tech. 9 (2020), and its implementation in the crate `sobol_burley`; Caflisch, Morokoff,
//! Owen, *Valuation of mortgage-backed securities using Brownian bridges to reduce effective dimension* (1997).

use sobol_burley::{NUM_DIMENSIONS, sample_4d};

use super::{Domain, LANES, stream_key};
use crate::error::RolloutError;
use crate::reduce::normal_quantile;

/// Largest number of points of the sequence.
pub const SOBOL_PATHS: usize = 1 << 16;

/// Largest number of normal numbers of a path: of its steps times its components.
pub const SOBOL_DIMENSIONS: usize = NUM_DIMENSIONS as usize;

/// The normal numbers of the paths of one scrambling.
#[derive(Clone, Debug)]
pub struct SobolBridge {
    seed: u32,
    components: usize,
    /// The order in which the bridge fixes W: left, middle and right step; the last step comes first, with left = right.
    order: Vec<[usize; 3]>,
}

impl SobolBridge {
    /// The scrambling of a seed and level, for paths of `steps` steps with `components` numbers each.
    ///
    /// # Errors
    /// More than [`SOBOL_DIMENSIONS`] numbers per path.
    pub fn new(seed: u64, level: u32, steps: usize, components: usize) -> Result<Self, RolloutError> {
        if steps.saturating_mul(components) > SOBOL_DIMENSIONS {
            let allowed = format!("at most {SOBOL_DIMENSIONS} with Sobol points (here {steps} steps of {components} numbers)");
            return Err(RolloutError::invalid("normal numbers per path", steps.saturating_mul(components), allowed));
        }
        let [seed, _] = stream_key(seed, level, Domain::Sobol);
        let mut order = vec![[0, steps, 0]];
        let mut intervals = std::collections::VecDeque::from([(0, steps)]);
        while let Some((left, right)) = intervals.pop_front() {
            if right - left > 1 {
                let middle = left + (right - left) / 2;
                order.push([left, middle, right]);
                intervals.extend([(left, middle), (middle, right)]);
            }
        }
        Ok(SobolBridge { seed, components, order })
    }

    /// Numbers per step.
    pub(super) fn components(&self) -> usize {
        self.components
    }

    /// Number of steps.
    pub(super) fn steps(&self) -> usize {
        self.order.len()
    }

    /// The numbers of all steps of a block, step after step, component after component.
    pub(super) fn fill(&self, block: u64, out: &mut [[f64; LANES]]) {
        let (n, q) = (self.steps(), self.components);
        let mut z = vec![[0.0; LANES]; (n * q).next_multiple_of(4)];
        for lane in 0..LANES {
            let path = block.wrapping_mul(LANES as u64).wrapping_add(lane as u64);
            // Lanes beyond the last point do not count; they must only not be asked for.
            let index = (path % SOBOL_PATHS as u64) as u32;
            for (set, z) in (0..).zip(z.chunks_exact_mut(4)) {
                for (z, u) in z.iter_mut().zip(sample_4d(index, set, self.seed)) {
                    // u is a multiple of 2^-24; half a spacing more keeps it away from 0 and 1.
                    z[lane] = normal_quantile(f64::from(u) + 1.0 / f64::from(1u32 << 25));
                }
            }
        }
        let mut w = vec![[0.0; LANES]; n + 1];
        for c in 0..q {
            for (b, &[left, middle, right]) in self.order.iter().enumerate() {
                let z = &z[b * q + c];
                if b == 0 {
                    w[n] = z.map(|z| (n as f64).sqrt() * z);
                    continue;
                }
                let (near, far, whole) = ((middle - left) as f64, (right - middle) as f64, (right - left) as f64);
                let spread = (near * far / whole).sqrt();
                for lane in 0..LANES {
                    w[middle][lane] = (far * w[left][lane] + near * w[right][lane]) / whole + spread * z[lane];
                }
            }
            for k in 0..n {
                for lane in 0..LANES {
                    out[k * q + c][lane] = w[k + 1][lane] - w[k][lane];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bridge_is_an_orthogonal_map() {
        // Columns: the increments that each coordinate alone makes.
        for n in [1usize, 2, 3, 7, 12] {
            let bridge = SobolBridge::new(1, 0, n, 1).unwrap();
            assert_eq!(bridge.steps(), n);
            let column = |only: usize| -> Vec<f64> {
                let mut w = vec![0.0; n + 1];
                for (b, &[l, m, r]) in bridge.order.iter().enumerate() {
                    let z = f64::from(u8::from(b == only));
                    if b == 0 {
                        w[n] = (n as f64).sqrt() * z;
                    } else {
                        let (near, far) = ((m - l) as f64, (r - m) as f64);
                        w[m] = (far * w[l] + near * w[r]) / (near + far) + (near * far / (near + far)).sqrt() * z;
                    }
                }
                w.windows(2).map(|w| w[1] - w[0]).collect()
            };
            for a in 0..n {
                for b in 0..n {
                    let product: f64 = column(a).iter().zip(column(b)).map(|(x, y)| x * y).sum();
                    assert!((product - f64::from(u8::from(a == b))).abs() < 1e-14, "{n} {a} {b}");
                }
            }
        }
    }

    #[test]
    fn the_sum_of_the_steps_is_the_first_coordinate() {
        let (n, q) = (12, 3);
        let bridge = SobolBridge::new(5, 2, n, q).unwrap();
        let mut out = vec![[0.0; LANES]; n * q];
        bridge.fill(1, &mut out);
        for c in 0..q {
            let mut sums: Vec<f64> =
                (0..LANES).map(|l| (0..n).map(|k| out[k * q + c][l]).sum::<f64>() / (n as f64).sqrt()).collect();
            sums.sort_by(f64::total_cmp);
            // 64 successive points have one W(T) in each of 64 intervals of equal probability.
            for (i, z) in sums.iter().enumerate() {
                let u = 0.5 * libm::erfc(-z / 2f64.sqrt());
                assert!(u > i as f64 / 64.0 - 1e-12 && u < (i + 1) as f64 / 64.0 + 1e-12, "{c} {i} {u}");
            }
        }
    }

    #[test]
    fn too_many_numbers_are_refused() {
        let e = SobolBridge::new(0, 0, 100, 3).unwrap_err().to_string();
        assert!(e.contains("300") && e.contains("256"), "{e}");
        assert!(SobolBridge::new(0, 0, 128, 2).is_ok());
    }
}
