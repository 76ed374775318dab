//! Distances of laws on a grid.

use hjbridge_model::TensorGrid;
use rayon::prelude::*;
use std::f64::consts::PI;

/// Directions of the sliced distance in the plane: angles pi m / 32, m = 0..31.
pub const DIRECTIONS: usize = 32;

/// Masses below this share of the largest one are left out of the relative entropy: there both laws are rounding.
const NEGLIGIBLE: f64 = 1e-13;

/// int |F - G| over the grid, for two densities at the nodes (each normalised to mass one).
pub fn wasserstein_1(nodes: &[f64], p: &[f64], q: &[f64]) -> f64 {
    let cdf = |density: &[f64]| {
        let mut f = vec![0.0; nodes.len()];
        for i in 1..nodes.len() {
            f[i] = f[i - 1] + 0.5 * (density[i - 1] + density[i]) * (nodes[i] - nodes[i - 1]);
        }
        let total = f[nodes.len() - 1];
        f.iter_mut().for_each(|v| *v /= total);
        f
    };
    let (f, g) = (cdf(p), cdf(q));
    (1..nodes.len()).map(|i| 0.5 * ((f[i - 1] - g[i - 1]).abs() + (f[i] - g[i]).abs()) * (nodes[i] - nodes[i - 1])).sum()
}

/// Relative entropy KL(p || q) = sum p log(p/q) of masses of nodes, both with sum one.
pub fn relative_entropy(p: &[f64], q: &[f64]) -> f64 {
    let floor = |m: &[f64]| NEGLIGIBLE * m.iter().copied().fold(0.0, f64::max);
    let (low_p, low_q) = (floor(p), floor(q));
    // p log(p/q) - p + q is never negative, so that what is left out does not unbalance the sum
    p.iter().zip(q).filter(|(p, q)| **p > low_p && **q > low_q).map(|(p, q)| p * (p / q).ln() - p + q).sum()
}

/// The sliced Wasserstein-1 distance in the plane: the mean over [`DIRECTIONS`] equally spaced directions of the W1 distance of the
/// projections, exact for masses that sit on the nodes.
pub struct Sliced {
    /// For each direction the nodes in the order of their projections, and the gaps between these.
    slices: Vec<(Vec<u32>, Vec<f64>)>,
}

impl Sliced {
    /// Sort the nodes of a grid in the plane. None for other dimensions.
    pub fn new(grid: &TensorGrid) -> Option<Self> {
        if grid.dim() != 2 || u32::try_from(grid.len()).is_err() {
            return None;
        }
        let points = grid.points();
        let slice = |m: usize| {
            let (sin, cos) = (PI * m as f64 / DIRECTIONS as f64).sin_cos();
            let at = |j: u32| cos * points.coord(0)[j as usize] + sin * points.coord(1)[j as usize];
            let mut order: Vec<u32> = (0..grid.len() as u32).collect();
            order.sort_unstable_by(|a, b| at(*a).total_cmp(&at(*b)).then(a.cmp(b)));
            let gaps = order.windows(2).map(|w| at(w[1]) - at(w[0])).collect();
            (order, gaps)
        };
        Some(Sliced { slices: (0..DIRECTIONS).into_par_iter().map(slice).collect() })
    }

    /// The distance of two vectors of masses of the nodes, each with sum one.
    pub fn distance(&self, p: &[f64], q: &[f64]) -> f64 {
        let one = |(order, gaps): &(Vec<u32>, Vec<f64>)| -> f64 {
            let mut difference = 0.0;
            order
                .iter()
                .zip(gaps)
                .map(|(j, gap)| {
                    difference += p[*j as usize] - q[*j as usize];
                    difference.abs() * gap
                })
                .sum()
        };
        let distances: Vec<f64> = self.slices.par_iter().map(one).collect();
        distances.iter().sum::<f64>() / DIRECTIONS as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hjbridge_model::Axis;

    #[test]
    fn distance_of_shifted_normals_is_the_shift() {
        let x: Vec<f64> = (0..2001).map(|i| -10.0 + 0.01 * f64::from(i)).collect();
        let normal = |m: f64| x.iter().map(|x| (-0.5 * (x - m).powi(2)).exp()).collect::<Vec<_>>();
        assert!((wasserstein_1(&x, &normal(0.0), &normal(0.3)) - 0.3).abs() < 1e-9);
        assert_eq!(wasserstein_1(&x, &normal(0.1), &normal(0.1)), 0.0);
    }

    #[test]
    fn laws_in_the_plane() {
        let grid = TensorGrid::new(vec![Axis::uniform(-8.0, 8.0, 161).unwrap(), Axis::uniform(-9.0, 9.0, 151).unwrap()]).unwrap();
        let points = grid.points();
        let normal = |mean: [f64; 2]| {
            let square = |j: usize| (points.coord(0)[j] - mean[0]).powi(2) + (points.coord(1)[j] - mean[1]).powi(2);
            let m: Vec<f64> = (0..grid.len()).map(|j| (-0.5 * square(j)).exp()).collect();
            let total: f64 = m.iter().sum();
            m.iter().map(|m| m / total).collect::<Vec<_>>()
        };
        let (p, q) = (normal([0.3, 0.4]), normal([0.0, 0.0]));
        // W1 of the projections is |a.e|, with mean 2|a|/pi over all directions; the trapezoidal rule of its kinked integrand on 32
        // directions errs by pi^2/(12 32^2) of it at most
        let sliced = Sliced::new(&grid).unwrap().distance(&p, &q);
        assert!((sliced / (0.5 * 2.0 / PI) - 1.0).abs() < 2e-3, "{sliced}");
        assert_eq!(Sliced::new(&grid).unwrap().distance(&p, &p), 0.0);
        // KL of unit normals is half the squared distance of the means
        assert!((relative_entropy(&p, &q) - 0.125).abs() < 1e-9, "{}", relative_entropy(&p, &q));
        assert!(relative_entropy(&p, &p).abs() < 1e-15);
        assert!(Sliced::new(&TensorGrid::new(vec![Axis::uniform(0.0, 1.0, 9).unwrap()]).unwrap()).is_none());
    }
}
