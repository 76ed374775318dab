//! Features phi: functions of a standardised input x in R^D that a linear policy combines.
//!
//! The input is the state, or the state with its pre-trained score ([`PolicyInput`](super::PolicyInput)), each coordinate shifted
//! and scaled to mean 0 and deviation 1 over sampled states of its step.
//!
//! | features | file | when |
//! |---|---|---|
//! | [`Polynomial`] of total degree p | `polynomial.rs` | the default; degree 1 is exact for linear-quadratic problems |
//! | [`RadialBasis`], affine part included | `radial.rs` | a few dimensions, local structure |
//! | [`RandomFourier`], affine part included | `fourier.rs` | moderate dimension, smooth policies |

mod fourier;
mod polynomial;
mod radial;

pub use fourier::RandomFourier;
pub use polynomial::Polynomial;
pub use radial::RadialBasis;

use hjbridge_model::{Points, PointsMut};
use serde::{Deserialize, Serialize};

/// Most features that are built; a design of more does not fit a least-squares problem of reasonable size.
const MOST: usize = 20_000;

/// A vector of F functions on R^D, on blocks.
pub trait Features: Send + Sync {
    /// D.
    fn dim(&self) -> usize;

    /// F.
    fn len(&self) -> usize;

    /// Whether there is no feature.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Write phi_f(x) into coordinate f of `out` (F coordinates), over what was there.
    fn eval(&self, x: Points<'_>, out: PointsMut<'_>);

    /// out_i += sum_f w_f d phi_f / d x_i; `w` has F coordinates, `out` has D.
    fn add_jacobian_transpose(&self, x: Points<'_>, w: Points<'_>, out: PointsMut<'_>);
}

/// Which features to build.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FeatureSpec {
    /// Hermite polynomials of total degree at most `degree`.
    Polynomial {
        /// p >= 0; 1 is phi = (1, x).
        degree: usize,
    },
    /// Gaussian bells at sampled states, with 1 and x.
    RadialBasis {
        /// Number of bells.
        centers: usize,
        /// Width in standardised coordinates; none takes the mean distance to the nearest other centre.
        width: Option<f64>,
    },
    /// Cosines of random frequencies, with 1 and x.
    RandomFourier {
        /// Number of cosines.
        count: usize,
        /// Length over which they vary, in standardised coordinates.
        length_scale: f64,
    },
}

impl Default for FeatureSpec {
    fn default() -> Self {
        FeatureSpec::Polynomial { degree: 1 }
    }
}

/// One of the features, in a form that can be stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Polynomials.
    Polynomial(Polynomial),
    /// Gaussian bells.
    RadialBasis(RadialBasis),
    /// Cosines.
    RandomFourier(RandomFourier),
}

impl Basis {
    /// The features.
    pub fn features(&self) -> &dyn Features {
        match self {
            Basis::Polynomial(b) => b,
            Basis::RadialBasis(b) => b,
            Basis::RandomFourier(b) => b,
        }
    }

    /// Whether its parts fit together; something read from a file may not.
    pub(crate) fn is_sound(&self) -> bool {
        match self {
            Basis::Polynomial(b) => b.is_sound(),
            Basis::RadialBasis(b) => b.is_sound(),
            Basis::RandomFourier(b) => b.is_sound(),
        }
    }
}

/// Write 1, x_1, ..., x_D into the first coordinates of `out`.
fn write_affine(x: Points<'_>, out: &mut PointsMut<'_>) {
    out.coord_mut(0).fill(1.0);
    for i in 0..x.dim() {
        out.coord_mut(1 + i).copy_from_slice(x.coord(i));
    }
}

/// out_i += w_{1+i}, the transposed Jacobian of 1, x_1, ..., x_D.
fn add_affine_transpose(dim: usize, w: Points<'_>, out: &mut PointsMut<'_>) {
    for i in 0..dim {
        for (o, w) in out.coord_mut(i).iter_mut().zip(w.coord(1 + i)) {
            *o += w;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hjbridge_model::PointBlock;
    use rand::SeedableRng;

    fn points(dim: usize, n: usize) -> PointBlock {
        let mut x = PointBlock::zeros(dim, n);
        x.data_mut().iter_mut().enumerate().for_each(|(i, x)| *x = 1.7 * ((i * i + 3) as f64 * 0.37).sin());
        x
    }

    #[test]
    fn jacobians_agree_with_differences() {
        let sample = points(3, 40);
        let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(5);
        let all: Vec<Basis> = vec![
            Basis::Polynomial(Polynomial::new(3, 3).unwrap()),
            Basis::Polynomial(Polynomial::new(3, 0).unwrap()),
            Basis::RadialBasis(RadialBasis::from_sample(sample.as_points(), 7, None).unwrap()),
            Basis::RandomFourier(RandomFourier::new(3, 9, 1.3, &mut rng).unwrap()),
        ];
        let x = points(3, 5);
        for basis in &all {
            let phi = basis.features();
            let f = phi.len();
            let w = points(f, 5);
            let mut got = PointBlock::zeros(3, 5);
            phi.add_jacobian_transpose(x.as_points(), w.as_points(), got.as_mut());
            let form = |x: &PointBlock, j: usize| {
                let mut out = PointBlock::zeros(f, 5);
                phi.eval(x.as_points(), out.as_mut());
                (0..f).map(|k| w.coord(k)[j] * out.coord(k)[j]).sum::<f64>()
            };
            for i in 0..3 {
                for j in 0..5 {
                    let h = 1e-5;
                    let (mut up, mut down) = (x.clone(), x.clone());
                    up.as_mut().coord_mut(i)[j] += h;
                    down.as_mut().coord_mut(i)[j] -= h;
                    let want = (form(&up, j) - form(&down, j)) / (2.0 * h);
                    assert!((got.coord(i)[j] - want).abs() < 1e-7 * (1.0 + want.abs()), "{basis:?}: {want}");
                }
            }
        }
    }

    #[test]
    fn hermite_polynomials_are_orthonormal() {
        let (x, weights) = hjbridge_model::quadrature::standard_normal_rule(6, 2).unwrap();
        let phi = Polynomial::new(2, 4).unwrap();
        assert_eq!(phi.len(), 15);
        let mut out = PointBlock::zeros(15, weights.len());
        phi.eval(x.as_points(), out.as_mut());
        for a in 0..15 {
            for b in 0..15 {
                let inner: f64 = weights.iter().enumerate().map(|(q, w)| w * out.coord(a)[q] * out.coord(b)[q]).sum();
                assert!((inner - f64::from(u8::from(a == b))).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn bad_features_name_the_field() {
        let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(5);
        let message = |e: Result<(), crate::parametric::ParametricError>| e.unwrap_err().to_string();
        assert!(message(Polynomial::new(64, 4).map(|_| ())).starts_with("features.degree = 4"));
        assert!(message(Polynomial::new(1, usize::MAX).map(|_| ())).starts_with("features.degree = 1844"));
        let many = message(RandomFourier::new(2, 19_998, 1.0, &mut rng).map(|_| ()));
        assert!(many.starts_with("features.count = 19998: 1 to 19997"), "{many}");
        assert!(message(RandomFourier::new(2, 0, 1.0, &mut rng).map(|_| ())).starts_with("features.count = 0"));
        assert!(message(RandomFourier::new(2, 3, f64::NAN, &mut rng).map(|_| ())).starts_with("features.length_scale = NaN"));
        let sample = points(2, 10);
        let radial = |n, width| message(RadialBasis::from_sample(sample.as_points(), n, width).map(|_| ()));
        assert!(radial(11, None).starts_with("features.centers = 11"));
        assert!(radial(4, Some(-1.0)).starts_with("features.width = -1"));
    }
}
