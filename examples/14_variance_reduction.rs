//! Four ways to the same number, and what each costs: the value of a fine-tuning problem at a point.
//!
//!   V(0,y) = max E[ r(Y_T) - int beta (b/2) |U - s|^2 dt ] = beta log E_pre[ exp(r(Y_T)/beta) ].
//!
//! * the objective under the optimal policy: plain, with antithetic pairs, with the martingale int V_y sqrt(b) dB taken out;
//! * the exponential mean under the pre-trained model: plain (the policy v = 0 is its own reference), and from paths of the
//!   optimal policy weighted by Girsanov's formula. In continuous time every such path carries the same weighted exponential:
//!   the variance that is left is the step's, O(h).
//!
//! The column "gain" is how many times fewer paths than the plain objective reach the same standard error. Each estimate is
//! compared with the closed form; what remains beyond the standard error is the step's bias, O(h).
//!
//! Run: cargo run --release --example 14_variance_reduction
#![allow(non_snake_case)] // V is the letter of the equation

use hjbridge::hjb::{HjbParams, HjbSolver};
use hjbridge::model::exact::{ClosedForm, TiltedMixture};
use hjbridge::model::{
    Axis, Extrapolation, Feedback, FineTuning, GaussianMixture, InitialLaw, Interpolation, KlWeight, Points, PointsMut,
    QuadraticTerm, Reward, Schedule, TableFeedback, TensorGrid, VectorField, ZeroFeedback,
};
use hjbridge::rollout::estimators::{ControlVariateParams, ImportanceParams, control_variate, exponential_mean};
use hjbridge::rollout::{Ensemble, Estimate, InitialState, RolloutParams};
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
    TiltedMixture::new(&problem)?.at(0.0).value(Points::new(&[y], 1), &mut V);
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-6.0, 6.0, 401)?])?);
    let (solution, _) = HjbSolver::new(&problem, grid, HjbParams { steps: 400, ..HjbParams::default() })?.solve()?;
    let policy = solution.feedback(Interpolation::Cubic, Extrapolation::Linear)?;
    let gradient = Gradient(policy.clone());
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
        let untuned = exponential_mean(&Ensemble::new(&problem, &none, start(), size)?, &none, &temperature)?.0;
        let (weighted, info) = exponential_mean(&optimal, &none, &temperature)?;
        println!("{steps} steps");
        let row = |name: &str, e: Estimate| {
            let gain = (plain.standard_error / e.standard_error).powi(2);
            println!("  {name:<44} {:>9.6} +- {:.1e}  error {:>8.1e}  gain {gain:>7.1}", e.mean, e.standard_error, e.mean - V[0]);
        };
        row("objective", plain);
        row("objective, antithetic pairs", antithetic);
        row("objective, martingale taken out", martingale.objective);
        row("exponential mean, pre-trained model", untuned.value);
        row("exponential mean, optimal policy, weighted", weighted.value);
        println!(
            "  effective samples {:.0} of {PATHS}; KL of the policy's paths from the model's {:.4} +- {:.4}",
            info.effective_samples, weighted.divergence.mean, weighted.divergence.standard_error
        );
    }
    Ok(())
}
