//! Properties on random grids and random data.

use super::*;
use proptest::prelude::*;

/// An axis with random spacings between 0.1 and 1.
fn axis() -> impl Strategy<Value = Axis> {
    (prop::collection::vec(0.1..1.0_f64, 4..20), -5.0..5.0_f64).prop_map(|(steps, lower)| {
        let mut nodes = vec![lower];
        for step in steps {
            nodes.push(nodes[nodes.len() - 1] + step);
        }
        Axis::from_nodes(nodes).unwrap()
    })
}

/// A grid of one or two random axes and two sets of values on it.
fn grid_with_data() -> impl Strategy<Value = (Arc<TensorGrid>, Vec<f64>, Vec<f64>)> {
    prop::collection::vec(axis(), 1..=2).prop_flat_map(|axes| {
        let grid = Arc::new(TensorGrid::new(axes).unwrap());
        let data = || prop::collection::vec(-10.0..10.0_f64, grid.len());
        (Just(grid.clone()), data(), data())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn node_values_are_reproduced((grid, data, _) in grid_with_data()) {
        let nodes = grid.points();
        let spline = CubicSpline::new(grid.clone(), &data, Extrapolation::Linear).unwrap();
        let linear = LinearInterpolant::new(grid.clone(), &data, Extrapolation::Linear).unwrap();
        prop_assert_eq!(values(&spline, nodes.as_points()), data.clone());
        prop_assert_eq!(values(&linear, nodes.as_points()), data);
    }

    #[test]
    fn splines_are_linear_in_the_data((grid, f, g) in grid_with_data(), c1 in -3.0..3.0_f64, c2 in -3.0..3.0_f64) {
        let points = scattered(&grid, 60, 0.05);
        let on = |data: &[f64]| {
            values(&CubicSpline::new(grid.clone(), data, Extrapolation::Quadratic).unwrap(), points.as_points())
        };
        let sum: Vec<f64> = f.iter().zip(&g).map(|(f, g)| c1 * f + c2 * g).collect();
        let (sum, f, g) = (on(&sum), on(&f), on(&g));
        for j in 0..points.len() {
            let scale = 100.0 + (c1 * f[j]).abs() + (c2 * g[j]).abs();
            prop_assert!((sum[j] - c1 * f[j] - c2 * g[j]).abs() < 1e-11 * scale);
        }
    }

    #[test]
    fn units_of_the_axes_do_not_matter((grid, data, _) in grid_with_data(), scale in -9.0..9.0_f64, shift in -20.0..20.0_f64) {
        let (scale, points) = (scale.exp(), scattered(&grid, 60, 0.05));
        let map = |x: &f64| scale * (x + shift);
        let axes = grid.axes().iter().map(|a| Axis::from_nodes(a.nodes().iter().map(map).collect()).unwrap()).collect();
        let other = Arc::new(TensorGrid::new(axes).unwrap());
        let moved: Vec<f64> = points.data().iter().map(map).collect();
        let moved = Points::new(&moved, grid.dim());
        for mode in [Extrapolation::Clamp, Extrapolation::Linear, Extrapolation::Quadratic] {
            let a = CubicSpline::new(grid.clone(), &data, mode).unwrap();
            let b = CubicSpline::new(other.clone(), &data, mode).unwrap();
            let (va, vb) = (values(&a, points.as_points()), values(&b, moved));
            let (ga, gb) = (gradients(&a, points.as_points()), gradients(&b, moved));
            // The shift rounds the spacings to about 1e-14 of their size.
            for j in 0..points.len() {
                prop_assert!((va[j] - vb[j]).abs() < 1e-9 * (100.0 + va[j].abs()));
                for k in 0..grid.dim() {
                    prop_assert!((ga.coord(k)[j] - scale * gb.coord(k)[j]).abs() < 1e-8 * (1e3 + ga.coord(k)[j].abs()));
                }
            }
        }
    }

    #[test]
    fn multilinear_values_stay_between_the_extremes((grid, data, _) in grid_with_data()) {
        let points = scattered(&grid, 200, 0.5);
        let linear = LinearInterpolant::new(grid.clone(), &data, Extrapolation::Clamp).unwrap();
        let (low, high) = data.iter().fold((f64::MAX, f64::MIN), |(l, h), &v| (l.min(v), h.max(v)));
        prop_assert!(values(&linear, points.as_points()).iter().all(|&v| v >= low - 1e-13 && v <= high + 1e-13));
    }

    #[test]
    fn every_axis_finds_its_cells(axis in axis(), queries in prop::collection::vec(-8.0..30.0_f64, 50)) {
        let (x, last) = (axis.nodes(), axis.len() - 2);
        for q in queries.iter().chain(x).chain(&x.iter().map(|x| x.next_down()).collect::<Vec<_>>()) {
            let i = axis.locate(*q);
            prop_assert!((i == 0 || x[i] <= *q) && (i == last || *q < x[i + 1]));
        }
    }
}
