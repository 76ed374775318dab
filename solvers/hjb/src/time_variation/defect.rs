//! What a stage of a time scheme misses of a source that varies within it.
//!
//! A stage takes a source l into account by its values at the levels it joins. Where l jumps or varies quickly between them
//! that is not its integral. With I the integral of l from the level left down to the level reached, and J that of the stage
//! before, the stage is exact for V' = -l when
//!
//!   I + older J - implicit l_new - explicit l_left
//!
//! is added to its right side.

use crate::error::HjbError;
use crate::time::Stage;
use crate::time_variation::TimeVariation;

/// Nodes and weights of the Gauss rule of order 10 on [-1, 1].
const GAUSS: [(f64, f64); 5] = [
    (-0.906_179_845_938_664, 0.236_926_885_056_189_08),
    (-0.538_469_310_105_683_1, 0.478_628_670_499_366_47),
    (0.0, 0.568_888_888_888_888_9),
    (0.538_469_310_105_683_1, 0.478_628_670_499_366_47),
    (0.906_179_845_938_664, 0.236_926_885_056_189_08),
];

/// The levels of a stage as generation times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StageTimes {
    /// The one reached.
    pub new: f64,
    /// The one left.
    pub left: f64,
    /// The one before that.
    pub older: f64,
}

/// The correction above on n points where the stage needs one; `source` writes l at a time.
///
/// # Errors
/// Those of `source`.
pub(crate) fn stage_defect(
    variation: &TimeVariation,
    stage: &Stage,
    times: StageTimes,
    n: usize,
    mut source: impl FnMut(f64, &mut [f64]) -> Result<(), HjbError>,
) -> Result<Option<Vec<f64>>, HjbError> {
    let StageTimes { new, left, older } = times;
    let looks_back = stage.older != 0.0 && variation.is_rough(left, older);
    if !variation.is_rough(new, left) && !looks_back {
        return Ok(None);
    }
    let (mut defect, mut l) = (vec![0.0; n], vec![0.0; n]);
    let mut integrate = |from: f64, to: f64, factor: f64| -> Result<(), HjbError> {
        for (a, b) in variation.pieces(from, to) {
            let (centre, half) = (0.5 * (a + b), 0.5 * (b - a));
            for (place, weight) in GAUSS {
                source((centre + half * place).clamp(a, b), &mut l)?;
                defect.iter_mut().zip(&l).for_each(|(d, l)| *d += factor * half * weight * l);
            }
        }
        Ok(())
    };
    integrate(new, left, 1.0)?;
    if stage.older != 0.0 {
        integrate(left, older, stage.older)?;
    }
    for (t, weight) in [(new, stage.implicit), (left, stage.explicit)] {
        if weight != 0.0 {
            source(t, &mut l)?;
            defect.iter_mut().zip(&l).for_each(|(d, l)| *d -= weight * l);
        }
    }
    Ok(Some(defect))
}
