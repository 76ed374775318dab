//! Rules for the standard normal law in R^d: Gauss-Hermite, and the trapezoidal rule for integrands that grow off the real line.

use crate::error::ModelError;
use crate::points::PointBlock;

/// Nodes x_q in R^d and weights w_q with sum_q w_q f(x_q) = E f(Z), Z ~ N(0, I): the tensor product of an n-point rule,
/// exact for polynomials of degree 2n - 1 in each coordinate. n^d nodes.
///
/// # Errors
/// `n` outside 1..=256, `dim` = 0, or more than 2^20 nodes in all.
pub fn standard_normal_rule(n: usize, dim: usize) -> Result<(PointBlock, Vec<f64>), ModelError> {
    let too_many = || ModelError::invalid("quadrature nodes", n, "1 to 256 in each direction, at most 2^20 in all");
    let total = n.checked_pow(u32::try_from(dim).map_err(|_| too_many())?).ok_or_else(too_many)?;
    if n == 0 || n > 256 || dim == 0 || total > 1 << 20 {
        return Err(too_many());
    }
    // E f(Z) = pi^(-1/2) int f(sqrt2 x) exp(-x^2) dx
    let rule = gauss_quad::GaussHermite::new(n.try_into().map_err(|_| too_many())?);
    let mut pairs: Vec<(f64, f64)> =
        rule.iter().map(|(x, w)| (std::f64::consts::SQRT_2 * x, w / std::f64::consts::PI.sqrt())).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(tensor(&pairs, dim, total))
}

/// The same by the trapezoidal rule with the given `spacing` on [-9, 9], normalised.
///
/// For f analytic with |f(x + ia)| <= F(a) the error is about F(a) exp(a^2/2 - 2 pi a / spacing): unlike Gauss-Hermite it
/// stays accurate for f = exp(r) with r a bump, where F grows doubly exponentially.
/// Source: L. N. Trefethen and J. A. C. Weideman, The exponentially convergent trapezoidal rule, SIAM Rev. 56 (2014).
///
/// # Errors
/// `spacing` outside (0, 1], `dim` = 0, or more than 2^22 nodes in all.
pub fn trapezoidal_normal_rule(spacing: f64, dim: usize) -> Result<(PointBlock, Vec<f64>), ModelError> {
    if !(spacing > 0.0 && spacing <= 1.0) {
        return Err(ModelError::invalid("quadrature spacing", spacing, "in (0, 1] standard deviations"));
    }
    let half = (9.0 / spacing).ceil();
    let count = 2.0 * half + 1.0;
    if dim == 0 || count.powi(dim.min(64) as i32) > f64::from(1 << 22) {
        return Err(ModelError::invalid(
            "quadrature spacing",
            spacing,
            format!("at most 2^22 nodes in all; here {count} to the power {dim}"),
        ));
    }
    let count = count as usize;
    let mut pairs: Vec<(f64, f64)> = (0..count)
        .map(|i| {
            let x = (i as f64 - half) * spacing;
            (x, (-0.5 * x * x).exp())
        })
        .collect();
    let sum: f64 = pairs.iter().map(|p| p.1).sum();
    pairs.iter_mut().for_each(|p| p.1 /= sum);
    Ok(tensor(&pairs, dim, count.pow(dim as u32)))
}

/// Tensor product of a rule of one dimension, last coordinate fastest.
fn tensor(pairs: &[(f64, f64)], dim: usize, total: usize) -> (PointBlock, Vec<f64>) {
    let n = pairs.len();
    let mut nodes = PointBlock::zeros(dim, total);
    let mut weights = vec![1.0; total];
    for (q, weight) in weights.iter_mut().enumerate() {
        let mut rest = q;
        for i in (0..dim).rev() {
            let (x, w) = pairs[rest % n];
            nodes.as_mut().coord_mut(i)[q] = x;
            *weight *= w;
            rest /= n;
        }
    }
    (nodes, weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_the_normal_law() {
        let (x, w) = standard_normal_rule(12, 2).unwrap();
        let e = |f: &dyn Fn(f64, f64) -> f64| (0..w.len()).map(|q| w[q] * f(x.coord(0)[q], x.coord(1)[q])).sum::<f64>();
        assert!((e(&|_, _| 1.0) - 1.0).abs() < 1e-14);
        assert!((e(&|a, b| a.powi(4) * b.powi(2)) - 3.0).abs() < 1e-13);
        assert!((e(&|a, b| (0.5 * a - 0.3 * b).exp()) - (0.5_f64 * 0.34).exp()).abs() < 1e-13);
        let (x, w) = trapezoidal_normal_rule(0.5, 1).unwrap();
        let sixth: f64 = (0..w.len()).map(|q| w[q] * x.coord(0)[q].powi(6)).sum();
        assert!((sixth - 15.0).abs() < 1e-12, "{sixth}");
        assert!(trapezoidal_normal_rule(0.01, 3).is_err() && trapezoidal_normal_rule(f64::NAN, 1).is_err());
        assert!(standard_normal_rule(0, 1).is_err() && standard_normal_rule(200, 3).is_err());
    }
}
