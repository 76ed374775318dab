//! Formulas against closures, shapes, errors and faults.

use super::*;
use crate::diffusion::{ControlCost, ControlSet, ControlledDiffusion, MatrixCoefficient};
use crate::error::ModelError;
use crate::points::{PointBlock, Points, PointsMut};

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| s.to_string()).collect()
}

fn rows(list: &[&[&str]]) -> MatrixFormula {
    MatrixFormula::Rows(list.iter().map(|r| texts(r)).collect())
}

fn plane() -> DiffusionFormulas {
    DiffusionFormulas {
        parameters: vec![("kappa".into(), 5.0), ("s".into(), 0.5)],
        drift: texts(&["-4*kappa*x0*(x0**2 - 1) + t", "x0*x1"]),
        control_matrix: rows(&[&["1", "0", "x1"], &["0", "2*s", "t"]]),
        diffusion: rows(&[&["s", "0"], &["0*s", "1/2"]]),
        running: Some("x0**2 + kappa".into()),
        cost: CostFormula::General("abs(u0) + s*u2**2*x1".into()),
        controls: Some(ControlSet::Box { lower: vec![-1.0; 3], upper: vec![1.0; 3] }),
        terminal: Some("t + x1".into()),
        horizon: 2.0,
        discount: 0.25,
    }
}

fn points() -> PointBlock {
    PointBlock::from_points(2, &[[0.5, -1.0], [2.0, 3.0], [-0.25, 0.0]]).unwrap()
}

#[test]
fn every_coefficient_is_the_formula() {
    let model = FormulaDiffusion::new(&plane()).unwrap();
    assert_eq!((model.dim(), model.control_dim(), model.noise_dim()), (2, 3, 2));
    assert_eq!((model.horizon(), model.discount(), model.control_cost()), (2.0, 0.25, ControlCost::General));
    let x = points();
    let at = model.at(0.5);
    let mut f = PointBlock::zeros(2, 3);
    at.drift(x.as_points(), f.as_mut());
    let mut l = [0.0; 3];
    at.running_reward(x.as_points(), &mut l);
    let mut g = [0.0; 3];
    model.terminal_reward(x.as_points(), &mut g);
    let v = PointBlock::from_points(3, &[[0.5, 0.0, 1.0], [-1.0, 9.0, 0.5], [0.0, 0.0, 0.0]]).unwrap();
    let mut c = [0.0; 3];
    at.control_cost(x.as_points(), v.as_points(), &mut c);
    let MatrixCoefficient::Field(field) = at.control_matrix() else { panic!("a rectangular matrix is a field") };
    let mut matrix = PointBlock::zeros(6, 3);
    field.eval(x.as_points(), matrix.as_mut());
    for j in 0..3 {
        let (a, b) = (x.coord(0)[j], x.coord(1)[j]);
        let (u0, u2) = (v.coord(0)[j], v.coord(2)[j]);
        assert!((f.coord(0)[j] - (-20.0 * a * (a * a - 1.0) + 0.5)).abs() < 1e-12);
        assert!((f.coord(1)[j] - a * b).abs() < 1e-12);
        assert!((l[j] - (a * a + 5.0)).abs() < 1e-12);
        assert_eq!(g[j], 2.0 + b, "t is the horizon in the terminal reward");
        assert!((c[j] - (u0.abs() + 0.5 * u2 * u2 * b)).abs() < 1e-12);
        let entries: Vec<f64> = (0..6).map(|k| matrix.coord(k)[j]).collect();
        assert_eq!(entries, [1.0, 0.0, b, 0.0, 1.0, 0.5]);
    }
    // constants make a multiple of the identity
    assert!(matches!(at.diffusion(), MatrixCoefficient::Scaled(0.5)));
    assert!(model.fault().is_none());
}

#[test]
fn multiples_of_the_identity_are_recognised() {
    let scaled = |formula: MatrixFormula, t: f64| {
        let model = FormulaDiffusion::new(&DiffusionFormulas { diffusion: formula, ..plane() }).unwrap();
        let at = model.at(t);
        match at.diffusion() {
            MatrixCoefficient::Scaled(s) => Some(s),
            MatrixCoefficient::Field(_) => None,
        }
    };
    assert_eq!(scaled(MatrixFormula::default(), 1.0), Some(1.0));
    assert_eq!(scaled(MatrixFormula::Multiple("s*(1 + t)".into()), 1.0), Some(1.0));
    assert_eq!(scaled(rows(&[&["1 + t", "0"], &["0", "1 + t"]]), 2.0), Some(3.0));
    assert_eq!(scaled(rows(&[&["1 + t", "t"], &["0", "1 + t"]]), 2.0), None);
    assert_eq!(scaled(rows(&[&["1", "0"], &["0", "2"]]), 2.0), None);
    assert_eq!(scaled(MatrixFormula::Multiple("x0".into()), 1.0), None);
    // a multiple that varies in space is that multiple on the diagonal
    let model = FormulaDiffusion::new(&DiffusionFormulas { diffusion: MatrixFormula::Multiple("x0".into()), ..plane() }).unwrap();
    let at = model.at(0.0);
    let MatrixCoefficient::Field(field) = at.diffusion() else { panic!("varies in space") };
    let mut out = [9.0; 12];
    field.eval(points().as_points(), PointsMut::new(&mut out, 4));
    assert_eq!(out, [0.5, 2.0, -0.25, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 2.0, -0.25]);
}

#[test]
fn no_control_has_dimension_zero() {
    let formulas =
        DiffusionFormulas { controls: None, control_matrix: MatrixFormula::default(), cost: CostFormula::default(), ..plane() };
    let model = FormulaDiffusion::new(&formulas).unwrap();
    assert_eq!((model.control_dim(), model.control_cost()), (0, ControlCost::Quadratic));
}

#[track_caller]
fn refused(change: impl FnOnce(&mut DiffusionFormulas), needed: &[&str]) {
    let mut formulas = plane();
    change(&mut formulas);
    let message = match FormulaDiffusion::new(&formulas) {
        Ok(_) => panic!("accepted; expected an error with {needed:?}"),
        Err(e) => e.to_string(),
    };
    for part in needed {
        assert!(message.contains(part), "{part} is not in {message}");
    }
}

#[test]
fn errors_name_the_field_and_the_column() {
    refused(|f| f.drift[1] = "x0 + ".into(), &["drift[1]", "column 6"]);
    refused(|f| f.drift[0] = "kapa*x0".into(), &["drift[0]", "column 1", "kapa", "did you mean `kappa`"]);
    refused(|f| f.drift[0] = "x0 + x2".into(), &["drift[0]", "column 6", "x2", "x0 to x1"]);
    refused(|f| f.drift[0] = "x0 + u0".into(), &["drift[0]", "u0", "control_cost"]);
    refused(|f| f.running = Some("u1**2".into()), &["running", "u1", "control_cost"]);
    refused(|f| f.cost = CostFormula::General("u3".into()), &["control_cost", "u3", "u0 to u2"]);
    refused(|f| f.control_matrix = rows(&[&["1", "0"], &["0"]]), &["control_matrix[1]", "1 entries", "2 expected"]);
    refused(|f| f.control_matrix = rows(&[&["1"]]), &["control_matrix", "1 entries", "2 expected"]);
    refused(|f| f.diffusion = rows(&[&["1", "q"], &["0", "1"]]), &["diffusion[0][1]", "q"]);
    refused(|f| f.drift.clear(), &["drift"]);
    refused(|f| f.horizon = f64::NAN, &["horizon", "NaN"]);
    refused(|f| f.discount = -1.0, &["discount", "-1"]);
    refused(|f| f.parameters[0].1 = f64::INFINITY, &["parameters.kappa", "inf"]);
    refused(|f| f.parameters[0].0 = "x1".into(), &["parameters.x1"]);
    refused(|f| f.parameters[0].0 = "exp".into(), &["parameters.exp"]);
    refused(|f| f.parameters[1].0 = "kappa".into(), &["parameters.kappa", "twice"]);
    refused(|f| f.controls = Some(ControlSet::Free), &["control_cost", "bounded"]);
    refused(|f| f.controls = None, &["control_cost", "no control"]);
    refused(
        |f| f.controls = Some(ControlSet::Box { lower: vec![0.0, 2.0, 0.0], upper: vec![1.0; 3] }),
        &["controls.upper[1]", "controls.lower[1]"],
    );
    refused(|f| f.controls = Some(ControlSet::Finite { controls: vec![] }), &["controls.values"]);
    refused(|f| f.controls = Some(ControlSet::Finite { controls: vec![vec![0.0; 2]] }), &["controls.values[0]", "3 expected"]);
    // only the names that may stand in a formula are offered, and the control's place is said
    let message = |change: &dyn Fn(&mut DiffusionFormulas)| {
        let mut formulas = plane();
        change(&mut formulas);
        FormulaDiffusion::new(&formulas).map(|_| ()).unwrap_err().to_string()
    };
    let unknown = message(&|f| f.drift[0] = "y".into());
    assert!(unknown.contains("t, x0, x1, kappa, s") && !unknown.contains("u0"), "{unknown}");
    let unknown = message(&|f| f.cost = CostFormula::General("u0 + y".into()));
    assert!(unknown.contains("x1, u0, u1, u2, kappa"), "{unknown}");
    refused(|f| f.drift[0] = "x0 + u1".into(), &["drift[0]", "u1 is the control", "control_matrix"]);
    refused(|f| f.drift[0] = "x0 + u".into(), &["drift[0]", "column 6", "u is the control", "control_matrix"]);
    refused(|f| f.running = Some("v**2".into()), &["running", "v is the control", "control_cost"]);
    refused(|f| f.cost = CostFormula::General("u**2".into()), &["control_cost", "the control is u0 to u2"]);
    // a constant that is not finite is found without a point
    refused(|f| f.running = Some("kappa/(s - s)".into()), &["running", "kappa/(s - s)", "inf", "kappa = 5"]);
}

#[test]
fn a_fault_names_formula_and_point_whatever_the_blocks() {
    let message = |blocks: &[std::ops::Range<usize>]| {
        let drift = texts(&["1/(x0 - 2)", "log(x0 + kappa*0)"]);
        let model = FormulaDiffusion::new(&DiffusionFormulas { drift, ..plane() }).unwrap();
        let at = model.at(0.5);
        let x = points();
        for block in blocks {
            let mut out = vec![0.0; 2 * block.len()];
            at.drift(x.as_points().window(block.clone()), PointsMut::new(&mut out, 2));
        }
        let error = model.fault().unwrap();
        assert!(matches!(&error, ModelError::Formula { field, .. } if field == "drift[0]"), "{error}");
        model.clear_fault();
        assert!(model.fault().is_none());
        error.to_string()
    };
    let all = message(std::slice::from_ref(&(0..3)));
    for part in ["drift[0]", "1/(x0 - 2)", "inf", "t = 0.5", "x0 = 2", "x1 = 3"] {
        assert!(all.contains(part), "{part} is not in {all}");
    }
    assert!(!all.contains("kappa"), "only what the formula uses: {all}");
    assert_eq!(all, message(&[2..3, 1..2, 0..1]));
    assert_eq!(all, message(&[0..2, 2..3]));
}

#[test]
fn faults_of_time_of_the_control_and_of_further_formulas() {
    let x = points();
    let model =
        FormulaDiffusion::new(&DiffusionFormulas { diffusion: MatrixFormula::Multiple("1/t".into()), ..plane() }).unwrap();
    assert!(matches!(model.at(2.0).diffusion(), MatrixCoefficient::Scaled(0.5)));
    assert!(model.fault().is_none());
    let _ = model.at(0.0).diffusion();
    let fault = model.fault().unwrap().to_string();
    assert!(fault.contains("diffusion") && fault.contains("1/t") && fault.contains("t = 0"), "{fault}");

    let cost = CostFormula::General("1/u0 + x0".into());
    let model = FormulaDiffusion::new(&DiffusionFormulas { cost, ..plane() }).unwrap();
    let mut out = [0.0; 3];
    model.at(0.0).control_cost(x.as_points(), PointBlock::zeros(3, 3).as_points(), &mut out);
    let fault = model.fault().unwrap().to_string();
    assert!(fault.contains("control_cost") && fault.contains("u0 = 0") && fault.contains("x0 = -0.25"), "{fault}");

    let model = FormulaDiffusion::new(&plane()).unwrap();
    let psi = model.field("obstacle", "sqrt(x0)").unwrap();
    psi.eval(0.0, Points::new(&[4.0, 1.0], 2), &mut out[..1]);
    assert_eq!((out[0], model.fault().is_none()), (2.0, true));
    psi.eval(0.0, x.as_points(), &mut out);
    assert!(model.fault().unwrap().to_string().starts_with("obstacle"));
    assert!(model.field("obstacle", "u0").is_err());
}

#[test]
fn formula_and_closure_agree_in_cost_of_blocks() {
    // one point at a time gives the same bits as a block: 64 lanes and their remainder
    let model = FormulaDiffusion::new(&plane()).unwrap();
    let n = 131;
    let mut x = PointBlock::zeros(2, n);
    for j in 0..n {
        x.as_mut().set_point(j, &[(j as f64 * 0.37).sin(), (j as f64 * 0.11).cos()]);
    }
    let at = model.at(0.3);
    let mut all = PointBlock::zeros(2, n);
    at.drift(x.as_points(), all.as_mut());
    for j in 0..n {
        let mut one = [0.0; 2];
        at.drift(x.as_points().window(j..j + 1), PointsMut::new(&mut one, 2));
        assert_eq!(one, [all.coord(0)[j], all.coord(1)[j]]);
    }
}
