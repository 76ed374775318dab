//! The normal numbers of a block of paths, step after step, on the finest time grid or on a coarser one.

use super::{LANES, NormalStream, STEPS_PER_DRAW};

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
    stream: NormalStream,
    factor: u32,
    scale: f64,
    /// Block and group of steps that `numbers` holds.
    drawn: Option<(u64, u32)>,
    /// For each step of the group, component after component.
    numbers: [Vec<[f64; LANES]>; STEPS_PER_DRAW as usize],
    sum: Vec<[f64; LANES]>,
}

impl BlockNoise {
    /// For `noise_dim` components, at the stream's own steps.
    pub fn new(stream: NormalStream, noise_dim: usize) -> Self {
        Self::coarse(stream, noise_dim, 1)
    }

    /// For steps that each cover `factor` steps of the stream (0 is taken as 1).
    pub fn coarse(stream: NormalStream, noise_dim: usize, factor: u32) -> Self {
        let room = vec![[0.0; LANES]; noise_dim];
        let factor = factor.max(1);
        let sum = if factor > 1 { room.clone() } else { Vec::new() };
        let scale = 1.0 / f64::from(factor).sqrt();
        BlockNoise { stream, factor, scale, drawn: None, numbers: std::array::from_fn(|_| room.clone()), sum }
    }

    /// How many steps of the stream one step covers.
    pub fn factor(&self) -> u32 {
        self.factor
    }

    /// The numbers of `step`, component after component, one per lane. `step * factor` must be below 2^32.
    pub fn step(&mut self, block: u64, step: u32) -> &[f64] {
        if self.factor == 1 {
            let place = self.draw(block, step);
            return self.numbers[place].as_flattened();
        }
        for fine in 0..self.factor {
            let place = self.draw(block, step.wrapping_mul(self.factor).wrapping_add(fine));
            let (sum, z) = (self.sum.as_flattened_mut(), self.numbers[place].as_flattened());
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

    /// Make sure that the group of `step` is there; its place in the group.
    fn draw(&mut self, block: u64, step: u32) -> usize {
        let group = step / STEPS_PER_DRAW;
        if self.drawn != Some((block, group)) {
            let [first, second, third, fourth] = &mut self.numbers;
            let rows = first.iter_mut().zip(second).zip(third).zip(fourth);
            for (component, (((a, b), c), d)) in (0..).zip(rows) {
                self.stream.fill(block, group, component, [a, b, c, d]);
            }
            self.drawn = Some((block, group));
        }
        (step % STEPS_PER_DRAW) as usize
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
