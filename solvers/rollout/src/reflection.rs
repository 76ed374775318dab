//! Reflection of paths at the faces of a box.
//!
//! After every step a coordinate beyond a face is folded back, x -> 2 a - x, as often as needed: the symmetrised scheme. For
//! Brownian motion with independent coordinates the law at the steps is exact. In general the weak order is 1 where the noise
//! across a face is independent of the noise along it (the face is then reached along the co-normal), otherwise 1/2, whatever
//! the order of the scheme inside. Corners are folded one coordinate after the other.
//!
//! Reference: Bossy, Gobet, Talay, *A symmetrized Euler scheme for an efficient approximation of reflected diffusions*,
//! J. Appl. Probab. 41 (2004).

use crate::error::RolloutError;
use crate::noise::LANES;

/// Reflecting faces of a box; paths should start between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Reflection {
    /// Infinite where there is none.
    faces: Vec<[f64; 2]>,
}

impl Reflection {
    /// At these faces, [lower, upper] for each coordinate.
    ///
    /// # Errors
    /// A face that is not finite, or not lower < upper.
    pub fn new(faces: &[[Option<f64>; 2]]) -> Result<Self, RolloutError> {
        let face = |[lower, upper]: &[Option<f64>; 2]| {
            let finite = lower.iter().chain(upper).all(|a| a.is_finite());
            let pair = [lower.unwrap_or(f64::NEG_INFINITY), upper.unwrap_or(f64::INFINITY)];
            match finite && pair[0] < pair[1] {
                true => Ok(pair),
                false => Err(RolloutError::invalid("reflection", format!("{lower:?}, {upper:?}"), "finite, lower < upper")),
            }
        };
        Ok(Reflection { faces: faces.iter().map(face).collect::<Result<_, _>>()? })
    }

    /// Number of coordinates.
    pub(crate) fn dim(&self) -> usize {
        self.faces.len()
    }

    /// Bits that tell one box from another.
    pub(crate) fn bits(&self) -> impl Iterator<Item = u64> + '_ {
        self.faces.as_flattened().iter().map(|a| a.to_bits())
    }

    /// Fold the states of all lanes back into the box; a NaN stays.
    pub(crate) fn fold(&self, state: &mut [f64]) {
        for (x, &[lower, upper]) in state.chunks_exact_mut(LANES).zip(&self.faces) {
            for x in x {
                if *x < lower || *x > upper {
                    *x = folded(*x, lower, upper);
                }
            }
        }
    }
}

/// The mirror image in [lower, upper] of a point outside.
fn folded(x: f64, lower: f64, upper: f64) -> f64 {
    let near = if x < lower { 2.0 * lower - x } else { 2.0 * upper - x };
    if near >= lower && near <= upper || !(lower.is_finite() && upper.is_finite()) {
        return near;
    }
    // further than the width of the box away
    let width = upper - lower;
    let beyond = (x - lower).rem_euclid(2.0 * width);
    (lower + beyond.min(2.0 * width - beyond)).clamp(lower, upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_folded_as_often_as_needed() {
        for (x, image) in [(-0.25, 0.25), (1.25, 0.75), (2.25, 0.25), (-1.25, 0.75), (3.5, 0.5), (-7.25, 0.75)] {
            assert_eq!(folded(x, 0.0, 1.0), image, "{x}");
        }
        assert_eq!(folded(-9.0, -1.0, f64::INFINITY), 7.0);
        let mut state = vec![0.5; 2 * LANES];
        (state[3], state[LANES]) = (f64::NAN, -2.0);
        Reflection::new(&[[Some(0.0), Some(1.0)], [None, None]]).unwrap().fold(&mut state);
        assert!(state[3].is_nan() && state[LANES] == -2.0 && state[0] == 0.5);
        assert!(folded(f64::INFINITY, 0.0, 1.0).is_nan(), "a lost path stays lost");
        for bad in [[Some(1.0), Some(1.0)], [Some(f64::NAN), None], [None, Some(f64::INFINITY)]] {
            assert!(Reflection::new(&[bad]).is_err());
        }
    }
}
