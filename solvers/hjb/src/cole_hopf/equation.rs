//! The linear equation at one time, written for theta = log phi = V/beta.
//!
//!   F_j(theta) = sum_k r_jk ( exp(theta_k - theta_j) - 1 ) + l_j/beta
//!
//! is (L phi + (l/beta) phi)_j / phi_j: only differences of theta appear. The rates r_jk are those of the uncontrolled process.

use crate::error::HjbError;
use crate::hamiltonian::{Hamiltonian, Operator, Policy};
use crate::monotonicity::{Monotonicity, ViolationCause};
use crate::stencil::StencilMatrix;

/// A rate counts as negative below minus this fraction of the row's diagonal.
const ROUNDING: f64 = 1e-12;

/// An edge to the boundary of a target set.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct CutRate {
    pub node: usize,
    pub rate: f64,
    /// theta on the boundary.
    pub data: f64,
}

/// Rates, potential and data at one time.
pub(super) struct LogEquation {
    /// The rates; the diagonal is minus their sum, cut edges included. Rows of prescribed nodes are zero.
    pub rates: StencilMatrix,
    /// l/beta, n entries.
    pub potential: Vec<f64>,
    pub cut: Vec<CutRate>,
    /// Nodes whose theta is prescribed.
    pub fixed: Vec<(usize, f64)>,
    /// Counts changes of rates and potential.
    pub version: usize,
    pub certificate: Monotonicity,
    operator: Operator,
    policy: Policy,
}

impl LogEquation {
    pub fn new(hamiltonian: &Hamiltonian<'_>) -> Self {
        let operator = hamiltonian.zero_operator();
        LogEquation {
            rates: operator.generator.clone(),
            potential: operator.running.clone(),
            cut: Vec::new(),
            fixed: Vec::new(),
            version: 0,
            certificate: Monotonicity::default(),
            operator,
            policy: hamiltonian.zero_policy(),
        }
    }

    /// Take over the equation of a Hamiltonian prepared for time t, whose target data are set, for the pair
    /// (rate, shift): phi exp(-shift) in place of phi, and l/beta less the rate.
    ///
    /// # Errors
    /// A negative rate: phi > 0 holds for monotone generators only.
    pub fn read(
        &mut self,
        hamiltonian: &mut Hamiltonian<'_>,
        beta: f64,
        t: f64,
        (rate_taken, shift): (f64, f64),
    ) -> Result<(), HjbError> {
        hamiltonian.apply_open(&mut self.policy, true, &mut self.operator);
        let Operator { generator, running } = &mut self.operator;
        if generator.flat_shifts().len() != self.rates.flat_shifts().len() {
            return Err(HjbError::Unsupported {
                what: "cross diffusion that appears only now".into(),
                t,
                point: Vec::new(),
                allowed: "for the Cole-Hopf route correlations seen at 0, T or three times between (HjbSolver takes any)",
            });
        }
        running.iter_mut().for_each(|l| *l = *l / beta - rate_taken);
        self.cut.clear();
        self.fixed.clear();
        let nodes = &hamiltonian.coefficients().nodes;
        if let Some(target) = hamiltonian.target() {
            let diagonal = generator.diagonal(0).to_vec();
            let dim = nodes.dim();
            for (number, node, value) in target.cut_rates(dim) {
                let rate = &mut generator.diagonal_mut(number)[node];
                if *rate < -ROUNDING * diagonal[node].abs() {
                    let point = (0..dim).map(|i| nodes.coord(i)[node]).collect();
                    // Corners come after the neighbours on the axes.
                    let (axis, cause) = match (number - 1) / 2 {
                        axis if axis < dim => (axis, ViolationCause::CellPeclet),
                        _ => (0, ViolationCause::CrossTerm),
                    };
                    return Err(HjbError::NotMonotone { node, point, axis, t: Some(t), rate: *rate, cause });
                }
                self.cut.push(CutRate { node, rate: rate.max(0.0), data: value / beta - shift });
                *rate = 0.0;
            }
            self.fixed.extend(target.values().iter().map(|&(j, g)| (j, g / beta - shift)));
            for s in 0..generator.flat_shifts().len() {
                let diagonal = generator.diagonal_mut(s);
                self.fixed.iter().for_each(|&(j, _)| diagonal[j] = 0.0);
            }
            self.fixed.iter().for_each(|&(j, _)| running[j] = 0.0);
        }
        self.certificate.inspect(generator, nodes, Some(t));
        self.certificate.require()?;
        if generator.coefficients() != self.rates.coefficients() || *running != self.potential {
            std::mem::swap(generator, &mut self.rates);
            std::mem::swap(running, &mut self.potential);
            self.version += 1;
        }
        Ok(())
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.potential.len()
    }
}
