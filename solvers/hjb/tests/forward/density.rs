//! Stationary densities, and the forward equation with absorbing and periodic faces.

use crate::common::{Matrix, Problem, line, orders, square};
use crate::{brownian, bump, pairing, radius};
use hjbridge_hjb::{
    Face, Faces, FokkerPlanck, FokkerPlanckParams, HjbError, Space, StationaryDensity, StationaryDensityInfo,
    StationaryDensityParams, StationaryLaw, Time,
};
use hjbridge_model::grid::{Axis, TensorGrid};
use hjbridge_model::{PointwiseFeedback, ZeroFeedback};
use std::f64::consts::PI;
use std::sync::Arc;

/// dX = -grad U dt + dB, with the gradient given.
fn gradient_flow(dim: usize, gradient: impl Fn(&[f64], &mut [f64]) + Send + Sync + 'static) -> Problem {
    Problem {
        control_dim: 0,
        drift: Arc::new(move |_, x, out| {
            gradient(x, out);
            out.iter_mut().for_each(|o| *o = -*o);
        }),
        ..Problem::ornstein_uhlenbeck(dim, 0.0, 1.0)
    }
}

fn stationary(problem: &Problem, grid: &Arc<TensorGrid>) -> (StationaryLaw, StationaryDensityInfo) {
    let zero = ZeroFeedback { dim: problem.dim, control_dim: problem.control_dim };
    let params = StationaryDensityParams::default();
    StationaryDensity::new(problem, &zero, grid.clone(), params).unwrap().solve().unwrap()
}

/// sup |density - e^{-2U}/Z| over the largest density, with Z from the trapezoid rule (exponentially accurate here).
fn gibbs_error(law: &StationaryLaw, potential: impl Fn(&[f64]) -> f64) -> f64 {
    let grid = law.grid();
    let mut x = vec![0.0; grid.dim()];
    let exact: Vec<f64> = (0..grid.len())
        .map(|j| {
            grid.node(j, &mut x);
            (-2.0 * potential(&x)).exp()
        })
        .collect();
    let z = pairing(&exact, &grid.volumes());
    let top = exact.iter().copied().fold(0.0, f64::max) / z;
    law.density().iter().zip(&exact).map(|(a, b)| (a - b / z).abs()).fold(0.0, f64::max) / top
}

#[test]
fn stationary_densities_are_those_of_gibbs_to_second_order() {
    type Potential = fn(&[f64]) -> f64;
    let ou: Potential = |x| 0.5 * x.iter().map(|x| x * x).sum::<f64>();
    let well: Potential = |x| (x[0] * x[0] - 1.0).powi(2) + x.get(1).map_or(0.0, |y| 2.0 * (y - 0.5 * x[0]).powi(2));
    let flows: [(&str, Potential, [Problem; 2]); 2] = [
        ("Ornstein-Uhlenbeck", ou, [1, 2].map(|d| gradient_flow(d, |x, out| out.copy_from_slice(x)))),
        (
            "double well",
            well,
            [1, 2].map(|d| {
                gradient_flow(d, |x, out| {
                    out[0] = 4.0 * x[0] * (x[0] * x[0] - 1.0);
                    if x.len() == 2 {
                        let s = 4.0 * (x[1] - 0.5 * x[0]);
                        out[0] -= 0.5 * s;
                        out[1] = s;
                    }
                })
            }),
        ),
    ];
    for (name, potential, problems) in flows {
        for (problem, sizes) in problems.iter().zip([[81, 161, 321], [41, 81, 161]]) {
            let errors: Vec<f64> = sizes
                .iter()
                .map(|&n| {
                    let grid = if problem.dim == 1 { line(-4.0, 4.0, n) } else { square(4.0, n) };
                    let (law, info) = stationary(problem, &grid);
                    assert!(info.monotonicity.is_monotone() && info.most_negative >= 0.0 && info.transient_nodes == 0);
                    assert!(info.residual < 1e-13 && info.face_mass < 1e-5, "{info:?}");
                    assert_eq!(info.method, if problem.dim == 1 { "product of rates" } else { "sparse-lu" });
                    assert!((law.mass().iter().sum::<f64>() - 1.0).abs() < 1e-13);
                    gibbs_error(&law, potential)
                })
                .collect();
            println!("{name}, d = {}: {errors:?} {:?}", problem.dim, orders(&errors));
            assert!((orders(&errors)[1] - 2.0).abs() < 0.2 && errors[2] < 5e-3, "{name}: {errors:?}");
        }
    }
}

#[test]
fn rotation_and_feedback_and_walls_have_the_law_that_is_known() {
    // A divergence-free rotation leaves the Gaussian alone; the pull comes from the feedback.
    let problem = Problem {
        drift: Arc::new(|_, x, out| {
            out[0] = -2.0 * x[1];
            out[1] = 2.0 * x[0];
        }),
        ..Problem::ornstein_uhlenbeck(2, 0.0, 1.0)
    };
    let pull = PointwiseFeedback::new(2, 2, |_, x: &[f64], u: &mut [f64]| {
        u[0] = -x[0];
        u[1] = -x[1];
    });
    let errors: Vec<f64> = [41, 81, 161]
        .iter()
        .map(|&n| {
            let params = StationaryDensityParams::default();
            let (law, info) = StationaryDensity::new(&problem, &pull, square(4.0, n), params).unwrap().solve().unwrap();
            assert!(info.residual < 1e-13, "{info:?}");
            gibbs_error(&law, |x| 0.5 * radius(x).powi(2))
        })
        .collect();
    println!("rotation: {errors:?}");
    assert!((orders(&errors)[1] - 2.0).abs() < 0.2, "{errors:?}");
    // Brownian motion between reflecting walls is uniform, to rounding, also on unequal spacings; with a constant drift mu the
    // density is proportional to e^{2 mu x}, right up to the walls.
    let nodes = vec![0.0, 0.1, 0.25, 0.3, 0.55, 0.8, 1.0];
    let axis = Axis::from_nodes(nodes).unwrap();
    let grid = Arc::new(TensorGrid::new(vec![axis.clone(), axis]).unwrap());
    let (law, _) = stationary(&brownian(2, 0.0, 0.7, |_| 0.0), &grid);
    assert!(law.density().iter().all(|p| (p - 1.0).abs() < 1e-11), "{:?}", law.density());
    let errors: Vec<f64> = [21, 41, 81]
        .iter()
        .map(|&n| {
            let (law, _) = stationary(&brownian(1, -1.5, 1.0, |_| 0.0), &line(0.0, 1.0, n));
            let exact = |x: f64| 3.0 * (-3.0 * x).exp() / (1.0 - (-3.0f64).exp());
            law.density().iter().zip(law.grid().axis(0).nodes()).map(|(p, &x)| (p - exact(x)).abs()).fold(0.0, f64::max)
        })
        .collect();
    println!("walls: {errors:?}");
    assert!((orders(&errors)[1] - 2.0).abs() < 0.1, "{errors:?}");
}

#[test]
fn the_forward_equation_relaxes_to_the_stationary_density_and_deep_wells_stay_balanced() {
    let problem = Problem {
        horizon: 60.0,
        ..gradient_flow(2, |x, out| {
            out[0] = 2.0 * x[0] * (x[0] * x[0] - 1.0);
            out[1] = x[1] - 0.5 * x[0];
        })
    };
    let grid = square(3.0, 41);
    let (law, _) = stationary(&problem, &grid);
    let zero = ZeroFeedback { dim: 2, control_dim: 0 };
    let params = FokkerPlanckParams { time: Time::TrBdf2, steps: 100, ..Default::default() };
    let forward = FokkerPlanck::new(&problem, &zero, grid.clone(), params).unwrap();
    let (path, _) = forward.evolve_at(&bump(&grid), &[0.0, 6.0, 60.0]).unwrap();
    let gap = |k: usize| path.mass(k).iter().zip(law.mass()).map(|(a, b)| (a - b).abs()).sum::<f64>();
    println!("relaxation: {:e} {:e} {:e}", gap(0), gap(1), gap(2));
    assert!(gap(0) > 0.3 && gap(1) < 0.3 * gap(0) && gap(2) < 1e-9, "{} {} {}", gap(0), gap(1), gap(2));
    // Barriers of 40 and of 8 times the noise: the two wells hold the same mass although exchange is slow.
    let (law, _) = stationary(&gradient_flow(1, |x, out| out[0] = 160.0 * x[0] * (x[0] * x[0] - 1.0)), &line(-2.0, 2.0, 801));
    let left: f64 = law.mass()[..400].iter().sum();
    assert!((left / (1.0 - left - law.mass()[400]) - 1.0).abs() < 1e-9, "{left}");
    let deep = gradient_flow(2, |x, out| {
        out[0] = 16.0 * x[0] * (x[0] * x[0] - 1.0);
        out[1] = 4.0 * x[1];
    });
    let (law, info) = stationary(&deep, &square(2.0, 41));
    let left: f64 = law.mass()[..20 * 41].iter().sum();
    let middle: f64 = law.mass()[20 * 41..21 * 41].iter().sum();
    assert!((left / (1.0 - left - middle) - 1.0).abs() < 1e-6 && info.iterations < 20, "{left} {middle} {info:?}");
}

#[test]
fn chains_without_a_unique_law_are_refused() {
    let fail = |problem: &Problem| {
        let zero = ZeroFeedback { dim: 1, control_dim: 0 };
        let grid = line(-2.0, 2.0, 41);
        StationaryDensity::new(problem, &zero, grid, StationaryDensityParams::default()).unwrap().solve().err()
    };
    let flow = |sigma: fn(f64) -> f64| Problem {
        sigma: Matrix::Field(Arc::new(move |_, x, out| out[0] = sigma(x[0]))),
        ..gradient_flow(1, |x, out| out[0] = x[0].powi(3) - x[0])
    };
    assert!(matches!(fail(&flow(|_| 0.0)), Some(HjbError::Invalid { field, .. }) if field == "diffusion"));
    // Noise on both sides but none between: two wells that never exchange.
    let error = fail(&flow(|x| if x.abs() > 0.55 { 0.5 } else { 0.0 }));
    assert!(matches!(error, Some(HjbError::Reducible { nodes: 41, .. })), "{error:?}");
    // A point that absorbs.
    let error =
        fail(&Problem { sigma: Matrix::Field(Arc::new(|_, x, out| out[0] = x[0])), ..gradient_flow(1, |x, out| out[0] = x[0]) });
    assert!(matches!(error, Some(HjbError::Invalid { .. })), "{error:?}");
    let nan = fail(&flow(|x| if x > 1.0 { f64::NAN } else { 1.0 }));
    assert!(matches!(nan, Some(HjbError::NonFinite { coefficient: "diffusion", .. })));
}

#[test]
fn dirichlet_faces_absorb_and_periodic_axes_wrap() {
    // From x = 0 the mass still in (-1, 1) at T = 1 is sum_k (2/w_k) (-1)^k e^{-w_k^2/2}, w_k = (2k+1) pi/2; what left sits on
    // the two faces, half each.
    let w = |k: i32| f64::from(2 * k + 1) * PI / 2.0;
    let alive: f64 = (0..8).map(|k| 2.0 / w(k) * f64::from(1 - 2 * (k % 2)) * (-0.5 * w(k) * w(k)).exp()).sum();
    let problem = brownian(1, 0.0, 1.0, |_| 0.0);
    let none = ZeroFeedback { dim: 1, control_dim: 0 };
    let errors: Vec<f64> = [21, 41, 81]
        .iter()
        .map(|&n| {
            let params = FokkerPlanckParams { boundary: Face::Dirichlet.into(), steps: 2 * n, ..Default::default() };
            let mut initial = vec![0.0; n];
            initial[n / 2] = 1.0;
            let forward = FokkerPlanck::new(&problem, &none, line(-1.0, 1.0, n), params).unwrap();
            let (path, info) = forward.evolve_at(&initial, &[1.0]).unwrap();
            let mass = path.terminal();
            assert!(info.mass_error < 1e-13 && (mass[0] - mass[n - 1]).abs() < 1e-13);
            (mass[0] + mass[n - 1] - (1.0 - alive)).abs()
        })
        .collect();
    println!("absorbed: {errors:?} {:?}", orders(&errors));
    assert!((orders(&errors)[1] - 2.0).abs() < 0.2, "{errors:?}");
    // On a circle of length 2 with drift 0.7 the first harmonic of the law turns and decays: E e^{i pi X} from X_0 = 0 is
    // exp(0.7 i pi - pi^2 s^2/2), s = 0.4; the uniform law is stationary.
    let (drift, s) = (0.7, 0.4);
    let problem = brownian(1, drift, s, |_| 0.0);
    let faces: Faces = Face::Periodic.into();
    let errors: Vec<f64> = [21, 41, 81]
        .iter()
        .map(|&n| {
            let params = FokkerPlanckParams { boundary: faces, steps: 2 * n, ..Default::default() };
            let mut initial = vec![0.0; n];
            initial[n / 2] = 1.0;
            let grid = line(-1.0, 1.0, n);
            let (path, info) =
                FokkerPlanck::new(&problem, &none, grid.clone(), params).unwrap().evolve_at(&initial, &[1.0]).unwrap();
            assert!(info.mass_error < 1e-13);
            let (mass, x) = (path.terminal(), grid.axis(0).nodes());
            assert_eq!(mass[0], mass[n - 1]);
            let harmonic = |f: fn(f64) -> f64| mass.iter().zip(x).map(|(m, x)| m * f(PI * x)).sum::<f64>();
            let decay = (-0.5 * PI * PI * s * s).exp();
            let law = (harmonic(f64::cos) - decay * (PI * drift).cos()).hypot(harmonic(f64::sin) - decay * (PI * drift).sin());
            let params = StationaryDensityParams { boundary: faces, ..Default::default() };
            let (uniform, _) = StationaryDensity::new(&problem, &none, grid, params).unwrap().solve().unwrap();
            assert!(uniform.density().iter().all(|p| (p - 0.5).abs() < 1e-10), "{:?}", uniform.density());
            law
        })
        .collect();
    println!("circle: {errors:?} {:?}", orders(&errors));
    assert!((orders(&errors)[1] - 2.0).abs() < 0.2, "{errors:?}");
    let params = StationaryDensityParams { boundary: Face::Dirichlet.into(), ..Default::default() };
    let absorbed = StationaryDensity::new(&problem, &none, line(-1.0, 1.0, 21), params).unwrap().solve();
    assert!(matches!(absorbed.err(), Some(HjbError::Invalid { field, .. }) if field == "boundary"));
}

#[test]
fn the_fitted_scheme_has_the_exact_stationary_density_of_a_constant_drift() {
    // e^{2 mu x/a} at the nodes for every cell Peclet number, here 0.15 to 15; masses are half cells at the walls.
    for mu in [-0.3, -3.0, -30.0] {
        let problem = brownian(1, mu, 1.0, |_| 0.0);
        let none = ZeroFeedback { dim: 1, control_dim: 0 };
        let params = StationaryDensityParams { space: Space::Fitted, ..Default::default() };
        let grid = line(0.0, 2.0, 21);
        let (law, info) = StationaryDensity::new(&problem, &none, grid.clone(), params).unwrap().solve().unwrap();
        let rho = law.density();
        for (j, &x) in grid.axis(0).nodes().iter().enumerate().skip(2).take(18) {
            let ratio = (2.0 * mu * (x - 0.1)).exp();
            assert!((rho[j] / rho[1] / ratio - 1.0).abs() < 1e-11, "{mu} {x}: {} {ratio}", rho[j] / rho[1]);
        }
        assert!(info.monotonicity.is_monotone());
    }
}
