//! Every scheme against exact laws and exact solutions: weak orders without sampling, strong orders on shared Brownian paths.
#![allow(missing_docs)]

mod common;

use common::{Diffusion, Matrix};
use hjbridge_model::{
    Coefficients, ControlCost, ControlSet, ControlledDiffusion, Feedback, FineTuning, GaussianMixture, InitialLaw, KlWeight,
    MatrixCoefficient, Points, PointsMut, PointwiseFeedback, Reward, Schedule, ZeroFeedback,
};
use hjbridge_rollout::noise::{LANES, NormalStream};
use hjbridge_rollout::{
    AdditiveRungeKutta, AlphaRule, Ancestral, ClosedLoop, Ddim, Ensemble, EulerMaruyama, ExponentialIntegrator, InitialState,
    Lanes, Milstein, PlatenWeak2, Record, ReverseVariance, RolloutError, RolloutParams, SdeScheme, StochasticHeun, TimeGrid,
};

const ZERO: ZeroFeedback = ZeroFeedback { dim: 1, control_dim: 1 };

/// A diffusion with a discount and, if given, a general cost of the control.
struct Discounted {
    inner: Diffusion,
    rho: f64,
    cost: Option<fn(f64, f64) -> f64>,
}

struct DiscountedAt<'a>(Box<dyn Coefficients + 'a>, Option<fn(f64, f64) -> f64>);

impl Coefficients for DiscountedAt<'_> {
    fn drift(&self, x: Points<'_>, out: PointsMut<'_>) {
        self.0.drift(x, out);
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        self.0.control_matrix()
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        self.0.diffusion()
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        self.0.control_weight()
    }
    fn control_cost(&self, x: Points<'_>, v: Points<'_>, out: &mut [f64]) {
        for ((o, x), v) in out.iter_mut().zip(x.coord(0)).zip(v.coord(0)) {
            *o = self.1.map_or(0.0, |c| c(*x, *v));
        }
    }
    fn running_reward(&self, x: Points<'_>, out: &mut [f64]) {
        self.0.running_reward(x, out);
    }
}

impl ControlledDiffusion for Discounted {
    fn dim(&self) -> usize {
        self.inner.dim
    }
    fn control_dim(&self) -> usize {
        self.inner.control_dim
    }
    fn noise_dim(&self) -> usize {
        self.inner.noise_dim
    }
    fn horizon(&self) -> f64 {
        self.inner.horizon
    }
    fn discount(&self) -> f64 {
        self.rho
    }
    fn control_set(&self) -> ControlSet {
        self.inner.control_set.clone()
    }
    fn control_cost(&self) -> ControlCost {
        if self.cost.is_some() { ControlCost::General } else { ControlCost::Quadratic }
    }
    fn at(&self, t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(DiscountedAt(self.inner.at(t), self.cost))
    }
    fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) {
        self.inner.terminal_reward(x, out);
    }
}

/// Hand the prepared scheme and system to `task`.
fn prepared<S: SdeScheme, R>(
    scheme: &S,
    problem: &dyn ControlledDiffusion,
    feedback: &dyn Feedback,
    grid: &TimeGrid,
    task: impl FnOnce(&S, &ClosedLoop<'_>) -> R,
) -> Result<R, RolloutError> {
    let coefficients = ClosedLoop::coefficients(problem, grid, S::STAGES);
    let system = ClosedLoop::new(problem, feedback, grid, S::STAGES, &coefficients)?;
    let mut scheme = scheme.clone();
    scheme.prepare(&system)?;
    Ok(task(&scheme, &system))
}

/// What the scheme makes of E X, E X^2, E (running cost), E (running reward) in one dimension.
#[derive(Clone, Copy, Debug)]
struct MomentsOfScheme {
    first: f64,
    second: f64,
    cost: f64,
    reward: f64,
}

/// Exact for a scheme whose step is affine in x and a polynomial of degree <= 2 in the normal numbers, with costs and rewards
/// quadratic in x: conditional means are then quadratic in x, and the three-point Gauss-Hermite rule is exact (degree 5).
fn moments<S: SdeScheme>(
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

/// Order on the last octave of errors at N, 2N, 4N, ...
fn last_order(errors: &[f64]) -> f64 {
    let n = errors.len();
    (errors[n - 2] / errors[n - 1]).log2()
}

fn uniform(horizon: f64, steps: usize) -> TimeGrid {
    TimeGrid::uniform(0.0, horizon, steps).unwrap()
}

/// t_k = T (1 - (1 - k/N)^1.5): steps that shrink towards T by a smooth map, which keeps a scheme's order.
fn graded(horizon: f64, steps: usize) -> TimeGrid {
    let times = (0..=steps).map(|k| horizon * (1.0 - (1.0 - k as f64 / steps as f64).powf(1.5))).collect();
    TimeGrid::from_times(times).unwrap()
}

fn schedule() -> Schedule {
    Schedule::linear(1.5, 0.4, 3.0).unwrap()
}

/// A pre-trained model of N(0.8, 0.3), started from its noised law: the law at T is N(0.8, 0.3).
fn gaussian_model() -> FineTuning {
    let prior = GaussianMixture::gaussian(vec![0.8], vec![vec![0.3]]).unwrap();
    let reward = Reward::linear(vec![1.0], 0.0).unwrap();
    FineTuning::new(schedule(), prior, reward, KlWeight::constant(0.7).unwrap(), InitialLaw::NoisedPrior).unwrap()
}

/// Errors of E X_T and E X_T^2 on grids of 32, ..., 256 steps.
fn sampling_errors<S: SdeScheme>(scheme: &S, grid: fn(f64, usize) -> TimeGrid) -> Vec<f64> {
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
fn weak_orders_of_samplers_on_uniform_and_graded_grids() {
    let s = schedule();
    let ancestral = |alpha, variance| Ancestral::new(&s, alpha, variance).unwrap();
    let ddim = |eta| Ddim::new(&s, eta).unwrap();
    for grid in [uniform, graded] {
        let mut table: Vec<(String, f64, Vec<f64>)> = Vec::new();
        let mut logarithmic: Vec<Vec<f64>> = Vec::new();
        fn row<S: SdeScheme>(scheme: S, order: f64, grid: fn(f64, usize) -> TimeGrid) -> (String, f64, Vec<f64>) {
            (S::NAME.into(), order, sampling_errors(&scheme, grid))
        }
        table.push(row(EulerMaruyama, EulerMaruyama::WEAK_ORDER, grid));
        table.push(row(ExponentialIntegrator::of_schedule(&s), ExponentialIntegrator::WEAK_ORDER, grid));
        table.push(row(Milstein::Diagonal, Milstein::WEAK_ORDER, grid));
        table.push(row(StochasticHeun, 2.0, grid));
        table.push(row(AdditiveRungeKutta, AdditiveRungeKutta::WEAK_ORDER, grid));
        table.push(row(PlatenWeak2, PlatenWeak2::WEAK_ORDER, grid));
        for alpha in [AlphaRule::ExpIntegral, AlphaRule::Linear] {
            for variance in [ReverseVariance::OneMinusAlpha, ReverseVariance::OverAlpha] {
                table.push(row(ancestral(alpha, variance), Ancestral::WEAK_ORDER, grid));
            }
            logarithmic.push(sampling_errors(&ancestral(alpha, ReverseVariance::Posterior), grid));
        }
        for eta in [0.0, 0.5, 1.0] {
            logarithmic.push(sampling_errors(&ddim(eta), grid));
        }
        for (name, order, errors) in &table {
            assert!((last_order(errors) - order).abs() < 0.1, "{name}: {errors:?}");
        }
        // The j-th of equal steps from the end is wrong by a share 1/j of b h: the error is h log(1/h), N times it grows by the
        // same amount with every octave. Where steps shrink towards T the shares add up to a finite sum: order 1.
        for errors in &logarithmic {
            let scaled: Vec<f64> = errors.iter().zip([32.0, 64.0, 128.0, 256.0]).map(|(e, n)| e * n).collect();
            let growth = (scaled[3] - scaled[2]) / (scaled[2] - scaled[1]);
            let shrinking = !grid(1.5, 2).is_uniform();
            assert!(if shrinking { growth < 0.8 } else { (growth - 1.0).abs() < 0.1 }, "{shrinking} {growth}: {scaled:?}");
        }
        // With the variance of the Gaussian posterior the chain is the exact reverse, at every N.
        let exact = ReverseVariance::GaussianPosterior { data_variance: 0.3 };
        let errors = sampling_errors(&ancestral(AlphaRule::ExpIntegral, exact), grid);
        assert!(errors.iter().all(|e| *e < 1e-13), "{errors:?}");
    }
}

/// dX = (mu X + v) dt + (s_0 + s_1 X) dB, v = -kappa X, rewards -X^2, discounted: a closed form of every part.
fn linear_objective(s0: f64, s1: f64) -> (Discounted, impl Feedback, MomentsOfScheme, f64) {
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
    fn errors<S: SdeScheme>(scheme: &S, s0: f64, s1: f64, grid: fn(f64, usize) -> TimeGrid) -> [Vec<f64>; 3] {
        let (problem, feedback, exact, x0) = linear_objective(s0, s1);
        let mut errors = [Vec::new(), Vec::new(), Vec::new()];
        for n in [16, 32, 64, 128] {
            let found = moments(scheme, &problem, &feedback, &grid(1.0, n), (x0, x0 * x0));
            errors[0].push((found.second - exact.second).abs());
            errors[1].push((found.cost - exact.cost).abs());
            errors[2].push((found.reward - exact.reward).abs());
        }
        errors
    }
    for grid in [uniform, graded] {
        let mut table: Vec<(&str, &str, f64, [Vec<f64>; 3])> = Vec::new();
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
            for (quantity, errors) in ["second moment", "cost", "reward"].iter().zip(errors) {
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

/// E sin(asinh X_T) by the scheme for dX = (X/2 + sqrt(1 + X^2)) dt + sqrt(1 + X^2) dB, X_0 = sinh(y0): the backward recursion
/// u_k(x) = E u_{k+1}(step(x, xi)) on a grid in y = asinh x, with the expectation by the trapezoidal rule on 64 nodes (exact to
/// 1e-13) and Lagrange interpolation of degree 7 between the nodes. X_T = sinh(y0 + T + B_T).
fn nonlinear_mean<S: SdeScheme>(scheme: &S, y0: f64, steps: usize) -> f64 {
    let mut problem = Diffusion::ou(1, 0.0, 0.0, 1.0);
    problem.drift = Box::new(|x, out| out[0] = 0.5 * x[0] + (1.0 + x[0] * x[0]).sqrt());
    problem.sigma = Matrix::Field(1, Box::new(|x, out| out[0] = (1.0 + x[0] * x[0]).sqrt()));
    let (lower, spacing, nodes) = (-9.0, 0.03, 700);
    let interpolate = |u: &[f64], y: f64| {
        let place = ((y - lower) / spacing).clamp(0.0, (nodes - 1) as f64);
        let first = (place as usize).saturating_sub(3).min(nodes - 8);
        let w = place - first as f64;
        (0..8)
            .map(|i| u[first + i] * (0..8).filter(|&j| j != i).map(|j| (w - j as f64) / (i as f64 - j as f64)).product::<f64>())
            .sum::<f64>()
    };
    let (dz, first) = (0.25, -7.875);
    let z: Vec<f64> = (0..LANES).map(|i| first + dz * i as f64).collect();
    let weight: Vec<f64> = z.iter().map(|z| dz * (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt()).collect();
    let mut noise = vec![1.0; S::NORMALS * LANES];
    noise[..LANES].copy_from_slice(&z);
    let grid = uniform(1.0, steps);
    prepared(scheme, &problem, &ZERO, &grid, |scheme, system| {
        let mut lanes = Lanes::new(1, 1);
        let mut mean_after = |u: &[f64], k: usize, y: f64| {
            lanes.start(0, LANES);
            lanes.state_mut().fill(y.sinh());
            scheme.step(system, k, &noise, &mut lanes);
            lanes.state().coord(0).iter().zip(&weight).map(|(x, w)| w * interpolate(u, x.asinh())).sum::<f64>()
        };
        let mut u: Vec<f64> = (0..nodes).map(|i| (lower + spacing * i as f64).sin()).collect();
        for k in (1..steps).rev() {
            u = (0..nodes).map(|i| mean_after(&u, k, lower + spacing * i as f64)).collect();
        }
        mean_after(&u, 0, y0)
    })
    .unwrap()
}

#[test]
fn weak_orders_for_a_nonlinear_equation() {
    let exact = (-0.5f64).exp() * (0.2f64 + 1.0).sin();
    fn errors<S: SdeScheme>(scheme: &S, exact: f64) -> Vec<f64> {
        [8, 16, 32, 64].iter().map(|&n| (nonlinear_mean(scheme, 0.2, n) - exact).abs()).collect()
    }
    let table = [
        (EulerMaruyama::NAME, EulerMaruyama::WEAK_ORDER, errors(&EulerMaruyama, exact)),
        (Milstein::NAME, Milstein::WEAK_ORDER, errors(&Milstein::Diagonal, exact)),
        (StochasticHeun::NAME, StochasticHeun::WEAK_ORDER, errors(&StochasticHeun, exact)),
        (PlatenWeak2::NAME, PlatenWeak2::WEAK_ORDER, errors(&PlatenWeak2, exact)),
    ];
    for (name, order, errors) in table {
        println!("{name}: order {:.3} {errors:?}", last_order(&errors));
        assert!((last_order(&errors) - order).abs() < 0.2, "{name}: {errors:?}");
    }
}

/// dX = A X dt + B_1 X dB_1 + B_2 X dB_2 in the plane with columns that do not commute.
const NON_COMMUTING: [[[f64; 2]; 2]; 3] = [[[-0.6, 0.4], [-0.3, -0.2]], [[0.1, 0.5], [0.0, -0.2]], [[-0.3, 0.0], [0.6, 0.2]]];

fn apply(a: [[f64; 2]; 2], x: &[f64]) -> [f64; 2] {
    [a[0][0] * x[0] + a[0][1] * x[1], a[1][0] * x[0] + a[1][1] * x[1]]
}

fn non_commuting() -> Diffusion {
    let mut problem = Diffusion::ou(2, 0.0, 0.0, 1.0);
    let [a, b1, b2] = NON_COMMUTING;
    problem.drift = Box::new(move |x, out| out.copy_from_slice(&apply(a, x)));
    problem.sigma = Matrix::Field(
        4,
        Box::new(move |x, out| {
            let (s, t) = (apply(b1, x), apply(b2, x));
            out.copy_from_slice(&[s[0], t[0], s[1], t[1]]);
        }),
    );
    problem
}

/// E X_T X_T' by the scheme from X_0 = (1, 0.5): its step is linear in x, X_{k+1} = Phi(xi, zeta) X_k, with entries of degree
/// <= 2 in each xi, so that the three-point rule in xi and the signs of zeta give E Phi M Phi' exactly.
fn second_moments<S: SdeScheme>(scheme: &S, steps: usize) -> [f64; 3] {
    let zero = ZeroFeedback { dim: 2, control_dim: 2 };
    let problem = non_commuting();
    let rule = [(-3f64.sqrt(), 1.0 / 6.0), (0.0, 2.0 / 3.0), (3f64.sqrt(), 1.0 / 6.0)];
    let grid = uniform(1.0, steps);
    prepared(scheme, &problem, &zero, &grid, |scheme, system| {
        let mut m = [1.0, 0.5, 0.25];
        for k in 0..steps {
            let mut noise = vec![0.0; 2 * S::NORMALS * LANES];
            let mut weight = [0.0; 36];
            for (lane, w) in weight.iter_mut().enumerate() {
                let (a, b) = (rule[lane % 3], rule[lane / 3 % 3]);
                (noise[lane], noise[LANES + lane]) = (a.0, b.0);
                if S::NORMALS == 2 {
                    noise[2 * LANES + lane] = if lane / 9 % 2 == 0 { 1.0 } else { -1.0 };
                    noise[3 * LANES + lane] = if lane / 18 == 0 { 1.0 } else { -1.0 };
                }
                *w = a.1 * b.1 / 4.0;
            }
            let columns = [[1.0, 0.0], [0.0, 1.0]].map(|e| {
                let mut lanes = Lanes::new(2, 2);
                lanes.start(0, LANES);
                (0..LANES).for_each(|lane| lanes.state_mut().set_point(lane, &e));
                scheme.step(system, k, &noise, &mut lanes);
                lanes.state().coord(0).iter().zip(lanes.state().coord(1)).map(|(x, y)| [*x, *y]).collect::<Vec<_>>()
            });
            let mut next = [0.0; 3];
            for (lane, w) in weight.iter().enumerate() {
                let (p, q) = (columns[0][lane], columns[1][lane]);
                for (n, (i, j)) in next.iter_mut().zip([(0, 0), (0, 1), (1, 1)]) {
                    *n += w * (p[i] * p[j] * m[0] + (p[i] * q[j] + q[i] * p[j]) * m[1] + q[i] * q[j] * m[2]);
                }
            }
            m = next;
        }
        m
    })
    .unwrap()
}

#[test]
fn weak_orders_for_noise_that_does_not_commute() {
    // M' = A M + M A' + B_1 M B_1' + B_2 M B_2', by the exponential series of this linear map.
    let [a, b1, b2] = NON_COMMUTING;
    let product = |a: [[f64; 2]; 2], b: [[f64; 2]; 2]| {
        let entry = |i: usize, j: usize| a[i][0] * b[0][j] + a[i][1] * b[1][j];
        [[entry(0, 0), entry(0, 1)], [entry(1, 0), entry(1, 1)]]
    };
    let transposed = |a: [[f64; 2]; 2]| [[a[0][0], a[1][0]], [a[0][1], a[1][1]]];
    let mut term = [[1.0, 0.5], [0.5, 0.25]];
    let mut exact = term;
    for n in 1..30 {
        let parts = [product(a, term), product(term, transposed(a))];
        let noise = [b1, b2].map(|b| product(product(b, term), transposed(b)));
        let all = [parts[0], parts[1], noise[0], noise[1]];
        for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            term[i][j] = all.iter().map(|p| p[i][j]).sum::<f64>() / f64::from(n);
        }
        (0..4).for_each(|c| exact[c / 2][c % 2] += term[c / 2][c % 2]);
    }
    fn errors<S: SdeScheme>(scheme: &S, exact: [[f64; 2]; 2]) -> Vec<f64> {
        let error = |n: &usize| {
            let m = second_moments(scheme, *n);
            (m[0] - exact[0][0]).abs() + (m[1] - exact[0][1]).abs() + (m[2] - exact[1][1]).abs()
        };
        [16, 32, 64, 128].iter().map(error).collect()
    }
    let table = [
        (EulerMaruyama::NAME, 1.0, errors(&EulerMaruyama, exact)),
        (Milstein::NAME, 1.0, errors(&Milstein::Commutative, exact)),
        (StochasticHeun::NAME, 1.0, errors(&StochasticHeun, exact)),
        (PlatenWeak2::NAME, 2.0, errors(&PlatenWeak2, exact)),
    ];
    for (name, order, errors) in table {
        println!("{name}: order {:.3} {errors:?}", last_order(&errors));
        assert!((last_order(&errors) - order).abs() < 0.1, "{name}: {errors:?}");
    }
}

/// X_T path by path on N steps that follow the Brownian paths of a grid of `fine` steps.
fn terminal<S: SdeScheme>(
    scheme: &S,
    problem: &dyn ControlledDiffusion,
    x0: &[f64],
    steps: usize,
    fine: usize,
    paths: usize,
) -> Vec<f64> {
    let zero = ZeroFeedback { dim: problem.dim(), control_dim: problem.control_dim() };
    let params = RolloutParams { paths, steps, coarsening: (fine / steps) as u32, seed: 21, ..Default::default() };
    let record = Record { final_states: true, ..Default::default() };
    let ensemble = Ensemble::new(problem, &zero, InitialState::Point(x0.to_vec()), params).unwrap();
    let summary = ensemble.with_scheme(scheme.clone()).with_record(record).unwrap().run().unwrap().0;
    summary.final_states.unwrap().data().to_vec()
}

fn root_mean_square(a: &[f64], b: &[f64]) -> f64 {
    (a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len() as f64).sqrt()
}

const FINE: usize = 4096;

fn strong_errors<S: SdeScheme>(scheme: S, problem: &dyn ControlledDiffusion, x0: &[f64], exact: &[f64]) -> Vec<f64> {
    let paths = exact.len() / problem.dim();
    [16, 32, 64, 128].iter().map(|&n| root_mean_square(&terminal(&scheme, problem, x0, n, FINE, paths), exact)).collect()
}

/// B_T of every path, component after component.
fn brownian(paths: usize, components: u32, horizon: f64) -> Vec<f64> {
    let stream = NormalStream::new(21, 0);
    let total = |path: u64, c: u32| (0..FINE as u32).map(|k| stream.normal(path, k, c)).sum::<f64>();
    let scale = (horizon / FINE as f64).sqrt();
    (0..components).flat_map(|c| (0..paths as u64).map(move |p| scale * total(p, c)).collect::<Vec<_>>()).collect()
}

fn check_orders(table: &[(&str, f64, Vec<f64>)], tolerance: f64) {
    for (name, order, errors) in table {
        let slope = (errors[0] / errors[3]).log2() / 3.0;
        println!("{name}: strong order {slope:.3} {errors:?}");
        assert!((slope - order).abs() < tolerance, "{name}: {slope} {errors:?}");
    }
}

#[test]
fn strong_orders_for_multiplicative_noise() {
    // dX = mu X dt + s X dB: X_T = exp((mu - s^2/2) T + s B_T).
    let (mu, s, paths) = (0.5, 0.7, 3000);
    let mut problem = Diffusion::ou(1, -mu, 0.0, 1.0);
    problem.sigma = Matrix::Field(1, Box::new(move |x, out| out[0] = s * x[0]));
    let exact: Vec<f64> = brownian(paths, 1, 1.0).iter().map(|b| ((mu - 0.5 * s * s) + s * b).exp()).collect();
    let table = [
        (EulerMaruyama::NAME, EulerMaruyama::STRONG_ORDER, strong_errors(EulerMaruyama, &problem, &[1.0], &exact)),
        (Milstein::NAME, Milstein::STRONG_ORDER, strong_errors(Milstein::Diagonal, &problem, &[1.0], &exact)),
        (StochasticHeun::NAME, StochasticHeun::STRONG_ORDER, strong_errors(StochasticHeun, &problem, &[1.0], &exact)),
        (PlatenWeak2::NAME, 1.0, strong_errors(PlatenWeak2, &problem, &[1.0], &exact)),
        (AdditiveRungeKutta::NAME, 0.5, strong_errors(AdditiveRungeKutta, &problem, &[1.0], &exact)),
        (
            ExponentialIntegrator::NAME,
            ExponentialIntegrator::STRONG_ORDER,
            strong_errors(ExponentialIntegrator::linear(mu).unwrap(), &problem, &[1.0], &exact),
        ),
    ];
    check_orders(&table, 0.12);

    // Commuting columns, sigma_ij = s_ij x_i: X_i = exp(sum_j s_ij B_j - (sum_j s_ij^2) T/2). Not diagonal.
    let m = [0.5, 0.4, -0.3, 0.6];
    let mut problem = Diffusion::ou(2, 0.0, 0.0, 1.0);
    problem.sigma =
        Matrix::Field(4, Box::new(move |x, out| out.copy_from_slice(&[m[0] * x[0], m[1] * x[0], m[2] * x[1], m[3] * x[1]])));
    let b = brownian(paths, 2, 1.0);
    let exact: Vec<f64> = (0..2 * paths)
        .map(|n| {
            let (row, path) = (n / paths, n % paths);
            let (p, q) = (m[2 * row], m[2 * row + 1]);
            (p * b[path] + q * b[paths + path] - 0.5 * (p * p + q * q)).exp()
        })
        .collect();
    let table = [
        ("Milstein, commutative", 1.0, strong_errors(Milstein::Commutative, &problem, &[1.0, 1.0], &exact)),
        ("Milstein, diagonal only", 0.5, strong_errors(Milstein::Diagonal, &problem, &[1.0, 1.0], &exact)),
        ("stochastic Heun, commutative", 1.0, strong_errors(StochasticHeun, &problem, &[1.0, 1.0], &exact)),
    ];
    check_orders(&table, 0.12);

    // Diagonal noise with a drift that couples: reference by Milstein on the finest grid.
    let mut problem = Diffusion::ou(2, 0.0, 0.0, 1.0);
    problem.drift = Box::new(|x, out| (out[0], out[1]) = (x[1] - x[0], -x[0].sin()));
    problem.sigma =
        Matrix::Field(4, Box::new(|x, out| out.copy_from_slice(&[0.5 * x[0].cos(), 0.0, 0.0, 0.4 + 0.3 * x[1].sin()])));
    let exact = terminal(&Milstein::Diagonal, &problem, &[0.5, -0.5], FINE, FINE, 2000);
    let table = [("Milstein, diagonal", 1.0, strong_errors(Milstein::Diagonal, &problem, &[0.5, -0.5], &exact))];
    check_orders(&table, 0.12);
}

#[test]
fn strong_orders_for_additive_noise() {
    // Ornstein-Uhlenbeck: X_T = e^{-T} x0 + s sum_j e^{-(T - t_{j+1})} (W_j - I_j), I_j the area under the path in step j; what
    // is left out is of size h^2.5 a step on the finest grid.
    let (s, paths) = (0.8, 500);
    let problem = Diffusion::ou(1, 1.0, s, 1.0);
    let (stream, h) = (NormalStream::new(21, 0), 1.0 / FINE as f64);
    let exact: Vec<f64> = (0..paths)
        .map(|path| {
            let noise = (0..FINE as u32).map(|j| {
                let (xi, zeta) = (stream.normal(path, j, 0), stream.normal(path, j, 1));
                let area = 0.5 * h.powf(1.5) * (xi + zeta / 3f64.sqrt());
                (-(1.0 - f64::from(j + 1) * h)).exp() * (h.sqrt() * xi - area)
            });
            (-1.0f64).exp() * 0.7 + s * noise.sum::<f64>()
        })
        .collect();
    let table = [
        // What limits the order to 1.5 are products of two integrals in front of the second derivative of the drift.
        (AdditiveRungeKutta::NAME, 2.0, strong_errors(AdditiveRungeKutta, &problem, &[0.7], &exact)),
        (EulerMaruyama::NAME, 1.0, strong_errors(EulerMaruyama, &problem, &[0.7], &exact)),
        (StochasticHeun::NAME, 1.0, strong_errors(StochasticHeun, &problem, &[0.7], &exact)),
        (PlatenWeak2::NAME, 1.0, strong_errors(PlatenWeak2, &problem, &[0.7], &exact)),
        (ExponentialIntegrator::NAME, 1.0, strong_errors(ExponentialIntegrator::linear(-1.0).unwrap(), &problem, &[0.7], &exact)),
    ];
    check_orders(&table, 0.12);

    // A pre-trained mixture: sigma depends on t, the drift is not linear. The reference is the scheme of order 1.5 on the finest
    // grid, which the Ornstein-Uhlenbeck process has just verified.
    let schedule = schedule();
    let prior =
        GaussianMixture::new(vec![0.4, 0.6], vec![vec![-1.5], vec![1.0]], vec![vec![vec![0.3]], vec![vec![0.5]]]).unwrap();
    let reward = Reward::linear(vec![1.0], 0.0).unwrap();
    let kl = KlWeight::constant(0.7).unwrap();
    let model = FineTuning::new(schedule.clone(), prior, reward, kl, InitialLaw::NoisedPrior).unwrap();
    let exact = terminal(&AdditiveRungeKutta, &model, &[0.3], FINE, FINE, 1000);
    let ancestral = |variance| Ancestral::new(&schedule, AlphaRule::ExpIntegral, variance).unwrap();
    let table = [
        (AdditiveRungeKutta::NAME, AdditiveRungeKutta::STRONG_ORDER, strong_errors(AdditiveRungeKutta, &model, &[0.3], &exact)),
        (EulerMaruyama::NAME, 1.0, strong_errors(EulerMaruyama, &model, &[0.3], &exact)),
        (StochasticHeun::NAME, 1.0, strong_errors(StochasticHeun, &model, &[0.3], &exact)),
        (ExponentialIntegrator::NAME, 1.0, strong_errors(ExponentialIntegrator::of_schedule(&schedule), &model, &[0.3], &exact)),
        ("ancestral", 1.0, strong_errors(ancestral(ReverseVariance::OneMinusAlpha), &model, &[0.3], &exact)),
        ("ancestral, over alpha", 1.0, strong_errors(ancestral(ReverseVariance::OverAlpha), &model, &[0.3], &exact)),
        (
            "ancestral, posterior",
            Ancestral::STRONG_ORDER,
            strong_errors(ancestral(ReverseVariance::Posterior), &model, &[0.3], &exact),
        ),
        ("DDIM, eta = 1", 0.5, strong_errors(Ddim::new(&schedule, 1.0).unwrap(), &model, &[0.3], &exact)),
        ("DDIM, eta = 0", Ddim::STRONG_ORDER, strong_errors(Ddim::new(&schedule, 0.0).unwrap(), &model, &[0.3], &exact)),
    ];
    check_orders(&table, 0.2);
}
