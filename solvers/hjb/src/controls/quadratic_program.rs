//! A small strictly concave quadratic programme by the dual active-set method.
//!
//!   maximise  b'v - v'Rv/2   subject to   n_k'v >= c_k,
//!
//! with R^{-1} given. From the free maximum R^{-1} b the most violated constraint is added, others are dropped when their
//! multiplier would change sign; each full step lowers the objective, so what has been reached bounds the maximum from
//! above and the search may stop as soon as that falls below a candidate already known. Finite and exact; made for a few
//! variables and constraints (O(m^3) per step, m active constraints at most).
//! Reference: D. Goldfarb, A. Idnani, A numerically stable dual method for solving strictly convex quadratic programs,
//! Math. Program. 27 (1983) 1-33.

/// A constraint counts as satisfied within this fraction of its own size.
const ROUNDING: f64 = 1e-13;

/// A normal whose part outside the span of the active ones is below this fraction of it (squared) depends on them.
const DEPENDENT: f64 = 1e-12;

/// One linear constraint n'v >= c.
#[derive(Clone, Debug, Default)]
pub(crate) struct Constraint {
    /// n, length m.
    pub normal: Vec<f64>,
    /// c.
    pub bound: f64,
    /// R^{-1} n, length m.
    pub image: Vec<f64>,
}

impl Constraint {
    /// n'v - c: negative where the constraint is violated.
    fn slack(&self, v: &[f64]) -> f64 {
        dot(&self.normal, v) - self.bound
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Working arrays of the method.
#[derive(Clone, Debug, Default)]
pub(crate) struct ActiveSet {
    active: Vec<usize>,
    multiplier: Vec<f64>,
    /// Cholesky factor of N' R^{-1} N, row by row.
    factor: Vec<f64>,
    rates: Vec<f64>,
    direction: Vec<f64>,
}

impl ActiveSet {
    /// `v` holds the free maximum R^{-1} b and `objective` its value; afterwards `v` is the constrained maximum. `None`
    /// when no v satisfies the constraints or the maximum is not above `cutoff`. Returns the maximum.
    pub fn maximise(&mut self, constraints: &[Constraint], mut objective: f64, cutoff: f64, v: &mut [f64]) -> Option<f64> {
        self.active.clear();
        self.multiplier.clear();
        // Enough for every constraint to enter and leave a few times.
        let mut budget = 20 * (constraints.len() + 1);
        while objective > cutoff {
            let Some(entering) = most_violated(constraints, v) else { return Some(objective) };
            if self.active.contains(&entering) {
                return Some(objective); // rounding only
            }
            let normal = &constraints[entering].normal;
            let mut weight = 0.0;
            loop {
                budget -= 1;
                if budget == 0 {
                    return None;
                }
                self.project(constraints, entering)?;
                let blocked = self.blocking();
                let power = dot(&self.direction, normal);
                let size = dot(&constraints[entering].image, normal);
                // With m active constraints the direction is zero, whatever rounding leaves of it.
                let full = if self.active.len() < normal.len() && power > DEPENDENT * size {
                    -constraints[entering].slack(v) / power
                } else {
                    f64::INFINITY
                };
                let partial = blocked.map_or(f64::INFINITY, |(_, step)| step);
                let step = full.min(partial);
                if step == f64::INFINITY {
                    return None;
                }
                for (u, r) in self.multiplier.iter_mut().zip(&self.rates) {
                    *u -= step * r;
                }
                weight += step;
                if full < f64::INFINITY {
                    v.iter_mut().zip(&self.direction).for_each(|(v, z)| *v += step * z);
                    objective -= step * power * (weight - 0.5 * step);
                }
                match blocked {
                    Some((k, _)) if partial < full => {
                        self.active.remove(k);
                        self.multiplier.remove(k);
                    }
                    _ => {
                        self.active.push(entering);
                        self.multiplier.push(weight);
                        break;
                    }
                }
            }
        }
        None
    }

    /// The rates r = (N'R^{-1}N)^{-1} N'R^{-1}n at which the multipliers fall, and the direction R^{-1}(n - N r).
    fn project(&mut self, constraints: &[Constraint], entering: usize) -> Option<()> {
        let k = self.active.len();
        self.factor.clear();
        self.factor.resize(k * k, 0.0);
        let image = &constraints[entering].image;
        self.rates.clear();
        self.rates.extend(self.active.iter().map(|&a| dot(&constraints[a].normal, image)));
        for i in 0..k {
            for j in 0..=i {
                let mut s = dot(&constraints[self.active[i]].normal, &constraints[self.active[j]].image);
                s -= dot(&self.factor[i * k..i * k + j], &self.factor[j * k..j * k + j]);
                self.factor[i * k + j] = if i == j { s.max(0.0).sqrt() } else { s / self.factor[j * k + j] };
            }
            if self.factor[i * k + i].is_nan() || self.factor[i * k + i] <= 0.0 {
                return None;
            }
        }
        for i in 0..k {
            self.rates[i] = (self.rates[i] - dot(&self.factor[i * k..i * k + i], &self.rates[..i])) / self.factor[i * k + i];
        }
        for i in (0..k).rev() {
            let after: f64 = (i + 1..k).map(|j| self.factor[j * k + i] * self.rates[j]).sum();
            self.rates[i] = (self.rates[i] - after) / self.factor[i * k + i];
        }
        self.direction.clear();
        self.direction.extend_from_slice(image);
        for (&a, r) in self.active.iter().zip(&self.rates) {
            self.direction.iter_mut().zip(&constraints[a].image).for_each(|(z, i)| *z -= r * i);
        }
        Some(())
    }

    /// The active constraint whose multiplier vanishes first, and after which step.
    fn blocking(&self) -> Option<(usize, f64)> {
        let mut first: Option<(usize, f64)> = None;
        for (k, (u, r)) in self.multiplier.iter().zip(&self.rates).enumerate() {
            if *r > 0.0 && first.is_none_or(|(_, step)| u / r < step) {
                first = Some((k, u / r));
            }
        }
        first
    }
}

/// The violated constraint that costs the objective most by itself.
fn most_violated(constraints: &[Constraint], v: &[f64]) -> Option<usize> {
    let mut worst = (None, 0.0);
    for (k, c) in constraints.iter().enumerate() {
        let slack = c.slack(v);
        let size = c.bound.abs() + c.normal.iter().zip(v).map(|(n, v)| (n * v).abs()).sum::<f64>();
        if slack < -ROUNDING * size {
            let loss = slack * slack / dot(&c.normal, &c.image).max(f64::MIN_POSITIVE);
            if loss > worst.1 {
                worst = (Some(k), loss);
            }
        }
    }
    worst.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constraint(inverse: &[f64], normal: &[f64], bound: f64) -> Constraint {
        let m = normal.len();
        let image = (0..m).map(|i| dot(&inverse[i * m..(i + 1) * m], normal)).collect();
        Constraint { normal: normal.to_vec(), bound, image }
    }

    #[test]
    fn the_maximum_agrees_with_a_search_on_random_programmes() {
        let mut state = 7u64;
        let mut random = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
        };
        let (mut solved, mut infeasible) = (0, 0);
        for trial in 0..1000 {
            // R = [[1, r], [r, 2]], box [-1, 1]^2 and one strip.
            let r = 1.2 * random();
            let det = 2.0 - r * r;
            let inverse = [2.0 / det, -r / det, -r / det, 1.0 / det];
            let b = [3.0 * random(), 3.0 * random()];
            // Now and then a strip nearly parallel to a side of the box.
            let n = [random(), if trial % 4 == 0 { 1e-4 * random() } else { random() }];
            let (lo, width) = (1.5 * random(), 0.3);
            let mut constraints = Vec::new();
            for k in 0..2 {
                let mut e = [0.0; 2];
                e[k] = 1.0;
                constraints.push(constraint(&inverse, &e, -1.0));
                e[k] = -1.0;
                constraints.push(constraint(&inverse, &e, -1.0));
            }
            constraints.push(constraint(&inverse, &n, lo));
            constraints.push(constraint(&inverse, &[-n[0], -n[1]], -lo - width));
            let objective =
                |v: &[f64]| b[0] * v[0] + b[1] * v[1] - 0.5 * (v[0] * v[0] + 2.0 * r * v[0] * v[1] + 2.0 * v[1] * v[1]);
            let mut v = [dot(&inverse[..2], &b), dot(&inverse[2..], &b)];
            let start = objective(&v);
            let found = ActiveSet::default().maximise(&constraints, start, f64::NEG_INFINITY, &mut v);
            let mut best = f64::NEG_INFINITY;
            for i in 0..=200 {
                for j in 0..=200 {
                    let w = [-1.0 + 0.01 * i as f64, -1.0 + 0.01 * j as f64];
                    if constraints.iter().all(|c| c.slack(&w) >= -1e-12) {
                        best = best.max(objective(&w));
                    }
                }
            }
            match found {
                Some(value) => {
                    solved += 1;
                    assert!(constraints.iter().all(|c| c.slack(&v) > -1e-11), "{v:?}");
                    assert!((objective(&v) - value).abs() < 1e-11, "{} {value}", objective(&v));
                    // The search misses the maximum by a spacing, and a thin strip altogether.
                    assert!(value > best - 1e-12 && (value < best + 0.2 || best == f64::NEG_INFINITY), "{value} {best}");
                    let mut again = [dot(&inverse[..2], &b), dot(&inverse[2..], &b)];
                    assert!(ActiveSet::default().maximise(&constraints, start, value + 1e-9, &mut again).is_none());
                }
                None => {
                    infeasible += 1;
                    assert_eq!(best, f64::NEG_INFINITY);
                }
            }
        }
        assert!(solved > 500 && infeasible > 50, "{solved} {infeasible}");
    }
}
