//! The value function and the optimal control on the grid, at stored times.

use crate::error::HjbError;
use crate::evaluation::{Evaluation, EvaluationParams, ValueSlice};
use hjbridge_model::Points;
use hjbridge_model::grid::{Extrapolation, GridFunction, Interpolation, TableFeedback, TensorGrid};
use serde::Serialize;
use std::sync::Arc;

/// Which of the time levels 0..=N are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub enum Storage {
    /// All of them.
    #[default]
    All,
    /// At most this many (at least 2), among them t = 0 and t = T, as evenly spaced as integers allow.
    AtMost(usize),
}

impl Storage {
    pub(crate) fn validate(self) -> Result<(), HjbError> {
        match self {
            Storage::AtMost(count) if count < 2 => {
                Err(HjbError::invalid("storage", format!("AtMost({count})"), "at least 2 (t = 0 and t = T)"))
            }
            _ => Ok(()),
        }
    }

    /// The levels kept for N steps, ascending.
    pub fn levels(self, steps: usize) -> Vec<usize> {
        match self {
            Storage::AtMost(count) if count >= 2 && count <= steps => {
                (0..count).map(|i| (2 * i * steps + count - 1) / (2 * (count - 1))).collect()
            }
            _ => (0..=steps).collect(),
        }
    }
}

/// V and the optimal control v at stored times, ascending in generation time.
#[derive(Clone, Debug)]
pub struct ValueFunction {
    grid: Arc<TensorGrid>,
    control_dim: usize,
    times: Vec<f64>,
    values: Vec<Vec<f64>>,
    controls: Vec<Vec<f64>>,
}

impl ValueFunction {
    /// From slices at ascending times: n values and m x n controls (component by component) each.
    ///
    /// # Errors
    /// No time, times that are not finite or do not increase, other numbers of slices than times, slices of the wrong length.
    pub fn new(
        grid: Arc<TensorGrid>,
        control_dim: usize,
        times: Vec<f64>,
        values: Vec<Vec<f64>>,
        controls: Vec<Vec<f64>>,
    ) -> Result<Self, HjbError> {
        if times.is_empty() {
            return Err(HjbError::invalid("times", "none", "at least one time"));
        }
        if let Some(k) = times.iter().position(|t| !t.is_finite()) {
            return Err(HjbError::invalid(&format!("times[{k}]"), times[k], "finite"));
        }
        if let Some(k) = times.windows(2).position(|w| w[0] >= w[1]) {
            let allowed = format!("above the time before it, {}", times[k]);
            return Err(HjbError::invalid(&format!("times[{}]", k + 1), times[k + 1], &allowed));
        }
        let n = grid.len();
        for (name, slices, length) in [("values", &values, n), ("controls", &controls, n * control_dim)] {
            HjbError::check_shape(name, slices.len(), times.len())?;
            for (k, slice) in slices.iter().enumerate() {
                HjbError::check_shape(&format!("{name}[{k}]"), slice.len(), length)?;
            }
        }
        Ok(ValueFunction { grid, control_dim, times, values, controls })
    }

    /// The grid.
    pub fn grid(&self) -> &Arc<TensorGrid> {
        &self.grid
    }

    /// Dimension m of the control.
    pub fn control_dim(&self) -> usize {
        self.control_dim
    }

    /// Stored times, ascending from 0 to T.
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// V on the nodes at stored time number `k`.
    ///
    /// # Panics
    /// When `k` is not below the number of stored times, as slice indexing does.
    pub fn value(&self, k: usize) -> &[f64] {
        &self.values[k]
    }

    /// v on the nodes at stored time number `k`, m x n, component by component.
    ///
    /// # Panics
    /// When `k` is not below the number of stored times, as slice indexing does.
    pub fn control(&self, k: usize) -> &[f64] {
        &self.controls[k]
    }

    /// V at time t: cubic Lagrange interpolation in the four nearest stored times (fewer when fewer are stored).
    /// Order 4 in the distance of the stored times; exact at stored times. O(n).
    pub fn at_time(&self, t: f64) -> Result<GridFunction, HjbError> {
        Ok(GridFunction::new(self.grid.clone(), self.interpolate(&self.values, t)?)?)
    }

    /// v at time t, m x n, component by component, interpolated like [`ValueFunction::at_time`].
    pub fn control_at_time(&self, t: f64) -> Result<Vec<f64>, HjbError> {
        self.interpolate(&self.controls, t)
    }

    /// V and v at time t as functions on all of R^d: interpolated in time as by [`ValueFunction::at_time`], in space as asked.
    ///
    /// # Errors
    /// A time outside [0, T].
    pub fn slice(&self, t: f64, params: EvaluationParams) -> Result<ValueSlice, HjbError> {
        ValueSlice::new(&self.grid, &self.interpolate(&self.values, t)?, &self.interpolate(&self.controls, t)?, params)
    }

    /// Write V at time t and each point of `x`; the points outside the grid are reported. For several calls at one time, or
    /// for gradients and controls, make a [`ValueFunction::slice`].
    ///
    /// # Errors
    /// A time outside [0, T], a block of another dimension, `out` of another length, a coordinate that is not finite.
    pub fn evaluate(&self, t: f64, x: Points<'_>, params: EvaluationParams, out: &mut [f64]) -> Result<Evaluation, HjbError> {
        ValueSlice::new(&self.grid, &self.interpolate(&self.values, t)?, &[], params)?.value(x, out)
    }

    fn interpolate(&self, slices: &[Vec<f64>], t: f64) -> Result<Vec<f64>, HjbError> {
        let times = &self.times;
        let (first, last) = (times[0], times[times.len() - 1]);
        let slack = 1e-12 * (last - first);
        if !(t >= first - slack && t <= last + slack) {
            return Err(HjbError::invalid("t", t, &format!("in [{first}, {last}]")));
        }
        let above = times.partition_point(|&s| s < t);
        let width = times.len().min(4);
        let start = above.saturating_sub(2).min(times.len() - width);
        let nodes = &times[start..start + width];
        let mut out = vec![0.0; slices[start].len()];
        for (a, &ta) in nodes.iter().enumerate() {
            let weight: f64 = (0..width).filter(|&b| b != a).map(|b| (t - nodes[b]) / (ta - nodes[b])).product();
            if weight != 0.0 {
                for (o, v) in out.iter_mut().zip(&slices[start + a]) {
                    *o += weight * v;
                }
            }
        }
        Ok(out)
    }

    /// The optimal control v as a feedback: the stored slices, linear in time, interpolated in space as asked.
    /// (For fine-tuning v = U - s; the optimal drift control is U = s + v.)
    pub fn feedback(&self, interpolation: Interpolation, extrapolation: Extrapolation) -> Result<TableFeedback, HjbError> {
        let table = TableFeedback::new(
            self.grid.clone(),
            self.times.clone(),
            self.controls.clone(),
            self.control_dim,
            interpolation,
            extrapolation,
        )?;
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hjbridge_model::grid::Axis;

    #[test]
    fn stored_levels_contain_both_ends_and_are_even() {
        assert_eq!(Storage::All.levels(3), vec![0, 1, 2, 3]);
        assert_eq!(Storage::AtMost(9).levels(3), vec![0, 1, 2, 3]);
        for (count, steps) in [(2, 7), (3, 7), (5, 17), (7, 7), (10, 1000), (64, 100)] {
            let levels = Storage::AtMost(count).levels(steps);
            assert_eq!((levels.len(), levels[0], levels[count - 1]), (count, 0, steps));
            let gaps: Vec<usize> = levels.windows(2).map(|w| w[1] - w[0]).collect();
            let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
            assert!(*least >= 1 && most - least <= 1, "{count} {steps} {levels:?}");
        }
    }

    #[test]
    fn slices_that_do_not_fit_are_refused_by_name() {
        let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(0.0, 1.0, 5).unwrap()]).unwrap());
        let message = |times: &[f64], values: &[usize], controls: &[usize]| {
            let slices = |lengths: &[usize]| lengths.iter().map(|n| vec![0.0; *n]).collect::<Vec<_>>();
            let made = ValueFunction::new(grid.clone(), 2, times.to_vec(), slices(values), slices(controls));
            made.map_or_else(|e| e.to_string(), |_| String::new())
        };
        assert_eq!(message(&[0.0, 1.0], &[5, 5], &[10, 10]), "");
        assert!(message(&[], &[], &[]).starts_with("times = none"));
        assert!(message(&[0.0, f64::NAN], &[5, 5], &[10, 10]).starts_with("times[1] = NaN"));
        assert!(message(&[0.0, 0.5, 0.5], &[5; 3], &[10; 3]).starts_with("times[2] = 0.5: above the time before it, 0.5"));
        assert_eq!(message(&[0.0, 1.0], &[5], &[10, 10]), "values has 1 entries; 2 expected");
        assert_eq!(message(&[0.0, 1.0], &[5, 5], &[10, 5]), "controls[1] has 5 entries; 10 expected");
    }

    #[test]
    fn interpolation_in_time_is_exact_for_cubics_and_at_stored_times() {
        let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(0.0, 1.0, 5).unwrap()]).unwrap());
        let times = vec![0.0, 0.1, 0.35, 0.4, 0.8, 1.0];
        let cubic = |t: f64, j: usize| 1.0 + t - 2.0 * t * t + j as f64 * t * t * t;
        let slice = |t: &f64| (0..5).map(|j| cubic(*t, j)).collect::<Vec<_>>();
        let values: Vec<_> = times.iter().map(slice).collect();
        let v = ValueFunction::new(grid, 1, times.clone(), values.clone(), values.clone()).unwrap();
        for t in [0.0, 0.02, 0.2, 0.37, 0.5, 0.93, 1.0] {
            let at = v.at_time(t).unwrap();
            assert!((0..5).all(|j| (at.values()[j] - cubic(t, j)).abs() < 1e-14), "{t}");
        }
        assert_eq!(v.at_time(0.35).unwrap().values(), &values[2][..]);
        assert!(matches!(v.at_time(1.1), Err(HjbError::Invalid { .. })));
        assert!(matches!(v.at_time(f64::NAN), Err(HjbError::Invalid { .. })));
    }
}
