//! Tabulated feedbacks.

use super::*;
use crate::error::ModelError;
use crate::field::Feedback;

const KINDS: [Interpolation; 2] = [Interpolation::Linear, Interpolation::Cubic];

/// Two components that are linear in time and in space, so that a table is exact.
fn law(t: f64, p: &[f64]) -> [f64; 2] {
    [1.0 + t * (p[0] - 2.0 * p[1]), (2.0 - t) * p[0] * p[1] + 0.5]
}

fn slice(grid: &Arc<TensorGrid>, t: f64) -> Vec<f64> {
    let mut out = sample(grid, |p| law(t, p)[0]);
    out.extend(sample(grid, |p| law(t, p)[1]));
    out
}

fn table(kind: Interpolation) -> (Arc<TensorGrid>, TableFeedback) {
    let grid = stretched(2, 9);
    let times = vec![0.5, 0.7, 1.3];
    let slices = times.iter().map(|&t| slice(&grid, t)).collect();
    (grid.clone(), TableFeedback::new(grid, times, slices, 2, kind, Extrapolation::Linear).unwrap())
}

fn control(feedback: &TableFeedback, t: f64, x: Points<'_>) -> PointBlock {
    let mut out = PointBlock::zeros(feedback.control_dim(), x.len());
    feedback.at(t).eval(x, out.as_mut());
    out
}

#[test]
fn tables_are_exact_for_laws_linear_in_time_and_multilinear_in_space() {
    for kind in KINDS {
        let (grid, feedback) = table(kind);
        assert_eq!((feedback.dim(), feedback.control_dim(), feedback.interpolation()), (2, 2, kind));
        assert_eq!((feedback.times(), feedback.grid().len()), (&[0.5, 0.7, 1.3][..], grid.len()));
        let points = scattered(&grid, 200, 0.2);
        let mut p = [0.0; 2];
        // Clamped to the end slices outside [0.5, 1.3].
        for (t, effective) in [(0.5, 0.5), (0.55, 0.55), (0.7, 0.7), (1.1, 1.1), (1.3, 1.3), (-2.0, 0.5), (7.0, 1.3)] {
            let u = control(&feedback, t, points.as_points());
            for j in 0..points.len() {
                points.as_points().copy_point(j, &mut p);
                let exact = law(effective, &p);
                assert!((0..2).all(|c| (u.coord(c)[j] - exact[c]).abs() < 1e-12 * (1.0 + exact[c].abs())), "{kind:?} t = {t}");
            }
        }
        for t in [f64::NEG_INFINITY, f64::INFINITY] {
            assert!(control(&feedback, t, points.as_points()).data().iter().all(|u| u.is_finite()));
        }
        assert!(control(&feedback, f64::NAN, points.as_points()).data().iter().all(|u| u.is_nan()));
        let outside = (0..points.len()).filter(|&j| !grid.contains(&[points.coord(0)[j], points.coord(1)[j]])).count();
        assert!(outside > 0);
        assert_eq!(feedback.at(0.6).count_outside(points.as_points()), outside);
    }
}

#[test]
fn stored_times_return_the_slice_to_the_last_bit() {
    for kind in KINDS {
        let (grid, feedback) = table(kind);
        let nodes = grid.points();
        for t in [0.5, 0.7, 1.3] {
            for off in [0.0, 5e-13, -5e-13] {
                assert_eq!(control(&feedback, t + off, nodes.as_points()).data(), &slice(&grid, t)[..], "{kind:?} {t}");
            }
            assert_ne!(control(&feedback, 0.5 * (t + 0.9), nodes.as_points()).data(), &slice(&grid, t)[..]);
        }
    }
}

#[test]
fn a_cubic_table_is_the_spline_of_each_slice_and_order_two_in_time() {
    let grid = uniform(1, 101);
    let exact = |t: f64, x: f64| (2.0 * t).sin() * (x + t).cos();
    let build = |steps: usize| {
        let times: Vec<f64> = (0..=steps).map(|k| k as f64 / steps as f64).collect();
        let slices = times.iter().map(|&t| sample(&grid, |p| exact(t, p[0]))).collect();
        TableFeedback::new(grid.clone(), times, slices, 1, Interpolation::Cubic, Extrapolation::Quadratic).unwrap()
    };
    let points = scattered(&grid, 300, 0.1);
    let spline = CubicSpline::new(grid.clone(), &sample(&grid, |p| exact(0.25, p[0])), Extrapolation::Quadratic).unwrap();
    assert_eq!(control(&build(4), 0.25, points.as_points()).data(), &values(&spline, points.as_points())[..]);

    let inside = scattered(&grid, 300, 0.0);
    let error = |steps: usize| {
        let feedback = build(steps);
        let at = |t: f64| {
            let u = control(&feedback, t, inside.as_points());
            (0..300).map(|j| (u.data()[j] - exact(t, inside.data()[j])).abs()).fold(0.0, f64::max)
        };
        (0..100).map(|k| at((k as f64 + 0.5) / 100.0)).fold(0.0, f64::max)
    };
    let order = (error(8) / error(16)).log2();
    assert!((order - 2.0).abs() < 0.15, "{order}");
}

#[test]
fn one_slice_serves_all_times() {
    let grid = uniform(1, 6);
    let data = sample(&grid, |p| p[0]);
    let feedback = TableFeedback::new(grid.clone(), vec![0.3], vec![data.clone()], 1, KINDS[1], Extrapolation::Clamp).unwrap();
    for t in [-1.0, 0.3, 9.0] {
        assert_eq!(control(&feedback, t, grid.points().as_points()).data(), &data[..]);
    }
    assert!(control(&feedback, f64::NAN, grid.points().as_points()).data().iter().all(|u| u.is_nan()));
}

#[test]
fn bad_tables_are_refused_by_name() {
    let grid = uniform(1, 6);
    let n = grid.len();
    let build = |times: &[f64], slices: Vec<Vec<f64>>, dim: usize, kind| {
        TableFeedback::new(grid.clone(), times.to_vec(), slices, dim, kind, Extrapolation::Clamp).unwrap_err()
    };
    for kind in KINDS {
        let message = |times: &[f64], slices: Vec<Vec<f64>>, dim| build(times, slices, dim, kind).to_string();
        assert!(message(&[], vec![], 1).starts_with("times has 0"));
        assert!(message(&[0.0, f64::NAN], vec![vec![0.0; n]; 2], 1).starts_with("times[1] = NaN"));
        assert!(message(&[0.0, 0.0], vec![vec![0.0; n]; 2], 1).starts_with("times[1] = 0: must exceed"));
        assert!(message(&[0.0], vec![vec![0.0; n]; 2], 1).starts_with("slices has 2"));
        assert!(message(&[0.0], vec![vec![0.0; n]], 2).starts_with("slices[0] has 6 entries; 12 expected"));
        assert!(message(&[0.0], vec![vec![]], 0).starts_with("control_dim = 0"));
        assert!(message(&[0.0, 1.0], vec![vec![0.0; n], vec![f64::INFINITY; n]], 1).starts_with("slices[1][0] = inf"));
        assert!(matches!(build(&[0.0], vec![vec![0.0; n]], usize::MAX, kind), ModelError::Shape { .. }));
    }
    let huge: Vec<f64> = (0..n).map(|i| if i % 2 == 0 { 1.7e308 } else { -1.7e308 }).collect();
    assert!(build(&[0.0], vec![huge], 1, KINDS[1]).to_string().starts_with("slices[0].spline.slopes["));
}
