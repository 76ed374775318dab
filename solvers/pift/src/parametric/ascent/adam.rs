//! Adam: steps scaled by running moments of the gradient.

use serde::{Deserialize, Serialize};

/// Running moments of the gradient.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct AdamMoments {
    first: Vec<f64>,
    second: Vec<f64>,
    count: u32,
}

impl AdamMoments {
    /// Whether these are moments of so many parameters after at most so many steps.
    pub(crate) fn is_of(&self, parameters: usize, steps: usize) -> bool {
        let length = self.first.len();
        length == self.second.len() && (length == parameters || length == 0) && self.count as usize <= steps
    }

    /// Take the gradient in, and write rate m / (sqrt(v) + 1e-8), both moments without bias, into `step`.
    pub(crate) fn step(&mut self, gradient: &[f64], rate: f64, beta1: f64, beta2: f64, step: &mut [f64]) {
        self.first.resize(gradient.len(), 0.0);
        self.second.resize(gradient.len(), 0.0);
        self.count += 1;
        let bias = |beta: f64| 1.0 / (1.0 - beta.powi(self.count.min(1 << 20) as i32));
        let (one, two) = (bias(beta1), bias(beta2));
        for (((m, v), g), s) in self.first.iter_mut().zip(&mut self.second).zip(gradient).zip(step) {
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *s = rate * (*m * one) / ((*v * two).sqrt() + 1e-8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_steps_have_the_length_of_the_rate() {
        let mut adam = AdamMoments::default();
        let mut step = [0.0; 2];
        for _ in 0..3 {
            adam.step(&[3.0, -1e-3], 0.1, 0.9, 0.999, &mut step);
            assert!((step[0] - 0.1).abs() < 1e-8 && (step[1] + 0.1).abs() < 1e-5, "{step:?}");
        }
    }
}
