//! The linear solvers on I - dt L, L the generator of a rotating, contracting diffusion.

use crate::common::{Outcome, rotation};
use crate::show::{error, in_turn, line, note, time};
use hjbridge::hjb::linear::{AdiSweepParams, IterationParams, MultigridParams};
use hjbridge::hjb::{LinearSolverChoice, StencilMatrix};

/// 257^2 nodes of [-3, 3]^2, unit diffusion.
pub fn solvers() -> Outcome<()> {
    let rates = rotation(257)?;
    let b: Vec<f64> = (0..rates.len()).map(|j| (0.01 * j as f64).cos()).collect();
    for dt in [1e-3, 1e-2, 1e-1] {
        let mut matrix = rates.clone();
        matrix.set_identity_minus(dt, &rates);
        let choices = [
            ("sparse LU", LinearSolverChoice::SparseLu),
            ("ILU(0), BiCGSTAB", LinearSolverChoice::BiCgStab(IterationParams::default())),
            ("multigrid, BiCGSTAB", LinearSolverChoice::Multigrid(MultigridParams::default())),
            ("ADI sweeps, BiCGSTAB", LinearSolverChoice::Adi(AdiSweepParams::default())),
        ];
        compare(dt, &matrix, &b, choices)?;
    }
    Ok(())
}

fn compare(dt: f64, matrix: &StencilMatrix, b: &[f64], choices: [(&str, LinearSolverChoice); 4]) -> Outcome<()> {
    let n = b.len();
    let mut solutions = vec![(vec![0.0; n], 0, 0.0); 4];
    // the pattern is known beforehand: symbolic work and storage do not count
    let mut solvers = choices.iter().map(|c| Ok(c.1.build(matrix)?)).collect::<Outcome<Vec<_>>>()?;
    let mut tasks: Vec<_> = solvers
        .iter_mut()
        .zip(&mut solutions)
        .map(|(solver, (x, iterations, residual))| {
            move || -> Outcome<()> {
                solver.factorise(matrix)?;
                x.fill(0.0);
                let info = solver.solve_from(matrix, b, x)?;
                (*iterations, *residual) = (info.iterations, info.relative_residual);
                Ok(())
            }
        })
        .collect();
    let mut tasks: Vec<&mut dyn FnMut() -> Outcome<()>> = tasks.iter_mut().map(|t| t as _).collect();
    let seconds = in_turn(3, &mut tasks)?;
    drop(tasks);
    for (k, (name, _)) in choices.iter().enumerate() {
        let gap = solutions[k].0.iter().zip(&solutions[0].0).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
        let figures = [
            error("from LU", gap, Some(1e-11)),
            error("backward error", solutions[k].2, None),
            time(seconds[k], None),
            note(format!("{} iterations", solutions[k].1)),
        ];
        line(&format!("dt = {dt:.0e}, {name}"), &figures);
    }
    Ok(())
}
