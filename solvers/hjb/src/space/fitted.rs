//! Exponentially fitted differences (Scharfetter-Gummel, Il'in): central with just the right amount of extra diffusion.
//!
//! The diffusion coefficient a is raised to a coth-weighted one,
//!
//!   a + E(mu),   E(mu) = a (z coth z - 1),   z = mu h/a,   h = max(h-, h+),
//!
//! and the slope is central. On a uniform axis the rates are the classical ones,
//!
//!   upper = (a/(2 h^2)) B(-2 mu h/a),   lower = (a/(2 h^2)) B(2 mu h/a),   B(x) = x/(e^x - 1),
//!
//! which are exact on 1, x and exp(-2 mu x/a): with constant coefficients in one dimension the discrete solution is exact
//! at the nodes for every cell Peclet number. Since z coth z >= |z| both rates are non-negative for all mu and all spacings:
//! monotone always, with no switch. E = mu^2 h^2/(3a) + ... for |mu| h << a: order 2 for resolved drifts; E -> |mu| h for
//! a -> 0: the upwind scheme (on unequal spacings with the larger one). The textbook form with B on each side is not
//! consistent for large Peclet numbers on unequal spacings; this one is exact on linear functions on any.
//!
//! The discrete Hamiltonian of one axis is mu C + S E(mu) - (mu - f)^2/(2 kappa), with C the central slope and S the second
//! difference per unit of a. E is convex with an even bell-shaped second derivative, so the function is concave for S <= 0;
//! for S > 0 there is at most one local maximum in mu <= 0 and one in mu >= 0, each found by a Newton iteration that
//! approaches it from one side and cannot miss; the better one is the global maximum, on every axis.
//!
//! Prefer [`super::Hybrid`] for speed and for smooth resolved problems (its error constant is smaller), this one for
//! boundary and interior layers and where policies should not jump with the switch between central and upwind.
//! References: D. L. Scharfetter, H. K. Gummel, IEEE Trans. Electron Devices 16 (1969) 64-77; A. M. Il'in, Math. Notes 6
//! (1969) 596-602; H.-G. Roos, M. Stynes, L. Tobiska, Robust Numerical Methods for Singularly Perturbed Differential
//! Equations (2008), section I.2.

use super::{Kernel, OffDiagonals, Slope, SpaceScheme, Spacing};

/// The exponentially fitted scheme.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fitted;

/// Beyond this z, coth z = 1 to rounding.
const LARGE: f64 = 20.0;
/// Below this z, series are used.
const SMALL: f64 = 0.15;
/// Newton steps; a dozen suffice.
const MAX_STEPS: usize = 60;

impl SpaceScheme for Fitted {
    fn name(&self) -> &'static str {
        "fitted"
    }

    fn order(&self) -> u32 {
        2
    }

    fn kernel(&self) -> Kernel {
        Kernel::Fitted
    }

    fn central_windows(&self, _rates: [&[f64]; 2], _weights: [&[f64]; 2], low: &mut [f64], high: &mut [f64]) {
        low.fill(f64::NEG_INFINITY);
        high.fill(f64::INFINITY);
    }

    fn slope(&self, _spacing: Spacing, _mu: f64, _a: f64) -> Slope {
        Slope::Fitted
    }

    fn off_diagonals(&self, spacing: Spacing, mu: f64, a: f64) -> OffDiagonals {
        let Spacing { minus, plus } = spacing;
        let width = minus + plus;
        let total = a + excess(mu, a, minus.max(plus));
        OffDiagonals { lower: (total - mu * plus) / (minus * width), upper: (total + mu * minus) / (plus * width) }
    }
}

/// z coth z - 1.
#[inline]
fn bump(z: f64) -> f64 {
    let x = z * z;
    if x < SMALL * SMALL {
        // Bernoulli numbers: z^2/3 - z^4/45 + 2 z^6/945 - z^8/4725 + 2 z^10/93555 - ...
        x * (1.0 / 3.0 - x * (1.0 / 45.0 - x * (2.0 / 945.0 - x * (1.0 / 4725.0 - x * (2.0 / 93_555.0 - x * BUMP_12)))))
    } else if z.abs() > LARGE {
        z.abs() - 1.0
    } else {
        let t = (-2.0 * z.abs()).exp();
        z.abs() * (1.0 + t) / (1.0 - t) - 1.0
    }
}

/// Coefficient of z^12 in z coth z, with its sign changed.
const BUMP_12: f64 = 1382.0 / 638_512_875.0;

/// First and second derivative of z coth z.
#[inline]
fn derivatives(z: f64) -> (f64, f64) {
    let x = z * z;
    if x < SMALL * SMALL {
        let first =
            2.0 / 3.0 - x * (4.0 / 45.0 - x * (12.0 / 945.0 - x * (8.0 / 4725.0 - x * (20.0 / 93_555.0 - x * 12.0 * BUMP_12))));
        let second = 2.0 / 3.0
            - x * (12.0 / 45.0 - x * (60.0 / 945.0 - x * (56.0 / 4725.0 - x * (180.0 / 93_555.0 - x * 132.0 * BUMP_12))));
        (z * first, second)
    } else if z.abs() > LARGE {
        (z.signum(), 0.0)
    } else {
        // coth z and 1/sinh^2 z from one exponential.
        let t = (-2.0 * z.abs()).exp();
        let (coth, sinh_2) = ((1.0 + t) / (1.0 - t), 4.0 * t / (1.0 - t).powi(2));
        ((coth - z.abs() * sinh_2).copysign(z), 2.0 * (z.abs() * coth - 1.0) * sinh_2)
    }
}

/// E(mu): the diffusion added to `a` at drift `mu` and spacing `h`. Never negative, finite, even in mu.
#[inline]
pub(crate) fn excess(mu: f64, a: f64, h: f64) -> f64 {
    let pull = (mu * h).abs();
    // a / pull may underflow or vanish: the upwind limit.
    if a * LARGE < pull {
        pull - a
    } else if pull == 0.0 {
        0.0
    } else {
        a * bump(mu * h / a)
    }
}

/// The discrete Hamiltonian of one axis as a function of the drift: mu C + S E(mu) - (mu - f)^2/(2 kappa).
pub(crate) struct FittedHamiltonian {
    /// C.
    pub central: f64,
    /// S.
    pub second: f64,
    /// a and h.
    pub variance: f64,
    pub spacing: f64,
    /// f and kappa > 0.
    pub drift: f64,
    pub mobility: f64,
}

impl FittedHamiltonian {
    /// mu C + S E(mu).
    #[inline]
    pub fn gain(&self, mu: f64) -> f64 {
        mu * self.central + self.second * excess(mu, self.variance, self.spacing)
    }

    /// The best q (mu = f + kappa q) between the bounds, and the value there.
    pub fn maximise(&self, bounds: (f64, f64)) -> (f64, f64) {
        let value = |q: f64| self.gain(self.drift + self.mobility * q) - 0.5 * self.mobility * q * q;
        let clip = |q: f64| q.max(bounds.0).min(bounds.1);
        let of = |mu: f64| (mu - self.drift) / self.mobility;
        // The slope lies between C - |S| h and C + |S| h.
        let reach = self.second.abs() * self.spacing;
        let (left, right) =
            (self.drift + self.mobility * (self.central - reach), self.drift + self.mobility * (self.central + reach));
        let mut best = (f64::NAN, f64::NEG_INFINITY);
        let mut try_drift = |mu: f64| {
            let q = clip(of(mu));
            let v = value(q);
            if v > best.1 {
                best = (q, v);
            }
        };
        if self.second <= 0.0 {
            // F(mu) = f + kappa (C + S E'(mu)) - mu falls; its root is on the side that F(0) says.
            let at_zero = self.drift + self.mobility * self.central;
            try_drift(if at_zero > 0.0 { self.newton(0.0, right.max(0.0), 0.0) } else { self.newton(left.min(0.0), 0.0, 0.0) });
        } else {
            // F is convex for mu <= 0 and concave for mu >= 0: from the outer ends Newton's iteration is monotone.
            try_drift(if left < 0.0 { self.newton(left, right.min(0.0), left) } else { left.max(0.0) });
            try_drift(if right > 0.0 { self.newton(left.max(0.0), right, right) } else { right.min(0.0) });
            // A bound may cut off both maxima.
            for q in [bounds.0, bounds.1] {
                if q.is_finite() {
                    try_drift(self.drift + self.mobility * q);
                }
            }
        }
        if best.0.is_nan() { (clip(of(self.drift + self.mobility * self.central)), f64::NEG_INFINITY) } else { best }
    }

    /// The root of F in [low, high] that Newton's iteration approaches from `start`, an end of the interval; that end or the
    /// other one when there is none in this direction.
    fn newton(&self, low: f64, high: f64, start: f64) -> f64 {
        let mut mu = start;
        for _ in 0..MAX_STEPS {
            let (slope, bend) = if self.variance * LARGE < (mu * self.spacing).abs() || self.variance == 0.0 {
                // At mu = 0 without diffusion: the one-sided limit into the interval.
                let side = if mu != 0.0 { mu } else { low + high };
                (if side == 0.0 { 0.0 } else { side.signum() }, 0.0)
            } else {
                let (first, second) = derivatives(mu * self.spacing / self.variance);
                (first, second * self.spacing / self.variance)
            };
            let curvature = self.second * self.spacing;
            let f = self.drift + self.mobility * (self.central + curvature * slope) - mu;
            let derivative = self.mobility * curvature * bend - 1.0;
            if derivative >= 0.0 {
                // F grows away from the start: no maximum on this side.
                return if start == low { high } else { low };
            }
            let next = (mu - f / derivative).max(low).min(high);
            let done = (next - mu).abs() <= 4.0 * f64::EPSILON * next.abs().max(mu.abs());
            mu = next;
            if done {
                break;
            }
        }
        mu
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_bernoulli_functions_and_exact_on_exponentials() {
        let bernoulli = |x: f64| if x == 0.0 { 1.0 } else { x / x.exp_m1() };
        let (h, a) = (0.1, 0.3);
        for mu in [-9.0, -2.0, -0.3, -1e-3, 0.0, 1e-9, 0.05, 0.7, 4.0, 30.0] {
            let OffDiagonals { lower, upper } = Fitted.off_diagonals(Spacing { minus: h, plus: h }, mu, a);
            let x = 2.0 * mu * h / a;
            let rate = a / (2.0 * h * h);
            // Rounding is relative to the sum of the rates.
            let size = 1e-14 * (lower + upper);
            assert!((upper - rate * bernoulli(-x)).abs() < size, "{mu}: {upper} {}", rate * bernoulli(-x));
            assert!((lower - rate * bernoulli(x)).abs() < size);
            if x.abs() < 30.0 {
                let image = upper * (-x).exp_m1() + lower * x.exp_m1();
                assert!(image.abs() < 1e-13 * (lower + upper) * x.abs().exp(), "{mu}: {image}");
            }
        }
    }

    #[test]
    fn extreme_arguments_give_the_upwind_limit_and_no_overflow() {
        for spacing in [Spacing { minus: 0.2, plus: 0.2 }, Spacing { minus: 0.1, plus: 0.4 }] {
            let h = spacing.minus.max(spacing.plus);
            for (mu, a) in
                [(1.0, 0.0), (-1.0, 1e-300), (1e150, 1e-150), (-1e-150, 1e-308), (0.0, 0.0), (1e-310, 1.0), (3.0, 1e-9)]
            {
                let OffDiagonals { lower, upper } = Fitted.off_diagonals(spacing, mu, a);
                let size = lower.abs() + upper.abs();
                assert!(size.is_finite() && lower >= -1e-15 * size && upper >= -1e-15 * size, "{mu} {a}: {lower} {upper}");
                assert!((upper * spacing.plus - lower * spacing.minus - mu).abs() <= 1e-14 * (mu.abs() + size * h));
            }
        }
        let OffDiagonals { lower, upper } = Fitted.off_diagonals(Spacing { minus: 0.2, plus: 0.2 }, -3.0, 0.0);
        assert!((lower - 15.0).abs() < 1e-13 && upper.abs() < 1e-14);
    }

    #[test]
    fn series_and_closed_forms_of_the_fitting_function_meet() {
        for z in [0.1499, 0.1501, 0.02, 1.0, 19.9, 20.1] {
            let (first, second) = derivatives(z);
            let step = 1e-4 * z;
            let quotient = (bump(z + step) - bump(z - step)) / (2.0 * step);
            let bend = (derivatives(z + step).0 - derivatives(z - step).0) / (2.0 * step);
            assert!((first - quotient).abs() < 1e-7 * first, "{z}: {first} {quotient}");
            assert!((second - bend).abs() < 1e-7, "{z}: {second} {bend}");
        }
        let (below, above) = (bump(SMALL - 1e-12), bump(SMALL + 1e-12));
        assert!((above / below - 1.0 - 4e-12 / SMALL).abs() < 1e-13, "{}", above / below - 1.0);
    }

    #[test]
    fn the_maximum_agrees_with_a_search_over_the_control() {
        let mut state = 777u64;
        let mut random = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
        };
        let mut two_sided = 0;
        for trial in 0..300 {
            let variance = match trial % 4 {
                0 => 0.0,
                1 => 1e-6,
                _ => 2.0 * random().abs(),
            };
            let h = FittedHamiltonian {
                central: random(),
                second: 3.0 * random(),
                variance,
                spacing: 0.2 + random().abs(),
                drift: 2.0 * random(),
                mobility: 0.1 + 3.0 * random().abs(),
            };
            let (x, y) = (4.0 * random(), 4.0 * random());
            let bounds = if trial % 3 == 0 { (x.min(y), x.max(y)) } else { (f64::NEG_INFINITY, f64::INFINITY) };
            let (q, value) = h.maximise(bounds);
            assert!(q >= bounds.0 && q <= bounds.1);
            let at = |q: f64| h.gain(h.drift + h.mobility * q) - 0.5 * h.mobility * q * q;
            assert_eq!(at(q), value);
            let (lo, up) = (bounds.0.max(-30.0), bounds.1.min(30.0));
            let (mut search, mut tops, mut last) = (f64::NEG_INFINITY, 0, (f64::NEG_INFINITY, f64::NEG_INFINITY));
            for k in 0..=40_000 {
                let v = at(lo + (up - lo) * k as f64 / 40_000.0);
                search = search.max(v);
                tops += usize::from(last.1 > last.0 && last.1 > v);
                last = (last.1, v);
            }
            two_sided += usize::from(tops > 1);
            assert!(value >= search - 1e-12 * (1.0 + search.abs()) && value <= search + 2e-2, "{trial}: {value} {search}");
        }
        assert!(two_sided > 20, "{two_sided}: both zones must have been met");
    }
}
