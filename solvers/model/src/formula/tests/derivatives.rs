//! Derivatives against closed forms and against central differences.

use super::{gradient, value};
use crate::formula::Formula;

/// Function of x and y, its derivative in x, its derivative in y: each written by hand.
const TABLE: &[(&str, &str, &str)] = &[
    ("3", "0", "0"),
    ("x", "1", "0"),
    ("-x + 2*y", "-1", "2"),
    ("x*y - y/x", "y + y/(x*x)", "x - 1/x"),
    ("x**3", "3*x*x", "0"),
    ("x**-2", "-2/(x*x*x)", "0"),
    ("x**-1", "-1/(x*x)", "0"),
    ("x**2.5", "2.5*x*sqrt(x)", "0"),
    ("x**20", "20*x**19", "0"),
    ("x**0.5", "0.5/sqrt(x)", "0"),
    ("2**x", "log(2)*exp(x*log(2))", "0"),
    ("x**y", "y*exp((y - 1)*log(x))", "log(x)*exp(y*log(x))"),
    ("pow(y, x)", "log(y)*y**x", "x*y**(x - 1)"),
    ("sin(x)", "cos(x)", "0"),
    ("cos(2*x)", "-2*sin(2*x)", "0"),
    ("tan(x)", "1/cos(x)**2", "0"),
    ("asin(x/2)", "1/sqrt(4 - x*x)", "0"),
    ("acos(x/2)", "-1/sqrt(4 - x*x)", "0"),
    ("atan(x*y)", "y/(1 + (x*y)**2)", "x/(1 + (x*y)**2)"),
    ("atan2(y, x)", "-y/(x*x + y*y)", "x/(x*x + y*y)"),
    ("sinh(x)", "cosh(x)", "0"),
    ("cosh(x)", "sinh(x)", "0"),
    ("tanh(3*x)", "3/cosh(3*x)**2", "0"),
    ("exp(-x*x/2)", "-x*exp(-x*x/2)", "0"),
    ("log(x*x + y)", "2*x/(x*x + y)", "1/(x*x + y)"),
    ("ln(x)", "1/x", "0"),
    ("log1p(x)", "1/(1 + x)", "0"),
    ("expm1(x)", "exp(x)", "0"),
    ("sqrt(x)", "1/(2*sqrt(x))", "0"),
    ("abs(x - y)", "sign(x - y)", "sign(y - x)"),
    ("abs(-x)", "1", "0"),
    ("erf(x)", "2/sqrt(pi)*exp(-x*x)", "0"),
    ("hypot(x, y)", "x/sqrt(x*x + y*y)", "y/sqrt(x*x + y*y)"),
    ("min(x, y)", "x < y", "y < x"),
    (
        "max(x, 2*y, x*y)",
        "where(x > max(2*y, x*y), 1, where(x*y > 2*y, y, 0))",
        "where(x > max(2*y, x*y), 0, where(x*y > 2*y, x, 2))",
    ),
    ("where(x > y, x*x, y*x)", "where(x > y, 2*x, y)", "where(x > y, 0, x)"),
    ("x*(x > y) + floor(3*x)*y", "x > y", "floor(3*x)"),
    ("x*sign(y) + y*ceil(x)", "sign(y)", "ceil(x)"),
    ("(x < 2 and not y > 3)*x*y", "y", "x"),
    ("sin(y)*exp(-x**2/2) + y*x**3", "-x*sin(y)*exp(-x**2/2) + 3*y*x*x", "cos(y)*exp(-x**2/2) + x**3"),
    ("(x + y)*(x + y) + (y + x)", "2*(x + y) + 1", "2*(x + y) + 1"),
];

const POINTS: [[f64; 2]; 4] = [[0.7, 1.3], [1.4, 0.45], [0.21, 0.2], [1.1, 2.9]];

#[test]
fn derivatives_are_the_exact_ones() {
    for &(text, dx, dy) in TABLE {
        for point in POINTS {
            let (found_value, found) = gradient(text, &["x", "y"], &point);
            assert_eq!(found_value, value(text, &["x", "y"], &point), "{text}");
            for (found, exact) in found.into_iter().zip([dx, dy]) {
                let exact = value(exact, &["x", "y"], &point);
                assert!((found - exact).abs() <= 2e-14 * exact.abs().max(0.1), "{text} at {point:?}: {found} for {exact}");
            }
        }
    }
}

#[test]
fn derivatives_agree_with_central_differences_of_order_two() {
    for &(text, ..) in TABLE {
        for point in POINTS {
            let (_, found) = gradient(text, &["x", "y"], &point);
            for i in 0..2 {
                let difference = |h: f64| {
                    let (mut up, mut down) = (point, point);
                    up[i] += h;
                    down[i] -= h;
                    (value(text, &["x", "y"], &up) - value(text, &["x", "y"], &down)) / (2.0 * h)
                };
                // Errors c h^2 and c h^2 / 4, down to the rounding of the difference, about 1e-16 |f| / h.
                let (coarse, fine) = ((difference(2e-3) - found[i]).abs(), (difference(1e-3) - found[i]).abs());
                let size = 1.0 + value(text, &["x", "y"], &point).abs() + found[i].abs();
                assert!(fine < 0.3 * coarse + 1e-11 * size, "{text} at {point:?}: {coarse:e}, {fine:e}");
                assert!(fine < 3e-4 * size, "{text} at {point:?}: {fine:e}");
            }
        }
    }
}

#[test]
fn conventions_where_there_is_no_derivative() {
    for (text, point, expected) in [
        ("abs(x)", [0.0, 1.0], [0.0, 0.0]),
        ("abs(x*y)", [0.0, 1.0], [0.0, 0.0]),
        ("sqrt(x**2)", [0.0, 1.0], [0.0, 0.0]),
        ("sqrt(x**2 + y**2)", [0.0, 0.0], [0.0, 0.0]),
        ("hypot(x, y)", [0.0, 0.0], [0.0, 0.0]),
        ("min(2*x, 3*y)", [0.0, 0.0], [2.0, 0.0]),
        ("max(2*x, 3*y)", [0.0, 0.0], [2.0, 0.0]),
        ("max(1, x)", [1.0, 0.0], [0.0, 0.0]),
        ("max(x, 1)", [1.0, 0.0], [1.0, 0.0]),
        ("min(x, 5, y)", [3.0, 4.0], [1.0, 0.0]),
        ("min(x, 5, y)", [4.0, 3.0], [0.0, 1.0]),
        ("x**y", [0.0, 2.0], [0.0, 0.0]),
        ("x**y", [-2.0, 3.0], [12.0, f64::NAN]),
        ("x**0 + y", [0.0, 1.0], [0.0, 1.0]),
        ("x**2 + x**1", [0.0, 1.0], [1.0, 0.0]),
        ("log(x)", [-1.0, 0.0], [f64::NAN, 0.0]),
        ("log1p(x)", [-2.0, 0.0], [f64::NAN, 0.0]),
        ("where(log(x), y, x)", [-1.0, 2.0], [f64::NAN, f64::NAN]),
        ("where(1/y, x, y)", [3.0, 0.0], [1.0, 0.0]),
    ] {
        let (_, found) = gradient(text, &["x", "y"], &point);
        let same = found.iter().zip(&expected).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
        assert!(same, "{text} at {point:?}: {found:?} for {expected:?}");
    }
}

#[test]
fn the_branch_not_taken_has_no_derivative() {
    for (text, x, expected) in [
        ("where(x > 0, sqrt(x), 0)", -1.0, 0.0),
        ("where(x > 0, sqrt(x), 2*x)", 0.0, 2.0),
        ("where(x > 0, x*log(x), 0)", 0.0, 0.0),
        ("where(x > 0, 1/x, x)", 0.0, 1.0),
        ("sqrt(where(x > 0, x, 0))", -1.0, 0.0),
        ("log(where(x > 1, x, 1))", -1.0, 0.0),
        ("min(sqrt(x), -1)", 0.0, 0.0),
    ] {
        assert_eq!(gradient(text, &["x"], &[x]).1, [expected], "{text}");
    }
    // An infinite derivative that is taken is not hidden: sqrt(x)*sqrt(x) is 0 * inf at 0.
    assert_eq!(gradient("sqrt(x)", &["x"], &[0.0]).1, [f64::INFINITY]);
    assert!(gradient("sqrt(x)*sqrt(x)", &["x"], &[0.0]).1[0].is_nan());
}

#[test]
fn tails_keep_their_relative_accuracy() {
    let (_, d) = gradient("tanh(x)", &["x"], &[25.0]);
    assert!((d[0] / (4.0 * (-50.0f64).exp()) - 1.0).abs() < 1e-13);
    let (_, d) = gradient("expm1(x)", &["x"], &[-60.0]);
    assert!((d[0] / (-60.0f64).exp() - 1.0).abs() < 1e-15);
    let (_, d) = gradient("atan2(y, x)", &["x", "y"], &[3e-200, 4e-200]);
    assert!((d[0] / -1.6e199 - 1.0).abs() < 1e-14 && (d[1] / 1.2e199 - 1.0).abs() < 1e-14);
}

#[test]
fn chosen_variables_come_in_the_chosen_order() {
    let f = Formula::parse("x + 10*y + 100*z", &["x", "y", "z"]).unwrap();
    let n = 70;
    let x = vec![1.0; n];
    let mut out = vec![0.0; n];
    let mut grads = crate::points::PointBlock::zeros(3, n);
    f.eval_gradient_block(&[&x, &x, &[1.0]], &[2, 0, 2], &mut out, grads.as_mut());
    assert_eq!([0, 1, 2].map(|i| grads.coord(i)[n - 1]), [100.0, 1.0, 100.0]);
    assert!(out.iter().all(|&v| v == 111.0));
}
