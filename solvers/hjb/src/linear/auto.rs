//! The solver that picks a solver.
//!
//! [`AutoMode::Rules`], the default of [`super::LinearSolverChoice`], decides from the matrix alone: dimension, number of
//! nodes, and stiffness (the couplings of a row over its sum, w times the total rate for I - w L), looked at again for
//! every matrix. Runs can be repeated bit by bit. ILU(0) needs about the square root of the stiffness in iterations,
//! alternating-direction sweeps about its logarithm, multigrid a constant number of expensive ones. Measured on 257^2 and 49^3
//! nodes, ILU(0) and sweeps cost the same at a stiffness of 4 (plane) and 20 (space); sweeps and multigrid at 4000 for
//! isotropic noise between reflecting walls (with very unequal noise multigrid is ahead by 2 there), while with a rotating
//! drift the sweeps stay ahead.
//! Sparse LU is kept where its cost does not matter.
//! [`AutoMode::Timed`] lets every sensible candidate solve the first two systems and keeps the fastest for good: better on
//! unusual matrices or machines, but it does not follow systems that become stiffer later (the rules do), and the
//! choice, and with it the last digits, may differ from run to run; hence it is not the default. Each candidate meets
//! the same backward error, so the solutions agree to the tolerance. A candidate that fails is dropped for sparse LU.

use super::adi::{Adi, AdiSweepParams};
use super::bicgstab::BiCgStab;
use super::multigrid::{Multigrid, MultigridParams};
use super::{IterationParams, LinearInfo, LinearSolver, SparseLu, Tridiagonal, finite_row_sum, is_tridiagonal};
use crate::error::LinearError;
use crate::stencil::StencilMatrix;
use std::time::Instant;

const NAME: &str = "auto";

/// Nodes up to which sparse LU is chosen.
const LU_NODES: usize = 200;
/// Nodes up to which sparse LU is timed, in two and in three dimensions: more would take its memory for a try.
const LU_TRY_NODES: (usize, usize) = (300_000, 30_000);
/// Stiffness up to which ILU(0) is at least as fast as the others, in two and in three dimensions.
const ILU_STIFFNESS: (f64, f64) = (5.0, 20.0);
/// Stiffness from which multigrid is taken before sweeps.
const SWEEP_STIFFNESS: f64 = 1e4;
/// Systems that every candidate solves; the last one counts, with set-up costs behind it.
const TRIALS: usize = 2;

/// How [`Auto`] decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoMode {
    /// By dimension, size and stiffness.
    Rules,
    /// By the clock.
    Timed,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Tridiagonal,
    Lu,
    Ilu,
    Sweeps,
    Multigrid,
}

impl Kind {
    fn build(self, a: &StencilMatrix) -> Result<Box<dyn LinearSolver>, LinearError> {
        Ok(match self {
            Kind::Tridiagonal => Box::new(Tridiagonal::new(a)?),
            Kind::Lu => Box::new(SparseLu::new(a)?),
            Kind::Ilu => Box::new(BiCgStab::new(a, IterationParams::default())?),
            Kind::Sweeps => Box::new(Adi::new(a, AdiSweepParams::default())?),
            Kind::Multigrid => Box::new(Multigrid::new(a, MultigridParams::default())?),
        })
    }

    fn is_direct(self) -> bool {
        matches!(self, Kind::Tridiagonal | Kind::Lu)
    }
}

struct Candidate {
    kind: Kind,
    solver: Box<dyn LinearSolver>,
    /// Seconds of the last factorisation.
    seconds: f64,
}

/// Picks a solver for the matrices it is given.
pub struct Auto {
    mode: AutoMode,
    candidates: Vec<Candidate>,
    /// The candidate in use.
    active: usize,
    /// Systems still to be solved by all candidates.
    trials: usize,
    /// Whether an iterative solver has failed.
    direct_only: bool,
    best: Vec<f64>,
    start: Vec<f64>,
    right_side: Vec<f64>,
}

impl Auto {
    /// A solver for matrices of the pattern of `a`.
    pub fn new(a: &StencilMatrix, mode: AutoMode) -> Self {
        let zeros = || vec![0.0; a.len()];
        let trials = if mode == AutoMode::Timed { TRIALS } else { 0 };
        Auto {
            mode,
            candidates: Vec::new(),
            active: 0,
            trials,
            direct_only: false,
            best: zeros(),
            start: zeros(),
            right_side: zeros(),
        }
    }

    /// The kind that the rules choose for `a`.
    fn rule(&self, a: &StencilMatrix) -> Kind {
        let plane = a.shape().len() <= 2;
        let limit = if plane { ILU_STIFFNESS.0 } else { ILU_STIFFNESS.1 };
        let lu_try = if plane { LU_TRY_NODES.0 } else { LU_TRY_NODES.1 };
        let stiffness = stiffness(a);
        if is_tridiagonal(a) {
            Kind::Tridiagonal
        } else if self.direct_only || a.len() <= LU_NODES || a.shape().len() == 1 {
            // One-dimensional matrices that are not tridiagonal (periodic axes) have next to no fill.
            Kind::Lu
        } else if stiffness > limit && stiffness <= SWEEP_STIFFNESS && Adi::suits(a) {
            Kind::Sweeps
        } else if stiffness > limit && Multigrid::takes(a) {
            Kind::Multigrid
        } else if stiffness > limit && a.len() <= lu_try {
            // Couplings across the ends of periodic axes, which multigrid does not take.
            Kind::Lu
        } else {
            Kind::Ilu
        }
    }

    /// Make `kind` the candidate in use.
    fn activate(&mut self, kind: Kind, a: &StencilMatrix) -> Result<(), LinearError> {
        self.active = match self.candidates.iter().position(|c| c.kind == kind) {
            Some(place) => place,
            None => {
                self.candidates.push(Candidate { kind, solver: kind.build(a)?, seconds: 0.0 });
                self.candidates.len() - 1
            }
        };
        Ok(())
    }

    /// Drop the iterative solvers; sparse LU, factorised for `a`.
    fn fall_back(&mut self, a: &StencilMatrix) -> Result<(), LinearError> {
        self.direct_only = true;
        self.trials = 0;
        self.candidates.retain(|c| c.kind.is_direct());
        self.activate(Kind::Lu, a)?;
        self.candidates[self.active].solver.factorise(a)
    }

    /// Whether the candidates are being compared.
    fn comparing(&self) -> bool {
        self.trials > 0
    }

    fn run(&mut self, a: &StencilMatrix, x: &mut [f64], guess: bool) -> Result<LinearInfo, LinearError> {
        if self.candidates.is_empty() {
            return Err(LinearError::Factorisation { solver: NAME, reason: "no factorisation to solve with".to_string() });
        }
        self.start.copy_from_slice(x);
        let solve = |c: &mut Candidate, b: &[f64], x: &mut [f64]| {
            if guess { c.solver.solve_from(a, b, x) } else { c.solver.solve(a, x) }
        };
        if !self.comparing() {
            let c = &mut self.candidates[self.active];
            return match solve(c, &self.right_side, x) {
                Err(e) if c.kind.is_direct() || !crate::norms::all_finite(&self.right_side) => Err(e),
                Err(_) => {
                    self.fall_back(a)?;
                    self.candidates[self.active].solver.solve_from(a, &self.right_side, x)
                }
                done => done,
            };
        }
        let mut fastest: Option<(f64, LinearInfo)> = None;
        let mut failure = None;
        let mut failed = vec![false; self.candidates.len()];
        for (number, c) in self.candidates.iter_mut().enumerate() {
            x.copy_from_slice(&self.start);
            let clock = Instant::now();
            match solve(c, &self.right_side, x) {
                Ok(info) => {
                    let total = c.seconds + clock.elapsed().as_secs_f64();
                    if fastest.is_none_or(|(t, _)| total < t) {
                        fastest = Some((total, info));
                        self.active = number;
                        self.best.copy_from_slice(x);
                    }
                }
                Err(e) => {
                    failed[number] = true;
                    failure = Some(e);
                }
            }
        }
        let Some((_, info)) = fastest else {
            return Err(failure.unwrap_or(LinearError::NotFinite { solver: NAME }));
        };
        x.copy_from_slice(&self.best);
        self.trials -= 1;
        let chosen = self.candidates[self.active].kind;
        let done = self.trials == 0;
        let mut number = 0;
        self.candidates.retain(|c| {
            number += 1;
            if done { c.kind == chosen } else { !failed[number - 1] }
        });
        self.activate(chosen, a)?;
        Ok(info)
    }
}

/// Largest ratio of the couplings of a row to its sum.
fn stiffness(a: &StencilMatrix) -> f64 {
    const BLOCK: usize = 256;
    let (mut sum, mut size) = ([0.0; BLOCK], [0.0; BLOCK]);
    let mut worst = 0.0f64;
    for start in (0..a.len()).step_by(BLOCK) {
        let end = (start + BLOCK).min(a.len());
        sum[..end - start].copy_from_slice(&a.diagonal(0)[start..end]);
        size.fill(0.0);
        for s in 1..a.flat_shifts().len() {
            for ((sum, size), c) in sum.iter_mut().zip(&mut size).zip(&a.diagonal(s)[start..end]) {
                *sum += c;
                *size += c.abs();
            }
        }
        for (sum, size) in sum.iter().zip(&size).take(end - start) {
            if *size > 0.0 {
                worst = worst.max(size / sum.abs());
            }
        }
    }
    worst
}

impl LinearSolver for Auto {
    fn name(&self) -> &'static str {
        self.candidates.get(self.active).map_or(NAME, |c| c.solver.name())
    }

    fn factorise(&mut self, a: &StencilMatrix) -> Result<(), LinearError> {
        finite_row_sum(NAME, a, &mut self.right_side)?;
        if self.mode == AutoMode::Rules || is_tridiagonal(a) {
            self.trials = 0;
            self.activate(self.rule(a), a)?;
        } else if self.candidates.is_empty() {
            self.activate(Kind::Ilu, a)?;
            if Adi::suits(a) {
                self.activate(Kind::Sweeps, a)?;
            }
            if Multigrid::takes(a) {
                self.activate(Kind::Multigrid, a)?;
            }
            let limit = if a.shape().len() <= 2 { LU_TRY_NODES.0 } else { LU_TRY_NODES.1 };
            if a.len() <= limit {
                self.activate(Kind::Lu, a)?;
            }
        }
        let comparing = self.comparing();
        let mut failure = None;
        let active = self.active;
        for (number, c) in self.candidates.iter_mut().enumerate() {
            if comparing || number == active {
                let clock = Instant::now();
                let outcome = c.solver.factorise(a);
                c.seconds = clock.elapsed().as_secs_f64();
                if let Err(e) = outcome {
                    failure = Some((c.kind, e));
                }
            }
        }
        match failure {
            None => Ok(()),
            Some((kind, e)) if kind.is_direct() => Err(e),
            Some((kind, _)) if comparing && self.candidates.len() > 1 => {
                // The others remain; without its factorisation this one would only fail again.
                self.candidates.retain(|c| c.kind != kind);
                self.active = 0;
                Ok(())
            }
            Some(_) => self.fall_back(a),
        }
    }

    fn solve(&mut self, a: &StencilMatrix, x: &mut [f64]) -> Result<LinearInfo, LinearError> {
        self.right_side.copy_from_slice(x);
        self.run(a, x, false)
    }

    fn solve_from(&mut self, a: &StencilMatrix, b: &[f64], x: &mut [f64]) -> Result<LinearInfo, LinearError> {
        self.right_side.copy_from_slice(b);
        self.run(a, x, true)
    }
}
