//! Weak orders without sampling, for schemes whose step is linear in the state.

use hjbridge_model::{ControlledDiffusion, Feedback, PointwiseFeedback};
use hjbridge_rollout::noise::LANES;
use hjbridge_rollout::{
    AdditiveRungeKutta, AlphaRule, Ancestral, Ddim, EulerMaruyama, ExponentialIntegrator, Lanes, Milstein, PlatenWeak2,
    ReverseVariance, SdeScheme, StochasticHeun, TimeGrid,
};

use crate::common::{Diffusion, Matrix};
use crate::problems::{Discounted, ZERO, gaussian_model, graded, last_order, prepared, schedule, uniform};

/// What the scheme makes of E X, E X^2, E (running cost), E (running reward) in one dimension.
#[derive(Clone, Copy, Debug)]
pub struct MomentsOfScheme {
    pub first: f64,
    pub second: f64,
    pub cost: f64,
    pub reward: f64,
}

/// Exact for a scheme whose step is affine in x and a polynomial of degree <= 2 in the normal numbers, with costs and rewards
/// quadratic in x: conditional means are then quadratic in x, and the three-point Gauss-Hermite rule is exact (degree 5).
pub fn moments<S: SdeScheme>(
    scheme: &S,
    problem: &dyn ControlledDiffusion,
    feedback: &dyn Feedback,
    grid: &TimeGrid,
    (first, second): (f64, f64),
) -> MomentsOfScheme {
    let rule = [(-3f64.sqrt(), 1.0 / 6.0), (0.0, 2.0 / 3.0), (3f64.sqrt(), 1.0 / 6.0)];
    let points: Vec<(usize, f64, f64, f64)> =
        (0..27).map(|i| (i / 9, rule[i / 3 % 3].0, rule[i % 3].0, rule[i / 3 % 3].1 * rule[i % 3].1)).collect();
    prepared(scheme, problem, feedback, grid, |scheme, system| {
        let mut lanes = Lanes::new(1, 1);
        let mut total = MomentsOfScheme { first, second, cost: 0.0, reward: 0.0 };
        for k in 0..grid.steps() {
            lanes.start(0, 27);
            lanes.state_mut().fill(0.0);
            let mut noise = vec![0.0; S::NORMALS * LANES];
            for (lane, &(x, xi, zeta, _)) in points.iter().enumerate() {
                lanes.state_mut().set_point(lane, &[[0.0, 1.0, -1.0][x]]);
                noise[lane] = xi;
                if S::NORMALS == 2 {
                    noise[LANES + lane] = zeta;
                }
            }
            scheme.step(system, k, &noise, &mut lanes);
            // E[value | x] at x = 0, 1, -1, then its mean over the law of X_k.
            let mean = |value: &dyn Fn(usize) -> f64| {
                let mut at = [0.0; 3];
                points.iter().enumerate().for_each(|(lane, p)| at[p.0] += p.3 * value(lane));
                at[0] + 0.5 * (at[1] - at[2]) * total.first + (0.5 * (at[1] + at[2]) - at[0]) * total.second
            };
            let x = lanes.state().coord(0);
            total = MomentsOfScheme {
                first: mean(&|lane| x[lane]),
                second: mean(&|lane| x[lane] * x[lane]),
                cost: total.cost + mean(&|lane| lanes.running_cost()[lane]),
                reward: total.reward + mean(&|lane| lanes.running_reward()[lane]),
            };
        }
        total
    })
    .unwrap()
}

/// Errors of E X_T and E X_T^2 on grids of 32, ..., 256 steps.
pub fn sampling_errors<S: SdeScheme>(scheme: &S, grid: fn(f64, usize) -> TimeGrid) -> Vec<f64> {
    let model = gaussian_model();
    let law = model.initial_law();
    let (m, v) = (law.mean()[0], law.covariance()[0][0]);
    let error = |n: &usize| {
        let result = moments(scheme, &model, &ZERO, &grid(1.5, *n), (m, m * m + v));
        (result.first - 0.8).abs() + (result.second - 0.94).abs()
    };
    [32, 64, 128, 256].iter().map(error).collect()
}

#[test]
fn the_posterior_variance_costs_a_logarithm_on_equal_steps() {
    fn growth(errors: &[f64]) -> f64 {
        let scaled: Vec<f64> = errors.iter().zip([32.0, 64.0, 128.0, 256.0]).map(|(e, n)| e * n).collect();
        (scaled[3] - scaled[2]) / (scaled[2] - scaled[1])
    }
    let s = schedule();
    let posterior = |alpha| Ancestral::new(&s, alpha, ReverseVariance::Posterior).unwrap();
    for (grid, expected) in [(uniform as fn(f64, usize) -> TimeGrid, true), (graded, false)] {
        let mut table: Vec<Vec<f64>> = Vec::new();
        for alpha in [AlphaRule::ExpIntegral, AlphaRule::Linear] {
            table.push(sampling_errors(&posterior(alpha), grid));
        }
        for eta in [0.0, 0.5, 1.0] {
            table.push(sampling_errors(&Ddim::new(&s, eta).unwrap(), grid));
        }
        // The j-th of equal steps from the end is wrong by a share 1/j of b h: the error is h log(1/h), N times it grows by the
        // same amount with every octave. Where steps shrink towards T the shares add up to a finite sum: order 1.
        for errors in &table {
            let growth = growth(errors);
            assert!(if expected { (growth - 1.0).abs() < 0.1 } else { growth < 0.8 }, "{expected} {growth}: {errors:?}");
        }
        // With the variance of the Gaussian posterior the chain is the exact reverse, at every N.
        let exact = ReverseVariance::GaussianPosterior { data_variance: 0.3 };
        let errors = sampling_errors(&Ancestral::new(&s, AlphaRule::ExpIntegral, exact).unwrap(), grid);
        assert!(errors.iter().all(|e| *e < 1e-13), "{errors:?}");
    }
}

/// A cost of the control that is no quadratic form in it.
fn general_cost(x: f64, v: f64) -> f64 {
    0.3 * v * v - 0.2 * x * v + 0.1
}

/// dX = (mu X + v) dt + (s_0 + s_1 X) dB, v = -kappa X, rewards -X^2, discounted, with the cost v^2/2: a closed form of every
/// part.
pub fn linear_objective(s0: f64, s1: f64) -> (Discounted, impl Feedback, MomentsOfScheme, f64) {
    let (mu, kappa, rho, horizon, x0) = (0.3, 0.8, 0.4, 1.0, 1.2);
    let mut inner = Diffusion::ou(1, -mu, s0, horizon);
    if s1 != 0.0 {
        inner.sigma = Matrix::Field(1, Box::new(move |x, out| out[0] = s0 + s1 * x[0]));
    }
    inner.running = Box::new(|x| -x[0] * x[0]);
    inner.terminal = Box::new(|x| -x[0] * x[0]);
    let feedback = PointwiseFeedback::new(1, 1, move |_: f64, x: &[f64], v: &mut [f64]| v[0] = -kappa * x[0]);
    // m' = c m, q' = 2 c q + s0^2 + 2 s0 s1 m + s1^2 q with c = mu - kappa; integrated with the discounted q by a fine
    // Runge-Kutta method of order 4 (error 1e-14).
    let c: f64 = mu - kappa;
    let rate = |t: f64, y: [f64; 3]| {
        let [m, q, _] = y;
        [c * m, (2.0 * c + s1 * s1) * q + s0 * s0 + 2.0 * s0 * s1 * m, (-rho * t).exp() * q]
    };
    let (n, mut y) = (2000, [x0, x0 * x0, 0.0]);
    let h = horizon / f64::from(n);
    for k in 0..n {
        let t = f64::from(k) * h;
        let shift = |y: [f64; 3], a: f64, d: [f64; 3]| [y[0] + a * d[0], y[1] + a * d[1], y[2] + a * d[2]];
        let k1 = rate(t, y);
        let k2 = rate(t + 0.5 * h, shift(y, 0.5 * h, k1));
        let k3 = rate(t + 0.5 * h, shift(y, 0.5 * h, k2));
        let k4 = rate(t + h, shift(y, h, k3));
        for i in 0..3 {
            y[i] += h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]);
        }
    }
    let exact = MomentsOfScheme { first: y[0], second: y[1], cost: 0.5 * kappa * kappa * y[2], reward: -y[2] };
    (Discounted { inner, rho, cost: None }, feedback, exact, x0)
}

#[test]
fn weak_orders_of_moments_and_discounted_objectives() {
    fn errors<S: SdeScheme>(scheme: &S, s0: f64, s1: f64, grid: fn(f64, usize) -> TimeGrid) -> [Vec<f64>; 4] {
        let (mut problem, feedback, exact, x0) = linear_objective(s0, s1);
        let mut errors = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
        // int e^{-rho t} (0.3 v^2 - 0.2 x v + 0.1) dt.
        let (kappa, square) = (0.8, -exact.reward);
        let general = (0.3 * kappa * kappa + 0.2 * kappa) * square + 0.1 * -(-problem.rho).exp_m1() / problem.rho;
        for n in [16, 32, 64, 128] {
            let found = moments(scheme, &problem, &feedback, &grid(1.0, n), (x0, x0 * x0));
            errors[0].push((found.second - exact.second).abs());
            errors[1].push((found.cost - exact.cost).abs());
            errors[2].push((found.reward - exact.reward).abs());
            problem.cost = Some(general_cost);
            let found = moments(scheme, &problem, &feedback, &grid(1.0, n), (x0, x0 * x0));
            problem.cost = None;
            errors[3].push((found.cost - general).abs());
        }
        errors
    }
    for grid in [uniform, graded] {
        let mut table: Vec<(&str, &str, f64, [Vec<f64>; 4])> = Vec::new();
        for (noise, s0, s1) in [("additive", 0.7, 0.0), ("multiplicative", 0.0, 0.6), ("affine", 0.5, 0.4)] {
            let order = |multiplicative: f64, additive: f64| if s1 == 0.0 { additive } else { multiplicative };
            table.push((EulerMaruyama::NAME, noise, EulerMaruyama::WEAK_ORDER, errors(&EulerMaruyama, s0, s1, grid)));
            for milstein in [Milstein::Diagonal, Milstein::Commutative] {
                table.push((Milstein::NAME, noise, Milstein::WEAK_ORDER, errors(&milstein, s0, s1, grid)));
            }
            let heun = order(StochasticHeun::WEAK_ORDER, 2.0);
            table.push((StochasticHeun::NAME, noise, heun, errors(&StochasticHeun, s0, s1, grid)));
            table.push((PlatenWeak2::NAME, noise, PlatenWeak2::WEAK_ORDER, errors(&PlatenWeak2, s0, s1, grid)));
            let sra = order(1.0, AdditiveRungeKutta::WEAK_ORDER);
            table.push((AdditiveRungeKutta::NAME, noise, sra, errors(&AdditiveRungeKutta, s0, s1, grid)));
        }
        for (name, noise, order, errors) in &table {
            for (quantity, errors) in ["second moment", "cost", "reward", "general cost"].iter().zip(errors) {
                assert!((last_order(errors) - order).abs() < 0.15, "{name}, {noise}, {quantity}: {errors:?}");
            }
        }
    }
}

#[test]
fn an_ornstein_uhlenbeck_process_is_exact_at_any_step() {
    let problem = Diffusion::ou(1, 1.7, 0.6, 2.0);
    let scheme = ExponentialIntegrator::linear(-1.7).unwrap();
    let exact = (0.5 * (-3.4f64).exp(), 0.25 * (-6.8f64).exp() + 0.36 / 3.4 * (1.0 - (-6.8f64).exp()));
    for grid in [uniform(2.0, 1), uniform(2.0, 7), graded(2.0, 4)] {
        let found = moments(&scheme, &problem, &ZERO, &grid, (0.5, 0.25));
        assert!((found.first - exact.0).abs() < 1e-15 && (found.second - exact.1).abs() < 1e-15);
    }
    // alpha = 0 is Euler-Maruyama.
    let (a, b) = (ExponentialIntegrator::linear(0.0).unwrap(), EulerMaruyama);
    let law = |m: MomentsOfScheme| (m.first, m.second);
    let (a, b) = (
        moments(&a, &problem, &ZERO, &uniform(2.0, 9), (0.5, 0.25)),
        moments(&b, &problem, &ZERO, &uniform(2.0, 9), (0.5, 0.25)),
    );
    assert!((law(a).0 - law(b).0).abs() < 1e-15 && (law(a).1 - law(b).1).abs() < 1e-15);
}

#[test]
fn costs_of_the_samplers_are_relative_entropies() {
    // v = 0.5 at beta = 0.7: the entropy of the continuous process is beta (int b) v^2/2, and that of the exponential
    // integrator is the same at any N; the ancestral chain's is beta sum (1 - a)^2/(2 a sig^2) v^2.
    let model = gaussian_model();
    let half = PointwiseFeedback::new(1, 1, |_: f64, _: &[f64], v: &mut [f64]| v[0] = 0.5);
    let s = schedule();
    let entropy = 0.7 * s.integral(0.0, 1.5) * 0.125;
    let grid = graded(1.5, 5);
    let cost = |found: MomentsOfScheme| found.cost;
    let start = (0.0, 1.0);
    assert!((cost(moments(&ExponentialIntegrator::of_schedule(&s), &model, &half, &grid, start)) - entropy).abs() < 1e-15);
    assert!((cost(moments(&Ddim::new(&s, 0.3).unwrap(), &model, &half, &grid, start)) - entropy).abs() < 1e-15);
    let chain = Ancestral::new(&s, AlphaRule::ExpIntegral, ReverseVariance::OneMinusAlpha).unwrap();
    let steps = grid.times().windows(2).map(|t| s.integral(t[0], t[1])).map(|b| 0.7 * 0.125 * b.exp_m1()).sum::<f64>();
    assert!((cost(moments(&chain, &model, &half, &grid, start)) - steps).abs() < 1e-14);
    // The member eta = 1 of the DDIM family is the ancestral chain with the posterior variance, which is not controlled in
    // its last step.
    let posterior = Ancestral::new(&s, AlphaRule::ExpIntegral, ReverseVariance::Posterior).unwrap();
    for (feedback, expected) in [(&ZERO as &dyn Feedback, true), (&half, false)] {
        let a = moments(&Ddim::new(&s, 1.0).unwrap(), &model, feedback, &grid, start);
        let b = moments(&posterior, &model, feedback, &grid, start);
        let same = (a.first - b.first).abs() < 1e-14 && (a.second - b.second).abs() < 1e-14;
        assert_eq!(same, expected, "{a:?} {b:?}");
    }
}
