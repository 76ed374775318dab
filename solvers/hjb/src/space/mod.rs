//! Three-point space schemes: how drift and diffusion become rates to the two neighbours on an axis.
//!
//! With spacings h-, h+ to the neighbours and drift mu, all schemes of this family share the second difference
//!
//!   (1/2) a V'' ~ a [ (V+ - V)/(h+ (h- + h+)) - (V - V-)/(h- (h- + h+)) ]
//!
//! and choose the slope that the drift multiplies among
//!
//!   upward (V+ - V)/h+,  downward (V - V-)/h-,  central [ h+ (V - V-)/h- + h- (V+ - V)/h+ ] / (h- + h+)
//!
//! (the derivative of the parabola through the three values, exact for quadratics on any spacing). A scheme is told
//! by the interval of drifts in which it is central; above it is upward, below it is downward. Wherever the interval
//! lies within [-a/h-, a/h+] both rates are non-negative and the scheme is monotone.

mod hybrid;
mod upwind;

pub use hybrid::Hybrid;
pub use upwind::Upwind;

use serde::Serialize;

/// Distances to the two neighbours of a node on one axis; infinite where there is no neighbour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spacing {
    /// To the lower neighbour, h-.
    pub minus: f64,
    /// To the upper neighbour, h+.
    pub plus: f64,
}

/// Rates to the two neighbours: L V = lower (V- - V) + upper (V+ - V).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OffDiagonals {
    /// Rate to the lower neighbour.
    pub lower: f64,
    /// Rate to the upper neighbour.
    pub upper: f64,
}

/// Which difference quotient the drift multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[repr(u8)]
pub enum Slope {
    /// The scheme's central quotient (at a face: the quotient of the boundary condition).
    #[default]
    Central,
    /// (V+ - V)/h+.
    Upward,
    /// (V - V-)/h-.
    Downward,
}

/// A three-point scheme on one axis.
pub trait SpaceScheme: Send + Sync {
    /// Name, as reports show it.
    fn name(&self) -> &'static str;

    /// Order of consistency for smooth data away from the upwinded nodes.
    fn order(&self) -> u32;

    /// The interval of drifts in which the central slope is used, for a node with diffusion coefficient `a` = sigma^2.
    fn central_window(&self, spacing: Spacing, a: f64) -> (f64, f64);

    /// [`SpaceScheme::central_window`] for many nodes: spacings `minus`, `plus` and `a` in, bounds out.
    fn central_windows(&self, minus: &[f64], plus: &[f64], a: &[f64], lower: &mut [f64], upper: &mut [f64]) {
        for ((((m, p), a), lo), up) in minus.iter().zip(plus).zip(a).zip(lower).zip(upper) {
            (*lo, *up) = self.central_window(Spacing { minus: *m, plus: *p }, *a);
        }
    }

    /// The slope used at drift `mu`.
    fn slope(&self, spacing: Spacing, mu: f64, a: f64) -> Slope {
        let (lower, upper) = self.central_window(spacing, a);
        choose(mu, lower, upper)
    }

    /// Rates to the neighbours of an interior node.
    fn off_diagonals(&self, spacing: Spacing, mu: f64, a: f64) -> OffDiagonals {
        let Spacing { minus, plus } = spacing;
        let width = minus + plus;
        let (down, up) = match self.slope(spacing, mu, a) {
            Slope::Central => (plus / (minus * width), minus / (plus * width)),
            Slope::Upward => (0.0, 1.0 / plus),
            Slope::Downward => (1.0 / minus, 0.0),
        };
        OffDiagonals { lower: a / (minus * width) - mu * down, upper: a / (plus * width) + mu * up }
    }
}

/// The slope for drift `mu` with the central window [lower, upper].
#[inline]
pub(crate) fn choose(mu: f64, lower: f64, upper: f64) -> Slope {
    if mu > upper {
        Slope::Upward
    } else if mu < lower {
        Slope::Downward
    } else {
        Slope::Central
    }
}

/// The space schemes by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub enum Space {
    /// [`Upwind`]: order 1, monotone.
    Upwind,
    /// [`Hybrid`]: order 2 where the cell Peclet number allows it, monotone.
    #[default]
    Hybrid,
}

impl Space {
    /// The scheme itself.
    pub fn scheme(self) -> &'static dyn SpaceScheme {
        match self {
            Space::Upwind => &Upwind,
            Space::Hybrid => &Hybrid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_is_exact_on_linear_functions_and_hybrid_on_quadratics() {
        let spacing = Spacing { minus: 0.3, plus: 0.5 };
        for space in [Space::Upwind, Space::Hybrid] {
            for (mu, a) in [(0.4, 1.0), (-0.4, 1.0), (7.0, 0.1), (-7.0, 0.1), (1.0, 0.0), (0.0, 0.0)] {
                let OffDiagonals { lower, upper } = space.scheme().off_diagonals(spacing, mu, a);
                assert!(lower >= 0.0 && upper >= 0.0, "{space:?} {mu} {a}: {lower} {upper}");
                let linear = -lower * spacing.minus + upper * spacing.plus;
                assert!((linear - mu).abs() < 1e-14 * (1.0 + mu.abs()));
                // V = x^2 around 0: L V = a + 0 for a central slope.
                let square = lower * spacing.minus.powi(2) + upper * spacing.plus.powi(2);
                if space == Space::Hybrid && a == 1.0 {
                    assert!((square - a).abs() < 1e-14, "{square}");
                }
            }
        }
    }

    #[test]
    fn hybrid_switches_exactly_where_central_loses_positivity() {
        let spacing = Spacing { minus: 0.2, plus: 0.4 };
        let a = 0.8;
        let (lower, upper) = Hybrid.central_window(spacing, a);
        assert_eq!((lower, upper), (-4.0, 2.0));
        let at = Hybrid.off_diagonals(spacing, upper, a);
        assert!(at.lower.abs() < 1e-15 && at.upper > 0.0);
        let at = Hybrid.off_diagonals(spacing, lower, a);
        assert!(at.upper.abs() < 1e-15 && at.lower > 0.0);
        assert_eq!(Hybrid.slope(spacing, 2.0001, a), Slope::Upward);
        assert_eq!(Hybrid.slope(spacing, -4.0001, a), Slope::Downward);
    }
}
