//! Periodic axes: data that are not periodic are refused by name, and solutions wrap around.
#![allow(missing_docs)]

mod common;

use common::{Matrix, Problem};
use hjbridge_hjb::{
    Evaluation, EvaluationParams, Face, Faces, FokkerPlanck, FokkerPlanckParams, HjbError, HjbParams, HjbSolver, LevelSet,
    Obstacle, Placement, PolicyIteration, PolicyIterationParams, StationaryParams, StationarySolver, TargetSet,
};
use hjbridge_model::grid::{Axis, Extrapolation, Interpolation, TensorGrid};
use hjbridge_model::{ControlSet, Feedback, PointBlock, ZeroFeedback};
use std::f64::consts::TAU;
use std::sync::Arc;

/// [0, 2 pi] x [-1, 1], the first axis periodic.
fn cylinder() -> Arc<TensorGrid> {
    Arc::new(TensorGrid::new(vec![Axis::uniform(0.0, TAU, 25).unwrap(), Axis::uniform(-1.0, 1.0, 9).unwrap()]).unwrap())
}

fn wrapped() -> Faces {
    Faces::reflecting().with_axis(0, Face::Periodic)
}

/// Periodic data on the cylinder.
fn smooth() -> Problem {
    Problem { terminal: Arc::new(|_, x| x[0].sin() * (1.0 + 0.2 * x[1])), ..Problem::ornstein_uhlenbeck(2, 0.0, 0.4) }
}

fn params() -> HjbParams {
    HjbParams { steps: 10, boundary: wrapped(), ..Default::default() }
}

fn refused(name: &str, error: Option<HjbError>) {
    match error {
        Some(HjbError::Unsupported { what, allowed, .. }) => {
            assert!(what.starts_with(&format!("{name} = ")) && allowed.contains("periodic"), "{name}: {what}; {allowed}");
        }
        other => panic!("{name}: {other:?}"),
    }
}

/// The error of the problem itself, by both iterations, which must agree on it.
fn outcome(problem: &Problem) -> Option<HjbError> {
    let error = HjbSolver::new(problem, cylinder(), params()).unwrap().solve().err();
    let whole = PolicyIterationParams { hjb: params(), ..Default::default() };
    let other = PolicyIteration::new(problem, cylinder(), whole).unwrap().solve().err();
    assert_eq!(error.is_some(), other.is_some(), "{error:?} {other:?}");
    error
}

#[test]
fn coefficients_that_differ_between_the_ends_are_named() {
    let field =
        |f: fn(f64) -> [f64; 4]| Matrix::Field(Arc::new(move |_, x: &[f64], out: &mut [f64]| out.copy_from_slice(&f(x[0]))));
    assert_eq!(outcome(&smooth()), None);
    // Full matrices, one entry off the diagonal of which is not periodic, and the same with one that is.
    refused("control_matrix", outcome(&Problem { gain: field(|x| [1.0, 0.1 * x, 0.0, 1.0]), ..smooth() }));
    assert_eq!(outcome(&Problem { gain: field(|x| [1.0, 0.1 * x.cos(), 0.0, 1.0]), ..smooth() }), None);
    refused("control_weight", outcome(&Problem { weight: field(|x| [1.0, 0.1 * x, 0.1 * x, 1.0]), ..smooth() }));
    assert_eq!(outcome(&Problem { weight: field(|x| [1.0, 0.1 * x.cos(), 0.1 * x.cos(), 1.0]), ..smooth() }), None);
    // sigma with rows of length one: only a_01 differs.
    let turning = |angle: fn(f64) -> f64| {
        Matrix::Field(Arc::new(move |_, x: &[f64], out: &mut [f64]| {
            let a = angle(x[0]);
            out.copy_from_slice(&[1.0, 0.0, a.sin(), a.cos()]);
        }))
    };
    refused("sigma sigma'", outcome(&Problem { sigma: turning(|x| 0.1 * x), ..smooth() }));
    assert_eq!(outcome(&Problem { sigma: turning(|x| 0.4 * x.cos()), ..smooth() }), None);
    refused("running_reward", outcome(&Problem { running: Arc::new(|_, x| x[0]), ..smooth() }));
    // A finite set with a general cost, and a box with one.
    let finite = || ControlSet::Finite { controls: vec![vec![-1.0, 0.0], vec![0.0, 0.0], vec![1.0, 0.5]] };
    let unit = || ControlSet::Box { lower: vec![-1.0; 2], upper: vec![1.0; 2] };
    for set in [finite(), unit()] {
        let tilted = Problem { set: set.clone(), cost: Some(Arc::new(|_, x, v| (1.0 + x[0]) * v[0] * v[0])), ..smooth() };
        refused("control_cost", outcome(&tilted));
        let even = Problem { set, cost: Some(Arc::new(|_, x, v| (1.5 + x[0].cos()) * v[0] * v[0] + v[1] * v[1])), ..smooth() };
        assert_eq!(outcome(&even), None);
    }
    let finite_gain = Problem { set: finite(), gain: field(|x| [x, 0.0, 0.0, 1.0]), ..smooth() };
    refused("control_matrix", outcome(&finite_gain));
    // The forward equation reads the same coefficients.
    let zero = ZeroFeedback { dim: 2, control_dim: 2 };
    let problem = Problem { sigma: turning(|x| 0.1 * x), ..smooth() };
    let forward = FokkerPlanckParams { boundary: wrapped(), steps: 5, ..Default::default() };
    let mass = vec![1.0 / 225.0; 225];
    refused("sigma sigma'", FokkerPlanck::new(&problem, &zero, cylinder(), forward).unwrap().evolve(&mass).err());
}

#[test]
fn obstacles_targets_and_face_values_that_differ_between_the_ends_are_named() {
    let obstacle = |psi: &dyn Obstacle| HjbSolver::new(&smooth(), cylinder(), params()).unwrap().with_obstacle(psi).solve().err();
    refused("obstacle", obstacle(&|_: f64, x: &[f64]| 0.5 * x[0]));
    assert_eq!(obstacle(&|_: f64, x: &[f64]| 0.5 * x[0].cos()), None);
    let target = |set: &dyn TargetSet, placement: Placement| {
        let error = HjbSolver::new(&smooth(), cylinder(), params()).unwrap().with_target(set, placement).solve().err();
        let still = StationaryParams { boundary: wrapped(), ..Default::default() };
        let other = StationarySolver::new(&smooth(), cylinder(), still).unwrap().with_target(set, placement).solve().err();
        assert_eq!(error.is_some(), other.is_some(), "{error:?} {other:?}");
        error
    };
    for placement in [Placement::SubCell, Placement::Staircase] {
        // A set at one end only, and data that differ on one that is at both.
        refused("target.level", target(&LevelSet::new(|x: &[f64]| x[0] - 0.1, |_: &[f64]| 0.0), placement));
        let below = |x: &[f64]| x[1] + 0.53;
        refused("target.value", target(&LevelSet::new(below, |x: &[f64]| x[0]), placement));
        assert_eq!(target(&LevelSet::new(below, |x: &[f64]| x[0].cos()), placement), None);
        // A band around the axis, away from the ends.
        assert_eq!(target(&LevelSet::new(|x: &[f64]| x[0].cos() + 0.5, |x: &[f64]| x[0].cos()), placement), None);
    }
    // A boundary in the cells next to the ends would be seen from one side only.
    let near = LevelSet::new(|x: &[f64]| 0.99 - x[0].cos(), |_: &[f64]| 0.0);
    match target(&near, Placement::SubCell) {
        Some(HjbError::Unsupported { what, .. }) => assert!(what.contains("next to an end of the periodic axis 0"), "{what}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(target(&near, Placement::Staircase), None);
    let boundary = wrapped().with(1, true, Face::Dirichlet);
    let faces = |g: fn(&[f64]) -> f64| {
        let data = move |_: f64, x: &[f64]| g(x);
        let problem = smooth();
        let solver = HjbSolver::new(&problem, cylinder(), HjbParams { boundary, ..params() }).unwrap();
        solver.with_face_values(&data).solve().err()
    };
    refused("boundary", faces(|x| x[0]));
    assert_eq!(faces(|x| x[0].sin()), None);
}

#[test]
fn values_and_controls_repeat_with_the_period_and_only_other_axes_have_an_outside() {
    let (v, _) = HjbSolver::new(&smooth(), cylinder(), params()).unwrap().solve().unwrap();
    let x = PointBlock::from_points(2, &[[0.3, 0.1], [3.0, -0.6], [6.2, 0.9], [0.0, 0.0]]).unwrap();
    let mut far = x.clone();
    far.as_mut().coord_mut(0).iter_mut().zip([TAU, -3.0 * TAU, 2.0 * TAU, TAU]).for_each(|(x, period)| *x += period);
    for interpolation in [Interpolation::Cubic, Interpolation::Linear] {
        let slice = v.slice(0.13, EvaluationParams { interpolation, extrapolation: Extrapolation::Linear }).unwrap();
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        let (mut here, mut there) = (vec![0.0; 4], vec![0.0; 4]);
        slice.value(x.as_points(), &mut here).unwrap();
        let seen: Evaluation = slice.value(far.as_points(), &mut there).unwrap();
        assert!(close(&here, &there) && seen.outside == 0 && seen.farthest.is_none(), "{here:?} {there:?} {seen:?}");
        let (mut near, mut away) = (PointBlock::zeros(2, 4), PointBlock::zeros(2, 4));
        slice.gradient(x.as_points(), near.as_mut()).unwrap();
        slice.gradient(far.as_points(), away.as_mut()).unwrap();
        assert!(interpolation == Interpolation::Linear || close(near.data(), away.data()));
        slice.control(x.as_points(), near.as_mut()).unwrap();
        slice.control(far.as_points(), away.as_mut()).unwrap();
        assert!(close(near.data(), away.data()));
        let feedback = v.feedback(interpolation, Extrapolation::Linear).unwrap();
        let at = feedback.at(0.13);
        at.eval(far.as_points(), away.as_mut());
        assert_eq!(at.count_outside(far.as_points()), 0);
    }
    // Beyond the second axis there is an outside; its distance does not count the turns.
    let beyond = PointBlock::from_points(2, &[[50.0, 1.5]]).unwrap();
    let seen = v.evaluate(0.0, beyond.as_points(), EvaluationParams::default(), &mut [0.0]).unwrap();
    let farthest = seen.farthest.unwrap();
    assert_eq!((seen.outside, farthest.distance, &farthest.point[..]), (1, 0.5, &[50.0, 1.5][..]));
    // The stationary problem wraps as well.
    let still = StationaryParams { boundary: wrapped(), ..Default::default() };
    let problem = Problem { discount: 1.0, running: Arc::new(|_, x| x[0].sin()), ..smooth() };
    let (v, _) = StationarySolver::new(&problem, cylinder(), still).unwrap().solve().unwrap();
    let slice = v.slice(EvaluationParams::default()).unwrap();
    let (mut here, mut there) = (vec![0.0; 4], vec![0.0; 4]);
    slice.value(x.as_points(), &mut here).unwrap();
    assert_eq!(slice.value(far.as_points(), &mut there).unwrap().outside, 0);
    assert!(here.iter().zip(&there).all(|(a, b)| (a - b).abs() < 1e-12));
    // Without the condition at the faces it does not; one of the points is on the upper face.
    let open = HjbParams { boundary: Faces::reflecting(), ..params() };
    let (v, _) = HjbSolver::new(&smooth(), cylinder(), open).unwrap().solve().unwrap();
    assert_eq!(v.evaluate(0.0, far.as_points(), EvaluationParams::default(), &mut [0.0; 4]).unwrap().outside, 3);
}

#[test]
fn a_rotor_that_turns_many_times_meets_its_exact_value_everywhere() {
    // dX = v dt + dB on the circle, cost v^2/2, g = log(2 + cos x): V = log(2 + e^{-tau/2} cos x).
    let problem = Problem { terminal: Arc::new(|_, x| (2.0 + x[0].cos()).ln()), ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0) };
    let error = |n: usize| {
        let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(0.0, TAU, n).unwrap()]).unwrap());
        let params = HjbParams { steps: n, boundary: Face::Periodic.into(), ..Default::default() };
        let (v, _) = HjbSolver::new(&problem, grid, params).unwrap().solve().unwrap();
        let x: Vec<[f64; 1]> = (0..500).map(|k| [-20.0 + 0.083 * f64::from(k)]).collect();
        let block = PointBlock::from_points(1, &x).unwrap();
        let slice = v.slice(0.0, EvaluationParams::default()).unwrap();
        let (mut value, mut control) = (vec![0.0; 500], PointBlock::zeros(1, 500));
        assert_eq!(slice.value(block.as_points(), &mut value).unwrap().outside, 0);
        slice.control(block.as_points(), control.as_mut()).unwrap();
        let decay = (-0.5f64).exp();
        (0..500).fold((0.0f64, 0.0f64), |(a, b), k| {
            let phi = 2.0 + decay * x[k][0].cos();
            let exact_control = -decay * x[k][0].sin() / phi;
            (a.max((value[k] - phi.ln()).abs()), b.max((control.coord(0)[k] - exact_control).abs()))
        })
    };
    let (coarse, fine) = (error(41), error(81));
    println!("{coarse:?} {fine:?}");
    assert!((coarse.0 / fine.0).log2() > 1.8 && (coarse.1 / fine.1).log2() > 1.8 && fine.0 < 4e-4, "{coarse:?} {fine:?}");
}
