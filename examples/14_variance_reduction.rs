//! Ways to the same number, and what each costs: the value of a fine-tuning problem at a point.
//!
//!   V(0,y) = max E[ r(Y_T) - int beta (b/2) |U - s|^2 dt ] = beta log E_pre[ exp(r(Y_T)/beta) ].
//!
//! * the objective under the optimal policy: plain, with antithetic pairs, with the martingale int V_y sqrt(b) dB taken out,
//!   and this with the leading term of the step's bias removed (Richardson extrapolation from h and h/2 on the same paths);
//! * the exponential mean under the pre-trained model: plain (the policy v = 0 is its own reference), and from paths of the
//!   optimal policy weighted by Girsanov's formula. In continuous time every such path carries the same weighted exponential.
//!
//! "gain" is how many times fewer paths than the plain objective reach the same standard error. In theory the martingale and
//! the weights both leave the second-order term of Ito's formula, (b V_yy / 2)(dB^2 - h) in each step:
//!   Var = (h/2) E int (b V_yy)^2 dt,   so that the gain grows like 1/h.
//! Each estimate is compared with the closed form, z = error/(standard error): where it is large the step's bias, O(h), shows.
//!
//! Run: cargo run --release --example 14_variance_reduction
#![allow(non_snake_case)] // V is the letter of the equation

use hjbridge::hjb::{HjbParams, HjbSolver};
use hjbridge::model::exact::{ClosedForm, ClosedFormSlice, TiltedMixture};
use hjbridge::model::{
    Axis, Extrapolation, Feedback, FineTuning, GaussianMixture, InitialLaw, Interpolation, KlWeight, MatrixCoefficient, Points,
    PointsMut, QuadraticTerm, Reward, Schedule, TableFeedback, TensorGrid, VectorField, ZeroFeedback,
};
use hjbridge::rollout::estimators::{
    ControlVariateParams, ImportanceParams, StochasticIntegral, control_variate, exponential_mean, weak_extrapolation,
};
use hjbridge::rollout::multilevel::Payoff;
use hjbridge::rollout::{
    ClosedLoop, Ensemble, Estimate, FinishedPaths, InitialState, MeasureReducer, PathFunctional, PreparedFunctional,
    RolloutError, RolloutParams, StepView,
};
use std::sync::Arc;

const BETA: f64 = 0.7;
const PATHS: usize = 65_536;

/// V_y = beta v for the optimal v = U* - s.
struct Gradient(TableFeedback);

struct Slice<'a>(Box<dyn VectorField + 'a>);

impl VectorField for Slice<'_> {
    fn eval(&self, y: Points<'_>, mut out: PointsMut<'_>) {
        self.0.eval(y, out.reborrow());
        out.coord_mut(0).iter_mut().for_each(|v| *v *= BETA);
    }
}

impl Feedback for Gradient {
    fn dim(&self) -> usize {
        1
    }
    fn control_dim(&self) -> usize {
        1
    }
    fn at(&self, t: f64) -> Box<dyn VectorField + '_> {
        Box::new(Slice(self.0.at(t)))
    }
}

/// The variance that theory leaves to a path: sum of (h b V_yy)^2 / 2.
struct LeftVariance(TiltedMixture);

struct LeftVarianceAt<'a>(Vec<Box<dyn ClosedFormSlice + 'a>>);

impl PathFunctional for LeftVariance {
    fn values(&self) -> usize {
        1
    }
    fn prepare<'s>(&'s self, system: &'s ClosedLoop<'s>) -> Result<Box<dyn PreparedFunctional + 's>, RolloutError> {
        Ok(Box::new(LeftVarianceAt((0..system.steps()).map(|k| self.0.at(system.level(k).time)).collect())))
    }
}

impl PreparedFunctional for LeftVarianceAt<'_> {
    fn step(&self, step: &StepView<'_>, mut values: PointsMut<'_>) {
        let MatrixCoefficient::Scaled(sigma) = step.level.diffusion else { return values.fill(f64::NAN) };
        let delta = 1e-3;
        for (sum, y) in values.coord_mut(0).iter_mut().zip(step.before.coord(0)) {
            let mut V = [0.0; 3];
            self.0[step.step].value(Points::new(&[y - delta, *y, y + delta], 1), &mut V);
            let V_yy = (V[0] - 2.0 * V[1] + V[2]) / (delta * delta);
            *sum += 0.5 * (step.step_length * sigma * sigma * V_yy).powi(2);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let b = Schedule::linear(2.0, 0.5, 3.0)?;
    let p = GaussianMixture::new(vec![0.4, 0.6], vec![vec![-1.5], vec![1.0]], vec![vec![vec![0.15]], vec![vec![0.4]]])?;
    let r = Reward::log_sum_exp(
        vec![QuadraticTerm::new(&[vec![0.5]], vec![-1.0], 0.1)?, QuadraticTerm::new(&[vec![1.2]], vec![1.5], -0.3)?],
        BETA,
    )?;
    let problem = FineTuning::new(b, p, r, KlWeight::constant(BETA)?, InitialLaw::NoisedPrior)?;
    let y = 0.5;
    let mut V = [0.0];
    let exact = TiltedMixture::new(&problem)?;
    exact.at(0.0).value(Points::new(&[y], 1), &mut V);
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-6.0, 6.0, 401)?])?);
    let (solution, _) = HjbSolver::new(&problem, grid, HjbParams { steps: 400, ..HjbParams::default() })?.solve()?;
    let policy = solution.feedback(Interpolation::Cubic, Extrapolation::Linear)?;
    let gradient = Gradient(policy.clone());
    let (left, integral) = (LeftVariance(exact), StochasticIntegral::new(&gradient));
    let without_martingale: &Payoff<'_> = &|paths: &FinishedPaths<'_>, out: &mut [f64]| {
        for ((out, J), M) in out.iter_mut().zip(paths.objective()).zip(paths.functionals.coord(0)) {
            *out = J - M;
        }
    };
    let none = ZeroFeedback { dim: 1, control_dim: 1 };
    println!("V(0, {y}) = {:.6}; {PATHS} paths", V[0]);
    for steps in [50, 200, 800] {
        let size = RolloutParams { paths: PATHS, steps, seed: 6, ..RolloutParams::default() };
        let pairs = RolloutParams { antithetic: true, ..size.clone() };
        let start = || InitialState::Point(vec![y]);
        let optimal = Ensemble::new(&problem, &policy, start(), size.clone())?;
        let plain = optimal.run()?.0.objective;
        let antithetic = Ensemble::new(&problem, &policy, start(), pairs)?.run()?.0.objective;
        let (martingale, _) = control_variate(&optimal, &gradient, &ControlVariateParams::default())?;
        let temperature = ImportanceParams { temperature: BETA };
        let untuned = exponential_mean(&Ensemble::new(&problem, &none, start(), size.clone())?, &none, &temperature)?.0;
        let (weighted, info) = exponential_mean(&optimal, &none, &temperature)?;
        let (richardson, _) = weak_extrapolation(&optimal.clone().with_functional(&integral), Some(without_martingale))?;
        let few = RolloutParams { paths: 2048, ..size };
        let theory = Ensemble::new(&problem, &policy, start(), few)?.with_functional(&left);
        let variance = theory.reduce(&MeasureReducer::functionals(1))?.0.estimates()?[0].mean;
        let expected = format!("{:.1}", plain.standard_error.powi(2) * plain.n as f64 / variance);
        println!("{:<92} {:>7} {:>7}", format!("{steps} steps"), "gain", "theory");
        let row = |name: &str, e: Estimate, theory: &str| {
            let gain = (plain.standard_error / e.standard_error).powi(2);
            let (error, z) = (e.mean - V[0], e.z_score(V[0]));
            println!(
                "  {name:<46} {:>9.6} +- {:.1e}  z {z:>6.1}  error {error:>8.1e} {gain:>7.1} {theory:>7}",
                e.mean, e.standard_error
            );
        };
        row("objective", plain, "");
        row("objective, antithetic pairs", antithetic, "");
        row("objective, martingale taken out", martingale.objective, &expected);
        row("the same, extrapolated (three times the steps)", richardson.extrapolated, "");
        row("exponential mean, pre-trained model", untuned.value, "");
        row("exponential mean, optimal policy, weighted", weighted.value, &expected);
        println!(
            "  effective samples {:.0} of {PATHS}; KL of the policy's paths from the model's {:.4} +- {:.4}",
            info.effective_samples, weighted.divergence.mean, weighted.divergence.standard_error
        );
    }
    Ok(())
}
