//! Watch for problems whose value becomes infinite because the reward is too convex for its control weight.
//!
//! On a finite box the discrete problem always has a solution, so an ill-posed problem would give an answer, one that
//! depends on the box. Where data continue beyond a face as they are there, the curvature P of V along the normal obeys
//! the scalar Riccati equation (tau = T - t, k = d f/dx at the face less half the discount rate, kappa = G^2/R)
//!
//!   dP/dtau = 2 k P + kappa P^2 + l'',   P(0) = g'',
//!
//! which is exact for linear-quadratic data in one dimension. Its solution over one stage with frozen coefficients is
//! P e / (1 - kappa P (e - 1)/(2k)), e = exp(2 k h); a denominator that is not positive is the blow-up of V. To spare
//! bounded rewards that merely curve upward at the face, the optimal drift must also have pointed out of the box there, and no
//! bound on v may stop it from growing that way.
//! In several dimensions the least curvature, slope and mobility of the face are taken and couplings between axes are
//! left out, so the watch is a heuristic there.

use crate::error::HjbError;
use crate::faces::Face as Condition;
use crate::hamiltonian::{Hamiltonian, Policy};

/// Curvatures below this fraction of sup |g| per squared extent of the axis are rounding of a linear reward.
const ROUNDING: f64 = 1e-7;

/// One face of the box.
struct Face {
    axis: usize,
    upper: bool,
    /// (node on the face, its neighbour, the neighbour's neighbour).
    nodes: Vec<[usize; 3]>,
    /// Distances between these.
    spacing: [f64; 2],
    /// P.
    curvature: f64,
    /// Whether the optimal drift pointed outward on the whole face at some time.
    outward: bool,
}

/// The curvatures at all faces, advanced with the solver.
pub(crate) struct CurvatureWatch {
    faces: Vec<Face>,
}

impl CurvatureWatch {
    /// Start from the terminal reward `g`; only extrapolated faces are watched.
    pub fn new(hamiltonian: &Hamiltonian<'_>, g: &[f64], sup: f64) -> Self {
        let geometry = hamiltonian.geometry();
        let mut faces = Vec::new();
        for (axis, data) in geometry.axes.iter().enumerate() {
            let nodes = geometry.grid.axis(axis).nodes();
            let (n, stride) = (nodes.len(), data.stride);
            let extent = nodes[n - 1] - nodes[0];
            for upper in [false, true] {
                if data.faces[usize::from(upper)] != Condition::Extrapolated {
                    continue;
                }
                let (on, spacing) = match upper {
                    false => (&data.lower_face, [nodes[1] - nodes[0], nodes[2] - nodes[1]]),
                    true => (&data.upper_face, [nodes[n - 1] - nodes[n - 2], nodes[n - 2] - nodes[n - 3]]),
                };
                let inward = |j: usize, k: usize| if upper { j - k * stride } else { j + k * stride };
                let nodes = on.iter().map(|&j| [j, inward(j, 1), inward(j, 2)]).collect();
                let mut face = Face { axis, upper, nodes, spacing, curvature: 0.0, outward: false };
                let curvature = face.second_difference(g);
                face.curvature = if curvature * extent * extent > ROUNDING * sup { curvature } else { curvature.min(0.0) };
                faces.push(face);
            }
        }
        CurvatureWatch { faces }
    }

    /// Advance over a stage of this length with the coefficients prepared, ending at time t with this optimal policy.
    pub fn advance(&mut self, hamiltonian: &Hamiltonian<'_>, policy: &Policy, length: f64, t: f64) -> Result<(), HjbError> {
        let n = hamiltonian.len();
        let c = hamiltonian.coefficients();
        for face in &mut self.faces {
            let i = face.axis;
            let drift = &c.drift[i * n..][..n];
            let Some(pulls) =
                face.nodes.iter().map(|&[j, ..]| hamiltonian.pull(policy, i, face.upper, j)).collect::<Option<Vec<_>>>()
            else {
                continue;
            };
            let out = if face.upper { 1.0 } else { -1.0 };
            face.outward |= face.nodes.iter().zip(&pulls).all(|(&[j, ..], (_, push))| out * (drift[j] + push) > 0.0);
            let least = |f: &dyn Fn(&[usize; 3]) -> f64| face.nodes.iter().map(f).fold(f64::INFINITY, f64::min);
            let mobility = pulls.iter().fold(f64::INFINITY, |least, (mobility, _)| least.min(*mobility));
            let slope = least(&|&[j, inner, _]| out * (drift[j] - drift[inner]) / face.spacing[0]);
            let k = slope - 0.5 * hamiltonian.discount();
            let growth = 2.0 * k * length;
            // Numerator and denominator over e where e > 1, so that it may overflow.
            let (decay, gain) = if growth > 0.0 { ((-growth).exp(), 1.0) } else { (1.0, growth.exp()) };
            // (e - 1)/(2k), which is h for k = 0.
            let spread = if growth.abs() > 1e-12 { (gain - decay) / (2.0 * k) } else { length };
            let denominator = decay - mobility * face.curvature * spread;
            if denominator > 0.0 || face.curvature == 0.0 {
                let carried = if face.curvature == 0.0 { 0.0 } else { face.curvature * gain / denominator };
                face.curvature = carried + length * face.second_difference(&c.running);
            } else if face.outward {
                return Err(HjbError::IllPosed { t, axis: i, upper: face.upper });
            } else {
                face.curvature = 0.0;
            }
        }
        Ok(())
    }
}

impl Face {
    /// Least second derivative along the normal over the face, from the three nodes next to it.
    fn second_difference(&self, v: &[f64]) -> f64 {
        let [near, far] = self.spacing;
        let second = |&[a, b, c]: &[usize; 3]| 2.0 * ((v[c] - v[b]) / far - (v[b] - v[a]) / near) / (near + far);
        self.nodes.iter().map(second).fold(f64::INFINITY, f64::min)
    }
}
