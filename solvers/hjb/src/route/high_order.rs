//! The high-order route: its tolerance, its certificate, and whether it is kept.

use crate::certificate::richardson::estimate;
use crate::certificate::{AccuracyCertificate, RichardsonCertificate, coarsen};
use crate::error::HjbError;
use crate::route::choose::{Observer, RouteSolver, candidate};
use crate::route::params::{Route, RouteInfo};
use crate::route::pilots::{Coarser, LOOSER, Pilots, TOLERANCE_POWER, TimeError, sup};
use crate::route::run::Run;
use crate::smooth::Integrator;
use crate::solution::ValueFunction;
use hjbridge_model::grid::TensorGrid;
use std::time::Instant;

/// Observed order that the high-order route must show.
const LEAST_HIGH_ORDER: f64 = 1.0;
/// Orders kept back when the estimate of the high-order route is made: it should err on the safe side.
const ORDERS_KEPT_BACK: f64 = 2.0;
/// Two routes agree when they differ by at most this multiple of their estimated errors.
pub(super) const AGREEMENT: f64 = 3.0;
/// A distance between the routes is the error of the monotone one when the residual of the high-order one stands for no more
/// than this part of it: a smooth function that solves the equation is its viscosity solution (Fleming and Soner, Controlled
/// Markov Processes and Viscosity Solutions (2006), chapter II), while the estimates of the monotone route assume an order
/// that it need not have where diffusion degenerates.
const EXPLAINED: f64 = 0.2;
/// A difference between the routes on the half grid that rules the high-order one out before it is tried at full size, as a
/// multiple of the difference of the monotone solutions on the half and quarter grids.
const HOPELESS: f64 = 4.0;
/// The work on the half grid by the monotone route may be this part of the work of the high-order route at full size.
const COMPARISON_SHARE: f64 = 0.2;
/// Least nodes and steps of the coarsest grid of that comparison in one dimension.
const LEAST_COMPARED: usize = 64;
/// A tolerance above this part of the pilot one is made equal to it, which saves a solution on the half grid.
const NEARLY: f64 = 0.3;
/// The error in time of the stabilised method at one tolerance changes by up to about this factor with the number of its stages,
/// and with it from one grid to another.
const STAGES: f64 = 2.0;
/// Least tolerance of a reference in time.
const LEAST_TOLERANCE: f64 = 1e-13;
/// Relative differences below this are rounding.
pub(super) const ROUNDING: f64 = 1e-11;

/// Two solutions of the monotone route on coarser grids.
pub(super) struct Comparison {
    pub(super) fine: Run,
    /// Halvings from the full grid to that of `fine`.
    pub(super) level: u32,
    /// Ratio of the two spacings.
    pub(super) ratio: f64,
    /// sup of their difference.
    pub(super) gap: f64,
    /// Work at full size.
    pub(super) work: f64,
    pub(super) seconds: f64,
}

/// What the monotone route would do at full size.
pub(super) struct Rival {
    /// Its error at full size.
    pub(super) error: f64,
    /// Its error with the work of the other route.
    pub(super) same_work: f64,
    /// Richardson's estimate of the error of the finer of its solutions compared, by the formal order.
    pub(super) coarse_error: f64,
}

impl RouteSolver<'_> {
    pub(super) fn choose(&self, observe: &mut Observer<'_>) -> Result<RouteInfo, HjbError> {
        let too_coarse = "the grid is too coarse to be halved twice, so the high-order route cannot be certified";
        let grids = match self.coarser() {
            Ok(grids) if grids.quarter.is_some() => grids,
            _ => {
                let candidate = candidate(Route::HighOrder, None, Some(too_coarse.into()));
                return self.choose_low_order(too_coarse.into(), vec![candidate], 0, observe);
            }
        };
        let high = match self.high_order_pilots(&grids) {
            Ok(high) => high,
            // a wish to stop is no reason to try another way
            Err(e @ HjbError::Interrupted { .. }) => return Err(e),
            Err(e) => {
                let candidate = candidate(Route::HighOrder, None, Some(e.to_string()));
                let reason = format!("the high-order route failed on a coarser grid: {e}");
                return self.choose_low_order(reason, vec![candidate], 0, observe);
            }
        };
        let high_work = self.extrapolated_work(&high.half, grids.half.ratio, 1);
        // What goes wrong with the monotone route alone is worth the try with the other.
        let low = match self.comparison(&grids, high_work) {
            Ok(low) => low,
            Err(e @ HjbError::Interrupted { .. }) => return Err(e),
            Err(e) => {
                let mut info = self.only_high_order(observe)?;
                info.reason = format!("the monotone route failed on a coarser grid: {e}");
                info.candidates.push(candidate(Route::Monotone, None, Some(e.to_string())));
                return Ok(info);
            }
        };
        let size = 1.0 + sup(&low.fine.kept);
        let between = self.gap(&high.half, &low.fine)?.all.value;
        let mut high_info = candidate(Route::HighOrder, None, None);
        (high_info.work, high_info.seconds) = (Some(high_work), high.seconds);
        let hopeless = between > HOPELESS * low.gap + ROUNDING * size
            && self.residual_of(&high.half)?.value_bound.is_none_or(|bound| bound > EXPLAINED * between);
        let reason = if hopeless {
            format!(
                "on coarser grids the high-order solution is {between:.1e} away from the monotone one, which moves by {:.1e} \
                 between its two",
                low.gap
            )
        } else {
            let tolerance = self.final_tolerance(&high)?;
            let full = self.high_order_run(&self.grid, tolerance, true, Some((0, &mut *observe)));
            match full.and_then(|full| Ok((self.high_order_certificate(&full, &high, &grids, tolerance)?, full))) {
                Err(e @ HjbError::Interrupted { .. }) => return Err(e),
                Err(e) => {
                    high_info.refused = Some(e.to_string());
                    format!("the high-order route failed: {e}")
                }
                Ok(((certificate, seconds), full)) => {
                    high_info = self.solved(Route::HighOrder, &full, &certificate, seconds);
                    let apart = self.gap(&full, &low.fine)?.all.value;
                    let rival = self.rival(&low, apart, full.info.work(self.grid.dim()));
                    let bound = certificate.residual.as_ref().and_then(|r| r.value_bound);
                    let verdict = certificate.richardson.as_ref().map(|r| verdict(r, &rival, apart, bound, size));
                    match verdict {
                        Some(Ok(reason)) => {
                            let mut other = candidate(Route::Monotone, Some(rival.error), None);
                            (other.work, other.seconds) = (Some(low.work), low.seconds);
                            let candidates = vec![high_info, other];
                            return Ok(self.report(Route::HighOrder, reason, candidates, full, certificate));
                        }
                        Some(Err(reason)) => reason,
                        None => "the high-order route could not be certified".into(),
                    }
                }
            }
        };
        let attempt = usize::from(high_info.full_size || high_info.refused.is_some());
        self.choose_low_order(reason, vec![high_info], attempt, observe)
    }

    pub(super) fn only_high_order(&self, observe: &mut Observer<'_>) -> Result<RouteInfo, HjbError> {
        let reason = "asked for".to_string();
        if !self.params.certify {
            let full = self.high_order_run(&self.grid, self.params.tolerance.unwrap_or(1e-6), false, Some((0, observe)))?;
            let certificate = AccuracyCertificate::on(&self.region);
            let candidates = vec![self.solved(Route::HighOrder, &full, &certificate, 0.0)];
            return Ok(self.report(Route::HighOrder, reason, candidates, full, certificate));
        }
        let pilots = self.coarser().and_then(|grids| Ok((self.high_order_pilots(&grids)?, grids)));
        let (pilots, grids) = match pilots {
            Ok(pair) => pair,
            Err(e @ HjbError::Interrupted { .. }) => return Err(e),
            Err(e) => {
                let full = self.high_order_run(&self.grid, self.params.tolerance.unwrap_or(1e-6), true, Some((0, observe)))?;
                let mut certificate = AccuracyCertificate::on(&self.region);
                certificate.notes.push(format!("no Richardson estimate: {e}"));
                self.finish_certificate(&mut certificate, &full, None)?;
                let candidates = vec![self.solved(Route::HighOrder, &full, &certificate, 0.0)];
                return Ok(self.report(Route::HighOrder, reason, candidates, full, certificate));
            }
        };
        let tolerance = self.final_tolerance(&pilots)?;
        let full = self.high_order_run(&self.grid, tolerance, true, Some((0, observe)))?;
        let (certificate, seconds) = self.high_order_certificate(&full, &pilots, &grids, tolerance)?;
        let candidates = vec![self.solved(Route::HighOrder, &full, &certificate, seconds)];
        Ok(self.report(Route::HighOrder, reason, candidates, full, certificate))
    }

    /// The certificate of a solution by the high-order route, and the time its coarser solutions took.
    pub(super) fn high_order_certificate(
        &self,
        full: &Run,
        pilots: &Pilots,
        grids: &Coarser,
        tolerance: f64,
    ) -> Result<(AccuracyCertificate, f64), HjbError> {
        let clock = Instant::now();
        let tight = match tolerance < self.pilot_tolerance() {
            true => Some(self.high_order_run(&grids.half.grid, tolerance, true, None)?),
            false => None,
        };
        let mut certificate = AccuracyCertificate::on(&self.region);
        certificate.richardson = Some(self.high_order_estimate(full, tight.as_ref(), pilots, grids, tolerance)?);
        let half = tight.as_ref().unwrap_or(&pilots.half);
        self.judge_box(&mut certificate, half, grids, tolerance)?;
        self.finish_certificate(&mut certificate, full, Some((half, grids.half.ratio)))?;
        certificate.seconds = clock.elapsed().as_secs_f64() + pilots.seconds;
        let seconds = tight.map_or(0.0, |t| t.info.seconds()) + pilots.seconds;
        Ok((certificate, seconds))
    }

    /// Add what the box costs, where it can be felt: at the tolerance of the full solution, for the errors in time on two grids are
    /// not the same.
    fn judge_box(
        &self,
        certificate: &mut AccuracyCertificate,
        half: &Run,
        grids: &Coarser,
        tolerance: f64,
    ) -> Result<(), HjbError> {
        let claim = certificate.richardson.as_ref().map_or(0.0, |r| r.value_error);
        let test = self.box_test();
        let felt = test.felt(&half.kept, claim)?;
        if felt.is_empty() {
            return Ok(());
        }
        let quarter = grids.quarter.as_ref().map(|g| self.high_order_run(&g.grid, tolerance, false, None)).transpose()?;
        let coarser: Vec<&ValueFunction> = quarter.iter().chain([half]).map(|run| &run.kept).collect();
        let mut larger = |_, grid| Ok(self.high_order_run(&grid, tolerance, false, None)?.kept);
        test.add(certificate, &felt, &coarser, &mut larger)
    }

    /// Richardson's estimate for the high-order route: differences in space at one tolerance, and the error in time from
    /// two tolerances on one grid. `tight` is the solution on the half grid with the tolerance of the full one, unless that
    /// is the tolerance of the pilots.
    pub(super) fn high_order_estimate(
        &self,
        full: &Run,
        tight: Option<&Run>,
        pilots: &Pilots,
        grids: &Coarser,
        tolerance: f64,
    ) -> Result<RichardsonCertificate, HjbError> {
        let near = self.gap(full, tight.unwrap_or(&pilots.half))?;
        let far = pilots.quarter.as_ref().map(|quarter| self.gap(&pilots.half, quarter)).transpose()?;
        let formal = self.order() as f64;
        let highest = formal - ORDERS_KEPT_BACK;
        let mut found = estimate(&near, far.as_ref(), grids.half.ratio, formal, highest);
        // At the pilot tolerance from the quarter grid; below it, seen on the half grid too.
        let ratio = (tolerance / self.pilot_tolerance()).powf(TOLERANCE_POWER);
        let mut in_time = pilots.time_error.unwrap_or_default().scaled(ratio);
        if let Some(tight) = tight {
            in_time = in_time.max(TimeError::of_smaller(&self.gap(tight, &pilots.half)?, ratio));
        }
        if let (Some(quarter), Integrator::Rkc) = (&grids.quarter, self.integrator()) {
            // Its error jumps where the number of stages does, so it need not fall from a tolerance to the next: measured at
            // this one against a smaller one, where that costs little.
            let smaller = (tolerance / LOOSER).max(LEAST_TOLERANCE);
            let at = self.high_order_run(&quarter.grid, tolerance, false, None)?;
            let reference = self.high_order_run(&quarter.grid, smaller, false, None)?;
            let left = (smaller / tolerance).powf(TOLERANCE_POWER).min(0.5);
            let apart = self.gap(&at, &reference)?;
            let measured = TimeError { all: apart.all, start: apart.start };
            in_time = in_time.max(measured.scaled(STAGES / (1.0 - left)));
        }
        found.add_time(in_time.all, in_time.start);
        Ok(found)
    }

    /// The tolerance whose error in time is about the error in space expected at full size: the product of error and work is
    /// least near there.
    pub(super) fn final_tolerance(&self, pilots: &Pilots) -> Result<f64, HjbError> {
        if let Some(tolerance) = self.params.tolerance {
            return Ok(tolerance);
        }
        let pilot = self.pilot_tolerance();
        let (Some(quarter), Some(in_time)) = (&pilots.quarter, pilots.time_error) else { return Ok(0.1 * pilot) };
        // Two further halvings, at an order that is the higher the smaller the differences are already.
        let gap = self.gap(&pilots.half, quarter)?.all.value;
        let relative = gap / self.region_sup(&pilots.half.kept)?.max(f64::MIN_POSITIVE);
        let expected = (-0.6 * relative.max(f64::MIN_POSITIVE).log2()).clamp(1.0, self.order() as f64 - ORDERS_KEPT_BACK);
        let wanted = gap * 4f64.powf(-expected);
        let implicit = self.integrator() != Integrator::Rkc;
        let (power, least) = if implicit { (1.0, 1e-5) } else { (1.0 / TOLERANCE_POWER, 1e-4) };
        let factor = (wanted / in_time.all.value.max(f64::MIN_POSITIVE)).powf(power).clamp(least, 1.0);
        Ok(pilot * if factor > NEARLY { 1.0 } else { factor })
    }

    /// Two solutions of the monotone route to compare with: on the half and the quarter grid, or one level coarser when the
    /// work on the half grid would be too large a part of the work of the high-order route.
    pub(super) fn comparison(&self, grids: &Coarser, high_work: f64) -> Result<Comparison, HjbError> {
        let clock = Instant::now();
        let quarter_grid = grids.quarter.as_ref().unwrap_or(&grids.half);
        let quarter = self.stepped_run(Route::Monotone, &quarter_grid.grid, 2, false, None)?;
        let work = self.extrapolated_work(&quarter, quarter_grid.ratio, 2);
        let power = self.grid.dim() as i32 + 1;
        let costly = work * quarter_grid.ratio.powi(-power) > COMPARISON_SHARE * high_work;
        // In one dimension the half grid is affordable, so a coarser comparison must still resolve something.
        let resolves = |grid: &TensorGrid| grid.dim() > 1 || grid.len().min(self.steps() >> 3) >= LEAST_COMPARED;
        let eighth = match costly {
            true => coarsen(&quarter_grid.grid).ok().filter(|eighth| resolves(&eighth.grid)),
            false => None,
        };
        let (fine, coarse, level, ratio) = match eighth {
            Some(eighth) => (quarter, self.stepped_run(Route::Monotone, &eighth.grid, 3, false, None)?, 2, eighth.ratio),
            None => (self.stepped_run(Route::Monotone, &grids.half.grid, 1, false, None)?, quarter, 1, quarter_grid.ratio),
        };
        let gap = self.gap(&fine, &coarse)?.all.value;
        Ok(Comparison { fine, level, ratio, gap, work, seconds: clock.elapsed().as_secs_f64() })
    }

    /// The monotone route at full size, seen from its coarser solutions and their distance `apart` to the high-order one.
    pub(super) fn rival(&self, low: &Comparison, apart: f64, high_work: f64) -> Rival {
        let order = self.monotone_order();
        // The errors e of the finer and r^p e of the coarser solution differ by (r^p - 1) e, with `apart` for e.
        let seen = if apart > 0.0 { (1.0 + low.gap / apart).ln() / low.ratio.ln() } else { order };
        let seen = seen.clamp(0.5, order);
        let error = apart * low.ratio.powf(-seen * f64::from(low.level));
        let budget = (high_work / low.work).max(1.0);
        let same_work = error * budget.powf(-seen / (self.grid.dim() as f64 + 1.0));
        Rival { error, same_work, coarse_error: low.gap / (low.ratio.powf(order) - 1.0) }
    }
}

/// Whether the certificate of the high-order route holds, and the reason in words either way. `apart` is the distance to the
/// monotone solution on a coarser grid, `bound` what the residual of the high-order one stands for.
fn verdict(r: &RichardsonCertificate, rival: &Rival, apart: f64, bound: Option<f64>, size: f64) -> Result<String, String> {
    // The box is the same for both.
    let (error, time) = (r.value_error - r.box_error.unwrap_or(0.0), r.time_error.unwrap_or(0.0));
    let observed = r.observed_order.unwrap_or(0.0);
    let only_time = error - time <= 0.5 * time || r.value_difference <= ROUNDING * size;
    if observed < LEAST_HIGH_ORDER && !only_time {
        return Err(format!(
            "the high-order route shows order {observed:.1} only (difference of {:.1e} on the last two grids), as next to kinks \
             or layers that the grid does not resolve",
            r.value_difference
        ));
    }
    if error >= rival.same_work {
        return Err(format!(
            "the estimated error of the high-order route, {error:.1e}, is not below that of the monotone route for the same \
             work, {:.1e}",
            rival.same_work
        ));
    }
    let allowed = AGREEMENT * (rival.coarse_error + error) + ROUNDING * size;
    let explained = bound.is_some_and(|b| b <= EXPLAINED * apart);
    if apart > allowed && !explained {
        return Err(format!(
            "the high-order solution is {apart:.1e} away from the monotone one on a coarser grid, more than the estimated \
             errors of the two explain ({allowed:.1e})"
        ));
    }
    let shown =
        if only_time { "its error is that of the tolerance in time".into() } else { format!("observed order {observed:.1}") };
    let agreed = match apart > allowed {
        true => format!(
            "its residual says that the distance of {apart:.1e} to the monotone solution on a coarser grid is the error of that"
        ),
        false => "the two agree on a coarser grid".into(),
    };
    Ok(format!(
        "estimated error {error:.1e} against {:.1e} of the monotone route for the same work; {shown}; {agreed}",
        rival.same_work
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::richardson::{Difference, Gap};

    fn certificate(near: f64, far: f64, time: f64) -> RichardsonCertificate {
        let gap = |value| Difference {
            all: Gap { value, control: value, control_mean: value },
            start: None,
            point: vec![0.0],
            time: 0.0,
            control_point: vec![0.0],
            control_time: 0.0,
            times: 9,
            nested: true,
            coarse_nodes: vec![65],
        };
        let mut r = estimate(&gap(near), Some(&gap(far)), 2.0, 8.0, 6.0);
        r.add_time(Gap { value: time, control: time, control_mean: time }, None);
        r
    }

    #[test]
    fn the_certificate_of_the_high_order_route_fails_for_each_of_its_reasons() {
        let rival = Rival { error: 1e-3, same_work: 1e-3, coarse_error: 4e-3 };
        let judge = |near, far, time, apart| verdict(&certificate(near, far, time), &rival, apart, Some(0.01), 1.0);
        assert!(judge(1e-4, 3e-3, 0.0, 4e-3).unwrap().contains("observed order 4.9"));
        // Differences that do not fall: a kink.
        assert!(judge(1e-4, 1.5e-4, 0.0, 4e-3).unwrap_err().contains("order 0.6 only"));
        // Unless only the tolerance is left.
        assert!(judge(1e-7, 1e-7, 1e-6, 4e-3).unwrap().contains("tolerance in time"));
        assert!(judge(3e-3, 9e-3, 0.0, 4e-3).unwrap_err().contains("not below that of the monotone route"));
        assert!(judge(1e-4, 3e-3, 0.0, 2e-2).unwrap_err().contains("away from the monotone one"));
        // Unless the residual is that of a solution.
        assert!(judge(1e-4, 3e-3, 0.0, 0.1).unwrap().contains("is the error of that"));
    }

    #[test]
    fn estimates_use_the_observed_order_below_the_formal_one_only() {
        let error = |near: f64, far: f64| certificate(near, far, 0.0).value_error;
        assert!((error(1.0, 4.0) - 1.0 / 3.0).abs() < 1e-14);
        // Two of eight orders are kept back.
        assert!((error(1.0, 4096.0) - 1.0 / 63.0).abs() < 1e-14);
        let flat = certificate(1.0, 1.0, 0.0);
        assert!(!flat.converging && flat.value_error > 2.0);
    }
}
