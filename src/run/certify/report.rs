//! Section `certify` of the report; the fields are described in `docs/certify.md`.

use super::policy::PolicyInfo;
use crate::run::RouteReport;
use hjbridge_hjb::AccuracyCertificate;
use hjbridge_rollout::Estimate;
use serde::Serialize;

/// Section `certify`.
#[derive(Clone, Debug, Serialize)]
pub struct CertifyReport {
    /// Wall time in seconds.
    pub seconds: f64,
    /// What was certified.
    pub policy: PolicyInfo,
    /// Confidence of every interval that a simulation gives.
    pub confidence: f64,
    /// maximise or minimise; `loss` is never negative but for errors, whichever it is.
    pub sense: &'static str,
    /// The verdict from the initial law of a fine-tuning problem, or from each point of `start`.
    pub starts: Vec<Verdict>,
    /// How V was computed; absent without a grid.
    pub value_route: Option<RouteReport>,
    /// How J was.
    pub policy_route: Option<RouteReport>,
    /// Where in time and space the loss is made; absent without an optimal control to compare with.
    pub where_lost: Option<WhereLost>,
    /// Parts that are not there since the user ended the run.
    pub missing: Vec<&'static str>,
    /// What must be read with care.
    pub notes: Vec<String>,
}

/// Where the policy stands between nothing and the optimum, seen from one start. Values are in the problem's own sense.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The starting point; absent for the initial law.
    pub x: Option<Vec<f64>>,
    /// J by simulation; absent where it was not asked for.
    pub simulated: Option<Simulated>,
    /// J by the linear equation on the grid.
    pub computed: Option<Computed>,
    /// J without control (of the pre-trained model).
    pub uncontrolled: Option<Computed>,
    /// V by the HJB equation on the grid.
    pub optimum: Option<Computed>,
    /// V in closed form.
    pub optimum_exact: Option<f64>,
    /// Bounds of V from the other side: above when maximising, below when minimising.
    pub bounds: Vec<Bound>,
    /// How far from optimal.
    pub loss: Option<Loss>,
    /// (J - J without control) / (V - J without control); absent when there is nothing to gain.
    pub reached: Option<f64>,
    /// The same at both ends of `loss`.
    pub reached_interval: Option<(f64, f64)>,
}

/// A value computed on the grid, or exactly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Computed {
    /// The value.
    pub value: f64,
    /// Its estimated error: Richardson's over the comparison box at t = 0, or the standard error of a simulation.
    pub error: Option<f64>,
}

/// J by simulation of the continuous process: Euler-Maruyama with N and 2N steps on the same Brownian paths, extrapolated.
#[derive(Clone, Debug, Serialize)]
pub struct Simulated {
    /// The extrapolated estimate, whose bias is of order h^2: about `bias_left`.
    pub objective: Estimate,
    /// Its confidence interval, widened by `bias_left`.
    pub interval: (f64, f64),
    /// N.
    pub steps: usize,
    /// With 2N steps, before extrapolation.
    pub fine: Estimate,
    /// What the extrapolation took away from that: the bias of 2N steps.
    pub fine_bias: Estimate,
    /// What is left of the bias, from a further extrapolation from N/2 steps.
    pub bias_left: f64,
    /// Terminal part.
    pub terminal: Estimate,
    /// Cost of the control (beta KL for fine-tuning).
    pub control_cost: Estimate,
    /// Share of the evaluations of the policy outside its table.
    pub outside_fraction: Estimate,
    /// E int (1/2)(v - v*)'R(v - v*) dt = V - J along these paths, where the optimal control is known.
    pub excess: Option<Estimate>,
}

/// A bound of V from the other side than J.
#[derive(Clone, Debug, Serialize)]
pub struct Bound {
    /// cole_hopf, donsker_varadhan or verification.
    pub kind: &'static str,
    /// The bound as estimated.
    pub value: f64,
    /// With its error or the one-sided limit of its confidence.
    pub limit: f64,
    /// The number of equally weighted paths that would be as good, as a share; of a simulation.
    pub effective_share: Option<f64>,
    /// How it was made.
    pub method: String,
}

/// How far from optimal a policy is: |V - J|.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Loss {
    /// The best estimate; of the method upper_bound no estimate of the loss, but of a bound of it.
    pub value: f64,
    /// No less than this, at the stated confidence and within the estimated errors.
    pub low: f64,
    /// No more than this.
    pub high: f64,
    /// Where they come from.
    pub method: &'static str,
}

/// Where the loss is made: the density of E int (1/2)(v - v*)'R(v - v*) dt.
#[derive(Clone, Debug, Serialize)]
pub struct WhereLost {
    /// Times.
    pub t: Vec<f64>,
    /// Loss per time at these times, from the law of the policy (forward equation on the grid), or mean over the interval that
    /// begins there (simulation).
    pub rate: Vec<f64>,
    /// The time at which the rate is largest.
    pub worst_time: f64,
    /// The earliest and the latest time between which the middle half of the loss is made.
    pub middle_half: (f64, f64),
    /// Integral of the rate over time.
    pub total: f64,
    /// Where at `worst_time` the density is largest; absent without a grid.
    pub worst_point: Option<Vec<f64>>,
    /// forward_equation or simulation.
    pub method: &'static str,
}

impl Computed {
    /// A value with the error of its certificate at t = 0, over all times where that is not known.
    pub(super) fn certified(value: f64, certificate: Option<&AccuracyCertificate>) -> Self {
        let estimate = certificate.and_then(|c| c.richardson.as_ref());
        let error = estimate.map(|r| r.at_start.as_ref().map_or(r.value_error, |s| s.value_error));
        Computed { value, error }
    }
}

impl WhereLost {
    /// From the rates: `width[k]` is the weight of rate k in the integral over time.
    pub(super) fn new(t: Vec<f64>, rate: Vec<f64>, width: &[f64], method: &'static str) -> Self {
        let total: f64 = rate.iter().zip(width).map(|(r, w)| r * w).sum();
        let mut worst = 0;
        for k in 0..rate.len() {
            if rate[k] > rate[worst] {
                worst = k;
            }
        }
        let quantile = |p: f64| {
            let mut sum = 0.0;
            for k in 0..rate.len() {
                sum += rate[k] * width[k];
                if sum >= p * total {
                    return t[k];
                }
            }
            t.last().copied().unwrap_or(0.0)
        };
        let middle_half = (quantile(0.25), quantile(0.75));
        let worst_time = t.get(worst).copied().unwrap_or(0.0);
        WhereLost { t, rate, worst_time, middle_half, total, worst_point: None, method }
    }
}

impl Verdict {
    /// The loss and the share of the gain that is reached, from what is known; `sign` = -1 when minimising. Returns what must be
    /// read with care.
    pub(super) fn conclude(&mut self, sign: f64, identity: Option<Computed>) -> Option<String> {
        let mut note = None;
        let exact = self.optimum_exact.map(|value| Computed { value, error: Some(0.0) });
        let optimum = exact.or(self.optimum);
        let sampled = self.simulated.as_ref();
        // what a policy earns bounds V: where V is passed by more than J's own error, V is wrong
        let earned = [
            self.computed.and_then(|j| Some((j.value, 3.0 * j.error?))),
            sampled.map(|s| (s.objective.mean, s.interval.1 - s.interval.0)),
        ];
        if let Some(v) = optimum {
            let beyond = earned.iter().flatten().map(|(j, error)| sign * (j - v.value) - error).fold(0.0, f64::max);
            if beyond > 1e-9 * v.value.abs() {
                note = Some(format!(
                    "the policy does better than the computed optimum: V is wrong by at least {beyond:.2e}; refine the grid before \
                     the loss and the share of the gain are believed"
                ));
            }
        }
        let loss = match (optimum, self.computed, sampled) {
            (Some(v), Some(j), _) => {
                let gap = sign * (v.value - j.value);
                // an error that is not known bounds nothing
                let error = v.error.zip(j.error).map_or(f64::INFINITY, |(a, b)| a + b);
                let (mut low, mut high) = ((gap - error).max(0.0), (gap + error).max(0.0));
                // estimated errors are good to a factor
                let fits = |loss: Computed| {
                    let own = loss.error.unwrap_or(0.0);
                    (loss.value - gap).abs() <= 3.0 * (error + own) + 1e-9 * (v.value.abs() + j.value.abs())
                };
                let (value, method) = match identity {
                    Some(loss) if fits(loss) => {
                        (low, high) = (low.min(loss.value), high.max(loss.value));
                        (loss.value, "loss_equation")
                    }
                    Some(loss) => {
                        let loss = loss.value;
                        note = Some(format!(
                            "the equation of the loss gives {loss:.2e}, outside what V - J allows: the optimal control is not known \
                             well enough between its levels in time (--slices), or an estimated error is too small"
                        ));
                        (gap, "difference")
                    }
                    None => (gap, "difference"),
                };
                Some(Loss { value, low, high, method })
            }
            (Some(v), None, Some(s)) => {
                let gap = sign * (v.value - s.objective.mean);
                let half = 0.5 * (s.interval.1 - s.interval.0);
                let error = v.error.unwrap_or(f64::INFINITY) + half;
                // the identity has far less noise than the difference
                let direct = Loss { value: gap, low: (gap - error).max(0.0), high: gap + error, method: "difference" };
                Some(match s.excess.and_then(|e| e.confidence_interval(super::CONFIDENCE).ok().map(|i| (e, i))) {
                    Some((e, (low, high))) => Loss { value: e.mean, low: low.max(0.0), high, method: "excess_along_paths" },
                    None => direct,
                })
            }
            (None, _, Some(s)) => {
                let gap = |limit: f64, end: f64| sign * (limit - end);
                let worst = if sign > 0.0 { s.interval.0 } else { s.interval.1 };
                let tightest = self.bounds.iter().map(|b| (gap(b.limit, worst), gap(b.value, s.objective.mean)));
                tightest.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(high, value)| Loss {
                    value: value.max(0.0),
                    low: 0.0,
                    high,
                    method: "upper_bound",
                })
            }
            _ => None,
        };
        self.loss = loss;
        let (Some(loss), Some(none)) = (loss, self.uncontrolled) else { return note };
        let optimum = optimum.map(|v| v.value).or_else(|| sampled.map(|s| s.objective.mean + sign * loss.value));
        let Some(gain) = optimum.map(|v| sign * (v - none.value)) else { return note };
        if gain <= 0.0 || none.error.is_some_and(|e| gain <= 4.0 * e) {
            return note;
        }
        self.reached = Some(1.0 - loss.value / gain);
        if loss.high.is_finite() {
            self.reached_interval = Some((1.0 - loss.high / gain, 1.0 - loss.low / gain));
        }
        note
    }
}
