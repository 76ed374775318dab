//! Threads and batches.

use crate::model::{line, square, two_modes};
use hjbridge::hjb::linear::LinearSolverChoice;
use hjbridge::hjb::smooth::{Output, SmoothParams, SmoothSolver};
use hjbridge::hjb::{HjbParams, HjbSolver, Storage};
use hjbridge::model::{FineTuning, GaussianMixture, InitialLaw, KlWeight, PointwiseFeedback, Reward, Schedule};
use hjbridge::pift::{Ddpm, DdpmParams, PiFt, PiFtParams};
use hjbridge::rollout::{Ensemble, InitialState, Record, RolloutParams};

#[test]
fn neither_threads_nor_batches_change_a_bit() {
    // Seen: 500 of 2000 paths equal on one and on two threads; noise that depends on the batch.
    let covariance = vec![vec![0.3, 0.1], vec![0.1, 0.4]];
    let prior = GaussianMixture::new(vec![0.5, 0.5], vec![vec![-1.0, 0.0], vec![1.0, 0.5]], vec![covariance.clone(), covariance]);
    let reward = Reward::quadratic(&[vec![0.5, 0.1], vec![0.1, 0.3]], vec![0.4, -0.2], 0.0).unwrap();
    let schedule = Schedule::linear(2.0, 0.5, 3.0).unwrap();
    let kl = KlWeight::constant(0.8).unwrap();
    let plane = FineTuning::new(schedule, prior.unwrap(), reward, kl, InitialLaw::NoisedPrior).unwrap();
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let bits = |a: &[f64]| -> Vec<u64> { a.iter().map(|x| x.to_bits()).collect() };

    let smooth = |threads| {
        let params = SmoothParams { order: 6, rtol: 1e-3, atol: 1e-3, output: Output::Times(vec![0.0]), ..Default::default() };
        let solver = SmoothSolver::new(&plane, square(5.0, 81), params).unwrap();
        let (v, _) = pool(threads).install(|| solver.solve()).unwrap();
        (bits(v.value(0)), bits(v.control(0)))
    };
    let implicit = |threads| {
        [
            LinearSolverChoice::SparseLu,
            LinearSolverChoice::BiCgStab(Default::default()),
            LinearSolverChoice::Multigrid(Default::default()),
        ]
        .map(|linear| {
            let params = HjbParams { steps: 3, linear, storage: Storage::AtMost(2), ..Default::default() };
            let solver = HjbSolver::new(&plane, square(5.0, 41), params).unwrap();
            let (v, _) = pool(threads).install(|| solver.solve()).unwrap();
            (bits(v.value(0)), bits(v.control(0)))
        })
    };
    let two_modes = two_modes();
    let chain = Ddpm::new(&two_modes, DdpmParams { steps: 8, ..Default::default() }).unwrap();
    let pift = |threads| {
        let params = PiFtParams { threads, ..Default::default() };
        let solution = PiFt::new(&chain, line(-5.0, 5.0, 201), params).unwrap().solve().unwrap();
        (bits(&solution.values[0]), bits(&solution.controls[0]))
    };
    let sway = PointwiseFeedback::new(2, 2, |t: f64, x: &[f64], v: &mut [f64]| {
        v[0] = (t + x[1]).sin();
        v[1] = -0.3 * x[0];
    });
    let ensemble = |paths, threads| {
        let params = RolloutParams { paths, steps: 12, seed: 7, threads, ..Default::default() };
        let record = Record { final_states: true, objectives: true, ..Default::default() };
        let start = InitialState::Law(plane.initial_law());
        Ensemble::new(&plane, &sway, start, params).unwrap().with_record(record).unwrap()
    };
    let long = ensemble(3000, Some(1)).run().unwrap().0;
    let one = (smooth(1), implicit(1), pift(1));
    for threads in [2, 3] {
        assert!(one.0 == smooth(threads), "smooth on {threads} threads");
        assert!(one.1 == implicit(threads), "implicit on {threads} threads");
        assert!(one.2 == pift(threads), "PI-FT on {threads} threads");
        assert!(long == ensemble(3000, Some(threads)).run().unwrap().0, "rollout on {threads} threads");
    }
    let (states, objectives) = (long.final_states.unwrap(), long.objectives.unwrap());
    let short = ensemble(100, None).run().unwrap().0;
    assert_eq!(short.objectives.unwrap(), objectives[..100]);
    for replayed in ensemble(3000, None).replay_all(&[2999, 0, 1234, 64, 63]).unwrap() {
        let path = replayed.path as usize;
        assert!((0..2).all(|i| replayed.states.coord(i)[12] == states.coord(i)[path]));
        assert_eq!(replayed.objective(), objectives[path]);
    }
}
