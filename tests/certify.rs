//! Policies whose objective is known: the certificate's parts against closed forms and against each other.

use hjbridge::hjb::Sense;
use hjbridge::model::exact::{ClosedForm, closed_form};
use hjbridge::model::{Feedback, FineTuning, PointBlock, Points, PointsMut, VectorField};
use hjbridge::problem::{AnyProblemFile, ControlledProblem, Problem, ProblemFile, SampledProblem};
use hjbridge::report::NpzFile;
use hjbridge::run::{
    CertifyOptions, CertifyRun, Policy, Silent, Verdict, certify, certify_controlled, certify_sampled, site, solve_by_route,
};
use serde_json::{Value, json};
use std::path::Path;

fn options(paths: usize, steps: usize) -> CertifyOptions {
    CertifyOptions { paths: Some(paths), steps: Some(steps), seed: Some(7), levels: 64 }
}

fn file(problem: &Value) -> ProblemFile {
    ProblemFile::parse(&problem.to_string(), Path::new("problem.json")).unwrap()
}

fn lq(kl_weight: Value) -> Value {
    json!({
        "name": "lq", "horizon": 2.0, "schedule": {"kind": "linear", "b_min": 0.5, "b_max": 3.0},
        "prior": {"kind": "gaussian", "mean": [0.7], "covariance": [[0.5]]},
        "reward": {"kind": "quadratic", "Q": [[1.3]], "q": [0.9]}, "kl_weight": kl_weight, "initial_law": "noised_prior",
        "grid": {"lower": [-7.0], "upper": [7.0], "nodes": [201]}, "time_steps": 200,
        "compare_on": {"lower": [-3.0], "upper": [3.0]}
    })
}

fn mixture() -> Problem {
    let mixture = json!({
        "name": "mixture", "horizon": 2.0, "schedule": {"kind": "linear", "b_min": 0.5, "b_max": 3.0},
        "prior": {"kind": "mixture", "weights": [0.4, 0.6], "means": [[-1.5], [1.0]], "covariances": [[[0.15]], [[0.4]]]},
        "reward": {"kind": "log_sum_exp", "terms": [{"Q": [[0.5]], "q": [-1.0], "c": 0.1}, {"Q": [[1.2]], "q": [1.5], "c": -0.3}]},
        "kl_weight": 0.7, "initial_law": "noised_prior", "grid": {"lower": [-6.0], "upper": [6.0], "nodes": [401]},
        "time_steps": 400, "compare_on": {"lower": [-3.0], "upper": [3.0]}
    });
    Problem::resolve(file(&mixture), Path::new(".")).unwrap()
}

/// s + gain (U* - s) of a closed form.
struct Scaled<'a> {
    model: &'a FineTuning,
    exact: &'a dyn ClosedForm,
    gain: f64,
    /// Whether s is left out.
    change: bool,
}

struct ScaledAt<'a>(&'a Scaled<'a>, f64);

impl Feedback for Scaled<'_> {
    fn dim(&self) -> usize {
        self.exact.dim()
    }
    fn control_dim(&self) -> usize {
        self.exact.dim()
    }
    fn at(&self, t: f64) -> Box<dyn VectorField + '_> {
        Box::new(ScaledAt(self, t))
    }
}

impl VectorField for ScaledAt<'_> {
    fn eval(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        let mut s = PointBlock::zeros(x.dim(), x.len());
        self.0.model.score().at(self.1).eval(x, s.as_mut());
        self.0.exact.at(self.1).control(x, out.reborrow());
        let kept = if self.0.change { 0.0 } else { 1.0 };
        for i in 0..x.dim() {
            out.coord_mut(i).iter_mut().zip(s.coord(i)).for_each(|(u, s)| *u = kept * s + self.0.gain * (*u - s));
        }
    }
}

/// J and V - J of s + gain (U* - s) in one dimension, Gaussian prior and quadratic reward -Q y^2/2 + q y: the state stays Gaussian,
/// and its mean and variance solve ordinary equations (Runge-Kutta, order 4).
fn scalar(model: &FineTuning, exact: &dyn ClosedForm, gain: f64, (big_q, q): (f64, f64)) -> (f64, f64) {
    let points = [0.0, 1.0];
    let x = Points::new(&points, 1);
    let rates = |t: f64, y: [f64; 4]| -> [f64; 4] {
        let (mut s, mut u) = ([0.0; 2], [0.0; 2]);
        model.score().at(t).eval(x, PointsMut::new(&mut s, 1));
        exact.at(t).control(x, PointsMut::new(&mut u, 1));
        let (s1, v0, v1) = (s[1] - s[0], u[0] - s[0], (u[1] - s[1]) - (u[0] - s[0]));
        let (b, beta) = (model.schedule().rate(t), model.kl_weight().at(t));
        let (m, p) = (y[0], y[1]);
        let square = (v0 + v1 * m).powi(2) + v1 * v1 * p;
        [
            b * (0.5 * m + s[0] + s1 * m + gain * (v0 + v1 * m)),
            2.0 * b * (0.5 + s1 + gain * v1) * p + b,
            0.5 * b * beta * gain * gain * square,
            0.5 * b * beta * (1.0 - gain).powi(2) * square,
        ]
    };
    let law = model.initial_law();
    let mut y = [law.mean()[0], law.covariance()[0][0], 0.0, 0.0];
    let n = 1000;
    let h = model.schedule().horizon() / f64::from(n);
    let plus = |y: [f64; 4], c: f64, k: [f64; 4]| [y[0] + c * k[0], y[1] + c * k[1], y[2] + c * k[2], y[3] + c * k[3]];
    for k in 0..n {
        let t = f64::from(k) * h;
        let k1 = rates(t, y);
        let k2 = rates(t + 0.5 * h, plus(y, 0.5 * h, k1));
        let k3 = rates(t + 0.5 * h, plus(y, 0.5 * h, k2));
        let k4 = rates(t + h, plus(y, h, k3));
        y = plus(plus(plus(plus(y, h / 6.0, k1), h / 3.0, k2), h / 3.0, k3), h / 6.0, k4);
    }
    (-0.5 * big_q * (y[0] * y[0] + y[1]) + q * y[0] - y[2], y[3])
}

#[track_caller]
fn near(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((found - expected).abs() <= tolerance, "{what}: {found} against {expected}, tolerance {tolerance:e}");
}

/// J by simulation within four standard errors, and below every bound of V; the intervals are ordered.
fn sandwich(v: &Verdict, j: f64, optimum: f64) {
    let s = v.simulated.as_ref().unwrap();
    assert!(s.objective.z_score(j).abs() < 4.0, "{:?} against {j}", s.objective);
    assert!(s.interval.0 < s.objective.mean && s.objective.mean < s.interval.1);
    assert!(!v.bounds.is_empty());
    for b in &v.bounds {
        // the limit of a simulation is that of 95 % on one side, 1.6 standard errors: with 2.5 times as much, four
        let far = if b.kind == "donsker_varadhan" { 2.5 } else { 1.0 };
        assert!(b.limit >= b.value && b.value + far * (b.limit - b.value) >= optimum - 1e-9, "{b:?} below V = {optimum}");
    }
    let loss = v.loss.unwrap();
    assert!(loss.low <= optimum - j + 1e-9 && optimum - j <= loss.high + 1e-9, "{loss:?} around {}", optimum - j);
}

fn certified(problem: &Problem, policy: &dyn Feedback) -> CertifyRun {
    certify(problem, &Policy::Feedback(policy), &options(8192, 64), &Silent).unwrap()
}

#[test]
fn the_optimum_of_a_mixture_loses_nothing() {
    let problem = mixture();
    let exact = closed_form(&problem.model).unwrap().unwrap();
    let policy = Scaled { model: &problem.model, exact: exact.as_ref(), gain: 1.0, change: false };
    let run = certified(&problem, &policy);
    let v = &run.report.starts[0];
    let optimum = v.optimum_exact.unwrap();
    sandwich(v, optimum, optimum);
    near(v.computed.unwrap().value, optimum, 1e-6, "J on the grid");
    near(v.optimum.unwrap().value, optimum, 1e-6, "V on the grid");
    let loss = v.loss.unwrap();
    // s + (U* - s) is U* but for rounding
    assert!(loss.value.abs() < 1e-20 && loss.method == "loss_equation", "{loss:?}");
    assert!(v.simulated.as_ref().unwrap().excess.unwrap().mean < 1e-20);
    assert!((v.reached.unwrap() - 1.0).abs() < 1e-15);
    let kinds: Vec<&str> = v.bounds.iter().map(|b| b.kind).collect();
    assert_eq!(kinds, ["cole_hopf", "donsker_varadhan"]);
    // at the optimum the weights are even and the bound is tight: what is left is c, which is not quadratic here
    near(v.bounds[1].value, optimum, 2e-3, "Donsker-Varadhan");
    assert!(v.bounds[1].effective_share.unwrap() > 0.9);
}

#[test]
fn the_pretrained_model_earns_its_mean_reward() {
    let problem = Problem::resolve(file(&lq(json!(0.6))), Path::new(".")).unwrap();
    let run = certified(&problem, problem.model.score());
    let v = &run.report.starts[0];
    // started from the noised prior it ends in the prior
    let j = -0.5 * 1.3 * (0.5 + 0.7 * 0.7) + 0.9 * 0.7;
    let optimum = v.optimum_exact.unwrap();
    sandwich(v, j, optimum);
    near(v.computed.unwrap().value, j, 1e-6, "J");
    near(v.loss.unwrap().value, optimum - j, 1e-6, "loss");
    near(v.reached.unwrap(), 0.0, 1e-5, "share of the gain");
    let lost = run.report.where_lost.unwrap();
    // the forward equation, order 2 in 200 steps and 201 nodes
    near(lost.total, optimum - j, 0.01 * (optimum - j), "the loss along the law");
    assert!(lost.middle_half.0 < lost.middle_half.1 && lost.worst_point.is_some());
    assert!(run.gap[0].iter().all(|g| *g > -1e-6));
}

#[test]
fn a_gain_that_is_off_by_ten_percent() {
    let varying = json!({"kind": "formula", "beta": "0.4 + 0.8*(t/2)**2 + 0.3*sin(3*t)**2"});
    for (kl_weight, kind) in [(json!(0.6), "cole_hopf"), (varying, "verification")] {
        let problem = Problem::resolve(file(&lq(kl_weight)), Path::new(".")).unwrap();
        let exact = closed_form(&problem.model).unwrap().unwrap();
        for gain in [0.9, 1.1] {
            let policy = Scaled { model: &problem.model, exact: exact.as_ref(), gain, change: false };
            let (j, loss) = scalar(&problem.model, exact.as_ref(), gain, (1.3, 0.9));
            let run = certified(&problem, &policy);
            let v = &run.report.starts[0];
            let optimum = v.optimum_exact.unwrap();
            near(optimum - j, loss, 1e-7, "the identity V - J = E int (1/2) R |v - v*|^2");
            sandwich(v, j, optimum);
            near(v.computed.unwrap().value, j, 1e-6, "J on the grid");
            near(v.loss.unwrap().value, loss, 1e-4 * loss, "the loss");
            let excess = v.simulated.as_ref().unwrap().excess.unwrap();
            // Euler's chain with 64 steps: 5 %
            near(excess.mean, loss, 4.0 * excess.standard_error + 0.05 * loss, "excess along paths");
            assert_eq!(v.bounds[0].kind, kind);
        }
    }
}

#[test]
fn a_table_of_ones_own_solution() {
    let problem = mixture();
    let solved = solve_by_route(&problem, 64, &Silent).unwrap();
    let desk = tempfile::tempdir().unwrap();
    let path = desk.path().join("policy.npz");
    let times = solved.solution.times();
    let flat: Vec<f64> = solved.controls.iter().flatten().copied().collect();
    let mut npz = NpzFile::new();
    npz.array("axis0", &[401], problem.grid.axis(0).nodes()).unwrap();
    npz.array("times", &[times.len()], times).unwrap();
    npz.array("control", &[times.len(), 401], &flat).unwrap();
    npz.write(&path).unwrap();
    let policy = Policy::read(&path, site(&problem.model)).unwrap();
    let run = certify(&problem, &policy, &options(4096, 64), &Silent).unwrap();
    let v = &run.report.starts[0];
    let loss = v.loss.unwrap();
    // 64 slices, linear in between: 1e-3 of the gain
    assert!(loss.value > 0.0 && loss.value < 1e-3 * (v.optimum_exact.unwrap() - v.uncontrolled.unwrap().value), "{loss:?}");
    assert!(v.reached.unwrap() > 0.999 && run.report.policy.levels == Some(65));
}

#[test]
fn ten_dimensions_without_a_grid() {
    let d = 10;
    let mean: Vec<f64> = (0..d).map(|i| 0.1 * i as f64 - 0.3).collect();
    let diagonal = |f: &dyn Fn(usize) -> f64| -> Vec<Vec<f64>> {
        (0..d).map(|i| (0..d).map(|j| if i == j { f(i) } else { 0.0 }).collect()).collect()
    };
    let (c, q2, q1) = (|i: usize| 0.4 + 0.1 * i as f64, |i: usize| 0.5 + 0.05 * i as f64, |i: usize| 0.3 - 0.05 * i as f64);
    let linear: Vec<f64> = (0..d).map(q1).collect();
    let problem = json!({
        "name": "ten", "horizon": 2.0, "schedule": {"kind": "linear", "b_min": 0.5, "b_max": 3.0},
        "prior": {"kind": "gaussian", "mean": mean, "covariance": diagonal(&c)},
        "reward": {"kind": "quadratic", "Q": diagonal(&q2), "q": linear}, "kl_weight": 0.6, "initial_law": "noised_prior"
    });
    let problem = SampledProblem::resolve(file(&problem), Path::new(".")).unwrap();
    let exact = closed_form(&problem.model).unwrap().unwrap();
    let policy = Scaled { model: &problem.model, exact: exact.as_ref(), gain: 0.8, change: false };
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| certify_sampled(&problem, &Policy::Feedback(&policy), &options(8192, 64), &Silent).unwrap())
    };
    let report = run(2).report;
    // coordinates are independent
    let (mut j, mut loss) = (0.0, 0.0);
    for i in 0..d {
        let line = json!({
            "name": "one", "horizon": 2.0, "schedule": {"kind": "linear", "b_min": 0.5, "b_max": 3.0},
            "prior": {"kind": "gaussian", "mean": [mean[i]], "covariance": [[c(i)]]},
            "reward": {"kind": "quadratic", "Q": [[q2(i)]], "q": [q1(i)]}, "kl_weight": 0.6, "initial_law": "noised_prior"
        });
        let line = SampledProblem::resolve(file(&line), Path::new(".")).unwrap();
        let exact = closed_form(&line.model).unwrap().unwrap();
        let one = scalar(&line.model, exact.as_ref(), 0.8, (q2(i), q1(i)));
        (j, loss) = (j + one.0, loss + one.1);
    }
    let v = &report.starts[0];
    let (s, found, optimum) = (v.simulated.as_ref().unwrap(), v.loss.unwrap(), v.optimum.unwrap());
    assert!(s.objective.z_score(j).abs() < 4.0, "{:?} against {j}", s.objective);
    near(optimum.value, j + loss, 3.0 * optimum.error.unwrap() + 1e-7, "V");
    near(found.value, loss, 4.0 * s.excess.unwrap().standard_error + 0.05 * loss, "loss");
    let bound = &v.bounds[0];
    assert!(
        bound.value + 2.5 * (bound.limit - bound.value) > j + loss && bound.value < j + 3.0 * loss,
        "{bound:?} around V = {}",
        j + loss
    );
    let share = v.reached.unwrap();
    assert!((0.9..1.0).contains(&share), "{share}");
    assert_eq!(report.where_lost.unwrap().method, "simulation");
    let again = serde_json::to_value(&run(1).report.starts).unwrap();
    assert_eq!(again, serde_json::to_value(&report.starts).unwrap(), "one thread, the same figures");
}

#[test]
fn a_change_in_place_of_a_control_is_noticed() {
    let problem = Problem::resolve(file(&lq(json!(0.6))), Path::new(".")).unwrap();
    let exact = closed_form(&problem.model).unwrap().unwrap();
    for (change, noticed) in [(true, true), (false, false)] {
        let policy = Scaled { model: &problem.model, exact: exact.as_ref(), gain: 1.0, change };
        let notes = match certify(&problem, &Policy::Feedback(&policy), &options(4096, 64), &Silent) {
            Ok(run) => run.report.notes.join("; "),
            Err(e) => e.to_string(),
        };
        assert_eq!(notes.contains("taken for the change U - s"), noticed, "{notes}");
    }
}

#[test]
fn a_controlled_diffusion_with_known_value() {
    // dX = v dt + dB, minimise E[ X_1^2 + (1/2) int v^2 ]: V = p x^2/2 + log(1 + 2(1-t))/2, p = 2/(1 + 2(1-t)), v* = -p x
    let problem = json!({
        "kind": "controlled_diffusion", "name": "steer", "horizon": 1.0, "sense": "minimise", "drift": ["0"], "control_weight": 1,
        "terminal": "x0**2", "grid": {"lower": [-6.0], "upper": [6.0], "nodes": [241]}, "time_steps": 200,
        "compare_on": {"lower": [-2.0], "upper": [2.0]}, "start": [[0.5], [-1.0]]
    });
    let AnyProblemFile::Controlled(parsed) = AnyProblemFile::parse(&problem.to_string(), Path::new("p.json")).unwrap() else {
        panic!()
    };
    let problem = ControlledProblem::resolve(*parsed).unwrap();
    assert_eq!(problem.sense, Sense::Minimise);
    // v = -x: X is an Ornstein-Uhlenbeck process, E X_t^2 = x^2 e^{-2t} + (1 - e^{-2t})/2
    let policy = hjbridge::model::PointwiseFeedback::new(1, 1, |_, x: &[f64], v: &mut [f64]| v[0] = -x[0]);
    let run = certify_controlled(&problem, &Policy::Feedback(&policy), &options(8192, 64), &Silent).unwrap();
    assert_eq!((run.report.sense, run.report.starts.len()), ("minimise", 2));
    for v in &run.report.starts {
        let x = v.x.as_ref().unwrap()[0];
        let e = (-2.0_f64).exp();
        let j = x * x * e + 0.5 * (1.0 - e) + 0.5 * (x * x * 0.5 * (1.0 - e) + 0.5 * (1.0 - 0.5 * (1.0 - e)));
        let optimum = x * x / 3.0 + 0.5 * 3.0_f64.ln();
        near(v.computed.unwrap().value, j, 1e-6, "J");
        near(v.optimum.unwrap().value, optimum, 1e-6, "V");
        near(v.loss.unwrap().value, j - optimum, 1e-5, "loss");
        assert!(v.simulated.as_ref().unwrap().objective.z_score(j).abs() < 4.0);
        assert_eq!(v.bounds[0].kind, "cole_hopf");
        assert!(v.bounds[0].limit <= optimum + 1e-9 && v.bounds[0].limit > optimum - 1e-2, "{:?}", v.bounds[0]);
        // without control E X_1^2 = x^2 + 1
        near(v.uncontrolled.unwrap().value, x * x + 1.0, 1e-6, "no control");
        near(v.reached.unwrap(), (x * x + 1.0 - j) / (x * x + 1.0 - optimum), 1e-4, "share");
    }
}

#[test]
fn tables_that_do_not_fit_are_refused_by_name() {
    let problem = mixture();
    let desk = tempfile::tempdir().unwrap();
    let path = desk.path().join("policy.npz");
    let axis: Vec<f64> = (0..11).map(|i| f64::from(i) - 5.0).collect();
    let times = [0.0, 1.0, 2.0];
    let control: Vec<f64> = (0..33).map(|i| 0.1 * f64::from(i)).collect();
    type Arrays<'a> = Vec<(&'a str, Vec<usize>, Vec<f64>)>;
    let read = |arrays: Arrays<'_>| {
        let mut npz = NpzFile::new();
        for (name, shape, values) in &arrays {
            npz.array(name, shape, values).unwrap();
        }
        npz.write(&path).unwrap();
        Policy::read(&path, site(&problem.model)).map(|_| ()).map_err(|e| e.to_string())
    };
    let good: Arrays<'_> =
        vec![("axis0", vec![11], axis.clone()), ("time", vec![3], times.to_vec()), ("control", vec![3, 11, 1], control.clone())];
    assert_eq!(read(good.clone()), Ok(()));
    let with = |k: usize, shape: &[usize], values: Vec<f64>| {
        let mut arrays = good.clone();
        (arrays[k].1, arrays[k].2) = (shape.to_vec(), values);
        arrays
    };
    let mut down = axis.clone();
    down.swap(3, 4);
    let mut holes = control.clone();
    holes[23] = f64::NAN;
    let mut long = axis.clone();
    long.push(f64::INFINITY);
    for (arrays, words) in [
        (good[..2].to_vec(), vec!["`control`", "absent", "axis0, time"]),
        (good[1..].to_vec(), vec!["`axis0`", "absent"]),
        (vec![good[0].clone(), good[2].clone()], vec!["`time`", "absent"]),
        (with(2, &[11, 3], control.clone()), vec!["`control`", "[11, 3]", "[3, 11, 1]"]),
        (with(2, &[3, 1, 11], control.clone()), vec!["`control`", "numpy.moveaxis(control, 1, -1)"]),
        (with(2, &[3, 11, 1], holes), vec!["`control[2, 1, 0]`", "finite"]),
        (with(0, &[11], down), vec!["`axis0[4]`", "above"]),
        (with(0, &[12], long), vec!["`axis0[11]`", "finite"]),
        (with(0, &[11, 1], axis.clone()), vec!["`axis0`", "one axis"]),
        (with(0, &[2], vec![0.0, 1.0]), vec!["`axis0`", "from 5"]),
        (with(1, &[3], vec![0.0, 2.0, 1.0]), vec!["`time[2]`", "above"]),
        (with(1, &[3], vec![0.0, 1.0, 2.5]), vec!["`time`", "2.5", "horizon 2"]),
    ] {
        let message = read(arrays).unwrap_err();
        assert!(words.iter().all(|w| message.contains(w)), "{words:?} in: {message}");
    }
    std::fs::write(&path, "no archive").unwrap();
    assert!(Policy::read(&path, site(&problem.model)).is_err());
    for (name, words) in [("policy.txt", "ending"), ("absent.npz", "no such file")] {
        if name.ends_with("txt") {
            std::fs::write(desk.path().join(name), "").unwrap();
        }
        let message = Policy::read(&desk.path().join(name), site(&problem.model)).err().unwrap().to_string();
        assert!(message.contains(words), "{message}");
    }
}
