//! Independent routes to the same numbers: HJB, closed forms, Riccati, PI-FT, rollouts, Fokker-Planck.

use hjbridge::bridge::{bridge, euler_value, octave_orders, wasserstein_1};
use hjbridge::hjb::{Face, FokkerPlanck, FokkerPlanckParams, HjbParams, HjbSolver, masses_from_log_density};
use hjbridge::model::exact::{FinalLaw, TiltedMixture};
use hjbridge::model::grid::{Axis, Extrapolation, Interpolation, TensorGrid};
use hjbridge::model::{Coefficients, ControlledDiffusion, InitialLaw, Law, MatrixCoefficient, Points, PointsMut};
use hjbridge::problem::spec::{InitialLawSpec, KlFunctionSpec, KlWeightSpec, RewardSpec, ScheduleSpec};
use hjbridge::problem::{Problem, ProblemFile};
use hjbridge::rollout::{Ensemble, InitialState, RolloutParams};
use hjbridge::run::{Progress, RolloutOptions, Silent, SolveRun, initial_mean, pift, rollout, solve, tabulated_score};
use std::f64::consts::TAU;
use std::path::Path;
use std::sync::Arc;

fn load(name: &str, change: impl FnOnce(&mut ProblemFile)) -> Problem {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/problems");
    let mut file = ProblemFile::read(&folder.join(name)).unwrap();
    change(&mut file);
    Problem::resolve(file, &folder).unwrap()
}

fn solved(problem: &Problem) -> SolveRun {
    let run = solve(problem, problem.file.time_steps, &Silent).unwrap();
    assert!(run.failure.is_none());
    run
}

fn errors(run: &SolveRun) -> (f64, f64) {
    (run.report.value_error.unwrap(), run.report.control_error.unwrap())
}

/// |x/y - 1| <= tolerance.
fn close(x: f64, y: f64, tolerance: f64, what: &str) {
    assert!((x / y - 1.0).abs() <= tolerance, "{what}: {x:e} against {y:e}");
}

#[test]
fn hjb_meets_the_closed_form_of_the_mixture_with_order_two() {
    let (v, u) = errors(&solved(&load("mixture_1d.json", |_| {})));
    assert!(v <= 1.5e-4 && u <= 1.5e-3, "V {v:e}, U {u:e}");
    let coarse = errors(&solved(&load("mixture_1d.json", |f| {
        f.grid.nodes = vec![401];
        f.time_steps = 400;
    })));
    let orders = ((coarse.0 / v).log2(), (coarse.1 / u).log2());
    assert!((orders.0 - 2.0).abs() < 0.1 && (orders.1 - 2.0).abs() < 0.1, "{orders:?}");
}

#[test]
fn pift_reaches_the_continuous_solution_at_the_rate_of_an_independent_prototype() {
    let problem = load("mixture_1d.json", |_| {});
    let run = bridge(&problem, &problem.file.bridge_steps, &Silent).unwrap();
    assert!(run.failure.is_none());
    let r = &run.report;
    let value = [2.584e-2, 1.367e-2, 7.06e-3, 3.59e-3, 1.811e-3, 9.10e-4];
    let control = [0.395, 0.238, 0.135, 0.0722, 0.0374, 0.0191];
    // figures are known to two or three digits
    let contraction = [0.100, 0.063, 0.036, 0.0195, 0.0101, 0.0051];
    for i in 0..6 {
        close(r.value_error[i], value[i], 0.02, "V");
        close(r.control_error[i], control[i], 0.02, "U");
        close(r.contraction[i].unwrap(), contraction[i], 0.02, "contraction");
        assert!(r.contraction[i].unwrap() <= r.rho[i], "observed above its bound at N = {}", r.steps[i]);
    }
    assert!((r.octave_orders_value[4].unwrap() - 0.99).abs() < 0.01 && (r.octave_orders_control[4].unwrap() - 0.97).abs() < 0.01);
    for (e, want) in r.richardson_error[1..].iter().zip([5.4e-5, 1.5e-5, 4.0e-6, 1.03e-6]) {
        close(*e, want, 0.05, "Richardson");
    }
    assert!((r.richardson_order.unwrap() - 1.95).abs() < 0.05);
    // against the HJB solution the errors differ by no more than its own error
    for i in 0..6 {
        let (v, u) = r.against_hjb.hjb_error.unwrap();
        assert!((r.against_hjb.value_error[i] - r.value_error[i]).abs() <= v);
        assert!((r.against_hjb.control_error[i] - r.control_error[i]).abs() <= u);
    }
    let law = r.final_law.as_ref().unwrap();
    assert!((law.order.unwrap().order - 1.0).abs() < 0.02, "{:?}", law.order);
    // the objective of the chain converges to the continuous optimum with order 1 too
    let gaps: Vec<f64> = r.objective.iter().map(|j| (j - r.objective_reference.unwrap()).abs()).collect();
    let last = octave_orders(&r.steps, &gaps)[4].unwrap();
    assert!((last - 1.0).abs() < 0.05, "{last}");
}

#[test]
fn rollout_estimates_what_the_recursion_and_the_value_say() {
    let problem = load("mixture_1d.json", |f| {
        f.time_steps = 200;
        f.paths = 40_000;
        f.seed = 11;
    });
    let hjb = solved(&problem);
    let run = rollout(&problem, &hjb, &RolloutOptions::default(), &Silent).unwrap();
    let r = &run.report;
    assert!(r.z_score.abs() < 3.0, "{r:?}");
    let (objective, mean) = (r.estimates.objective, r.estimates.final_mean[0]);
    assert!((objective.mean - r.optimum).abs() < 3.0 * objective.standard_error + r.time_bias.unwrap().abs());
    let z = mean.z_score(r.final_mean_exact.unwrap());
    assert!(z.abs() < 4.0, "z = {z}");
    assert!(mean.standard_error < 0.01, "the interval must be able to fail");
    assert_eq!(r.simulation.outside, 0);
}

#[test]
fn the_bias_of_euler_maruyama_has_order_one() {
    let bias = |steps: usize| {
        let problem = load("mixture_1d.json", |f| f.time_steps = 800);
        let hjb = solved(&problem);
        let w = euler_value(&problem.model, &hjb.feedback().unwrap(), &problem.grid, steps).unwrap();
        initial_mean(&problem, &w) - hjb.report.objective_exact.unwrap()
    };
    let ratio = bias(50) / bias(100);
    assert!((ratio - 2.0).abs() < 0.15, "{ratio}");
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let problem = load("old_faithful_waiting.json", |f| {
        f.grid.nodes = vec![201];
        f.time_steps = 50;
        f.paths = 3000;
    });
    let all = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let hjb = solved(&problem);
            let options = RolloutOptions { threads: Some(threads), ..RolloutOptions::default() };
            let ensemble = rollout(&problem, &hjb, &options, &Silent).unwrap();
            let chain = pift(&problem, 40, &Silent).unwrap();
            let gap = bridge(&problem, &[16, 32], &Silent).unwrap();
            (
                hjb.solution.value(0).to_vec(),
                [ensemble.report.estimates.objective.mean, ensemble.report.estimates.final_mean[0].mean, ensemble.report.optimum],
                ensemble.report.euler_objective,
                chain.values[0].clone(),
                chain.report.contraction,
                gap.report.value_error,
                (gap.report.final_law.unwrap().wasserstein, gap.report.suboptimality),
            )
        })
    };
    let one = all(1);
    for threads in [2, 3] {
        assert_eq!(one, all(threads), "{threads} threads");
    }
}

#[test]
fn time_varying_weight_against_the_riccati_system() {
    let at = |nodes: usize, steps: usize| {
        errors(&solved(&load("lq_1d.json", |f| {
            f.grid.nodes = vec![nodes];
            f.time_steps = steps;
        })))
    };
    let (coarse, fine) = (at(201, 200), at(401, 400));
    assert!(((coarse.0 / fine.0).log2() - 2.0).abs() < 0.1, "{coarse:?} {fine:?}");
    let problem = load("lq_1d.json", |_| {});
    // PI-FT of a quadratic is exact on a grid: the discrete recursion is met to rounding
    let chain = pift(&problem, 64, &Silent).unwrap();
    assert!(chain.report.discrete_value_error.unwrap() < 1e-11, "{:?}", chain.report.discrete_value_error);
    // and its contraction is the one the theory gives, lam K_{k+1}
    for (seen, bound) in chain.report.contraction.iter().zip(&chain.report.rho) {
        close(seen.unwrap(), *bound, 1e-3, "contraction");
    }
}

#[test]
fn without_a_closed_form_the_refined_hjb_solution_is_a_reference() {
    // piecewise linear weight, equal to a constant up to 1e-13: the closed form is not recognised, but known
    let nearly = KlWeightSpec::Varying(KlFunctionSpec::Table { t: vec![0.0, 2.0], beta: vec![0.7, 0.7 + 1e-13] });
    let with = |kl: Option<KlWeightSpec>| {
        let problem = load("mixture_1d.json", |f| {
            if let Some(kl) = kl {
                f.kl_weight = kl;
                if let RewardSpec::LogSumExp { temperature, .. } = &mut f.reward {
                    *temperature = Some(0.7);
                }
            }
        });
        bridge(&problem, &[32, 64, 128], &Silent).unwrap().report
    };
    let (hjb, exact) = (with(Some(nearly)), with(None));
    assert_eq!((hjb.reference, exact.reference), ("hjb", "closed_form"));
    let (v, u) = hjb.against_hjb.hjb_error.unwrap();
    for i in 0..3 {
        // the estimate of the reference's error bounds the difference it makes
        assert!((hjb.value_error[i] - exact.value_error[i]).abs() < v && v < 1e-4);
        assert!((hjb.control_error[i] - exact.control_error[i]).abs() < u && u < 1e-2);
    }
    let (a, b) = (hjb.final_law.unwrap(), exact.final_law.unwrap());
    assert_eq!((a.reference, b.reference), ("fokker_planck", "closed_form"));
    close(a.wasserstein[0], b.wasserstein[0], 0.01, "W1 through Fokker-Planck");
}

#[test]
fn fokker_planck_ends_where_the_closed_form_does() {
    let distance = |nodes: usize, steps: usize| {
        let problem = load("mixture_1d.json", |f| {
            f.grid.nodes = vec![nodes];
            f.time_steps = steps;
            f.initial_law = InitialLawSpec::StandardNormal;
        });
        assert_eq!(problem.model.initial(), InitialLaw::StandardNormal);
        let points = problem.grid.points();
        let mut p = vec![0.0; nodes];
        problem.model.initial_law().log_density(points.as_points(), &mut p);
        let masses = masses_from_log_density(&problem.grid, &p).unwrap();
        let feedback = solved(&problem).feedback().unwrap();
        let params = FokkerPlanckParams { steps, ..Default::default() };
        let (path, info) =
            FokkerPlanck::new(&problem.model, &feedback, problem.grid.clone(), params).unwrap().evolve(&masses).unwrap();
        assert!(info.mass_error < 1e-12);
        let mut exact = vec![0.0; nodes];
        FinalLaw::new(&problem.model, &TiltedMixture::new(&problem.model).unwrap())
            .unwrap()
            .density(points.as_points(), &mut exact);
        wasserstein_1(problem.grid.axis(0).nodes(), &path.density(steps), &exact)
    };
    let (coarse, fine) = (distance(401, 400), distance(801, 800));
    assert!(fine < 2e-4 && ((coarse / fine).log2() - 2.0).abs() < 0.2, "{coarse:e} {fine:e}");
}

#[test]
fn any_reward_by_quadrature_and_on_the_grid() {
    let error = |nodes: usize, steps: usize| {
        errors(&solved(&load("old_faithful_typical.json", |f| {
            f.grid.nodes = vec![nodes];
            f.time_steps = steps;
        })))
    };
    let (coarse, fine) = (error(401, 400), error(801, 800));
    assert!(((coarse.0 / fine.0).log2() - 2.0).abs() < 0.15, "{coarse:?} {fine:?}");
}

#[test]
fn tabulated_score_is_the_score() {
    use hjbridge::model::{PointBlock, Points, PointsMut};
    let problem = load("old_faithful_waiting.json", |_| {});
    let model = tabulated_score(&problem, 16).unwrap();
    let y: Vec<f64> = (0..1000).map(|i| -2.5 + 0.005 * f64::from(i) + 0.001).collect();
    for k in [0, 8, 15, 16] {
        let t = 2.0 * f64::from(k) / 16.0;
        let mut table = vec![0.0; y.len()];
        let mut exact = PointBlock::zeros(1, y.len());
        model.score().at(t).eval(Points::new(&y, 1), PointsMut::new(&mut table, 1));
        problem.model.score().at(t).eval(Points::new(&y, 1), exact.as_mut());
        let worst = table.iter().zip(exact.data()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        // spline of step 0.015 under features of width 0.2: (0.015/0.2)^4 / 384 of a score of size 10
        assert!(worst < 1e-5, "t = {t}: {worst:e}");
    }
}

#[test]
fn units_of_time_and_reward_do_not_matter() {
    let base = solved(&load("mixture_1d.json", |f| {
        f.grid.nodes = vec![201];
        f.time_steps = 100;
    }));
    // twice the time at half the rate: the same value at the same step number
    let slow = solved(&load("mixture_1d.json", |f| {
        f.grid.nodes = vec![201];
        f.time_steps = 100;
        f.horizon = 4.0;
        f.schedule = ScheduleSpec::Linear { b_min: 0.25, b_max: 1.5 };
    }));
    // reward and weight times ten: value times ten, control unchanged
    let scaled = solved(&load("mixture_1d.json", |f| {
        f.grid.nodes = vec![201];
        f.time_steps = 100;
        f.kl_weight = KlWeightSpec::Constant(7.0);
        if let RewardSpec::LogSumExp { terms, .. } = &mut f.reward {
            for t in terms {
                t.curvature[0][0] *= 10.0;
                t.q[0] *= 10.0;
                t.c *= 10.0;
            }
        }
    }));
    for k in [0, 37, 100] {
        for j in 0..201 {
            let v = base.solution.value(k)[j];
            assert!((slow.solution.value(k)[j] - v).abs() < 1e-9 * (1.0 + v.abs()));
            assert!((scaled.solution.value(k)[j] - 10.0 * v).abs() < 1e-8 * (1.0 + v.abs()));
            assert!((scaled.solution.control(k)[j] - base.solution.control(k)[j]).abs() < 1e-7);
        }
    }
}

/// dX = v dt + dB on a circle of length 2 pi, cost v^2/2, terminal reward log(2 + cos X).
struct Rotor;

impl Coefficients for Rotor {
    fn drift(&self, _x: Points<'_>, mut out: PointsMut<'_>) {
        out.coord_mut(0).fill(0.0);
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
}

impl ControlledDiffusion for Rotor {
    fn dim(&self) -> usize {
        1
    }
    fn control_dim(&self) -> usize {
        1
    }
    fn horizon(&self) -> f64 {
        100.0
    }
    fn at(&self, _t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(Rotor)
    }
    fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) {
        out.iter_mut().zip(x.coord(0)).for_each(|(o, x)| *o = (2.0 + x.cos()).ln());
    }
}

#[test]
fn a_rotor_turns_round_its_circle_and_never_leaves_the_grid() {
    // V(t, x) = log(2 + e^{-(T - t)/2} cos x).
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(0.0, TAU, 129).unwrap()]).unwrap());
    let params = HjbParams { steps: 1000, boundary: Face::Periodic.into(), ..Default::default() };
    let (v, _) = HjbSolver::new(&Rotor, grid, params).unwrap().solve().unwrap();
    let feedback = v.feedback(Interpolation::Cubic, Extrapolation::Linear).unwrap();
    let params = RolloutParams { paths: 8_000, steps: 1000, seed: 3, ..Default::default() };
    let (summary, _) = Ensemble::new(&Rotor, &feedback, InitialState::Point(vec![1.0]), params).unwrap().run().unwrap();
    let exact = (2.0 + (-50.0f64).exp() * 1.0f64.cos()).ln();
    let z = summary.objective.z_score(exact);
    assert!(z.abs() < 4.0 && summary.objective.standard_error < 5e-3, "{z} {:?}", summary.objective);
    // It has turned round several times, and still the control is that of the place on the circle.
    assert!(summary.covariance[0] > 80.0, "{:?}", summary.covariance);
    assert_eq!(summary.outside.mean, 0.0);
}

/// Keeps what it is told.
#[derive(Default)]
struct Recorded(std::sync::Mutex<(Vec<u64>, Vec<String>)>);

impl Progress for Recorded {
    fn begin(&self, _what: &str, _total: u64) {}
    fn advance(&self, done: u64) {
        self.0.lock().unwrap().0.push(done);
    }
    fn note(&self, text: &str) {
        self.0.lock().unwrap().1.push(text.to_string());
    }
    fn end(&self) {}
}

#[test]
fn whoever_watches_pift_is_told_of_its_residuals() {
    let (problem, watcher) = (load("lq_1d.json", |f| f.grid.nodes = vec![101]), Recorded::default());
    let run = pift(&problem, 8, &watcher).unwrap();
    let (done, notes) = watcher.0.into_inner().unwrap();
    assert_eq!(done, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    // backwards in k, with the figures of the report
    let expected: Vec<String> = run
        .report
        .per_step
        .iter()
        .rev()
        .map(|s| format!("update {:.1e}, contraction {:.3}", s.last_update, s.contraction.unwrap()))
        .collect();
    assert_eq!(notes, expected);
}
