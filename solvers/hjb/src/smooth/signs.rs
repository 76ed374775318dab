//! The monotonicity certificate of differences of high order: how far they are from a Markov chain.
//!
//! The weights f_i d1 + a_ii d2/2 of the neighbours along each axis at the end of the horizon, without control and cross
//! derivatives. Those of d2 from order 4 on are negative two nodes away, whatever the grid: no maximum principle holds, and
//! near kinks the solution may overshoot. What answers for these solutions is the certificate of accuracy.

use crate::error::HjbError;
use crate::monotonicity::{Monotonicity, ViolationCause};
use crate::smooth::operator::SmoothOperator;

/// Count the negative weights at time `t`.
pub(crate) fn signs(operator: &SmoothOperator<'_>, t: f64) -> Result<Monotonicity, HjbError> {
    let layout = operator.model.layout;
    let channels = operator.model.evaluate(t)?;
    let mut found = Monotonicity::default();
    let mut fails = vec![false; operator.len()];
    for (i, axis) in operator.differences.axes.iter().enumerate() {
        let (drift, variance) = (&channels[layout.drift(i)], &channels[layout.diffusion(i, i)]);
        for j in 0..operator.len() {
            let at = (j / axis.stride) % axis.count;
            let stencil = &axis.nodes[at];
            let (f, a) = (drift.get(j), 0.5 * variance.get(j));
            let weight = |k: usize| f * stencil.first[k] + a * stencil.second[k];
            let own = weight(at - stencil.start);
            for k in (0..stencil.first.len()).filter(|k| stencil.start + k != at) {
                fails[j] |= found.count(weight(k), own, ViolationCause::HighOrder, (j, i), || (operator.model.point(j), t));
            }
        }
    }
    found.nodes = fails.into_iter().filter(|fails| *fails).count();
    Ok(found)
}
