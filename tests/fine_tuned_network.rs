//! The trained network of Old Faithful, fine-tuned by the HJB equation, by PI-FT on the grid and by parametric PI-FT: three routes
//! that share nothing but the score must come to the same, and the rest is the network's own error.

use hjbridge::model::exact::closed_form;
use hjbridge::model::{CubicSpline, Extrapolation, Feedback, FineTuning, GaussianMixture, PointBlock, ScalarField};
use hjbridge::pift::parametric::{
    FeatureSpec, LeastSquares, LeastSquaresParams, LinearParams, LinearPolicy, PolicyFeedback, PolicyInput, SampledChain,
};
use hjbridge::pift::{Ddpm, DdpmParams, PiFt, PiFtParams};
use hjbridge::problem::{Problem, ProblemFile};
use hjbridge::run::{Silent, initial_mean, network_report, solve, spline_score};
use std::path::Path;

const N: usize = 32;
const POINTS: [[f64; 2]; 4] = [[-1.2, -1.2], [0.0, 0.0], [0.7, 0.8], [1.2, 1.2]];
const LATE: f64 = 1.5;

fn problem(nodes: usize) -> Problem {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/problems");
    let mut file = ProblemFile::read(&directory.join("old_faithful_network.json")).unwrap();
    file.grid.nodes = vec![nodes; 2];
    Problem::resolve(file, &directory).unwrap()
}

/// V(0, .) and U(LATE, .) at the points, and E V(0, Y_0).
struct Answer {
    v: Vec<f64>,
    u: [Vec<f64>; 2],
    j: f64,
}

impl Answer {
    fn of_nodes(problem: &Problem, v: &[f64], u: &[f64]) -> Answer {
        let y = PointBlock::from_points(2, &POINTS).unwrap();
        let at = |f: &[f64]| {
            let mut out = vec![0.0; POINTS.len()];
            CubicSpline::new(problem.grid.clone(), f, Extrapolation::Linear).unwrap().value(y.as_points(), &mut out);
            out
        };
        let n = problem.grid.len();
        Answer { v: at(v), u: [at(&u[..n]), at(&u[n..])], j: initial_mean(problem, v) }
    }

    /// 2 fine - coarse.
    fn extrapolated(coarse: &Answer, fine: &Answer) -> Answer {
        let line = |c: &[f64], f: &[f64]| c.iter().zip(f).map(|(c, f)| 2.0 * f - c).collect();
        let u = [0, 1].map(|i| line(&coarse.u[i], &fine.u[i]));
        Answer { v: line(&coarse.v, &fine.v), u, j: 2.0 * fine.j - coarse.j }
    }

    /// Largest differences of v and u, and that of j.
    fn distance(&self, other: &Answer) -> (f64, f64, f64) {
        let sup = |a: &[f64], b: &[f64]| a.iter().zip(b).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
        let u = sup(&self.u[0], &other.u[0]).max(sup(&self.u[1], &other.u[1]));
        (sup(&self.v, &other.v), u, (self.j - other.j).abs())
    }
}

fn hjb(problem: &Problem) -> Answer {
    let run = solve(problem, 2 * N, &Silent).unwrap();
    let late = run.solution.times().iter().position(|t| (t - LATE).abs() < 1e-9).unwrap();
    Answer::of_nodes(problem, run.solution.value(0), &run.controls[late])
}

fn pift(problem: &Problem, steps: usize) -> Answer {
    let chain = Ddpm::new(&problem.model, DdpmParams { steps, ..Default::default() }).unwrap();
    let solution = PiFt::new(&chain, problem.grid.clone(), PiFtParams::default()).unwrap().solve().unwrap();
    let late = solution.times.iter().position(|t| (t - LATE).abs() < 1e-9).unwrap();
    Answer::of_nodes(problem, solution.initial_value(), &solution.controls[late])
}

#[test]
fn three_routes_agree_and_the_rest_is_the_networks_own_error() {
    let mut problem = problem(65);
    let entropy = network_report(&problem).unwrap().relative_entropy;
    problem.model = spline_score(&problem, 2 * N).unwrap();

    // HJB on two grids: its error is about their difference. PI-FT with N and 2N steps: O(h), extrapolated O(h^2).
    let fine = hjb(&problem);
    let half = {
        let coarse = self::problem(33);
        let score = problem.model.clone();
        hjb(&Problem { model: score, ..coarse })
    };
    let (of_h, of_2h) = (pift(&problem, 2 * N), pift(&problem, N));
    let both = Answer::extrapolated(&of_2h, &of_h);
    let (grid, step, apart) = (fine.distance(&half), of_h.distance(&of_2h), fine.distance(&both));
    println!("HJB, half the nodes: {grid:?}\nPI-FT, half the steps: {step:?}\nHJB, PI-FT extrapolated: {apart:?}");
    for (name, apart, grid, step) in
        [("V", apart.0, grid.0, step.0), ("U", apart.1, grid.1, step.1), ("J", apart.2, grid.2, step.2)]
    {
        assert!(apart < 1.5 * grid + step, "{name}: {apart:e}, grid {grid:e}, step {step:e}");
    }
    // the tolerance says something: V varies by ten times as much over the points, U by more
    assert!(fine.v[3] - fine.v[0] > 10.0 * (1.5 * grid.0 + step.0));

    // parametric: below the chain's optimum but for noise, and above it less what the features do not span
    let chain = Ddpm::new(&problem.model, DdpmParams { steps: N, ..Default::default() }).unwrap();
    let sampled = SampledChain::new(&chain, problem.model.initial_law()).unwrap();
    let params =
        LinearParams { features: FeatureSpec::Polynomial { degree: 2 }, input: PolicyInput::StateAndScore, ..Default::default() };
    let trainer = LeastSquares::new(&sampled, LeastSquaresParams { paths: 1024, ..Default::default() }).unwrap();
    let mut state = trainer.start(LinearPolicy::new(&sampled, params).unwrap()).unwrap();
    trainer.run(&mut state, &mut |_| ()).unwrap();
    let achieved = sampled.evaluate(&state.policy, 10000, 7).unwrap();
    let (j, error) = (achieved.objective.mean, achieved.objective.standard_error);
    let upper = achieved.upper_bound.unwrap();
    println!("J: parametric {j} +- {error}, PI-FT {}, upper bound {upper:?}, HJB {}", of_2h.j, fine.j);
    assert!(j < of_2h.j + 4.0 * error && j > of_2h.j - 0.005 - 4.0 * error, "{j} +- {error}, {}", of_2h.j);
    assert!(of_2h.j < upper.mean + 4.0 * upper.standard_error);
    let mut u = PointBlock::zeros(2, POINTS.len());
    let y = PointBlock::from_points(2, &POINTS).unwrap();
    PolicyFeedback::control(&chain, &state.policy).at(LATE).eval(y.as_points(), u.as_mut());
    for (p, point) in POINTS.iter().enumerate() {
        let law = GaussianMixture::gaussian(point.to_vec(), vec![vec![1e-12, 0.0], vec![0.0, 1e-12]]).unwrap();
        let v = SampledChain::new(&chain, &law).unwrap().evaluate(&state.policy, 4000, 7).unwrap().objective;
        println!("V at {point:?}: {} +- {}, PI-FT {}", v.mean, v.standard_error, of_2h.v[p]);
        assert!((v.mean - of_2h.v[p]).abs() < 0.005 + 4.0 * v.standard_error, "{point:?}");
        for i in 0..2 {
            println!("U[{i}] at {point:?}: {}, PI-FT {}", u.coord(i)[p], of_2h.u[i][p]);
            assert!((u.coord(i)[p] - of_2h.u[i][p]).abs() < 0.05, "U[{i}] at {point:?}");
        }
    }

    // The closed form of the law it was trained on: what is left is the network's own and the discretisation's; the latter is about
    // the same with the exact score of that law.
    let m = &problem.model;
    let exact = FineTuning::new(m.schedule().clone(), m.prior().clone(), m.reward().clone(), m.kl_weight().clone(), m.initial());
    let mut reference = Problem { model: exact.unwrap(), network: None, ..problem.clone() };
    let closed = closed_form(&reference.model).unwrap().unwrap();
    let mut v = vec![0.0; problem.grid.len()];
    closed.at(0.0).value(problem.grid.points().as_points(), &mut v);
    let closed = initial_mean(&problem, &v);
    reference.model = spline_score(&reference, 2 * N).unwrap();
    let same = Answer::extrapolated(&pift(&reference, N), &pift(&reference, 2 * N));
    let (own, method) = (both.distance(&same), (same.j - closed).abs());
    // log of the likelihood ratio of the two pre-trained processes, averaged over the fine-tuned one
    let most = 2.0 * (entropy * achieved.kl.mean).sqrt();
    println!("own error of the network: {own:?}, in J at most about {most:e}; of the method in J {method:e}");
    assert!(own.2 > 1e-5 && own.2 < most, "{own:?}, {most:e}");
    assert!(method < grid.2 + step.2 + 1e-3, "{method:e}");
}
