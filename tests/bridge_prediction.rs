//! What the bridge says beside the errors it measures: the predicted leading error, its orders, its own errors.

use hjbridge::bridge::{LeadingError, LeadingErrorParams, bridge_refined};
use hjbridge::model::exact::{ClosedForm, DiscreteLq, DiscreteStep, GaussianLq};
use hjbridge::model::{
    Axis, FineTuning, GaussianMixture, InitialLaw, KlWeight, PointBlock, Region, Reward, Schedule, TensorGrid,
};
use hjbridge::pift::{AlphaRule, BellmanKind, Ddpm, DdpmParams, TimeGrid, VarianceRule};
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
    let params = LeadingErrorParams { model, grid, chain, bellman, control: &control, exact_score, levels: 256 };
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
        println!("{alpha:?} {variance:?} {time_grid:?} {bellman:?} {exact_score}: {coarse:?} {fine:?}");
    }
}

fn load(name: &str, change: impl FnOnce(&mut ProblemFile)) -> Problem {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/problems");
    let mut file = ProblemFile::read(&folder.join(name)).unwrap();
    change(&mut file);
    Problem::resolve(file, &folder).unwrap()
}

#[test]
fn the_mixture_is_predicted() {
    let problem = load("mixture_1d.json", |_| {});
    let (refined, run) = bridge_refined(&problem, &[64, 128, 256, 512, 1024], &Silent).unwrap();
    let r = &run.report;
    println!(
        "{:#?}",
        (
            &r.steps,
            &r.value_error,
            &r.control_error,
            &r.orders,
            &r.richardson_table,
            &r.own_errors,
            &r.own_errors_notes,
            &r.refinements
        )
    );
    let l = r.leading_error.as_ref();
    println!("{:?}", r.leading_error_missing);
    let l = l.unwrap();
    println!(
        "{:?}",
        (
            l.seconds,
            &l.value_ratio,
            &l.control_ratio,
            &l.value_corrected,
            &l.value_corrected_orders,
            &l.control_corrected,
            &l.control_corrected_orders
        )
    );
    println!("{:?}", refined.file.grid.nodes);
}
