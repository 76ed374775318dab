//! The levels and the cycle through them.

use super::operator::Operator;
use super::smoother::{Sweep, choose};
use super::transfer::AxisTransfer;
use crate::error::LinearError;

use crate::linear::krylov::Preconditioner;
use crate::linear::{LinearSolver, SparseLu, Tridiagonal, is_tridiagonal};
use crate::stencil::StencilMatrix;

/// Levels with at most this many nodes are solved directly.
const DIRECT_NODES: usize = 300;
/// Levels whose rows couple at most this fraction of their diagonal are solved by sweeps.
const WEAK_COUPLING: f64 = 0.25;
/// Symmetric sweeps on such a level.
const WEAK_SWEEPS: usize = 3;

struct Level {
    operator: Operator,
    sweeps: Vec<Sweep>,
    /// Transfers to the next level, one per axis.
    transfers: Vec<Option<AxisTransfer>>,
    pad: usize,
    /// Padded solution, right-hand side, residual, and room for the axis-wise transfers.
    x: Vec<f64>,
    b: Vec<f64>,
    r: Vec<f64>,
    stages: (Vec<f64>, Vec<f64>),
}

enum Coarsest {
    Sweeps,
    Direct { matrix: StencilMatrix, solver: Box<dyn LinearSolver> },
}

/// A multigrid hierarchy for one matrix.
pub(super) struct Hierarchy {
    levels: Vec<Level>,
    coarsest: Coarsest,
    /// Visits of the next level per visit: 1 for V, 2 for W.
    visits: usize,
}

impl Hierarchy {
    pub fn new(a: &StencilMatrix, visits: usize) -> Result<Self, LinearError> {
        let mut operator = Operator::finest(a)?;
        let mut positions: Vec<Vec<f64>> = operator.shape.iter().map(|&len| (0..len).map(|k| k as f64).collect()).collect();
        let mut levels = Vec::new();
        loop {
            let transfers: Vec<Option<AxisTransfer>> = positions.iter().map(|p| AxisTransfer::new(p)).collect();
            let weak = operator.coupling() <= WEAK_COUPLING;
            let last = weak || operator.len() <= DIRECT_NODES || transfers.iter().all(Option::is_none);
            let n = operator.len();
            let pad = operator.strides[0];
            let direct = last && !weak;
            let sweeps = if direct { Vec::new() } else { choose(&operator, pad)? };
            let coarse = if last { None } else { Some(operator.coarsen(&transfers)?) };
            for (p, t) in positions.iter_mut().zip(&transfers) {
                if let Some(t) = t {
                    p.clone_from(&t.positions);
                }
            }
            let room = if last { 0 } else { n };
            let coarsest = if direct {
                let matrix = operator.to_matrix();
                let mut solver: Box<dyn LinearSolver> = if is_tridiagonal(&matrix) {
                    Box::new(Tridiagonal::new(&matrix)?)
                } else {
                    Box::new(SparseLu::new(&matrix)?)
                };
                solver.factorise(&matrix)?;
                Coarsest::Direct { matrix, solver }
            } else {
                Coarsest::Sweeps
            };
            levels.push(Level {
                operator,
                sweeps,
                transfers,
                pad,
                x: vec![0.0; n + 2 * pad],
                b: vec![0.0; n],
                r: vec![0.0; room],
                stages: (vec![0.0; room], vec![0.0; room]),
            });
            match coarse {
                Some(c) => operator = c,
                None => return Ok(Hierarchy { levels, coarsest, visits }),
            }
        }
    }

    /// Whether lines are smoothed on the finest level.
    pub fn smooths_lines(&self) -> bool {
        self.levels[0].sweeps.iter().any(Sweep::is_line)
    }

    /// Number of levels.
    pub fn levels(&self) -> usize {
        self.levels.len()
    }

    /// Improve x of level `l`; `fresh` when x is zero.
    fn cycle(&mut self, l: usize, fresh: bool) -> Result<(), LinearError> {
        let (above, below) = self.levels.split_at_mut(l + 1);
        let level = &mut above[l];
        let Some(next) = below.first_mut() else {
            return level.solve(&mut self.coarsest);
        };
        if fresh {
            level.x.fill(0.0);
        }
        for s in &mut level.sweeps {
            s.run(&level.b, &mut level.x, level.pad, true);
        }
        level.operator.residual(&level.b, &level.x, level.pad, &mut level.r);
        level.restrict(&mut next.b);
        for j in &next.operator.decoupled {
            let fine = level.fine_index(&next.operator.shape, *j);
            next.b[*j] = level.r[fine];
        }
        for visit in 0..self.visits {
            self.cycle(l + 1, visit == 0)?;
            if l + 2 == self.levels.len() {
                break; // the coarsest level is solved exactly
            }
        }
        let (above, below) = self.levels.split_at_mut(l + 1);
        let level = &mut above[l];
        level.correct(&below[0]);
        for s in level.sweeps.iter_mut().rev() {
            s.run(&level.b, &mut level.x, level.pad, false);
        }
        Ok(())
    }
}

impl Preconditioner for Hierarchy {
    fn apply(&mut self, r: &[f64], z: &mut [f64]) -> Result<(), LinearError> {
        self.levels[0].b.copy_from_slice(r);
        self.cycle(0, true)?;
        let level = &self.levels[0];
        z.copy_from_slice(&level.x[level.pad..level.pad + r.len()]);
        Ok(())
    }
}

impl Level {
    /// Solve on the coarsest level.
    fn solve(&mut self, coarsest: &mut Coarsest) -> Result<(), LinearError> {
        let n = self.b.len();
        match coarsest {
            Coarsest::Direct { matrix, solver } => {
                let x = &mut self.x[self.pad..self.pad + n];
                x.copy_from_slice(&self.b);
                solver.solve(matrix, x).map(|_| ())
            }
            Coarsest::Sweeps => {
                self.x.fill(0.0);
                for _ in 0..WEAK_SWEEPS {
                    for s in &mut self.sweeps {
                        s.run(&self.b, &mut self.x, self.pad, true);
                    }
                    for s in self.sweeps.iter_mut().rev() {
                        s.run(&self.b, &mut self.x, self.pad, false);
                    }
                }
                Ok(())
            }
        }
    }

    /// Fine flat index of coarse node `j` of a grid of the given shape.
    fn fine_index(&self, coarse_shape: &[usize], mut j: usize) -> usize {
        let mut fine = 0;
        for (axis, &len) in coarse_shape.iter().enumerate().rev() {
            let k = j % len;
            j /= len;
            fine += self.operator.strides[axis] * self.transfers[axis].as_ref().map_or(k, |t| t.node(k));
        }
        fine
    }

    /// Restrict the residual into the right-hand side of the next level, slowest axis first.
    fn restrict(&mut self, to: &mut [f64]) {
        let mut shape = self.operator.shape.clone();
        let (mut from, mut room) = (std::mem::take(&mut self.stages.0), std::mem::take(&mut self.stages.1));
        let last = self.transfers.iter().rposition(Option::is_some).unwrap_or(0);
        let mut first = true;
        for (axis, transfer) in self.transfers.iter().enumerate() {
            let Some(t) = transfer else { continue };
            let outer: usize = shape[..axis].iter().product();
            let inner: usize = shape[axis + 1..].iter().product();
            let source = if first { &self.r } else { &from };
            if axis == last {
                t.restrict(outer, inner, source, to);
            } else {
                t.restrict(outer, inner, source, &mut room);
                std::mem::swap(&mut from, &mut room);
            }
            shape[axis] = t.coarse_len();
            first = false;
        }
        self.stages = (from, room);
    }

    /// Add the interpolated solution of the next level, fastest axis first.
    fn correct(&mut self, next: &Level) {
        let mut shape = next.operator.shape.clone();
        let (mut from, mut room) = (std::mem::take(&mut self.stages.0), std::mem::take(&mut self.stages.1));
        let coarse_n = next.operator.len();
        let mut first = true;
        for (axis, transfer) in self.transfers.iter().enumerate().rev() {
            let Some(t) = transfer else { continue };
            let outer: usize = shape[..axis].iter().product();
            let inner: usize = shape[axis + 1..].iter().product();
            let source = if first { &next.x[next.pad..next.pad + coarse_n] } else { &from };
            t.prolong(outer, inner, source, &mut room);
            std::mem::swap(&mut from, &mut room);
            shape[axis] = self.operator.shape[axis];
            first = false;
        }
        // Rows without couplings were solved exactly by the sweeps.
        self.operator.decoupled.iter().for_each(|&j| from[j] = 0.0);
        let n = self.operator.len();
        self.x[self.pad..self.pad + n].iter_mut().zip(&from).for_each(|(x, c)| *x += c);
        self.stages = (from, room);
    }
}
