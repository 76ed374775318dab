//! The normal numbers of a block of paths, step after step, on the finest time grid or on a coarser one.

use super::{LANES, NormalStream, STEPS_PER_DRAW, SobolBridge};

/// What the numbers of a [`BlockNoise`] are drawn from, with the numbers drawn last.
#[derive(Clone, Debug)]
enum Source {
    Keyed {
        stream: NormalStream,
        /// Block and group of steps that `numbers` holds.
        drawn: Option<(u64, u32)>,
        /// For each step of the group, component after component.
        numbers: [Vec<[f64; LANES]>; STEPS_PER_DRAW as usize],
    },
    Sobol {
        bridge: SobolBridge,
        /// Block that `numbers` holds.
        drawn: Option<u64>,
        /// Step after step, component after component.
        numbers: Vec<[f64; LANES]>,
    },
}

/// Serves the numbers of the steps of one block; [`STEPS_PER_DRAW`] steps are drawn at a time.
///
/// # Coupled levels
/// With [`BlockNoise::coarse`] of factor M a step covers M steps of the stream, and its number is
///   xi_k = (z_{kM} + z_{kM+1} + ... + z_{kM+M-1}) / sqrt(M),
/// summed from left to right and multiplied by the rounded 1/sqrt(M); for M = 1 it is z_k itself. A run of N steps with
/// factor M and a run of M N steps with factor 1 are thus driven by one Brownian path, up to rounding: sqrt(M h) xi_k is
/// the sum of the fine increments. A path is the same for any block of it that is asked for, and steps may be asked for in
/// any order, although only rising order draws each number once.
#[derive(Clone, Debug)]
pub struct BlockNoise {
    source: Source,
    factor: u32,
    scale: f64,
    sum: Vec<[f64; LANES]>,
}

impl BlockNoise {
    /// For `noise_dim` components, at the stream's own steps.
    pub fn new(stream: NormalStream, noise_dim: usize) -> Self {
        Self::coarse(stream, noise_dim, 1)
    }

    /// For steps that each cover `factor` steps of the stream (0 is taken as 1).
    pub fn coarse(stream: NormalStream, noise_dim: usize, factor: u32) -> Self {
        let numbers = std::array::from_fn(|_| vec![[0.0; LANES]; noise_dim]);
        BlockNoise::of(Source::Keyed { stream, drawn: None, numbers }, noise_dim, factor)
    }

    /// From Sobol points, for steps that each cover `factor` steps of the bridge (0 is taken as 1); steps beyond the bridge's
    /// last one repeat it.
    pub fn sobol(bridge: SobolBridge, factor: u32) -> Self {
        let components = bridge.components();
        let numbers = vec![[0.0; LANES]; bridge.steps() * components];
        BlockNoise::of(Source::Sobol { bridge, drawn: None, numbers }, components, factor)
    }

    fn of(source: Source, noise_dim: usize, factor: u32) -> Self {
        let factor = factor.max(1);
        let sum = vec![[0.0; LANES]; if factor > 1 { noise_dim } else { 0 }];
        BlockNoise { source, factor, scale: 1.0 / f64::from(factor).sqrt(), sum }
    }

    /// How many steps of the stream one step covers.
    pub fn factor(&self) -> u32 {
        self.factor
    }

    /// The numbers of `step`, component after component, one per lane. `step * factor` must be below 2^32.
    pub fn step(&mut self, block: u64, step: u32) -> &[f64] {
        if self.factor == 1 {
            return self.source.numbers(block, step);
        }
        for fine in 0..self.factor {
            let z = self.source.numbers(block, step.wrapping_mul(self.factor).wrapping_add(fine));
            let sum = self.sum.as_flattened_mut();
            if fine == 0 {
                sum.copy_from_slice(z);
            } else {
                for (sum, z) in sum.iter_mut().zip(z) {
                    *sum += z;
                }
            }
        }
        for sum in self.sum.as_flattened_mut() {
            *sum *= self.scale;
        }
        self.sum.as_flattened()
    }
}

impl Source {
    /// The numbers of one step of the source; draws what is not there.
    fn numbers(&mut self, block: u64, step: u32) -> &[f64] {
        match self {
            Source::Keyed { stream, drawn, numbers } => {
                let group = step / STEPS_PER_DRAW;
                if *drawn != Some((block, group)) {
                    let [first, second, third, fourth] = numbers;
                    let rows = first.iter_mut().zip(second).zip(third).zip(fourth);
                    for (component, (((a, b), c), d)) in (0..).zip(rows) {
                        stream.fill(block, group, component, [a, b, c, d]);
                    }
                    *drawn = Some((block, group));
                }
                numbers[(step % STEPS_PER_DRAW) as usize].as_flattened()
            }
            Source::Sobol { bridge, drawn, numbers } => {
                if *drawn != Some(block) {
                    bridge.fill(block, numbers);
                    *drawn = Some(block);
                }
                let (step, q) = ((step as usize).min(bridge.steps() - 1), bridge.components());
                numbers[step * q..(step + 1) * q].as_flattened()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> NormalStream {
        NormalStream::new(3, 1)
    }

    #[test]
    fn steps_are_the_streams_own_in_any_order() {
        let mut noise = BlockNoise::new(stream(), 2);
        for (block, step) in [(0, 0), (0, 1), (0, 4), (0, 3), (7, 3), (0, 2), (0, 9)] {
            let numbers = noise.step(block, step).to_vec();
            for (i, z) in numbers.iter().enumerate() {
                let (component, lane) = (i / LANES, i % LANES);
                let path = block * LANES as u64 + lane as u64;
                assert_eq!(z.to_bits(), stream().normal(path, step, component as u32).to_bits());
            }
        }
    }

    #[test]
    fn coarse_numbers_are_scaled_sums_of_fine_ones() {
        for factor in [1u32, 2, 3, 4, 5, 8, 10] {
            let mut noise = BlockNoise::coarse(stream(), 1, factor);
            for step in 0..4 {
                let coarse = noise.step(2, step).to_vec();
                for (lane, coarse) in coarse.iter().enumerate() {
                    let fine = |j| stream().normal(2 * LANES as u64 + lane as u64, step * factor + j, 0);
                    // The rule of the documentation, bit for bit.
                    let mut sum = fine(0);
                    (1..factor).for_each(|j| sum += fine(j));
                    let expected = if factor == 1 { sum } else { sum * (1.0 / f64::from(factor).sqrt()) };
                    assert_eq!(coarse.to_bits(), expected.to_bits());
                }
            }
        }
    }
}
