//! The rows of PI-FT, exact and parametric.

use super::{CHANCE, Mark, Table, below, number};

impl Table<'_> {
    pub(super) fn pift(&mut self) {
        if self.at("/pift").is_none() {
            return;
        }
        let most = |v: Vec<f64>| v.into_iter().reduce(f64::max);
        if let (Some(steps), Some(rounds)) = (self.number("/pift/steps"), most(self.numbers("/pift/iterations"))) {
            self.push("steps N of the chain", number(steps), format!("at most {rounds} inner iterations"), Mark::Plain);
        }
        let rho = most(self.numbers("/pift/rho"));
        if let Some(rho) = rho {
            self.push("largest bound ρₖ on the contraction", number(rho), "below 1", below(rho < 1.0));
        }
        if let (Some(seen), Some(rho)) = (most(self.numbers("/pift/contraction")), rho) {
            let mark = below(seen <= rho * (1.0 + 1e-6));
            self.push("largest contraction seen", number(seen), format!("at most ρ = {}", number(rho)), mark);
        }
        for (name, pointer) in [("V", "value_error"), ("the control", "control_error")] {
            if let Some(error) = self.number(&format!("/pift/{pointer}")) {
                let bar = "proportional to 1/N: bridge measures it";
                self.push(format!("distance of {name} to the continuous solution"), number(error), bar, Mark::Plain);
            }
        }
        if let Some(error) = self.number("/pift/discrete_value_error") {
            self.push("error of V against the chain's exact recursion", number(error), "", Mark::Plain);
        }
        let violation = self.numbers("/pift/sandwich/violations").into_iter().reduce(f64::max);
        if let Some(violation) = violation {
            let size = self.numbers("/pift/sandwich/objectives").into_iter().fold(1.0_f64, |m, x| m.max(x.abs()));
            let bar = "pre-trained ≤ mean shift ≤ soft, but for rounding";
            self.push("largest violation of the order of the values", number(violation), bar, below(violation <= 1e-8 * size));
        }
        if let Some(objective) = self.number("/pift/objective") {
            let exact = self.number("/pift/objective_exact");
            let bar = exact.map_or(String::new(), |x| format!("continuous problem {}", number(x)));
            self.push("optimal objective of the chain E V₀(Y₀)", number(objective), bar, Mark::Plain);
        }
    }

    pub(super) fn parametric(&mut self) {
        let mean = |name: &str| {
            let of = |part: &str| self.number(&format!("/parametric/{name}/{part}"));
            Some((of("mean")?, of("standard_error")?))
        };
        let shown = |(m, s): (f64, f64)| format!("{} ± {s:.1e}", number(m));
        let (before, after) = (mean("pretrained/objective"), mean("achieved/objective"));
        let bound = mean("achieved/upper_bound");
        let (Some(before), Some(after)) = (before, after) else { return };
        let slack = CHANCE * before.1.hypot(after.1);
        let bar = format!("at least the pre-trained chain's {}", shown(before));
        self.push("objective of the trained policy", shown(after), bar, below(after.0 >= before.0 - slack));
        if let Some(bound) = bound {
            let part = (after.0 - before.0) / (bound.0 - before.0);
            let holds = after.0 <= bound.0 + CHANCE * after.1.hypot(bound.1);
            self.push("bound that no policy of the chain exceeds", shown(bound), "at least the objective", below(holds));
            if part.is_finite() {
                let text = format!("{:.1} %", 100.0 * part);
                self.push("part of what can be gained, at least", text, "", Mark::Plain);
            }
        }
    }
}
