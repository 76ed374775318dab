//! Discrete against continuous on a 1-D mixture with a closed form.

use crate::problems::{line, mixture, sup_center};
use hjbridge_model::exact::{ClosedForm, TiltedMixture};
use hjbridge_model::{PointBlock, Region};
use hjbridge_pift::{BellmanKind, Ddpm, DdpmParams, InnerRule, PiFt, PiFtInfo, PiFtParams, VarianceRule};

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

/// With the posterior variance sig_k^2/(1-a_k) is j/(j+1) + O(h) at step k = N-1-j, and so is (u_k - s_k)/(U* - s): nothing in it
/// tends to 1 at a fixed j. These steps span a time of order h, so V converges all the same, and u at a fixed time does.
#[test]
fn under_the_posterior_variance_values_converge_and_the_last_controls_do_not() {
    let problem = mixture();
    let exact = TiltedMixture::new(&problem).unwrap();
    let grid = line(-6.0, 6.0, 801);
    let points = grid.points();
    // sup of the errors of V, of u over all steps with noise and of u over t <= T/2; the gains at j = 1, 2, 3
    let run = |steps: usize| {
        let chain = Ddpm::new(&problem, DdpmParams { steps, variance: VarianceRule::Posterior, ..Default::default() }).unwrap();
        let (mut dv, mut du, mut early, mut gains) = (0.0f64, 0.0f64, 0.0f64, Vec::new());
        let (mut v, mut u) = (vec![0.0; points.len()], PointBlock::zeros(1, points.len()));
        let mut s = PointBlock::zeros(1, points.len());
        let observe = &mut |view: hjbridge_pift::StepView<'_>| {
            let Some(control) = view.control.filter(|_| view.k + 1 < steps) else { return };
            let slice = exact.at(view.t);
            slice.value(points.as_points(), &mut v);
            slice.control(points.as_points(), u.as_mut());
            dv = dv.max(sup_center(&grid, &v, view.value));
            let gap = sup_center(&grid, u.data(), control);
            du = du.max(gap);
            early = if view.t <= 1.0 { early.max(gap) } else { early };
            if steps - 1 - view.k <= 3 {
                problem.score().at(view.t).eval(points.as_points(), s.as_mut());
                // where the optimal shift is largest in |y| <= 3
                let nodes = (0..grid.len()).filter(|&j| grid.axis(0).nodes()[j].abs() <= 3.0);
                let shift = |j: usize| u.data()[j] - s.data()[j];
                let j = nodes.max_by(|&a, &b| shift(a).abs().total_cmp(&shift(b).abs())).unwrap();
                gains.push((control[j] - s.data()[j]) / shift(j));
            }
        };
        PiFt::new(&chain, grid.clone(), PiFtParams::default()).unwrap().solve_observed(observe).unwrap();
        (dv, du, early, gains)
    };
    let (coarse, fine) = (run(64), run(256));
    println!("posterior variance, V, u, u for t <= T/2, gains: {coarse:?} {fine:?}");
    assert!(fine.0 < 0.5 * coarse.0 && fine.2 < 0.5 * coarse.2, "{coarse:?} {fine:?}");
    assert!(fine.1 > coarse.1 && fine.1 > 1.0, "{coarse:?} {fine:?}");
    for (gain, expected) in fine.3.iter().zip([0.5, 2.0 / 3.0, 0.75]) {
        assert!((gain - expected).abs() < 0.05, "{gain}, not {expected}: {:?}", fine.3);
    }
    assert_eq!(fine.3.len(), 3);
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
