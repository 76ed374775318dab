//! Exactness, continuation, continuity, NaN and bad input.

use super::*;
use crate::error::ModelError;

const MODES: [Extrapolation; 3] = [Extrapolation::Clamp, Extrapolation::Linear, Extrapolation::Quadratic];

/// prod_a (1 + c x_a + x_a^2/2 + cubic x_a^3), and its first and second derivative factors.
fn factors(x: f64, a: usize, cubic: f64) -> [f64; 3] {
    let c = 0.5 - a as f64;
    [1.0 + c * x + 0.5 * x * x + cubic * x * x * x, c + x + 3.0 * cubic * x * x, 1.0 + 6.0 * cubic * x]
}

fn polynomial(p: &[f64], cubic: f64, derivatives: &[usize]) -> f64 {
    (0..p.len()).map(|a| factors(p[a], a, cubic)[derivatives.iter().filter(|&&b| b == a).count()]).product()
}

fn compare_with_polynomial(grid: Arc<TensorGrid>, cubic: f64, mode: Extrapolation, margin: f64, tolerance: f64) {
    let d = grid.dim();
    let spline = CubicSpline::new(grid.clone(), &sample(&grid, |p| polynomial(p, cubic, &[])), mode).unwrap();
    let points = scattered(&grid, 500, margin);
    let mut p = vec![0.0; d];
    for j in 0..points.len() {
        points.as_points().copy_point(j, &mut p);
        let (v, g, h) = jet(&spline, &p);
        let close = |got: f64, exact: f64, what: &str| {
            assert!((got - exact).abs() <= tolerance * (1.0 + exact.abs()), "d = {d}, {what} at {p:?}: {got} against {exact}");
        };
        close(v, polynomial(&p, cubic, &[]), "value");
        for a in 0..d {
            close(g[a], polynomial(&p, cubic, &[a]), "gradient");
            (0..d).for_each(|b| close(h[a * d + b], polynomial(&p, cubic, &[a, b]), "Hessian"));
        }
    }
}

#[test]
fn tensor_cubics_are_exact() {
    for dim in 1..=3 {
        for make in [uniform, stretched] {
            compare_with_polynomial(make(dim, 9), 0.7, Extrapolation::Clamp, 0.0, 2e-10);
        }
    }
}

#[test]
fn tensor_quadratics_continue_exactly_with_quadratic_extrapolation() {
    for dim in 1..=3 {
        compare_with_polynomial(stretched(dim, 8), 0.0, Extrapolation::Quadratic, 0.5, 2e-10);
    }
}

#[test]
fn every_interpolant_returns_the_values_at_the_nodes_exactly() {
    for dim in 1..=3 {
        for grid in [uniform(dim, 11), stretched(dim, 12)] {
            let data = sample(&grid, |p| p.iter().map(|x| (3.0 * x).sin()).sum::<f64>() + 1e3 * p[0]);
            let nodes = grid.points();
            for mode in MODES {
                let linear = LinearInterpolant::new(grid.clone(), &data, mode).unwrap();
                let spline = CubicSpline::new(grid.clone(), &data, mode).unwrap();
                assert_eq!(values(&linear, nodes.as_points()), data);
                assert_eq!(values(&spline, nodes.as_points()), data);
                let slopes = gradients(&spline, nodes.as_points());
                for i in 0..grid.len() {
                    assert_eq!(spline.node_value(i), data[i]);
                    (0..dim).for_each(|a| assert_eq!(spline.node_slope(i, a), slopes.coord(a)[i]));
                }
            }
        }
    }
}

#[test]
fn multilinear_functions_are_exact_inside_and_outside() {
    let f = |p: &[f64]| p.iter().enumerate().map(|(a, x)| 0.3 + (1.0 + a as f64) * x).product::<f64>();
    for dim in 1..=3 {
        let grid = stretched(dim, 7);
        let data = sample(&grid, f);
        let points = scattered(&grid, 300, 0.4);
        for mode in [Extrapolation::Linear, Extrapolation::Quadratic] {
            let linear = LinearInterpolant::new(grid.clone(), &data, mode).unwrap();
            let spline = CubicSpline::new(grid.clone(), &data, mode).unwrap();
            let mut p = vec![0.0; dim];
            let (mut v, mut g) = (vec![0.0; 300], PointBlock::zeros(dim, 300));
            linear.value_gradient(points.as_points(), &mut v, g.as_mut());
            assert_eq!(v, values(&linear, points.as_points()));
            let smooth = values(&spline, points.as_points());
            for j in 0..points.len() {
                points.as_points().copy_point(j, &mut p);
                assert!((v[j] - f(&p)).abs() < 1e-11 * (1.0 + f(&p).abs()));
                assert!((smooth[j] - f(&p)).abs() < 1e-11 * (1.0 + f(&p).abs()));
                for a in 0..dim {
                    let slope = f(&p) / (0.3 + (1.0 + a as f64) * p[a]) * (1.0 + a as f64);
                    assert!((g.coord(a)[j] - slope).abs() < 1e-9 * (1.0 + slope.abs()));
                }
            }
        }
    }
}

#[test]
fn clamped_values_are_those_of_the_nearest_point_of_the_box() {
    let grid = stretched(2, 15);
    let data = sample(&grid, |p| (p[0] - 0.3 * p[1]).sin());
    let linear = LinearInterpolant::new(grid.clone(), &data, Extrapolation::Clamp).unwrap();
    let spline = CubicSpline::new(grid.clone(), &data, Extrapolation::Clamp).unwrap();
    let points = scattered(&grid, 500, 0.6);
    let mut nearest = points.clone();
    for a in 0..2 {
        let (lower, upper) = (grid.axis(a).lower(), grid.axis(a).upper());
        nearest.as_mut().coord_mut(a).iter_mut().for_each(|x| *x = x.clamp(lower, upper));
    }
    for field in [&linear as &dyn ScalarField, &spline] {
        assert_eq!(values(field, points.as_points()), values(field, nearest.as_points()));
        let (outer, inner) = (gradients(field, points.as_points()), gradients(field, nearest.as_points()));
        for a in 0..2 {
            for j in 0..points.len() {
                let moved = points.coord(a)[j] != nearest.coord(a)[j];
                assert_eq!(outer.coord(a)[j], if moved { 0.0 } else { inner.coord(a)[j] });
            }
        }
    }
    // Infinitely far away too.
    let corner = values(&spline, Points::new(&[f64::NEG_INFINITY, f64::INFINITY], 2));
    let index = grid.flat_index(&[0, grid.shape()[1] - 1]).unwrap();
    assert_eq!(corner[0], data[index]);
}

#[test]
fn derivatives_agree_with_finite_differences_inside_and_outside() {
    for dim in 1..=3 {
        let grid = stretched(dim, 12);
        let data = sample(&grid, |p| p.iter().enumerate().map(|(a, x)| ((1.0 + a as f64) * x + 0.2).cos()).product());
        for mode in MODES {
            let spline = CubicSpline::new(grid.clone(), &data, mode).unwrap();
            let points = scattered(&grid, 200, 0.2);
            let (mut p, h) = (vec![0.0; dim], 1e-5);
            for j in 0..points.len() {
                points.as_points().copy_point(j, &mut p);
                let (_, gradient, hessian) = jet(&spline, &p);
                for a in 0..dim {
                    // A difference across a face is first-order only.
                    let axis = grid.axis(a);
                    if (p[a] - axis.lower()).abs() < 2.0 * h || (p[a] - axis.upper()).abs() < 2.0 * h {
                        continue;
                    }
                    let shifted = |sign: f64| {
                        let mut q = p.clone();
                        q[a] += sign * h;
                        jet(&spline, &q)
                    };
                    let (up, down) = (shifted(1.0), shifted(-1.0));
                    assert!((gradient[a] - (up.0 - down.0) / (2.0 * h)).abs() < 1e-7, "{mode:?} {p:?}");
                    for b in 0..dim {
                        let difference = (up.1[b] - down.1[b]) / (2.0 * h);
                        // The third derivative jumps at the nodes: the difference quotient is O(h) there.
                        assert!((hessian[a * dim + b] - difference).abs() < 2e-3, "{mode:?} {p:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn splines_are_c2_with_not_a_knot_ends() {
    let axis = Axis::from_nodes(vec![-1.0, -0.4, 0.1, 0.2, 1.0, 1.7, 1.9]).unwrap();
    let grid = Arc::new(TensorGrid::new(vec![axis.clone()]).unwrap());
    let data = [0.3, -1.0, 2.0, 0.7, 0.0, 4.0, -3.0];
    let spline = CubicSpline::new(grid, &data, Extrapolation::Linear).unwrap();
    let x = axis.nodes();
    let second = |x: f64| jet(&spline, &[x]).2[0];
    // Third derivative on cell i from two interior points.
    let third = |i: usize| {
        let step = x[i + 1] - x[i];
        (second(x[i] + 0.75 * step) - second(x[i] + 0.25 * step)) / (0.5 * step)
    };
    for i in 1..x.len() - 1 {
        let (left, right) = (jet(&spline, &[x[i].next_down()]), jet(&spline, &[x[i]]));
        assert!((left.1[0] - right.1[0]).abs() < 1e-10 && (left.2[0] - right.2[0]).abs() < 1e-9, "node {i}");
    }
    let scale = third(2).abs();
    assert!((third(0) - third(1)).abs() < 1e-10 * scale && (third(4) - third(5)).abs() < 1e-10 * scale);
    assert!((third(2) - third(3)).abs() > 1.0);
}

#[test]
fn nan_and_infinite_points_spoil_only_themselves() {
    for dim in 1..=3 {
        let grid = uniform(dim, 9);
        let data = sample(&grid, |p| p.iter().map(|x| x.exp()).sum());
        let mut points = scattered(&grid, 100, 0.1);
        let clean = points.clone();
        for a in 0..dim {
            points.as_mut().coord_mut(a)[10 + a] = f64::NAN;
        }
        points.as_mut().coord_mut(0)[20] = f64::INFINITY;
        for mode in MODES {
            let spline = CubicSpline::new(grid.clone(), &data, mode).unwrap();
            let linear = LinearInterpolant::new(grid.clone(), &data, mode).unwrap();
            for field in [&spline as &dyn ScalarField, &linear] {
                let (v, expected) = (values(field, points.as_points()), values(field, clean.as_points()));
                let g = gradients(field, points.as_points());
                for j in 0..100 {
                    let spoilt = (10..10 + dim).contains(&j);
                    assert_eq!(v[j].is_nan(), spoilt || (j == 20 && v[j].is_nan()));
                    if j != 20 {
                        assert!(spoilt || v[j] == expected[j]);
                        assert!((0..dim).all(|a| g.coord(a)[j].is_nan() == spoilt), "d = {dim} {mode:?} point {j}");
                    }
                }
            }
            let mut second = PointBlock::zeros(dim * dim, 100);
            spline.hessian(points.as_points(), second.as_mut());
            assert!((0..100).all(|j| j == 20 || second.coord(0)[j].is_nan() == (10..10 + dim).contains(&j)));
            let outside = (0..100).filter(|&j| {
                let mut p = vec![0.0; dim];
                points.as_points().copy_point(j, &mut p);
                !grid.contains(&p)
            });
            let count = outside.count();
            assert!(count > dim);
            assert_eq!((spline.count_outside(points.as_points()), linear.count_outside(points.as_points())), (count, count));
        }
    }
}

#[test]
fn windows_and_blocks_of_any_length_give_the_same_bits() {
    for dim in 1..=3 {
        let grid = stretched(dim, 10);
        let spline =
            CubicSpline::new(grid.clone(), &sample(&grid, |p| p[0].sin() * p[dim - 1]), Extrapolation::Quadratic).unwrap();
        let points = scattered(&grid, 101, 0.1);
        let (mut v, mut g) = (vec![0.0; 101], PointBlock::zeros(dim, 101));
        spline.value_gradient(points.as_points(), &mut v, g.as_mut());
        for (start, end) in [(0, 1), (3, 36), (40, 101), (7, 7)] {
            let window = points.as_points().window(start..end);
            assert_eq!(values(&spline, window), v[start..end]);
            let part = gradients(&spline, window);
            (0..dim).for_each(|a| assert_eq!(part.coord(a), &g.coord(a)[start..end]));
        }
    }
}

#[test]
fn constants_and_even_data_keep_their_symmetry() {
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-3.0, 3.0, 60).unwrap()]).unwrap());
    let points = scattered(&grid, 400, 0.1);
    let constant = CubicSpline::new(grid.clone(), &vec![0.1; 60], Extrapolation::Linear).unwrap();
    assert!(gradients(&constant, points.as_points()).data().iter().all(|&g| g == 0.0));
    assert!(values(&constant, points.as_points()).iter().all(|&v| (v - 0.1).abs() < 1e-16));
    let even = CubicSpline::new(grid.clone(), &sample(&grid, |p| (-p[0] * p[0]).exp()), Extrapolation::Quadratic).unwrap();
    let mirrored: Vec<f64> = points.data().iter().map(|x| -x).collect();
    let (right, left) = (values(&even, points.as_points()), values(&even, Points::new(&mirrored, 1)));
    assert!((0..400).all(|j| (right[j] - left[j]).abs() < 1e-14));
}

#[test]
fn set_values_equals_a_new_spline_and_refuses_bad_data() {
    for dim in 1..=3 {
        let grid = stretched(dim, 8);
        let (old, new) = (sample(&grid, |p| p[0].cos()), sample(&grid, |p| p[0] * p[dim - 1] * p[dim - 1]));
        let mut spline = CubicSpline::new(grid.clone(), &old, Extrapolation::Linear).unwrap();
        let points = scattered(&grid, 50, 0.1);
        let before = values(&spline, points.as_points());
        let mut bad = new.clone();
        bad[3] = f64::NAN;
        assert!(spline.set_values(&bad).unwrap_err().to_string().starts_with("values[3] = NaN"));
        assert!(matches!(spline.set_values(&new[1..]), Err(ModelError::Shape { .. })));
        assert_eq!(values(&spline, points.as_points()), before);
        let fresh = values(&spline.with_values(&new).unwrap(), points.as_points());
        assert_eq!(values(&spline, points.as_points()), before);
        spline.set_values(&new).unwrap();
        assert_eq!(values(&spline, points.as_points()), fresh);
        // Finite values whose differences overflow.
        let huge: Vec<f64> = (0..grid.len()).map(|i| if i % 2 == 0 { 1.7e308 } else { -1.7e308 }).collect();
        assert!(spline.set_values(&huge).unwrap_err().to_string().starts_with("spline.slopes["));

        let mut linear = LinearInterpolant::new(grid.clone(), &old, Extrapolation::Linear).unwrap();
        assert!(linear.set_values(&bad).is_err());
        linear.set_values(&new).unwrap();
        let again = LinearInterpolant::new(grid, &new, Extrapolation::Linear).unwrap();
        assert_eq!(values(&linear, points.as_points()), values(&again, points.as_points()));
    }
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(0.0, 1.0, 5).unwrap(); 10]).unwrap());
    let message = CubicSpline::new(grid.clone(), &vec![0.0; grid.len()], Extrapolation::Clamp).unwrap_err().to_string();
    assert!(message.contains("2^10 numbers per node"), "{message}");
}
