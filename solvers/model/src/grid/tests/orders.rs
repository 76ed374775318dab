//! Orders of convergence in value, gradient and Hessian.

use super::*;

/// A smooth function that is not a product of functions of one variable, with its gradient and Hessian.
fn smooth(p: &[f64]) -> (f64, Vec<f64>, Vec<f64>) {
    let d = p.len();
    // f = sin(s) exp(-q), s = sum (1.3 - 0.4 a) x_a + 0.4, q = sum x_a^2 / 6
    let k: Vec<f64> = (0..d).map(|a| 1.3 - 0.4 * a as f64).collect();
    let s: f64 = 0.4 + k.iter().zip(p).map(|(k, x)| k * x).sum::<f64>();
    let e = (-p.iter().map(|x| x * x).sum::<f64>() / 6.0).exp();
    let (sin, cos) = s.sin_cos();
    let g = (0..d).map(|a| e * (k[a] * cos - p[a] / 3.0 * sin)).collect();
    let mut h = vec![0.0; d * d];
    for a in 0..d {
        for b in 0..d {
            let own = if a == b { sin / 3.0 } else { 0.0 };
            let mixed = -k[a] * k[b] * sin - (p[a] * k[b] + p[b] * k[a]) / 3.0 * cos + p[a] * p[b] / 9.0 * sin;
            h[a * d + b] = e * (mixed - own);
        }
    }
    (sin * e, g, h)
}

fn gap(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Sup errors of value, gradient and Hessian over scattered points.
fn spline_errors(grid: Arc<TensorGrid>) -> [f64; 3] {
    let spline = CubicSpline::new(grid.clone(), &sample(&grid, |p| smooth(p).0), Extrapolation::Linear).unwrap();
    let points = scattered(&grid, 4000, 0.0);
    let mut point = vec![0.0; grid.dim()];
    let mut errors = [0.0_f64; 3];
    for j in 0..points.len() {
        points.as_points().copy_point(j, &mut point);
        let (got, exact) = (jet(&spline, &point), smooth(&point));
        errors[0] = errors[0].max((got.0 - exact.0).abs());
        errors[1] = errors[1].max(gap(&got.1, &exact.1));
        errors[2] = errors[2].max(gap(&got.2, &exact.2));
    }
    errors
}

#[test]
fn splines_have_orders_4_3_and_2() {
    for dim in [1, 2] {
        for make in [uniform, stretched] {
            let sizes = [41, 81, 161];
            let errors: Vec<[f64; 3]> = sizes.iter().map(|&n| spline_errors(make(dim, n))).collect();
            for quantity in 0..3 {
                let expected = 4.0 - quantity as f64;
                for k in 0..2 {
                    let order = (errors[k][quantity] / errors[k + 1][quantity]).log2();
                    assert!((order - expected).abs() < 0.35, "d = {dim}, derivative {quantity}: order {order}, {errors:?}");
                }
            }
            assert!(errors[2][0] < 2e-7 && errors[2][1] < 4e-5, "{errors:?}");
        }
    }
}

#[test]
fn multilinear_has_orders_2_and_1() {
    for dim in [1, 2] {
        for make in [uniform, stretched] {
            let errors = |n: usize| {
                let grid = make(dim, n);
                let field = LinearInterpolant::new(grid.clone(), &sample(&grid, |p| smooth(p).0), Extrapolation::Linear).unwrap();
                let points = scattered(&grid, 4000, 0.0);
                let (v, g) = (values(&field, points.as_points()), gradients(&field, points.as_points()));
                let mut point = vec![0.0; dim];
                let mut worst = [0.0_f64; 2];
                for j in 0..points.len() {
                    points.as_points().copy_point(j, &mut point);
                    let exact = smooth(&point);
                    worst[0] = worst[0].max((v[j] - exact.0).abs());
                    (0..dim).for_each(|a| worst[1] = worst[1].max((g.coord(a)[j] - exact.1[a]).abs()));
                }
                worst
            };
            let (coarse, fine) = (errors(81), errors(161));
            let order = |q: usize| (coarse[q] / fine[q]).log2();
            assert!((order(0) - 2.0).abs() < 0.2 && (order(1) - 1.0).abs() < 0.2, "{coarse:?} {fine:?}");
        }
    }
}
