//! Random numbers keyed by (seed, purpose, path, step): the same whatever runs beside them and on however many threads.
//!
//! ChaCha8 with the path as its stream and the step as the position in it; standard normals by the ziggurat, which may take more
//! words than one for a number, so that a step has 2^32 words for itself. Paths 2i and 2i + 1 have mirrored noise (antithetic
//! pairs), but initial states of their own.

use hjbridge_model::{Law, PointsMut};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// What a family of numbers is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Paths of the chain.
    Paths = 1,
    /// Samples of W in the one-step expectation.
    Expectation = 2,
    /// Continuations of a path from a sampled state.
    Continuation = 3,
    /// Frequencies, centres, initial weights.
    Features = 4,
}

/// The numbers of one (seed, purpose, round).
#[derive(Clone, Debug)]
pub(crate) struct Noise {
    key: [u8; 32],
}

/// Position of the initial state among the steps.
const INITIAL: u128 = 0xFFFF_FFFF;

impl Noise {
    /// `round` separates iterations that want fresh numbers.
    pub(crate) fn new(seed: u64, purpose: Purpose, round: u64) -> Self {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
        key[16..24].copy_from_slice(&round.to_le_bytes());
        key[24..].copy_from_slice(b"pi-ft-v1");
        Noise { key }
    }

    fn at(&self, stream: u64, position: u128) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::from_seed(self.key);
        rng.set_stream(stream);
        rng.set_word_pos(position << 32);
        rng
    }

    /// A generator of its own for `stream`.
    pub(crate) fn generator(&self, stream: u64) -> ChaCha8Rng {
        self.at(stream, 0)
    }

    /// W_k of the paths `first .. first + out.len()`.
    pub(crate) fn normals(&self, first: u64, step: usize, mut out: PointsMut<'_>) {
        let (dim, len) = (out.dim(), out.len());
        let mut w = vec![0.0; dim];
        let mut drawn = None;
        for j in 0..len {
            let path = first + j as u64;
            if drawn != Some(path / 2) {
                let mut rng = self.at(path / 2, step as u128);
                w.iter_mut().for_each(|w| *w = StandardNormal.sample(&mut rng));
                drawn = Some(path / 2);
            }
            let sign = if path.is_multiple_of(2) { 1.0 } else { -1.0 };
            for (i, w) in w.iter().enumerate() {
                out.coord_mut(i)[j] = sign * w;
            }
        }
    }

    /// Y_0 of the paths `first .. first + out.len()`.
    pub(crate) fn initial(&self, law: &dyn Law, first: u64, mut out: PointsMut<'_>) {
        let mut y = vec![0.0; out.dim()];
        for j in 0..out.len() {
            law.sample(&mut self.at(first + j as u64, INITIAL), &mut y);
            out.set_point(j, &y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hjbridge_model::PointBlock;

    #[test]
    fn numbers_do_not_depend_on_the_block_and_pairs_are_mirrored() {
        let noise = Noise::new(7, Purpose::Paths, 0);
        let (mut whole, mut part) = (PointBlock::zeros(3, 10), PointBlock::zeros(3, 5));
        noise.normals(0, 4, whole.as_mut());
        noise.normals(3, 4, part.as_mut());
        for i in 0..3 {
            assert_eq!(&whole.coord(i)[3..8], part.coord(i));
            assert_eq!(whole.coord(i)[4], -whole.coord(i)[5]);
        }
        let other = |n: Noise, step| {
            let mut w = PointBlock::zeros(3, 10);
            n.normals(0, step, w.as_mut());
            w
        };
        assert_ne!(other(noise, 5), whole);
        assert_ne!(other(Noise::new(7, Purpose::Paths, 1), 4), whole);
        assert_ne!(other(Noise::new(8, Purpose::Paths, 0), 4), whole);
        assert_ne!(other(Noise::new(7, Purpose::Continuation, 0), 4), whole);
    }

    #[test]
    fn moments_are_those_of_the_normal_law() {
        let mut w = PointBlock::zeros(2, 40_000);
        Noise::new(1, Purpose::Expectation, 0).normals(0, 0, w.as_mut());
        let n = 40_000.0f64;
        let second: f64 = w.coord(0).iter().map(|x| x * x).sum::<f64>() / n;
        let cross: f64 = w.coord(0).iter().zip(w.coord(1)).map(|(a, b)| a * b).sum::<f64>() / n;
        // pairs: 20000 independent values
        assert!((second - 1.0).abs() < 4.0 * (2.0 / 20_000.0f64).sqrt() && cross.abs() < 4.0 / 20_000.0f64.sqrt());
    }
}
