//! The measured errors of a chain against the leading error predicted for it.

use super::{LeadingError, LeadingErrorParams};
use crate::bridge::order::octave_orders;
use crate::bridge::report::BridgeReport;
use crate::bridge::slices::Slices;
use crate::bridge::sweep::Sweep;
use crate::problem::Problem;
use crate::run::{Progress, RegionPoints, RegionSlice, RunError, SliceError, ddpm_params, pift_params};
use hjbridge_model::{PointBlock, TensorGrid};
use rayon::prelude::*;
use serde::Serialize;
use std::sync::atomic::AtomicBool;

/// Section `leading_error` of the bridge's report. Arrays have one entry for each N finished; all errors are sup over the comparison
/// box and all t_k < T with noise.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LeadingErrorReport {
    /// Intervals of time at which the coefficients of the equation for W were taken.
    pub levels: usize,
    /// Wall time for W, in seconds.
    pub seconds: f64,
    /// (T/N) sup |W|: the error of V predicted.
    pub value_predicted: Vec<f64>,
    /// Error of V measured over predicted.
    pub value_ratio: Vec<f64>,
    /// sup |V_k - V - (T/N) W|: what the prediction leaves, of order 2.
    pub value_corrected: Vec<f64>,
    /// Its order from each N to the next.
    pub value_corrected_orders: Vec<Option<f64>>,
    /// (T/N) sup |C|: the error of U predicted.
    pub control_predicted: Vec<f64>,
    /// Error of U measured over predicted.
    pub control_ratio: Vec<f64>,
    /// sup |u_k - U* - (T/N) C|.
    pub control_corrected: Vec<f64>,
    /// Its order from each N to the next.
    pub control_corrected_orders: Vec<Option<f64>>,
    /// (T/N) sup |W(t_k)| at every t_k, for each N.
    pub value_predicted_by_time: Vec<Vec<f64>>,
    /// (T/N) sup |C(t_k)| at every t_k, for each N.
    pub control_predicted_by_time: Vec<Vec<f64>>,
    /// Errors at t = 0 along the line, in one dimension, of the largest N.
    pub profile: Option<Profile>,
}

/// Errors at t = 0, times N/T, at the nodes of the comparison box.
#[derive(Clone, Debug, Serialize)]
pub struct Profile {
    /// N.
    pub steps: usize,
    /// The nodes.
    pub y: Vec<f64>,
    /// (V_0 - V(0)) N/T.
    pub value_measured: Vec<f64>,
    /// W(0).
    pub value_predicted: Vec<f64>,
    /// (u_0 - U*(0)) N/T.
    pub control_measured: Vec<f64>,
    /// C(0).
    pub control_predicted: Vec<f64>,
}

/// Levels of time for W, fewer with a network, which is evaluated three times at each; and the memory that the tables may take.
const LEVELS: usize = 256;
const LEVELS_OF_NETWORK: usize = 64;
const MEMORY: usize = 1 << 30;

/// W and C of the problem, with their section begun in the report, or the reason there why there is none.
pub(in crate::bridge) fn predict(
    problem: &Problem,
    slices: &mut Slices<'_>,
    report: &mut BridgeReport,
    progress: &dyn Progress,
) -> Option<LeadingError> {
    let start = std::time::Instant::now();
    progress.begin("leading error", 1);
    let predicted = leading_error(problem, slices, progress.interrupt());
    progress.end();
    match predicted {
        Ok(leading) => {
            let (levels, seconds) = (leading.times().len() - 1, start.elapsed().as_secs_f64());
            report.leading_error = Some(LeadingErrorReport { levels, seconds, ..LeadingErrorReport::default() });
            Some(leading)
        }
        Err(e) => {
            report.leading_error_missing = Some(e.to_string());
            None
        }
    }
}

fn leading_error(problem: &Problem, slices: &mut Slices<'_>, interrupt: Option<&AtomicBool>) -> Result<LeadingError, RunError> {
    if let Some(m @ 0..=1) = problem.file.pift.iterations {
        let why = match m {
            0 => "without inner iterations the chain is the pre-trained one, at a distance that does not fall with h",
            _ => "one inner iteration has an error of its own in the O(h) term of the control",
        };
        return Err(RunError::Unsupported(format!("{why}: the prediction is for two or more, or for a tolerance")));
    }
    let (d, n) = (problem.dim(), problem.grid.len());
    let most = if problem.network.is_some() { LEVELS_OF_NETWORK } else { LEVELS };
    let levels = (MEMORY / (8 * n * (3 * d + 3))).clamp(32, most);
    let times = LeadingError::level_times(problem.model.schedule().horizon(), levels);
    let optimal = slices.at(&times)?;
    let control = |t: f64| {
        let level = times.partition_point(|s| *s < t).min(levels);
        let mut u = PointBlock::zeros(d, n);
        u.data_mut().copy_from_slice(&optimal[level].control);
        Ok(u)
    };
    LeadingError::new(&LeadingErrorParams {
        model: &problem.model,
        grid: &problem.grid,
        chain: ddpm_params(problem, 1),
        bellman: pift_params(problem, false).bellman,
        control: &control,
        exact_score: problem.network.is_none(),
        levels,
        interrupt,
    })
}

/// Of one t_k.
pub(in crate::bridge) struct Compared {
    pub measured: SliceError,
    corrected: SliceError,
    predicted: (f64, f64),
    profile: Option<Profile>,
}

/// The errors of a sweep against `reference` at every t_k, and against what is predicted.
pub(in crate::bridge) fn compare(
    leading: &LeadingError,
    sweep: &Sweep,
    region: &RegionPoints,
    grid: &TensorGrid,
    reference: impl Fn(f64) -> Result<RegionSlice, RunError> + Sync,
) -> Result<Vec<Compared>, RunError> {
    let h = leading.horizon() / sweep.steps as f64;
    let compared = (0..sweep.times.len()).into_par_iter().map(|k| {
        let (t, value, control) = (sweep.times[k], &sweep.values[k], &sweep.controls[k]);
        let mut reference = reference(t)?;
        let measured = region.errors(&reference, t, value, control);
        let (w, c) = leading.at(t)?;
        let shift = region.restrict(&w, &c);
        let size = |j: usize| (0..grid.dim()).map(|i| shift.control.coord(i)[j].powi(2)).sum::<f64>().sqrt();
        let predicted = (h * region.largest_of(|j| shift.value[j].abs()), h * region.largest_of(size));
        let profile = (k == 0 && grid.dim() == 1).then(|| Profile {
            steps: sweep.steps,
            y: region.points.coord(0).to_vec(),
            value_measured: region.nodes.iter().zip(&reference.value).map(|(&i, v)| (value[i] - v) / h).collect(),
            value_predicted: shift.value.clone(),
            control_measured: region.nodes.iter().zip(reference.control.data()).map(|(&i, u)| (control[i] - u) / h).collect(),
            control_predicted: shift.control.data().to_vec(),
        });
        reference.value.iter_mut().zip(&shift.value).for_each(|(v, w)| *v += h * w);
        reference.control.data_mut().iter_mut().zip(shift.control.data()).for_each(|(u, c)| *u += h * c);
        Ok(Compared { measured, corrected: region.errors(&reference, t, value, control), predicted, profile })
    });
    compared.collect()
}

impl LeadingErrorReport {
    /// Take in what [`compare`] found of a sweep.
    pub(in crate::bridge) fn add(&mut self, sweep: &Sweep, mut compared: Vec<Compared>) {
        let sup = |f: &dyn Fn(&Compared) -> f64, noisy: bool| {
            let of = compared.iter().zip(&sweep.noisy).filter(|(_, n)| **n || !noisy);
            of.map(|(c, _)| f(c)).fold(0.0, |m: f64, e| if e > m || e.is_nan() { e } else { m })
        };
        let (value, control) = (sup(&|c| c.predicted.0, false), sup(&|c| c.predicted.1, true));
        self.value_predicted.push(value);
        self.value_ratio.push(sup(&|c| c.measured.value.0, false) / value);
        self.value_corrected.push(sup(&|c| c.corrected.value.0, false));
        self.control_predicted.push(control);
        self.control_ratio.push(sup(&|c| c.measured.control.0, true) / control);
        self.control_corrected.push(sup(&|c| c.corrected.control.0, true));
        self.value_predicted_by_time.push(compared.iter().map(|c| c.predicted.0).collect());
        self.control_predicted_by_time.push(compared.iter().map(|c| c.predicted.1).collect());
        self.profile = compared.first_mut().and_then(|c| c.profile.take());
    }

    /// Orders of what is left, once all N are in.
    pub(in crate::bridge) fn finish(&mut self, steps: &[usize]) {
        self.value_corrected_orders = octave_orders(steps, &self.value_corrected);
        self.control_corrected_orders = octave_orders(steps, &self.control_corrected);
    }
}
