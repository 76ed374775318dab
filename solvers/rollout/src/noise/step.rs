//! What a scheme gets in one step: one or two normal numbers for each Brownian component.

use super::{BlockNoise, LANES};

/// The numbers of a step for schemes with one normal number per Brownian component, or with two.
///
/// The first q components are xi, the increment: W(t_{k+1}) - W(t_k) = sqrt(h) xi_k. The second q, zeta, are independent of
/// them and give the area under the path,
///   int_{t_k}^{t_{k+1}} (W(s) - W(t_k)) ds = (h^{3/2}/2) (xi_k + zeta_k/sqrt 3).
///
/// # Coupled levels
/// A step that covers M steps of the stream has the increment and the area of that very path:
///   xi_k = sum_j xi_j / sqrt M,   zeta_k = M^{-3/2} sum_j [ sqrt 3 (M - 1 - 2j) xi_j + zeta_j ],   j = 0, ..., M-1,
/// with sums from left to right. xi is bit for bit what [`BlockNoise::coarse`] gives.
#[derive(Clone, Debug)]
pub(crate) struct StepNoise {
    /// Coarse for one number per component, at the stream's own steps for two.
    block: BlockNoise,
    pairs: Option<Pairs>,
}

#[derive(Clone, Debug)]
struct Pairs {
    factor: u32,
    noise_dim: usize,
    numbers: Vec<f64>,
}

impl StepNoise {
    /// One number per component; `block` sums coarse steps itself.
    pub fn single(block: BlockNoise) -> Self {
        StepNoise { block, pairs: None }
    }

    /// Two numbers per component; `block` serves `2 * noise_dim` components at the stream's own steps.
    pub fn pairs(block: BlockNoise, noise_dim: usize, factor: u32) -> Self {
        let numbers = vec![0.0; 2 * noise_dim * LANES];
        StepNoise { block, pairs: Some(Pairs { factor: factor.max(1), noise_dim, numbers }) }
    }

    /// The numbers of `step`, component after component, one per lane.
    pub fn step(&mut self, block: u64, step: u32) -> &[f64] {
        let Some(Pairs { factor, noise_dim, numbers }) = &mut self.pairs else { return self.block.step(block, step) };
        if *factor == 1 {
            return self.block.step(block, step);
        }
        let (sum_xi, sum_zeta) = numbers.split_at_mut(*noise_dim * LANES);
        sum_zeta.fill(0.0);
        for j in 0..*factor {
            let fine = self.block.step(block, step.wrapping_mul(*factor).wrapping_add(j));
            let (xi, zeta) = fine.split_at(sum_xi.len());
            let weight = 3f64.sqrt() * (f64::from(*factor) - 1.0 - 2.0 * f64::from(j));
            for ((sum, xi), zeta) in sum_zeta.iter_mut().zip(xi).zip(zeta) {
                *sum += weight * xi + zeta;
            }
            if j == 0 {
                sum_xi.copy_from_slice(xi);
            } else {
                sum_xi.iter_mut().zip(xi).for_each(|(sum, xi)| *sum += xi);
            }
        }
        let scale = 1.0 / f64::from(*factor).sqrt();
        sum_xi.iter_mut().for_each(|xi| *xi *= scale);
        let scale = scale / f64::from(*factor);
        sum_zeta.iter_mut().for_each(|zeta| *zeta *= scale);
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::super::NormalStream;
    use super::*;

    /// Increment and area of the path over `steps` steps of length `h` from its pairs.
    fn path(h: f64, pairs: &[(f64, f64)]) -> (f64, f64) {
        pairs.iter().fold((0.0, 0.0), |(w, area), (xi, zeta)| {
            (w + h.sqrt() * xi, area + w * h + 0.5 * h.powf(1.5) * (xi + zeta / 3f64.sqrt()))
        })
    }

    #[test]
    fn a_coarse_step_has_the_increment_and_the_area_of_the_fine_path() {
        let stream = || NormalStream::new(8, 0);
        for factor in [1u32, 2, 3, 8] {
            let h = 0.7;
            let mut fine = StepNoise::pairs(BlockNoise::new(stream(), 4), 2, 1);
            let mut coarse = StepNoise::pairs(BlockNoise::new(stream(), 4), 2, factor);
            let mut plain = StepNoise::single(BlockNoise::coarse(stream(), 2, factor));
            for step in 0..3 {
                let z = coarse.step(5, step).to_vec();
                let of =
                    |z: &[f64], component: usize, lane: usize| (z[component * LANES + lane], z[(component + 2) * LANES + lane]);
                assert!(plain.step(5, step).iter().zip(&z).all(|(a, b)| a.to_bits() == b.to_bits()));
                let steps: Vec<Vec<f64>> = (0..factor).map(|j| fine.step(5, step * factor + j).to_vec()).collect();
                for (component, lane) in [(0, 0), (1, 17), (0, 63)] {
                    let pairs: Vec<_> = steps.iter().map(|z| of(z, component, lane)).collect();
                    let (w, area) = path(h, &pairs);
                    let (w_coarse, area_coarse) = path(h * f64::from(factor), &[of(&z, component, lane)]);
                    assert!((w - w_coarse).abs() < 1e-13 && (area - area_coarse).abs() < 1e-12);
                }
            }
        }
    }
}
