//! What a linear classifier thinks of a point: with the scores l_j(x) = q_j'x + c_j and a class a,
//!
//!   log-odds          r(x) = l_a(x) - log sum_{j != a} exp l_j(x)
//!   log-probability   r(x) = l_a(x) - log sum_j exp l_j(x)
//!
//! Both are concave, so that the fine-tuning problem is well-posed for every KL weight. The log-probability is at most zero; with
//! KL weight 1 it tilts the prior into its law given the class, p(x) P(a | x) / P(a), and max J = log P(a).

use super::QuadraticTerm;
use crate::error::ModelError;
use crate::law::check_vector;
use crate::points::{Points, PointsMut};

/// Which function of the scores is the reward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassReward {
    /// log P/(1 - P), P the probability of the class.
    #[default]
    LogOdds,
    /// log P.
    LogProbability,
}

/// A class of a linear classifier.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Classifier {
    slopes: Vec<Vec<f64>>,
    constants: Vec<f64>,
    class: usize,
    of: ClassReward,
    /// l_a - l_b >= r for another class b; none for the log-probability, which is bounded.
    pub growth: Vec<QuadraticTerm>,
}

impl Classifier {
    pub fn new(slopes: Vec<Vec<f64>>, constants: Vec<f64>, class: usize, of: ClassReward) -> Result<Self, ModelError> {
        let dim = slopes.first().map_or(0, Vec::len);
        if slopes.len() < 2 || dim == 0 {
            let found = format!("{} rows of {dim}", slopes.len());
            return Err(ModelError::invalid("q", found, "at least two classes in at least one dimension"));
        }
        for (j, q) in slopes.iter().enumerate() {
            check_vector(&format!("q[{j}]"), q, dim)?;
        }
        check_vector("c", &constants, slopes.len())?;
        if class >= slopes.len() {
            return Err(ModelError::invalid("class", class, format!("0 to {}", slopes.len() - 1)));
        }
        let mut growth = Vec::new();
        if of == ClassReward::LogOdds {
            let other = usize::from(class == 0);
            let slope = slopes[class].iter().zip(&slopes[other]).map(|(a, b)| a - b).collect();
            growth.push(QuadraticTerm::linear(slope, constants[class] - constants[other])?);
        }
        Ok(Classifier { slopes, constants, class, of, growth })
    }

    pub fn dim(&self) -> usize {
        self.slopes[0].len()
    }

    /// One over the steepest difference of two scores: where it is 1 a probability changes by a good part.
    pub fn length_scale(&self) -> f64 {
        let away = |q: &Vec<f64>| q.iter().zip(&self.slopes[self.class]).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        1.0 / self.slopes.iter().map(away).fold(0.0, f64::max)
    }

    /// r at each point; `weights[j]` is left with the share of class j in the sum.
    fn evaluate(&self, x: Points<'_>, weights: &mut [Vec<f64>], out: &mut [f64]) {
        for ((w, q), c) in weights.iter_mut().zip(&self.slopes).zip(&self.constants) {
            w.clear();
            w.resize(x.len(), *c);
            for (i, q) in q.iter().enumerate() {
                for (w, x) in w.iter_mut().zip(x.coord(i)) {
                    *w += q * x;
                }
            }
        }
        let counts = |j: usize| self.of == ClassReward::LogProbability || j != self.class;
        for (p, out) in out.iter_mut().enumerate() {
            let own = weights[self.class][p];
            let others = || (0..self.slopes.len()).filter(|j| counts(*j));
            let top = others().map(|j| weights[j][p]).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = others().map(|j| (weights[j][p] - top).exp()).sum();
            *out = own - top - sum.ln();
            for (j, w) in weights.iter_mut().enumerate() {
                w[p] = if counts(j) { (w[p] - top).exp() / sum } else { 0.0 };
            }
        }
    }

    pub fn value(&self, x: Points<'_>, out: &mut [f64]) {
        self.evaluate(x, &mut vec![Vec::new(); self.slopes.len()], out);
    }

    /// out += grad r = q_a - sum_j share_j q_j.
    pub fn add_gradient(&self, x: Points<'_>, out: &mut PointsMut<'_>) {
        let mut weights = vec![Vec::new(); self.slopes.len()];
        self.evaluate(x, &mut weights, &mut vec![0.0; x.len()]);
        for i in 0..self.dim() {
            let out = out.coord_mut(i);
            out.iter_mut().for_each(|o| *o += self.slopes[self.class][i]);
            for (q, w) in self.slopes.iter().zip(&weights) {
                for (o, w) in out.iter_mut().zip(w) {
                    *o -= q[i] * w;
                }
            }
        }
    }
}
