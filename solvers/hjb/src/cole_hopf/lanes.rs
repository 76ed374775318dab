//! exp(x) - 1 and log(1 + x) on slices, to full relative accuracy.
//!
//! Differences of a resolved V/beta are small, so blocks of small arguments take a polynomial that vectorises; the others
//! take the standard library. The choice depends on the block's values alone, so results can be repeated.

const BLOCK: usize = 32;

/// Largest |x| for the polynomial of exp(x) - 1: the first term left out is below 1e-16 of the result.
const SMALL_EXP: f64 = 0.2;

/// The same for log(1 + x).
const SMALL_LOG: f64 = 0.01;

/// Exponents are cut here: e^600 is far from overflow even when multiplied by rates.
pub(super) const LARGEST: f64 = 600.0;

/// Replace each x by exp(min(x, 600)) - 1; NaN stays NaN.
pub(super) fn expm1_in_place(x: &mut [f64]) {
    for block in x.chunks_mut(BLOCK) {
        if largest(block) <= SMALL_EXP {
            block.iter_mut().for_each(|x| *x = small_expm1(*x));
        } else {
            block.iter_mut().for_each(|x| *x = capped_expm1(*x));
        }
    }
}

/// Replace each x of `up` by exp(x) - 1 and write exp(-x) - 1 to `down`, both with their exponents cut at 600.
pub(super) fn expm1_pair(up: &mut [f64], down: &mut [f64]) {
    for (up, down) in up.chunks_mut(BLOCK).zip(down.chunks_mut(BLOCK)) {
        if largest(up) <= SMALL_EXP {
            for (u, d) in up.iter_mut().zip(down) {
                let e = small_expm1(*u);
                (*u, *d) = (e, -e / (1.0 + e));
            }
        } else {
            for (u, d) in up.iter_mut().zip(down) {
                (*u, *d) = (capped_expm1(*u), capped_expm1(-*u));
            }
        }
    }
}

/// Replace each x > -1 by log(1 + x).
pub(super) fn log1p_in_place(x: &mut [f64]) {
    for block in x.chunks_mut(BLOCK) {
        if largest(block) <= SMALL_LOG {
            block.iter_mut().for_each(|x| *x = small_log1p(*x));
        } else {
            block.iter_mut().for_each(|x| *x = x.ln_1p());
        }
    }
}

/// Largest |x|, NaN left aside: both branches hand it on.
#[inline(always)]
fn largest(block: &[f64]) -> f64 {
    let mut most = 0.0f64;
    for x in block {
        let a = x.abs();
        most = if a > most { a } else { most };
    }
    most
}

fn capped_expm1(x: f64) -> f64 {
    (if x > LARGEST { LARGEST } else { x }).exp_m1()
}

/// Taylor polynomial of degree 11.
#[inline(always)]
fn small_expm1(x: f64) -> f64 {
    let mut p = 1.0 / 39_916_800.0;
    p = p * x + 1.0 / 3_628_800.0;
    p = p * x + 1.0 / 362_880.0;
    p = p * x + 1.0 / 40_320.0;
    p = p * x + 1.0 / 5_040.0;
    p = p * x + 1.0 / 720.0;
    p = p * x + 1.0 / 120.0;
    p = p * x + 1.0 / 24.0;
    p = p * x + 1.0 / 6.0;
    p = p * x + 0.5;
    x + x * x * p
}

/// Taylor polynomial of degree 8.
#[inline(always)]
fn small_log1p(x: f64) -> f64 {
    let mut p = -1.0 / 8.0;
    p = p * x + 1.0 / 7.0;
    p = p * x - 1.0 / 6.0;
    p = p * x + 1.0 / 5.0;
    p = p * x - 1.0 / 4.0;
    p = p * x + 1.0 / 3.0;
    p = p * x - 0.5;
    x + x * x * p
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_functions_agree_with_the_standard_library() {
        for size in [1e-12, 1e-3, 0.0099, 0.1999, 3.0, 40.0] {
            let x: Vec<f64> = (0..1000).map(|k| size * ((k as f64 * 0.7).sin())).collect();
            let (mut up, mut down) = (x.clone(), vec![0.0; 1000]);
            expm1_pair(&mut up, &mut down);
            let mut single = x.clone();
            expm1_in_place(&mut single);
            let mut log: Vec<f64> = x.iter().map(|x| x.clamp(-0.9, 5.0)).collect();
            let argument = log.clone();
            log1p_in_place(&mut log);
            for k in 0..1000 {
                let close = |a: f64, b: f64| (a - b).abs() <= 9e-16 * b.abs();
                assert!(close(up[k], x[k].exp_m1()) && close(down[k], (-x[k]).exp_m1()), "{} {} {}", x[k], up[k], down[k]);
                assert!(close(single[k], x[k].exp_m1()));
                assert!(close(log[k], argument[k].ln_1p()), "{} {}", argument[k], log[k]);
            }
        }
    }

    #[test]
    fn large_arguments_stay_finite_and_nan_stays_nan() {
        let (mut up, mut down) = (vec![1e5, -1e5, f64::NAN], vec![0.0; 3]);
        expm1_pair(&mut up, &mut down);
        assert!(up[0].is_finite() && up[0] > 1e260 && down[0] == -1.0 && up[1] == -1.0 && down[1] == up[0]);
        assert!(up[2].is_nan() && down[2].is_nan());
        let mut x = vec![1e5, f64::NAN];
        expm1_in_place(&mut x);
        assert!(x[0] == up[0] && x[1].is_nan());
    }
}
