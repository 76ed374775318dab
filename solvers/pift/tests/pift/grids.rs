//! Expectations on the grid against those at the points, in one, two and three dimensions, and the number of quadrature nodes.

use crate::problems::{exact_lq, line, mixture, plane_lq, schedule, sup_gap};
use hjbridge_model::exact::{ClosedForm, TiltedMixture};
use hjbridge_model::{Axis, Extrapolation, FineTuning, GaussianMixture, InitialLaw, KlWeight, Region, Reward, TensorGrid};
use hjbridge_pift::{
    AlphaRule, BellmanKind, Ddpm, DdpmParams, Expectation, Inner, InnerRule, PiFt, PiFtInfo, PiFtParams, Storage, VarianceRule,
};
use std::sync::Arc;

fn cube(dim: usize, half: f64, nodes: usize) -> Arc<TensorGrid> {
    Arc::new(TensorGrid::new((0..dim).map(|_| Axis::uniform(-half, half, nodes).unwrap()).collect()).unwrap())
}

/// Correlated Gaussian in space with a quadratic reward.
fn space_lq() -> FineTuning {
    let covariance = vec![vec![0.7, 0.3, -0.1], vec![0.3, 1.5, 0.2], vec![-0.1, 0.2, 0.9]];
    let prior = GaussianMixture::gaussian(vec![0.8, -0.4, 0.3], covariance).unwrap();
    let q = [vec![0.9, -0.2, 0.1], vec![-0.2, 0.4, 0.0], vec![0.1, 0.0, 0.6]];
    let reward = Reward::quadratic(&q, vec![0.5, 1.1, -0.3], 0.2).unwrap();
    FineTuning::new(schedule(), prior, reward, KlWeight::constant(0.6).unwrap(), InitialLaw::StandardNormal).unwrap()
}

/// Four wells in the plane and a log-sum-exp reward: nothing about it is quadratic.
fn plane_mixture() -> FineTuning {
    let means = vec![vec![1.2, 0.9], vec![-1.1, 1.0], vec![-0.9, -1.2], vec![1.0, -1.1]];
    let covariances = vec![vec![vec![0.3, 0.05], vec![0.05, 0.25]]; 4];
    let prior = GaussianMixture::new(vec![0.3, 0.2, 0.3, 0.2], means, covariances).unwrap();
    let reward = Reward::quadratic(&[vec![0.5, 0.1], vec![0.1, 0.3]], vec![0.8, 0.4], 0.0).unwrap();
    FineTuning::new(schedule(), prior, reward, KlWeight::constant(0.7).unwrap(), InitialLaw::StandardNormal).unwrap()
}

#[test]
fn three_dimensions_against_the_discrete_riccati_recursion() {
    let problem = space_lq();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 8, alpha: AlphaRule::Linear, ..Default::default() }).unwrap();
    let grid = cube(3, 4.0, 21);
    let points = grid.points();
    let mut v = vec![0.0; grid.len()];
    for (bellman, inner) in [
        (BellmanKind::MeanShift, Inner::Auto),
        (BellmanKind::MeanShift, Inner::Anderson { depth: 3 }),
        (BellmanKind::Soft, Inner::Auto),
    ] {
        let soft = bellman == BellmanKind::Soft;
        let exact = exact_lq(&problem, &chain, soft);
        let rule = InnerRule::Tolerance { tol: 1e-12, max: 200 };
        let quadrature_nodes = soft.then_some(24);
        let params = PiFtParams { bellman, inner, rule, quadrature_nodes, ..Default::default() };
        let solution = PiFt::new(&chain, grid.clone(), params).unwrap().solve().unwrap();
        for k in 0..8 {
            exact.values[k].value(points.as_points(), &mut v);
            let gap = sup_gap(&v, &solution.values[k], |_| true);
            assert!(gap < 1e-9, "{bellman:?} {inner:?}: V_{k} off by {gap:e}");
            let (gain, offset) = &exact.shifts[k];
            for j in (0..grid.len()).step_by(7) {
                for i in 0..3 {
                    let d = offset[i] + (0..3).map(|c| gain[(i, c)] * points.coord(c)[j]).sum::<f64>();
                    let gap = (d - solution.shifts[k][i * grid.len() + j]).abs();
                    assert!(gap < 1e-9, "{bellman:?} {inner:?}: D_{k}[{i}] off by {gap:e}");
                }
            }
        }
        // A quadratic needs no more than the smallest rule.
        if !soft {
            assert_eq!(solution.info.quadrature.nodes_per_axis, 4);
        }
    }
}

#[test]
fn expectations_at_the_points_work_in_three_dimensions() {
    let problem = space_lq();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 3, ..Default::default() }).unwrap();
    let grid = cube(3, 4.0, 9);
    let exact = exact_lq(&problem, &chain, false);
    let params = PiFtParams { expectation: Expectation::AtPoints, quadrature_nodes: Some(3), ..Default::default() };
    let solution = PiFt::new(&chain, grid.clone(), params).unwrap().solve().unwrap();
    let mut v = vec![0.0; grid.len()];
    exact.values[0].value(grid.points().as_points(), &mut v);
    assert!(sup_gap(&v, solution.initial_value(), |_| true) < 1e-8);
    assert_eq!(solution.info.quadrature_points, 27);
}

/// V and u of a run, and its report.
fn run(
    problem: &FineTuning,
    steps: usize,
    grid: &Arc<TensorGrid>,
    params: PiFtParams,
) -> (Vec<Vec<f64>>, Vec<Vec<f64>>, PiFtInfo) {
    let chain = Ddpm::new(problem, DdpmParams { steps, ..Default::default() }).unwrap();
    let params = PiFtParams { region: Region::cube(grid.dim(), 2.5).ok(), ..params };
    let s = PiFt::new(&chain, grid.clone(), params).unwrap().solve().unwrap();
    (s.values, s.controls, s.info)
}

/// sup over k and over the cube |y| <= 2.5 of the differences of two runs; the finer grid has every `every`-th node of the other.
fn distance(coarse: (&Arc<TensorGrid>, &[Vec<f64>]), fine: (&Arc<TensorGrid>, &[Vec<f64>])) -> f64 {
    let points = coarse.0.points();
    let d = points.dim();
    let every = (fine.0.shape()[0] - 1) / (coarse.0.shape()[0] - 1);
    let (n, m) = (coarse.0.len(), fine.0.len());
    let mut index = vec![0; d];
    let mut worst = 0.0f64;
    for j in (0..n).filter(|&j| (0..d).all(|i| points.coord(i)[j].abs() <= 2.5 + 1e-12)) {
        coarse.0.multi_index(j, &mut index);
        index.iter_mut().for_each(|i| *i *= every);
        let other = fine.0.flat_index(&index).unwrap();
        for (a, b) in coarse.1.iter().zip(fine.1) {
            for c in 0..a.len() / n {
                worst = worst.max((a[c * n + j] - b[c * m + other]).abs());
            }
        }
    }
    worst
}

#[test]
fn both_expectations_converge_to_the_same_with_order_four() {
    let problem = mixture();
    let reference = line(-6.0, 6.0, 1601);
    let at_points = |grid: &Arc<TensorGrid>| {
        run(
            &problem,
            16,
            grid,
            PiFtParams { expectation: Expectation::AtPoints, quadrature_nodes: Some(40), ..Default::default() },
        )
    };
    let on_grid =
        |grid: &Arc<TensorGrid>| run(&problem, 16, grid, PiFtParams { quadrature_nodes: Some(40), ..Default::default() });
    let best = at_points(&reference);
    let errors: Vec<[f64; 4]> = [101, 201, 401]
        .map(|nodes| {
            let grid = line(-6.0, 6.0, nodes);
            let (a, b) = (on_grid(&grid), at_points(&grid));
            let gap = |x: &[Vec<f64>], y: &[Vec<f64>]| distance((&grid, x), (&reference, y));
            [gap(&a.0, &best.0), gap(&b.0, &best.0), gap(&a.1, &best.1), gap(&b.1, &best.1)]
        })
        .to_vec();
    println!("V on grid, V at points, u on grid, u at points: {errors:?}");
    for pair in errors.windows(2) {
        for i in 0..2 {
            let order = (pair[0][i] / pair[1][i]).log2();
            assert!(order > 3.5, "V: order {order} in {errors:?}");
        }
    }
    // Far below the O(h) gap of 16 steps, some 5e-2.
    assert!(errors[2].iter().all(|e| *e < 1e-3), "{errors:?}");
}

#[test]
fn soft_on_the_grid_is_soft_at_the_points() {
    let problem = plane_mixture();
    let grid = cube(2, 5.0, 65);
    let with = |expectation| {
        let params = PiFtParams { expectation, bellman: BellmanKind::Soft, quadrature_nodes: Some(12), ..Default::default() };
        run(&problem, 8, &grid, params)
    };
    let (a, b) = (with(Expectation::OnGrid), with(Expectation::AtPoints));
    let (v, u) = (distance((&grid, &a.0), (&grid, &b.0)), distance((&grid, &a.1), (&grid, &b.1)));
    println!("soft: V {v:e}, u {u:e}");
    assert!(v < 1e-4 && u < 1e-2, "V {v:e}, u {u:e}");
}

#[test]
fn plane_of_129_nodes_a_side_and_64_steps() {
    let grid = cube(2, 5.0, 129);
    let points = grid.points();
    // linear-quadratic: the exact recursion
    let problem = plane_lq();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 64, ..Default::default() }).unwrap();
    let exact = exact_lq(&problem, &chain, false);
    let start = std::time::Instant::now();
    let solution =
        PiFt::new(&chain, grid.clone(), PiFtParams { storage: Storage::Ends, ..Default::default() }).unwrap().solve().unwrap();
    let mut v = vec![0.0; grid.len()];
    exact.values[0].value(points.as_points(), &mut v);
    let gap = sup_gap(&v, solution.initial_value(), |_| true);
    println!("LQ: {:.2} s, V_0 off by {gap:.2e}", start.elapsed().as_secs_f64());
    assert!(gap < 1e-8, "{gap:e}");
    // four wells: against the grid of twice the nodes, and against the continuous problem
    let problem = plane_mixture();
    let start = std::time::Instant::now();
    let coarse = run(&problem, 64, &grid, PiFtParams::default());
    let seconds = start.elapsed().as_secs_f64();
    let finer = cube(2, 5.0, 257);
    let fine = run(&problem, 64, &finer, PiFtParams::default());
    let in_space = distance((&grid, &coarse.0), (&finer, &fine.0));
    let continuous = TiltedMixture::new(&problem).unwrap();
    continuous.at(0.0).value(points.as_points(), &mut v);
    let inside = |j: usize| (0..2).all(|i| points.coord(i)[j].abs() <= 2.5);
    let in_time = sup_gap(&v, &coarse.0[0], inside);
    println!(
        "mixture: {seconds:.2} s, error in space {in_space:.2e} (u {:.2e}), gap to the continuous problem at t = 0 {in_time:.2e}, {} nodes per axis {:?}",
        distance((&grid, &coarse.1), (&finer, &fine.1)),
        coarse.2.quadrature.nodes_per_axis,
        coarse.2.quadrature,
    );
    assert!(in_space < 0.02 * in_time, "{in_space:e} against {in_time:e}");
    // no more quadrature than the spline is worth, and no fewer nodes than it takes
    let q = &coarse.2.quadrature;
    assert!(q.nodes_per_axis <= 12 && q.estimates.iter().zip(&q.tolerances).all(|(e, t)| e <= t), "{q:?}");
    assert!(fine.2.quadrature.interpolation[2] < 0.2 * q.interpolation[2], "{:?}", fine.2.quadrature);
}

#[test]
fn quadrature_nodes_meet_their_tolerance() {
    let problem = mixture();
    let grid = line(-6.0, 6.0, 801);
    let chosen = run(&problem, 32, &grid, PiFtParams::default());
    let q = &chosen.2.quadrature;
    assert!(q.chosen && q.checked_at == [31, 30, 28, 24, 16, 0], "{q:?}");
    assert!(q.estimates.iter().zip(&q.tolerances).all(|(e, t)| e <= t), "{q:?}");
    assert!(q.tolerances.iter().zip(&q.interpolation).all(|(t, i)| t >= i) && q.nodes_per_axis < 64, "{q:?}");
    println!("{q:?}");
    let many = run(&problem, 32, &grid, PiFtParams { quadrature_nodes: Some(64), ..Default::default() });
    let gap = distance((&grid, &chosen.0), (&grid, &many.0));
    // 32 steps, each within the tolerance
    assert!(gap <= 32.0 * q.tolerances.iter().copied().fold(0.0, f64::max), "{gap:e} against {q:?}");
    assert_eq!(many.2.quadrature.nodes_per_axis, 64);
    assert!(!many.2.quadrature.chosen);
}

#[test]
fn every_variance_rule_runs_on_the_grid_and_at_the_points() {
    let problem = mixture();
    let grid = line(-6.0, 6.0, 401);
    for variance in [
        VarianceRule::OneMinusAlpha,
        VarianceRule::OverAlpha,
        VarianceRule::Posterior,
        VarianceRule::GaussianPosterior { data_variance: 0.6 },
    ] {
        let chain = Ddpm::new(&problem, DdpmParams { steps: 16, variance, ..Default::default() }).unwrap();
        let solve = |expectation| {
            let params = PiFtParams { expectation, extrapolation: Extrapolation::Quadratic, ..Default::default() };
            PiFt::new(&chain, grid.clone(), params).unwrap().solve().unwrap()
        };
        let (a, b) = (solve(Expectation::OnGrid), solve(Expectation::AtPoints));
        let gap = distance((&grid, &a.values), (&grid, &b.values));
        assert!(gap < 1e-5, "{variance:?}: {gap:e}");
    }
}
