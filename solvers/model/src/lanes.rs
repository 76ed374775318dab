//! Elementary functions on slices, written without branches so that the compiler vectorises them.
//!
//! No fused multiply-add is used: the bits are the same on every instruction set, among which [`dispatch`] chooses.

use crate::dispatch::{Kernel, dispatch};

const LOG2_E: f64 = std::f64::consts::LOG2_E;
// ln 2 = HI + LO with the low 20 bits of HI zero, so that n * HI is exact for |n| < 2^20
const LN2_HI: f64 = 6.931_471_803_691_238e-1;
const LN2_LO: f64 = 1.908_214_929_270_587_7e-10;
/// 1.5 * 2^52: adding it rounds a double to the nearest integer, found then in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// (e^r - 1 - r) / r^2 on |r| <= ln(2)/2, lowest power first: the interpolant of degree 9 at the Chebyshev nodes, by which
/// e^r is off by less than 2e-17.
const EXP: [f64; 10] = [
    0.500_000_000_000_000_1,
    0.166_666_666_666_666_69,
    0.041_666_666_666_624_13,
    0.008_333_333_333_330_062,
    0.001_388_888_891_721_371_7,
    0.000_198_412_698_630_536_18,
    2.480_152_129_595_437_6e-5,
    2.755_726_845_999_706_4e-6,
    2.762_008_844_540_974_6e-7,
    2.510_038_549_551_032e-8,
];

/// (2^r - 1) / r on |r| <= 1/2, in the same way; 2^r is off by less than 2e-17.
const EXP2: [f64; 11] = [
    std::f64::consts::LN_2,
    0.240_226_506_959_100_97,
    0.055_504_108_664_821_6,
    0.009_618_129_107_606_871,
    0.001_333_355_814_641_692_7,
    0.000_154_035_304_417_650_88,
    1.525_273_382_985_159_6e-5,
    1.321_544_257_022_465e-6,
    1.017_806_243_641_276_5e-7,
    7.072_589_488_396_345e-9,
    4.454_962_484_633_212_5e-10,
];

/// Replace each x by exp(x); relative error below 4e-16.
///
/// Arguments below -708 give 0 and above 709 give infinity; NaN stays NaN.
pub fn exp_in_place(x: &mut [f64]) {
    dispatch(ExpInPlace(x));
}

struct ExpInPlace<'a>(&'a mut [f64]);

impl Kernel for ExpInPlace<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for v in self.0 {
            *v = exp(*v);
        }
    }
}

/// e^x, as [`exp_in_place`] has it.
#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    let clamped = if x > 709.0 { 709.0 } else { x };
    let y = exp_falling(clamped);
    let y = if x < -708.0 { 0.0 } else { y };
    if x > 709.0 { f64::INFINITY } else { y }
}

/// exp(x) for x <= 709, except that arguments below -708 give exp(-708) = 3e-308: for sums in which it is nothing.
#[inline(always)]
pub(crate) fn exp_falling(x: f64) -> f64 {
    let x = if x < -708.0 { -708.0 } else { x };
    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HI) - n * LN2_LO;
    let c = &EXP;
    let low = (1.0 + r) + (r * r) * (c[0] + c[1] * r);
    times_power_of_two(estrin(low, [c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9]], r), shifted)
}

/// 2^x for x <= 1023, except that arguments below -1022 give 2^-1022 = 2e-308: for sums in which it is nothing. Relative error
/// below 4e-16.
#[inline(always)]
pub(crate) fn exp2_falling(x: f64) -> f64 {
    let x = if x < -1022.0 { -1022.0 } else { x };
    let shifted = x + ROUND;
    let r = x - (shifted - ROUND);
    let c = &EXP2;
    let low = (1.0 + c[0] * r) + (r * r) * (c[1] + c[2] * r);
    times_power_of_two(estrin(low, [c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10]], r), shifted)
}

/// low + r^4 (c_0 + c_1 r + ... + c_7 r^7), in pairs: a chain of half as many operations as Horner's, which wait for one another.
#[inline(always)]
fn estrin(low: f64, c: [f64; 8], r: f64) -> f64 {
    let r2 = r * r;
    let r4 = r2 * r2;
    let middle = (c[0] + c[1] * r) + r2 * (c[2] + c[3] * r);
    let high = (c[4] + c[5] * r) + r2 * (c[6] + c[7] * r);
    low + r4 * (middle + r4 * high)
}

/// p 2^n, where `shifted` is n + [`ROUND`].
#[inline(always)]
fn times_power_of_two(p: f64, shifted: f64) -> f64 {
    p * f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp2_agrees_with_the_standard_library() {
        let mut worst = 0.0_f64;
        for i in 0..400_000 {
            let x = -1000.0 + i as f64 * 0.005_003;
            worst = worst.max((exp2_falling(x) / x.exp2() - 1.0).abs());
        }
        assert!(worst < 4.5e-16, "{worst:e}");
        assert!((exp2_falling(0.0), exp2_falling(-3.0)) == (1.0, 0.125));
        assert!(exp2_falling(f64::NAN).is_nan() && exp2_falling(f64::NEG_INFINITY) < 1e-307);
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        use crate::dispatch::{InstructionSet, dispatch_on};
        let x: Vec<f64> = (0..1001).map(|i| -750.0 + 1.5 * i as f64).collect();
        let expected: Vec<f64> = x.iter().map(|&x| exp(x)).collect();
        for set in InstructionSet::ALL {
            let mut y = x.clone();
            dispatch_on(set, ExpInPlace(&mut y));
            assert_eq!(y, expected);
        }
    }

    #[test]
    fn exp_agrees_with_the_standard_library() {
        let mut worst = 0.0_f64;
        for i in 0..400_000 {
            let x = -700.0 + i as f64 * 0.003_511;
            let mut y = [x];
            exp_in_place(&mut y);
            worst = worst.max((y[0] / x.exp() - 1.0).abs());
        }
        assert!(worst < 4.5e-16, "{worst:e}");
        let mut edge = [0.0, -1e4, 1e4, f64::NAN, f64::NEG_INFINITY, -708.5];
        exp_in_place(&mut edge);
        assert_eq!(&edge[..3], &[1.0, 0.0, f64::INFINITY]);
        assert!(edge[3].is_nan() && edge[4] == 0.0 && edge[5] == 0.0);
    }
}
