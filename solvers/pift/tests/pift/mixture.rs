//! Discrete against continuous on a 1-D mixture with a closed form.

use crate::problems::{line, mixture, sup_center};
use hjbridge_model::exact::{ClosedForm, TiltedMixture};
use hjbridge_model::{PointBlock, Region};
use hjbridge_pift::{BellmanKind, Ddpm, DdpmParams, InnerRule, PiFt, PiFtInfo, PiFtParams};

/// sup over |y| <= 3 and all t_k < T of the errors of V_k and u_k against the continuous problem.
fn errors(steps: usize, nodes: usize) -> (f64, f64, PiFtInfo) {
    let problem = mixture();
    let exact = TiltedMixture::new(&problem).unwrap();
    let grid = line(-6.0, 6.0, nodes);
    let points = grid.points();
    let chain = Ddpm::new(&problem, DdpmParams { steps, ..Default::default() }).unwrap();
    let params = PiFtParams { region: Region::cube(1, 3.0).ok(), ..Default::default() };
    let (mut dv, mut du) = (0.0f64, 0.0f64);
    let mut v = vec![0.0; points.len()];
    let mut u = PointBlock::zeros(1, points.len());
    let info = PiFt::new(&chain, grid.clone(), params)
        .unwrap()
        .solve_observed(&mut |view| {
            let Some(control) = view.control else { return };
            let slice = exact.at(view.t);
            slice.value(points.as_points(), &mut v);
            slice.control(points.as_points(), u.as_mut());
            dv = dv.max(sup_center(&grid, &v, view.value));
            du = du.max(sup_center(&grid, u.data(), control));
        })
        .unwrap();
    (dv, du, info)
}

#[test]
fn errors_and_contraction_against_the_continuous_problem() {
    // Reference figures from an independent implementation on the same grid.
    let expected = [(32, 2.584e-2, 0.395, 0.100), (64, 1.367e-2, 0.238, 0.063), (128, 7.06e-3, 0.135, 0.036)];
    for (steps, value, control, contraction) in expected {
        let (dv, du, info) = errors(steps, 801);
        let seen = info.max_contraction().unwrap();
        assert!((dv / value - 1.0).abs() < 0.02, "N = {steps}: V error {dv}, not {value}");
        assert!((du / control - 1.0).abs() < 0.02, "N = {steps}: u error {du}, not {control}");
        assert!((seen / contraction - 1.0).abs() < 0.02, "N = {steps}: contraction {seen}, not {contraction}");
    }
}

#[test]
fn the_contraction_seen_is_below_the_one_promised() {
    // Over the whole grid: on a smaller region the kernel sees curvature from outside.
    let problem = mixture();
    for steps in [16, 64] {
        let chain = Ddpm::new(&problem, DdpmParams { steps, ..Default::default() }).unwrap();
        let mut seen = 0;
        let info = PiFt::new(&chain, line(-6.0, 6.0, 801), PiFtParams::default()).unwrap().solve_observed(&mut |_| ()).unwrap();
        for s in &info.steps {
            assert!(s.contraction.is_none_or(|c| c <= s.rho * 1.0001), "N = {steps}, k = {}: {s:?}", s.k);
            seen += usize::from(s.contraction.is_some());
        }
        assert_eq!(seen, steps);
    }
}

#[test]
fn order_one_in_the_step() {
    let (v1, u1, _) = errors(256, 801);
    let (v2, u2, _) = errors(512, 801);
    let (of_value, of_control) = ((v1 / v2).log2(), (u1 / u2).log2());
    assert!((0.97..1.02).contains(&of_value), "order of the value {of_value}");
    assert!((0.92..1.02).contains(&of_control), "order of the control {of_control}");
}

#[test]
fn space_error_is_far_below_time_error() {
    let (coarse, _, _) = errors(32, 401);
    let (fine, _, _) = errors(32, 801);
    assert!((coarse - fine).abs() < 1e-3 * fine, "401 nodes: {coarse}, 801 nodes: {fine}");
}

/// All values of a sweep, one after the other.
fn values(steps: usize, bellman: BellmanKind, rule: InnerRule) -> Vec<Vec<f64>> {
    let problem = mixture();
    let chain = Ddpm::new(&problem, DdpmParams { steps, ..Default::default() }).unwrap();
    let params = PiFtParams { bellman, rule, ..Default::default() };
    PiFt::new(&chain, line(-6.0, 6.0, 401), params).unwrap().solve().unwrap().values
}

#[test]
fn any_policy_below_mean_shift_below_soft() {
    let grid = line(-6.0, 6.0, 401);
    let inside: Vec<usize> = (0..401).filter(|&j| grid.axis(0).nodes()[j].abs() <= 3.0).collect();
    let best = InnerRule::default();
    let gap_to_soft = |steps: usize| {
        let pretrained = values(steps, BellmanKind::MeanShift, InnerRule::Fixed(0));
        let once = values(steps, BellmanKind::MeanShift, InnerRule::Fixed(1));
        let optimal = values(steps, BellmanKind::MeanShift, best);
        let soft = values(steps, BellmanKind::Soft, best);
        let (mut widest, mut strict) = (0.0f64, 0);
        for k in 0..steps {
            for &j in &inside {
                assert!(pretrained[k][j] <= once[k][j] + 1e-12, "k = {k}, node {j}");
                assert!(once[k][j] <= optimal[k][j] + 1e-12, "k = {k}, node {j}");
                assert!(optimal[k][j] <= soft[k][j] + 1e-12, "k = {k}, node {j}");
                widest = widest.max(soft[k][j] - optimal[k][j]);
                strict += usize::from(pretrained[k][j] + 1e-6 < once[k][j] && optimal[k][j] + 1e-6 < soft[k][j]);
            }
        }
        assert!(strict > steps * inside.len() / 2, "the sandwich is strict almost everywhere: {strict}");
        widest
    };
    // The gap between the two Bellman equations over the whole chain is O(h).
    let ratio = gap_to_soft(64) / gap_to_soft(128);
    assert!((1.7..2.2).contains(&ratio), "gap ratio {ratio}");
}
