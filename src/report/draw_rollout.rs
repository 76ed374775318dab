//! The figures of a rollout: final law, paths with quantile bands, the law over the plane.

use super::ReportError;
use super::draw::{TIME, densities, density_of, state_label, tilted_density};
use super::figure::{Band, Colours, Densities, FigureInfo, HeatMap, Histogram, LawMaps, Paths, SideDensity, save};
use crate::problem::{ControlledProblem, Problem};
use crate::run::{ControlledRollout, RolloutRun};
use hjbridge_model::{ControlledDiffusion, Law, PointBlock};
use hjbridge_rollout::RecordedPaths;
use hjbridge_rollout::reduce::PlaneHistogram;
use std::path::Path;

type Drawn = Result<Vec<FigureInfo>, ReportError>;

/// Paths drawn one by one over the bands.
const SHOWN_PATHS: usize = 16;

/// Fewest samples for each bin of a map, on average.
const PER_BIN: u64 = 20;

/// Figures of a fine-tuning problem.
///
/// # Errors
/// The file system refuses; nothing to draw.
pub fn fine_tuning(problem: &Problem, run: &RolloutRun, directory: &Path) -> Drawn {
    match problem.dim() {
        1 => line(problem, run, directory),
        2 => plane(problem, run, directory),
        _ => Ok(Vec::new()),
    }
}

fn line(problem: &Problem, run: &RolloutRun, directory: &Path) -> Drawn {
    let tilted = tilted_density(problem);
    // where the initial law biases the end, what can be reached from it is another curve than p*
    let gap = |q: &[f64]| -> f64 {
        let w = problem.grid.volumes();
        tilted.as_ref().map_or(1.0, |p| p.iter().zip(q).zip(w).map(|((p, q), w)| w * (p - q).abs()).sum())
    };
    let reachable = run.final_density.as_deref().filter(|q| gap(q) > 5e-3);
    let extra: Vec<(&str, &[f64])> = reachable.into_iter().map(|q| ("exact law from this start", q)).collect();
    let mut drawn = densities(problem, "Where the optimal policy ends", &extra, run.histograms.first(), directory)?;
    let Some(fan) = &run.fan else { return Ok(drawn) };
    let nodes = problem.grid.axis(0).nodes();
    let initial = density_of(problem, problem.model.initial_law());
    let prior = density_of(problem, problem.model.prior());
    let mut ends = vec![SideDensity { label: "prior p", nodes, density: &prior }];
    ends.extend(tilted.as_ref().map(|t| SideDensity { label: "tilted p*", nodes, density: t }));
    let label = state_label(problem);
    let initial = [SideDensity { label: "initial law", nodes, density: &initial }];
    let title = "Paths of the optimal policy";
    drawn.push(fan_figure(fan, title, (TIME, &label), &initial, &ends, directory, "paths")?);
    Ok(drawn)
}

/// Quantile bands of the recorded paths, and the first ones.
fn fan_figure(
    fan: &RecordedPaths,
    title: &str,
    (time_label, state_label): (&str, &str),
    initial: &[SideDensity<'_>],
    terminal: &[SideDensity<'_>],
    directory: &Path,
    stem: &str,
) -> Result<FigureInfo, ReportError> {
    let (p, k) = (fan.paths.len(), fan.times.len());
    let mut levels: [Vec<f64>; 5] = Default::default();
    for j in 0..k {
        let mut states: Vec<f64> = (0..p).map(|i| fan.states[i * k + j]).collect();
        states.sort_by(f64::total_cmp);
        for (level, probability) in levels.iter_mut().zip([0.05, 0.25, 0.5, 0.75, 0.95]) {
            let at = probability * (p - 1) as f64;
            let below = at.floor() as usize;
            let above = (below + 1).min(p - 1);
            level.push(states[below] + (at - below as f64) * (states[above] - states[below]));
        }
    }
    let [q05, q25, q50, q75, q95] = &levels;
    let bands = [Band { label: "5 to 95 %", lower: q05, upper: q95 }, Band { label: "25 to 75 %", lower: q25, upper: q75 }];
    // bands from a handful of paths would show those paths
    let enough = p >= 100;
    let figure = Paths {
        title,
        time_label,
        state_label,
        times: &fan.times,
        paths: &fan.states[..p.min(SHOWN_PATHS) * k],
        bands: if enough { &bands } else { &[] },
        median: if enough { q50 } else { &[] },
        initial,
        terminal,
    };
    save(&figure, directory, stem)
}

/// The first paths, until most have ended.
fn ending_figure(fan: &RecordedPaths, title: &str, label: &str, directory: &Path) -> Result<FigureInfo, ReportError> {
    let (p, k) = (fan.paths.len(), fan.times.len());
    let alive = |j: usize| (0..p).filter(|i| fan.states[i * k + j].is_finite()).count();
    let shown = (1..k).find(|&j| 20 * alive(j) < p).map_or(k, |j| (j + 1).max(2));
    let paths: Vec<f64> = (0..p.min(SHOWN_PATHS)).flat_map(|i| fan.states[i * k..][..shown].iter().copied()).collect();
    let figure = Paths {
        title,
        time_label: "time t",
        state_label: label,
        times: &fan.times[..shown],
        paths: &paths,
        bands: &[],
        median: &[],
        initial: &[],
        terminal: &[],
    };
    save(&figure, directory, "paths")
}

fn plane(problem: &Problem, run: &RolloutRun, directory: &Path) -> Drawn {
    let Some(histogram) = &run.plane else { return Ok(Vec::new()) };
    let labels = [problem.axis_label(0), problem.axis_label(1)];
    let beta = problem.model.kl_weight().as_constant();
    // p exp(r/beta), normalised by the trapezoidal rule on the problem's grid
    let constant = tilted_density(problem).zip(beta).map(|(density, beta)| {
        let points = problem.grid.points();
        let top = density.iter().copied().enumerate().fold((0, 0.0), |a, (i, p)| if p > a.1 { (i, p) } else { a });
        let mut at = vec![0.0; 2];
        points.as_points().copy_point(top.0, &mut at);
        let one = PointBlock::from_points(2, &[at]).unwrap_or_else(|| PointBlock::zeros(2, 1));
        (beta, log_tilt(problem, beta, &one)[0] - top.1.ln())
    });
    let exact = |points: &PointBlock| -> Option<Vec<f64>> {
        let (beta, log_mass) = constant?;
        Some(log_tilt(problem, beta, points).into_iter().map(|l| (l - log_mass).exp()).collect())
    };
    Ok(vec![law_maps(histogram, &labels, "tilted p* ∝ p exp(r/β)", &exact, directory, "final_law")?])
}

/// log p + r/beta.
fn log_tilt(problem: &Problem, beta: f64, points: &PointBlock) -> Vec<f64> {
    use hjbridge_model::ScalarField;
    let (mut log, mut r) = (vec![0.0; points.len()], vec![0.0; points.len()]);
    problem.model.prior().log_density(points.as_points(), &mut log);
    problem.model.reward().value(points.as_points(), &mut r);
    log.iter().zip(&r).map(|(p, r)| p + r / beta).collect()
}

/// Nodes of each axis at which an exact density is drawn.
const FINE: usize = 161;

/// The histogram, its bins joined until they hold enough, beside the exact density in the same colours.
fn law_maps(
    histogram: &PlaneHistogram,
    labels: &[String; 2],
    exact_title: &str,
    exact: &dyn Fn(&PointBlock) -> Option<Vec<f64>>,
    directory: &Path,
    stem: &str,
) -> Result<FigureInfo, ReportError> {
    let total: u64 = histogram.counts.iter().sum::<u64>() + histogram.outside;
    let filled = histogram.counts.iter().filter(|c| **c > 0).count() as u64;
    let mut join = 1;
    while join < 4 && [histogram.rows, histogram.columns].iter().all(|n| n.is_multiple_of(2 * join)) {
        let bins = (filled / (join * join) as u64).max(1);
        if total >= PER_BIN * bins {
            break;
        }
        join *= 2;
    }
    let (rows, columns) = (histogram.rows / join, histogram.columns / join);
    let centres = |(lower, upper): (f64, f64), n: usize| -> Vec<f64> {
        (0..n).map(|i| lower + (upper - lower) * (i as f64 + 0.5) / n as f64).collect()
    };
    let (x, y) = (centres(histogram.first, rows), centres(histogram.second, columns));
    let area = (histogram.first.1 - histogram.first.0) * (histogram.second.1 - histogram.second.0) / (rows * columns) as f64;
    let mut density = vec![0.0; rows * columns];
    for (at, count) in histogram.counts.iter().enumerate() {
        let (i, j) = (at / histogram.columns / join, at % histogram.columns / join);
        density[i * columns + j] += *count as f64 / (total.max(1) as f64 * area);
    }
    let fine = |nodes: &[f64]| -> Vec<f64> {
        let (first, last) = (nodes[0], nodes[nodes.len() - 1]);
        (0..FINE).map(|i| first + (last - first) * i as f64 / (FINE - 1) as f64).collect()
    };
    let (u, v) = (fine(&x), fine(&y));
    let points: Vec<[f64; 2]> = u.iter().flat_map(|x| v.iter().map(move |y| [*x, *y])).collect();
    let law = PointBlock::from_points(2, &points).and_then(|p| exact(&p));
    let title = format!("Simulated final law: {total} paths, {rows} × {columns} bins");
    let map = |title, (times, nodes), values, contours| HeatMap {
        title,
        times,
        nodes,
        values,
        time_label: &labels[0],
        state_label: &labels[1],
        value_label: "density",
        colours: Colours::Sequential,
        contours,
    };
    let exact = law.as_ref().map(|law| map(exact_title, (&u, &v), law, true));
    save(&LawMaps { simulated: map(&title, (&x, &y), &density, false), exact }, directory, stem)
}

/// Figures of a controlled diffusion: from the first starting point.
///
/// # Errors
/// The file system refuses; nothing to draw.
pub fn controlled(problem: &ControlledProblem, run: &ControlledRollout, directory: &Path) -> Drawn {
    let (Some(start), Some(row)) = (run.starts.first(), run.report.starts.first()) else { return Ok(Vec::new()) };
    let from =
        |x: &[f64]| x.iter().map(|x| format!("{}", (x * 1e4).round() / 1e4).replace('-', "−")).collect::<Vec<_>>().join(", ");
    let ends = row.exit.is_some();
    let mut drawn = Vec::new();
    if problem.dim() == 2
        && let Some(plane) = &start.plane
    {
        let labels = [problem.axis_label(0), problem.axis_label(1)];
        drawn.push(law_maps(plane, &labels, "", &|_| None, directory, "final_law")?);
    }
    let (1, Some(fan)) = (problem.dim(), &start.fan) else { return Ok(drawn) };
    let label = problem.axis_label(0);
    let whose = if problem.model.control_dim() > 0 { "Paths of the optimal policy" } else { "Paths" };
    let title = format!("{whose} from {}", from(&row.x));
    drawn.push(match ends {
        false => fan_figure(fan, &title, ("time t", &label), &[], &[], directory, "paths")?,
        true => ending_figure(fan, &format!("{title}, until they end"), &label, directory)?,
    });
    let simulated: Vec<(String, Histogram)> = run
        .starts
        .iter()
        .zip(&run.report.starts)
        .filter_map(|(s, row)| Some((format!("from {}", from(&row.x)), histogram_of(s.histograms.first()?))))
        .collect();
    if !ends && !simulated.is_empty() {
        let title = format!("Where the paths are at t = {}", run.report.settings.time_grid.end);
        let steps: Vec<(Vec<f64>, Vec<f64>)> = simulated.iter().map(|(_, h)| staircase(h)).collect();
        let lines: Vec<_> = simulated
            .iter()
            .zip(&steps)
            .take(6)
            .map(|((label, _), (x, density))| super::figure::DensityLine { label, x, density })
            .collect();
        let figure = Densities { title: &title, x_label: &label, y_label: "density", data: None, lines: &lines, simulated: None };
        drawn.push(save(&figure, directory, "densities")?);
    }
    Ok(drawn)
}

/// A histogram of the engine as one of the figures, without label.
fn histogram_of(h: &hjbridge_rollout::Histogram) -> Histogram {
    Histogram { label: String::new(), edges: h.edges(), density: h.density(), standard_error: Vec::new() }
}

/// The outline of the bins.
fn staircase(h: &Histogram) -> (Vec<f64>, Vec<f64>) {
    let x = h.edges.windows(2).flat_map(|e| [e[0], e[1]]).collect();
    (x, h.density.iter().flat_map(|d| [*d, *d]).collect())
}
