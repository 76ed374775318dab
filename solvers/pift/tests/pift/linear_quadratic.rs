//! Linear-quadratic problems: V_k is quadratic and u_k affine, so the grid makes no error beyond rounding.

use crate::problems::{exact_lq, line, plane_lq, scalar_lq, sup_center, sup_gap};
use hjbridge_model::exact::{ClosedForm, GaussianLq};
use hjbridge_model::{Axis, TensorGrid};
use hjbridge_pift::{AlphaRule, BellmanKind, Ddpm, DdpmParams, Inner, InnerRule, PiFt, PiFtParams, VarianceRule};
use std::sync::Arc;

#[test]
fn plane_against_the_discrete_riccati_recursion() {
    let problem = plane_lq();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 8, alpha: AlphaRule::Linear, ..Default::default() }).unwrap();
    let axis = || Axis::uniform(-4.0, 4.0, 17).unwrap();
    let grid = Arc::new(TensorGrid::new(vec![axis(), axis()]).unwrap());
    let points = grid.points();
    for inner in [Inner::Auto, Inner::Damped, Inner::Newton] {
        for bellman in [BellmanKind::MeanShift, BellmanKind::Soft] {
            let exact = exact_lq(&problem, &chain, bellman == BellmanKind::Soft);
            // The soft step needs more nodes: its integrand is an exponential, not a polynomial.
            let quadrature_nodes = Some(if bellman == BellmanKind::Soft { 24 } else { 6 });
            let rule = InnerRule::Tolerance { tol: 1e-13, max: 200 };
            let params = PiFtParams { inner, bellman, quadrature_nodes, rule, ..Default::default() };
            let solution = PiFt::new(&chain, grid.clone(), params).unwrap().solve().unwrap();
            let mut v = vec![0.0; grid.len()];
            for k in 0..8 {
                exact.values[k].value(points.as_points(), &mut v);
                let gap = sup_gap(&v, &solution.values[k], |_| true);
                assert!(gap < 2e-10, "{inner:?} {bellman:?}: V_{k} off by {gap:e}");
                let (gain, offset) = &exact.shifts[k];
                for i in 0..2 {
                    for j in 0..grid.len() {
                        let (y0, y1) = (points.coord(0)[j], points.coord(1)[j]);
                        let d = gain[(i, 0)] * y0 + gain[(i, 1)] * y1 + offset[i];
                        let gap = (d - solution.shifts[k][i * grid.len() + j]).abs();
                        assert!(gap < 2e-10, "{inner:?} {bellman:?}: D_{k}[{i}] off by {gap:e}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_variance_against_the_discrete_riccati_recursion() {
    let problem = scalar_lq(0.7, 0.5, 1.3, 0.9, 0.1, 0.6);
    let grid = line(-4.0, 4.0, 41);
    let points = grid.points();
    let mut v = vec![0.0; grid.len()];
    let mut starts = Vec::new();
    for variance in [
        VarianceRule::OneMinusAlpha,
        VarianceRule::OverAlpha,
        VarianceRule::Posterior,
        VarianceRule::GaussianPosterior { data_variance: 0.5 },
    ] {
        let chain = Ddpm::new(&problem, DdpmParams { steps: 12, variance, ..Default::default() }).unwrap();
        let exact = exact_lq(&problem, &chain, false);
        let rule = InnerRule::Tolerance { tol: 1e-13, max: 200 };
        let solution = PiFt::new(&chain, grid.clone(), PiFtParams { rule, ..Default::default() }).unwrap().solve().unwrap();
        for k in 0..12 {
            exact.values[k].value(points.as_points(), &mut v);
            let gap = sup_gap(&v, &solution.values[k], |_| true);
            assert!(gap < 1e-9, "{variance:?}: V_{k} off by {gap:e}");
            let (gain, offset) = &exact.shifts[k];
            for (y, d) in grid.axis(0).nodes().iter().zip(&solution.shifts[k]) {
                assert!((d - gain[(0, 0)] * y - offset[0]).abs() < 1e-9, "{variance:?}: D_{k} at {y}");
            }
        }
        starts.push(solution.initial_value()[20]);
    }
    // four chains, not one four times
    starts.sort_by(f64::total_cmp);
    assert!(starts.windows(2).all(|w| w[1] - w[0] > 1e-5), "{starts:?}");
}

#[test]
fn golden_numbers_at_eight_steps() {
    let problem = plane_lq();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 8, alpha: AlphaRule::Linear, ..Default::default() }).unwrap();
    let axis = || Axis::uniform(-4.0, 4.0, 17).unwrap();
    let grid = Arc::new(TensorGrid::new(vec![axis(), axis()]).unwrap());
    let rule = InnerRule::Tolerance { tol: 1e-13, max: 200 };
    let params = PiFtParams { quadrature_nodes: Some(6), rule, ..Default::default() };
    let solution = PiFt::new(&chain, grid.clone(), params).unwrap().solve().unwrap();
    // Differences over the box are exact for a quadratic.
    let v = |i: usize, j: usize| solution.initial_value()[i * 17 + j];
    let (c, r) = (8, 4.0);
    let k00 = -(v(16, c) - 2.0 * v(c, c) + v(0, c)) / (r * r);
    let k11 = -(v(c, 16) - 2.0 * v(c, c) + v(c, 0)) / (r * r);
    let k01 = -(v(16, 16) - v(16, 0) - v(0, 16) + v(0, 0)) / (4.0 * r * r);
    let slope = [(v(16, c) - v(0, c)) / (2.0 * r), (v(c, 16) - v(c, 0)) / (2.0 * r)];
    let seen = [k00, k01, k11, slope[0], slope[1], v(c, c)];
    let golden = [0.000535991804, 0.000678028844, 0.002371418469, 0.01539957742, 0.080624659768, 0.516155828075];
    for (s, g) in seen.iter().zip(golden) {
        assert!((s - g).abs() < 2e-11, "{seen:?} against {golden:?}");
    }
}

#[test]
fn iterates_approach_the_optimum_geometrically() {
    // One step: D^(m) = D* + (-lam K)^m (D^(0) - D*), D^(0) = 0.
    let problem = scalar_lq(0.7, 0.5, 1.3, 0.9, 0.1, 2.0);
    let chain = Ddpm::new(&problem, DdpmParams { steps: 1, ..Default::default() }).unwrap();
    let exact = exact_lq(&problem, &chain, false);
    let (gain, offset) = &exact.shifts[0];
    let lam_k = chain.variances()[0] / 2.0 * 1.3;
    let grid = line(-4.0, 4.0, 41);
    for m in 0..8 {
        let params = PiFtParams { inner: Inner::Plain, rule: InnerRule::Fixed(m), ..Default::default() };
        let solution = PiFt::new(&chain, grid.clone(), params).unwrap().solve().unwrap();
        for (y, d) in grid.axis(0).nodes().iter().zip(&solution.shifts[0]) {
            let best = gain[(0, 0)] * y + offset[0];
            assert!((d - best * (1.0 - (-lam_k).powi(m as i32))).abs() < 1e-9, "m = {m}, y = {y}");
        }
        let info = &solution.info.steps[0];
        assert!((info.rho - lam_k).abs() < 1e-9 && info.rho_plus.abs() < 1e-9, "{info:?}");
        if m > 0 {
            let (largest, first) = (info.contraction.unwrap(), info.first_ratio.unwrap());
            assert!((largest - lam_k).abs() < 1e-9 && (first - lam_k).abs() < 1e-9, "m = {m}: {largest}, {first}, not {lam_k}");
        }
    }
}

#[test]
fn exact_reverse_chain_with_the_soft_step_has_no_time_error() {
    let problem = scalar_lq(0.7, 0.5, 1.3, 0.9, 0.1, 0.6);
    let exact = GaussianLq::new(&problem).unwrap();
    let grid = line(-5.0, 5.0, 101);
    let points = grid.points();
    let mut v = vec![0.0; grid.len()];
    for steps in [4, 8, 16] {
        let mut error = |variance| {
            let chain = Ddpm::new(&problem, DdpmParams { steps, variance, ..Default::default() }).unwrap();
            let params = PiFtParams { bellman: BellmanKind::Soft, quadrature_nodes: Some(32), ..Default::default() };
            let mut worst = 0.0f64;
            PiFt::new(&chain, grid.clone(), params)
                .unwrap()
                .solve_observed(&mut |view| {
                    exact.at(view.t).value(points.as_points(), &mut v);
                    worst = worst.max(sup_center(&grid, &v, view.value));
                })
                .unwrap();
            worst
        };
        let posterior = error(VarianceRule::GaussianPosterior { data_variance: 0.5 });
        assert!(posterior < 1e-8, "N = {steps}: {posterior:e}");
        // Another variance leaves an error of order h: the agreement above is no accident.
        assert!(error(VarianceRule::OneMinusAlpha) > 1e-3, "N = {steps}");
    }
}

#[test]
fn no_update_gives_the_value_of_the_pretrained_chain() {
    let problem = scalar_lq(0.7, 0.5, 1.3, 0.9, 0.1, 0.6);
    let chain = Ddpm::new(&problem, DdpmParams { steps: 12, ..Default::default() }).unwrap();
    let params = PiFtParams { rule: InnerRule::Fixed(0), ..Default::default() };
    let grid = line(-4.0, 4.0, 41);
    let solution = PiFt::new(&chain, grid.clone(), params).unwrap().solve().unwrap();
    // E r(Y_N) by propagating the polynomial -K y^2/2 + k y + l through Y -> F Y + f + sig W.
    let (mut big_k, mut k, mut l) = (1.3, 0.9, 0.1);
    for step in (0..12).rev() {
        let (a, variance) = (chain.alphas()[step], chain.variances()[step]);
        let noised = problem.noised_prior(chain.times()[step]);
        let (mean, p) = (noised.mean()[0], noised.covariance()[0][0]);
        let (f1, f0) = ((1.0 - (1.0 - a) / p) / a.sqrt(), (1.0 - a) * mean / p / a.sqrt());
        l += k * f0 - 0.5 * big_k * (f0 * f0 + variance);
        k = f1 * (k - big_k * f0);
        big_k *= f1 * f1;
    }
    for (y, v) in grid.axis(0).nodes().iter().zip(solution.initial_value()) {
        assert!((v - (-0.5 * big_k * y * y + k * y + l)).abs() < 1e-10, "y = {y}");
    }
    assert!(solution.shifts.iter().flatten().all(|&d| d == 0.0));
}

#[test]
fn m_updates_cost_h_to_the_2m() {
    let problem = scalar_lq(0.7, 0.5, 1.3, 0.9, 0.1, 0.6);
    let grid = line(-4.0, 4.0, 41);
    let points = grid.points();
    let error = |steps: usize, m: usize| {
        let chain = Ddpm::new(&problem, DdpmParams { steps, ..Default::default() }).unwrap();
        let exact = exact_lq(&problem, &chain, false);
        let params = PiFtParams { inner: Inner::Plain, rule: InnerRule::Fixed(m), ..Default::default() };
        let solution = PiFt::new(&chain, grid.clone(), params).unwrap().solve().unwrap();
        let mut v = vec![0.0; grid.len()];
        (0..steps).fold(0.0f64, |worst, k| {
            exact.values[k].value(points.as_points(), &mut v);
            worst.max(sup_center(&grid, &v, &solution.values[k]))
        })
    };
    for (m, order, tolerance) in [(0, 0.0, 0.1), (1, 2.0, 0.15), (2, 4.0, 0.3)] {
        let orders: Vec<f64> = [128, 256].iter().map(|&n| (error(n, m) / error(2 * n, m)).log2()).collect();
        assert!(orders.iter().all(|o| (o - order).abs() < tolerance), "m = {m}: orders {orders:?}, not {order}");
    }
}
