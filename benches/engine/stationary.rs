//! The discounted linear-quadratic problem of the plane.

use crate::common::Outcome;
use crate::models::{Model, cube, lattice, node};
use crate::show::{error, line, note, time, timed};
use hjbridge::hjb::{Sense, StationaryInfo, StationaryParams, StationarySolver};
use hjbridge::model::ControlSet;

/// V(0) = 2 P.
const EXACT: f64 = 0.732_050_807_568_877_2;

/// V at the origin of [-4, 4]^2, 151^2 nodes.
pub fn centre(set: ControlSet) -> Outcome<(f64, StationaryInfo)> {
    let (model, grid) = (Model::discounted(set), cube(2, -4.0, 4.0, 151)?);
    let params = StationaryParams { sense: Sense::Minimise, ..StationaryParams::default() };
    let (v, info) = StationarySolver::new(&model, grid, params)?.solve()?;
    Ok((v.value()[node(v.grid(), &[0.0, 0.0])], info))
}

/// Bar 6: V(0) within 0.1 % in 2 s.
pub fn discounted() -> Outcome<()> {
    let what = |info: &StationaryInfo| note(format!("{} linear solves by {}", info.iterations, info.linear_solver));
    let ((v, info), seconds) = timed(3, || centre(ControlSet::Free))?;
    let figures = [error("V(0) (relative)", (v / EXACT - 1.0).abs(), Some(1e-3)), time(seconds, Some(2.0)), what(&info)];
    line("151^2, free control", &figures);
    let ((v, info), seconds) = timed(3, || centre(lattice(3.0, 15, 2)))?;
    // controls 3/7 apart cost at most d R (3/7)^2/(8 rho) more
    let bound = 2.0 * (3.0f64 / 7.0).powi(2) / 8.0;
    let loss = error("loss of the set", v - EXACT, Some(bound));
    line("151^2, 225 controls", &[loss, time(seconds, Some(2.0)), what(&info)]);
    Ok(())
}
