//! A sequential generator for one path, for laws that are sampled through `rand`'s traits.

use std::convert::Infallible;

use rand::TryRng;
use rand::rand_core::utils::fill_bytes_via_next_word;

use super::{Domain, NoiseKey, philox4x32_10, split, stream_key};

/// Philox4x32-10 on the counter (path, position), in the domain of initial states; 2^64 blocks of 128 bits per path.
#[derive(Clone, Debug)]
pub struct PathRng {
    key: [u32; 2],
    path: u64,
    next: u64,
    words: [u32; 4],
    used: usize,
}

impl PathRng {
    /// The generator of `key`'s path, at its beginning.
    pub fn new(key: NoiseKey) -> Self {
        PathRng { key: stream_key(key.seed, key.level, Domain::InitialState), path: key.path, next: 0, words: [0; 4], used: 4 }
    }

    /// The same stream, at the beginning of another path.
    pub fn for_path(&self, path: u64) -> Self {
        PathRng { key: self.key, path, next: 0, words: [0; 4], used: 4 }
    }

    fn word(&mut self) -> u32 {
        if self.used == 4 {
            let ([p0, p1], [n0, n1]) = (split(self.path), split(self.next));
            self.words = philox4x32_10([p0, p1, n0, n1], self.key);
            self.next = self.next.wrapping_add(1);
            self.used = 0;
        }
        let word = self.words[self.used];
        self.used += 1;
        word
    }
}

impl TryRng for PathRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.word())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let low = self.word();
        Ok(u64::from(low) | u64::from(self.word()) << 32)
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        fill_bytes_via_next_word(dst, || self.try_next_u32())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use rand_distr::{Distribution, StandardNormal};

    #[test]
    fn words_come_in_counter_order_whatever_the_width() {
        let key = NoiseKey { seed: 3, path: 1 << 40, level: 1 };
        let (mut narrow, mut wide, mut bytes) = (key.initial_rng(), key.initial_rng(), key.initial_rng());
        let mut buffer = [0u8; 32];
        bytes.fill_bytes(&mut buffer);
        for chunk in buffer.chunks_exact(8) {
            let low = u64::from(narrow.next_u32());
            let x = low | u64::from(narrow.next_u32()) << 32;
            assert_eq!(x, wide.next_u64());
            assert_eq!(chunk, x.to_le_bytes());
        }
    }

    #[test]
    fn paths_levels_seeds_and_domains_differ() {
        let base = NoiseKey { seed: 1, path: 0, level: 0 };
        let keys = [base, NoiseKey { path: 1, ..base }, NoiseKey { level: 1, ..base }, NoiseKey { seed: 2, ..base }];
        let mut first: Vec<u64> = keys.iter().map(|k| k.initial_rng().next_u64()).collect();
        first.extend(keys.iter().map(|k| k.normal(0, 0).to_bits()));
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 8);
        assert_ne!(stream_key(1, 0, Domain::Brownian), stream_key(1, 0, Domain::InitialState));
        assert_eq!(base.initial_rng().for_path(1).next_u64(), keys[1].initial_rng().next_u64());
    }

    #[test]
    fn serves_a_dyn_rng() {
        let mut rng = NoiseKey { seed: 1, path: 0, level: 0 }.initial_rng();
        let dynamic: &mut dyn Rng = &mut rng;
        let n = 20_000;
        let sum: f64 = (0..n).map(|_| -> f64 { StandardNormal.sample(&mut *dynamic) }).sum();
        assert!((sum / (n as f64).sqrt()).abs() < 4.0);
    }
}
