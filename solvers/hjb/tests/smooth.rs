//! The high-order route against closed forms.
#![allow(missing_docs)]

mod common;

use common::{Matrix, Problem, line, mixture, orders, square};
use hjbridge_hjb::smooth::{
    Integrator, Output, ResidualParams, SmoothInfo, SmoothParams, SmoothSolver, hjb_residual, richardson,
};
use hjbridge_hjb::{HjbError, IntegrationFailure, ValueFunction, ViolationCause};
use hjbridge_model::exact::{ClosedForm, TiltedMixture};
use hjbridge_model::fine_tuning::{FineTuning, InitialLaw};
use hjbridge_model::grid::{Axis, Region, TensorGrid};
use hjbridge_model::reward::Reward;
use hjbridge_model::{ControlSet, GaussianMixture, KlWeight, PointBlock, Schedule};
use std::sync::Arc;

/// sup errors of V and of U over |y_i| <= radius and all output times below T.
fn errors(problem: &FineTuning, grid: Arc<TensorGrid>, params: SmoothParams, radius: f64) -> (f64, f64, SmoothInfo) {
    let exact = TiltedMixture::new(problem).unwrap();
    let (nodes, d, n) = (grid.points(), grid.dim(), grid.len());
    let inside: Vec<usize> = (0..n).filter(|&j| (0..d).all(|i| nodes.coord(i)[j].abs() <= radius * (1.0 + 1e-12))).collect();
    let rows: Vec<Vec<f64>> = inside.iter().map(|&j| (0..d).map(|i| nodes.coord(i)[j]).collect()).collect();
    let points = PointBlock::from_points(d, &rows).unwrap();
    let mut v = vec![0.0; inside.len()];
    let (mut u, mut s) = (PointBlock::zeros(d, inside.len()), PointBlock::zeros(d, inside.len()));
    let (mut ev, mut eu) = (0.0f64, 0.0f64);
    let solver = SmoothSolver::new(problem, grid, params).unwrap();
    let (solution, info) = solver.solve().unwrap();
    for (k, &t) in solution.times().iter().enumerate().filter(|(_, t)| **t < problem.schedule().horizon()) {
        let at = exact.at(t);
        at.value(points.as_points(), &mut v);
        at.control(points.as_points(), u.as_mut());
        problem.score().at(t).eval(points.as_points(), s.as_mut());
        for (q, &j) in inside.iter().enumerate() {
            ev = ev.max((solution.value(k)[j] - v[q]).abs());
            for i in 0..d {
                eu = eu.max((s.coord(i)[q] + solution.control(k)[i * n + j] - u.coord(i)[q]).abs());
            }
        }
    }
    (ev, eu, info)
}

/// Eight equal Gaussians on a circle of radius 2.
fn ring() -> FineTuning {
    let angle = |k: usize| k as f64 * std::f64::consts::FRAC_PI_4;
    let means = (0..8).map(|k| vec![2.0 * angle(k).cos(), 2.0 * angle(k).sin()]).collect();
    let prior = GaussianMixture::new(vec![0.125; 8], means, vec![vec![vec![0.16, 0.0], vec![0.0, 0.16]]; 8]).unwrap();
    let reward = Reward::quadratic(&[vec![0.5, 0.0], vec![0.0, 0.2]], vec![1.0, 0.5], 0.0).unwrap();
    let schedule = Schedule::linear(2.0, 0.5, 3.0).unwrap();
    FineTuning::new(schedule, prior, reward, KlWeight::constant(0.8).unwrap(), InitialLaw::NoisedPrior).unwrap()
}

fn params(order: usize, integrator: Integrator, tolerance: f64, levels: usize) -> SmoothParams {
    SmoothParams { order, integrator, rtol: tolerance, atol: tolerance, output: Output::Levels(levels), ..Default::default() }
}

#[test]
fn orders_four_six_and_eight_on_the_mixture() {
    for order in [4, 6, 8] {
        let run = |n| errors(&mixture(), line(-6.0, 6.0, n), params(order, Integrator::Bdf, 1e-11, 16), 3.0);
        let ((v1, u1, _), (v2, u2, _)) = (run(321), run(641));
        let found = [orders(&[v1, v2])[0], orders(&[u1, u2])[0]];
        println!("{order} {v1:e} {v2:e} {u1:e} {u2:e} {found:?}");
        assert!(found.iter().all(|o| (o - order as f64).abs() < 0.5), "{order}: {v1:e} {v2:e} {u1:e} {u2:e} {found:?}");
    }
}

#[test]
fn the_mixture_on_401_nodes_is_solved_to_1e_7() {
    for (integrator, tolerance) in [(Integrator::Bdf, 1e-9), (Integrator::Rkc, 2e-10), (Integrator::Esdirk, 5e-9)] {
        let (v, u, info) = errors(&mixture(), line(-6.0, 6.0, 401), params(8, integrator, tolerance, 128), 3.0);
        println!("{integrator:?} {v:e} {u:e} {info:?}");
        assert!(v < 1e-7 && u < 1e-6, "{v:e} {u:e} {info:?}");
    }
}

#[test]
fn the_error_of_the_explicit_route_falls_like_the_two_thirds_power_of_the_tolerance() {
    let run = |tolerance| errors(&mixture(), line(-6.0, 6.0, 321), params(8, Integrator::Rkc, tolerance, 32), 3.0).0;
    let e = [run(1e-5), run(1e-6), run(1e-7)];
    let slope = (e[0] / e[2]).log10() / 2.0;
    assert!((0.5..0.85).contains(&slope) && e[2] < 5e-6, "{e:?} {slope}");
}

#[test]
fn the_errors_of_the_implicit_routes_fall_with_the_tolerance() {
    // Both control their local error, so that four decades of it are about four decades of the error.
    for integrator in [Integrator::Bdf, Integrator::Esdirk] {
        let run = |tolerance| errors(&mixture(), line(-6.0, 6.0, 321), params(8, integrator, tolerance, 32), 3.0).0;
        let e = [run(1e-4), run(1e-6), run(1e-8)];
        let slope = (e[0] / e[2]).log10() / 4.0;
        println!("{integrator:?} {e:?} {slope}");
        assert!((0.7..1.2).contains(&slope) && e[0] > e[1] && e[1] > e[2], "{integrator:?} {e:?} {slope}");
    }
}

#[test]
fn high_order_is_certified_as_not_monotone() {
    // a = 1 on spacing h: at order 4 two negative weights at each of the 37 nodes inside, none next to the faces, and at a face
    // (2, -5, 4, -1)/(2 h^2).
    let still = Problem { drift: Arc::new(|_, _, out| out[0] = 0.0), ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0) };
    let p = SmoothParams { closure_order: 2, ..params(4, Integrator::Bdf, 1e-4, 1) };
    let (_, info) = SmoothSolver::new(&still, line(-1.0, 1.0, 41), p).unwrap().solve().unwrap();
    let m = &info.monotonicity;
    let h = 2.0 / 40.0;
    assert!((m.worst_value + 2.5 / (h * h)).abs() < 1e-9 / (h * h) && (m.violations, m.nodes) == (2 * 37 + 2 * 2, 39), "{m:?}");
    assert_eq!((m.worst_axis, m.worst_time, m.worst_cause), (Some(0), Some(1.0), Some(ViolationCause::HighOrder)));
    assert!(matches!(m.require(), Err(HjbError::NotMonotone { cause: ViolationCause::HighOrder, .. })));
}

#[test]
fn the_three_integrators_agree_on_the_whole_grid() {
    let problem = mixture();
    let run = |integrator| {
        let p = SmoothParams { output: Output::Times(vec![0.0, 0.7, 1.9]), ..params(6, integrator, 1e-9, 1) };
        SmoothSolver::new(&problem, line(-6.0, 6.0, 121), p).unwrap().solve().unwrap().0
    };
    let (a, b, c) = (run(Integrator::Rkc), run(Integrator::Bdf), run(Integrator::Esdirk));
    for k in 0..3 {
        for other in [&b, &c] {
            let d = a.value(k).iter().zip(other.value(k)).fold(0.0f64, |m, (x, y)| m.max((x - y).abs()));
            assert!(d < 1e-6, "{k} {d:e}");
        }
    }
}

#[test]
fn quadratic_values_are_reproduced_to_the_time_tolerance_in_one_to_three_dimensions() {
    let c = [[0.7, 0.3, -0.1], [0.3, 1.1, 0.2], [-0.1, 0.2, 0.9]];
    let q = [[0.4, -0.1, 0.05], [-0.1, 0.3, 0.1], [0.05, 0.1, 0.2]];
    let block = |m: &[[f64; 3]; 3], d: usize| -> Vec<Vec<f64>> { (0..d).map(|i| m[i][..d].to_vec()).collect() };
    for d in 1..=3 {
        let prior = GaussianMixture::gaussian([0.3, -0.2, 0.1][..d].to_vec(), block(&c, d)).unwrap();
        let reward = Reward::quadratic(&block(&q, d), [0.3, 0.2, -0.4][..d].to_vec(), 0.2).unwrap();
        let schedule = Schedule::linear(2.0, 0.5, 3.0).unwrap();
        let kl = KlWeight::constant(0.9).unwrap();
        let problem = FineTuning::new(schedule, prior, reward, kl, InitialLaw::NoisedPrior).unwrap();
        let axes = [Axis::uniform(-3.0, 3.0, 13).unwrap(), Axis::stretched(-3.0, 3.0, 12, 0.3, 1.0).unwrap()];
        let grid = Arc::new(TensorGrid::new((0..d).map(|i| axes[i % 2].clone()).collect()).unwrap());
        for (order, integrator) in [(4, Integrator::Rkc), (8, Integrator::Rkc), (4, Integrator::Bdf)] {
            if d == 3 && integrator == Integrator::Bdf {
                continue;
            }
            let (v, u, info) = errors(&problem, grid.clone(), params(order, integrator, 1e-8, 8), 3.0);
            println!("{d} {order} {integrator:?} {v:e} {u:e}");
            // Time error only: the order-2 integrator leaves about tolerance^(2/3).
            let bound = if integrator == Integrator::Rkc { 2e-5 } else { 1e-6 };
            assert!(v < bound && u < bound, "{d} {order} {v:e} {u:e} {info:?}");
        }
    }
}

/// dX = sigma dB with full sigma, no control: V = exp(-k'ak tau/2) sin(k.x).
fn correlated(dim: usize, k: [f64; 3]) -> (Problem, f64) {
    let sigma = [[0.6, 0.2, -0.1], [0.1, 0.5, 0.3], [-0.2, 0.1, 0.7]];
    let columns: Vec<f64> = (0..dim).map(|q| (0..dim).map(|i| k[i] * sigma[i][q]).sum::<f64>()).collect();
    let rate = 0.5 * columns.iter().map(|c| c * c).sum::<f64>();
    let field = move |_: f64, _: &[f64], out: &mut [f64]| {
        for i in 0..dim {
            for q in 0..dim {
                out[i * dim + q] = sigma[i][q];
            }
        }
    };
    let problem = Problem {
        gain: Matrix::Scaled(0.0),
        sigma: Matrix::Field(Arc::new(field)),
        terminal: Arc::new(move |_, x| x.iter().zip(&k).map(|(x, k)| x * k).sum::<f64>().sin()),
        ..Problem::ornstein_uhlenbeck(dim, 0.0, 0.4)
    };
    (problem, rate)
}

#[test]
fn a_discount_scales_the_uncontrolled_value() {
    // Without control and running reward the discounted value is exp(-rho tau) times the other.
    let (problem, rate) = correlated(1, [0.9, 0.0, 0.0]);
    let discounted = Problem { discount: 0.7, ..problem };
    for integrator in [Integrator::Rkc, Integrator::Bdf] {
        let grid = line(-4.0, 4.0, 65);
        let (v, _) = SmoothSolver::new(&discounted, grid.clone(), params(8, integrator, 1e-8, 8)).unwrap().solve().unwrap();
        for (j, x) in grid.axis(0).nodes().iter().enumerate().filter(|(_, x)| x.abs() < 1.5) {
            let exact = (-0.4 * (rate + 0.7)).exp() * (0.9 * x).sin();
            assert!((v.value(0)[j] - exact).abs() < 1e-6, "{integrator:?} {x}");
        }
        let region = Region::cube(1, 1.5).unwrap();
        assert!(hjb_residual(&discounted, &v, &region, ResidualParams::default()).unwrap().sup < 1e-3);
    }
}

#[test]
fn a_model_without_a_control_is_a_linear_equation() {
    // dX = -X dt + dB, g = cos x: V = e^{-s^2/2} cos(x e^{-tau}), s^2 = (1 - e^{-2 tau})/2; and the mean, g = x: V = x e^{-tau}.
    let tau = 1.0f64;
    let spread = (-0.25 * (1.0 - (-2.0 * tau).exp())).exp();
    let free = Problem { control_dim: 0, ..Problem::ornstein_uhlenbeck(1, 1.0, tau) };
    let wave = Problem { terminal: Arc::new(|_, x| x[0].cos()), ..free.clone() };
    let mean = Problem { terminal: Arc::new(|_, x| x[0]), ..free };
    for integrator in [Integrator::Rkc, Integrator::Bdf, Integrator::Esdirk] {
        for (problem, exact) in
            [(&wave, &(|x: f64| spread * (x * (-tau).exp()).cos()) as &dyn Fn(f64) -> f64), (&mean, &|x: f64| x * (-tau).exp())]
        {
            let solver = SmoothSolver::new(problem, line(-5.0, 5.0, 61), params(8, integrator, 1e-9, 4)).unwrap();
            let (v, _) = solver.solve().unwrap();
            assert!(v.control_dim() == 0 && v.control(0).is_empty());
            let inner = v.grid().axis(0).nodes().iter().zip(v.value(0)).filter(|(x, _)| x.abs() <= 2.5);
            let error = inner.fold(0.0, |m: f64, (x, v)| m.max((v - exact(*x)).abs()));
            println!("no control, {integrator:?}: {error:e}");
            assert!(error < 2e-6, "{integrator:?}: {error:e}");
        }
    }
}

#[test]
fn cross_derivatives_of_a_correlated_diffusion() {
    let k = [0.9, -0.7, 0.8];
    for (dim, n, integrator) in [(2, 41, Integrator::Rkc), (2, 41, Integrator::Bdf), (3, 21, Integrator::Rkc)] {
        let (problem, rate) = correlated(dim, k);
        let axis = Axis::uniform(-2.5, 2.5, n).unwrap();
        let grid = Arc::new(TensorGrid::new(vec![axis; dim]).unwrap());
        let solver = SmoothSolver::new(&problem, grid.clone(), params(8, integrator, 1e-8, 2)).unwrap();
        let (v, info) = solver.solve().unwrap();
        let (p, mut worst) = (grid.points(), 0.0f64);
        for j in (0..grid.len()).filter(|&j| (0..dim).all(|i| p.coord(i)[j].abs() < 1.1)) {
            let phase: f64 = (0..dim).map(|i| k[i] * p.coord(i)[j]).sum();
            worst = worst.max((v.value(0)[j] - (-0.4 * rate).exp() * phase.sin()).abs());
        }
        println!("{dim} {worst:e} {info:?}");
        // The closure of order 4 reaches the centre by diffusion.
        assert!(worst < if dim == 2 { 2e-6 } else { 5e-5 }, "{dim} {worst:e}");
    }
}

#[test]
fn a_control_held_by_its_bounds_gives_the_linear_problem() {
    // dX = (-X + c) dt + dB: E[X_T^2] = m^2 + (1 - e^{-2 tau})/2, m = c + (x - c) e^{-tau}; cost c^2 tau/2.
    let c = 0.3;
    let held = Problem {
        terminal: Arc::new(|_, x| -0.75 * x[0] * x[0]),
        set: ControlSet::Box { lower: vec![c], upper: vec![c] },
        ..Problem::ornstein_uhlenbeck(1, 1.0, 1.0)
    };
    let grid = line(-4.0, 4.0, 41);
    for integrator in [Integrator::Rkc, Integrator::Bdf] {
        let (v, _) = SmoothSolver::new(&held, grid.clone(), params(6, integrator, 1e-9, 4)).unwrap().solve().unwrap();
        for (j, x) in grid.axis(0).nodes().iter().enumerate() {
            let m = c + (x - c) * (-1.0f64).exp();
            let exact = -0.75 * (m * m + 0.5 * (1.0 - (-2.0f64).exp())) - 0.5 * c * c;
            let error = (v.value(0)[j] - exact).abs();
            assert!(error < 1e-5 && v.control(0)[j] == c, "{integrator:?} {x} {error:e}");
        }
    }
    let bounds = |b: f64| ControlSet::Box { lower: vec![-b], upper: vec![b] };
    let run = |set| {
        let problem = Problem { set, ..held.clone() };
        SmoothSolver::new(&problem, grid.clone(), params(4, Integrator::Rkc, 1e-7, 2)).unwrap().solve().unwrap().0
    };
    let (free, wide, tight) = (run(ControlSet::Free), run(bounds(50.0)), run(bounds(0.5)));
    for j in 0..41 {
        assert!((free.value(0)[j] - wide.value(0)[j]).abs() < 1e-12);
        assert!(tight.value(0)[j] <= free.value(0)[j] + 1e-4 && tight.control(0)[j].abs() <= 0.5);
    }
    assert!(free.value(0)[40] - tight.value(0)[40] > 1e-2);
}

#[test]
fn the_ring_on_257_by_257_nodes() {
    let (v, u, info) = errors(&ring(), square(5.5, 257), params(8, Integrator::Rkc, 4e-6, 32), 3.0);
    println!("{v:e} {u:e} {info:?}");
    assert!(v < 2.2e-4 && u < 3.2e-3 && info.right_sides < 2000 && info.coefficient_evaluations < 80, "{v:e} {u:e} {info:?}");
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let problem = ring();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let solver = SmoothSolver::new(&problem, square(5.5, 97), params(6, Integrator::Rkc, 1e-4, 2)).unwrap();
        pool.install(|| solver.solve().unwrap().0)
    };
    let (one, three) = (run(1), run(3));
    for k in 0..3 {
        assert_eq!(one.value(k), three.value(k));
        assert_eq!(one.control(k), three.control(k));
    }
}

#[test]
fn the_certificates_follow_the_error() {
    let problem = mixture();
    let region = Region::cube(1, 2.5).unwrap();
    let run = |n| {
        let p = params(4, Integrator::Bdf, 1e-9, 128);
        SmoothSolver::new(&problem, line(-6.0, 6.0, n), p).unwrap().solve().unwrap().0
    };
    let (coarse, fine) = (run(201), run(401));
    let residual = |v| hjb_residual(&problem, v, &region, ResidualParams::default()).unwrap();
    let (a, b) = (residual(&coarse), residual(&fine));
    println!("{a:?} {b:?}");
    let rate = (a.sup / b.sup).log2();
    assert!((1.5..4.5).contains(&rate) && b.value_bound < 0.1, "{rate} {a:?} {b:?}");
    // A wrong solution is seen.
    let shifted: Vec<Vec<f64>> = (0..129).map(|k| fine.value(k).iter().map(|v| v + 0.5 * fine.times()[k]).collect()).collect();
    let wrong = ValueFunction::new(fine.grid().clone(), 1, fine.times().to_vec(), shifted.clone(), shifted).unwrap();
    assert!((residual(&wrong).sup - 0.5).abs() < 2.0 * b.sup + 1e-9);

    let estimate = richardson(&coarse, &fine, 4, Some(&region)).unwrap();
    let (error, _, _) = errors(&problem, line(-6.0, 6.0, 401), params(4, Integrator::Bdf, 1e-9, 128), 2.5);
    assert!((estimate.fine_error / error - 1.0).abs() < 0.3 && estimate.times == 129, "{estimate:?} {error:e}");
    assert!(matches!(richardson(&fine, &coarse, 4, None), Err(HjbError::Invalid { .. })));
}

#[test]
fn bad_input_is_named_and_a_blow_up_has_its_time() {
    let problem = mixture();
    let build = |p: SmoothParams| SmoothSolver::new(&problem, line(-6.0, 6.0, 61), p).err().unwrap().to_string();
    assert!(build(SmoothParams { order: 3, ..Default::default() }).starts_with("order = 3"));
    assert!(build(SmoothParams { rtol: 0.0, ..Default::default() }).starts_with("rtol = 0"));
    assert!(build(SmoothParams { atol: f64::NAN, ..Default::default() }).starts_with("atol = NaN"));
    assert!(build(SmoothParams { output: Output::Times(vec![]), ..Default::default() }).contains("at least one"));
    assert!(build(SmoothParams { output: Output::Times(vec![0.1, 0.1]), ..Default::default() }).contains("output.times[1]"));
    assert!(build(SmoothParams { output: Output::Times(vec![2.1]), ..Default::default() }).contains("output.times[0] = 2.1"));
    assert!(SmoothSolver::new(&problem, square(6.0, 21), SmoothParams::default()).is_err());
    for integrator in [Integrator::Rkc, Integrator::Bdf, Integrator::Esdirk] {
        let p = SmoothParams { max_steps: 4, ..params(8, integrator, 1e-8, 4) };
        let e = SmoothSolver::new(&problem, line(-6.0, 6.0, 61), p).unwrap().solve().unwrap_err();
        let reason = IntegrationFailure::TooManySteps { limit: 4 };
        assert!(matches!(&e, HjbError::TimeIntegration { t, reason: r } if *r == reason && *t > 0.0 && *t < 2.0), "{e}");
        assert!(e.to_string().contains("max_steps = 4 reached"), "{e}");
        // V = P(tau) x^2/2 + ..., P = 4/(1 - 4 tau) ends at tau = 1/4.
        let convex = Problem { terminal: Arc::new(|_, x| 2.0 * x[0] * x[0]), ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0) };
        let e = SmoothSolver::new(&convex, line(-3.0, 3.0, 31), params(4, integrator, 1e-6, 4)).unwrap().solve().unwrap_err();
        assert!(matches!(e, HjbError::BlowUp { t, .. } if (t - 0.75).abs() < 0.02), "{integrator:?} {e}");
        let broken = Problem {
            drift: Arc::new(|t, x, out| out[0] = if t < 0.5 { f64::NAN } else { -x[0] }),
            ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0)
        };
        let e = SmoothSolver::new(&broken, line(-3.0, 3.0, 31), params(4, integrator, 1e-6, 4)).unwrap().solve().unwrap_err();
        assert!(matches!(e, HjbError::NonFinite { coefficient: "drift", .. }), "{integrator:?} {e}");
    }
    let only_terminal = SmoothParams { output: Output::Times(vec![2.0]), ..params(8, Integrator::Bdf, 1e-6, 1) };
    let (v, _) = SmoothSolver::new(&problem, line(-6.0, 6.0, 61), only_terminal).unwrap().solve().unwrap();
    assert_eq!(v.times(), &[2.0]);
}
