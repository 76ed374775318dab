//! Schemes, problems and grids that do not fit together give errors that say what is allowed.

use hjbridge_model::Schedule;
use hjbridge_rollout::estimators::{ImportanceParams, exponential_mean, weak_extrapolation};
use hjbridge_rollout::multilevel::{MultilevelParams, multilevel};
use hjbridge_rollout::{
    AdditiveRungeKutta, AlphaRule, Ancestral, Ddim, Ensemble, EulerMaruyama, ExponentialIntegrator, InitialState, Milstein,
    NoiseSource, PlatenWeak2, ReverseVariance, RolloutError, RolloutParams, SdeScheme, StochasticHeun, TimeGrid,
};

use crate::common::{Diffusion, Matrix};
use crate::problems::{Discounted, ZERO, gaussian_model, schedule};

fn text<T>(result: Result<T, RolloutError>) -> String {
    result.err().map_or("no error".into(), |e| e.to_string())
}

/// The error of a run in one dimension.
fn run<S: SdeScheme>(problem: &dyn hjbridge_model::ControlledDiffusion, scheme: S, params: RolloutParams) -> String {
    text(Ensemble::new(problem, &ZERO, InitialState::Point(vec![0.0]), params).and_then(|e| e.with_scheme(scheme).run()))
}

fn params(steps: usize) -> RolloutParams {
    RolloutParams { paths: 64, steps, ..Default::default() }
}

#[test]
fn parameters_of_schemes_are_checked() {
    let s = schedule();
    for eta in [-0.1, 1.1, f64::NAN] {
        assert!(text(Ddim::new(&s, eta)).contains("eta = "));
    }
    for data_variance in [-1.0, f64::NAN, f64::INFINITY] {
        let variance = ReverseVariance::GaussianPosterior { data_variance };
        assert!(text(Ancestral::new(&s, AlphaRule::ExpIntegral, variance)).contains("data_variance = "));
    }
    for alpha in [f64::NAN, f64::INFINITY] {
        assert!(text(ExponentialIntegrator::linear(alpha)).contains("alpha = "));
    }
    let e = run(&Diffusion::ou(1, 1.0, 1.0, 1.0), ExponentialIntegrator::linear(1e5).unwrap(), params(2));
    assert!(e.contains("alpha = 100000: such that exp(2 alpha h) is finite in step 0"), "{e}");
}

#[test]
fn samplers_take_fine_tuning_problems_of_their_schedule_only() {
    let (s, other) = (schedule(), Schedule::linear(1.5, 0.4, 2.9).unwrap());
    let chain = |s: &Schedule, alpha| Ancestral::new(s, alpha, ReverseVariance::OneMinusAlpha).unwrap();
    let (model, ou) = (gaussian_model(), Diffusion::ou(1, 1.0, 1.0, 1.5));
    let fits = "the schedule of the scheme";
    assert!(run(&ou, chain(&s, AlphaRule::ExpIntegral), params(20)).contains(fits));
    assert!(run(&ou, Ddim::new(&s, 0.5).unwrap(), params(20)).contains(fits));
    assert!(run(&ou, ExponentialIntegrator::of_schedule(&s), params(20)).contains(fits));
    assert!(run(&model, chain(&other, AlphaRule::ExpIntegral), params(20)).contains(fits));
    assert!(run(&model, Ddim::new(&other, 0.5).unwrap(), params(20)).contains(fits));
    assert_eq!(run(&model, chain(&s, AlphaRule::ExpIntegral), params(3)), "no error");
    // b = 3 at the start: h must be below 1/3.
    let e = run(&model, chain(&s, AlphaRule::Linear), params(4));
    assert!(e.contains("a_k = ") && e.contains("step 0"), "{e}");
    assert_eq!(run(&model, chain(&s, AlphaRule::Linear), params(5)), "no error");
}

#[test]
fn diagonal_noise_is_square() {
    let mut problem = Diffusion::ou(1, 1.0, 1.0, 1.0);
    problem.noise_dim = 2;
    problem.sigma = Matrix::constant(vec![0.3, 0.4]);
    assert!(run(&problem, Milstein::Diagonal, params(5)).contains("noise dimension for Milstein::Diagonal is 2; 1 expected"));
    assert_eq!(run(&problem, Milstein::Commutative, params(5)), "no error");
    assert_eq!(run(&problem, StochasticHeun, params(5)), "no error");
}

#[test]
fn sobol_points_must_have_enough_coordinates_for_the_scheme() {
    let ou = Diffusion::ou(1, 1.0, 1.0, 1.0);
    let sobol = |steps, coarsening| RolloutParams { noise: NoiseSource::Sobol, coarsening, ..params(steps) };
    for (steps, coarsening) in [(129, 1), (43, 3)] {
        assert_eq!(run(&ou, EulerMaruyama, sobol(steps, coarsening)), "no error");
        for e in [run(&ou, PlatenWeak2, sobol(steps, coarsening)), run(&ou, AdditiveRungeKutta, sobol(steps, coarsening))] {
            assert!(e.contains("normal numbers per path = 258: at most 256 with Sobol points"), "{e}");
        }
    }
    assert_eq!(run(&ou, PlatenWeak2, sobol(128, 1)), "no error");
}

#[test]
fn time_grids_must_fit_the_problem() {
    let ou = Diffusion::ou(1, 1.0, 1.0, 1.0);
    let with = |times: &[f64]| {
        let ensemble = Ensemble::new(&ou, &ZERO, InitialState::Point(vec![0.0]), params(5)).unwrap();
        text(TimeGrid::from_times(times.to_vec()).and_then(|grid| ensemble.with_time_grid(grid)))
    };
    assert_eq!(with(&[0.2, 0.3, 1.0]), "no error");
    for times in [[0.0, 0.5, 0.9], [0.0, 0.5, 1.1], [-0.1, 0.5, 1.0]] {
        assert!(with(&times).contains("from a time >= 0 to the horizon, 1"));
    }
}

#[test]
fn discounts_must_be_finite_and_not_negative() {
    for rho in [-0.1, f64::NAN, f64::INFINITY] {
        let problem = Discounted { inner: Diffusion::ou(1, 1.0, 1.0, 1.0), rho, cost: None };
        assert!(run(&problem, EulerMaruyama, params(5)).contains("problem.discount = "), "{rho}");
    }
}

#[test]
fn undefined_costs_are_reported() {
    let mut problem = Discounted { inner: Diffusion::ou(1, 1.0, 1.0, 1.0), rho: 0.0, cost: Some(|x, _| x.sqrt()) };
    assert!(run(&problem, PlatenWeak2, params(5)).contains("running cost of path"));
    problem.cost = Some(|x, _| x * x);
    assert_eq!(run(&problem, PlatenWeak2, params(5)), "no error");
}

#[test]
fn errors_without_an_expansion_are_not_extrapolated_and_chains_have_no_girsanov_weight() {
    let (s, model) = (schedule(), gaussian_model());
    let ensemble = || Ensemble::new(&model, &ZERO, InitialState::Point(vec![0.0]), params(20)).unwrap();
    let chain = |variance| Ancestral::new(&s, AlphaRule::ExpIntegral, variance).unwrap();
    let refused = "not to be extrapolated on equal steps";
    assert!(text(weak_extrapolation(&ensemble().with_scheme(Ddim::new(&s, 1.0).unwrap()), None)).contains(refused));
    assert!(text(weak_extrapolation(&ensemble().with_scheme(chain(ReverseVariance::Posterior)), None)).contains(refused));
    assert_eq!(text(weak_extrapolation(&ensemble().with_scheme(chain(ReverseVariance::OneMinusAlpha)), None)), "no error");
    let posterior = ensemble().with_scheme(chain(ReverseVariance::Posterior));
    let asked = |extrapolate| MultilevelParams { standard_error: 0.1, extrapolate, ..Default::default() };
    assert!(text(multilevel(&posterior, &asked(true), None)).contains(refused));
    assert_eq!(text(multilevel(&posterior, &asked(false), None)), "no error");
    // on a grid that shrinks towards T the order is 1 again
    let grid = TimeGrid::log_snr(&s, 20, 1e-2).unwrap();
    assert_eq!(text(weak_extrapolation(&posterior.with_time_grid(grid).unwrap(), None)), "no error");
    let weighted = |e: String| assert!(e.contains("one that follows the equation"), "{e}");
    let params = ImportanceParams::default();
    weighted(text(exponential_mean(&ensemble().with_scheme(chain(ReverseVariance::OneMinusAlpha)), &ZERO, &params)));
    weighted(text(exponential_mean(&ensemble().with_scheme(Ddim::new(&s, 1.0).unwrap()), &ZERO, &params)));
}
