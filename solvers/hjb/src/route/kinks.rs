//! Kinks of the terminal reward, found by sampling it more finely than the grid.
//!
//! Along grid lines the fourth difference of a smooth function falls by 16 when its spacing is halved, that of a function
//! with a jump in the k-th derivative by 2^k. Data can be sampled as finely as one likes, so the order seen is that of the
//! data and not, as with solutions, that of a grid too coarse for them.

use hjbridge_model::grid::TensorGrid;
use hjbridge_model::{ControlledDiffusion, PointBlock};

/// Samples per cell at the coarser of the two spacings.
const PER_CELL: usize = 4;
/// Most lines sampled per axis.
const LINES: usize = 64;
/// Orders below this are a jump or a kink (order 0 and 1); a jump in the second derivative has order 2.
const SMOOTH: f64 = 1.5;
/// Fourth differences below this fraction of the largest value do not matter.
const NEGLIGIBLE: f64 = 1e-7;

/// The first point found at which the terminal reward has a jump or a kink along a grid line.
pub(crate) fn terminal_kink(model: &dyn ControlledDiffusion, grid: &TensorGrid) -> Option<Vec<f64>> {
    (0..grid.dim()).find_map(|axis| along(model, grid, axis))
}

fn along(model: &dyn ControlledDiffusion, grid: &TensorGrid, axis: usize) -> Option<Vec<f64>> {
    let d = grid.dim();
    // Evenly spread lines, numbered as the nodes of the other axes.
    let others: Vec<usize> = (0..d).filter(|a| *a != axis).collect();
    let per_axis = ((LINES as f64).powf(1.0 / others.len().max(1) as f64) as usize).max(1);
    let counts: Vec<usize> = others.iter().map(|&a| per_axis.min(grid.shape()[a])).collect();
    let lines: usize = counts.iter().product();
    for line in 0..lines {
        let mut base = vec![0.0; d];
        let mut rest = line;
        for (&a, &count) in others.iter().zip(&counts) {
            let place = (2 * (rest % count) + 1) * grid.shape()[a] / (2 * count);
            base[a] = grid.axis(a).nodes()[place.min(grid.shape()[a] - 1)];
            rest /= count;
        }
        let axis_nodes = grid.axis(axis).nodes();
        let sample = |per_cell: usize| -> (Vec<f64>, Vec<f64>) {
            // Each cell on its own scale, so that stretched axes are no kinks.
            let x: Vec<f64> = axis_nodes
                .windows(2)
                .flat_map(|w| (0..per_cell).map(move |s| w[0] + (w[1] - w[0]) * s as f64 / per_cell as f64))
                .collect();
            let mut points = PointBlock::zeros(d, x.len());
            let mut block = points.as_mut();
            (0..d).for_each(|a| block.coord_mut(a).fill(base[a]));
            block.coord_mut(axis).copy_from_slice(&x);
            let mut g = vec![0.0; x.len()];
            model.terminal_reward(points.as_points(), &mut g);
            (x, g)
        };
        // Divided differences scaled by the fourth power of the local spacing: no trace of the change of spacing.
        let fourth = |(x, g): &(Vec<f64>, Vec<f64>)| -> (f64, usize) {
            let mut worst = (0.0f64, 0);
            for k in 0..x.len().saturating_sub(4) {
                let (xs, gs) = (&x[k..k + 5], &g[k..k + 5]);
                let difference: f64 =
                    (0..5).map(|a| gs[a] / (0..5).filter(|b| *b != a).map(|b| xs[a] - xs[b]).product::<f64>()).sum();
                let size = (24.0 * difference * (0.25 * (xs[4] - xs[0])).powi(4)).abs();
                if size > worst.0 {
                    worst = (size, k + 2);
                }
            }
            worst
        };
        let (coarse, fine) = (sample(PER_CELL), sample(2 * PER_CELL));
        let size = crate::norms::sup(&coarse.1).max(f64::MIN_POSITIVE);
        let ((a, _), (b, place)) = (fourth(&coarse), fourth(&fine));
        if b > NEGLIGIBLE * size && (a / b).log2() < SMOOTH {
            base[axis] = fine.0[place];
            return Some(base);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use hjbridge_model::grid::Axis;
    use hjbridge_model::{Coefficients, Points};

    struct Terminal<F>(usize, F);

    impl<F: Fn(&[f64]) -> f64 + Send + Sync> ControlledDiffusion for Terminal<F> {
        fn dim(&self) -> usize {
            self.0
        }
        fn control_dim(&self) -> usize {
            0
        }
        fn horizon(&self) -> f64 {
            1.0
        }
        fn at(&self, _t: f64) -> Box<dyn Coefficients + '_> {
            unreachable!("only the terminal reward is asked for")
        }
        fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) {
            let mut p = vec![0.0; self.0];
            for (j, o) in out.iter_mut().enumerate() {
                x.copy_point(j, &mut p);
                *o = (self.1)(&p);
            }
        }
    }

    #[test]
    fn kinks_and_jumps_are_found_and_smooth_data_are_not() {
        for axis in [Axis::uniform(-2.0, 2.0, 41).unwrap(), Axis::stretched(-2.0, 2.0, 41, 0.3, 5.0).unwrap()] {
            let line = TensorGrid::new(vec![axis.clone()]).unwrap();
            let square = TensorGrid::new(vec![axis.clone(), axis.clone()]).unwrap();
            let one = |f: fn(&[f64]) -> f64| terminal_kink(&Terminal(1, f), &line);
            for kink in [0.0, 0.013, -0.71] {
                let place = terminal_kink(&Terminal(1, move |x: &[f64]| (x[0] - kink).max(0.0)), &line).unwrap();
                assert!((place[0] - kink).abs() < 0.1, "{place:?}");
            }
            assert!(one(|x| if x[0] > 0.1 { 1.0 } else { 0.0 }).is_some());
            assert!(terminal_kink(&Terminal(2, |x: &[f64]| (x[0] + 0.6 * x[1]).abs()), &square).is_some());
            assert!(one(|x| (8.0 * x[0]).sin()).is_none());
            assert!(one(|x| 3.0 * (x[0] * x[0] - 1.0).powi(2)).is_none());
            assert!(one(|x| (-20.0 * x[0] * x[0]).exp()).is_none());
            assert!(one(|_| 0.0).is_none());
            assert!(one(|x| 1e6 + x[0]).is_none());
            assert!(one(|x| x[0] * x[0].abs()).is_none());
            assert!(terminal_kink(&Terminal(2, |x: &[f64]| x[0] * x[0] * x[1] - 0.3 * x[1].cos()), &square).is_none());
        }
    }
}
