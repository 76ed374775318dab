//! Standard normal numbers by the Box-Muller map, branch-free on lanes.
//!
//!   z_1 = sqrt(-2 ln u) cos(theta),  z_2 = sqrt(-2 ln u) sin(theta),  u uniform on (0, 1), theta uniform on a circle.
//!
//! u is an odd multiple of 2^-53, so |z| <= 8.6 and neither 0 nor 1 occurs. theta = (pi/2)(q + w) with a quadrant q from
//! two bits and w in (-1/2, 1/2): no range reduction is left to do. One counter gives the numbers of two consecutive
//! steps of one component. Only +, -, *, / and square roots are used (no fused product), so the bits are the same on
//! every machine. A rejection method such as the ziggurat would be faster on one lane, but draws a variable number of
//! random words, so that number (path, step) would not be addressable.
//!
//! Reference: Box, Muller, *A note on the generation of random normal deviates*, Ann. Math. Statist. 29 (1958). The
//! polynomials are those of Sun's fdlibm (`e_log.c`, `k_sin.c`, `k_cos.c`).

use super::philox::{key_schedule, pair_of_path, pairs_of_block};
use super::{Domain, LANES, stream_key};

/// The standard normal numbers of all paths of one (seed, level).
#[derive(Clone, Debug)]
pub struct NormalStream {
    keys: [[u64; 2]; 10],
}

impl NormalStream {
    /// The stream of a seed and level.
    pub fn new(seed: u64, level: u32) -> Self {
        NormalStream { keys: key_schedule(stream_key(seed, level, Domain::Brownian)) }
    }

    /// Number (path, step, component). O(1).
    pub fn normal(&self, path: u64, step: u32, component: u32) -> f64 {
        let (a, b) = pair_of_path(path, [step / 2, component], &self.keys);
        let (even, odd) = box_muller(a, b);
        if step.is_multiple_of(2) { even } else { odd }
    }

    /// Numbers of steps `2 * step_pair` and `2 * step_pair + 1` for the paths of `block` (paths `LANES * block` and on).
    pub fn fill(&self, block: u64, step_pair: u32, component: u32, even: &mut [f64; LANES], odd: &mut [f64; LANES]) {
        let (mut a, mut b) = ([0; LANES], [0; LANES]);
        pairs_of_block(block, [step_pair, component], &self.keys, &mut a, &mut b);
        for lane in 0..LANES {
            (even[lane], odd[lane]) = box_muller(a[lane], b[lane]);
        }
    }
}

const MANTISSA: u64 = (1 << 52) - 1;
const ONE: u64 = 0x3FF0_0000_0000_0000;

/// A number in [1, 2) from the upper 52 bits.
#[inline(always)]
fn one_to_two(bits: u64) -> f64 {
    f64::from_bits((bits >> 12) | ONE)
}

/// Half of 2^-52, the spacing of [`one_to_two`].
const HALF_SPACING: f64 = f64::EPSILON / 2.0;

/// Two independent standard normal numbers from 128 random bits.
#[inline(always)]
fn box_muller(a: u64, b: u64) -> (f64, f64) {
    let u = one_to_two(a) - (1.0 - HALF_SPACING);
    let radius = (-2.0 * ln(u)).sqrt();
    let theta = (one_to_two(b) - (1.5 - HALF_SPACING)) * std::f64::consts::FRAC_PI_2;
    let (s, c) = sin_cos(theta);
    // Rotation by q quarter turns: exchange for odd q, then signs; q are two bits that theta does not use.
    let exchange = (s.to_bits() ^ c.to_bits()) & 0u64.wrapping_sub(b & 1);
    let cos_sign = (b.wrapping_add(1) & 2) << 62;
    let sin_sign = (b & 2) << 62;
    let c = f64::from_bits(c.to_bits() ^ exchange ^ cos_sign);
    let s = f64::from_bits(s.to_bits() ^ exchange ^ sin_sign);
    (radius * c, radius * s)
}

/// Natural logarithm of u in (2^-60, 1).
#[inline(always)]
fn ln(u: f64) -> f64 {
    const SQRT_HALF: u64 = 0x3FE6_A09E_667F_3BCD;
    const TWO_52: u64 = 0x4330_0000_0000_0000;
    // u = 2^k m with m in [sqrt(1/2), sqrt(2)).
    let t = u.to_bits().wrapping_add(ONE - SQRT_HALF);
    // An integer below 2^52 is turned into a float by putting it in the mantissa of 2^52.
    let k = f64::from_bits((t >> 52) | TWO_52) - (4_503_599_627_370_496.0 + 1023.0);
    let m = f64::from_bits((t & MANTISSA).wrapping_add(SQRT_HALF));
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let odd = w * (0.399_999_999_994_094_2 + w * (0.222_221_984_321_497_84 + w * 0.153_138_376_992_093_73));
    let even = z
        * (0.666_666_666_666_673_5
            + w * (0.285_714_287_436_623_9 + w * (0.181_835_721_616_180_5 + w * 0.147_981_986_051_165_86)));
    let half_square = 0.5 * f * f;
    let (ln2_high, ln2_low) = (6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10);
    k * ln2_high - ((half_square - (s * (half_square + odd + even) + k * ln2_low)) - f)
}

/// Sine and cosine of |x| <= pi/4.
#[inline(always)]
fn sin_cos(x: f64) -> (f64, f64) {
    let z = x * x;
    let s = -1.666_666_666_666_663_2e-1
        + z * (8.333_333_333_322_49e-3
            + z * (-1.984_126_982_985_795e-4
                + z * (2.755_731_370_707_006_8e-6 + z * (-2.505_076_025_340_686_3e-8 + z * 1.589_690_995_211_55e-10))));
    let c = 4.166_666_666_666_66e-2
        + z * (-1.388_888_888_887_411e-3
            + z * (2.480_158_728_947_673e-5
                + z * (-2.755_731_435_139_066_3e-7 + z * (2.087_572_321_298_175e-9 + z * -1.135_964_755_778_819_5e-11))));
    (x + x * z * s, 1.0 - (0.5 * z - z * z * c))
}

#[cfg(test)]
mod tests {
    use super::super::NoiseKey;
    use super::*;

    #[test]
    fn elementary_functions_agree_with_the_standard_library() {
        let (mut ln_error, mut trig_error) = (0.0f64, 0.0f64);
        for i in 0..200_000u64 {
            let bits = i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let u = one_to_two(bits) - (1.0 - HALF_SPACING);
            for u in [u, u * u * u, 1.0 - 1e-3 * u, 1.0 - 1e-12 * u] {
                ln_error = ln_error.max(((ln(u) - u.ln()) / u.ln()).abs());
            }
            let x = (one_to_two(bits) - 1.5) * std::f64::consts::FRAC_PI_2;
            let (s, c) = sin_cos(x);
            trig_error = trig_error.max((s - x.sin()).abs()).max((c - x.cos()).abs());
        }
        assert!(ln_error < 4.5e-16, "{ln_error:e}");
        assert!(trig_error < 2.3e-16, "{trig_error:e}");
        for u in [HALF_SPACING, 1.0 - HALF_SPACING] {
            assert!(((ln(u) - u.ln()) / u.ln()).abs() < 4.5e-16);
        }
    }

    #[test]
    fn box_muller_is_the_textbook_map() {
        let mut worst = 0.0f64;
        for i in 0..50_000u64 {
            let (a, b) = pair_of_path(i, [0, 0], &key_schedule([1, 2]));
            let (z1, z2) = box_muller(a, b);
            let u = ((a >> 12) as f64 + 0.5) / 2f64.powi(52);
            let w = ((b >> 12) as f64 + 0.5) / 2f64.powi(52) - 0.5;
            let theta = std::f64::consts::FRAC_PI_2 * ((b & 3) as f64 + w);
            let r = (-2.0 * u.ln()).sqrt();
            worst = worst.max((z1 - r * theta.cos()).abs()).max((z2 - r * theta.sin()).abs());
        }
        // The reference's own angle, up to 5.5, is rounded to 4.4e-16, times a radius below 5.
        assert!(worst < 4e-15, "{worst:e}");
        let (z1, z2) = box_muller(0, 0);
        assert!(z1.is_finite() && z2.is_finite() && z1.hypot(z2) < 8.6);
        let (z1, z2) = box_muller(u64::MAX, u64::MAX);
        assert!(z1.is_finite() && z2.is_finite() && z1.hypot(z2) > 0.0);
    }

    #[test]
    fn lanes_equal_single_numbers_bit_for_bit() {
        let stream = NormalStream::new(5, 2);
        let (mut even, mut odd) = ([0.0; LANES], [0.0; LANES]);
        stream.fill(9, 21, 3, &mut even, &mut odd);
        for lane in 0..LANES {
            let key = NoiseKey { seed: 5, path: 9 * LANES as u64 + lane as u64, level: 2 };
            assert_eq!(even[lane].to_bits(), key.normal(42, 3).to_bits());
            assert_eq!(odd[lane].to_bits(), key.normal(43, 3).to_bits());
        }
    }
}
