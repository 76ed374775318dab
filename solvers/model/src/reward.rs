//! Terminal rewards r with gradients.
//!
//!   quadratic        r(x) = -x'Qx/2 + q'x + c     (linear: Q = 0)
//!   log-sum-exp      r(x) = beta log sum_j exp( (-x'Q_j x/2 + q_j'x + c_j) / beta )
//!   Gaussian bumps   r(x) = sum_j height_j exp( -|x - center_j|^2 / (2 width_j^2) )
//!   classifier       r(x) = log-odds or log-probability of a class (`reward/classifier.rs`)
//!
//! The first two tilt a Gaussian mixture into a Gaussian mixture, which is what makes the closed forms.

mod classifier;

pub use classifier::ClassReward;

use crate::error::ModelError;
use crate::field::ScalarField;
use crate::law::check_vector;
use crate::points::{Points, PointsMut};
use crate::spd::symmetric;
use classifier::Classifier;
use faer::Mat;

/// One quadratic -x'Qx/2 + q'x + c.
#[derive(Clone, Debug, PartialEq)]
pub struct QuadraticTerm {
    /// Q, symmetric, d x d; negative curvature of the reward.
    pub curvature: Mat<f64>,
    /// q.
    pub slope: Vec<f64>,
    /// c.
    pub constant: f64,
}

impl QuadraticTerm {
    /// From rows of Q, q and c.
    ///
    /// # Errors
    /// Shapes that differ, values that are not finite, Q not symmetric; the field names are `Q`, `q` and `c`.
    pub fn new(curvature: &[Vec<f64>], slope: Vec<f64>, constant: f64) -> Result<Self, ModelError> {
        let d = slope.len();
        if d == 0 {
            return Err(ModelError::invalid("q", "[]", "a vector of length at least 1"));
        }
        check_vector("q", &slope, d)?;
        if !constant.is_finite() {
            return Err(ModelError::invalid("c", constant, "must be finite"));
        }
        Ok(QuadraticTerm { curvature: symmetric("Q", curvature, d)?, slope, constant })
    }

    /// q'x + c.
    ///
    /// # Errors
    /// As [`QuadraticTerm::new`].
    pub fn linear(slope: Vec<f64>, constant: f64) -> Result<Self, ModelError> {
        let zero = vec![vec![0.0; slope.len()]; slope.len()];
        Self::new(&zero, slope, constant)
    }

    fn value(&self, x: Points<'_>, out: &mut [f64]) {
        out.fill(self.constant);
        for i in 0..x.dim() {
            let xi = x.coord(i);
            for (o, x) in out.iter_mut().zip(xi) {
                *o += self.slope[i] * x;
            }
            for j in 0..x.dim() {
                let q = 0.5 * self.curvature[(i, j)];
                if q != 0.0 {
                    for ((o, a), b) in out.iter_mut().zip(xi).zip(x.coord(j)) {
                        *o -= q * a * b;
                    }
                }
            }
        }
    }

    /// out_i += weight (q - Qx)_i
    fn add_gradient(&self, x: Points<'_>, weight: &[f64], out: &mut PointsMut<'_>) {
        for i in 0..x.dim() {
            for (o, w) in out.coord_mut(i).iter_mut().zip(weight) {
                *o += w * self.slope[i];
            }
            for j in 0..x.dim() {
                let q = self.curvature[(i, j)];
                if q != 0.0 {
                    for ((o, w), b) in out.coord_mut(i).iter_mut().zip(weight).zip(x.coord(j)) {
                        *o -= w * q * b;
                    }
                }
            }
        }
    }
}

/// One Gaussian bump.
#[derive(Clone, Debug, PartialEq)]
pub struct Bump {
    /// Where the bump is.
    pub center: Vec<f64>,
    /// Its standard deviation, positive.
    pub width: f64,
    /// Its value at the centre; negative repels.
    pub height: f64,
}

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Quadratic(QuadraticTerm),
    LogSumExp { terms: Vec<QuadraticTerm>, temperature: f64 },
    Bumps(Vec<Bump>),
    Classifier(Classifier),
}

/// A terminal reward on R^d.
#[derive(Clone, Debug, PartialEq)]
pub struct Reward {
    dim: usize,
    shape: Shape,
}

impl Reward {
    /// r(x) = q'x + c.
    ///
    /// # Errors
    /// As [`QuadraticTerm::new`].
    pub fn linear(q: Vec<f64>, c: f64) -> Result<Self, ModelError> {
        Ok(Self::from_term(QuadraticTerm::linear(q, c)?))
    }

    /// r(x) = -x'Qx/2 + q'x + c; Q given by rows.
    ///
    /// # Errors
    /// As [`QuadraticTerm::new`].
    pub fn quadratic(curvature: &[Vec<f64>], q: Vec<f64>, c: f64) -> Result<Self, ModelError> {
        Ok(Self::from_term(QuadraticTerm::new(curvature, q, c)?))
    }

    fn from_term(term: QuadraticTerm) -> Self {
        Reward { dim: term.slope.len(), shape: Shape::Quadratic(term) }
    }

    /// r(x) = temperature log sum_j exp(term_j(x) / temperature).
    ///
    /// # Errors
    /// No term, terms of different dimensions, temperature not positive.
    pub fn log_sum_exp(terms: Vec<QuadraticTerm>, temperature: f64) -> Result<Self, ModelError> {
        let dim = match terms.first() {
            Some(t) => t.slope.len(),
            None => return Err(ModelError::invalid("terms", "[]", "at least one term")),
        };
        if let Some(j) = terms.iter().position(|t| t.slope.len() != dim) {
            return Err(ModelError::Shape { field: format!("terms[{j}].q"), found: terms[j].slope.len(), expected: dim });
        }
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(ModelError::invalid("temperature", temperature, "must be positive and finite"));
        }
        Ok(Reward { dim, shape: Shape::LogSumExp { terms, temperature } })
    }

    /// r(x) = sum of Gaussian bumps.
    ///
    /// # Errors
    /// No bump, centres of different lengths, a width that is not positive, a height that is not finite.
    pub fn bumps(bumps: Vec<Bump>) -> Result<Self, ModelError> {
        let dim = match bumps.first() {
            Some(b) if !b.center.is_empty() => b.center.len(),
            _ => return Err(ModelError::invalid("terms", "[]", "at least one bump with a center of length at least 1")),
        };
        for (j, b) in bumps.iter().enumerate() {
            check_vector(&format!("terms[{j}].center"), &b.center, dim)?;
            if !(b.width.is_finite() && b.width > 0.0) {
                return Err(ModelError::invalid(format!("terms[{j}].width"), b.width, "must be positive and finite"));
            }
            if !b.height.is_finite() {
                return Err(ModelError::invalid(format!("terms[{j}].height"), b.height, "must be finite"));
            }
        }
        Ok(Reward { dim, shape: Shape::Bumps(bumps) })
    }

    /// The log-odds or the log-probability of class `class` by the scores q_j'x + c_j.
    ///
    /// # Errors
    /// Fewer than two classes, slopes of different lengths, values that are not finite, a class that does not exist.
    pub fn classifier(q: Vec<Vec<f64>>, c: Vec<f64>, class: usize, of: ClassReward) -> Result<Self, ModelError> {
        let classifier = Classifier::new(q, c, class, of)?;
        Ok(Reward { dim: classifier.dim(), shape: Shape::Classifier(classifier) })
    }

    /// The terms t_j with exp(r/beta) = sum_j exp(t_j/beta), when the reward has this form at KL weight `beta`.
    pub fn tilt_terms(&self, beta: f64) -> Option<&[QuadraticTerm]> {
        match &self.shape {
            Shape::Quadratic(t) => Some(std::slice::from_ref(t)),
            Shape::LogSumExp { terms, temperature } if (temperature - beta).abs() <= 1e-14 * beta => Some(terms),
            Shape::LogSumExp { terms, .. } if terms.len() == 1 => Some(terms),
            _ => None,
        }
    }

    /// The quadratics that bound the reward's growth: r <= max_j term_j + constant. Empty for bounded rewards.
    pub fn growth_terms(&self) -> &[QuadraticTerm] {
        match &self.shape {
            Shape::Quadratic(t) => std::slice::from_ref(t),
            Shape::LogSumExp { terms, .. } => terms,
            Shape::Classifier(c) => &c.growth,
            Shape::Bumps(_) => &[],
        }
    }

    /// The smallest length on which the reward bends: the narrowest bump, the steepest classes; infinite for the other kinds.
    pub fn length_scale(&self) -> f64 {
        match &self.shape {
            Shape::Bumps(bumps) => bumps.iter().map(|b| b.width).fold(f64::INFINITY, f64::min),
            Shape::Classifier(c) => c.length_scale(),
            _ => f64::INFINITY,
        }
    }

    /// The quadratic, when the reward is one.
    pub fn as_quadratic(&self) -> Option<&QuadraticTerm> {
        match &self.shape {
            Shape::Quadratic(t) => Some(t),
            Shape::LogSumExp { terms, .. } if terms.len() == 1 => terms.first(),
            _ => None,
        }
    }

    /// Softmax weights of the terms at each point: `weights[j][point]`, and the reward itself.
    fn soft_terms(terms: &[QuadraticTerm], temperature: f64, x: Points<'_>) -> (Vec<Vec<f64>>, Vec<f64>) {
        let n = x.len();
        let mut weights: Vec<Vec<f64>> = terms
            .iter()
            .map(|t| {
                let mut v = vec![0.0; n];
                t.value(x, &mut v);
                v
            })
            .collect();
        let mut value = vec![0.0; n];
        for p in 0..n {
            let top = weights.iter().map(|w| w[p]).fold(f64::NEG_INFINITY, f64::max);
            let mut sum = 0.0;
            for w in &mut weights {
                w[p] = ((w[p] - top) / temperature).exp();
                sum += w[p];
            }
            for w in &mut weights {
                w[p] /= sum;
            }
            value[p] = top + temperature * sum.ln();
        }
        (weights, value)
    }
}

impl ScalarField for Reward {
    fn dim(&self) -> usize {
        self.dim
    }

    fn value(&self, x: Points<'_>, out: &mut [f64]) {
        match &self.shape {
            Shape::Quadratic(t) => t.value(x, out),
            Shape::LogSumExp { terms, temperature } => out.copy_from_slice(&Self::soft_terms(terms, *temperature, x).1),
            Shape::Classifier(c) => c.value(x, out),
            Shape::Bumps(bumps) => {
                out.fill(0.0);
                for b in bumps {
                    for (j, o) in out.iter_mut().enumerate() {
                        *o += bump_value(b, x, j);
                    }
                }
            }
        }
    }

    fn gradient(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        out.fill(0.0);
        match &self.shape {
            Shape::Quadratic(t) => t.add_gradient(x, &vec![1.0; x.len()], &mut out),
            Shape::LogSumExp { terms, temperature } => {
                let (weights, _) = Self::soft_terms(terms, *temperature, x);
                for (t, w) in terms.iter().zip(&weights) {
                    t.add_gradient(x, w, &mut out);
                }
            }
            Shape::Classifier(c) => c.add_gradient(x, &mut out),
            Shape::Bumps(bumps) => {
                for b in bumps {
                    for j in 0..x.len() {
                        let v = bump_value(b, x, j) / (b.width * b.width);
                        for i in 0..self.dim {
                            out.coord_mut(i)[j] += v * (b.center[i] - x.coord(i)[j]);
                        }
                    }
                }
            }
        }
    }
}

fn bump_value(b: &Bump, x: Points<'_>, j: usize) -> f64 {
    let r2: f64 = b.center.iter().enumerate().map(|(i, c)| (x.coord(i)[j] - c).powi(2)).sum();
    b.height * (-0.5 * r2 / (b.width * b.width)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points::PointBlock;

    fn rewards() -> Vec<Reward> {
        let q = vec![vec![0.9, -0.2], vec![-0.2, 0.4]];
        let t = |c: f64| QuadraticTerm::new(&q, vec![0.5 * c, 1.1], c).unwrap();
        vec![
            Reward::linear(vec![0.3, -2.0], 1.0).unwrap(),
            Reward::quadratic(&q, vec![0.5, 1.1], 0.2).unwrap(),
            Reward::log_sum_exp(vec![t(0.2), t(-1.0), t(2.0)], 0.6).unwrap(),
            Reward::bumps(vec![
                Bump { center: vec![0.5, -0.5], width: 0.7, height: 2.0 },
                Bump { center: vec![-1.0, 1.0], width: 1.5, height: -0.4 },
            ])
            .unwrap(),
            classifier(ClassReward::LogOdds),
            classifier(ClassReward::LogProbability),
        ]
    }

    fn classifier(of: ClassReward) -> Reward {
        let q = vec![vec![0.3, -1.0], vec![1.5, 0.2], vec![-0.4, 0.8]];
        Reward::classifier(q, vec![0.1, -0.6, 0.3], 1, of).unwrap()
    }

    #[test]
    fn classes_have_probabilities() {
        // far away nothing overflows
        let pts = [[0.3, -0.2], [2.0, 1.0], [400.0, -900.0], [-700.0, 1100.0]];
        let x = PointBlock::from_points(2, &pts).unwrap();
        let (mut odds, mut log) = ([0.0; 4], [0.0; 4]);
        classifier(ClassReward::LogOdds).value(x.as_points(), &mut odds);
        classifier(ClassReward::LogProbability).value(x.as_points(), &mut log);
        for (p, point) in pts.iter().enumerate() {
            // P = 1/(1 + exp(-odds))
            assert!((log[p] + (-odds[p]).max(0.0) + (-odds[p].abs()).exp().ln_1p()).abs() < 1e-12 * (1.0 + odds[p].abs()));
            let l =
                [0.3 * point[0] - point[1] + 0.1, 1.5 * point[0] + 0.2 * point[1] - 0.6, -0.4 * point[0] + 0.8 * point[1] + 0.3];
            if p < 2 {
                assert!((odds[p] - (l[1] - (l[0].exp() + l[2].exp()).ln())).abs() < 1e-14);
            }
        }
        // two classes: linear
        let two = Reward::classifier(vec![vec![1.0], vec![3.0]], vec![0.5, -0.5], 1, ClassReward::LogOdds).unwrap();
        let mut r = [0.0];
        two.value(Points::new(&[0.7], 1), &mut r);
        assert!((r[0] - 0.4).abs() < 1e-15);
        assert_eq!(two.growth_terms()[0].slope, [2.0]);
        let e = Reward::classifier(vec![vec![1.0], vec![3.0]], vec![0.5, -0.5], 2, ClassReward::LogOdds).unwrap_err();
        assert!(e.to_string().contains("class = 2"), "{e}");
    }

    #[test]
    fn gradients_match_central_differences() {
        let pts: Vec<[f64; 2]> = (0..20).map(|i| [(i as f64).sin() * 2.0, (1.7 * i as f64).cos() * 2.0]).collect();
        for r in rewards() {
            let x = PointBlock::from_points(2, &pts).unwrap();
            let mut g = PointBlock::zeros(2, pts.len());
            r.gradient(x.as_points(), g.as_mut());
            for i in 0..2 {
                let shifted = |h: f64| {
                    let moved: Vec<[f64; 2]> = pts
                        .iter()
                        .map(|p| {
                            let mut p = *p;
                            p[i] += h;
                            p
                        })
                        .collect();
                    let mut v = vec![0.0; pts.len()];
                    r.value(PointBlock::from_points(2, &moved).unwrap().as_points(), &mut v);
                    v
                };
                let (up, down) = (shifted(1e-5), shifted(-1e-5));
                for j in 0..pts.len() {
                    assert!((g.coord(i)[j] - (up[j] - down[j]) / 2e-5).abs() < 1e-8);
                }
            }
        }
    }

    #[test]
    fn log_sum_exp_of_one_term_is_the_term_and_large_values_do_not_overflow() {
        let t = QuadraticTerm::new(&[vec![0.5]], vec![-1.0], 0.1).unwrap();
        let one = Reward::log_sum_exp(vec![t.clone()], 0.01).unwrap();
        let x = [-300.0, 0.3, 900.0];
        let (mut a, mut b) = ([0.0; 3], [0.0; 3]);
        one.value(Points::new(&x, 1), &mut a);
        t.value(Points::new(&x, 1), &mut b);
        assert_eq!(a, b);
        assert!(one.tilt_terms(0.7).is_some() && one.as_quadratic().is_some());
        let two = Reward::log_sum_exp(vec![t.clone(), t], 0.7).unwrap();
        assert!(two.tilt_terms(0.7).is_some() && two.tilt_terms(0.6).is_none());
        two.value(Points::new(&x, 1), &mut a);
        for i in 0..3 {
            assert!((a[i] - b[i] - 0.7 * 2.0_f64.ln()).abs() < 1e-10);
        }
    }

    #[test]
    fn bad_rewards_name_the_field() {
        let e = Reward::quadratic(&[vec![1.0]], vec![1.0, 2.0], 0.0).unwrap_err().to_string();
        assert!(e.contains("Q has 1 entries; 2 expected"), "{e}");
        assert!(Reward::log_sum_exp(vec![], 1.0).is_err());
        let e = Reward::bumps(vec![Bump { center: vec![0.0], width: 0.0, height: 1.0 }]).unwrap_err().to_string();
        assert!(e.contains("terms[0].width = 0"), "{e}");
    }
}
