//! From the levels of a solver to the times that are wanted.
//!
//! Times that are levels are taken as they are. Others are interpolated: V by the cubic through the four nearest levels
//! (order 4), the control linearly, which keeps bounds; from a finite set, the control of the nearest level.

use hjbridge_model::ControlSet;
use std::collections::VecDeque;

/// Receives (t, V, v) at the wanted times, the latest first.
pub(crate) type Receiver<'o> = dyn FnMut(f64, &[f64], &[f64]) + 'o;

struct Level {
    step: usize,
    value: Vec<f64>,
    control: Vec<f64>,
}

/// One wanted time and the levels it needs.
struct Want {
    t: f64,
    /// First level and their number: 1 (a hit) or up to 4.
    first: usize,
    count: usize,
}

/// Feeds a receiver with the wanted times while levels arrive in descending order.
pub(crate) struct LevelSink<'o> {
    h: f64,
    nearest_control: bool,
    /// Ascending; the last one is next.
    wants: Vec<Want>,
    needed: Vec<usize>,
    kept: VecDeque<Level>,
    receive: &'o mut Receiver<'o>,
}

impl<'o> LevelSink<'o> {
    /// Wanted `times`, ascending, for levels 0..=steps of [0, horizon].
    pub fn new(times: &[f64], horizon: f64, steps: usize, set: &ControlSet, receive: &'o mut Receiver<'o>) -> Self {
        let h = horizon / steps as f64;
        let wants: Vec<Want> = times
            .iter()
            .map(|&t| {
                let place = t / h;
                let level = place.round();
                if (place - level).abs() <= 1e-9 * place.abs().max(1.0) {
                    return Want { t, first: (level as usize).min(steps), count: 1 };
                }
                let count = (steps + 1).min(4);
                Want { t, first: (place as usize).saturating_sub(1).min(steps + 1 - count), count }
            })
            .collect();
        let mut needed: Vec<usize> = wants.iter().flat_map(|w| w.first..w.first + w.count).collect();
        needed.sort_unstable();
        needed.dedup();
        let nearest_control = matches!(set, ControlSet::Finite { .. });
        LevelSink { h, nearest_control, wants, needed, kept: VecDeque::new(), receive }
    }

    /// Take the solution at level `step`.
    pub fn take(&mut self, step: usize, value: &[f64], control: &[f64]) {
        if self.needed.binary_search(&step).is_err() {
            return;
        }
        self.kept.push_front(Level { step, value: value.to_vec(), control: control.to_vec() });
        while let Some(want) = self.wants.pop_if(|w| w.first == step) {
            if want.count == 1 {
                (self.receive)(want.t, value, control);
            } else {
                self.between(&want);
            }
        }
        // Levels above all that the remaining times need.
        let highest = self.wants.iter().map(|w| w.first + w.count).max().unwrap_or(0);
        while self.kept.back().is_some_and(|l| l.step >= highest) {
            self.kept.pop_back();
        }
    }

    fn between(&mut self, want: &Want) {
        let levels: Vec<&Level> = self.kept.iter().filter(|l| (want.first..want.first + want.count).contains(&l.step)).collect();
        let Some(lowest) = levels.first() else { return };
        let place = want.t / self.h;
        let mut value = vec![0.0; lowest.value.len()];
        for a in &levels {
            let others = levels.iter().filter(|b| b.step != a.step).map(|b| b.step as f64);
            let weight: f64 = others.map(|b| (place - b) / (a.step as f64 - b)).product();
            value.iter_mut().zip(&a.value).for_each(|(o, v)| *o += weight * v);
        }
        let below = levels.iter().rev().find(|l| l.step as f64 <= place).unwrap_or(lowest);
        let above = levels.iter().find(|l| l.step as f64 >= place).unwrap_or(below);
        let mut weight = place - below.step as f64;
        if self.nearest_control {
            weight = weight.round();
        }
        let control: Vec<f64> = below.control.iter().zip(&above.control).map(|(b, a)| (1.0 - weight) * b + weight * a).collect();
        (self.receive)(want.t, &value, &control);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_exact_cubics_are_interpolated_exactly_and_the_order_is_descending() {
        let (horizon, steps) = (2.0, 10);
        let f = |t: f64| 1.0 + t - 0.5 * t * t + 0.3 * t * t * t;
        for (set, expected) in [(ControlSet::Free, 1.35), (ControlSet::Finite { controls: vec![vec![0.0]] }, 1.4)] {
            let times = [0.0, 0.1, 0.4, 1.35, 1.97, 2.0];
            let mut seen: Vec<(f64, f64, f64)> = Vec::new();
            let mut receive = |t: f64, v: &[f64], c: &[f64]| seen.push((t, v[0], c[0]));
            let mut sink = LevelSink::new(&times, horizon, steps, &set, &mut receive);
            for k in (0..=steps).rev() {
                let t = k as f64 * 0.2;
                sink.take(k, &[f(t)], &[t]);
                assert!(sink.kept.len() <= 5);
            }
            assert_eq!(seen.iter().rev().map(|s| s.0).collect::<Vec<_>>(), times);
            assert!(seen.iter().all(|s| (s.1 - f(s.0)).abs() < 1e-13), "{seen:?}");
            assert!((seen[2].2 - expected).abs() < 1e-13, "{seen:?}");
        }
    }
}
