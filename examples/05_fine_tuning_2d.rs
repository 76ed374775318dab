//! Fine-tuning in the plane: eight modes on a ring, pulled by a quadratic reward, solved at high order.
//!
//! The pre-trained model generates p, eight equal normal laws N(m_k, 0.16 I) with m_k on the circle of radius 2. With
//! r(x) = -x'Qx/2 + q'x, Q = diag(0.5, 0.2), q = (1, 0.5), and beta = 0.8, the value solves
//!
//!   V_t + ((b/2) y + b s).grad V + (b/2) Lap V + (b/(2 beta)) |grad V|^2 = 0,   V(T,.) = r,   U* = s + grad V / beta,
//!
//! and p* = p exp(r/beta)/Z is again a mixture of eight normal laws, so V and U* are known. Everything is smooth: the scheme
//! is central differences of order 8 and an explicit Runge-Kutta-Chebyshev integrator with step control. On a coarse grid
//! the error is that of space; on the finest one that of the tolerance, which falls like its power 2/3.
//!
//! A by-product: the mass of p_t exp(V(t,.)/beta) is Z at every t, because p_t exp(V/beta)/Z is the law p*_t of the optimal
//! process. V and p*_t are drawn, from the computed V, to out/ring-2d.png.
//!
//! Run: cargo run --release --example 05_fine_tuning_2d
#![allow(non_snake_case)] // T, V, U, Q and Z are the letters of the equation

use hjbridge::hjb::smooth::{Integrator, Output, SmoothParams, SmoothSolver};
use hjbridge::model::exact::{TiltedMixture, closed_form};
use hjbridge::model::{
    Axis, FineTuning, GaussianMixture, InitialLaw, KlWeight, Law, PointBlock, Region, Reward, Schedule, TensorGrid,
};
use hjbridge::report::figure::{Arrows, Colours, HeatMap, PlaneMaps, save};
use std::f64::consts::FRAC_PI_4;
use std::path::Path;
use std::sync::Arc;

const T: f64 = 2.0;
const BETA: f64 = 0.8;
const BOX: f64 = 5.5;

/// The time of the picture, and half the width and height of its window.
const PICTURE_TIME: f64 = 1.8;
const WINDOW: (f64, f64) = (3.75, 3.55);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mean = |k: usize| vec![2.0 * (k as f64 * FRAC_PI_4).cos(), 2.0 * (k as f64 * FRAC_PI_4).sin()];
    let covariance = vec![vec![0.16, 0.0], vec![0.0, 0.16]];
    let p = GaussianMixture::new(vec![0.125; 8], (0..8).map(mean).collect(), vec![covariance; 8])?;
    let Q = [vec![0.5, 0.0], vec![0.0, 0.2]];
    let r = Reward::quadratic(&Q, vec![1.0, 0.5], 0.0)?;
    let b = Schedule::linear(T, 0.5, 3.0)?;
    let problem = FineTuning::new(b, p.clone(), r, KlWeight::constant(BETA)?, InitialLaw::NoisedPrior)?;
    let exact = closed_form(&problem)?.ok_or("this problem has no closed form")?;
    let region = Region::cube(2, 3.0)?;

    println!("sup over |y_i| <= 3 and 20 times t < T, box |y_i| <= {BOX}, against the {}", exact.description());
    println!(
        "{:>7} {:>9} {:>10} {:>10} {:>6} {:>12} {:>8}",
        "nodes", "tolerance", "error V", "error U", "steps", "right sides", "seconds"
    );
    let mut finest = None;
    for (nodes, tolerance) in [(65, 1e-5), (129, 1e-5), (257, 1e-5), (257, 1e-6)] {
        let axis = Axis::uniform(-BOX, BOX, nodes)?;
        let grid = Arc::new(TensorGrid::new(vec![axis.clone(), axis])?);
        let params = SmoothParams {
            order: 8,
            integrator: Integrator::Rkc,
            rtol: tolerance,
            atol: tolerance,
            output: Output::Levels(20),
            ..SmoothParams::default()
        };
        let (V, info) = SmoothSolver::new(&problem, grid.clone(), params)?.solve()?;

        let inside: Vec<usize> = grid.region_nodes(Some(&region))?.collect();
        let all = grid.points();
        let points: Vec<[f64; 2]> = inside.iter().map(|&j| [all.coord(0)[j], all.coord(1)[j]]).collect();
        let y = PointBlock::from_points(2, &points).ok_or("points of another dimension")?;
        let n = inside.len();
        let (mut V_exact, mut U_exact, mut s) = (vec![0.0; n], PointBlock::zeros(2, n), PointBlock::zeros(2, n));
        let (mut error_V, mut error_U) = (0.0f64, 0.0f64);
        for (k, &t) in V.times().iter().enumerate().filter(|(_, t)| **t < T) {
            exact.at(t).value(y.as_points(), &mut V_exact);
            exact.at(t).control(y.as_points(), U_exact.as_mut());
            problem.score().at(t).eval(y.as_points(), s.as_mut());
            for (a, &j) in inside.iter().enumerate() {
                error_V = error_V.max((V.value(k)[j] - V_exact[a]).abs());
                for i in 0..2 {
                    let U = s.coord(i)[a] + V.control(k)[i * grid.len() + j];
                    error_U = error_U.max((U - U_exact.coord(i)[a]).abs());
                }
            }
        }
        println!(
            "{nodes:>4}^2 {tolerance:>10.0e} {error_V:>10.2e} {error_U:>10.2e} {:>6} {:>12} {:>8.2}",
            info.steps, info.right_sides, info.seconds
        );
        finest = Some((grid, V));
    }

    // log Z by summing p_t exp(V/beta) over the finest grid, at times where V was computed.
    let (grid, V) = finest.ok_or("no grid")?;
    let log_Z = TiltedMixture::new(&problem)?.log_z();
    let y = grid.points();
    let volumes = grid.volumes();
    let mut log_p = vec![0.0; grid.len()];
    let mut density = Vec::new();
    println!("log Z exactly {log_Z:.9}; by the computed V:");
    for t in [0.0, 1.0, PICTURE_TIME] {
        problem.noised_prior(t).log_density(y.as_points(), &mut log_p);
        let value = V.at_time(t)?;
        density = log_p.iter().zip(value.values()).map(|(l, v)| (l + v / BETA).exp()).collect();
        let Z: f64 = volumes.iter().zip(&density).map(|(w, q)| w * q).sum();
        density.iter_mut().for_each(|q: &mut f64| *q /= Z);
        println!("  t = {t}: {:.9}, difference {:.1e}", Z.ln(), Z.ln() - log_Z);
    }

    // The picture: V, and p*_t under arrows for the change of the control, U* - s = grad V / beta.
    let (value, control) = (V.at_time(PICTURE_TIME)?, V.control_at_time(PICTURE_TIME)?);
    let (columns, rows) = (window(grid.axis(0), WINDOW.0), window(grid.axis(1), WINDOW.1));
    let nodes: Vec<usize> =
        columns.iter().flat_map(|&a| rows.iter().map(move |&b| (a, b))).filter_map(|(a, b)| grid.flat_index(&[a, b])).collect();
    let cut = |f: &[f64]| -> Vec<f64> { nodes.iter().map(|&j| f[j]).collect() };
    let coordinates = |axis: usize, kept: &[usize]| -> Vec<f64> { kept.iter().map(|&a| grid.axis(axis).nodes()[a]).collect() };
    let (y1, y2) = (coordinates(0, &columns), coordinates(1, &rows));
    let (value, density) = (cut(value.values()), cut(&density));
    let (right, up) = control.split_at(grid.len());
    let (right, up) = (cut(right), cut(up));
    let map = |title, values, value_label, contours| HeatMap {
        title,
        times: &y1,
        nodes: &y2,
        values,
        time_label: "y\u{2081}",
        state_label: "y\u{2082}",
        value_label,
        colours: Colours::Sequential,
        contours,
    };
    let figure = PlaneMaps {
        value: map("Value function at t = 1.8", &value, "V", true),
        control: Some(map("Optimal law, and the change of the control", &density, "density", false)),
        arrows: Some(Arrows { horizontal: &right, vertical: &up }),
    };
    let written = save(&figure, &Path::new(env!("CARGO_MANIFEST_DIR")).join("out"), "ring-2d")?;
    println!("written: {}", written.png.display());
    written.notes.iter().for_each(|note| println!("  note: {note}"));
    Ok(())
}

/// Indices of the nodes within `half` of zero.
fn window(axis: &Axis, half: f64) -> Vec<usize> {
    (0..axis.len()).filter(|&k| axis.nodes()[k].abs() <= half).collect()
}
