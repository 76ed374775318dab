//! What the rollout engine is meant to show: a ten-dimensional problem whose figures others have published, the law that an
//! optimal policy ends in, and hitting times and committors against the HJB module.
#![allow(non_snake_case)] // J, N, V are the letters of the equations

use std::sync::Arc;

use hjbridge::hjb::{Face, HjbParams, HjbSolver, LevelSet, Placement, StationaryParams, StationarySolver, TargetSet, Time};
use hjbridge::model::exact::TiltedMixture;
use hjbridge::model::{
    Axis, Coefficients, ControlledDiffusion, CoordinatewiseFeedback, Extrapolation, Feedback, FineTuning, GaussianMixture,
    InitialLaw, Interpolation, KlWeight, Law, MatrixCoefficient, Points, PointsMut, QuadraticTerm, Reward, ScalarField, Schedule,
    TensorGrid, ZeroFeedback,
};
use hjbridge::rollout::estimators::{ControlVariateParams, FirstExit, control_variate, first_exit};
use hjbridge::rollout::multilevel::{MultilevelParams, multilevel};
use hjbridge::rollout::reduce::kolmogorov_smirnov;
use hjbridge::rollout::{AdditiveRungeKutta, Ensemble, InitialState, Record, RolloutParams};

/// dX_i = ( -4 kappa_i X_i (X_i^2 - 1) + v_i ) dt + sigma dB_i, running reward l, terminal reward -sum nu_i (X_i^2 - 1)^2.
struct Wells {
    kappa: Vec<f64>,
    nu: Vec<f64>,
    sigma: f64,
    reward: f64,
    horizon: f64,
    control_dim: usize,
}

impl Coefficients for Wells {
    fn drift(&self, x: Points<'_>, mut f: PointsMut<'_>) {
        for (i, kappa) in self.kappa.iter().enumerate() {
            for (f, x) in f.coord_mut(i).iter_mut().zip(x.coord(i)) {
                *f = -4.0 * kappa * x * (x * x - 1.0);
            }
        }
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(self.sigma)
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn running_reward(&self, _x: Points<'_>, l: &mut [f64]) {
        l.fill(self.reward);
    }
}

impl ControlledDiffusion for Wells {
    fn dim(&self) -> usize {
        self.kappa.len()
    }
    fn control_dim(&self) -> usize {
        self.control_dim
    }
    fn horizon(&self) -> f64 {
        self.horizon
    }
    fn at(&self, _t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(self)
    }
    fn terminal_reward(&self, x: Points<'_>, g: &mut [f64]) {
        g.fill(0.0);
        for (i, nu) in self.nu.iter().enumerate() {
            for (g, x) in g.iter_mut().zip(x.coord(i)) {
                *g -= nu * (x * x - 1.0) * (x * x - 1.0);
            }
        }
    }
}

fn controlled(kappa: Vec<f64>, nu: Vec<f64>) -> Wells {
    let control_dim = kappa.len();
    Wells { kappa, nu, sigma: 1.0, reward: 0.0, horizon: 1.0, control_dim }
}

/// The optimal control of one coordinate as a table, and V(0,0) as a cost.
fn line(kappa: f64, nu: f64) -> (Arc<dyn Feedback>, f64) {
    let problem = controlled(vec![kappa], vec![nu]);
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-2.75, 2.75, 881).unwrap()]).unwrap());
    let params = HjbParams { steps: 800, time: Time::TrBdf2, ..HjbParams::default() };
    let (V, _) = HjbSolver::new(&problem, grid, params).unwrap().solve().unwrap();
    (Arc::new(V.feedback(Interpolation::Cubic, Extrapolation::Linear).unwrap()), -V.value(0)[440])
}

#[test]
fn ten_dimensional_double_well() {
    let ((deep, V_deep), (shallow, V_shallow)) = (line(5.0, 3.0), line(1.0, 1.0));
    let optimum = 2.087426;
    assert!((3.0 * V_deep + 7.0 * V_shallow - optimum).abs() < 2e-4, "{V_deep} {V_shallow}");
    let u = CoordinatewiseFeedback::new((0..10).map(|i| if i < 3 { deep.clone() } else { shallow.clone() }).collect()).unwrap();
    let choose = |a: f64, b: f64| (0..10).map(|i| if i < 3 { a } else { b }).collect::<Vec<f64>>();
    let problem = controlled(choose(5.0, 1.0), choose(3.0, 1.0));
    let ensemble = |paths, steps| {
        let params = RolloutParams { paths, steps, seed: 1, ..RolloutParams::default() };
        Ensemble::new(&problem, &u, InitialState::Point(vec![0.0; 10]), params).unwrap()
    };
    // Euler-Maruyama against published figures (+- 0.0032), with the martingale taken out so that 4096 paths are as sharp.
    let mut last = f64::INFINITY;
    for (steps, published) in [(100, 2.2939), (200, 2.1803), (400, 2.1290), (800, 2.1097), (1600, 2.0992)] {
        let paths = if steps < 400 { 16_384 } else { 4096 };
        let (J, info) = control_variate(&ensemble(paths, steps), &u, &ControlVariateParams::default()).unwrap();
        let found = -J.objective.mean;
        let z = (found - published) / J.objective.standard_error.hypot(0.0032);
        assert!(z.abs() < 3.0 && J.objective.standard_error < 0.0034, "{steps}: {J:?} {published}");
        // At every N the bias is seen, and it shrinks.
        assert!(found - optimum > 4.0 * J.objective.standard_error && found < last, "{steps}: {J:?}");
        assert!(1.0 / info.variance_ratio > 3.0, "{info:?}");
        last = found;
    }
    let asked = MultilevelParams { standard_error: 1e-3, base_steps: 100, pilot: 256, ..MultilevelParams::default() };
    let (J, info) = multilevel(&ensemble(64, 100), &asked, None).unwrap();
    let (lower, upper) = J.confidence_interval(0.95).unwrap();
    assert!(info.converged && -upper < optimum && optimum < -lower, "{J:?} {info:?}");
    assert!(J.standard_error < 1.01e-3 && J.bias < 5e-4);
    // Additive noise: the variance of the differences falls like N^-2, the bias like N^-1.
    assert!((info.beta - 2.0).abs() < 0.35 && (info.alpha - 1.0).abs() < 0.25, "{info:?}");
    // The pilot samples of the finest levels are what keeps the saving below that of theory.
    assert!(info.saving > 10.0 && info.saving > 0.6 * info.predicted_saving, "{info:?}");
    assert!(info.saving < 1.1 * info.predicted_saving, "{info:?}");
}

#[test]
fn the_optimal_policy_ends_in_the_tilted_law() {
    let b = Schedule::linear(2.0, 0.5, 3.0).unwrap();
    let p = GaussianMixture::new(vec![0.4, 0.6], vec![vec![-1.5], vec![1.0]], vec![vec![vec![0.15]], vec![vec![0.4]]]).unwrap();
    let terms = [(0.5, -1.0, 0.1), (1.2, 1.5, -0.3)];
    let terms = terms.map(|(a, m, c)| QuadraticTerm::new(&[vec![a]], vec![m], c).unwrap()).to_vec();
    let r = Reward::log_sum_exp(terms, 0.7).unwrap();
    let problem = FineTuning::new(b, p, r, KlWeight::constant(0.7).unwrap(), InitialLaw::Optimal).unwrap();
    let exact = TiltedMixture::new(&problem).unwrap();
    let tilted = exact.tilted();
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-6.0, 6.0, 801).unwrap()]).unwrap());
    let params = HjbParams { steps: 800, ..HjbParams::default() };
    let (V, _) = HjbSolver::new(&problem, grid, params).unwrap().solve().unwrap();
    let policy = V.feedback(Interpolation::Cubic, Extrapolation::Linear).unwrap();
    let none = ZeroFeedback { dim: 1, control_dim: 1 };
    // The distribution function at nodes 1e-3 apart, by the trapezoidal rule.
    let axis = TensorGrid::new(vec![Axis::uniform(-8.0, 8.0, 16_001).unwrap()]).unwrap();
    let mut log_density = vec![0.0; axis.len()];
    tilted.log_density(axis.points().as_points(), &mut log_density);
    let mut table = vec![0.0];
    for k in 1..axis.len() {
        table.push(table[k - 1] + 0.5e-3 * (log_density[k - 1].exp() + log_density[k].exp()));
    }
    assert!((table[16_000] - 1.0).abs() < 1e-9);
    let cdf = |x: f64| {
        let place = ((x + 8.0) * 1e3).clamp(0.0, 15_999.0);
        let (k, w) = (place as usize, place.fract());
        ((1.0 - w) * table[k] + w * table[k + 1]).min(1.0)
    };
    let (mean, variance) = (tilted.mean()[0], tilted.covariance()[0][0]);
    let run = |feedback: &dyn Feedback, steps| {
        let params = RolloutParams { paths: 20_000, steps, seed: 4, ..RolloutParams::default() };
        let record = Record { final_states: true, ..Record::default() };
        let start = InitialState::Law(problem.initial_law());
        let (summary, _) = Ensemble::new(&problem, feedback, start, params).unwrap().with_record(record).unwrap().run().unwrap();
        let test = kolmogorov_smirnov(summary.final_states.as_ref().unwrap().coord(0), cdf).unwrap();
        let z = (summary.covariance[0] - variance) / summary.covariance_error[0];
        (summary.mean[0].z_score(mean), z, test.p_value)
    };
    let fine = run(&policy, 640);
    assert!(fine.0.abs() < 3.0 && fine.1.abs() < 3.0 && fine.2 > 0.02, "{fine:?}");
    // The test sees ten steps, and it sees the model before fine-tuning.
    assert!(run(&policy, 10).2 < 1e-6);
    let untuned = run(&none, 640);
    assert!(untuned.0.abs() > 20.0 && untuned.2 < 1e-6, "{untuned:?}");
}

/// 1 - sign x.
struct Wall(f64);

impl ScalarField for Wall {
    fn dim(&self) -> usize {
        1
    }
    fn value(&self, x: Points<'_>, out: &mut [f64]) {
        for (o, x) in out.iter_mut().zip(x.coord(0)) {
            *o = 1.0 - self.0 * x;
        }
    }
    fn gradient(&self, _x: Points<'_>, mut out: PointsMut<'_>) {
        out.fill(-self.0);
    }
}

#[test]
fn hitting_times_and_committors_are_those_of_the_hjb_module() {
    // dX = -U' dt + sqrt 2 dB, U = (x^2 - 1)^2.
    let well = |reward, control_dim| Wells {
        kappa: vec![1.0],
        nu: vec![0.0],
        sigma: std::f64::consts::SQRT_2,
        reward,
        horizon: 48.0,
        control_dim,
    };
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-2.0, 2.0, 801).unwrap()]).unwrap());
    let params = StationaryParams { boundary: Face::Reflecting.into(), ..StationaryParams::default() };
    let solve = |reward: f64, target: &dyn TargetSet| {
        let problem = well(reward, 0);
        let solver = StationarySolver::new(&problem, grid.clone(), params).unwrap();
        solver.with_target(target, Placement::SubCell).solve().unwrap().0
    };
    let target = LevelSet::new(|x: &[f64]| 1.0 - x[0], |_: &[f64]| 0.0);
    let ends = LevelSet::new(|x: &[f64]| 1.0 - x[0].abs(), |x: &[f64]| if x[0] > 0.0 { 1.0 } else { 0.0 });
    let (time, chance) = (solve(1.0, &target).value()[200], solve(0.0, &ends).value()[460]);
    assert!((time - 3.569416776).abs() < 1e-4 && (chance - 0.712957).abs() < 1e-5, "{time} {chance}");

    let (problem, idle) = (well(0.0, 1), ZeroFeedback { dim: 1, control_dim: 1 });
    let (left, right) = (Wall(-1.0), Wall(1.0));
    let from = |x: f64, paths| {
        let params = RolloutParams { paths, steps: 2400, seed: 3, ..RolloutParams::default() };
        let ensemble = Ensemble::new(&problem, &idle, InitialState::Point(vec![x]), params).unwrap();
        ensemble.with_scheme(AdditiveRungeKutta)
    };
    let exit = FirstExit::new(vec![&right]);
    let (e, _) = first_exit(&from(-1.0, 20_000), &exit).unwrap();
    assert!(e.time.z_score(time).abs() < 3.5 && e.survival.mean < 1e-4, "{e:?} {time}");
    // Looking every h = 0.02 only, the time is too long by about 0.14, seven standard errors.
    let (late, _) = first_exit(&from(-1.0, 20_000), &exit.at_steps_only()).unwrap();
    assert!(late.time.z_score(time) > 4.0, "{late:?} {time}");
    let (e, _) = first_exit(&from(0.3, 40_000), &FirstExit::new(vec![&left, &right])).unwrap();
    assert!(e.chance[1].z_score(chance).abs() < 3.5, "{e:?} {chance}");
    assert!((e.chance[0].mean + e.chance[1].mean + e.survival.mean - 1.0).abs() < 1e-12);
}
