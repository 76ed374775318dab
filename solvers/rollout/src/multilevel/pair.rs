//! The same Brownian paths with two steps, block after block.

use std::ops::Range;

use hjbridge_model::Points;
use rayon::prelude::*;

use crate::ensemble::{Ensemble, WAVE};
use crate::error::RolloutError;
use crate::noise::{LANES, NoiseSource};
use crate::reduce::{FinishedPaths, Moments, pair_means};
use crate::scheme::SdeScheme;
use crate::simulation::Simulation;

/// What is averaged: writes one number for each path.
pub type Payoff<'a> = dyn Fn(&FinishedPaths<'_>, &mut [f64]) + Sync + 'a;

/// Sobol points have no standard error from one run.
pub(crate) fn validate_coupling<S: SdeScheme>(ensemble: &Ensemble<'_, S>) -> Result<(), RolloutError> {
    match ensemble.params().noise {
        NoiseSource::Keyed => Ok(()),
        NoiseSource::Sobol => Err(RolloutError::invalid("noise", "Sobol", "keyed: the error comes from independent paths")),
    }
}

/// Extrapolation needs an error in law of c h^p + o(h^p).
pub(crate) fn validate_expansion<S: SdeScheme>(ensemble: &Ensemble<'_, S>) -> Result<(), RolloutError> {
    match ensemble.scheme().expands() || !ensemble.equal_steps() {
        true => Ok(()),
        false => Err(RolloutError::invalid("scheme", S::NAME, "not to be extrapolated on equal steps: its error is h log(1/h)")),
    }
}

/// Absorb the blocks `blocks` into moments of ( Y, P_f, P_c, P_f + extra Y ), Y = P_f - P_c; without a coarse run P_c = 0
/// and Y = P_f. `watch` sees the number of blocks absorbed after every wave. Returns the first block that an interrupt left out,
/// or the end.
pub(crate) fn run_pairs<S: SdeScheme>(
    fine: &Ensemble<'_, S>,
    coarse: Option<&Ensemble<'_, S>>,
    blocks: Range<u64>,
    payoff: Option<&Payoff<'_>>,
    extra: f64,
    moments: &mut Moments,
    watch: &(dyn Fn(u64) + Sync),
) -> Result<u64, RolloutError> {
    let interrupted = || fine.interrupted();
    fine.in_pool(|| {
        fine.simulate(|f| match coarse {
            None => waves(&f, None::<&Simulation<'_, S>>, blocks, payoff, extra, moments, (&interrupted, watch)),
            Some(coarse) => coarse.simulate(|c| waves(&f, Some(&c), blocks, payoff, extra, moments, (&interrupted, watch))),
        })
    })?
}

fn waves<S: SdeScheme>(
    fine: &Simulation<'_, S>,
    coarse: Option<&Simulation<'_, S>>,
    blocks: Range<u64>,
    payoff: Option<&Payoff<'_>>,
    extra: f64,
    moments: &mut Moments,
    (interrupted, watch): (&(dyn Fn() -> bool + Sync), &(dyn Fn(u64) + Sync)),
) -> Result<u64, RolloutError> {
    let (first, mut next) = (blocks.start, blocks.start);
    while next < blocks.end {
        let end = blocks.end.min(next + WAVE);
        let wave: Vec<Result<Option<Moments>, RolloutError>> = (next..end)
            .into_par_iter()
            .map_init(
                || (fine.workspace(), coarse.map(Simulation::workspace)),
                |(work, coarse_work), block| {
                    if interrupted() {
                        return Ok(None);
                    }
                    fine.advance(block, work, |_, _| {})?;
                    let p = pay(payoff, &fine.finished(work));
                    let mut q = vec![0.0; p.len()];
                    if let (Some(coarse), Some(work)) = (coarse, coarse_work) {
                        coarse.advance(block, work, |_, _| {})?;
                        q = pay(payoff, &coarse.finished(work));
                    }
                    Ok(Some(block_moments(&p, &q, extra, fine.params.antithetic)))
                },
            )
            .collect();
        for part in wave {
            let Some(part) = part? else { return Ok(next) };
            moments.merge(&part);
            next += 1;
        }
        watch(next - first);
    }
    Ok(next)
}

fn pay(payoff: Option<&Payoff<'_>>, paths: &FinishedPaths<'_>) -> Vec<f64> {
    match payoff {
        None => paths.objective().collect(),
        Some(payoff) => {
            let mut out = vec![0.0; paths.len()];
            payoff(paths, &mut out);
            out
        }
    }
}

fn block_moments(fine: &[f64], coarse: &[f64], extra: f64, antithetic: bool) -> Moments {
    let (p, q): (Vec<f64>, Vec<f64>) = match antithetic {
        true => (pair_means(fine).collect(), pair_means(coarse).collect()),
        false => (fine.to_vec(), coarse.to_vec()),
    };
    let y: Vec<f64> = p.iter().zip(&q).map(|(p, q)| p - q).collect();
    let z = p.iter().zip(&y).map(|(p, y)| p + extra * y);
    let mut moments = Moments::new(4);
    let all: Vec<f64> = y.iter().chain(&p).chain(&q).copied().chain(z).collect();
    moments.absorb(Points::new(&all, 4));
    moments
}

/// Samples that one block holds.
pub(crate) fn samples_per_block(antithetic: bool) -> u64 {
    if antithetic { LANES as u64 / 2 } else { LANES as u64 }
}
