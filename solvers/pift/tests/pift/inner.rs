//! The inner iterations where they differ: long steps, ill-posed steps, slow ones.

use crate::problems::{exact_lq, line, mixture, plane_lq, schedule, sup_gap};
use hjbridge_model::{
    Axis, FineTuning, GaussianMixture, InitialLaw, KlWeight, Points, PointsMut, PointwiseFeedback, Reward, ScalarField,
    TensorGrid,
};
use hjbridge_pift::{
    BellmanKind, Ddpm, DdpmParams, DdpmParts, Inner, InnerRule, PiFt, PiFtError, PiFtParams, Storage, VarianceRule,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Standard normal prior, so m(y) = sqrt(a) y, with r = -curvature x^2/2 and one step with sig^2 = 1-a: lam K = 1.8.
fn long_step() -> FineTuning {
    let a = (-schedule().integral(0.0, 2.0)).exp();
    let beta = (1.0 - a) * 2.0 / 1.8;
    let prior = GaussianMixture::standard_normal(1).unwrap();
    let reward = Reward::quadratic(&[vec![2.0]], vec![0.0], 0.0).unwrap();
    FineTuning::new(schedule(), prior, reward, KlWeight::constant(beta).unwrap(), InitialLaw::StandardNormal).unwrap()
}

fn one_step(problem: &FineTuning, params: PiFtParams) -> Result<hjbridge_pift::PiFtSolution, PiFtError> {
    let chain = Ddpm::new(problem, DdpmParams { steps: 1, ..Default::default() }).unwrap();
    PiFt::new(&chain, line(-4.0, 4.0, 41), params).unwrap().solve()
}

#[test]
fn plain_diverges_on_a_long_concave_step_and_the_others_do_not() {
    let problem = long_step();
    let a = (-schedule().integral(0.0, 2.0)).exp();
    let nodes: Vec<f64> = line(-4.0, 4.0, 41).axis(0).nodes().to_vec();
    let per_mean = |shifts: &[f64], j: usize| shifts[j] / (a.sqrt() * nodes[j]);
    for (m, expected) in [(1, -1.8), (2, 1.44), (3, -4.392)] {
        let params = PiFtParams { inner: Inner::Plain, rule: InnerRule::Fixed(m), ..Default::default() };
        let shifts = &one_step(&problem, params).unwrap().shifts[0];
        assert!((per_mean(shifts, 30) - expected).abs() < 1e-9, "m = {m}: {}", per_mean(shifts, 30));
    }
    match one_step(&problem, PiFtParams { inner: Inner::Plain, ..Default::default() }) {
        Err(PiFtError::NoConvergence { step: 0, method: "plain", contraction, rho, .. }) => {
            assert!((contraction - 1.8).abs() < 1e-6 && (rho - 1.8).abs() < 1e-9, "{contraction}, {rho}");
        }
        other => panic!("plain must report its divergence, not {other:?}"),
    }
    for (inner, method) in [(Inner::Damped, "damped"), (Inner::Newton, "newton"), (Inner::Auto, "newton")] {
        let solution = one_step(&problem, PiFtParams { inner, ..Default::default() }).unwrap();
        assert_eq!(solution.info.steps[0].method, method);
        for j in (0..41).filter(|&j| j != 20) {
            assert!((per_mean(&solution.shifts[0], j) + 1.8 / 2.8).abs() < 1e-9, "{inner:?} at node {j}");
        }
    }
    // A quadratic has one curvature: w = 2/(2 + 1.8) leaves the factor 1 - 2.8 w = -0.4737 for the spectrum [0, -1.8].
    let damped = one_step(&problem, PiFtParams { inner: Inner::Damped, ..Default::default() }).unwrap();
    let info = &damped.info.steps[0];
    assert!((info.damping.unwrap() - 2.0 / 3.8).abs() < 1e-9);
    assert!((info.contraction.unwrap() - (2.8 * 2.0 / 3.8 - 1.0)).abs() < 1e-6, "{info:?}");
}

#[test]
fn convex_side_beyond_one_is_ill_posed() {
    // Q = -0.8 beta keeps the continuous problem well-posed (1 - 0.8 > 0), the variance (1-a)/a of one long step does not.
    let prior = GaussianMixture::standard_normal(1).unwrap();
    let reward = Reward::quadratic(&[vec![-0.4]], vec![0.3], 0.0).unwrap();
    let problem =
        FineTuning::new(schedule(), prior, reward, KlWeight::constant(0.5).unwrap(), InitialLaw::StandardNormal).unwrap();
    let chain = |variance| Ddpm::new(&problem, DdpmParams { steps: 1, variance, ..Default::default() }).unwrap();
    let long = chain(VarianceRule::OverAlpha);
    let expected = long.variances()[0] * 0.8;
    for (inner, bellman) in [
        (Inner::Plain, BellmanKind::MeanShift),
        (Inner::Damped, BellmanKind::MeanShift),
        (Inner::Newton, BellmanKind::MeanShift),
        (Inner::Auto, BellmanKind::MeanShift),
        (Inner::Auto, BellmanKind::Soft),
    ] {
        let params = PiFtParams { inner, bellman, ..Default::default() };
        match PiFt::new(&long, line(-4.0, 4.0, 41), params).unwrap().solve() {
            Err(error @ PiFtError::IllPosed { step: 0, beta: 0.5, .. }) => {
                assert!(error.to_string().contains("raise kl_weight"), "{error}");
                let PiFtError::IllPosed { lam_times_curvature, .. } = error else { return };
                assert!((lam_times_curvature / expected - 1.0).abs() < 1e-9, "{lam_times_curvature}, not {expected}");
            }
            other => panic!("{inner:?} {bellman:?}: {other:?}"),
        }
    }
    // sig^2 = 1-a: lam times the curvature is 0.776, fine.
    let short = chain(VarianceRule::OneMinusAlpha);
    let solution = PiFt::new(&short, line(-4.0, 4.0, 41), PiFtParams::default()).unwrap().solve().unwrap();
    let exact = exact_lq(&problem, &short, false);
    let (gain, offset) = &exact.shifts[0];
    for (y, d) in line(-4.0, 4.0, 41).axis(0).nodes().iter().zip(&solution.shifts[0]) {
        assert!((d - gain[(0, 0)] * y - offset[0]).abs() < 1e-8);
    }
}

#[test]
fn all_iterations_have_the_same_fixed_point() {
    let problem = mixture();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 16, ..Default::default() }).unwrap();
    let solve = |inner| {
        let params = PiFtParams { inner, rule: InnerRule::Tolerance { tol: 1e-12, max: 200 }, ..Default::default() };
        PiFt::new(&chain, line(-6.0, 6.0, 401), params).unwrap().solve().unwrap()
    };
    let plain = solve(Inner::Plain);
    for inner in [Inner::Damped, Inner::Newton, Inner::Auto] {
        let other = solve(inner);
        for k in 0..16 {
            let (dv, du) = (
                sup_gap(&plain.values[k], &other.values[k], |_| true),
                sup_gap(&plain.controls[k], &other.controls[k], |_| true),
            );
            assert!(dv < 1e-10 && du < 1e-9, "{inner:?}, k = {k}: {dv:e}, {du:e}");
        }
    }
}

/// -A log cosh(c x): slope saturates at A c, curvature A c^2 at the origin.
struct Roof {
    height: f64,
    scale: f64,
}

impl ScalarField for Roof {
    fn dim(&self) -> usize {
        1
    }
    fn value(&self, x: Points<'_>, out: &mut [f64]) {
        for (o, x) in out.iter_mut().zip(x.coord(0)) {
            let z = (self.scale * x).abs();
            *o = -self.height * (z + (0.5 + 0.5 * (-2.0 * z).exp()).ln());
        }
    }
    fn gradient(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        for (o, x) in out.coord_mut(0).iter_mut().zip(x.coord(0)) {
            *o = -self.height * self.scale * (self.scale * x).tanh();
        }
    }
}

#[test]
fn newton_is_safe_where_a_full_step_overshoots() {
    // The last step of four: sig^2 = 0.33, lam times the curvature of r is about 36, so a Newton step taken on the flat part of
    // the slope jumps over the roof.
    let roof = Roof { height: 8.0, scale: 2.0 };
    let score = PointwiseFeedback::new(1, 1, |_, y: &[f64], s: &mut [f64]| s[0] = -y[0]);
    let rate = schedule();
    let parts = DdpmParts {
        horizon: 2.0,
        rate: &|t| rate.rate(t),
        integral: &|t0, t1| rate.integral(t0, t1),
        score: &score,
        reward: &roof,
        kl_weight: &|_| 0.3,
    };
    let chain = Ddpm::from_parts(DdpmParams { steps: 4, ..Default::default() }, parts).unwrap();
    let grid = line(-3.0, 3.0, 1201);
    let params = PiFtParams {
        inner: Inner::Newton,
        quadrature_nodes: Some(60),
        extrapolation: hjbridge_model::Extrapolation::Linear,
        ..Default::default()
    };
    let solution = PiFt::new(&chain, grid.clone(), params).unwrap().solve().unwrap();
    let (a, variance) = (chain.alphas()[3], chain.variances()[3]);
    let (sigma, lam) = (variance.sqrt(), variance / 0.3);
    // D solves D + lam A c E tanh(c (m + D + sig W)) = 0, an increasing function of D: bisection with the trapezoid rule.
    let slope = |z: f64| {
        let (mut sum, mut total) = (0.0, 0.0);
        for i in -400..=400 {
            let w = i as f64 * 0.02;
            let p = (-0.5 * w * w).exp();
            sum += p * (2.0 * (z + sigma * w)).tanh();
            total += p;
        }
        sum / total
    };
    let mut damped_steps = 0;
    for j in (0..1201).step_by(25) {
        let m = a.sqrt() * grid.axis(0).nodes()[j];
        let (mut low, mut high) = (-20.0, 20.0);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if middle + lam * 16.0 * slope(m + middle) > 0.0 { high = middle } else { low = middle }
        }
        let d = solution.shifts[3][j];
        assert!((d - low).abs() < 1e-6, "y = {}: D = {d}, not {low}", grid.axis(0).nodes()[j]);
        // Where a full step from D = 0 would land, and the defect it would have.
        let h = -lam * 16.0 * (slope(m + 1e-4) - slope(m - 1e-4)) / 2e-4;
        let full = -lam * 16.0 * slope(m) / (1.0 - h);
        damped_steps += usize::from((full + lam * 16.0 * slope(m + full)).abs() > lam * 16.0 * slope(m).abs());
    }
    assert!(damped_steps > 0, "the test must contain nodes where the full step is refused");
}

#[test]
fn a_step_that_is_too_slow_for_the_limit_is_an_error_or_goes_to_newton() {
    // lam K = 0.9: plain needs some 220 updates for 1e-10.
    let a = (-schedule().integral(0.0, 2.0)).exp();
    let prior = GaussianMixture::standard_normal(1).unwrap();
    let reward = Reward::quadratic(&[vec![0.9]], vec![0.2], 0.0).unwrap();
    let beta = KlWeight::constant(1.0 - a).unwrap();
    let problem = FineTuning::new(schedule(), prior, reward, beta, InitialLaw::StandardNormal).unwrap();
    let rule = InnerRule::Tolerance { tol: 1e-10, max: 20 };
    let slow = one_step(&problem, PiFtParams { inner: Inner::Plain, rule, ..Default::default() });
    match slow {
        Err(PiFtError::NoConvergence { iterations: 20, contraction, .. }) => assert!((contraction - 0.9).abs() < 1e-9),
        other => panic!("{other:?}"),
    }
    let solution = one_step(&problem, PiFtParams { rule, ..Default::default() }).unwrap();
    assert_eq!(solution.info.steps[0].method, "newton");
    assert!(solution.info.steps[0].iterations < 25);
    let lam_k = 0.9;
    for (y, d) in line(-4.0, 4.0, 41).axis(0).nodes().iter().zip(&solution.shifts[0]) {
        let best = (0.2 - 0.9 * a.sqrt() * y) / (1.0 + lam_k);
        assert!((d - best).abs() < 1e-9, "y = {y}: {d}, not {best}");
    }
}

#[test]
fn a_step_without_noise_cannot_be_controlled() {
    let problem = mixture();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 10, variance: VarianceRule::Posterior, ..Default::default() }).unwrap();
    let grid = line(-6.0, 6.0, 401);
    let params = PiFtParams { storage: Storage::All, ..Default::default() };
    let solution = PiFt::new(&chain, grid.clone(), params).unwrap().solve().unwrap();
    assert!(solution.shifts[9].iter().all(|&d| d == 0.0));
    assert!(solution.shifts[8].iter().any(|&d| d != 0.0));
    // V_9 = r(m_9(y)) inside the box.
    let step = chain.at(9);
    let points = grid.points();
    let mut mean = hjbridge_model::PointBlock::zeros(1, points.len());
    step.mean(points.as_points(), mean.as_mut());
    let mut reward = vec![0.0; points.len()];
    problem.reward().value(mean.as_points(), &mut reward);
    let gap = sup_gap(&reward, &solution.values[9], |j| mean.coord(0)[j].abs() < 5.0);
    assert!(gap < 1e-7, "{gap:e}");
}

#[test]
fn damping_and_rho_on_the_convex_side() {
    // lam K = -0.5: the curvature range is [0, 0.5], w = 2/1.5, and the one eigenvalue present leaves 1 - 0.5 w = 1/3.
    let a = (-schedule().integral(0.0, 2.0)).exp();
    let prior = GaussianMixture::standard_normal(1).unwrap();
    let reward = Reward::quadratic(&[vec![-0.5]], vec![0.2], 0.0).unwrap();
    let beta = KlWeight::constant(1.0 - a).unwrap();
    let problem = FineTuning::new(schedule(), prior, reward, beta, InitialLaw::StandardNormal).unwrap();
    let solution = one_step(&problem, PiFtParams { inner: Inner::Damped, ..Default::default() }).unwrap();
    let info = &solution.info.steps[0];
    assert!((info.rho_plus - 0.5).abs() < 1e-9 && info.rho_minus < 1e-9, "{info:?}");
    assert!((info.damping.unwrap() - 2.0 / 1.5).abs() < 1e-9);
    assert!((info.contraction.unwrap() - 1.0 / 3.0).abs() < 1e-4, "{info:?}");
    for (y, d) in line(-4.0, 4.0, 41).axis(0).nodes().iter().zip(&solution.shifts[0]) {
        assert!((d - (0.2 + 0.5 * a.sqrt() * y) / 0.5).abs() < 1e-9);
    }
}

#[test]
fn newton_needs_one_update_on_a_coupled_quadratic() {
    // Stein's Hessian is exact for a quadratic, off-diagonal entries included.
    let problem = plane_lq();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 1, ..Default::default() }).unwrap();
    let axis = || Axis::uniform(-4.0, 4.0, 9).unwrap();
    let grid = Arc::new(TensorGrid::new(vec![axis(), axis()]).unwrap());
    let params = PiFtParams { inner: Inner::Newton, quadrature_nodes: Some(4), ..Default::default() };
    let solution = PiFt::new(&chain, grid, params).unwrap().solve().unwrap();
    assert_eq!(solution.info.steps[0].iterations, 1);
}

#[test]
fn a_quadrature_that_is_too_coarse_is_named() {
    // Well-posed with enough nodes; with four, E V waves like V itself and looks convex somewhere.
    let problem = mixture();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 8, ..Default::default() }).unwrap();
    let solve = |quadrature_nodes| {
        let params = PiFtParams { quadrature_nodes, ..Default::default() };
        PiFt::new(&chain, line(-6.0, 6.0, 801), params).unwrap().solve()
    };
    let error = solve(Some(4)).unwrap_err();
    assert!(matches!(error, PiFtError::IllPosed { quadrature_nodes: Some(4), .. }), "{error}");
    assert!(error.to_string().contains("4 quadrature nodes are too few"), "{error}");
    assert!(solve(Some(32)).is_ok() && solve(None).is_ok());
}

#[test]
fn a_wish_to_stop_is_heard_at_the_next_step() {
    let problem = mixture();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 8, ..Default::default() }).unwrap();
    let flag = AtomicBool::new(false);
    let solver = PiFt::new(&chain, line(-6.0, 6.0, 81), PiFtParams::default()).unwrap().with_interrupt(Some(&flag));
    let mut seen = Vec::new();
    let outcome = solver.solve_observed(&mut |view| {
        seen.push(view.k);
        flag.store(view.k == 5, Ordering::Relaxed);
    });
    assert_eq!(outcome.unwrap_err(), PiFtError::Interrupted { step: 4 });
    assert_eq!(seen, [8, 7, 6, 5]);
}
