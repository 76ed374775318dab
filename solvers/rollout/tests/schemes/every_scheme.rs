//! The list of schemes, with what the documentation of the crate says of each.

use hjbridge_rollout::{
    AdditiveRungeKutta, AlphaRule, Ancestral, Ddim, EulerMaruyama, ExponentialIntegrator, Milstein, PlatenWeak2, ReverseVariance,
    SdeScheme, StochasticHeun,
};

use crate::problems::schedule;

/// A line of the table in the documentation.
pub struct Row {
    pub name: String,
    /// Strong orders for a sigma that does not depend on x, and for commutative noise; samplers have only the first.
    pub strong: (f64, Option<f64>),
    /// Weak orders for a sigma that does not depend on x, and for any noise.
    pub weak: (f64, Option<f64>),
    /// Normal numbers per component and step.
    pub normals: usize,
    /// Evaluations of drift and feedback in a step.
    pub drift: usize,
    /// Evaluations of sigma in a step when it is a 2 x 2 field.
    pub sigma: Option<usize>,
}

/// What is done with each scheme.
pub trait Task {
    /// `sampler` is set up for fine-tuning problems of [`schedule`], `general` for dX = X/2 dt + ... where the scheme takes
    /// other problems.
    fn run<S: SdeScheme>(&mut self, row: &Row, sampler: &S, general: Option<&S>);
}

/// Run `task` on all schemes.
pub fn for_every_scheme(task: &mut impl Task) {
    let row = |name: &str, strong, weak, normals, drift, sigma| Row { name: name.into(), strong, weak, normals, drift, sigma };
    let s = schedule();

    let euler = row("Euler-Maruyama", (1.0, Some(0.5)), (1.0, Some(1.0)), 1, 1, Some(1));
    task.run(&euler, &EulerMaruyama, Some(&EulerMaruyama));
    let exponential = row("exponential integrator", (1.0, Some(0.5)), (1.0, Some(1.0)), 1, 1, Some(1));
    let linear = ExponentialIntegrator::linear(0.5).unwrap();
    task.run(&exponential, &ExponentialIntegrator::of_schedule(&s), Some(&linear));
    let milstein = row("Milstein, diagonal", (1.0, Some(1.0)), (1.0, Some(1.0)), 1, 1, Some(2));
    task.run(&milstein, &Milstein::Diagonal, Some(&Milstein::Diagonal));
    let milstein = row("Milstein, commutative", (1.0, Some(1.0)), (1.0, Some(1.0)), 1, 1, Some(3));
    task.run(&milstein, &Milstein::Commutative, Some(&Milstein::Commutative));
    let heun = row("stochastic Heun", (1.0, Some(1.0)), (2.0, Some(1.0)), 1, 2, Some(10));
    task.run(&heun, &StochasticHeun, Some(&StochasticHeun));
    let runge_kutta = row("Runge-Kutta 1.5", (1.5, Some(0.5)), (2.0, Some(1.0)), 2, 2, Some(2));
    task.run(&runge_kutta, &AdditiveRungeKutta, Some(&AdditiveRungeKutta));
    let platen = row("Platen", (1.0, Some(1.0)), (2.0, Some(2.0)), 2, 2, Some(9));
    task.run(&platen, &PlatenWeak2, Some(&PlatenWeak2));

    for alpha in [AlphaRule::ExpIntegral, AlphaRule::Linear] {
        for (variance, strong) in [
            (ReverseVariance::OneMinusAlpha, 1.0),
            (ReverseVariance::OverAlpha, 1.0),
            (ReverseVariance::Posterior, 0.5),
            (ReverseVariance::GaussianPosterior { data_variance: 0.5 }, 1.0),
        ] {
            let row = row(&format!("ancestral, {alpha:?}, {variance:?}"), (strong, None), (1.0, None), 1, 1, None);
            task.run(&row, &Ancestral::new(&s, alpha, variance).unwrap(), None);
        }
    }
    for (eta, strong) in [(0.0, 0.0), (0.5, 0.0), (1.0, 0.5)] {
        let row = row(&format!("DDIM, eta = {eta}"), (strong, None), (1.0, None), 1, 1, None);
        task.run(&row, &Ddim::new(&s, eta).unwrap(), None);
    }
}
