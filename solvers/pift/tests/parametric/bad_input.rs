//! Bad input gives an error that names the field, the value and what is allowed.

use crate::problems::{lq, mixture};
use hjbridge_model::{Points, PointsMut, ScalarField};
use hjbridge_pift::parametric::{
    Ascent, AscentParams, Direction, ExpectationRule, FeatureSpec, LeastSquares, LeastSquaresParams, LinearParams, LinearPolicy,
    NetworkParams, NetworkPolicy, ParametricError, Pretrained, SampledChain,
};
use hjbridge_pift::{Ddpm, DdpmParams, DdpmParts};

fn steps(n: usize) -> DdpmParams {
    DdpmParams { steps: n, ..Default::default() }
}

fn text<T>(result: Result<T, ParametricError>) -> String {
    result.err().map_or_else(|| "no error".to_owned(), |e| e.to_string())
}

#[test]
fn parameters_are_checked_by_name() {
    let problem = lq(2, 0.6);
    let ddpm = Ddpm::new(&problem, steps(4)).unwrap();
    let chain = SampledChain::new(&ddpm, problem.initial_law()).unwrap();
    let fit = |params| text(LeastSquares::new(&chain, params));
    let base = LeastSquaresParams::default();
    assert!(fit(LeastSquaresParams { paths: 7, ..base }).starts_with("paths = 7: an even number"));
    assert!(fit(LeastSquaresParams { tolerance: f64::NAN, ..base }).starts_with("tolerance = NaN"));
    assert!(fit(LeastSquaresParams { ridge: -1.0, ..base }).starts_with("ridge = -1"));
    assert!(fit(LeastSquaresParams { sweeps: 0, ..base }).starts_with("sweeps = 0"));
    let draws = ExpectationRule::Sampling { draws: 3 };
    assert!(fit(LeastSquaresParams { expectation: draws, ..base }).starts_with("expectation.draws = 3"));
    let nodes = ExpectationRule::GaussHermite { nodes: 80 };
    assert!(fit(LeastSquaresParams { expectation: nodes, ..base }).starts_with("expectation.nodes = 80"));
    let ascend = |params| text(Ascent::new(&chain, params));
    let base = AscentParams::default();
    assert!(ascend(AscentParams { paths: 2, ..base }).starts_with("paths = 2"));
    assert!(ascend(AscentParams { direction: Direction::adam(0.0), ..base }).starts_with("direction.rate = 0"));
    let natural = Direction::Natural { ridge: 1.0 };
    assert!(ascend(AscentParams { direction: natural, ..base }).starts_with("direction.ridge = 1"));
    let policy = |params| text(LinearPolicy::new(&chain, params));
    assert!(policy(LinearParams { sample: 1, ..Default::default() }).starts_with("sample = 1"));
    let hidden = NetworkParams { hidden: vec![4, 0], ..Default::default() };
    assert!(text(NetworkPolicy::new(&chain, &hidden)).starts_with("network.hidden = [4, 0]"));
    assert!(text(chain.evaluate(&Pretrained { dim: 3, steps: 4 }, 10, 1)).starts_with("policy.dim = 3"));
    assert!(text(chain.evaluate(&Pretrained { dim: 2, steps: 5 }, 10, 1)).starts_with("policy.steps = 5"));
    for wide in [vec![100_000_000, 100_000_000], vec![usize::MAX], vec![1 << 12, 1 << 12]] {
        let params = NetworkParams { hidden: wide, ..Default::default() };
        assert!(text(NetworkPolicy::new(&chain, &params)).contains("at most 16777216 parameters"));
    }
    let cosines = FeatureSpec::RandomFourier { count: 1_000_000_000_000_000_000, length_scale: 1.0 };
    assert!(policy(LinearParams { features: cosines, ..Default::default() }).starts_with("features.count = 1000000000000000000"));
    let many = LeastSquaresParams { paths: 1 << 40, ..Default::default() };
    assert!(fit(many).starts_with("paths = 1099511627776"));
    // 1.3e8 paths of 2 (2 4 + 1) numbers
    assert!(text(chain.sample(&Pretrained { dim: 2, steps: 4 }, 1 << 27, 1)).starts_with("paths = 134217728: at most 14913080"));
    let line = mixture();
    assert!(text(SampledChain::new(&ddpm, line.initial_law())).contains("dimension = 1"));
}

#[test]
fn what_cannot_work_is_an_error_that_says_so() {
    let problem = lq(2, 0.6);
    let ddpm = Ddpm::new(&problem, steps(4)).unwrap();
    let chain = SampledChain::new(&ddpm, problem.initial_law()).unwrap();
    let features = FeatureSpec::Polynomial { degree: 3 };
    let policy = LinearPolicy::new(&chain, LinearParams { features, ..Default::default() }).unwrap();
    let few = LeastSquares::new(&chain, LeastSquaresParams { paths: 8, ..Default::default() }).unwrap();
    let mut state = few.start(policy).unwrap();
    assert!(text(few.run(&mut state, &mut |_| ())).starts_with("paths = 8: at least 10"));
    let network = NetworkPolicy::new(&chain, &NetworkParams::default()).unwrap();
    let params = AscentParams { paths: 64, direction: Direction::Natural { ridge: 0.0 }, ..Default::default() };
    let ascent = Ascent::new(&chain, params).unwrap();
    let mut state = ascent.start(network).unwrap();
    assert!(text(ascent.run(&mut state, &mut |_| ())).starts_with("direction = natural: gradient or adam"));
}

struct Broken;

impl ScalarField for Broken {
    fn dim(&self) -> usize {
        2
    }
    fn value(&self, x: Points<'_>, out: &mut [f64]) {
        out.copy_from_slice(x.coord(0));
    }
    fn gradient(&self, _x: Points<'_>, mut out: PointsMut<'_>) {
        out.fill(f64::NAN);
    }
}

#[test]
fn a_reward_without_gradient_is_named_and_the_score_function_does_without() {
    let problem = lq(2, 0.6);
    let parts = DdpmParts {
        horizon: 2.0,
        rate: &|t| problem.schedule().rate(t),
        integral: &|a, b| problem.schedule().integral(a, b),
        score: problem.score(),
        reward: &Broken,
        kl_weight: &|_| 0.6,
    };
    let ddpm = Ddpm::from_parts(steps(4), parts).unwrap();
    let chain = SampledChain::new(&ddpm, problem.initial_law()).unwrap();
    let policy = || LinearPolicy::new(&chain, LinearParams::default()).unwrap();
    let trainer = LeastSquares::new(&chain, LeastSquaresParams { paths: 64, ..Default::default() }).unwrap();
    let mut state = trainer.start(policy()).unwrap();
    let e = trainer.run(&mut state, &mut |_| ()).unwrap_err();
    assert!(matches!(e, ParametricError::NonFinite { step: 3, .. }) && e.to_string().contains("gradient"), "{e}");
    let run = |estimator| {
        let params = AscentParams { paths: 512, estimator, iterations: 5, ..Default::default() };
        let ascent = Ascent::new(&chain, params).unwrap();
        let mut state = ascent.start(policy()).unwrap();
        ascent.run(&mut state, &mut |_| ()).map(|_| state)
    };
    let e = run(hjbridge_pift::parametric::Estimator::default()).unwrap_err();
    assert!(e.to_string().contains("gradient"), "{e}");
    let state = run(hjbridge_pift::parametric::Estimator::ScoreFunction).unwrap();
    assert!(state.history[4].achieved.plain.mean > state.history[0].achieved.plain.mean);
}
