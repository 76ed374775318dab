//! Elementary functions on slices, written without branches so that the compiler vectorises them.
//!
//! No fused multiply-add is used: the bits are the same on every instruction set.

const LOG2_E: f64 = std::f64::consts::LOG2_E;
// ln 2 = HI + LO with the low 20 bits of HI zero, so that n * HI is exact for |n| < 2^20
const LN2_HI: f64 = 6.931_471_803_691_238e-1;
const LN2_LO: f64 = 1.908_214_929_270_587_7e-10;
/// 1.5 * 2^52: adding it rounds a double to the nearest integer, found then in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// Replace each x by exp(x); relative error below 4e-16.
///
/// Arguments below -708 give 0 and above 709 give infinity; NaN stays NaN.
pub fn exp_in_place(x: &mut [f64]) {
    for v in x {
        *v = exp(*v);
    }
}

#[inline(always)]
fn exp(x: f64) -> f64 {
    let clamped = if x < -708.0 { -708.0 } else { x };
    let clamped = if clamped > 709.0 { 709.0 } else { clamped };
    let shifted = clamped * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (clamped - n * LN2_HI) - n * LN2_LO;
    // Taylor polynomial of degree 13 on |r| <= ln(2)/2: truncation below 5e-18
    let mut p = 1.0 / 6_227_020_800.0;
    p = p * r + 1.0 / 479_001_600.0;
    p = p * r + 1.0 / 39_916_800.0;
    p = p * r + 1.0 / 3_628_800.0;
    p = p * r + 1.0 / 362_880.0;
    p = p * r + 1.0 / 40_320.0;
    p = p * r + 1.0 / 5_040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    let scale = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    let y = p * scale;
    let y = if x < -708.0 { 0.0 } else { y };
    if x > 709.0 { f64::INFINITY } else { y }
}

#[cfg(test)]
mod tests {
    use super::*;

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
