//! Properties that hold whatever the data, and what is refused.

use crate::common::{Matrix, Problem, line, square};
use crate::wells::correlated;
use hjbridge_hjb::cole_hopf::{ColeHopfParams, ColeHopfSolver, StationaryColeHopf, StationaryColeHopfParams};
use hjbridge_hjb::{Faces, HjbError, Sense, Storage};
use hjbridge_model::ControlSet;
use std::sync::Arc;

#[test]
fn senses_units_and_constant_rewards() {
    let base = Problem {
        drift: Arc::new(|_, x, out| out[0] = x[0] - x[0].powi(3)),
        terminal: Arc::new(|_, x| (2.0 * x[0]).cos() - 0.2 * x[0] * x[0]),
        running: Arc::new(|t, x| -t * x[0] * x[0]),
        ..Problem::ornstein_uhlenbeck(1, 1.0, 1.0)
    };
    let grid = line(-3.0, 3.0, 121);
    let run = |p: &Problem, params: ColeHopfParams| ColeHopfSolver::new(p, grid.clone(), params).unwrap().solve().unwrap();
    let params = ColeHopfParams { steps: 50, ..Default::default() };
    let (v, info) = run(&base, params);
    // Reward and cost are the same thing up to sign.
    let cost = Problem {
        terminal: Arc::new(|_, x| -((2.0 * x[0]).cos() - 0.2 * x[0] * x[0])),
        running: Arc::new(|t, x| t * x[0] * x[0]),
        ..base.clone()
    };
    let (c, _) = run(&cost, ColeHopfParams { sense: Sense::Minimise, ..params });
    // Money in other units: beta, rewards and weights times 250.
    let rich = Problem {
        weight: Matrix::Scaled(250.0),
        terminal: Arc::new(|_, x| 250.0 * ((2.0 * x[0]).cos() - 0.2 * x[0] * x[0])),
        running: Arc::new(|t, x| -250.0 * t * x[0] * x[0]),
        ..base.clone()
    };
    let (r, rich_info) = run(&rich, params);
    // A constant running reward adds its integral, however large.
    let paid = Problem { running: Arc::new(|t, x| 1e4 - t * x[0] * x[0]), ..base.clone() };
    let (p, _) = run(&paid, params);
    assert!((info.beta - 1.0).abs() < 1e-14 && (rich_info.beta / 250.0 - 1.0).abs() < 1e-14);
    for k in 0..=50 {
        for j in 0..121 {
            assert!(v.value(k)[j] == -c.value(k)[j] && v.control(k)[j] == c.control(k)[j]);
            assert!((r.value(k)[j] / 250.0 - v.value(k)[j]).abs() < 1e-11 && (r.control(k)[j] - v.control(k)[j]).abs() < 1e-9);
            let pay = 1e4 * (1.0 - v.times()[k]);
            assert!((p.value(k)[j] - pay - v.value(k)[j]).abs() < 1e-8, "{} {}", p.value(k)[j] - pay, v.value(k)[j]);
            // Even problem, even value, odd control.
            assert!((v.value(k)[j] - v.value(k)[120 - j]).abs() < 1e-11);
            assert!((v.control(k)[j] + v.control(k)[120 - j]).abs() < 1e-9);
        }
    }
}

#[test]
fn what_the_substitution_does_not_cover_is_refused_by_name() {
    let good = Problem::ornstein_uhlenbeck(1, 1.0, 1.0);
    let grid = line(-3.0, 3.0, 31);
    let run = |p: &Problem, params: ColeHopfParams| {
        ColeHopfSolver::new(p, grid.clone(), params).and_then(|s| s.solve()).map(|_| ()).err()
    };
    let plain = ColeHopfParams { steps: 10, ..Default::default() };
    assert!(run(&good, plain).is_none());
    let unsupported = |p: Problem, word: &str| match run(&p, plain) {
        Some(HjbError::Unsupported { what, point, t, .. }) => {
            assert!(what.contains(word), "{what}");
            (point, t)
        }
        other => panic!("{other:?}"),
    };
    let set = ControlSet::Box { lower: vec![-1.0], upper: vec![1.0] };
    unsupported(Problem { set, ..good.clone() }, "control_set");
    unsupported(Problem { discount: 0.5, ..good.clone() }, "discount");
    unsupported(Problem { control_dim: 0, ..good.clone() }, "control_dim");
    // Noise that no control matches, from some point on.
    let sigma = Matrix::Field(Arc::new(|_, x: &[f64], out: &mut [f64]| out[0] = if x[0] > 1.5 { 1.01 } else { 1.0 }));
    let (point, t) = unsupported(Problem { sigma, ..good.clone() }, "G R^-1 G'");
    assert!((point[0] - 1.6).abs() < 1e-12 && t == 1.0);
    // A temperature that changes with time is found where it does.
    let weight = Matrix::Field(Arc::new(|t, _: &[f64], out: &mut [f64]| out[0] = if t < 0.45 { 2.0 } else { 1.0 }));
    let (_, t) = unsupported(Problem { weight, ..good.clone() }, "beta = 1");
    assert!((t - 0.4).abs() < 1e-12, "{t}");
    // Correlated noise with independent controls.
    let skew = Problem { gain: Matrix::Scaled(1.0), ..correlated(1.0, 1.0) };
    let refused = ColeHopfSolver::new(&skew, square(2.0, 9), plain).unwrap().solve().err();
    assert!(matches!(refused, Some(HjbError::Unsupported { .. })), "{refused:?}");

    let outward = Problem { drift: Arc::new(|_, x, out| out[0] = x[0]), ..good.clone() };
    assert!(matches!(run(&outward, plain), Some(HjbError::NotMonotone { axis: 0, .. })));
    assert!(run(&outward, ColeHopfParams { boundary: Faces::reflecting(), ..plain }).is_none());
    let growing = Problem { running: Arc::new(|t, x| if t < 0.5 { 80.0 * x[0] } else { 0.0 }), ..good.clone() };
    assert!(matches!(run(&growing, plain), Some(HjbError::Invalid { field, .. }) if field == "steps"));
    let nan = Problem { running: Arc::new(|_, x| if x[0] > 2.9 { f64::NAN } else { 0.0 }), ..good.clone() };
    assert!(matches!(run(&nan, plain), Some(HjbError::NonFinite { coefficient: "running_reward", .. })));
    for (params, name) in [
        (ColeHopfParams { steps: 0, ..plain }, "steps"),
        (ColeHopfParams { tolerance: 0.0, ..plain }, "tolerance"),
        (ColeHopfParams { tolerance: f64::NAN, ..plain }, "tolerance"),
        (ColeHopfParams { max_iterations: 0, ..plain }, "max_iterations"),
        (ColeHopfParams { storage: Storage::AtMost(1), ..plain }, "storage"),
    ] {
        assert!(matches!(run(&good, params), Some(HjbError::Invalid { field, .. }) if field == name), "{name}");
    }
    let alone = StationaryColeHopf::new(&good, grid.clone(), StationaryColeHopfParams::default()).unwrap().solve().err();
    assert!(matches!(alone, Some(HjbError::Invalid { field, .. }) if field == "target"));
    let wrong = StationaryColeHopf::new(&good, square(1.0, 9), StationaryColeHopfParams::default()).err();
    assert!(matches!(wrong, Some(HjbError::Shape { .. })));
    let small = ColeHopfParams { memory_limit: 1000, ..plain };
    assert!(matches!(run(&good, small), Some(HjbError::Memory { .. })));
}
