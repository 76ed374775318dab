//! Values worked out by hand: precedence, functions, domains.

use super::value;
use crate::formula::Formula;

#[test]
fn precedence_and_associativity_are_those_of_python() {
    for (text, expected) in [
        ("-x**2", -9.0),
        ("-x^2", -9.0),
        ("(-x)**2", 9.0),
        ("2**-1", 0.5),
        ("-2**-2", -0.25),
        ("2**3**2", 512.0),
        ("(2**3)**2", 64.0),
        ("2^3^2", 512.0),
        ("2**-1*3", 1.5),
        ("2**-x**2", 2f64.powi(-9)),
        ("+x**2", 9.0),
        ("--x", 3.0),
        ("-+-x", 3.0),
        ("2*-x", -6.0),
        ("x--x", 6.0),
        ("10-4-3", 3.0),
        ("24/4/3", 2.0),
        ("24/4*3", 18.0),
        ("2+x*4", 14.0),
        ("(2+x)*4", 20.0),
        ("2*x**2", 18.0),
        ("6/2**2", 1.5),
        ("not 1 < 2", 0.0),
        ("not 2 < 1", 1.0),
        ("not not x", 1.0),
        ("not x == 3", 0.0),
        ("1 < 2 < x", 1.0),
        ("1 < x < 2", 0.0),
        ("x > 2 > 1", 1.0),
        ("3 > x > 1", 0.0),
        ("1 < 2 == 2", 1.0),
        ("(1 < 2) == 2", 0.0),
        ("3 == x != 2 < 5", 1.0),
        ("1 + 1 < 1 * 3", 1.0),
        ("0 and 0 or 1", 1.0),
        ("1 or 0 and 0", 1.0),
        ("(1 or 0) and 0", 0.0),
        ("not 0 or 1", 1.0),
        ("not (0 or 1)", 0.0),
        ("not 1 and 0", 0.0),
        ("not (1 and 0)", 1.0),
        ("2 and 3", 1.0),
        ("0 or 5", 1.0),
        ("x <= 3 and x >= 3", 1.0),
        ("-x < 0 and not x < 0", 1.0),
        ("(x > 2) + (x > 5)", 1.0),
    ] {
        assert_eq!(value(text, &["x"], &[3.0]), expected, "{text}");
    }
}

#[test]
fn numbers_constants_and_spaces() {
    for (text, expected) in [
        ("1e-3", 1e-3),
        (".5", 0.5),
        ("1.", 1.0),
        ("1.e2", 100.0),
        ("2.5E+1", 25.0),
        ("0.1", 0.1),
        ("123456789.123", 123456789.123),
        ("pi", std::f64::consts::PI),
        ("e", std::f64::consts::E),
        ("2*e", 2.0 * std::f64::consts::E),
        (" \t1\n +\u{a0}1 ", 2.0),
        ("((((7))))", 7.0),
    ] {
        assert_eq!(value(text, &[], &[]), expected, "{text}");
    }
}

#[test]
fn functions_have_their_known_values() {
    // Special values known in closed form; tolerance of some units in the last place.
    let (pi, e) = (std::f64::consts::PI, std::f64::consts::E);
    for (text, expected) in [
        ("sin(pi/6)", 0.5),
        ("cos(pi/3)", 0.5),
        ("tan(pi/4)", 1.0),
        ("asin(1)", pi / 2.0),
        ("acos(-1)", pi),
        ("atan(1)", pi / 4.0),
        ("atan2(1, -1)", 0.75 * pi),
        ("atan2(-1, 0)", -pi / 2.0),
        ("sinh(1)", (e - 1.0 / e) / 2.0),
        ("cosh(1)", (e + 1.0 / e) / 2.0),
        ("tanh(log(2))", 0.6),
        ("exp(1)", e),
        ("log(e)", 1.0),
        ("ln(e**3)", 3.0),
        ("log1p(1e-18)", 1e-18),
        ("expm1(1e-18)", 1e-18),
        ("sqrt(2)**2", 2.0),
        ("abs(-3)", 3.0),
        ("min(3, 1, 2)", 1.0),
        ("max(3, 1, 4, 1, 5)", 5.0),
        ("sign(-2) + 10*sign(0) + 100*sign(7)", 99.0),
        ("floor(-1.5) + 100*ceil(-1.5)", -102.0),
        ("erf(1)", 0.842_700_792_949_714_9),
        ("erf(-0.5)", -0.520_499_877_813_046_5),
        ("hypot(3, 4)", 5.0),
        ("hypot(3e200, 4e200)", 5e200),
        ("pow(2, 10)", 1024.0),
        ("where(2 > 1, 7, 8) + where(0, 7, 8)", 15.0),
        ("2**0.5", std::f64::consts::SQRT_2),
        ("8**(1/3)", 2.0),
        ("(-2)**3", -8.0),
        ("0**0", 1.0),
    ] {
        let found = value(text, &[], &[]);
        assert!((found - expected).abs() <= 4.0 * f64::EPSILON * expected.abs(), "{text}: {found} for {expected}");
    }
}

#[test]
fn powers_agree_with_the_general_one() {
    let f = |n: i32, x: f64| value(&format!("x**{n}"), &["x"], &[x]);
    for n in -20..=20 {
        for x in [-1.7, -0.3, 0.9, 2.5] {
            let exact = f64::powf(x, f64::from(n));
            assert!((f(n, x) / exact - 1.0).abs() < 4e-15, "{x}**{n}");
            let general = value("x**n", &["x", "n"], &[x, f64::from(n)]);
            assert_eq!(general, exact, "{x}**{n}");
        }
    }
}

#[test]
fn undefined_is_nan_and_not_a_branch() {
    for text in ["log(x)", "sqrt(x)", "x**0.3", "asin(x)", "log(x) > 0", "not log(x)", "where(log(x) > 0, 1, 2)"] {
        assert!(value(text, &["x"], &[-2.0]).is_nan(), "{text}");
    }
    for text in ["min(1, log(x))", "min(log(x), 1)", "max(1, log(x))", "max(log(x), 1)", "1 and log(x)", "log(x) and 0"] {
        assert!(value(text, &["x"], &[-2.0]).is_nan(), "{text}");
    }
    // The right side of `and` and `or` counts only when the left one does not decide.
    assert_eq!(value("x > 0 and log(x) < 1", &["x"], &[-2.0]), 0.0);
    assert_eq!(value("x < 0 or log(x) < 1", &["x"], &[-2.0]), 1.0);
}

#[test]
fn the_branch_not_taken_does_not_leak() {
    for (text, expected) in [
        ("where(x > 0, log(x), -1)", -1.0),
        ("where(x <= 0, -1, log(x))", -1.0),
        ("where(x > 0, 1/(x + 2), 5)", 5.0),
        ("where(x > 0, 1/0, 5)", 5.0),
        ("where(x > 0, where(x > 1, sqrt(x), log(x)), where(x < -1, x, sqrt(x)))", -2.0),
        ("0*where(x > 0, log(x), 1) + x", -2.0),
    ] {
        assert_eq!(value(text, &["x"], &[-2.0]), expected, "{text}");
        let formula = Formula::parse(text, &["x"]).unwrap();
        let mut out = [0.0];
        assert_eq!(formula.eval_checked(&[&[-2.0]], &mut out), Ok(()), "{text}");
    }
}

#[test]
fn what_a_formula_says_of_itself() {
    let text = " x1 + where(1, t, x0)*0 ";
    let f = Formula::parse(text, &["t", "x0", "x1", "x2"]).unwrap();
    assert_eq!((f.to_string().as_str(), f.text()), (text, text));
    // x0 occurs although no value depends on it.
    assert_eq!(["t", "x0", "x1", "x2", "y"].map(|v| f.uses(v)), [true, true, true, false, false]);
    assert!(f.uses_index(1) && !f.uses_index(3) && !f.uses_index(4) && !f.uses_index(1000));
    assert_eq!(f.variables(), ["t", "x0", "x1", "x2"]);
    assert_eq!(f.constant(), None);
    assert_eq!(Formula::parse("2*pi + (1 < 2)", &["x"]).unwrap().constant(), Some(2.0 * std::f64::consts::PI + 1.0));
}
