//! The loops over lanes that schemes are made of, compiled for every instruction set.
//!
//! All slices of a call have the same length, a multiple of the number of lanes; a longer one is read up to the shortest.
//! The operations are written in the order of the formulas, without fused products: the bits are the same on every machine.

use hjbridge_model::dispatch::{Kernel, dispatch};

/// y += c x.
pub(crate) fn add_scaled(y: &mut [f64], c: f64, x: &[f64]) {
    dispatch(AddScaled { y, c, x });
}

/// y += c (a x), entry by entry.
pub(crate) fn add_scaled_product(y: &mut [f64], c: f64, a: &[f64], x: &[f64]) {
    dispatch(AddScaledProduct { y, c, a, x });
}

/// y += x^2.
pub(crate) fn add_squares(y: &mut [f64], x: &[f64]) {
    dispatch(AddSquares { y, x });
}

/// x += h f + c xi.
pub(crate) fn euler(x: &mut [f64], h: f64, f: &[f64], c: f64, xi: &[f64]) {
    dispatch(Euler { x, h, f, c, xi });
}

/// Whether every entry is finite.
pub(crate) fn all_finite(x: &[f64]) -> bool {
    dispatch(AllFinite { x })
}

struct AddScaled<'a> {
    y: &'a mut [f64],
    c: f64,
    x: &'a [f64],
}

impl Kernel for AddScaled<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let c = self.c;
        for (y, x) in self.y.iter_mut().zip(self.x) {
            *y += c * x;
        }
    }
}

struct AddScaledProduct<'a> {
    y: &'a mut [f64],
    c: f64,
    a: &'a [f64],
    x: &'a [f64],
}

impl Kernel for AddScaledProduct<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let c = self.c;
        for ((y, a), x) in self.y.iter_mut().zip(self.a).zip(self.x) {
            *y += c * a * x;
        }
    }
}

struct AddSquares<'a> {
    y: &'a mut [f64],
    x: &'a [f64],
}

impl Kernel for AddSquares<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (y, x) in self.y.iter_mut().zip(self.x) {
            *y += x * x;
        }
    }
}

struct Euler<'a> {
    x: &'a mut [f64],
    h: f64,
    f: &'a [f64],
    c: f64,
    xi: &'a [f64],
}

impl Kernel for Euler<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let (h, c) = (self.h, self.c);
        for ((x, f), xi) in self.x.iter_mut().zip(self.f).zip(self.xi) {
            *x += h * f + c * xi;
        }
    }
}

struct AllFinite<'a> {
    x: &'a [f64],
}

impl Kernel for AllFinite<'_> {
    type Output = bool;
    #[inline(always)]
    fn run(self) -> bool {
        // The exponent of an infinity or a NaN has all bits set; adding one to it carries into the sign bit.
        let carried = |x: &f64| (x.to_bits() & 0x7FF0_0000_0000_0000).wrapping_add(0x0010_0000_0000_0000);
        self.x.iter().fold(0, |bits, x| bits | carried(x)) >> 63 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hjbridge_model::dispatch::{InstructionSet, dispatch_on};

    #[test]
    fn formulas() {
        let x: Vec<f64> = (0..192).map(|i| (i as f64 * 0.7).sin()).collect();
        let f: Vec<f64> = (0..192).map(|i| (i as f64 * 1.3).cos()).collect();
        let check = |y: &[f64], formula: &dyn Fn(usize) -> f64| {
            for (i, y) in y.iter().enumerate() {
                assert_eq!(y.to_bits(), formula(i).to_bits(), "entry {i}");
            }
        };
        let mut y = x.clone();
        add_scaled(&mut y, 0.3, &f);
        check(&y, &|i| x[i] + 0.3 * f[i]);
        let mut y = x.clone();
        add_scaled_product(&mut y, 0.3, &f, &x);
        check(&y, &|i| x[i] + 0.3 * f[i] * x[i]);
        let mut y = x.clone();
        add_squares(&mut y, &f);
        check(&y, &|i| x[i] + f[i] * f[i]);
        for set in InstructionSet::ALL {
            let mut y = x.clone();
            dispatch_on(set, Euler { x: &mut y, h: 0.01, f: &f, c: 0.1, xi: &x });
            check(&y, &|i| x[i] + (0.01 * f[i] + 0.1 * x[i]));
        }
    }

    #[test]
    fn one_entry_that_is_not_finite_is_seen_wherever_it_is() {
        let mut x = vec![-f64::MAX; 131];
        assert!(all_finite(&x) && all_finite(&[]));
        for place in [0, 7, 64, 130] {
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -f64::NAN] {
                x[place] = bad;
                assert!(!all_finite(&x), "{place} {bad}");
                x[place] = f64::MIN_POSITIVE / 4.0;
                assert!(all_finite(&x));
            }
        }
    }
}
