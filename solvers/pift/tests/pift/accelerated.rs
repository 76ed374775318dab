//! Anderson acceleration, the rule that stops below the step, and the rates that are reported.

use crate::problems::{exact_lq, line, mixture, plane_lq, schedule, sup_gap};
use hjbridge_model::{Axis, FineTuning, GaussianMixture, InitialLaw, KlWeight, Region, Reward, TensorGrid};
use hjbridge_pift::{Ddpm, DdpmParams, Inner, InnerRule, PiFt, PiFtError, PiFtParams};
use std::sync::Arc;

/// Standard normal prior, r = -x^2, one step: lam K = 1.8, beyond the plain iteration.
fn long_step() -> FineTuning {
    let a = (-schedule().integral(0.0, 2.0)).exp();
    let beta = (1.0 - a) * 2.0 / 1.8;
    let prior = GaussianMixture::standard_normal(1).unwrap();
    let reward = Reward::quadratic(&[vec![2.0]], vec![0.0], 0.0).unwrap();
    FineTuning::new(schedule(), prior, reward, KlWeight::constant(beta).unwrap(), InitialLaw::StandardNormal).unwrap()
}

#[test]
fn anderson_ends_after_d_plus_one_updates_where_the_step_is_linear() {
    let rule = InnerRule::Tolerance { tol: 1e-9, max: 20 };
    for (dim, problem) in [(1, long_step()), (2, plane_lq())] {
        let chain = Ddpm::new(&problem, DdpmParams { steps: 1, ..Default::default() }).unwrap();
        let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-4.0, 4.0, 17).unwrap(); dim]).unwrap());
        let exact = exact_lq(&problem, &chain, false);
        let params = PiFtParams { inner: Inner::Anderson { depth: 4 }, rule, ..Default::default() };
        let solution = PiFt::new(&chain, grid.clone(), params).unwrap().solve().unwrap();
        let step = &solution.info.steps[0];
        assert_eq!((step.method, step.iterations), ("anderson", dim + 1), "d = {dim}: {step:?}");
        assert!(step.rho > 0.8, "the plain iteration is slow or diverges here: {}", step.rho);
        let (gain, offset) = &exact.shifts[0];
        let points = grid.points();
        for j in 0..grid.len() {
            for i in 0..dim {
                let d = offset[i] + (0..dim).map(|c| gain[(i, c)] * points.coord(c)[j]).sum::<f64>();
                assert!((d - solution.shifts[0][i * grid.len() + j]).abs() < 1e-8, "d = {dim}");
            }
        }
    }
}

#[test]
fn depth_zero_is_damped() {
    let problem = mixture();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 8, ..Default::default() }).unwrap();
    let solve =
        |inner| PiFt::new(&chain, line(-6.0, 6.0, 201), PiFtParams { inner, ..Default::default() }).unwrap().solve().unwrap();
    let (a, b) = (solve(Inner::Anderson { depth: 0 }), solve(Inner::Damped));
    assert!(a.values == b.values, "the same bits");
    assert!(a.info.steps.iter().zip(&b.info.steps).all(|(a, b)| a.iterations == b.iterations && a.rate == b.rate));
}

#[test]
fn the_four_iterations_agree_and_report_their_rates() {
    let problem = mixture();
    let grid = line(-6.0, 6.0, 401);
    let chain = Ddpm::new(&problem, DdpmParams { steps: 16, ..Default::default() }).unwrap();
    let solve = |inner| {
        let rule = InnerRule::Tolerance { tol: 1e-11, max: 300 };
        PiFt::new(&chain, grid.clone(), PiFtParams { inner, rule, ..Default::default() }).unwrap().solve().unwrap()
    };
    let [damped, anderson, newton] = [Inner::Damped, Inner::Anderson { depth: 2 }, Inner::Newton].map(solve);
    for other in [&anderson, &newton] {
        for k in 0..16 {
            assert!(sup_gap(&damped.values[k], &other.values[k], |_| true) < 1e-9);
            assert!(sup_gap(&damped.controls[k], &other.controls[k], |_| true) < 1e-7);
        }
    }
    let total = |s: &hjbridge_pift::PiFtSolution| s.info.steps.iter().map(|s| s.iterations).sum::<usize>();
    println!("updates in 16 steps: damped {}, anderson {}, newton {}", total(&damped), total(&anderson), total(&newton));
    assert!(total(&anderson) < total(&damped));
    for k in 0..16 {
        let [d, a, n] = [&damped, &anderson, &newton].map(|s| s.info.steps[k].rate.unwrap());
        assert!(a < d && n < d && d < 1.0, "k = {k}: rates damped {d}, anderson {a}, newton {n}");
    }
}

#[test]
fn below_the_step_stops_early_and_keeps_its_bound() {
    let problem = mixture();
    let grid = line(-6.0, 6.0, 401);
    let solve = |steps, rule, inner| {
        let chain = Ddpm::new(&problem, DdpmParams { steps, ..Default::default() }).unwrap();
        let params = PiFtParams { rule, inner, track: true, region: Region::cube(1, 5.0).ok(), ..Default::default() };
        PiFt::new(&chain, grid.clone(), params).unwrap().solve().unwrap()
    };
    let mut gaps = Vec::new();
    for steps in [32, 64, 128] {
        let best = solve(steps, InnerRule::default(), Inner::Auto);
        for inner in [Inner::Plain, Inner::Damped, Inner::Newton, Inner::Anderson { depth: 1 }] {
            let early = solve(steps, InnerRule::BelowStep { max: 50 }, inner);
            for s in &early.info.steps {
                // u* of the same step, against the same V_{k+1}
                let last = s.iterates.last().unwrap();
                assert!(last.control_gap <= s.error_bound * (1.0 + 1e-9) + 1e-9, "{inner:?}, k = {}: {last:?}", s.k);
                assert!(s.iterations <= 4, "{inner:?}, k = {}: {}", s.k, s.iterations);
            }
            if inner == Inner::Plain {
                gaps.push((0..steps).fold(0.0, |m: f64, k| m.max(sup_gap(&best.values[k], &early.values[k], |_| true))));
            }
        }
    }
    println!("cost of stopping early in V: {gaps:?}");
    // The gap to the continuous problem is 2.6e-2 / 1.4e-2 / 7e-3 for these N.
    assert!(gaps[0] < 2.6e-4 && gaps[2] < 7e-5, "{gaps:?}");
    // and the cost falls faster than that gap, which halves
    assert!(gaps.windows(2).all(|g| g[0] > 6.0 * g[1]), "{gaps:?}");
    let zero = solve_error(InnerRule::BelowStep { max: 0 });
    assert!(zero.to_string().starts_with("rule.below_step.max = 0"), "{zero}");
}

fn solve_error(rule: InnerRule) -> PiFtError {
    let problem = long_step();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 1, ..Default::default() }).unwrap();
    let params = PiFtParams { inner: Inner::Plain, rule, ..Default::default() };
    match PiFt::new(&chain, line(-4.0, 4.0, 41), params) {
        Err(e) => e,
        Ok(solver) => solver.solve().err().unwrap(),
    }
}

#[test]
fn no_rule_loops_where_the_plain_iteration_diverges() {
    for rule in [InnerRule::default(), InnerRule::Tolerance { tol: 1e-6, max: 1_000_000 }] {
        match solve_error(rule) {
            PiFtError::NoConvergence { method: "plain", rho, iterations, .. } => {
                assert!((rho - 1.8).abs() < 1e-9 && iterations <= 50);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_value_gap_is_the_square_of_the_control_gap() {
    let problem = mixture();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 16, ..Default::default() }).unwrap();
    for rule in [InnerRule::Tolerance { tol: 1e-11, max: 100 }, InnerRule::Fixed(4)] {
        let params = PiFtParams { inner: Inner::Plain, rule, track: true, ..Default::default() };
        let info = PiFt::new(&chain, line(-6.0, 6.0, 801), params).unwrap().solve().unwrap().info;
        let mut seen = 0;
        for s in &info.steps {
            let Some(exponent) = s.value_exponent else { continue };
            assert!((exponent - 2.0).abs() < 0.15, "k = {}: {exponent}", s.k);
            seen += 1;
            for pair in s.iterates.windows(2).filter(|p| p[1].control_gap > 1e-7) {
                assert!(pair[1].control_gap <= s.rho * pair[0].control_gap * (1.0 + 1e-3), "k = {}: {pair:?}", s.k);
            }
            let r = s.regularity.as_ref().unwrap();
            for i in &s.iterates {
                assert!(i.lipschitz_control <= r.control_bound.unwrap() * (1.0 + 1e-6), "k = {}, m = {}", s.k, i.m);
            }
        }
        assert!(seen >= 6, "{seen} steps with a fit");
        let reward = info.reward.unwrap();
        assert!(reward.lipschitz > 1.0 && reward.lipschitz_gradient > 1.0);
    }
}

#[test]
fn a_tolerance_below_rounding_ends_at_rounding() {
    // slopes of a spline through values of size 17 at distance 6e-4 are known to some 1e-11
    let problem = mixture();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 4, ..Default::default() }).unwrap();
    let grid = line(-6.0, 6.0, 20001);
    let solve = |inner, tol| {
        let rule = InnerRule::Tolerance { tol, max: 60 };
        let params = PiFtParams { inner, rule, quadrature_nodes: Some(16), ..Default::default() };
        PiFt::new(&chain, grid.clone(), params).unwrap().solve().unwrap()
    };
    let loose = solve(Inner::Newton, 1e-9);
    for inner in [Inner::Damped, Inner::Newton, Inner::Anderson { depth: 1 }] {
        let tight = solve(inner, 1e-15);
        assert!(tight.info.max_iterations() < 60);
        for k in 0..4 {
            let (v, u) = (
                sup_gap(&loose.values[k], &tight.values[k], |_| true),
                sup_gap(&loose.controls[k], &tight.controls[k], |_| true),
            );
            assert!(v < 1e-11 && u < 1e-7, "{inner:?}, k = {k}: {v:e} {u:e}");
        }
    }
}

#[test]
fn the_bound_of_the_contraction_sees_where_the_kernel_goes() {
    // In |y| <= 0.3 V is flat next to what it is where the shifted kernel lands.
    let problem = mixture();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 24, ..Default::default() }).unwrap();
    for half in [0.1, 0.3, 1.0, 3.0] {
        let region = Region::cube(1, half).ok();
        let params = PiFtParams { inner: Inner::Plain, region, ..Default::default() };
        for s in PiFt::new(&chain, line(-6.0, 6.0, 401), params).unwrap().solve().unwrap().info.steps {
            // the segment between two iterates can be a little steeper than its ends
            assert!(s.contraction.is_none_or(|c| c <= 1.05 * s.rho), "|y| <= {half}, k = {}: {:?} {}", s.k, s.contraction, s.rho);
        }
    }
}
