//! What the bridge says beside the errors it measures: the predicted leading error, its orders, its own errors.

use hjbridge::bridge::{LeadingError, LeadingErrorParams, bridge, bridge_refined};
use hjbridge::model::exact::{ClosedForm, DiscreteLq, DiscreteStep, GaussianLq};
use hjbridge::model::{
    Axis, FineTuning, GaussianMixture, InitialLaw, KlWeight, PointBlock, Region, Reward, Schedule, TensorGrid,
};
use hjbridge::pift::{AlphaRule, BellmanKind, Ddpm, DdpmParams, TimeGrid, VarianceRule};
use hjbridge::problem::spec::VarianceSpec;
use hjbridge::problem::{Problem, ProblemFile};
use hjbridge::run::Silent;
use std::path::Path;
use std::sync::Arc;

/// sup over k and nodes of the box of |(V_k - V(t_k))/h - W(t_k)| over sup |W|, and the same for the control.
fn gaps(
    model: &FineTuning,
    grid: &Arc<TensorGrid>,
    chain: DdpmParams,
    bellman: BellmanKind,
    exact_score: bool,
    leading: Option<&LeadingError>,
) -> (LeadingError, [f64; 2]) {
    let exact = GaussianLq::new(model).unwrap();
    let points = grid.points();
    let control = |t: f64| {
        let mut u = PointBlock::zeros(grid.dim(), grid.len());
        exact.at(t).control(points.as_points(), u.as_mut());
        Ok(u)
    };
    let params = LeadingErrorParams { model, grid, chain, bellman, control: &control, exact_score, levels: 256, interrupt: None };
    let leading = leading.cloned().unwrap_or_else(|| LeadingError::new(&params).unwrap());
    let ddpm = Ddpm::new(model, chain).unwrap();
    let steps: Vec<DiscreteStep> = (0..chain.steps)
        .map(|k| DiscreteStep {
            t: ddpm.times()[k],
            a: ddpm.alphas()[k],
            variance: ddpm.variances()[k],
            beta: ddpm.kl_weights()[k],
        })
        .collect();
    let discrete = DiscreteLq::new(model, &steps, bellman == BellmanKind::Soft).unwrap();
    let inside: Vec<usize> = grid.region_nodes(Some(&Region::cube(grid.dim(), 2.0).unwrap())).unwrap().collect();
    let (d, n, h) = (grid.dim(), grid.len(), ddpm.horizon() / chain.steps as f64);
    let (mut gap, mut size) = ([0.0f64; 2], [0.0f64; 2]);
    let (mut chain_value, mut value) = (vec![0.0; n], vec![0.0; n]);
    for k in (0..chain.steps).step_by(chain.steps / 64) {
        let t = steps[k].t;
        let (w, c) = leading.at(t).unwrap();
        discrete.values[k].value(points.as_points(), &mut chain_value);
        exact.at(t).value(points.as_points(), &mut value);
        let u = control(t).unwrap();
        let mut s = PointBlock::zeros(d, n);
        model.score().at(t).eval(points.as_points(), s.as_mut());
        let (gain, offset) = &discrete.shifts[k];
        let per_control = (1.0 - steps[k].a) / steps[k].a.sqrt();
        for &node in &inside {
            gap[0] = gap[0].max(((chain_value[node] - value[node]) / h - w[node]).abs());
            size[0] = size[0].max(w[node].abs());
            for i in 0..d {
                let shift = offset[i] + (0..d).map(|j| gain[(i, j)] * points.coord(j)[node]).sum::<f64>();
                let change = s.coord(i)[node] + shift / per_control - u.coord(i)[node];
                gap[1] = gap[1].max((change / h - c[i * n + node]).abs());
                size[1] = size[1].max(c[i * n + node].abs());
            }
        }
    }
    (leading, [gap[0] / size[0], gap[1] / size[1]])
}

fn scalar() -> (FineTuning, Arc<TensorGrid>) {
    let prior = GaussianMixture::gaussian(vec![0.7], vec![vec![0.5]]).unwrap();
    let beta = KlWeight::function(2.0, Arc::new(|t: f64| 0.4 + 0.2 * t * t + 0.3 * (3.0 * t).sin().powi(2)), "beta").unwrap();
    let reward = Reward::quadratic(&[vec![1.3]], vec![0.9], 0.0).unwrap();
    let model =
        FineTuning::new(Schedule::linear(2.0, 0.5, 3.0).unwrap(), prior, reward, beta, InitialLaw::StandardNormal).unwrap();
    (model, Arc::new(TensorGrid::new(vec![Axis::uniform(-6.0, 6.0, 61).unwrap()]).unwrap()))
}

fn planar() -> (FineTuning, Arc<TensorGrid>) {
    let prior = GaussianMixture::gaussian(vec![0.8, -0.4], vec![vec![0.7, 0.3], vec![0.3, 1.5]]).unwrap();
    let reward = Reward::quadratic(&[vec![0.9, -0.2], vec![-0.2, 0.4]], vec![0.5, 1.1], 0.2).unwrap();
    let weight = KlWeight::constant(0.6).unwrap();
    let model =
        FineTuning::new(Schedule::linear(2.0, 0.5, 3.0).unwrap(), prior, reward, weight, InitialLaw::StandardNormal).unwrap();
    let axis = || Axis::uniform(-6.0, 6.0, 25).unwrap();
    (model, Arc::new(TensorGrid::new(vec![axis(), axis()]).unwrap()))
}

#[test]
fn the_leading_error_of_linear_quadratic_chains_is_met_at_the_next_order() {
    let (mean, soft) = (BellmanKind::MeanShift, BellmanKind::Soft);
    let (one, over) = (VarianceRule::OneMinusAlpha, VarianceRule::OverAlpha);
    let gaussian = VarianceRule::GaussianPosterior { data_variance: 0.8 };
    let (exp, linear) = (AlphaRule::ExpIntegral, AlphaRule::Linear);
    let (scalar, planar) = (scalar(), planar());
    let uniform = TimeGrid::Uniform;
    for (case, alpha, variance, time_grid, bellman, exact_score) in [
        (&scalar, exp, one, uniform, mean, true),
        (&scalar, exp, one, uniform, mean, false),
        (&scalar, linear, over, uniform, soft, true),
        (&scalar, linear, gaussian, uniform, mean, false),
        (&scalar, exp, one, TimeGrid::Quadratic, mean, true),
        (&scalar, linear, over, TimeGrid::LogSnr, mean, true),
        (&planar, exp, one, uniform, mean, true),
        (&planar, linear, gaussian, uniform, soft, false),
    ] {
        let chain = |steps| DdpmParams { steps, alpha, variance, time_grid };
        let (leading, coarse) = gaps(&case.0, &case.1, chain(512), bellman, exact_score, None);
        let (_, fine) = gaps(&case.0, &case.1, chain(1024), bellman, exact_score, Some(&leading));
        let what = format!("{alpha:?} {variance:?} {time_grid:?} {bellman:?}, exact score {exact_score}: {coarse:?} {fine:?}");
        for i in 0..2 {
            // the gap is C/N; 1e-4 is what interpolation in 256 levels and the tolerance of W leave
            assert!(coarse[i] < 7e-3 && (fine[i] / coarse[i] - 0.5).abs() < 0.05 + 1e-4 / coarse[i], "{what}");
        }
    }
}

fn load(name: &str, change: impl FnOnce(&mut ProblemFile)) -> Problem {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/problems");
    let mut file = ProblemFile::read(&folder.join(name)).unwrap();
    change(&mut file);
    Problem::resolve(file, &folder).unwrap()
}

#[test]
fn the_errors_of_the_mixture_are_predicted() {
    let problem = load("mixture_1d.json", |_| {});
    let run = bridge(&problem, &[64, 128, 256, 512], &Silent).unwrap();
    let r = &run.report;
    let l = r.leading_error.as_ref().unwrap();
    // golden figures of the errors measured at N = 256; the prediction leaves O(h) of them
    assert!((r.value_error[2] / 3.591e-3 - 1.0).abs() < 0.01 && (r.control_error[2] / 7.21e-2 - 1.0).abs() < 0.01);
    for ratios in [&l.value_ratio, &l.control_ratio] {
        assert!((ratios[2] - 1.0).abs() < 0.1, "{ratios:?}");
        assert!(((ratios[3] - 1.0) / (ratios[2] - 1.0) - 0.5).abs() < 0.05, "{ratios:?}");
    }
    for (corrected, orders) in
        [(&l.value_corrected, &l.value_corrected_orders), (&l.control_corrected, &l.control_corrected_orders)]
    {
        assert!(orders[2].unwrap() > 1.9 && orders[2].unwrap() < 2.1, "{corrected:?} {orders:?}");
    }
    // without the prediction V errs by 1.8e-3 at N = 512, with it by what the law of order 2 leaves
    assert!(l.value_corrected[3] < 0.02 * r.value_error[3]);
    // the profile is that of the errors at t = 0
    let profile = l.profile.as_ref().unwrap();
    let largest = profile.value_measured.iter().fold(0.0f64, |m, e| m.max(e.abs())) * 2.0 / 512.0;
    assert!((largest / r.by_time[3].value_error[0] - 1.0).abs() < 1e-9 && profile.steps == 512);
    // orders: one in the limit, though no octave of the control has it yet
    for study in [&r.orders.value, &r.orders.control] {
        assert!((study.limit.unwrap() - 1.0).abs() < 0.02 && study.octave_orders[2].unwrap() < 0.99, "{study:?}");
    }
    assert!(r.orders.value.asymptotic_from == Some(64) && r.orders.control.asymptotic_from == Some(128), "{:?}", r.orders);
    // the second column of the table is the Richardson error, the third is smaller
    let table = &r.richardson_table;
    for (i, e) in r.richardson_error.iter().enumerate() {
        assert_eq!(table.errors[i + 1][1], *e);
    }
    assert!(table.errors[3][2] < 0.2 * table.errors[3][1], "{table:?}");
    // the measurement is far better than what it measures
    assert!(r.own_errors.iter().all(|o| o.small() && o.value.ratio_to_time_error < 0.01 && o.value.total > 0.0));
}

#[test]
fn own_errors_cover_what_a_coarse_grid_does_and_refinement_removes_it() {
    let steps = [32, 64];
    let fine = bridge(&load("mixture_1d.json", |_| {}), &steps, &Silent).unwrap().report;
    let problem = load("mixture_1d.json", |f| f.grid.nodes = vec![49]);
    let coarse = bridge(&problem, &steps, &Silent).unwrap().report;
    for i in 0..2 {
        let own = &coarse.own_errors[i];
        let gap = ((coarse.value_error[i] - fine.value_error[i]).abs(), (coarse.control_error[i] - fine.control_error[i]).abs());
        assert!(gap.0 <= own.value.total && gap.1 <= own.control.total, "{gap:?} {own:?}");
        assert!(!own.small() && own.n == steps[i], "{own:?}");
    }
    let (refined, run) = bridge_refined(&problem, &steps, &Silent).unwrap();
    let r = &run.report;
    assert!(!r.refinements.is_empty() && refined.file.grid.nodes[0] > 49 && r.own_errors.iter().all(|o| o.small()), "{r:?}");
    for i in 0..2 {
        // the nodes of the box differ, and with them the place of the sup
        assert!((r.value_error[i] / fine.value_error[i] - 1.0).abs() < 0.1, "{:?} {:?}", r.value_error, fine.value_error);
        assert!((r.control_error[i] / fine.control_error[i] - 1.0).abs() < 0.1, "{:?} {:?}", r.control_error, fine.control_error);
    }
}

#[test]
fn what_has_no_leading_error_of_order_one_says_so() {
    let problem = load("mixture_1d.json", |f| {
        f.grid.nodes = vec![101];
        f.time_steps = 50;
        f.pift.variance = VarianceSpec::Posterior;
    });
    let r = bridge(&problem, &[16, 32], &Silent).unwrap().report;
    assert!(r.leading_error.is_none() && r.leading_error_missing.unwrap().contains("h log(1/h)"));
}
