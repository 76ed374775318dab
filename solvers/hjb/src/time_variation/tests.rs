use super::*;
use crate::time::Time;
use hjbridge_model::grid::Axis;
use hjbridge_model::{Points, PointsMut};

/// Running reward f(t) cos x; the drift and the rest are constant.
struct Source<F>(F, f64);

struct At(f64);

impl Coefficients for At {
    fn drift(&self, _: Points<'_>, mut out: PointsMut<'_>) {
        out.fill(0.0);
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn running_reward(&self, x: Points<'_>, out: &mut [f64]) {
        out.iter_mut().zip(x.coord(0)).for_each(|(o, x)| *o = self.0 * x.cos());
    }
}

impl<F: Fn(f64) -> f64 + Send + Sync> ControlledDiffusion for Source<F> {
    fn dim(&self) -> usize {
        1
    }
    fn control_dim(&self) -> usize {
        1
    }
    fn horizon(&self) -> f64 {
        self.1
    }
    fn at(&self, t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(At((self.0)(t)))
    }
    fn terminal_reward(&self, _: Points<'_>, out: &mut [f64]) {
        out.fill(0.0);
    }
}

fn scan(f: impl Fn(f64) -> f64 + Send + Sync, horizon: f64) -> TimeVariation {
    let grid = TensorGrid::new(vec![Axis::uniform(-1.0, 1.0, 41).unwrap()]).unwrap();
    TimeVariation::of(&Source(f, horizon), &grid)
}

#[test]
fn jumps_are_found_to_the_last_bit_and_smooth_functions_have_none() {
    for width in [0.2, 0.02, 0.005, 0.002] {
        let pulse = move |t: f64| if t > 0.62 && t < 0.62 + width { 10.0 } else { 0.0 };
        let found = scan(pulse, 2.0);
        assert_eq!(found.jumps.len(), 2, "{width} {found:?}");
        for (jump, place) in found.jumps.iter().zip([0.62, 0.62 + width]) {
            assert!(jump.below <= place && jump.above >= place && jump.above - jump.below < 1e-15, "{width} {jump:?}");
            assert!(pulse(jump.below) != pulse(jump.above) && jump.what == "the running reward");
        }
        assert!(found.quick.is_empty(), "{found:?}");
        let segments = found.segments();
        assert_eq!((segments.len(), segments[0].1, segments[2].0), (3, 2.0, 0.0));
        assert_eq!((segments[1].0, segments[1].1), (found.jumps[0].above, found.jumps[1].below));
    }
    // A small jump on top of a large trend; many jumps.
    assert_eq!(scan(|t| 100.0 * t.exp() + if t > 0.3 { 1e-3 } else { 0.0 }, 1.0).jumps.len(), 1);
    assert_eq!(scan(|t| (10.0 * t + 0.37).floor() % 3.0, 1.0).jumps.len(), 10);
    for smooth in [|t: f64| t, |t: f64| (3.0 * t).sin(), |t: f64| (4.0 * t).exp(), |_| 1.0, |t: f64| 1.0 / (0.2 + t)] {
        let found = scan(smooth, 1.0);
        assert!(found.jumps.is_empty() && found.quick.is_empty(), "{found:?}");
    }
    // Kinks and fast waves do not jump.
    for rough in [|t: f64| (t - 0.377).abs(), |t: f64| (200.0 * t).sin(), |t: f64| (1e4 * (t - 0.377)).tanh()] {
        assert!(scan(rough, 1.0).jumps.is_empty());
    }
    assert!(scan(|t| if t < 0.4 { f64::NAN } else { t }, 1.0).jumps.is_empty());
}

#[test]
fn quick_variation_is_bracketed() {
    for (centre, width) in [(0.31, 0.01), (0.9, 0.003)] {
        let found = scan(move |t: f64| (-0.5 * ((t - centre) / width).powi(2)).exp(), 1.0);
        assert!(found.jumps.is_empty() && !found.quick.is_empty());
        assert!(found.quick.iter().all(|(a, b)| (0.5 * (a + b) - centre).abs() < 0.07 + 8.0 * width), "{found:?}");
        // Coming down from T one stops before it, and steps in it are short.
        let (stop, step) = found.next_stop(1.0);
        assert!(stop > centre && (step == f64::INFINITY || stop > 0.9), "{found:?}");
        let (stop, step) = found.next_stop(centre);
        assert!(stop < centre && centre - stop < 8.0 * width && step < 2.0 * width, "{found:?}");
        assert_eq!(found.next_stop(0.1).0, f64::NEG_INFINITY);
    }
    assert!(scan(|t: f64| (200.0 * t).sin(), 1.0).quick.len() >= 16);
}

#[test]
fn with_the_defect_every_scheme_integrates_a_pulse_exactly() {
    let pulse = |t: f64| if t > 0.31 && t < 0.314 { 10.0 } else { 0.0 };
    let bump = |t: f64| 1.0 + (-0.5 * ((t - 0.7) / 0.01f64).powi(2)).exp();
    let area = 1.0 + 0.01 * (2.0 * std::f64::consts::PI).sqrt();
    for (f, exact) in [(pulse as fn(f64) -> f64, 0.04), (bump, area)] {
        let found = scan(f, 1.0);
        for time in [Time::ImplicitEuler, Time::CrankNicolson, Time::TrBdf2] {
            for steps in [10, 25, 64] {
                let h = 1.0 / steps as f64;
                let (mut v, mut before, mut left, mut older) = (0.0, 0.0, 1.0, 1.0);
                for stage in time.stages(h, steps) {
                    let new = stage.remaining(h, steps);
                    let times = StageTimes { new, left, older };
                    let source = |t: f64, out: &mut [f64]| {
                        out[0] = f(t);
                        Ok(())
                    };
                    let extra = stage_defect(&found, &stage, times, 1, source).unwrap().map_or(0.0, |d| d[0]);
                    let next = stage.last * v + stage.older * before + stage.explicit * f(left) + stage.implicit * f(new) + extra;
                    (before, v) = (v, next);
                    (older, left) = (left, new);
                }
                // The tails of the bump are left to the scheme.
                assert!((v - exact).abs() < 1e-6 && (exact > 1.0 || (v - exact).abs() < 1e-13), "{time:?} {steps}: {v} {exact}");
            }
        }
    }
}
