//! The monotone and the Cole-Hopf route: which of them, and its certificate.

use crate::certificate::AccuracyCertificate;
use crate::certificate::richardson::{Difference, Gap, estimate};
use crate::certificate::unresolved::Stepped;
use crate::error::HjbError;
use crate::route::choose::{Observer, RouteSolver, candidate};
use crate::route::high_order::{AGREEMENT, ROUNDING};
use crate::route::params::{CandidateInfo, Route, RouteChoice, RouteInfo};
use crate::route::pilots::{Coarser, Pilots, sup};
use crate::route::run::Run;
use crate::solution::ValueFunction;
use std::time::Instant;

/// The Cole-Hopf route is taken when its expected error, scaled to the same work, is below this part of that of the monotone
/// route and not above it without scaling.
const CLEARLY: f64 = 0.7;

/// What a route is expected to do at full size, from two coarser grids.
struct Expected {
    error: f64,
    /// The error on the half grid.
    at_half: f64,
    work: f64,
    seconds: f64,
}

impl RouteSolver<'_> {
    /// The monotone or the Cole-Hopf route, whichever measures better.
    pub(super) fn choose_low_order(
        &self,
        reason: String,
        mut candidates: Vec<CandidateInfo>,
        attempt: usize,
        observe: &mut Observer<'_>,
    ) -> Result<RouteInfo, HjbError> {
        let measured = self.coarser().and_then(|grids| {
            let measure = |route| -> Result<(Expected, Run), HjbError> {
                let pilots = self.stepped_pilots(route, &grids)?;
                let quarter = pilots.quarter.as_ref().unwrap_or(&pilots.half);
                let order = self.monotone_order();
                let at_half = self.gap(&pilots.half, quarter)?.all.value / (grids.half.ratio.powf(order) - 1.0);
                let work = self.extrapolated_work(&pilots.half, grids.half.ratio, 1);
                let error = at_half / grids.half.ratio.powf(order);
                Ok((Expected { error, at_half, work, seconds: pilots.seconds }, pilots.half))
            };
            // The cheap refusals of the Cole-Hopf route come first.
            let linear = match self.problem.obstacle {
                Some(_) => Err("there is an obstacle".to_string()),
                None if self.passes_over() => {
                    Err("the coefficients jump in time, or vary quickly for its steps".to_string())
                }
                None if grids.quarter.is_none() => Err("the grid is too coarse to be halved twice".to_string()),
                None => measure(Route::ColeHopf).map_err(|e| e.to_string()),
            };
            let (linear, linear_half) = match linear {
                Err(why) => return Ok(Err(why)),
                Ok(found) => found,
            };
            let (low, low_half) = measure(Route::Monotone)?;
            // Differences of one route between two grids can be small by chance; two routes seldom err alike.
            let apart = self.gap(&linear_half, &low_half)?.all.value;
            let allowed = AGREEMENT * (linear.at_half + low.at_half) + ROUNDING * (1.0 + sup(&low_half.kept));
            Ok(match apart <= allowed {
                true => Ok((linear, low)),
                false => Err(format!(
                    "on the half grid it is {apart:.1e} away from the monotone solution, more than the estimated errors of the two \
                     explain ({allowed:.1e})"
                )),
            })
        });
        match measured {
            Ok(Ok((linear, low))) => {
                let budget = (linear.work / low.work).powf(self.monotone_order() / (self.grid.dim() as f64 + 1.0));
                let better = linear.error <= low.error && linear.error * budget < CLEARLY * low.error;
                let (route, other, name) = match better {
                    true => (Route::ColeHopf, &low, Route::Monotone),
                    false => (Route::Monotone, &linear, Route::ColeHopf),
                };
                let mut info = candidate(name, Some(other.error), None);
                (info.work, info.seconds) = (Some(other.work), other.seconds);
                candidates.push(info);
                let compared = format!(
                    "{reason}; expected errors {:.1e} (monotone) and {:.1e} (Cole-Hopf, {:.1} times the work)",
                    low.error,
                    linear.error,
                    linear.work / low.work
                );
                self.low_order(route, compared, candidates, attempt, observe)
            }
            Ok(Err(why)) => {
                candidates.push(candidate(Route::ColeHopf, None, Some(why)));
                self.low_order(Route::Monotone, reason, candidates, attempt, observe)
            }
            // The full solution says what is wrong, if it is not only the coarser grids.
            Err(_) => self.low_order(Route::Monotone, reason, candidates, attempt, observe),
        }
    }

    /// Solve by the monotone or the Cole-Hopf route and certify.
    pub(super) fn low_order(
        &self,
        route: Route,
        reason: String,
        mut candidates: Vec<CandidateInfo>,
        attempt: usize,
        observe: &mut Observer<'_>,
    ) -> Result<RouteInfo, HjbError> {
        let full = self.stepped_run(route, &self.grid, 0, true, Some((attempt, observe)))?;
        let certify = self.params.certify || self.params.choice == RouteChoice::Auto;
        let (mut note, mut found) = (None, None);
        if certify {
            match self.coarser().and_then(|grids| Ok((self.stepped_pilots(route, &grids)?, grids))) {
                Ok(pair) => found = Some(pair),
                Err(e) => note = Some(format!("no Richardson estimate: {e}")),
            }
        }
        let mut certificate = match certify {
            true => self.stepped_certificate(route, &full, found.as_ref().map(|(p, g)| (p, g)))?,
            false => AccuracyCertificate::on(&self.region),
        };
        certificate.notes.extend(note);
        if let (RouteChoice::ColeHopf, Some((pilots, grids))) = (self.params.choice, &found) {
            self.check_against_monotone(&mut certificate, pilots, grids);
        }
        let seconds = found.as_ref().map_or(0.0, |(p, _)| p.seconds);
        candidates.push(self.solved(route, &full, &certificate, seconds));
        Ok(self.report(route, reason, candidates, full, certificate))
    }

    /// The test of agreement that the choice makes, for a Cole-Hopf route that was asked for: both routes on the half grid.
    /// Its outcome is a note; when it fails, the distances found are the least errors that are claimed.
    fn check_against_monotone(&self, certificate: &mut AccuracyCertificate, linear: &Pilots, grids: &Coarser) {
        let clock = Instant::now();
        let compare = || -> Result<(Difference, f64), HjbError> {
            let low = self.stepped_pilots(Route::Monotone, grids)?;
            let share = grids.half.ratio.powf(self.monotone_order()) - 1.0;
            let at_half = |p: &Pilots| match &p.quarter {
                Some(quarter) => Ok(self.gap(&p.half, quarter)?.all.value / share),
                None => {
                    Err(HjbError::invalid("grid.shape", format!("{:?}", self.grid.shape()), "a grid that can be halved twice"))
                }
            };
            let allowed = AGREEMENT * (at_half(linear)? + at_half(&low)?) + ROUNDING * (1.0 + sup(&low.half.kept));
            Ok((self.gap(&linear.half, &low.half)?, allowed))
        };
        certificate.notes.push(match compare() {
            Err(e) => format!("the Cole-Hopf solution could not be compared with the monotone one on the half grid: {e}"),
            Ok((Difference { all: Gap { value: apart, .. }, .. }, allowed)) if apart <= allowed => format!(
                "on the half grid the Cole-Hopf solution is {apart:.1e} away from the monotone one, within what the estimated errors \
                 of the two explain ({allowed:.1e})"
            ),
            Ok((between, allowed)) => {
                if let Some(r) = &mut certificate.richardson {
                    r.raise(&between);
                }
                format!(
                    "on the half grid the Cole-Hopf solution is {:.1e} away from the monotone one, more than the estimated \
                     errors of the two explain ({allowed:.1e}): V may be too steep against the temperature for this grid, prefer \
                     the monotone route; the errors claimed are at least that distance",
                    between.all.value
                )
            }
        });
        certificate.seconds += clock.elapsed().as_secs_f64();
    }

    /// Whether coefficients do something within the steps that the values at their ends do not show.
    fn passes_over(&self) -> bool {
        let (steps, horizon) = (self.steps(), self.problem.model.horizon());
        let level = |k: usize| k as f64 * (horizon / steps as f64);
        (0..steps).any(|k| self.variation.is_rough(level(k), level(k + 1)))
    }

    /// The certificate of a solution by the monotone or the Cole-Hopf route.
    pub(super) fn stepped_certificate(
        &self,
        route: Route,
        full: &Run,
        pilots: Option<(&Pilots, &Coarser)>,
    ) -> Result<AccuracyCertificate, HjbError> {
        let clock = Instant::now();
        let mut certificate = AccuracyCertificate::on(&self.region);
        if let Some((pilots, grids)) = pilots {
            let near = self.gap(full, &pilots.half)?;
            let far = pilots.quarter.as_ref().map(|quarter| self.gap(&pilots.half, quarter)).transpose()?;
            let order = self.monotone_order();
            certificate.richardson = Some(estimate(&near, far.as_ref(), grids.half.ratio, order, order));
            let claim = certificate.richardson.as_ref().map_or(0.0, |r| r.value_error);
            let exact_source = route == Route::Monotone;
            let stepped = Stepped { time: self.params.monotone.time, steps: self.steps(), exact_source };
            certificate.add_unresolved(self.equation(), &full.kept, &self.region, &self.variation, stepped)?;
            let coarser: Vec<&ValueFunction> = pilots.quarter.iter().chain([&pilots.half]).map(|run| &run.kept).collect();
            let test = self.box_test();
            let felt = test.felt(coarser[0], claim)?;
            if !felt.is_empty() {
                let count = coarser.len();
                let mut larger = |k: usize, grid| Ok(self.stepped_run(route, &grid, (count - k) as u32, false, None)?.kept);
                test.add(&mut certificate, &felt, &coarser, &mut larger)?;
            }
        }
        self.finish_certificate(&mut certificate, full, pilots.map(|p| (&p.0.half, p.1.half.ratio)))?;
        certificate.seconds = clock.elapsed().as_secs_f64() + pilots.map_or(0.0, |p| p.0.seconds);
        Ok(certificate)
    }
}
