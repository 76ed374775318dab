//! Features that do not span the optimal shift: contraction and the error of the limit, on a mixture.

use crate::problems::{mixture, shift};
use hjbridge_model::{Axis, CubicSpline, Extrapolation, FineTuning, PointBlock, Points, PointsMut, ScalarField, TensorGrid};
use hjbridge_pift::parametric::{FeatureSpec, LeastSquares, LeastSquaresParams, LinearParams, LinearPolicy, SampledChain};
use hjbridge_pift::{Ddpm, DdpmParams, DdpmParts, InnerRule, PiFt, PiFtParams};
use std::sync::Arc;

/// Solve 3x3 (or smaller) least squares by elimination: the coefficients of (1, y, y^2, ...) fitting `t`.
fn project(y: &[f64], t: &[f64], degree: usize) -> Vec<f64> {
    let n = degree + 1;
    let mut a = vec![vec![0.0; n + 1]; n];
    for (&y, &t) in y.iter().zip(t) {
        for i in 0..n {
            for j in 0..n {
                a[i][j] += y.powi((i + j) as i32);
            }
            a[i][n] += t * y.powi(i as i32);
        }
    }
    for i in 0..n {
        for r in 0..n {
            if r != i {
                let f = a[r][i] / a[i][i];
                for c in 0..=n {
                    a[r][c] -= f * a[i][c];
                }
            }
        }
    }
    let c: Vec<f64> = (0..n).map(|i| a[i][n] / a[i][i]).collect();
    y.iter().map(|y| (0..n).map(|i| c[i] * y.powi(i as i32)).sum()).collect()
}

fn rms(a: &[f64], b: &[f64]) -> f64 {
    (a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len() as f64).sqrt()
}

struct Case {
    /// |D_inf - D*|, |D* - P D*| in L2 of the states.
    error: f64,
    projection: f64,
    /// sup lam |D^2 V| on the line, and what was observed.
    rho: f64,
    seen: f64,
    contraction: f64,
}

/// Step k of eight, with V_{k+1} and D* from the grid.
fn case(problem: &FineTuning, k: usize, degree: usize) -> Case {
    let ddpm = Ddpm::new(problem, DdpmParams { steps: 8, ..Default::default() }).unwrap();
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-7.0, 7.0, 1401).unwrap()]).unwrap());
    let rule = InnerRule::Tolerance { tol: 1e-12, max: 500 };
    let params = PiFtParams { rule, quadrature_nodes: Some(40), ..Default::default() };
    let solution = PiFt::new(&ddpm, grid.clone(), params).unwrap().solve().unwrap();
    let at = |values: &[f64]| CubicSpline::new(grid.clone(), values, Extrapolation::Quadratic).unwrap();
    let later = at(&solution.values[k + 1]);
    // the one step, with its score and its noise
    let (t0, a, beta) = (ddpm.times()[k], ddpm.alphas()[k], ddpm.kl_weights()[k]);
    struct Frozen<'a>(&'a dyn hjbridge_model::Feedback, f64);
    impl hjbridge_model::Feedback for Frozen<'_> {
        fn dim(&self) -> usize {
            1
        }
        fn control_dim(&self) -> usize {
            1
        }
        fn at(&self, _t: f64) -> Box<dyn hjbridge_model::VectorField + '_> {
            self.0.at(self.1)
        }
    }
    let score = Frozen(problem.score(), t0);
    let parts = DdpmParts {
        horizon: 0.25,
        rate: &|_| 1.0,
        integral: &|_, _| -a.ln(),
        score: &score,
        reward: &later,
        kl_weight: &|_| beta,
    };
    let single = Ddpm::from_parts(DdpmParams { steps: 1, ..Default::default() }, parts).unwrap();
    let law = problem.noised_prior(t0);
    let chain = SampledChain::new(&single, &law).unwrap();
    let features = FeatureSpec::Polynomial { degree };
    let policy = LinearPolicy::new(&chain, LinearParams { features, ..Default::default() }).unwrap();
    let expectation = hjbridge_pift::parametric::ExpectationRule::GaussHermite { nodes: 40 };
    let params = LeastSquaresParams { paths: 4096, tolerance: 1e-11, expectation, ..Default::default() };
    let trainer = LeastSquares::new(&chain, params).unwrap();
    let mut state = trainer.start(policy).unwrap();
    let y = trainer.states(&state).unwrap().swap_remove(0);
    trainer.run(&mut state, &mut |_| ()).unwrap();
    let limit = shift(&single, &state.policy, 0, &y);
    let mut optimal = PointBlock::zeros(1, y.len());
    let exact = at(&solution.shifts[k]);
    exact.value(y.as_points(), optimal.data_mut());
    let projected = project(y.data(), optimal.data(), degree);
    // lam |V''| by differences of the gradient
    let x: Vec<f64> = (0..1200).map(|i| -6.0 + 0.01 * i as f64).collect();
    let mut g = vec![0.0; x.len()];
    later.gradient(Points::new(&x, 1), PointsMut::new(&mut g, 1));
    let lam = single.at(0).lambda();
    let rho = g.windows(2).map(|w| lam * ((w[1] - w[0]) / 0.01).abs()).fold(0.0, f64::max);
    let info = &state.info[0];
    Case {
        error: rms(limit.data(), optimal.data()),
        projection: rms(&projected, optimal.data()),
        rho,
        seen: info.rho.unwrap(),
        contraction: info.contraction.unwrap(),
    }
}

#[test]
fn features_that_span_more_come_closer_to_exact_pift() {
    let problem = mixture();
    let steps = 12;
    let ddpm = Ddpm::new(&problem, DdpmParams { steps, ..Default::default() }).unwrap();
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-7.0, 7.0, 701).unwrap()]).unwrap());
    let solution = PiFt::new(&ddpm, grid.clone(), PiFtParams::default()).unwrap().solve().unwrap();
    let value = CubicSpline::new(grid.clone(), solution.initial_value(), Extrapolation::Quadratic).unwrap();
    let chain = SampledChain::new(&ddpm, problem.initial_law()).unwrap();
    let mut seen = Vec::new();
    for (features, ridge) in [
        (FeatureSpec::Polynomial { degree: 1 }, 1e-8),
        (FeatureSpec::Polynomial { degree: 7 }, 1e-8),
        (FeatureSpec::RadialBasis { centers: 20, width: None }, 1e-8),
        (FeatureSpec::RandomFourier { count: 30, length_scale: 0.6 }, 1e-3),
    ] {
        let policy = LinearPolicy::new(&chain, LinearParams { features, ..Default::default() }).unwrap();
        let trainer =
            LeastSquares::new(&chain, LeastSquaresParams { paths: 2048, sweeps: 2, ridge, ..Default::default() }).unwrap();
        let mut state = trainer.start(policy).unwrap();
        let states = trainer.states(&state).unwrap();
        trainer.run(&mut state, &mut |_| ()).unwrap();
        let (mut off, mut size) = (0.0f64, 0.0);
        for (k, y) in states[..steps].iter().enumerate() {
            let exact = CubicSpline::new(grid.clone(), &solution.shifts[k], Extrapolation::Quadratic).unwrap();
            let mut optimal = PointBlock::zeros(1, y.len());
            exact.value(y.as_points(), optimal.data_mut());
            off += rms(shift(&ddpm, &state.policy, k, y).data(), optimal.data()).powi(2);
            size += rms(optimal.data(), &vec![0.0; y.len()]).powi(2);
        }
        let mut v = vec![0.0; 10_000];
        value.value(chain.sample(&state.policy, 10_000, 9).unwrap()[0].as_points(), &mut v);
        let best = v.iter().sum::<f64>() / v.len() as f64;
        let j = chain.evaluate(&state.policy, 10_000, 9).unwrap().objective;
        let gain = best - state.achieved[0].objective.mean;
        let relative = (off / size).sqrt();
        println!("{features:?} {ridge}: D off by {relative:.3}, J {:.5} +- {:.5} of {best:.5}", j.mean, j.standard_error);
        seen.push((relative, (best - j.mean) / gain, j.standard_error / gain));
        assert!(j.mean < best + 4.0 * j.standard_error, "{features:?}");
        // the same noise for every sweep: monotone within what the resampled states change
        let error = state.achieved[2].objective.standard_error;
        assert!(state.achieved.len() == 3 && state.achieved[1].objective.mean > state.achieved[0].objective.mean);
        assert!(state.achieved[2].objective.mean > state.achieved[1].objective.mean - error, "{:?}", state.achieved);
    }
    let [affine, polynomial, bells, cosines] = seen[..] else { panic!("four cases") };
    for richer in [polynomial, bells, cosines] {
        assert!(richer.0 < 0.7 * affine.0 && richer.1 < affine.1 / 3.0, "{seen:?}");
    }
    // bells span the shift: what is left is noise
    assert!(bells.0 < 0.1 && bells.1.abs() < 4.0 * bells.2, "{seen:?}");
}

#[test]
fn contraction_and_limit_obey_their_bounds() {
    let problem = mixture();
    for k in [0, 4, 7] {
        for degree in [1, 2, 3] {
            let c = case(&problem, k, degree);
            println!(
                "k = {k}, degree {degree}: |D - D*| = {:.4e}, |D* - PD*| = {:.4e}, rho {:.4}, seen {:.4}, contraction {:.4}",
                c.error, c.projection, c.rho, c.seen, c.contraction
            );
            assert!(c.rho < 1.0 && c.projection > 1e-5, "the case says something");
            assert!(c.contraction <= c.seen * (1.0 + 1e-9) && c.seen <= c.rho * (1.0 + 1e-6), "k = {k}");
            assert!(c.error <= c.projection / (1.0 - c.rho * c.rho).sqrt() * (1.0 + 1e-6), "k = {k}, degree {degree}");
            // the projection of D* is the best there is
            assert!(c.error >= c.projection * (1.0 - 1e-6));
        }
    }
}
