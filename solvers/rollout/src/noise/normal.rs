//! Standard normal numbers by the Box-Muller map, branch-free on lanes.
//!
//!   z_1 = sqrt(-2 ln u) cos(theta),  z_2 = sqrt(-2 ln u) sin(theta),  u uniform on (0, 1), theta uniform on a circle.
//!
//! One counter of 128 bits gives two pairs, the numbers of four consecutive steps of one component. A pair is made of 64
//! bits: u is an odd multiple of 2^-41 (40 bits), and theta one of 2^24 equally spaced angles, (pi/2)(q + w) with a quadrant
//! q from two bits and an odd multiple w of 2^-23 in (-1/2, 1/2), so that no range reduction is left to do. What this
//! resolution costs: |z| <= 7.54 (a normal number is larger with probability 5e-14); the distribution function is that of
//! the normal law to about 3e-8, the error being confined to |z| of that size; the variance is right to 1e-12.
//!
//! Only +, -, *, / and square roots are used (no fused product), so the bits are the same on every machine. A rejection
//! method such as the ziggurat is as fast on one lane, but draws a variable number of random words, so that number
//! (path, step) would not be addressable.
//!
//! Reference: Box, Muller, *A note on the generation of random normal deviates*, Ann. Math. Statist. 29 (1958). The
//! polynomials are those of Sun's fdlibm (`e_log.c`, `k_sin.c`, `k_cos.c`).

use hjbridge_model::dispatch::{InstructionSet, Kernel, dispatch_on};

use super::philox::{first_of_block, key_schedule, pair_of_lane, pair_of_path};
use super::{Domain, LANES, STEPS_PER_DRAW, stream_key};

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
        let (a, b) = pair_of_path(path, [step / STEPS_PER_DRAW, component], &self.keys);
        let pair = box_muller(if step & 2 == 0 { a } else { b });
        if step & 1 == 0 { pair.0 } else { pair.1 }
    }

    /// Numbers of steps `4 * group`, ..., `4 * group + 3` for the paths of `block` (paths `LANES * block` and on), by the
    /// widest instructions of this processor.
    pub fn fill(&self, block: u64, group: u32, component: u32, out: [&mut [f64; LANES]; STEPS_PER_DRAW as usize]) {
        self.fill_with(InstructionSet::Avx512, block, group, component, out);
    }

    /// [`NormalStream::fill`] by the given instruction set, or the widest that there is if narrower: the bits are the same.
    pub fn fill_with(
        &self,
        set: InstructionSet,
        block: u64,
        group: u32,
        component: u32,
        out: [&mut [f64; LANES]; STEPS_PER_DRAW as usize],
    ) {
        dispatch_on(set, Fill { keys: &self.keys, block, position: [group, component], out });
    }
}

struct Fill<'a> {
    keys: &'a [[u64; 2]; 10],
    block: u64,
    position: [u32; 2],
    out: [&'a mut [f64; LANES]; STEPS_PER_DRAW as usize],
}

impl Kernel for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let [z0, z1, z2, z3] = self.out;
        let first = first_of_block(self.block);
        for lane in 0..LANES {
            let (a, b) = pair_of_lane(first, lane, self.position, self.keys);
            (z0[lane], z1[lane]) = box_muller(a);
            (z2[lane], z3[lane]) = box_muller(b);
        }
    }
}

const MANTISSA: u64 = (1 << 52) - 1;
const ONE: u64 = 0x3FF0_0000_0000_0000;

/// Half the spacing of u.
const HALF_U: f64 = 1.0 / (1u64 << 41) as f64;

/// u, an odd multiple of 2^-41 in (0, 1), from the upper 40 bits.
#[inline(always)]
fn uniform(bits: u64) -> f64 {
    f64::from_bits((bits >> 24 << 12) | ONE) - (1.0 - HALF_U)
}

/// w, an odd multiple of 2^-23 in (-1/2, 1/2), from the lower 22 bits.
#[inline(always)]
fn within_quadrant(bits: u64) -> f64 {
    const HALF_W: f64 = 1.0 / (1u64 << 23) as f64;
    f64::from_bits((bits << 42 >> 12) | ONE) - (1.5 - HALF_W)
}

/// Two independent standard normal numbers from 64 random bits.
#[inline(always)]
fn box_muller(bits: u64) -> (f64, f64) {
    let radius = (-2.0 * ln(uniform(bits))).sqrt();
    let (s, c) = sin_cos(within_quadrant(bits) * std::f64::consts::FRAC_PI_2);
    // Rotation by q quarter turns: exchange for odd q, then signs; q are bits 22 and 23.
    let exchange = (s.to_bits() ^ c.to_bits()) & 0u64.wrapping_sub((bits >> 22) & 1);
    let cos_sign = (bits.wrapping_add(1 << 22) & (1 << 23)) << 40;
    let sin_sign = (bits & (1 << 23)) << 40;
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

    fn scrambled(i: u64) -> u64 {
        pair_of_path(i, [0, 0], &key_schedule([1, 2])).0
    }

    #[test]
    fn elementary_functions_agree_with_the_standard_library() {
        let (mut ln_error, mut trig_error) = (0.0f64, 0.0f64);
        for i in 0..200_000u64 {
            let bits = scrambled(i);
            let u = uniform(bits);
            for u in [u, u * u * u, 1.0 - 1e-3 * u, 1.0 - 1e-12 * u] {
                ln_error = ln_error.max(((ln(u) - u.ln()) / u.ln()).abs());
            }
            let x = within_quadrant(bits) * std::f64::consts::FRAC_PI_2;
            let (s, c) = sin_cos(x);
            trig_error = trig_error.max((s - x.sin()).abs()).max((c - x.cos()).abs());
        }
        assert!(ln_error < 4.5e-16, "{ln_error:e}");
        assert!(trig_error < 2.3e-16, "{trig_error:e}");
        for u in [HALF_U, 1.0 - HALF_U] {
            assert!(((ln(u) - u.ln()) / u.ln()).abs() < 4.5e-16);
        }
    }

    #[test]
    fn box_muller_is_the_textbook_map() {
        let mut worst = 0.0f64;
        for i in 0..50_000u64 {
            let bits = scrambled(i);
            let (z1, z2) = box_muller(bits);
            let u = ((bits >> 24) as f64 + 0.5) / 2f64.powi(40);
            let w = ((bits & 0x3F_FFFF) as f64 + 0.5) / 2f64.powi(22) - 0.5;
            let theta = std::f64::consts::FRAC_PI_2 * ((bits >> 22 & 3) as f64 + w);
            let r = (-2.0 * u.ln()).sqrt();
            worst = worst.max((z1 - r * theta.cos()).abs()).max((z2 - r * theta.sin()).abs());
        }
        // The reference's own angle, up to 5.5, is rounded to 4.4e-16, times a radius below 5.
        assert!(worst < 4e-15, "{worst:e}");
        let (z1, z2) = box_muller(0);
        assert!(z1.is_finite() && z2.is_finite() && (z1.hypot(z2) - 7.54).abs() < 0.01);
        let (z1, z2) = box_muller(u64::MAX);
        assert!(z1.is_finite() && z2.is_finite() && z1.hypot(z2) > 0.0);
    }

    #[test]
    fn moments_of_the_discrete_law() {
        // E r^2 over all u is 2 up to 2^-40 ln 2, the error of the midpoint rule for ln at its singularity; summed here on a
        // coarser grid, where the same error is 2^-16 ln 2.
        let n = 1u64 << 16;
        let mean = (0..n).map(|k| -2.0 * ln((k as f64 + 0.5) / n as f64)).sum::<f64>() / n as f64;
        assert!((mean - 2.0 + std::f64::consts::LN_2 / n as f64).abs() < 1e-9, "{mean}");
        // All angles of one quadrant, rotated, sum to zero and their squares to one half each.
        let quarter = |q: u64| (0..1u64 << 12).map(move |k| (q << 22) | (k << 10) | 0x3FF);
        let (mut sum, mut squares) = ((0.0, 0.0), 0.0);
        for bits in (0..4).flat_map(quarter) {
            let (z1, z2) = box_muller(bits | 1 << 63);
            sum = (sum.0 + z1, sum.1 + z2);
            squares += z1 * z1 - z2 * z2;
        }
        assert!(sum.0.abs() < 1e-10 && sum.1.abs() < 1e-10 && squares.abs() < 1e-9, "{sum:?} {squares}");
    }

    #[test]
    fn lanes_equal_single_numbers_bit_for_bit_on_every_instruction_set() {
        let stream = NormalStream::new(5, 2);
        for set in InstructionSet::ALL {
            for block in [9, (1 << 26) - 1, 1 << 26] {
                let mut z = [[0.0; LANES]; 4];
                let [a, b, c, d] = &mut z;
                stream.fill_with(set, block, 21, 3, [a, b, c, d]);
                for (step, z) in (84..).zip(&z) {
                    for (lane, z) in z.iter().enumerate() {
                        let key = NoiseKey { seed: 5, path: block * LANES as u64 + lane as u64, level: 2 };
                        assert_eq!(z.to_bits(), key.normal(step, 3).to_bits(), "{set:?}");
                    }
                }
            }
        }
    }
}
