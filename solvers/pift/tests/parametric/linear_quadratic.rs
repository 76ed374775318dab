//! Linear-quadratic problems: the optimal shift is affine, so that phi = (1, y) gives the exact recursion.

use crate::problems::{exact_lq, lq, probe, scalar_lq, shift};
use hjbridge_model::ScalarField;
use hjbridge_pift::parametric::{
    ExpectationRule, GradientRule, LeastSquares, LeastSquaresParams, LinearParams, LinearPolicy, ParametricError, Pretrained,
    SampledChain, StateLaw,
};
use hjbridge_pift::{Ddpm, DdpmParams, VarianceRule};

/// sup |D - D*| over the steps and the probe.
fn error(d: usize, beta: f64, variance: VarianceRule, params: LeastSquaresParams) -> f64 {
    let problem = lq(d, beta);
    let ddpm = Ddpm::new(&problem, DdpmParams { steps: 8, variance, ..Default::default() }).unwrap();
    let exact = exact_lq(&problem, &ddpm);
    let chain = SampledChain::new(&ddpm, problem.initial_law()).unwrap();
    let trainer = LeastSquares::new(&chain, params).unwrap();
    let mut state = trainer.start(LinearPolicy::new(&chain, LinearParams::default()).unwrap()).unwrap();
    assert!(trainer.run(&mut state, &mut |_| ()).unwrap().finished);
    let y = probe(d);
    let mut worst = 0.0f64;
    for (k, (gain, offset)) in exact.shifts.iter().enumerate() {
        let got = shift(&ddpm, &state.policy, k, &y);
        for j in 0..y.len() {
            for i in 0..d {
                let want: f64 = offset[i] + (0..d).map(|l| gain[(i, l)] * y.coord(l)[j]).sum::<f64>();
                worst = worst.max((got.coord(i)[j] - want).abs());
            }
        }
    }
    worst
}

#[test]
fn affine_features_give_the_exact_recursion() {
    for d in [1, 2, 10] {
        let pairs = ExpectationRule::Sampling { draws: 2 };
        // mirrored pairs make sampling exact for affine gradients, continuations included
        for (gradient, expectation) in
            [(GradientRule::Envelope, ExpectationRule::Auto), (GradientRule::Envelope, pairs), (GradientRule::Pathwise, pairs)]
        {
            let params = LeastSquaresParams { paths: 256, gradient, expectation, tolerance: 1e-11, ..Default::default() };
            let worst = error(d, 0.6, VarianceRule::OneMinusAlpha, params);
            println!("d = {d}, {gradient:?}, {expectation:?}: {worst:.1e}");
            assert!(worst < 2e-10, "d = {d}, {gradient:?}, {expectation:?}: {worst:e}");
        }
        // a last step without noise has no shift, and hands the gradient on
        let params = LeastSquaresParams { paths: 256, tolerance: 1e-11, ..Default::default() };
        let worst = error(d, 0.6, VarianceRule::Posterior, params);
        assert!(worst < 2e-10, "d = {d}, posterior variance: {worst:e}");
    }
}

#[test]
fn states_of_either_law_give_the_exact_recursion() {
    // the laws differ from the second sweep on
    for states in [StateLaw::Pretrained, StateLaw::Current] {
        let params = LeastSquaresParams { paths: 256, states, tolerance: 1e-11, sweeps: 2, ..Default::default() };
        let worst = error(2, 0.6, VarianceRule::OneMinusAlpha, params);
        assert!(worst < 2e-10, "{states:?}: {worst:e}");
    }
    let problem = lq(2, 0.6);
    let ddpm = Ddpm::new(&problem, DdpmParams { steps: 8, ..Default::default() }).unwrap();
    let chain = SampledChain::new(&ddpm, problem.initial_law()).unwrap();
    let reward = |states| {
        let params = LeastSquaresParams { paths: 4096, states, sweeps: 2, ..Default::default() };
        let trainer = LeastSquares::new(&chain, params).unwrap();
        let mut state = trainer.start(LinearPolicy::new(&chain, LinearParams::default()).unwrap()).unwrap();
        trainer.run(&mut state, &mut |_| ()).unwrap();
        let y = trainer.states(&state).unwrap().swap_remove(8);
        let mut r = vec![0.0; y.len()];
        problem.reward().value(y.as_points(), &mut r);
        let trained = chain.evaluate(&state.policy, 4096, 3).unwrap().reward;
        (r.iter().sum::<f64>() / r.len() as f64, trained)
    };
    // E r over the data of the second sweep: that of the law that is asked for
    let zero = chain.evaluate(&Pretrained { dim: 2, steps: 8 }, 4096, 3).unwrap().reward;
    let (before, trained) = reward(StateLaw::Pretrained);
    let (after, _) = reward(StateLaw::Current);
    println!("pre-trained {before} of {zero:?}, trained {after} of {trained:?}");
    let near = |x: f64, m: hjbridge_pift::parametric::Mean| (x - m.mean).abs() < 4.0 * 2.0f64.sqrt() * m.standard_error;
    assert!(near(before, zero) && near(after, trained) && !near(before, trained));
}

/// One step with lam K = `rho`: what least squares makes of it.
fn one_step(rho: f64) -> (Result<f64, ParametricError>, Vec<f64>, f64) {
    let steps = DdpmParams { steps: 1, ..Default::default() };
    let variance = Ddpm::new(&scalar_lq(1.0, 1.0, 1.0), steps).unwrap().variances()[0];
    let problem = scalar_lq(rho / variance, 0.9, 1.0);
    let ddpm = Ddpm::new(&problem, steps).unwrap();
    let chain = SampledChain::new(&ddpm, problem.initial_law()).unwrap();
    let params = LeastSquaresParams { paths: 256, tolerance: 1e-10, ..Default::default() };
    let trainer = LeastSquares::new(&chain, params).unwrap();
    let mut state = trainer.start(LinearPolicy::new(&chain, LinearParams::default()).unwrap()).unwrap();
    if let Err(e) = trainer.run(&mut state, &mut |_| ()) {
        return (Err(e), Vec::new(), 1.0);
    }
    let (gain, offset) = &exact_lq(&problem, &ddpm).shifts[0];
    let y = probe(1);
    let got = shift(&ddpm, &state.policy, 0, &y);
    let worst = (0..y.len()).map(|j| (got.data()[j] - offset[0] - gain[(0, 0)] * y.data()[j]).abs()).fold(0.0, f64::max);
    (Ok(worst), state.info[0].updates.clone(), state.info[0].damping)
}

#[test]
fn iterates_contract_by_exactly_lam_k() {
    // D^(m+1) - D^(m) = (-lam K)^m D^(1)
    let (worst, updates, damping) = one_step(0.4);
    assert!(worst.unwrap() < 1e-9 && damping == 1.0);
    for pair in updates.windows(2) {
        assert!((pair[1] / pair[0] - 0.4).abs() < 1e-5, "{updates:?}");
    }
}

#[test]
fn steps_too_long_are_damped_and_ill_posed_ones_refused() {
    // the plain iteration diverges: -1.8, 1.44, -4.39, ...
    let (worst, _, damping) = one_step(1.8);
    assert!(worst.unwrap() < 1e-8 && damping == 0.5);
    assert!(matches!(one_step(-1.5).0, Err(ParametricError::NoConvergence { step: 0, .. })));
}
