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
//! lies within [-a/h-, a/h+] both rates are non-negative and the scheme is monotone. The fitted scheme is central for
//! all drifts and raises a instead. Where cross derivatives (`cross.rs`) take from the rates of the second difference, the
//! interval is that of the rates left over, so schemes stay monotone wherever they can be.

pub(crate) mod cross;
pub(crate) mod fitted;
mod hybrid;
pub(crate) mod rates;
mod upwind;

pub use fitted::Fitted;
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
    /// The central quotient with the diffusion of [`Fitted`].
    Fitted,
}

/// How the rates of a scheme depend on the drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// One of three slopes, by the interval in which the drift lies.
    Slopes,
    /// Smoothly, by exponential fitting.
    Fitted,
}

/// A three-point scheme on one axis.
pub trait SpaceScheme: Send + Sync {
    /// Name, as reports show it.
    fn name(&self) -> &'static str;

    /// Order of consistency for smooth data away from the upwinded nodes.
    fn order(&self) -> u32;

    /// How the rates depend on the drift.
    fn kernel(&self) -> Kernel {
        Kernel::Slopes
    }

    /// The interval of drifts in which the central slope is used, for many nodes: `rates` of the second difference to the
    /// lower and upper neighbours and `weights` of the differences below and above in the central slope in (a weight is zero
    /// where there is no neighbour), ends of the interval out.
    fn central_windows(&self, rates: [&[f64]; 2], weights: [&[f64]; 2], low: &mut [f64], high: &mut [f64]);

    /// The slope used at drift `mu` at an interior node with diffusion coefficient `a` = sigma^2.
    fn slope(&self, spacing: Spacing, mu: f64, a: f64) -> Slope {
        let Spacing { minus, plus } = spacing;
        let width = minus + plus;
        let (mut low, mut high) = ([0.0], [0.0]);
        let rates = [&[a / (minus * width)][..], &[a / (plus * width)]];
        let weights = [&[plus / (minus * width)][..], &[minus / (plus * width)]];
        self.central_windows(rates, weights, &mut low, &mut high);
        choose(mu, low[0], high[0])
    }

    /// Rates to the neighbours of an interior node.
    fn off_diagonals(&self, spacing: Spacing, mu: f64, a: f64) -> OffDiagonals {
        let Spacing { minus, plus } = spacing;
        let width = minus + plus;
        let (down, up) = match self.slope(spacing, mu, a) {
            Slope::Central | Slope::Fitted => (plus / (minus * width), minus / (plus * width)),
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
    /// [`Fitted`]: order 2, monotone, uniformly accurate in layers.
    Fitted,
}

impl Space {
    /// The scheme itself.
    pub fn scheme(self) -> &'static dyn SpaceScheme {
        match self {
            Space::Upwind => &Upwind,
            Space::Hybrid => &Hybrid,
            Space::Fitted => &Fitted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_is_exact_on_linear_functions_and_hybrid_on_quadratics() {
        let spacing = Spacing { minus: 0.3, plus: 0.5 };
        for space in [Space::Upwind, Space::Hybrid, Space::Fitted] {
            for (mu, a) in [(0.4, 1.0), (-0.4, 1.0), (7.0, 0.1), (-7.0, 0.1), (1.0, 0.0), (0.0, 0.0)] {
                let OffDiagonals { lower, upper } = space.scheme().off_diagonals(spacing, mu, a);
                assert!(lower >= -1e-15 && upper >= -1e-15, "{space:?} {mu} {a}: {lower} {upper}");
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
        let (lower, upper) = (-a / spacing.minus, a / spacing.plus);
        let at = Hybrid.off_diagonals(spacing, upper, a);
        assert!(at.lower.abs() < 1e-15 && at.upper > 0.0);
        let at = Hybrid.off_diagonals(spacing, lower, a);
        assert!(at.upper.abs() < 1e-15 && at.lower > 0.0);
        assert_eq!(Hybrid.slope(spacing, 2.0001, a), Slope::Upward);
        assert_eq!(Hybrid.slope(spacing, -4.0001, a), Slope::Downward);
    }
}
