//! Gaussian kernel density estimates of data, as priors.
//!
//! n points x_i give the mixture (1/n) sum_i N(x_i, H) with one bandwidth matrix H. Standardising maps each column to mean 0 and
//! standard deviation 1 first, which is what a diffusion model is trained on; `Standardization` maps back.

use super::mixture::GaussianMixture;
use crate::error::ModelError;
use crate::spd::Spd;
use faer::Mat;
use serde::Serialize;

/// How wide the kernel is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bandwidth {
    /// Silverman's rule for d dimensions: H = h^2 S, S the sample covariance, h = (n (d+2) / 4)^(-1/(d+4)).
    ///
    /// Source: B. W. Silverman, Density Estimation for Statistics and Data Analysis (1986), section 4.3.2.
    Silverman,
    /// H = h^2 I, h in the units of the (standardised) columns.
    Fixed(f64),
}

/// The affine map between data and model coordinates: model = (data - center) / scale, column by column.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standardization {
    /// Column means (0 when not standardised).
    pub center: Vec<f64>,
    /// Column standard deviations with n - 1 (1 when not standardised).
    pub scale: Vec<f64>,
}

/// A kernel density estimate and where it came from.
#[derive(Clone, Debug)]
pub struct KernelDensity {
    law: GaussianMixture,
    map: Standardization,
    bandwidth: Vec<Vec<f64>>,
}

impl KernelDensity {
    /// Estimate from `columns`, one vector of n values for each of the d coordinates.
    ///
    /// # Errors
    /// No column, columns of different lengths, fewer than d + 2 rows, a value that is not finite (named by column and
    /// row), a constant column, or a bandwidth that is not positive.
    pub fn new(columns: &[Vec<f64>], bandwidth: Bandwidth, standardize: bool) -> Result<Self, ModelError> {
        let d = columns.len();
        let n = columns.first().map_or(0, Vec::len);
        if d == 0 || n < d + 2 {
            return Err(ModelError::invalid("samples", format!("{n} rows of {d} columns"), format!("at least {} rows", d + 2)));
        }
        let mut map = Standardization { center: vec![0.0; d], scale: vec![1.0; d] };
        for (c, column) in columns.iter().enumerate() {
            if column.len() != n {
                return Err(ModelError::Shape { field: format!("samples.column[{c}]"), found: column.len(), expected: n });
            }
            if let Some(r) = column.iter().position(|v| !v.is_finite()) {
                return Err(ModelError::invalid(format!("samples.column[{c}][{r}]"), column[r], "must be finite"));
            }
            let mean = column.iter().sum::<f64>() / n as f64;
            let variance = column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
            if !(mean.is_finite() && variance.is_finite()) {
                let largest = column.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
                let allowed = "the column's variance overflows; use smaller units";
                return Err(ModelError::invalid(format!("samples.column[{c}]"), largest, allowed));
            }
            if variance <= 0.0 {
                return Err(ModelError::invalid(
                    format!("samples.column[{c}]"),
                    column[0],
                    "the column is constant; it must vary",
                ));
            }
            if standardize {
                map.center[c] = mean;
                map.scale[c] = variance.sqrt();
            }
        }
        let value = |c: usize, r: usize| (columns[c][r] - map.center[c]) / map.scale[c];
        let h = match bandwidth {
            Bandwidth::Silverman => {
                let factor = (n as f64 * (d as f64 + 2.0) / 4.0).powf(-1.0 / (d as f64 + 4.0));
                let mean: Vec<f64> = (0..d).map(|c| (0..n).map(|r| value(c, r)).sum::<f64>() / n as f64).collect();
                let cov = |a: usize, b: usize| {
                    (0..n).map(|r| (value(a, r) - mean[a]) * (value(b, r) - mean[b])).sum::<f64>() / (n - 1) as f64
                };
                Mat::from_fn(d, d, |a, b| factor * factor * cov(a, b))
            }
            Bandwidth::Fixed(h) if h.is_finite() && h > 0.0 => Mat::from_fn(d, d, |a, b| if a == b { h * h } else { 0.0 }),
            Bandwidth::Fixed(h) => {
                return Err(ModelError::invalid("bandwidth", h, "must be positive and finite, or absent for Silverman's rule"));
            }
        };
        let rows = (0..d).map(|a| (0..d).map(|b| h[(a, b)]).collect()).collect();
        let kernel = Spd::new("bandwidth", h)?;
        let means = (0..n).flat_map(|r| (0..d).map(move |c| (c, r))).map(|(c, r)| value(c, r)).collect();
        let law = GaussianMixture::assemble(d, vec![1.0 / n as f64; n], means, vec![kernel]);
        Ok(KernelDensity { law, map, bandwidth: rows })
    }

    /// The estimated law, in model coordinates.
    pub fn law(&self) -> &GaussianMixture {
        &self.law
    }

    /// The map between data and model coordinates.
    pub fn standardization(&self) -> &Standardization {
        &self.map
    }

    /// The bandwidth matrix H, rows.
    pub fn bandwidth(&self) -> &[Vec<f64>] {
        &self.bandwidth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Vec<f64>> {
        vec![vec![1.0, 2.0, 4.0, 7.0, 3.0, 2.5], vec![10.0, 8.0, 3.0, 1.0, 6.0, 9.0]]
    }

    #[test]
    fn moments_are_those_of_data_plus_kernel() {
        let k = KernelDensity::new(&columns(), Bandwidth::Fixed(0.3), true).unwrap();
        let c = k.law().covariance();
        // standardised with n - 1, so that the plain variance of the points is (n - 1)/n
        assert!((c[0][0] - (5.0 / 6.0 + 0.09)).abs() < 1e-14 && k.law().mean()[0].abs() < 1e-15);
        assert!((k.standardization().center[1] - 37.0 / 6.0).abs() < 1e-14);
    }

    #[test]
    fn silverman_scales_with_the_data() {
        let a = KernelDensity::new(&columns(), Bandwidth::Silverman, false).unwrap();
        let scaled: Vec<Vec<f64>> = columns().iter().map(|c| c.iter().map(|v| 60.0 * v).collect()).collect();
        let b = KernelDensity::new(&scaled, Bandwidth::Silverman, false).unwrap();
        let (x, y) = (a.bandwidth()[0][1], b.bandwidth()[0][1]);
        assert!((y / x - 3600.0).abs() < 1e-9, "{x} {y}");
        // one column of n points: h = (3n/4)^(-1/5) standard deviations
        let one = KernelDensity::new(&columns()[..1], Bandwidth::Silverman, true).unwrap();
        assert!((one.bandwidth()[0][0] - 4.5_f64.powf(-0.4)).abs() < 1e-14);
    }

    #[test]
    fn bad_data_is_named() {
        let mut c = columns();
        c[1][3] = f64::NAN;
        let e = KernelDensity::new(&c, Bandwidth::Silverman, true).unwrap_err().to_string();
        assert!(e.contains("column[1][3]"), "{e}");
        assert!(KernelDensity::new(&[vec![2.0; 9]], Bandwidth::Silverman, true).is_err());
        assert!(KernelDensity::new(&columns(), Bandwidth::Fixed(-1.0), true).is_err());
        assert!(KernelDensity::new(&[], Bandwidth::Silverman, true).is_err());
    }
}
