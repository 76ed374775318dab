//! Linear systems for phi = exp(theta), solved without forming phi.
//!
//! An implicit stage (m = 1) and a stationary problem (m = 0, w = 1) ask for
//!
//!   m (1 - b_j/phi_j) - w F_j(theta) = 0,     F_j(theta) = sum_k r_jk ( exp(theta_k - theta_j) - 1 ) + l_j/beta,
//!
//! b > 0 given by its logarithm. Write phi = exp(theta) w with theta at hand: w solves a linear system whose matrix has the
//! off-diagonal entries -w r_jk exp(theta_k - theta_j) and the diagonal m + w ( sum_k r_jk - l_j/beta ). At the solution the
//! rows of its last part sum to zero: it is the generator of the conditioned (Doob-transformed, optimally controlled)
//! process, and w = 1. Solved for w - 1 with the residual as right side, theta += log w is iterative refinement with
//! accuracy relative to each phi_j, whatever the range of phi; in exact arithmetic the first step would do. Steps that the
//! rounding of the linear solver does not support (w below 1e-10 of its largest value) are cut, so a range of many decades
//! is entered ten decades at a time. A guess under which the tilted rates of some row exceed its diagonal a hundredfold (steep
//! data, first steps) is first mended by symmetric Gauss-Seidel sweeps in the logarithm.
//! The factors of the matrix for an earlier theta serve later ones by diagonal scaling, as long as the two stay within a few
//! decades of each other; so time-independent coefficients need few factorisations.

use super::equation::LogEquation;
use super::lanes::{LARGEST, expm1_in_place, expm1_pair, log1p_in_place};
use crate::error::LinearError;
use crate::interrupt::Interrupt;
use crate::linear::{LinearSolver, LinearSolverChoice};
use crate::norms::sup;
use crate::stencil::StencilMatrix;

/// Part of the largest w below which rounding of the linear solver may hide the sign of a solution.
const TRUST: f64 = 1e-10;

/// A negative w of this part of the largest one is no rounding: the matrix is no M-matrix.
const NEGATIVE: f64 = 1e-4;

/// Changes of theta, against the one factorised for, that diagonal scaling may bridge: three decades each way.
const BRIDGE: f64 = 6.9;

/// Corrections up to this are exact to the rounding of the linear solver.
const MODERATE: f64 = 0.5;

/// A row whose tilted rates exceed its diagonal by more than the inverse of this shows a guess far from the solution.
const FAR: f64 = 1e-2;

/// Most relaxation sweeps to mend a guess.
const MOST_SWEEPS: usize = 30;

/// Stagnation of corrections below this is rounding.
const STAGNANT: f64 = 1e-6;

/// What one system looks like.
#[derive(Clone, Copy)]
pub(super) struct Stage<'a> {
    /// m.
    pub mass: f64,
    /// w.
    pub weight: f64,
    /// log b, when m is not zero.
    pub log_load: Option<&'a [f64]>,
}

/// Why a system was not solved.
pub(super) enum Failure {
    Linear(LinearError),
    /// The user wants to stop.
    Interrupted,
    /// phi would be negative or infinite: the expectation that it stands for does not exist.
    NotPositive,
    NoConvergence {
        iterations: usize,
        change: f64,
        residual: f64,
    },
}

/// Counters over all systems.
#[derive(Clone, Copy, Default)]
pub(super) struct Counters {
    pub solves: usize,
    pub most: usize,
    pub factorisations: usize,
    pub worst_linear_residual: f64,
    /// Largest last correction |w - 1|.
    pub worst_change: f64,
}

/// The iteration and its arrays.
pub(super) struct LogSystem<'a> {
    matrix: StencilMatrix,
    pub solver: Box<dyn LinearSolver>,
    /// Whether the last solve was an iterative one.
    iterative: bool,
    /// theta, row scale and (m, w, version) of the factorisation at hand.
    reference: Vec<f64>,
    scale: Vec<f64>,
    key: Option<(f64, f64, usize)>,
    residual: Vec<f64>,
    load: Vec<f64>,
    step: Vec<f64>,
    up: Vec<f64>,
    down: Vec<f64>,
    /// Prescribed nodes, and those with a cut edge.
    fixed: Vec<bool>,
    beside_cut: Vec<bool>,
    pub counters: Counters,
    /// Read at every correction.
    pub interrupt: Interrupt<'a>,
}

impl LogSystem<'_> {
    pub fn new(pattern: &StencilMatrix, choice: LinearSolverChoice) -> Result<Self, LinearError> {
        let n = pattern.len();
        let zeros = || vec![0.0; n];
        Ok(LogSystem {
            matrix: pattern.clone(),
            solver: choice.build(pattern)?,
            iterative: false,
            reference: zeros(),
            scale: vec![1.0; n],
            key: None,
            residual: zeros(),
            load: zeros(),
            step: zeros(),
            up: zeros(),
            down: zeros(),
            fixed: vec![false; n],
            beside_cut: vec![false; n],
            counters: Counters::default(),
            interrupt: Interrupt::default(),
        })
    }

    /// F(theta), zero at prescribed nodes.
    pub fn evaluate(&mut self, equation: &LogEquation, theta: &[f64], out: &mut [f64]) {
        let stage = Stage { mass: 0.0, weight: 1.0, log_load: None };
        self.assemble(equation, stage, theta, false);
        out.copy_from_slice(&self.residual);
    }

    /// Solve from the guess in `theta`. Corrections are iterated until one is below `tolerance`; with `trusted` the guess is
    /// near, and a single moderate correction is enough. Returns the corrections sup |w - 1|.
    pub fn solve(
        &mut self,
        equation: &LogEquation,
        stage: Stage<'_>,
        theta: &mut [f64],
        trusted: bool,
        tolerance: f64,
        max_iterations: usize,
    ) -> Result<Vec<f64>, Failure> {
        equation.fixed.iter().for_each(|&(j, value)| theta[j] = value);
        self.fixed.fill(false);
        self.beside_cut.fill(false);
        equation.fixed.iter().for_each(|&(j, _)| self.fixed[j] = true);
        equation.cut.iter().for_each(|c| self.beside_cut[c.node] = true);
        let key = (stage.mass, stage.weight, equation.version);
        let mut changes: Vec<f64> = Vec::new();
        while changes.len() < max_iterations {
            self.interrupt.check(0.0).map_err(|_| Failure::Interrupted)?;
            let centre = self.bridge(theta).filter(|_| self.key == Some(key));
            let fresh = centre.is_none();
            self.assemble(equation, stage, theta, fresh);
            if fresh {
                let mut sweeps = 0;
                while sweeps < MOST_SWEEPS && self.scale.iter().any(|s| *s < FAR) {
                    self.relax(equation, stage, theta);
                    self.assemble(equation, stage, theta, true);
                    sweeps += 1;
                }
                self.key = None;
                if self.matrix.diagonal(0).iter().any(|d| *d <= 0.0) {
                    return Err(Failure::NotPositive);
                }
                self.reference.copy_from_slice(theta);
                self.solver.factorise(&self.matrix).map_err(Failure::Linear)?;
                self.key = Some(key);
                self.counters.factorisations += 1;
            }
            for ((b, r), s) in self.load.iter_mut().zip(&self.residual).zip(&self.scale) {
                *b = r * s;
            }
            // Scaling of the columns: the system at theta is that at the reference with rows and columns scaled by
            // exp(theta - reference).
            match centre {
                Some(centre) => {
                    self.up.iter_mut().zip(theta.iter()).zip(&self.reference).for_each(|((e, t), r)| *e = t - r - centre);
                    hjbridge_model::lanes::exp_in_place(&mut self.up);
                    self.load.iter_mut().zip(&self.up).for_each(|(b, e)| *b *= e);
                }
                None => self.up.fill(1.0),
            }
            // An iterative solver stops at an error relative to its unknown. In a stage w itself is accurate enough for that,
            // and w - 1, which is small, would be solved for far too well.
            let whole = trusted && self.iterative;
            if whole {
                self.step.copy_from_slice(&self.up);
                self.matrix.multiply_add(1.0, &self.up, &mut self.load);
            } else {
                self.step.fill(0.0);
            }
            let info = self.solver.solve_from(&self.matrix, &self.load, &mut self.step).map_err(Failure::Linear)?;
            let c = &mut self.counters;
            c.solves += 1;
            c.worst_linear_residual = c.worst_linear_residual.max(info.relative_residual);
            self.iterative = info.iterations > 0;
            let known = if whole { 1.0 } else { 0.0 };
            self.step.iter_mut().zip(&self.up).for_each(|(x, e)| *x = *x / e - known);
            let change = self.advance(theta)?;
            let stagnant = changes.last().is_some_and(|&last| change < STAGNANT && last < STAGNANT && change > 0.25 * last);
            changes.push(change);
            if change <= tolerance || (trusted && change <= MODERATE) || stagnant {
                let c = &mut self.counters;
                c.most = c.most.max(changes.len());
                c.worst_change = c.worst_change.max(change);
                return Ok(changes);
            }
        }
        let change = changes.last().copied().unwrap_or(f64::INFINITY);
        Err(Failure::NoConvergence { iterations: changes.len(), change, residual: sup(&self.residual) })
    }

    /// Solve the row of each node for its theta, forth and back: symmetric Gauss-Seidel in the logarithm. Where phi varies by
    /// many decades from node to node this finds its size at once, for it is carried by the largest neighbour.
    fn relax(&mut self, equation: &LogEquation, stage: Stage<'_>, theta: &mut [f64]) {
        let (n, w, m) = (equation.len(), stage.weight, stage.mass);
        let shifts = equation.rates.flat_shifts();
        // Boundary data enter as sources: log of the sum of rate exp(data) over the cut edges of a node.
        let mut row = |j: usize| {
            if self.fixed[j] {
                return;
            }
            let cut = equation.cut.iter().filter(|c| self.beside_cut[j] && c.node == j);
            let load = stage.log_load.map(|b| (m, b[j]));
            let own = (1..shifts.len()).filter_map(|s| {
                let rate = equation.rates.diagonal(s)[j];
                (rate > 0.0).then(|| (w * rate, theta[j.wrapping_add_signed(shifts[s])]))
            });
            let terms = || own.clone().chain(load).chain(cut.clone().map(|c| (w * c.rate, c.data)));
            let top = terms().fold(f64::NEG_INFINITY, |top: f64, (_, e)| top.max(e));
            let sum: f64 = terms().map(|(c, e)| c * (e - top).exp()).sum();
            let diagonal = m - w * (equation.rates.diagonal(0)[j] + equation.potential[j]);
            let value = top + (sum / diagonal).ln();
            if value.is_finite() {
                theta[j] = value;
            }
        };
        (0..n).for_each(&mut row);
        (0..n).rev().for_each(&mut row);
    }

    /// The centre of theta - reference when its range can be bridged by scaling.
    fn bridge(&self, theta: &[f64]) -> Option<f64> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for (t, r) in theta.iter().zip(&self.reference) {
            let d = t - r;
            low = if d < low { d } else { low };
            high = if d > high { d } else { high };
        }
        (high - low <= 2.0 * BRIDGE).then_some(0.5 * (low + high))
    }

    /// theta += log w for the w - 1 in `step`, cut where it is not supported. Returns the largest |w - 1| (of the
    /// uncut step).
    fn advance(&mut self, theta: &mut [f64]) -> Result<f64, Failure> {
        let (mut least, mut most) = (0.0f64, 0.0f64);
        for &x in &self.step {
            least = if x < least { x } else { least };
            most = if x > most { x } else { most };
        }
        let largest = 1.0 + most;
        if !largest.is_finite() || 1.0 + least < -NEGATIVE * largest {
            return Err(Failure::NotPositive);
        }
        let floor = TRUST * largest;
        let mut change = most.max(-least);
        if 1.0 + least < floor {
            // Below the floor only "at most the floor" is known; where that would be a step up, wait for the others.
            change = f64::INFINITY;
            let cut = floor.min(1.0) - 1.0;
            self.step.iter_mut().filter(|x| 1.0 + **x < floor).for_each(|x| *x = cut);
        }
        log1p_in_place(&mut self.step);
        theta.iter_mut().zip(&self.step).for_each(|(t, s)| *t += s);
        Ok(change)
    }

    /// The residual -( m (1 - b/phi) - w F ) at theta, and with `matrix` the scaled system there.
    fn assemble(&mut self, equation: &LogEquation, stage: Stage<'_>, theta: &[f64], matrix: bool) {
        let (n, w, m) = (equation.len(), stage.weight, stage.mass);
        let shifts = equation.rates.flat_shifts();
        match stage.log_load {
            Some(load) => {
                self.residual.iter_mut().zip(load).zip(theta).for_each(|((r, b), t)| *r = b - t);
                expm1_in_place(&mut self.residual);
                for (r, l) in self.residual.iter_mut().zip(&equation.potential) {
                    *r = m * *r + w * l;
                }
            }
            None => self.residual.iter_mut().zip(&equation.potential).for_each(|(r, l)| *r = w * l),
        }
        if matrix {
            // Rows sum the tilted rates first; the diagonal follows.
            self.scale.fill(0.0);
        }
        for (s, &shift) in shifts.iter().enumerate().filter(|(_, f)| **f > 0) {
            let f = shift as usize;
            let back = shifts.iter().position(|&o| o == -shift);
            let (up, down) = (&mut self.up[..n - f], &mut self.down[..n - f]);
            for ((e, a), b) in up.iter_mut().zip(&theta[f..]).zip(theta) {
                *e = a - b;
            }
            expm1_pair(up, down);
            for ((r, q), e) in self.residual.iter_mut().zip(equation.rates.diagonal(s)).zip(&*up) {
                *r += w * q * e;
            }
            if matrix {
                tilt(w, equation.rates.diagonal(s), up, self.matrix.diagonal_mut(s), &mut self.scale);
            }
            if let Some(back) = back {
                let rates = &equation.rates.diagonal(back)[f..];
                for ((r, q), e) in self.residual[f..].iter_mut().zip(rates).zip(&*down) {
                    *r += w * q * e;
                }
                if matrix {
                    tilt(w, rates, down, &mut self.matrix.diagonal_mut(back)[f..], &mut self.scale[f..]);
                }
            }
        }
        for c in &equation.cut {
            self.residual[c.node] += w * c.rate * (c.data - theta[c.node]).min(LARGEST).exp_m1();
        }
        equation.fixed.iter().for_each(|&(j, _)| self.residual[j] = 0.0);
        if matrix {
            let rows = equation.rates.diagonal(0).iter().zip(&equation.potential);
            for ((d, s), (own, l)) in self.matrix.diagonal_mut(0).iter_mut().zip(&mut self.scale).zip(rows) {
                *d = m - w * (own + l);
                // A guess far from the solution may tilt rates by hundreds of decades: such rows are scaled down.
                *s = if *s > 2.0 * d.abs() { d.abs() / *s } else { 1.0 };
            }
            for &(j, _) in &equation.fixed {
                self.matrix.diagonal_mut(0)[j] = 1.0;
                self.scale[j] = 1.0;
            }
            if self.scale.iter().any(|s| *s < 1.0) {
                for s in 0..shifts.len() {
                    self.matrix.diagonal_mut(s).iter_mut().zip(&self.scale).for_each(|(c, s)| *c *= s);
                }
            }
        }
    }
}

/// Off-diagonal entries -w r (1 + e), and their sizes added up by row.
fn tilt(w: f64, rates: &[f64], e: &[f64], out: &mut [f64], sums: &mut [f64]) {
    for (((o, s), r), e) in out.iter_mut().zip(sums).zip(rates).zip(e) {
        let q = w * r * (1.0 + e);
        *o = -q;
        *s += q;
    }
}
