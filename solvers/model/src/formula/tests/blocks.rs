//! Blocks: any length, broadcast variables, checked evaluation.

use crate::formula::{Formula, FormulaError};
use crate::points::PointBlock;

const TEXT: &str = "-0.7*x + sin(y)*exp(-x**2/2) + t*x**3 + exp(-t)*where(x > y, min(x, y)**2, hypot(x, y))";

fn formula() -> Formula {
    Formula::parse(TEXT, &["t", "x", "y"]).unwrap()
}

fn direct(t: f64, x: f64, y: f64) -> f64 {
    let last = if x > y { x.min(y).powi(2) } else { x.hypot(y) };
    -0.7 * x + y.sin() * (-x * x / 2.0).exp() + t * x.powi(3) + (-t).exp() * last
}

fn sample(n: usize, seed: f64) -> Vec<f64> {
    (0..n).map(|j| 2.0 * ((j as f64 + 1.0) * seed).sin()).collect()
}

#[test]
fn every_length_and_every_cut_gives_the_same_bits() {
    let f = formula();
    for n in [0, 1, 2, 63, 64, 65, 128, 1000] {
        let (t, x, y) = (sample(n, 0.37), sample(n, 1.1), sample(n, 2.3));
        let mut out = vec![f64::NAN; n];
        f.eval_block(&[&t, &x, &y], &mut out);
        for j in 0..n {
            assert_eq!(out[j], f.eval_scalar(&[t[j], x[j], y[j]]));
            assert!((out[j] - direct(t[j], x[j], y[j])).abs() < 1e-14 * (1.0 + out[j].abs()));
        }
        let cut = n / 3;
        let mut parts = vec![f64::NAN; n];
        let (head, tail) = parts.split_at_mut(cut);
        f.eval_block(&[&t[..cut], &x[..cut], &y[..cut]], head);
        f.eval_block(&[&t[cut..], &x[cut..], &y[cut..]], tail);
        assert_eq!(out, parts);
    }
}

#[test]
fn a_broadcast_variable_is_the_same_as_a_filled_one() {
    let f = formula();
    let n = 150;
    let (x, y) = (sample(n, 1.1), sample(n, 2.3));
    for (t, y) in [(vec![0.6], y.clone()), (vec![0.6], vec![0.4])] {
        let filled = |v: &Vec<f64>| if v.len() == 1 { vec![v[0]; n] } else { v.clone() };
        let (full_t, full_y) = (filled(&t), filled(&y));
        let (mut a, mut b) = (vec![0.0; n], vec![0.0; n]);
        let (mut ga, mut gb) = (PointBlock::zeros(3, n), PointBlock::zeros(3, n));
        f.eval_block(&[&t, &x, &y], &mut a);
        f.eval_block(&[&full_t, &x, &full_y], &mut b);
        assert_eq!(a, b);
        f.eval_gradient_block(&[&t, &x, &y], &[2, 0, 1], &mut a, ga.as_mut());
        f.eval_gradient_block(&[&full_t, &x, &full_y], &[2, 0, 1], &mut a, gb.as_mut());
        assert_eq!(ga, gb);
        assert_eq!(a, b);
        assert!(ga.coord(1).iter().zip(&x).all(|(g, x)| (g - x.powi(3)).abs() < 6.0)); // d/dt, not another one
    }
}

#[test]
fn formulas_of_time_alone_and_of_nothing_fill_the_block() {
    for (text, expected) in [("2*t", 3.0), ("7", 7.0)] {
        let f = Formula::parse(text, &["t"]).unwrap();
        let mut out = [0.0; 100];
        let mut grads = PointBlock::zeros(1, 100);
        f.eval_gradient_block(&[&[1.5]], &[0], &mut out, grads.as_mut());
        assert_eq!(out, [expected; 100]);
        assert_eq!(grads.data(), [if text == "7" { 0.0 } else { 2.0 }; 100]);
        f.eval_block(&[&[1.5]], &mut out[..3]);
        assert_eq!(out[..3], [expected; 3]);
    }
}

#[test]
fn the_first_point_that_is_not_finite_is_named() {
    let f = Formula::parse("t/x0", &["t", "x0"]).unwrap();
    let mut out = [0.0; 100];
    let mut x = vec![1.0; 100];
    assert_eq!(f.eval_checked(&[&[2.0], &x], &mut out), Ok(()));
    x[71] = 0.0;
    x[90] = f64::NAN;
    let error = f.eval_checked(&[&[2.0], &x], &mut out).unwrap_err();
    assert_eq!(
        error,
        FormulaError::NotFinite {
            formula: "t/x0".to_string(),
            quantity: "the value".to_string(),
            point: vec![("t".to_string(), 2.0), ("x0".to_string(), 0.0)],
            value: f64::INFINITY,
        }
    );
    assert_eq!(error.to_string(), "formula `t/x0`: the value is inf at t = 2, x0 = 0");
    assert!(matches!(f.check_finite(&[&[2.0], &x], &out), Err(FormulaError::NotFinite { .. })));
    let never = Formula::parse("log(-1)", &[]).unwrap().eval_checked(&[], &mut out).unwrap_err();
    assert!(never.to_string().ends_with("NaN at every point (it has no variables)"), "{never}");
}

#[test]
fn a_derivative_that_is_not_finite_is_named() {
    let f = Formula::parse("sqrt(x) + y", &["x", "y"]).unwrap();
    let (mut out, mut grads) = ([0.0; 3], PointBlock::zeros(2, 3));
    let y = [1.0, 2.0, 3.0];
    let error = f.eval_gradient_checked(&[&[4.0, 0.0, -1.0], &y], &[1, 0], &mut out, grads.as_mut()).unwrap_err();
    assert_eq!(error.to_string(), "formula `sqrt(x) + y`: the derivative in x is inf at x = 0, y = 2");
    let error = f.eval_gradient_checked(&[&[4.0, -1.0, 0.0], &y], &[1, 0], &mut out, grads.as_mut()).unwrap_err();
    assert_eq!(error.to_string(), "formula `sqrt(x) + y`: the value is NaN at x = -1, y = 2");
    assert_eq!(f.eval_gradient_checked(&[&[4.0], &y], &[1, 0], &mut out, grads.as_mut()), Ok(()));
    assert_eq!(grads.data(), [1.0, 1.0, 1.0, 0.25, 0.25, 0.25]);
}

#[test]
fn lengths_that_do_not_fit_are_errors() {
    let f = Formula::parse("x + y", &["x", "y"]).unwrap();
    let mut out = [0.0; 3];
    let text = |r: Result<(), FormulaError>| r.unwrap_err().to_string();
    assert_eq!(
        text(f.eval_checked(&[&[1.0]], &mut out)),
        "formula `x + y`: the list of values has length 1; 2 (one per variable) expected"
    );
    assert_eq!(
        text(f.eval_checked(&[&[1.0], &[1.0, 2.0]], &mut out)),
        "formula `x + y`: variable y has length 2; 1 or 3 expected"
    );
    let mut grads = PointBlock::zeros(1, 3);
    let vars: [&[f64]; 2] = [&[1.0], &[2.0]];
    assert!(text(f.eval_gradient_checked(&vars, &[2], &mut out, grads.as_mut())).contains("place 2"));
    assert!(text(f.eval_gradient_checked(&vars, &[0, 1], &mut out, grads.as_mut())).contains("(coordinates) has length 1; 2"));
    assert!(text(f.eval_gradient_checked(&vars, &[0], &mut out[..2], grads.as_mut())).contains("(points) has length 3; 2"));
    assert_eq!(f.eval_gradient_checked(&vars, &[], &mut out, PointBlock::zeros(0, 3).as_mut()), Ok(()));
    assert_eq!(out, [3.0; 3]);
}

#[test]
#[should_panic(expected = "variable y")]
fn the_unchecked_evaluation_does_not_read_past_a_short_variable() {
    let f = Formula::parse("x", &["x", "y"]).unwrap();
    f.eval_block(&[&[1.0, 2.0, 3.0], &[1.0, 2.0]], &mut [0.0; 3]);
}
