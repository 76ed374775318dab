//! The figures of each command on a fine-tuning problem, from its arrays. In two dimensions `solve` and `pift` draw V and U, in
//! three none does.

use super::ReportError;
use super::draw_plane::Plane;
use super::figure::{
    BoundSeries, Bounds, Colours, Contraction, ContractionSeries, Convergence, ConvergenceSeries, Densities, DensityLine,
    FigureInfo, HeatMap, Histogram, Profile, Profiles, ValueAndControl, save,
};
use super::slices::Slices;
use crate::bridge::BridgeRun;
use crate::problem::Problem;
use crate::run::PiFtRun;
use hjbridge_model::exact::ClosedForm;
use hjbridge_model::{Law, Points, PointsMut, ScalarField};
use std::ops::Range;
use std::path::Path;

type Drawn = Result<Vec<FigureInfo>, ReportError>;

pub(super) const TIME: &str = "generation time t";

/// Label of the state in model coordinates.
pub(super) fn state_label(problem: &Problem) -> String {
    match &problem.data {
        Some(data) if data.map.scale[0] != 1.0 || data.map.center[0] != 0.0 => {
            format!("state y (standardised {})", data.names[0])
        }
        _ => "state y".into(),
    }
}

/// Nodes of the comparison box.
fn shown(problem: &Problem) -> Range<usize> {
    problem.grid.region_ranges(&problem.compare_on).map_or(0..problem.grid.len(), |r| r[0].clone())
}

/// V and U over (t, y) in the comparison box.
pub fn value_and_control(problem: &Problem, slices: &Slices<'_>, directory: &Path, stem: &str) -> Drawn {
    if problem.dim() != 1 || slices.times.len() < 2 {
        return Ok(Vec::new());
    }
    let range = shown(problem);
    let levels = 0..slices.times.len();
    let value: Vec<f64> = levels.clone().flat_map(|k| slices.value(k)[range.clone()].iter().copied()).collect();
    let control: Vec<f64> = levels.flat_map(|k| slices.control(k, 0)[range.clone()].iter().copied()).collect();
    let nodes = &problem.grid.axis(0).nodes()[range];
    let label = state_label(problem);
    let map = |title, values, value_label, colours| HeatMap {
        title,
        times: &slices.times,
        nodes,
        values,
        time_label: TIME,
        state_label: &label,
        value_label,
        colours,
        contours: true,
    };
    let figure = ValueAndControl {
        value: map("Value function V(t,y)", &value, "value V", Colours::Sequential),
        control: map("Optimal control U(t,y)", &control, "control U", Colours::Diverging),
    };
    Ok(vec![save(&figure, directory, stem)?])
}

/// V and U over the plane at t = 0 and at the stored time next to 3T/4, in two dimensions.
pub fn planes(problem: &Problem, slices: &Slices<'_>, directory: &Path) -> Drawn {
    if problem.dim() != 2 || slices.times.is_empty() {
        return Ok(Vec::new());
    }
    let labels = [problem.axis_label(0), problem.axis_label(1)];
    let plane =
        Plane { grid: &problem.grid, region: &problem.compare_on, labels: &labels, slices, symbols: ("y", "U"), marks: None };
    let late = 3 * (slices.times.len() - 1) / 4;
    [(0, "plane_start"), (late, "plane_late")]
        .into_iter()
        .map(|(k, stem)| plane.draw(k, Some(slices.times[k]), directory, stem))
        .collect()
}

/// V at five times against the closed form, and the same for U.
pub fn profiles<'f>(problem: &Problem, slices: &Slices<'f>, exact: Option<&dyn ClosedForm>, directory: &Path) -> Drawn {
    if problem.dim() != 1 || slices.times.len() < 2 {
        return Ok(Vec::new());
    }
    let range = shown(problem);
    let nodes = &problem.grid.axis(0).nodes()[range.clone()];
    let last = slices.times.len() - 1;
    let chosen: Vec<usize> = [0, 2, 4, 6, 7].iter().map(|q| q * last / 8).collect();
    let labels: Vec<String> = chosen.iter().map(|&k| format!("t = {:.3}", slices.times[k])).collect();
    let label = state_label(problem);
    let mut drawn = Vec::new();
    let (value, control) = (|k| slices.value(k), |k| slices.control(k, 0));
    let fields: [(_, _, _, &dyn Fn(usize) -> &'f [f64]); 2] = [
        ("value_profiles", "Value function at five times", "V(t,y)", &value),
        ("control_profiles", "Optimal control at five times", "U(t,y)", &control),
    ];
    for (stem, title, y_label, field) in fields {
        let exact: Vec<Vec<f64>> = chosen
            .iter()
            .map(|&k| {
                let Some(exact) = exact else { return Vec::new() };
                let mut out = vec![0.0; nodes.len()];
                let slice = exact.at(slices.times[k]);
                if stem == "value_profiles" {
                    slice.value(Points::new(nodes, 1), &mut out);
                } else {
                    slice.control(Points::new(nodes, 1), PointsMut::new(&mut out, 1));
                }
                out
            })
            .collect();
        let profiles: Vec<Profile<'_>> = chosen
            .iter()
            .zip(&labels)
            .zip(&exact)
            .map(|((&k, label), exact)| Profile { label, numerical: &field(k)[range.clone()], exact })
            .collect();
        let figure = Profiles {
            title,
            x_label: &label,
            y_label,
            reference_label: "closed form",
            residual_label: "numerical − exact",
            nodes,
            profiles: &profiles,
        };
        drawn.push(save(&figure, directory, stem)?);
    }
    Ok(drawn)
}

/// A density at the nodes in the units of the data.
struct Line {
    label: String,
    density: Vec<f64>,
}

/// Laws of the data, the prior, the tilted prior and one more, in the units of the data.
pub(super) fn densities(
    problem: &Problem,
    title: &str,
    extra: &[(&str, &[f64])],
    simulated: Option<&hjbridge_rollout::Histogram>,
    directory: &Path,
) -> Drawn {
    if problem.dim() != 1 {
        return Ok(Vec::new());
    }
    let (center, scale) = problem.units(0);
    let x: Vec<f64> = problem.grid.axis(0).nodes().iter().map(|y| center + scale * y).collect();
    let of_law = |label: &str, law: &dyn Law| {
        let density = density_of(problem, law).iter().map(|p| p / scale).collect();
        Line { label: label.into(), density }
    };
    let mut lines = vec![of_law("prior p", problem.model.prior())];
    if let Some(density) = tilted_density(problem) {
        lines.push(Line { label: "tilted p* ∝ p exp(r/β)".into(), density: density.iter().map(|p| p / scale).collect() });
    }
    for (label, density) in extra {
        lines.push(Line { label: (*label).into(), density: density.iter().map(|p| p / scale).collect() });
    }
    let data = match &problem.data {
        Some(data) => Some(data_histogram(&data.values[0], &data.names[0])?),
        None => None,
    };
    let simulated = simulated.map(|h| {
        let total = h.total().max(1) as f64;
        let width = (h.upper - h.lower) / h.counts.len() as f64;
        let share = |c: &u64| *c as f64 / total;
        Histogram {
            label: "simulated".into(),
            edges: h.edges().iter().map(|y| center + scale * y).collect(),
            density: h.counts.iter().map(|c| share(c) / (width * scale)).collect(),
            standard_error: h.counts.iter().map(|c| (share(c) * (1.0 - share(c)) / total).sqrt() / (width * scale)).collect(),
        }
    });
    let lines: Vec<DensityLine<'_>> = lines.iter().map(|l| DensityLine { label: &l.label, x: &x, density: &l.density }).collect();
    let x_label = problem.axis_label(0);
    // "waiting time (min)" has densities per minute
    let unit = x_label.rsplit_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let y_label = unit.map_or("density".into(), |u| format!("density (1/{u})"));
    let figure = Densities {
        title,
        x_label: &x_label,
        y_label: &y_label,
        data: data.as_ref(),
        lines: &lines,
        simulated: simulated.as_ref(),
    };
    Ok(vec![save(&figure, directory, "densities")?])
}

/// The density of a law at the nodes.
pub(super) fn density_of(problem: &Problem, law: &dyn Law) -> Vec<f64> {
    let points = problem.grid.points();
    let mut density = vec![0.0; points.len()];
    law.log_density(points.as_points(), &mut density);
    density.iter_mut().for_each(|p| *p = p.exp());
    density
}

/// p exp(r/beta) / Z at the nodes, for a constant weight; Z by the trapezoidal rule.
pub(super) fn tilted_density(problem: &Problem) -> Option<Vec<f64>> {
    let beta = problem.model.kl_weight().as_constant()?;
    let points = problem.grid.points();
    let (mut density, mut r) = (vec![0.0; points.len()], vec![0.0; points.len()]);
    problem.model.prior().log_density(points.as_points(), &mut density);
    problem.model.reward().value(points.as_points(), &mut r);
    let log: Vec<f64> = density.iter().zip(&r).map(|(p, r)| p + r / beta).collect();
    let top = log.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    density = log.iter().map(|l| (l - top).exp()).collect();
    let mass: f64 = density.iter().zip(problem.grid.volumes()).map(|(p, w)| p * w).sum();
    density.iter_mut().for_each(|p| *p /= mass);
    Some(density)
}

/// The data in bins of a width that is round in its own units: about 20 over its range.
fn data_histogram(values: &[f64], name: &str) -> Result<Histogram, ReportError> {
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
    let raw = (high - low) / 20.0;
    let power = 10.0_f64.powf(raw.log10().floor());
    let width = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|w| *w >= raw).unwrap_or(raw);
    let first = (low / width).floor();
    let count = ((high / width).floor() - first) as usize + 1;
    let edges: Vec<f64> = (0..=count).map(|i| (first + i as f64) * width).collect();
    Histogram::with_edges(&format!("data: {name}"), values, &edges)
}

/// Observed contraction against its bound for one run of PI-FT.
pub fn pift(run: &PiFtRun, directory: &Path) -> Drawn {
    let observed: Vec<f64> = run.report.contraction.iter().map(|c| c.unwrap_or(f64::NAN)).collect();
    if observed.iter().all(|c| c.is_nan()) {
        return Ok(Vec::new());
    }
    let label = format!("N = {}", run.report.steps);
    let bound: Vec<f64> = run.report.rho.iter().map(|&rho| if rho > 1e-6 { rho } else { f64::NAN }).collect();
    let series = [ContractionSeries { label: &label, times: &run.report.t, observed: &observed, bound: &bound }];
    let mut drawn = vec![save(&contraction_figure(&series), directory, "contraction")?];
    drawn.extend(regularity(run, directory)?);
    drawn.extend(iterates(run, directory)?);
    Ok(drawn)
}

/// Lipschitz constants of V_k and grad V_k against the bounds handed down.
fn regularity(run: &PiFtRun, directory: &Path) -> Drawn {
    let r = &run.report;
    let bound: Vec<f64> = r.lipschitz_gradient_bound.iter().map(|b| b.unwrap_or(f64::NAN)).collect();
    let entry = |label, observed, bound| BoundSeries { label, x: &r.t, observed, bound };
    let series =
        [entry("Lip(Vₖ)", &r.lipschitz_value, &r.lipschitz_value_bound), entry("Lip(∇Vₖ)", &r.lipschitz_gradient, &bound)];
    if !r.lipschitz_value.iter().chain(&r.lipschitz_gradient).any(|v| *v > 0.0 && v.is_finite()) {
        return Ok(Vec::new());
    }
    let title = "Regularity handed down from step k+1 to step k";
    let figure = Bounds { title, x_label: TIME, y_label: "Lipschitz constant over the box", whole: false, series: &series };
    Ok(vec![save(&figure, directory, "regularity")?])
}

/// The iterates of the step that has most of them above rounding: gaps to the converged policy and its value against rho^m and
/// rho^(2m).
fn iterates(run: &PiFtRun, directory: &Path) -> Drawn {
    let telling = |s: &hjbridge_pift::StepInfo| s.iterates.iter().filter(|i| i.control_gap > 1e-9).count();
    let Some(step) = run.report.per_step.iter().rev().max_by_key(|s| telling(s)).filter(|s| telling(s) >= 2) else {
        return Ok(Vec::new());
    };
    // the last iterate is the converged one, and below rounding a gap of values says nothing
    let shown: Vec<_> = step.iterates.iter().take_while(|i| i.control_gap > 1e-9).collect();
    let size = run.report.value.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
    let floor = 16.0 * f64::EPSILON * size;
    let m: Vec<f64> = shown.iter().map(|i| i.m as f64).collect();
    let control: Vec<f64> = shown.iter().map(|i| i.control_gap).collect();
    let value: Vec<f64> = shown.iter().map(|i| i.value_gap).take_while(|v| *v > floor).collect();
    if m.len() < 2 || value.is_empty() {
        return Ok(Vec::new());
    }
    let below_one = step.rho < 1.0;
    let m_value = &m[..value.len()];
    let power = |m: &[f64], start: f64, rate: f64| -> Vec<f64> { m.iter().map(|m| start * rate.powf(*m)).collect() };
    let of_control = if below_one { power(&m, control[0], step.rho) } else { Vec::new() };
    let square = value[0] * (1.0 + step.rho) / (1.0 - step.rho);
    let of_value = if below_one { power(m_value, square, step.rho * step.rho) } else { Vec::new() };
    let series = [
        BoundSeries { label: "policy: sup |u⁽ᵐ⁾ − u*|", x: &m, observed: &control, bound: &of_control },
        BoundSeries { label: "value: sup |V⁽ᵐ⁾ − V*|", x: m_value, observed: &value, bound: &of_value },
    ];
    let title = format!("Inner iteration ({}) at step k = {}, ρ = {:.3}", step.method, step.k, step.rho);
    let figure =
        Bounds { title: &title, x_label: "inner iterations m", y_label: "gap over the box", whole: true, series: &series };
    Ok(vec![save(&figure, directory, "iterates")?])
}

fn contraction_figure<'a>(series: &'a [ContractionSeries<'a>]) -> Contraction<'a> {
    Contraction { title: "Contraction of the inner iteration", time_label: TIME, y_label: "ratio of successive updates", series }
}

/// Figures of the bridge: errors against N, contraction, final laws.
pub fn bridge(problem: &Problem, run: &BridgeRun, directory: &Path) -> Drawn {
    let r = &run.report;
    let mut drawn = Vec::new();
    if !r.steps.is_empty() {
        let fitted = r.steps.len().min(3);
        let series = |label, steps, errors, order| ConvergenceSeries { label, steps, errors, order, fitted };
        let mut all = vec![
            series("control U, all tₖ", &r.steps, &r.control_error, r.order_control),
            series("value V, all tₖ", &r.steps, &r.value_error, r.order_value),
        ];
        if let Some(law) = r.final_law.as_ref().filter(|l| l.wasserstein.len() == r.steps.len()) {
            all.push(series(
                if law.directions > 1 { "final law, sliced W₁" } else { "final law, W₁" },
                &r.steps,
                &law.wasserstein,
                law.order.map(|o| o.order),
            ));
        }
        if !r.richardson_error.is_empty() {
            let fitted = r.richardson_steps.len().min(3);
            let order = r.richardson_order;
            let (steps, errors) = (&r.richardson_steps[..], &r.richardson_error[..]);
            all.push(ConvergenceSeries { label: "V at t = 0, Richardson", steps, errors, order, fitted });
        }
        let reference = if r.reference == "closed_form" { "the closed form" } else { "the HJB solution" };
        let title = format!("{}: PI-FT with N steps against {reference}", problem.file.name);
        let figure = Convergence {
            title: &title,
            x_label: "steps N",
            y_label: "largest error in the box (final law: W₁)",
            series: &all,
            reference_orders: &[1.0, 2.0],
        };
        drawn.push(save(&figure, directory, "bridge")?);
    }
    drawn.extend(super::draw_leading::figures(problem, r, directory)?);
    let labels: Vec<String> = r.steps.iter().map(|n| format!("N = {n}")).collect();
    // a curve and its bound for each N is too much: the bound is drawn for the smallest N only
    let arrays: Vec<(Vec<f64>, Vec<f64>, Vec<f64>)> = run
        .sweeps
        .iter()
        .enumerate()
        .map(|(i, sweep)| {
            let of = |f: &dyn Fn(&hjbridge_pift::StepInfo) -> f64| sweep.steps.iter().map(f).collect::<Vec<f64>>();
            // a linear stretch of V has curvature at rounding level only, which would stretch the axis over ten decades
            let visible = |s: &hjbridge_pift::StepInfo| if s.rho > 1e-6 { s.rho } else { f64::NAN };
            let bound = if i == 0 { of(&visible) } else { Vec::new() };
            (of(&|s| s.t), of(&|s| s.contraction.unwrap_or(f64::NAN)), bound)
        })
        .collect();
    let series: Vec<ContractionSeries<'_>> = labels
        .iter()
        .zip(&arrays)
        .filter(|(_, (_, observed, _))| observed.iter().any(|c| c.is_finite()))
        .map(|(label, (times, observed, bound))| ContractionSeries { label, times, observed, bound })
        .collect();
    if !series.is_empty() {
        drawn.push(save(&contraction_figure(&series), directory, "contraction")?);
    }
    let label = r.steps.last().map(|n| format!("PI-FT, N = {n}")).unwrap_or_default();
    // where the initial law biases the end, the optimum that can be reached from it is another curve than p*
    let biased = r.final_law.as_ref().is_some_and(|l| l.initial_law_bias.is_none_or(|bias| bias > 2e-3));
    let reachable =
        run.continuous_density.as_ref().filter(|_| biased).map(|d| ("continuous optimum from this start", d.as_slice()));
    let chain = run.chain_density.as_ref().map(|d| (label.as_str(), d.as_slice()));
    let extra: Vec<(&str, &[f64])> = reachable.into_iter().chain(chain).collect();
    drawn.extend(densities(problem, "Where the fine-tuned chain ends", &extra, None, directory)?);
    drawn.extend(super::draw_final_law::final_laws(problem, run, directory)?);
    Ok(drawn)
}
