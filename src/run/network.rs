//! How far a network's score is from the exact score of its reference.
//!
//! Besides the root mean squares at several times the relative entropy of the processes, by Girsanov's theorem
//!   KL = int_0^T (b/2) E |s_network - s|^2 dt,   E under the reference noised to time t,
//! which bounds that of the laws at T; the integrals by the trapezoidal rule on the grid and in forward time.

use super::{NetworkOwn, PiFtReport, SolveReport};
use crate::problem::Problem;
use hjbridge_model::network::{LevelInput, Prediction};
use hjbridge_model::{Feedback, Law, NoisedScore, PointBlock};
use rayon::prelude::*;
use serde::Serialize;

/// Intervals in forward time.
const INTERVALS: usize = 16;

/// Section `network` of the report.
#[derive(Clone, Debug, Serialize)]
pub struct NetworkReport {
    /// What it predicts.
    pub predicts: Prediction,
    /// How it is told the noise level.
    pub input: LevelInput,
    /// Number of weights and biases.
    pub parameters: usize,
    /// Width of the kernel in training.
    pub bandwidth: f64,
    /// Forward time below which the score stays what it is there.
    pub tau_min: f64,
    /// Forward times of the next two.
    pub tau: Vec<f64>,
    /// Root mean square of the reference's score.
    pub score_rms: Vec<f64>,
    /// Root mean square of the network's error.
    pub error_rms: Vec<f64>,
    /// Relative entropy of the reference's process with respect to the network's.
    pub relative_entropy: f64,
    /// What the network's error does to the solution, where there is one to compare.
    pub gap: Option<NetworkGap>,
}

/// The fine-tuned network against the closed form of its reference: the network's own error, and that of the discretisation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NetworkGap {
    /// sup |V - V_reference| over the comparison box and all t < T.
    pub value: Option<f64>,
    /// sup |U - U_reference| over the same.
    pub control: Option<f64>,
    /// E V(0, Y_0) minus that of the reference.
    pub objective: Option<f64>,
    /// The part in `value` that is the discretisation's: the certificate's estimate, absent where nothing was certified; from PI-FT
    /// the error of the same chain with the exact score of the reference.
    pub discretisation: Option<f64>,
    /// From PI-FT: what is left against that chain, the network's own part.
    pub own: Option<NetworkOwn>,
}

impl NetworkReport {
    /// Take the gap from the solution at hand.
    pub fn compare(&mut self, solve: Option<&SolveReport>, pift: Option<&PiFtReport>) {
        let of_solve = |s: &SolveReport| NetworkGap {
            value: s.value_error,
            control: s.control_error,
            objective: s.objective.zip(s.objective_exact).map(|(found, exact)| found - exact),
            discretisation: s.route.certificate.as_ref().and_then(|c| c.richardson.as_ref()).map(|r| r.value_error),
            own: None,
        };
        let of_pift = |p: &PiFtReport| NetworkGap {
            value: p.value_error,
            control: p.control_error,
            objective: p.objective.zip(p.objective_exact).map(|(found, exact)| found - exact),
            discretisation: p.reference_chain.and_then(|c| c.discretisation),
            own: p.reference_chain.map(|c| c.own),
        };
        self.gap = solve.map(of_solve).or(pift.map(of_pift));
    }
}

/// Compare the score of a problem's network with that of the reference; none without a network.
pub fn network_report(problem: &Problem) -> Option<NetworkReport> {
    let score = problem.network.as_ref()?;
    let (network, schedule) = (score.network(), problem.model.schedule());
    let horizon = schedule.horizon();
    let exact = NoisedScore::new(problem.model.prior().clone(), schedule.clone());
    let points = problem.grid.points();
    let (d, n) = (problem.dim(), points.len());
    // denser at the data, where the score turns fast
    let tau: Vec<f64> = (0..=INTERVALS).map(|k| horizon * (k as f64 / INTERVALS as f64).powi(2)).collect();
    let squares: Vec<(f64, f64)> = tau
        .par_iter()
        .map(|tau| {
            let t = horizon - tau;
            let (mut s, mut found) = (PointBlock::zeros(d, n), PointBlock::zeros(d, n));
            exact.at(t).eval(points.as_points(), s.as_mut());
            score.at(t).eval(points.as_points(), found.as_mut());
            let mut density = vec![0.0; n];
            problem.model.noised_prior(t).log_density(points.as_points(), &mut density);
            let mut sums = (0.0, 0.0);
            for j in 0..n {
                let weight = density[j].exp() * problem.grid.volumes()[j];
                for i in 0..d {
                    let (s, found) = (s.coord(i)[j], found.coord(i)[j]);
                    sums.0 += weight * s * s;
                    sums.1 += weight * (found - s) * (found - s);
                }
            }
            sums
        })
        .collect();
    let rate = |k: usize| 0.5 * schedule.rate(horizon - tau[k]) * squares[k].1;
    Some(NetworkReport {
        predicts: network.predicts(),
        input: network.level_input(),
        parameters: network.parameters(),
        bandwidth: network.bandwidth(),
        tau_min: network.tau_min(),
        relative_entropy: (0..INTERVALS).map(|k| 0.5 * (rate(k) + rate(k + 1)) * (tau[k + 1] - tau[k])).sum(),
        tau,
        score_rms: squares.iter().map(|s| s.0.sqrt()).collect(),
        error_rms: squares.iter().map(|s| s.1.sqrt()).collect(),
        gap: None,
    })
}
