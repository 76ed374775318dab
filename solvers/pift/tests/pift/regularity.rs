//! Lipschitz constants handed down, and the rates of the iterates, for a reward with bounded slope and curvature.

use crate::problems::{line, schedule};
use hjbridge_model::{Extrapolation, Points, PointsMut, PointwiseFeedback, ScalarField};
use hjbridge_pift::{Ddpm, DdpmParams, DdpmParts, Inner, InnerRule, PiFt, PiFtInfo, PiFtParams};

/// r = A sin(x), with slope and curvature at most A everywhere.
struct Wave(f64);

impl ScalarField for Wave {
    fn dim(&self) -> usize {
        1
    }
    fn value(&self, x: Points<'_>, out: &mut [f64]) {
        for (o, x) in out.iter_mut().zip(x.coord(0)) {
            *o = self.0 * x.sin();
        }
    }
    fn gradient(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        for (o, x) in out.coord_mut(0).iter_mut().zip(x.coord(0)) {
            *o = self.0 * x.cos();
        }
    }
}

fn tracked(steps: usize) -> PiFtInfo {
    // A standard normal prior and a score that is wrong by a small wave, so that M_s is not zero.
    let score = PointwiseFeedback::new(1, 1, |_, y: &[f64], s: &mut [f64]| s[0] = -y[0] + 0.2 * (2.0 * y[0]).sin());
    let rate = schedule();
    let wave = Wave(1.2);
    let parts = DdpmParts {
        horizon: 2.0,
        rate: &|t| rate.rate(t),
        integral: &|t0, t1| rate.integral(t0, t1),
        score: &score,
        reward: &wave,
        kl_weight: &|t| 0.8 + 0.1 * t,
    };
    let chain = Ddpm::from_parts(DdpmParams { steps, ..Default::default() }, parts).unwrap();
    let params = PiFtParams {
        track: true,
        inner: Inner::Plain,
        rule: InnerRule::Tolerance { tol: 1e-11, max: 100 },
        extrapolation: Extrapolation::Linear,
        ..Default::default()
    };
    PiFt::new(&chain, line(-4.0 * std::f64::consts::PI, 4.0 * std::f64::consts::PI, 801), params)
        .unwrap()
        .solve_observed(&mut |_| ())
        .unwrap()
}

#[test]
fn lipschitz_bounds_hold_for_values_and_iterates() {
    let info = tracked(32);
    let mut closest = 0.0f64;
    for s in &info.steps {
        let r = s.regularity.as_ref().unwrap();
        assert!(s.rho < 1.0 && (r.mean_map - (1.0 + (1.0 - s.alpha) * r.score) / s.alpha.sqrt()).abs() < 1e-14);
        assert!(r.value <= r.value_bound, "k = {}: {r:?}", s.k);
        assert!(r.gradient <= r.gradient_bound.unwrap(), "k = {}: {r:?}", s.k);
        for i in &s.iterates {
            assert!(i.lipschitz_value <= r.value_bound * (1.0 + 1e-9), "k = {}: {i:?}, bound {}", s.k, r.value_bound);
            let bound = r.gradient_bound.unwrap();
            assert!(i.lipschitz_gradient <= bound * (1.0 + 1e-9), "k = {}: {i:?}, bound {bound}", s.k);
            closest = closest.max(i.lipschitz_gradient / bound);
        }
    }
    // the bound is no idle one
    assert!(closest > 0.4, "{closest}");
    // The score itself: L_s = 1 + 0.4 at cos = -1, M_s = 0.8.
    let r = info.steps[0].regularity.as_ref().unwrap();
    assert!((r.score - 1.4).abs() < 1e-3 && (r.score_gradient - 0.8).abs() < 2e-3, "{r:?}");
    // Lip(V_N) = Lip(grad V_N) = 1.2 enter the bounds of the last step.
    let last = &info.steps[31];
    let r = last.regularity.as_ref().unwrap();
    assert!((r.value_bound / r.mean_map - 1.2).abs() < 1e-6);
    assert!((last.rho - 1.2 * last.sigma.powi(2) / last.kl_weight).abs() < 1e-4);
}

#[test]
fn iterates_contract_at_rho_and_values_at_rho_squared() {
    let info = tracked(8);
    let mut compared = 0;
    for s in &info.steps {
        let gap = |m: usize| s.iterates[m].value_gap;
        for pair in s.iterates.windows(2) {
            if pair[1].update > 1e-9 {
                assert!(pair[1].update <= s.rho * pair[0].update * (1.0 + 1e-6), "k = {}: {pair:?}", s.k);
            }
        }
        // The value is quadratic in the gap of the control: (1-rho)/(2 lam) and (1+rho)/(2 lam) times its square, and the gap of
        // iterate m is at most rho^m times that of iterate 0, so rho^(2m) up to the ratio of the two constants.
        for m in 1..s.iterates.len() {
            let bound = s.rho.powi(2 * m as i32) * gap(0) * (1.0 + s.rho) / (1.0 - s.rho);
            assert!(gap(m) <= bound + 1e-12, "k = {}, m = {m}: {} > {bound}", s.k, gap(m));
            compared += usize::from(gap(m) > 1e-9);
        }
    }
    assert!(compared > 10, "only {compared} gaps above rounding");
}
