//! Sup norms that do not hide a NaN.

/// Whether every entry is finite. 0 x is zero for finite x and NaN otherwise; eight lanes let the sum vectorise.
pub(crate) fn all_finite(values: &[f64]) -> bool {
    let mut lanes = [0.0; 8];
    let chunks = values.chunks_exact(8);
    let rest: f64 = chunks.remainder().iter().map(|x| 0.0 * x).sum();
    for c in chunks {
        for (l, x) in lanes.iter_mut().zip(c) {
            *l += 0.0 * x;
        }
    }
    rest + lanes.iter().sum::<f64>() == 0.0
}

/// Largest absolute value; infinite when an entry is not finite.
pub(crate) fn sup(values: &[f64]) -> f64 {
    if !all_finite(values) {
        return f64::INFINITY;
    }
    let mut lanes = [0.0f64; 8];
    let chunks = values.chunks_exact(8);
    let rest = chunks.remainder().iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    for c in chunks {
        for (l, x) in lanes.iter_mut().zip(c) {
            let a = x.abs();
            *l = if a > *l { a } else { *l };
        }
    }
    lanes.iter().fold(rest, |m, l| m.max(*l))
}

/// Largest absolute difference of finite entries.
pub(crate) fn sup_difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hides_a_nan_or_an_infinity() {
        for n in [1, 7, 8, 19] {
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                for place in [0, n / 2, n - 1] {
                    let mut v = vec![-2.0; n];
                    assert_eq!(sup(&v), 2.0);
                    v[place] = bad;
                    assert!(!all_finite(&v) && sup(&v) == f64::INFINITY);
                }
            }
        }
    }
}
