//! Periodic axes: points are wrapped around, and splines are smooth across the seam.

use super::*;
use crate::error::ModelError;
use crate::field::Feedback;
use std::f64::consts::TAU;

/// Axis 0 runs from -pi to pi and is periodic, the others are those of `uniform`.
fn ring(dim: usize, nodes: usize) -> Arc<TensorGrid> {
    let mut axes = uniform(dim, nodes).axes().to_vec();
    axes[0] = Axis::uniform(-0.5 * TAU, 0.5 * TAU, nodes).unwrap();
    Arc::new(TensorGrid::new(axes).unwrap().with_periodic(&[0]).unwrap())
}

fn wave(p: &[f64]) -> f64 {
    (p[0] - 0.4).sin() * (1.0 + p[1..].iter().map(|x| 0.3 * x).sum::<f64>())
}

/// Points all over four periods, with their images in the box.
fn points(grid: &TensorGrid) -> (PointBlock, PointBlock) {
    let inside = scattered(grid, 300, 0.0);
    let mut far = inside.clone();
    for (j, x) in far.as_mut().coord_mut(0).iter_mut().enumerate() {
        *x += TAU * ((j % 5) as f64 - 2.0);
    }
    (inside, far)
}

#[test]
fn all_interpolants_repeat_with_the_period_and_nothing_is_outside() {
    for dim in 1..=3 {
        let grid = ring(dim, 13);
        let data = sample(&grid, wave);
        let (inside, far) = points(&grid);
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-13);
        let spline = CubicSpline::new(grid.clone(), &data, Extrapolation::Linear).unwrap();
        let linear = LinearInterpolant::new(grid.clone(), &data, Extrapolation::Quadratic).unwrap();
        for field in [&spline as &dyn ScalarField, &linear] {
            assert!(close(&values(field, inside.as_points()), &values(field, far.as_points())));
            let (near, away) = (gradients(field, inside.as_points()), gradients(field, far.as_points()));
            // The gradient of the multilinear interpolant jumps at nodes, none of which is hit.
            assert!(close(near.data(), away.data()));
        }
        assert_eq!((spline.count_outside(far.as_points()), linear.count_outside(far.as_points())), (0, 0));
        for kind in [Interpolation::Cubic, Interpolation::Linear] {
            let slices = vec![data.clone(), data.iter().map(|v| 2.0 * v).collect()];
            let table = TableFeedback::new(grid.clone(), vec![0.0, 1.0], slices, 1, kind, Extrapolation::Linear).unwrap();
            let at = table.at(0.25);
            let (mut near, mut away) = (PointBlock::zeros(1, 300), PointBlock::zeros(1, 300));
            at.eval(inside.as_points(), near.as_mut());
            at.eval(far.as_points(), away.as_mut());
            assert!(close(near.data(), away.data()));
            assert_eq!(at.count_outside(far.as_points()), 0);
        }
    }
}

#[test]
fn periodic_splines_have_order_four_and_three_up_to_the_seam() {
    // Away from trivial symmetry, with the seam at a point where nothing vanishes.
    let f = |x: f64| (x - 0.4).sin() + 0.2 * (3.0 * x).cos();
    let slope = |x: f64| (x - 0.4).cos() - 0.6 * (3.0 * x).sin();
    let errors: Vec<[f64; 2]> = [33, 65, 129]
        .map(|n| {
            let grid = ring(1, n);
            let spline = CubicSpline::new(grid.clone(), &sample(&grid, |p| f(p[0])), Extrapolation::Linear).unwrap();
            (0..4001).fold([0.0f64; 2], |[v, g], k| {
                let x = -5.0 + 0.0025 * k as f64;
                let (value, gradient, _) = jet(&spline, &[x]);
                [v.max((value - f(x)).abs()), g.max((gradient[0] - slope(x)).abs())]
            })
        })
        .to_vec();
    for e in errors.windows(2) {
        assert!((e[0][0] / e[1][0]).log2() > 3.8 && (e[0][1] / e[1][1]).log2() > 2.9, "{errors:?}");
    }
    assert!(errors[2][0] < 5e-7, "{errors:?}");
    // Value, slope and curvature from both sides of the seam.
    let grid = ring(1, 17);
    let spline = CubicSpline::new(grid.clone(), &sample(&grid, |p| f(p[0])), Extrapolation::Clamp).unwrap();
    let (left, right) = (jet(&spline, &[0.5 * TAU - 1e-9]), jet(&spline, &[0.5 * TAU + 1e-9]));
    assert!((left.0 - right.0).abs() < 1e-7 && (left.1[0] - right.1[0]).abs() < 1e-7 && (left.2[0] - right.2[0]).abs() < 1e-6);
}

#[test]
fn only_what_is_not_finite_or_beyond_another_axis_is_outside() {
    let grid = ring(2, 9);
    let x = PointBlock::from_points(2, &[[100.0, 0.0], [0.0, 2.5], [f64::NAN, 0.0], [f64::INFINITY, 0.0]]).unwrap();
    let linear = LinearInterpolant::new(grid.clone(), &sample(&grid, wave), Extrapolation::Linear).unwrap();
    assert_eq!(linear.count_outside(x.as_points()), 3);
    let v = values(&linear, x.as_points());
    assert!(v[0].is_finite() && v[2].is_nan() && v[3].is_nan());
    assert!(grid.contains(&[-77.0, 0.0]) && !grid.contains(&[0.0, 2.5]) && !grid.contains(&[f64::NAN, 0.0]));
    assert!(grid.is_periodic(0) && !grid.is_periodic(1) && !grid.is_periodic(7));
    // The largest coordinate below the end, and one whose remainder rounds to the period.
    let tiny = PointBlock::from_points(2, &[[-0.5 * TAU - 1e-300, 0.0], [(0.5 * TAU).next_up(), 0.0]]).unwrap();
    assert!(values(&linear, tiny.as_points()).iter().all(|v| (v - wave(&[0.5 * TAU, 0.0])).abs() < 1e-12));
    assert!(matches!(grid.with_periodic(&[2]), Err(ModelError::Invalid { .. })));
    assert!(!grid.with_periodic(&[]).unwrap().is_periodic(0));
}
