//! Rates of all axes at one time, from the diffusion coefficients: what the schemes start from.
//!
//! On each axis L V = (m - mu c-) (V- - V) + (p + mu c+) (V+ - V) with the central slope, where m = a/(h- (h- + h+)) and
//! p = a/(h+ (h- + h+)), less what cross derivatives take away. One-sided slopes and fitting change the drift part.

use super::cross::CrossRates;
use super::fitted;
use super::{Kernel, Slope, SpaceScheme, choose};
use crate::coefficients::CrossDiffusion;
use crate::faces::Face;
use crate::geometry::{AxisGeometry, Geometry};
use crate::stencil::StencilMatrix;

/// One axis; every array has one entry per node.
pub(crate) struct AxisRates {
    kernel: Kernel,
    /// Rates of the second difference.
    pub minus: Vec<f64>,
    pub plus: Vec<f64>,
    /// Ends of the central window (schemes of three slopes).
    pub low: Vec<f64>,
    pub high: Vec<f64>,
    /// What is left of a_ii for fitting, and the larger spacing (the fitted scheme).
    pub variance: Vec<f64>,
    pub spacing: Vec<f64>,
}

impl AxisRates {
    fn new(kernel: Kernel, g: &AxisGeometry) -> Self {
        let n = g.minus.len();
        let room = |used: Kernel| vec![0.0; if used == kernel { n } else { 0 }];
        AxisRates {
            kernel,
            minus: vec![0.0; n],
            plus: vec![0.0; n],
            low: room(Kernel::Slopes),
            high: room(Kernel::Slopes),
            variance: room(Kernel::Fitted),
            spacing: room(Kernel::Fitted),
        }
    }

    /// The rates of a second difference with coefficient `a`.
    fn set_diffusion(&mut self, g: &AxisGeometry, a: &[f64]) {
        for (rates, weights) in [(&mut self.minus, &g.diffusion_minus), (&mut self.plus, &g.diffusion_plus)] {
            rates.iter_mut().zip(weights).zip(a).for_each(|((r, w), a)| *r = a * w);
        }
    }

    /// What the scheme needs besides, once the rates are final.
    fn set_scheme(&mut self, scheme: &dyn SpaceScheme, g: &AxisGeometry) {
        match self.kernel {
            Kernel::Slopes => {
                let (low, high) = (&mut self.low, &mut self.high);
                scheme.central_windows([&self.minus, &self.plus], [&g.central_minus, &g.central_plus], low, high);
                for (face, nodes) in g.faces.iter().zip([&g.lower_face, &g.upper_face]) {
                    if matches!(face, Face::Extrapolated | Face::Dirichlet) {
                        nodes.iter().for_each(|&j| (low[j], high[j]) = (f64::NEG_INFINITY, f64::INFINITY));
                    }
                }
            }
            Kernel::Fitted => {
                for j in 0..self.minus.len() {
                    let part = |rate: f64, weight: f64| if weight > 0.0 { rate / weight } else { f64::INFINITY };
                    let a = part(self.minus[j], g.diffusion_minus[j]).min(part(self.plus[j], g.diffusion_plus[j]));
                    // No second difference at all (an extrapolated face): nothing is added there.
                    self.variance[j] = if a < f64::INFINITY { a.max(0.0) } else { 0.0 };
                    let finite = |h: f64| if h.is_finite() { h } else { 0.0 };
                    self.spacing[j] = finite(g.minus[j]).max(finite(g.plus[j]));
                }
            }
        }
    }

    /// Which kind of scheme this is.
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// The slope that the scheme uses at drift `mu`.
    #[inline]
    pub fn slope(&self, j: usize, mu: f64) -> Slope {
        match self.kernel {
            Kernel::Slopes => choose(mu, self.low[j], self.high[j]),
            Kernel::Fitted => Slope::Fitted,
        }
    }

    /// Rates to the lower and the upper neighbour at drift `mu` with this slope.
    #[inline]
    pub fn rates(&self, g: &AxisGeometry, j: usize, mu: f64, slope: Slope) -> (f64, f64) {
        let (m, p) = (self.minus[j], self.plus[j]);
        match slope {
            Slope::Central => (m - mu * g.central_minus[j], p + mu * g.central_plus[j]),
            Slope::Upward => (m, p + mu * g.inverse_plus[j]),
            Slope::Downward => (m - mu * g.inverse_minus[j], p),
            Slope::Fitted => {
                // A policy made with another scheme has no array to look up: central then.
                let known = self.variance.get(j).zip(self.spacing.get(j));
                let excess = known.map_or(0.0, |(&a, &h)| fitted::excess(mu, a, h));
                (
                    m + excess * g.diffusion_minus[j] - mu * g.central_minus[j],
                    p + excess * g.diffusion_plus[j] + mu * g.central_plus[j],
                )
            }
        }
    }
}

/// All axes and the cross terms.
pub(crate) struct SpaceRates {
    scheme: &'static dyn SpaceScheme,
    pub axes: Vec<AxisRates>,
    pub cross: Option<CrossRates>,
}

impl SpaceRates {
    /// Room for a grid; `pairs` are the correlated pairs of axes.
    pub fn new(geometry: &Geometry, scheme: &'static dyn SpaceScheme, pairs: &[(usize, usize)]) -> Self {
        let axes = geometry.axes.iter().map(|g| AxisRates::new(scheme.kernel(), g)).collect();
        SpaceRates { scheme, axes, cross: CrossRates::new(geometry, pairs) }
    }

    /// Start anew with these pairs of correlated axes.
    pub fn set_pairs(&mut self, geometry: &Geometry, pairs: &[(usize, usize)]) {
        self.cross = CrossRates::new(geometry, pairs);
    }

    /// Which kind of scheme this is.
    pub fn kernel(&self) -> Kernel {
        self.scheme.kernel()
    }

    /// Set the rates for the a_ii (d x n) and a_ij.
    pub fn set(&mut self, geometry: &Geometry, variance: &[f64], cross: &[CrossDiffusion]) {
        let n = geometry.len();
        for ((rates, g), a) in self.axes.iter_mut().zip(&geometry.axes).zip(variance.chunks_exact(n)) {
            rates.set_diffusion(g, a);
        }
        if let Some(rates) = &mut self.cross {
            rates.set(geometry, cross, &mut self.axes);
        }
        for (rates, g) in self.axes.iter_mut().zip(&geometry.axes) {
            rates.set_scheme(self.scheme, g);
        }
    }

    /// A zero matrix of the pattern of the generators.
    pub fn pattern(&self, geometry: &Geometry) -> StencilMatrix {
        let mut extra: Vec<Vec<isize>> = self.cross.iter().flat_map(CrossRates::shifts).cloned().collect();
        for (axis, g) in geometry.axes.iter().enumerate().filter(|(_, g)| g.is_periodic()) {
            extra.extend([false, true].map(|upper| wrap_shift(geometry.dim(), axis, g, upper)));
        }
        StencilMatrix::nearest_neighbour_and(geometry.grid.shape(), extra)
    }

    /// Complete a generator whose rates on the axes are set: cross terms, neighbours across the ends of periodic axes, and
    /// the diagonal that makes the rows sum to zero.
    pub fn complete(&self, geometry: &Geometry, generator: &mut StencilMatrix) {
        if let Some(cross) = &self.cross {
            cross.write(generator);
        }
        for (axis, g) in geometry.axes.iter().enumerate().filter(|(_, g)| g.is_periodic()) {
            for (upper, nodes) in [(false, &g.lower_face), (true, &g.upper_face)] {
                let from = 2 * axis + 1 + usize::from(upper);
                let Some(to) = generator.shift_number(&wrap_shift(geometry.dim(), axis, g, upper)) else { continue };
                let inner = nodes.iter().map(|&j| if upper { j - g.stride } else { j + g.stride });
                for j in nodes.iter().copied().chain(inner) {
                    let [(_, here), (_, across)] = g.neighbours(j, upper);
                    let rate = generator.diagonal(from)[j];
                    generator.diagonal_mut(from)[j] = rate * here;
                    generator.diagonal_mut(to)[j] = rate * across;
                }
            }
        }
        generator.close_rows();
    }
}

/// The shift to the neighbour below the first (above the last) node of a periodic axis.
fn wrap_shift(d: usize, axis: usize, g: &AxisGeometry, upper: bool) -> Vec<isize> {
    let mut shift = vec![0; d];
    let far = g.count as isize - 2;
    shift[axis] = if upper { -far } else { far };
    shift
}
