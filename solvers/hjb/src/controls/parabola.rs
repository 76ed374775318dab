//! The top of the parabola through the values of a pattern around a point.

/// The top of a parabola through a pattern of values.
pub(super) struct Top {
    gradient: Vec<f64>,
    /// Minus the second differences, then its Cholesky factor; row by row.
    hessian: Vec<f64>,
    /// The way to the top, in steps.
    pub move_to: Vec<f64>,
}

impl Top {
    pub fn new(m: usize) -> Self {
        Top { gradient: vec![0.0; m], hessian: vec![0.0; m * m], move_to: vec![0.0; m] }
    }

    /// Whether there is a top within two steps in every component, and whether it is beyond one step in some; components
    /// that are not `free` stay. Curvatures below `noise` are none.
    pub fn find(
        &mut self,
        pattern: &[Vec<i8>],
        value: impl Fn(usize) -> f64,
        centre: f64,
        noise: f64,
        free: impl Fn(usize) -> bool,
    ) -> Option<bool> {
        let m = self.gradient.len();
        self.hessian.fill(0.0);
        self.gradient.fill(0.0);
        for (e, offset) in pattern.iter().enumerate() {
            let touched = |k: usize| offset[k] != 0;
            let order = (0..m).filter(|&k| touched(k)).count();
            if order > 2 || (0..m).any(|k| touched(k) && !free(k)) {
                continue;
            }
            let h = value(e);
            let (Some(k), Some(l)) = ((0..m).find(|&k| touched(k)), (0..m).rfind(|&k| touched(k))) else { continue };
            if order == 1 {
                self.gradient[k] += 0.5 * f64::from(offset[k]) * h;
                self.hessian[k * m + k] += centre - h;
            } else {
                let part = 0.25 * f64::from(offset[k] * offset[l]) * h;
                self.hessian[k * m + l] -= part;
                self.hessian[l * m + k] -= part;
            }
        }
        for k in (0..m).filter(|&k| !free(k)) {
            self.hessian[k * m + k] = 1.0;
        }
        // Cholesky in place.
        for i in 0..m {
            for k in 0..=i {
                let s: f64 = (0..k).map(|l| self.hessian[i * m + l] * self.hessian[k * m + l]).sum();
                let rest = self.hessian[i * m + k] - s;
                if i != k {
                    self.hessian[i * m + k] = rest / self.hessian[k * m + k];
                } else if rest > noise && rest < f64::INFINITY {
                    self.hessian[i * m + i] = rest.sqrt();
                } else {
                    return None;
                }
            }
        }
        for i in 0..m {
            let s: f64 = (0..i).map(|l| self.hessian[i * m + l] * self.move_to[l]).sum();
            self.move_to[i] = (self.gradient[i] - s) / self.hessian[i * m + i];
        }
        for i in (0..m).rev() {
            let s: f64 = (i + 1..m).map(|l| self.hessian[l * m + i] * self.move_to[l]).sum();
            self.move_to[i] = (self.move_to[i] - s) / self.hessian[i * m + i];
        }
        let longest = self.move_to.iter().fold(0.0, |a: f64, d| a.max(d.abs()));
        (longest > 0.0 && longest <= 2.0).then_some(longest > 1.0)
    }
}
