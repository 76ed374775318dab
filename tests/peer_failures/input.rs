//! NaN in the input.

use crate::model::{BROWNIAN, Model, line, two_modes};
use hjbridge::hjb::smooth::{Integrator, SmoothParams, SmoothSolver};
use hjbridge::hjb::{FokkerPlanck, FokkerPlanckParams, HjbError, HjbParams, HjbSolver, StationaryParams, StationarySolver};
use hjbridge::model::{
    Axis, CubicSpline, Extrapolation, Feedback, GridFunction, Interpolation, PointwiseFeedback, TableFeedback, ZeroFeedback,
};
use hjbridge::pift::{Ddpm, DdpmParams, PiFt, PiFtError, PiFtParams};
use hjbridge::rollout::{Ensemble, InitialState, RolloutError, RolloutParams};
use std::sync::Arc;

#[test]
fn one_nan_in_the_input_is_an_error_that_names_it() {
    // Seen: one NaN in an input became 63 in the output, without a word.
    let fine = Model { drift: |_, x, f| f[0] = -x[0], control_dim: 1, discount: 0.5, ..BROWNIAN };
    let grid = line(-2.0, 2.0, 41);
    let broken: [(&str, Model); 3] = [
        ("drift", Model { drift: |_, x, f| f[0] = if (x[0] - 0.5).abs() < 0.01 { f64::NAN } else { -x[0] }, ..fine }),
        ("running_reward", Model { running: |_, x| if (x[0] - 0.5).abs() < 0.01 { f64::NAN } else { 0.0 }, ..fine }),
        ("terminal_reward", Model { terminal: |_, x| if (x[0] - 0.5).abs() < 0.01 { f64::NAN } else { 0.0 }, ..fine }),
    ];
    let named = |error: HjbError, name: &str, route: &str| match &error {
        HjbError::NonFinite { coefficient, value, point, .. } => {
            assert!(*coefficient == name && value.is_nan() && (point[0] - 0.5).abs() < 1e-9, "{route}: {error}");
        }
        _ => panic!("{route}: {error}"),
    };
    for (name, model) in &broken {
        named(HjbSolver::new(model, grid.clone(), HjbParams::default()).unwrap().solve().unwrap_err(), name, "HJB");
        for integrator in [Integrator::Rkc, Integrator::Bdf, Integrator::Esdirk] {
            let params = SmoothParams { integrator, ..Default::default() };
            named(SmoothSolver::new(model, grid.clone(), params).unwrap().solve().unwrap_err(), name, "smooth");
        }
        if *name != "terminal_reward" {
            let solver = StationarySolver::new(model, grid.clone(), StationaryParams::default()).unwrap();
            named(solver.solve().unwrap_err(), name, "stationary");
        }
    }
    // Constants.
    for (name, model) in [
        ("diffusion", Model { sigma: f64::NAN, ..fine }),
        ("control_weight", Model { weight: f64::NAN, ..fine }),
        ("horizon", Model { horizon: f64::NAN, ..fine }),
        ("discount", Model { discount: f64::NAN, ..fine }),
    ] {
        let hjb = HjbSolver::new(&model, grid.clone(), HjbParams::default()).and_then(|s| s.solve()).unwrap_err().to_string();
        let smooth = SmoothSolver::new(&model, grid.clone(), SmoothParams::default()).and_then(|s| s.solve()).unwrap_err();
        assert!(hjb.contains(name) && smooth.to_string().contains(name), "{name}: {hjb}; {smooth}");
    }
    // Fokker-Planck: drift, feedback and initial law.
    let uniform: Vec<f64> = grid.volumes().iter().map(|w| w / 4.0).collect();
    let zero = ZeroFeedback { dim: 1, control_dim: 1 };
    let law = |model: &Model, feedback: &dyn Feedback, mass: &[f64]| {
        FokkerPlanck::new(model, feedback, grid.clone(), FokkerPlanckParams::default()).unwrap().evolve(mass).unwrap_err()
    };
    named(law(&broken[0].1, &zero, &uniform), "drift", "Fokker-Planck");
    let nan_at_half =
        PointwiseFeedback::new(1, 1, |_, x: &[f64], v: &mut [f64]| v[0] = if (x[0] - 0.5).abs() < 0.01 { f64::NAN } else { 0.0 });
    named(law(&fine, &nan_at_half, &uniform), "feedback", "Fokker-Planck");
    let mut mass = uniform.clone();
    mass[25] = f64::NAN;
    let error = law(&fine, &zero, &mass);
    assert!(error.to_string().contains("initial masses"), "{error}");
    // Rollouts: the first path that meets it, its state, and the terminal reward.
    let start = InitialState::Point(vec![0.495]);
    let params = RolloutParams { paths: 100, steps: 10, ..Default::default() };
    let run = |model: &Model| {
        let model = Model { discount: 0.0, ..*model };
        Ensemble::new(&model, &zero, start.clone(), params.clone()).unwrap().run().unwrap_err()
    };
    match run(&broken[0].1) {
        RolloutError::StateNotFinite { path: 0, step: 0, last_state, .. } => assert_eq!(last_state, [0.495]),
        other => panic!("{other}"),
    }
    let far = Model { terminal: |_, x| if x[0] > 1.0 { f64::NAN } else { 0.0 }, ..fine };
    match run(&far) {
        RolloutError::ValueNotFinite { quantity, state, .. } => assert!(quantity == "terminal reward" && state[0] > 1.0),
        other => panic!("{other}"),
    }
    // PI-FT: a score with a hole, and tables.
    let problem = two_modes().with_score(Arc::new(nan_at_half)).unwrap();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 8, ..Default::default() }).unwrap();
    match PiFt::new(&chain, grid.clone(), PiFtParams::default()).unwrap().solve().unwrap_err() {
        PiFtError::NonFinite { value, point, .. } => assert!(value.is_nan() && (point[0] - 0.5).abs() < 1e-9),
        other => panic!("{other}"),
    }
    let mut values = vec![1.0; 41];
    values[7] = f64::NAN;
    assert!(GridFunction::new(grid.clone(), values.clone()).is_err());
    assert!(CubicSpline::new(grid.clone(), &values, Extrapolation::Linear).is_err());
    assert!(TableFeedback::new(grid, vec![0.0], vec![values], 1, Interpolation::Linear, Extrapolation::Linear).is_err());
    assert!(Axis::uniform(0.0, f64::NAN, 5).is_err());
}
