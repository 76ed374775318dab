//! Items that do nothing but one solve, for the peak memory of their process.

use crate::common::{Outcome, ring as eight};
use crate::fine_tuning::explicit;
use crate::models::{cube, lattice};
use crate::show::{line, memory, own_peak, peak, time, timed};
use crate::stationary::centre;
use hjbridge::hjb::smooth::Output;
use hjbridge::hjb::{RouteParams, RouteSolver, SmoothSolver};
use hjbridge::model::ControlSet;
use hjbridge::model::Region;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Bar 4: 500 MB. Levels are handed out and not kept.
pub fn ring() -> Outcome<()> {
    let (problem, grid) = (eight()?, cube(2, -5.5, 5.5, 257)?);
    let solver = SmoothSolver::new(&problem, grid, explicit(8, 6e-6, 64))?;
    let (_, seconds) = timed(1, || Ok(solver.solve_observed(&mut |_| {})?))?;
    line("order 8, 64 levels observed", &[memory(own_peak(), 500.0), time(seconds, None)]);
    Ok(())
}

/// The same with the levels kept.
pub fn ring_kept() -> Outcome<()> {
    let (problem, grid) = (eight()?, cube(2, -5.5, 5.5, 257)?);
    let solver = SmoothSolver::new(&problem, grid, explicit(8, 6e-6, 64))?;
    let (kept, seconds) = timed(1, || Ok(solver.solve()?))?;
    line(&format!("order 8, {} levels kept", kept.0.times().len()), &[memory(own_peak(), 500.0), time(seconds, None)]);
    Ok(())
}

/// What `hjbridge solve` does before it draws and writes.
pub fn ring_route() -> Outcome<()> {
    let (problem, grid) = (eight()?, cube(2, -5.5, 5.5, 257)?);
    let params = RouteParams { output: Output::Levels(128), region: Some(Region::cube(2, 3.0)?), ..RouteParams::default() };
    let solver = RouteSolver::new(&problem, grid, params)?;
    let ((_, info), seconds) = timed(1, || Ok(solver.solve()?))?;
    line(&format!("{} of {} routes", info.route, info.candidates.len()), &[memory(own_peak(), 500.0), time(seconds, None)]);
    Ok(())
}

/// `hjbridge solve data/problems/ring_2d.json`, files and pictures included; its peak is read until it ends.
pub fn ring_program() -> Outcome<()> {
    let Some(program) = option_env!("CARGO_BIN_EXE_hjbridge") else {
        println!("  built without the program");
        return Ok(());
    };
    let problem = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/problems/ring_2d.json");
    let out = std::env::temp_dir().join(format!("hjbridge-engine-{}", std::process::id()));
    let clock = Instant::now();
    let mut child = Command::new(program).arg("solve").arg(problem).arg("--quiet").arg("--out").arg(&out).spawn()?;
    let mut highest = None;
    while child.try_wait()?.is_none() {
        highest = peak(&child.id().to_string()).or(highest);
        std::thread::sleep(Duration::from_millis(2));
    }
    let seconds = clock.elapsed().as_secs_f64();
    std::fs::remove_dir_all(&out)?;
    line("route, certificate, 129 slices, pictures", &[memory(highest, 500.0), time(seconds, None)]);
    Ok(())
}

/// Bar 6: 300 MB.
pub fn discounted() -> Outcome<()> {
    for (name, set) in [("free control", ControlSet::Free), ("225 controls", lattice(3.0, 15, 2))] {
        let (_, seconds) = timed(1, || centre(set.clone()))?;
        line(&format!("151^2, {name}"), &[memory(own_peak(), 300.0), time(seconds, None)]);
    }
    Ok(())
}
