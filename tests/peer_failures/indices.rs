//! Levels, nodes and boxes that floating point puts off by one.

use crate::model::{BROWNIAN, Model, line, two_modes};
use hjbridge::hjb::smooth::{Output, SmoothParams, SmoothSolver};
use hjbridge::hjb::{FokkerPlanck, FokkerPlanckParams, HjbParams, HjbSolver, Time};
use hjbridge::model::{
    Axis, CubicSpline, Extrapolation, Feedback, FineTuning, GaussianMixture, InitialLaw, Interpolation, KlWeight,
    LinearInterpolant, PointBlock, Points, ScalarField, Schedule, TableFeedback, TensorGrid, ZeroFeedback,
};
use hjbridge::pift::{Ddpm, DdpmParams, PiFt, PiFtParams};
use hjbridge::rollout::{Ensemble, InitialState, RolloutParams};
use std::sync::Arc;

#[test]
fn a_horizon_that_the_step_does_not_divide_in_floating_point_has_all_its_levels() {
    // Seen: a level too many or too few from `while t < T` and from truncating T/h.
    let problem = two_modes();
    let grid = line(-5.0, 5.0, 41);
    for (horizon, steps) in [(1.0, 49), (0.7, 35), (0.7, 79), (0.3, 37), (2.0, 98)] {
        let h: f64 = horizon / steps as f64;
        let sum = (0..steps).fold(0.0, |t, _| t + h);
        assert!(sum != horizon && steps as f64 * h != horizon, "{horizon} {steps} tests nothing");
        // Every route ends at T itself, not at N h.
        let levels = |name: &str, times: &[f64]| {
            assert_eq!(times.len(), steps + 1, "{name} {horizon} {steps}");
            assert_eq!((times[0], times[steps]), (0.0, horizon), "{name} {horizon} {steps}");
            assert!(
                (0..=steps).all(|k| (times[k] - k as f64 * h).abs() <= 4.0 * f64::EPSILON * horizon),
                "{name} {horizon} {steps}"
            );
        };
        let model = Model { drift: |_, x, f| f[0] = -x[0], control_dim: 1, horizon, ..BROWNIAN };
        for time in [Time::ImplicitEuler, Time::CrankNicolson, Time::TrBdf2] {
            let params = HjbParams { steps, time, ..Default::default() };
            levels(time.name(), HjbSolver::new(&model, grid.clone(), params).unwrap().solve().unwrap().0.times());
        }
        let params = SmoothParams { output: Output::Levels(steps), ..Default::default() };
        levels("smooth", SmoothSolver::new(&model, grid.clone(), params).unwrap().solve().unwrap().0.times());
        let zero = ZeroFeedback { dim: 1, control_dim: 1 };
        let mut mass = grid.volumes();
        mass.iter_mut().for_each(|m| *m /= 10.0);
        let params = FokkerPlanckParams { steps, ..Default::default() };
        levels("Fokker-Planck", FokkerPlanck::new(&model, &zero, grid.clone(), params).unwrap().evolve(&mass).unwrap().0.times());
        let params = RolloutParams { paths: 2, steps, ..Default::default() };
        let ensemble = Ensemble::new(&model, &zero, InitialState::Point(vec![0.0]), params).unwrap();
        levels("rollout", &ensemble.replay(0).unwrap().times);
        let schedule = Schedule::linear(horizon, 0.5, 3.0).unwrap();
        let prior = GaussianMixture::standard_normal(1).unwrap();
        let problem =
            FineTuning::new(schedule, prior, problem.reward().clone(), KlWeight::constant(0.7).unwrap(), InitialLaw::NoisedPrior);
        let problem = problem.unwrap();
        let chain = Ddpm::new(&problem, DdpmParams { steps, ..Default::default() }).unwrap();
        levels("PI-FT", &PiFt::new(&chain, grid.clone(), PiFtParams::default()).unwrap().solve().unwrap().times);
    }
}

#[test]
fn a_look_up_at_a_node_is_the_value_of_the_node() {
    // Seen: (int)((x - lower)/h) one cell low at nodes such as 3 * 0.1. The data jump, so that a neighbour would be noticed.
    let data = |n: usize| -> Vec<f64> { (0..n).map(|j| ((j * 7919 + 13) % 101) as f64 - 50.0).collect() };
    let tenths: Vec<f64> = (0..=60).map(|k| 0.1 * f64::from(k)).collect();
    let axes = [
        (Axis::uniform(0.0, 6.0, 61).unwrap(), tenths.clone()),
        (Axis::uniform(-0.3, 1.7, 21).unwrap(), (0..21).map(|k| -0.3 + 0.1 * f64::from(k)).collect()),
        (Axis::from_nodes(tenths.clone()).unwrap(), tenths.clone()),
        (Axis::stretched(-1.0, 3.0, 37, 0.3, 2.0).unwrap(), Axis::stretched(-1.0, 3.0, 37, 0.3, 2.0).unwrap().nodes().to_vec()),
    ];
    for (axis, asked) in axes {
        let n = axis.len();
        let (grid, values) = (Arc::new(TensorGrid::new(vec![axis]).unwrap()), data(n));
        let linear = LinearInterpolant::new(grid.clone(), &values, Extrapolation::Linear).unwrap();
        let cubic = CubicSpline::new(grid.clone(), &values, Extrapolation::Linear).unwrap();
        let slices = vec![values.clone(), values.iter().map(|v| -v).collect()];
        // At the nodes as stored, and as the user computes them.
        for points in [grid.axis(0).nodes().to_vec(), asked] {
            let x = PointBlock::from_points(1, &points.iter().map(|x| [*x]).collect::<Vec<_>>()).unwrap();
            let fields: [&dyn ScalarField; 2] = [&linear, &cubic];
            for field in fields {
                let mut out = vec![0.0; n];
                field.value(x.as_points(), &mut out);
                assert!(out.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-11), "{out:?}");
            }
            for interpolation in [Interpolation::Linear, Interpolation::Cubic] {
                let table =
                    TableFeedback::new(grid.clone(), vec![0.0, 0.3], slices.clone(), 1, interpolation, Extrapolation::Linear);
                let (table, mut out) = (table.unwrap(), PointBlock::zeros(1, n));
                for (t, sign) in [(0.0, 1.0), (0.3, -1.0), (0.1 + 0.2, -1.0)] {
                    table.at(t).eval(x.as_points(), out.as_mut());
                    assert!(out.coord(0).iter().zip(&values).all(|(a, b)| (a - sign * b).abs() < 1e-11), "{t} {out:?}");
                }
            }
        }
    }
    // The same in time: 31 slices at 0.1 k, asked for at each of them.
    let grid = line(0.0, 1.0, 5);
    let times: Vec<f64> = (0..31).map(|k| 0.1 * f64::from(k)).collect();
    let slices = data(31).iter().map(|v| vec![*v; 5]).collect();
    let table = TableFeedback::new(grid, times.clone(), slices, 1, Interpolation::Linear, Extrapolation::Clamp).unwrap();
    for (t, expected) in times.iter().zip(data(31)) {
        let mut out = PointBlock::zeros(1, 1);
        table.at(*t).eval(Points::new(&[0.4], 1), out.as_mut());
        assert_eq!(out.coord(0)[0], expected, "{t}");
    }
}

#[test]
fn a_box_that_the_spacing_does_not_divide_keeps_its_ends() {
    // Seen: the last node beyond or short of the box, or a last cell of another length.
    for (lower, upper, nodes) in [(-0.3, 1.7, 8), (0.1, 0.7, 7), (-2.75, 2.75, 551), (0.0, 1.0, 50), (-1e-3, 3.3e3, 98)] {
        let axis = Axis::uniform(lower, upper, nodes).unwrap();
        let x = axis.nodes();
        assert_eq!((x.len(), x[0], x[nodes - 1]), (nodes, lower, upper));
        let h: f64 = (upper - lower) / (nodes - 1) as f64;
        let slack = 4.0 * f64::EPSILON * upper.abs().max(lower.abs());
        assert!(x.windows(2).all(|w| (w[1] - w[0] - h).abs() <= slack), "{lower} {upper} {nodes}");
        let stretched = Axis::stretched(lower, upper, nodes, 0.5, 1.5).unwrap();
        assert_eq!((stretched.nodes()[0], stretched.nodes()[nodes - 1]), (lower, upper));
        assert!(stretched.nodes().windows(2).all(|w| w[1] > w[0]));
    }
}
