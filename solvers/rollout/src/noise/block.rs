//! The normal numbers of a block of paths, step after step.

use super::{LANES, NormalStream};

/// Serves the numbers of steps 0, 1, 2, ... of one block; two steps are drawn at a time.
#[derive(Clone, Debug)]
pub struct BlockNoise {
    stream: NormalStream,
    even: Vec<[f64; LANES]>,
    odd: Vec<[f64; LANES]>,
}

impl BlockNoise {
    /// For `noise_dim` components.
    pub fn new(stream: NormalStream, noise_dim: usize) -> Self {
        BlockNoise { stream, even: vec![[0.0; LANES]; noise_dim], odd: vec![[0.0; LANES]; noise_dim] }
    }

    /// The numbers of `step`, component after component, one per lane. Steps must be asked for in order from an even one;
    /// only an even step draws.
    pub fn step(&mut self, block: u64, step: u32) -> &[f64] {
        if !step.is_multiple_of(2) {
            return self.odd.as_flattened();
        }
        for ((component, even), odd) in (0..).zip(&mut self.even).zip(&mut self.odd) {
            self.stream.fill(block, step / 2, component, even, odd);
        }
        self.even.as_flattened()
    }
}
