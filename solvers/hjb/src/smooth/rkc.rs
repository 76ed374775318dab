//! Stabilised explicit Runge-Kutta-Chebyshev of order 2 with adaptive steps: no linear systems.
//!
//! y' = F(tau, y) with the spectrum of dF/dy near the negative real axis. A step of s stages is stable up to
//! h rho = (w0 + 1)/w1, about (2/3)(s^2 - 1)(1 - (2/15) eps) for a small damping eps, rho the spectral radius: the cost of a
//! step grows with the square root of its stiffness. Drift moves the spectrum off the real axis; the stable strip around it
//! widens with eps, so the damping (2/13 in the reference) is raised with h speed^2/diffusion, at the price of more stages.
//! With w0 = 1 + eps/s^2, w1 = T_s'(w0)/T_s''(w0), b_j = T_j''(w0)/T_j'(w0)^2:
//!
//!   Y_j = (1 - mu_j - nu_j) Y_0 + mu_j Y_{j-1} + nu_j Y_{j-2} + m_j h F_{j-1} + g_j h F_0,
//!   mu_j = 2 b_j w0/b_{j-1},  nu_j = -b_j/b_{j-2},  m_j = 2 b_j w1/b_{j-1},  g_j = -(1 - b_{j-1} T_{j-1}(w0)) m_j.
//!
//! The local error is estimated by (4/5)(y_n - y_{n+1}) + (2/5) h (F_n + F_{n+1}); output between steps by the cubic Hermite
//! polynomial, order 4. For problems dominated by drift, or very stiff in few components, prefer BDF.
//! Reference: B. P. Sommeijer, L. F. Shampine, J. G. Verwer, RKC: an explicit solver for parabolic PDEs, J. Comput. Appl.
//! Math. 88 (1998) 315-326.

use crate::smooth::differences::SERIAL_BELOW;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::HashMap;

/// Dampings to choose from; the first one is that of the reference.
const DAMPINGS: [f64; 6] = [2.0 / 13.0, 0.5, 1.5, 4.0, 10.0, 25.0];

/// Damping per h times [`Stiffness::convection`]: about half of what keeps every Fourier mode stable.
const DAMPING_PER_CONVECTION: f64 = 0.4;

/// Most stages of one step; longer steps are shortened.
const MAX_STAGES: usize = 400;

/// A step below this fraction of the interval is a failure.
const SMALLEST_STEP: f64 = 1e-13;

/// Entries of one partial sum of a norm.
const CHUNK: usize = 4096;

/// out = start_weight Y_0 + last_weight y + before_weight out + rate_weight F(y) + start_rate_weight F_0; `out` holds Y_{j-2}.
#[derive(Clone, Copy, Debug)]
pub struct StageUpdate<'v> {
    /// Y_0.
    pub start: &'v [f64],
    /// F_0.
    pub start_rate: &'v [f64],
    /// 1 - mu_j - nu_j.
    pub start_weight: f64,
    /// mu_j.
    pub last_weight: f64,
    /// nu_j.
    pub before_weight: f64,
    /// h m_j.
    pub rate_weight: f64,
    /// h g_j.
    pub start_rate_weight: f64,
}

/// Bounds for the linearised right-hand side.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stiffness {
    /// Of the spectral radius.
    pub radius: f64,
    /// Of (imaginary part)^2 / |real part| over the Fourier modes: sum_i speed_i^2 / (a_ii/2) for drift and diffusion, per
    /// unit of time. Zero for a real spectrum.
    pub convection: f64,
}

/// A system that [`rkc`] integrates.
pub trait StabilisedSystem {
    /// Why a coefficient could not be had.
    type Error;

    /// Number of unknowns.
    fn len(&self) -> usize;

    /// Whether there are no unknowns.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The latest time that a step from `tau` (state `y`) may reach; larger than `tau`.
    fn limit(&mut self, tau: f64, y: &[f64]) -> Result<f64, Self::Error>;

    /// Make ready the step from `tau` to `tau + h`: `theta` below is the place in it.
    fn prepare(&mut self, tau: f64, h: f64) -> Result<(), Self::Error>;

    /// Bounds for dF/dy over the step prepared.
    fn stiffness(&self, y: &[f64]) -> Stiffness;

    /// out = F at the place `theta` in [0, 1] of the step.
    fn rate(&self, theta: f64, y: &[f64], out: &mut [f64]);

    /// One stage; `y` is Y_{j-1}, `out` holds Y_{j-2} and receives Y_j.
    fn stage(&self, theta: f64, y: &[f64], update: StageUpdate<'_>, out: &mut [f64]);
}

/// Parameters of [`rkc`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RkcParams {
    /// Relative tolerance of the local error.
    pub rtol: f64,
    /// Absolute tolerance of the local error.
    pub atol: f64,
    /// Most steps, accepted and rejected.
    pub max_steps: usize,
    /// The solution has blown up when sup |y| exceeds this.
    pub limit: f64,
}

/// What [`rkc`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RkcInfo {
    /// Accepted steps.
    pub steps: usize,
    /// Rejected steps.
    pub rejected: usize,
    /// Stages in total.
    pub stages: usize,
    /// Most stages of one step.
    pub max_stages: usize,
    /// Evaluations of the right-hand side.
    pub right_sides: usize,
    /// Smallest bound of the spectral radius used.
    pub min_spectral_radius: f64,
    /// Largest bound of the spectral radius used.
    pub max_spectral_radius: f64,
}

/// Why [`rkc`] stopped.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RkcError<E> {
    /// More steps than allowed.
    #[error("max_steps = {limit} reached at tau = {tau}; loosen rtol and atol, or raise max_steps")]
    TooManySteps {
        /// Time reached.
        tau: f64,
        /// The limit.
        limit: usize,
    },
    /// The solution leaves every bound, or its steps become too short to go on.
    #[error("the solution blows up at tau = {tau}: sup |y| = {sup:.3e}, step {step:.3e}")]
    BlowUp {
        /// Time reached.
        tau: f64,
        /// Sup norm there, infinite when an entry is not finite.
        sup: f64,
        /// The step tried.
        step: f64,
    },
    /// The system gave up.
    #[error(transparent)]
    System(E),
}

/// The two ends of an accepted step, for output in between.
#[derive(Clone, Copy, Debug)]
pub struct StepEnds<'v> {
    /// Start.
    pub tau: f64,
    /// Length.
    pub h: f64,
    /// y at the start.
    pub start: &'v [f64],
    /// F at the start.
    pub start_rate: &'v [f64],
    /// y at the end.
    pub end: &'v [f64],
    /// F at the end.
    pub end_rate: &'v [f64],
}

impl StepEnds<'_> {
    /// Write y at `tau` inside the step: cubic Hermite, exact at the ends.
    pub fn at(&self, tau: f64, out: &mut [f64]) {
        let (x, h) = ((tau - self.tau) / self.h, self.h);
        let (b0, b1) = ((1.0 + 2.0 * x) * (1.0 - x) * (1.0 - x), x * x * (3.0 - 2.0 * x));
        let (c0, c1) = (h * x * (1.0 - x) * (1.0 - x), h * x * x * (x - 1.0));
        for (j, o) in out.iter_mut().enumerate() {
            *o = b0 * self.start[j] + b1 * self.end[j] + c0 * self.start_rate[j] + c1 * self.end_rate[j];
        }
    }
}

/// Coefficients of the stages 1..=s.
struct Scheme {
    /// m_1.
    first: f64,
    /// (mu, nu, m, g) for j = 2..=s.
    stages: Vec<[f64; 4]>,
    /// c_0..c_s.
    places: Vec<f64>,
}

impl Scheme {
    fn new(s: usize, epsilon: f64) -> Self {
        let w0 = 1.0 + epsilon / (s * s) as f64;
        // T_j, T_j', T_j'' at w0.
        let mut t = vec![[1.0, 0.0, 0.0], [w0, 1.0, 0.0]];
        for j in 2..=s {
            let (a, b) = (t[j - 1], t[j - 2]);
            t.push([2.0 * w0 * a[0] - b[0], 2.0 * a[0] + 2.0 * w0 * a[1] - b[1], 4.0 * a[1] + 2.0 * w0 * a[2] - b[2]]);
        }
        let w1 = t[s][1] / t[s][2];
        let mut b: Vec<f64> = t.iter().map(|t| t[2] / (t[1] * t[1])).collect();
        b[0] = b[2];
        b[1] = 1.0 / w0;
        let first = b[1] * w1;
        let mut places = vec![0.0, first];
        let mut stages = Vec::with_capacity(s - 1);
        for j in 2..=s {
            let (mu, nu, m) = (2.0 * b[j] * w0 / b[j - 1], -b[j] / b[j - 2], 2.0 * b[j] * w1 / b[j - 1]);
            let g = -(1.0 - b[j - 1] * t[j - 1][0]) * m;
            places.push(mu * places[j - 1] + nu * places[j - 2] + m + g);
            stages.push([mu, nu, m, g]);
        }
        Scheme { first, stages, places }
    }
}

/// Length of the real stability interval, (w0 + 1) T_s''(w0)/T_s'(w0).
fn interval(s: usize, epsilon: f64) -> f64 {
    let w0 = 1.0 + epsilon / (s * s) as f64;
    let (mut before, mut last) = ([1.0, 0.0, 0.0], [w0, 1.0, 0.0]);
    for _ in 2..=s {
        let next = [
            2.0 * w0 * last[0] - before[0],
            2.0 * last[0] + 2.0 * w0 * last[1] - before[1],
            4.0 * last[1] + 2.0 * w0 * last[2] - before[2],
        ];
        (before, last) = (last, next);
    }
    (w0 + 1.0) * last[2] / last[1]
}

/// Fewest stages, at least 2, whose interval holds h rho with a little to spare.
fn stages_for(h_rho: f64, epsilon: f64) -> usize {
    let (mut s, need) = (((1.5 * h_rho).sqrt() as usize).clamp(2, MAX_STAGES), 1.02 * h_rho);
    while s < MAX_STAGES && interval(s, epsilon) < need {
        s += 1;
    }
    s
}

/// Damping for a step; the last one when none suffices.
fn damping_for(h: f64, convection: f64) -> usize {
    let need = DAMPING_PER_CONVECTION * h * convection;
    DAMPINGS.iter().position(|e| *e >= need).unwrap_or(DAMPINGS.len() - 1)
}

/// Integrate from 0 to `end`, calling `observe` after every accepted step. `y` holds the initial state, then the final one.
///
/// # Errors
/// Too many steps, a solution that blows up or is not finite, an error of the system.
pub fn rkc<S: StabilisedSystem, O: FnMut(&S, StepEnds<'_>) -> Result<(), S::Error>>(
    system: &mut S,
    end: f64,
    y: &mut Vec<f64>,
    params: RkcParams,
    mut observe: O,
) -> Result<RkcInfo, RkcError<S::Error>> {
    let n = y.len();
    let mut info = RkcInfo { min_spectral_radius: f64::INFINITY, ..Default::default() };
    let (mut f0, mut f1) = (vec![0.0; n], vec![0.0; n]);
    let (mut a, mut b) = (vec![0.0; n], vec![0.0; n]);
    let mut schemes: HashMap<(usize, usize), Scheme> = HashMap::new();
    let mut tau = 0.0;
    let mut h = end;
    let (mut have_rate, mut have_step) = (false, false);
    let mut last: Option<(f64, f64)> = None;
    while tau < end {
        if info.steps + info.rejected >= params.max_steps {
            return Err(RkcError::TooManySteps { tau, limit: params.max_steps });
        }
        let limit = system.limit(tau, y).map_err(RkcError::System)?.min(end);
        let room = limit - tau;
        if !have_step {
            h = initial_step(system, tau, room, y, params, (&mut f0, &mut f1, &mut a)).map_err(RkcError::System)?;
            have_step = true;
            have_rate = true;
            info.right_sides += 2;
        }
        // Land on the limit: two equal steps rather than a long one and a sliver.
        let wanted = h;
        if h >= 0.999 * room {
            h = room;
        } else if h > 0.5 * room {
            h = 0.5 * room;
        }
        if h.is_nan() || h < SMALLEST_STEP * end {
            return Err(RkcError::BlowUp { tau, sup: crate::norms::sup(y), step: h });
        }
        system.prepare(tau, h).map_err(RkcError::System)?;
        if !have_rate {
            system.rate(0.0, y, &mut f0);
            info.right_sides += 1;
            have_rate = true;
        }
        let Stiffness { radius: rho, convection } = system.stiffness(y);
        if !rho.is_finite() {
            return Err(RkcError::BlowUp { tau, sup: crate::norms::sup(y), step: h });
        }
        info.min_spectral_radius = info.min_spectral_radius.min(rho);
        info.max_spectral_radius = info.max_spectral_radius.max(rho);
        let longest = 0.25 * (MAX_STAGES * MAX_STAGES) as f64 / rho.max(1e-300);
        if h > longest {
            h = longest;
            system.prepare(tau, h).map_err(RkcError::System)?;
        }
        let damping = damping_for(h, convection);
        let s = stages_for(h * rho, DAMPINGS[damping]);
        let scheme = schemes.entry((s, damping)).or_insert_with(|| Scheme::new(s, DAMPINGS[damping]));
        // a holds Y_{j-1}, b holds Y_{j-2} and receives Y_j.
        first_stage(y, &f0, scheme.first * h, &mut a, &mut b);
        for (k, &[mu, nu, m, g]) in scheme.stages.iter().enumerate() {
            let update = StageUpdate {
                start: y,
                start_rate: &f0,
                start_weight: 1.0 - mu - nu,
                last_weight: mu,
                before_weight: nu,
                rate_weight: m * h,
                start_rate_weight: g * h,
            };
            system.stage(scheme.places[k + 1], &a, update, &mut b);
            std::mem::swap(&mut a, &mut b);
        }
        system.rate(1.0, &a, &mut f1);
        info.stages += s;
        info.max_stages = info.max_stages.max(s);
        info.right_sides += s;
        let error = scaled_norm(n, params, |j| (0.8 * (y[j] - a[j]) + 0.4 * h * (f0[j] + f1[j]), y[j].abs().max(a[j].abs())));
        if !error.is_finite() {
            info.rejected += 1;
            h *= 0.1;
            last = None;
            continue;
        }
        let cube = error.max(1e-10).cbrt();
        if error > 1.0 {
            info.rejected += 1;
            h *= (0.8 / cube).max(0.1);
            continue;
        }
        let step_end = if h == room { limit } else { tau + h };
        observe(system, StepEnds { tau, h: step_end - tau, start: y, start_rate: &f0, end: &a, end_rate: &f1 })
            .map_err(RkcError::System)?;
        tau = step_end;
        std::mem::swap(y, &mut a);
        std::mem::swap(&mut f0, &mut f1);
        info.steps += 1;
        let reached = crate::norms::sup(y);
        if reached > params.limit {
            return Err(RkcError::BlowUp { tau, sup: reached, step: h });
        }
        let predicted = last.map_or(f64::INFINITY, |(h_before, cube_before)| 0.8 * h * cube_before / (h_before * cube * cube));
        let factor = (0.8 / cube).min(predicted).clamp(0.1, 10.0);
        last = Some((h, cube));
        // A step cut short by the limit says little about the next one.
        h = (h * factor).max(wanted.min(h * factor * 2.0));
    }
    if info.steps == 0 {
        info.min_spectral_radius = 0.0;
    }
    Ok(info)
}

/// A first step by the size of F and of its change over a short Euler step; F_0 is left in the first buffer.
fn initial_step<S: StabilisedSystem>(
    system: &mut S,
    tau: f64,
    room: f64,
    y: &[f64],
    params: RkcParams,
    (f0, f1, trial): (&mut [f64], &mut [f64], &mut [f64]),
) -> Result<f64, S::Error> {
    system.prepare(tau, 1e-3 * room)?;
    system.rate(0.0, y, f0);
    let rho = system.stiffness(y).radius;
    let mut h = room;
    if h * rho > 1.0 {
        h = 1.0 / rho;
    }
    system.prepare(tau, h)?;
    for (t, (y, f)) in trial.iter_mut().zip(y.iter().zip(f0.iter())) {
        *t = y + h * f;
    }
    system.rate(1.0, trial, f1);
    let change = h * scaled_norm(y.len(), params, |j| (f1[j] - f0[j], y[j].abs()));
    Ok(if 0.1 * h < room * change.sqrt() { (0.1 * h / change.sqrt()).max(1e-10 * room) } else { room })
}

/// Y_1 = Y_0 + m F_0 into `a`, Y_0 into `b`.
fn first_stage(y: &[f64], f: &[f64], m: f64, a: &mut [f64], b: &mut [f64]) {
    let run = |y: &[f64], f: &[f64], a: &mut [f64], b: &mut [f64]| {
        b.copy_from_slice(y);
        for ((a, y), f) in a.iter_mut().zip(y).zip(f) {
            *a = y + m * f;
        }
    };
    if y.len() < SERIAL_BELOW {
        run(y, f, a, b);
    } else {
        let from = y.par_chunks(CHUNK).zip(f.par_chunks(CHUNK));
        from.zip(a.par_chunks_mut(CHUNK).zip(b.par_chunks_mut(CHUNK))).for_each(|((y, f), (a, b))| run(y, f, a, b));
    }
}

/// Root mean square of error/(atol + rtol size), in fixed chunks.
fn scaled_norm(n: usize, params: RkcParams, entry: impl Fn(usize) -> (f64, f64) + Sync) -> f64 {
    let chunk = |start: usize| -> f64 {
        let mut lanes = [0.0; 4];
        for j in start..(start + CHUNK).min(n) {
            let (e, size) = entry(j);
            let r = e / (params.atol + params.rtol * size);
            lanes[j % 4] += r * r;
        }
        lanes.iter().sum()
    };
    let starts = 0..n.div_ceil(CHUNK);
    let sums: Vec<f64> = if n < SERIAL_BELOW {
        starts.map(|c| chunk(c * CHUNK)).collect()
    } else {
        starts.into_par_iter().map(|c| chunk(c * CHUNK)).collect()
    };
    (sums.iter().sum::<f64>() / n.max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// y' = -k (y - cos tau) - sin tau, y(0) = 2 for several k: y = cos tau + exp(-k tau).
    struct Relaxation {
        rates: Vec<f64>,
        tau: f64,
        h: f64,
    }

    impl StabilisedSystem for Relaxation {
        type Error = ();
        fn len(&self) -> usize {
            self.rates.len()
        }
        fn limit(&mut self, _: f64, _: &[f64]) -> Result<f64, ()> {
            Ok(f64::INFINITY)
        }
        fn prepare(&mut self, tau: f64, h: f64) -> Result<(), ()> {
            (self.tau, self.h) = (tau, h);
            Ok(())
        }
        fn stiffness(&self, _: &[f64]) -> Stiffness {
            Stiffness { radius: self.rates.iter().fold(0.0, |m: f64, r| m.max(*r)), convection: 0.0 }
        }
        fn rate(&self, theta: f64, y: &[f64], out: &mut [f64]) {
            let t = self.tau + theta * self.h;
            for ((o, y), k) in out.iter_mut().zip(y).zip(&self.rates) {
                *o = -k * (y - t.cos()) - t.sin();
            }
        }
        fn stage(&self, theta: f64, y: &[f64], u: StageUpdate<'_>, out: &mut [f64]) {
            let mut f = vec![0.0; y.len()];
            self.rate(theta, y, &mut f);
            for j in 0..y.len() {
                out[j] = u.start_weight * u.start[j]
                    + u.last_weight * y[j]
                    + u.before_weight * out[j]
                    + u.rate_weight * f[j]
                    + u.start_rate_weight * u.start_rate[j];
            }
        }
    }

    fn relaxation(tol: f64) -> (f64, RkcInfo) {
        let rates = vec![0.5, 3.0, 40.0, 2e4];
        let mut system = Relaxation { rates: rates.clone(), tau: 0.0, h: 0.0 };
        let mut y = vec![2.0; 4];
        let params = RkcParams { rtol: tol, atol: tol, max_steps: 100_000, limit: 1e6 };
        let mut worst = 0.0f64;
        let info = rkc(&mut system, 3.0, &mut y, params, |_, ends| {
            let mut mid = vec![0.0; 4];
            let t = ends.tau + 0.4 * ends.h;
            ends.at(t, &mut mid);
            for (m, k) in mid.iter().zip(&rates).take(2) {
                worst = worst.max((m - t.cos() - (-k * t).exp()).abs());
            }
            Ok(())
        })
        .unwrap();
        let error = y.iter().zip(&rates).map(|(y, k)| (y - 3.0f64.cos() - (-k * 3.0).exp()).abs()).fold(worst, f64::max);
        (error, info)
    }

    #[test]
    fn a_stiff_relaxation_is_followed_to_its_tolerance() {
        let ((coarse, _), (fine, info)) = (relaxation(1e-4), relaxation(1e-7));
        // Order 2: the global error goes like tol^(2/3).
        assert!(coarse < 2e-3 && fine < 2e-5, "{coarse:e} {fine:e}");
        let order = (coarse / fine).log10() / 3.0;
        assert!((0.5..1.2).contains(&order), "{coarse:e} {fine:e} {order}");
        assert!(info.max_stages > 5 && info.right_sides == info.stages + 2, "{info:?}");
    }

    #[test]
    fn the_stability_polynomial_is_bounded_on_its_interval_and_of_order_two() {
        for (s, epsilon) in [2, 3, 5, 17, 60].into_iter().flat_map(|s| DAMPINGS.map(|e| (s, e))) {
            let scheme = Scheme::new(s, epsilon);
            assert!((scheme.places[s] - 1.0).abs() < 1e-10, "{s}");
            let p = |z: f64| {
                let (mut before, mut last) = (1.0, 1.0 + scheme.first * z);
                for &[mu, nu, m, g] in &scheme.stages {
                    (before, last) = (last, 1.0 - mu - nu + mu * last + nu * before + m * z * last + g * z);
                }
                last
            };
            let beta = interval(s, epsilon);
            assert!((0..=4000).all(|i| p(-beta * i as f64 / 4000.0).abs() <= 1.0 + 1e-9), "{s}");
            let (z, w) = (1e-2, 2e-2);
            let (e, f) = (p(-z) - (-z).exp(), p(-w) - (-w).exp());
            assert!(((f / e).log2() - 3.0).abs() < 0.08, "{s} {}", (f / e).log2());
            assert_eq!(stages_for(beta * 0.98, epsilon), s);
        }
    }

    #[test]
    fn limits_are_reported_with_the_time() {
        let rates = vec![1.0];
        let mut system = Relaxation { rates, tau: 0.0, h: 0.0 };
        let params = RkcParams { rtol: 1e-8, atol: 1e-8, max_steps: 5, limit: 1e6 };
        let e = rkc(&mut system, 3.0, &mut vec![2.0], params, |_, _| Ok(())).unwrap_err();
        assert!(matches!(e, RkcError::TooManySteps { tau, limit: 5 } if tau > 0.0 && tau < 3.0), "{e:?}");
        let e = rkc(&mut system, 3.0, &mut vec![2.0], RkcParams { max_steps: 1000, limit: 1.5, ..params }, |_, _| Ok(()));
        assert!(matches!(e.unwrap_err(), RkcError::BlowUp { sup, .. } if sup > 1.5));
        let e = rkc(&mut system, 3.0, &mut vec![2.0], RkcParams { max_steps: 1000, ..params }, |_, _| Err(()));
        assert!(matches!(e.unwrap_err(), RkcError::System(())));
    }
}
