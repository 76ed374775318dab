//! Sample means of the objective and its gradient.

use super::Estimator;
use crate::parametric::ParametricError;
use crate::parametric::chain::{BLOCK, Paths, SampledChain};
use crate::parametric::noise::Noise;
use crate::parametric::objective::Totals;
use crate::parametric::policy::Policy;
use hjbridge_model::PointBlock;
use rayon::prelude::*;

/// Runs of blocks with a gradient of their own; fixed, so that sums do not depend on the number of threads.
const RUNS: usize = 16;

/// The objective and its gradient over sampled paths.
pub(crate) struct Gradient {
    pub totals: Totals,
    /// Of the sample mean.
    pub gradient: Vec<f64>,
    /// States, scores and targets of every step, when kept.
    pub states: Option<Vec<(PointBlock, PointBlock, PointBlock)>>,
}

impl Gradient {
    /// Over paths `0..count`; with `keep`, states, scores and targets of every step as well.
    pub(crate) fn new(
        chain: &SampledChain<'_>,
        policy: &dyn Policy,
        count: usize,
        noise: &Noise,
        estimator: Estimator,
        keep: bool,
    ) -> Result<Self, ParametricError> {
        let baseline = match estimator {
            Estimator::ScoreFunction => Some(gains_of_all(chain, policy, count, noise)?),
            Estimator::Pathwise { .. } => None,
        };
        let blocks = count.div_ceil(BLOCK);
        let per_run = blocks.div_ceil(RUNS);
        let runs: Vec<(Totals, Vec<f64>, Vec<Kept>)> = (0..blocks.div_ceil(per_run))
            .into_par_iter()
            .map(|run| {
                let mut totals = Totals::default();
                let mut gradient = vec![0.0; policy.parameters().len()];
                let mut kept = Vec::new();
                for b in run * per_run..((run + 1) * per_run).min(blocks) {
                    let first = b * BLOCK;
                    let paths = chain.paths(policy, noise, first as u64, BLOCK.min(count - first))?;
                    totals.append(chain.totals_of(&paths));
                    let mut targets = vec![PointBlock::zeros(0, 0); if keep { chain.steps() } else { 0 }];
                    let mut visit = |k: usize, t: PointBlock| {
                        if keep {
                            targets[k] = t;
                        }
                    };
                    match (&baseline, estimator) {
                        (None, Estimator::Pathwise { control_variate }) => {
                            chain.adjoint(policy, &paths, control_variate, Some(&mut gradient), &mut visit);
                        }
                        (sums, _) => {
                            let sums = sums.as_deref().unwrap_or(&[]);
                            score_function(chain, policy, &paths, count, sums, &mut gradient, &mut visit);
                        }
                    }
                    if keep {
                        kept.push(Kept { first, paths, targets });
                    }
                }
                Ok((totals, gradient, kept))
            })
            .collect::<Result<_, ParametricError>>()?;
        let mut all = Gradient { totals: Totals::default(), gradient: vec![0.0; policy.parameters().len()], states: None };
        let (d, mut states) = (chain.dim(), Vec::new());
        if keep {
            let zeros = || PointBlock::zeros(d, count);
            states = (0..chain.steps()).map(|_| (zeros(), zeros(), zeros())).collect();
        }
        for (totals, gradient, kept) in runs {
            all.totals.append(totals);
            all.gradient.iter_mut().zip(&gradient).for_each(|(a, g)| *a += g / count as f64);
            for block in kept {
                for (k, (y, s, t)) in states.iter_mut().enumerate() {
                    for (whole, part) in [(y, &block.paths.y[k]), (s, &block.paths.score[k]), (t, &block.targets[k])] {
                        for i in 0..d {
                            let own = block.first..block.first + part.len();
                            whole.as_mut().coord_mut(i)[own].copy_from_slice(part.coord(i));
                        }
                    }
                }
            }
        }
        all.states = keep.then_some(states);
        if let Some(value) = all.gradient.iter().find(|g| !g.is_finite()) {
            return Err(ParametricError::NonFinite {
                step: chain.steps(),
                quantity: "the gradient of the objective",
                value: *value,
                path: 0,
                hint: ", first of all (the reward has no gradient there: use the score function; or the policy diverges)",
            });
        }
        Ok(all)
    }
}

struct Kept {
    first: usize,
    paths: Paths,
    targets: Vec<PointBlock>,
}

/// r - sum_{j > k} (cost_j + martingale_j), path by path: what follows W_k, later martingale parts taken out (their mean given W_k
/// is zero). One vector for each k.
fn gains(paths: &Paths) -> Vec<Vec<f64>> {
    let mut gain = paths.reward.clone();
    let mut all = Vec::with_capacity(paths.cost.len());
    for (cost, martingale) in paths.cost.iter().zip(&paths.martingale).rev() {
        all.push(gain.clone());
        for ((g, c), m) in gain.iter_mut().zip(cost).zip(martingale) {
            *g -= c + m;
        }
    }
    all.reverse();
    all
}

/// Sums of the gains over all paths, for each k.
fn gains_of_all(chain: &SampledChain<'_>, policy: &dyn Policy, count: usize, noise: &Noise) -> Result<Vec<f64>, ParametricError> {
    let blocks: Vec<Vec<f64>> = (0..count.div_ceil(BLOCK))
        .into_par_iter()
        .map(|b| {
            let first = b * BLOCK;
            let paths = chain.paths(policy, noise, first as u64, BLOCK.min(count - first))?;
            Ok(gains(&paths).iter().map(|g| g.iter().sum()).collect())
        })
        .collect::<Result<_, ParametricError>>()?;
    let mut sums = vec![0.0; chain.steps()];
    for block in &blocks {
        sums.iter_mut().zip(block).for_each(|(s, b)| *s += b);
    }
    Ok(sums)
}

/// Targets (W_k/sig_k) (gain - mean gain of the paths of other pairs), and their gradient.
fn score_function(
    chain: &SampledChain<'_>,
    policy: &dyn Policy,
    paths: &Paths,
    count: usize,
    sums: &[f64],
    gradient: &mut [f64],
    visit: &mut dyn FnMut(usize, PointBlock),
) {
    let gains = gains(paths);
    let n = paths.reward.len();
    for (k, gain) in gains.iter().enumerate() {
        let step = chain.step(k);
        let mut target = paths.noise[k].clone();
        // the pair of a path is in its block: blocks start at even numbers
        let advantage: Vec<f64> = (0..n).map(|j| gain[j] - (sums[k] - gain[j] - gain[j ^ 1]) / (count as f64 - 2.0)).collect();
        let scale = if step.sigma > 0.0 { 1.0 / step.sigma } else { 0.0 };
        for i in 0..target.dim() {
            for (t, a) in target.as_mut().coord_mut(i).iter_mut().zip(&advantage) {
                *t *= scale * a;
            }
        }
        let mut cotangent = target.clone();
        let lam = step.lambda();
        cotangent.data_mut().iter_mut().zip(paths.costate[k].data()).for_each(|(c, g)| *c = lam * (*c - g));
        policy.backward(paths.at(k), cotangent.as_points(), None, Some(&mut *gradient));
        visit(k, target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ddpm::{Ddpm, DdpmParams};
    use crate::parametric::noise::Purpose;
    use crate::parametric::{LinearParams, LinearPolicy, NetworkParams, NetworkPolicy, PolicyInput};
    use hjbridge_model::{FineTuning, GaussianMixture, InitialLaw, KlWeight, Reward, Schedule};

    fn problem() -> FineTuning {
        let prior = GaussianMixture::new(
            vec![0.3, 0.7],
            vec![vec![-1.0, 0.5], vec![0.8, -0.2]],
            vec![vec![vec![0.7, 0.3], vec![0.3, 1.5]], vec![vec![0.4, -0.1], vec![-0.1, 0.3]]],
        )
        .unwrap();
        let reward = Reward::quadratic(&[vec![0.5, 0.1], vec![0.1, 0.2]], vec![1.0, -0.5], 0.0).unwrap();
        let schedule = Schedule::linear(2.0, 0.5, 3.0).unwrap();
        FineTuning::new(schedule, prior, reward, KlWeight::constant(0.8).unwrap(), InitialLaw::NoisedPrior).unwrap()
    }

    /// Sample means with and without the martingale against differences of themselves.
    fn compare(chain: &SampledChain<'_>, policy: &mut dyn Policy) {
        policy.parameters_mut().iter_mut().enumerate().for_each(|(i, t)| *t += 0.2 * (1.3 * i as f64).sin());
        let noise = Noise::new(3, Purpose::Paths, 0);
        for control_variate in [false, true] {
            let estimator = Estimator::Pathwise { control_variate };
            let got = Gradient::new(chain, policy, 70, &noise, estimator, false).unwrap().gradient;
            let n = got.len();
            let scale = got.iter().fold(0.0, |m: f64, g| m.max(g.abs()));
            for i in (0..n).step_by((n / 12).max(1)) {
                let mut mean = |shift: f64| {
                    policy.parameters_mut()[i] += shift;
                    let x = chain.totals(policy, 70, &noise).unwrap().objective(control_variate);
                    policy.parameters_mut()[i] -= shift;
                    x.iter().sum::<f64>() / 70.0
                };
                let want = (mean(1e-4) - mean(-1e-4)) / 2e-4;
                assert!((got[i] - want).abs() < 1e-6 * scale, "{i}: {} {want}", got[i]);
            }
        }
    }

    #[test]
    fn pathwise_gradients_agree_with_differences() {
        let problem = problem();
        let ddpm = Ddpm::new(&problem, DdpmParams { steps: 6, ..Default::default() }).unwrap();
        let chain = SampledChain::new(&ddpm, problem.initial_law()).unwrap();
        let (input, sample) = (PolicyInput::StateAndScore, 64);
        let features = crate::parametric::FeatureSpec::Polynomial { degree: 2 };
        compare(&chain, &mut LinearPolicy::new(&chain, LinearParams { features, input, sample, seed: 1 }).unwrap());
        let params = NetworkParams { hidden: vec![5, 4], input, sample, ..Default::default() };
        compare(&chain, &mut NetworkPolicy::new(&chain, &params).unwrap());
    }
}
