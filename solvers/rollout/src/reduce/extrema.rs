//! Smallest and largest coordinate.

use hjbridge_model::Points;

/// The smallest box that holds all points; empty (infinity, -infinity) before the first.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Extrema {
    /// Smallest value of each coordinate.
    pub min: Vec<f64>,
    /// Largest value of each coordinate.
    pub max: Vec<f64>,
}

impl Extrema {
    /// Of no point, in R^`dim`.
    pub fn new(dim: usize) -> Self {
        Extrema { min: vec![f64::INFINITY; dim], max: vec![f64::NEG_INFINITY; dim] }
    }

    /// Take in the points.
    pub fn absorb(&mut self, x: Points<'_>) {
        for i in 0..self.min.len() {
            self.min[i] = x.coord(i).iter().copied().fold(self.min[i], f64::min);
            self.max[i] = x.coord(i).iter().copied().fold(self.max[i], f64::max);
        }
    }

    /// The smallest box that holds both.
    pub fn merge(&mut self, other: &Extrema) {
        for i in 0..self.min.len() {
            self.min[i] = self.min[i].min(other.min[i]);
            self.max[i] = self.max[i].max(other.max[i]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn box_of_points() {
        let (mut a, mut b) = (Extrema::new(2), Extrema::new(2));
        a.absorb(Points::new(&[1.0, 4.0, -2.0, -3.0], 2));
        b.absorb(Points::new(&[0.0, 7.0], 2));
        a.merge(&b);
        a.merge(&Extrema::new(2));
        assert_eq!(a, Extrema { min: vec![0.0, -3.0], max: vec![4.0, 7.0] });
    }
}
