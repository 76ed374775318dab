//! The rows of simulations and of sweeps over the KL weight.

use super::{CHANCE, Mark, OUTSIDE, Table, below, number, point};
use serde_json::Value;

impl Table<'_> {
    pub(super) fn rollout(&mut self) {
        if self.at("/rollout").is_none() {
            return;
        }
        if self.at("/rollout/partial").and_then(Value::as_bool) == Some(true) {
            self.push("simulation", "cut short", "all paths", Mark::Warn);
        }
        let mean = |v: &Value| {
            let (m, s) = (v["mean"].as_f64()?, v["standard_error"].as_f64()?);
            Some(format!("{} ± {s:.1e}", number(m)))
        };
        let mut found = Vec::new();
        if let Some(objective) = self.at("/rollout/estimates/objective").and_then(mean) {
            let reference = self.number("/rollout/euler_objective").or(self.number("/rollout/optimum"));
            let bar = reference.map_or(String::new(), |x| format!("{} computed", number(x)));
            found.push(("simulated objective".to_string(), objective, bar, Mark::Plain));
        }
        for (pointer, name) in [("reward", "simulated reward"), ("kl_cost", "simulated KL cost")] {
            if let Some(text) = self.at(&format!("/rollout/estimates/{pointer}")).and_then(mean) {
                found.push((name.into(), text, String::new(), Mark::Plain));
            }
        }
        let empty = Vec::new();
        let starts = self.at("/rollout/starts").and_then(Value::as_array).unwrap_or(&empty);
        for start in starts {
            if let Some(objective) = mean(&start["objective"]) {
                let bar = start["value"].as_f64().map_or(String::new(), |v| format!("V = {}", number(v)));
                found.push((format!("simulated objective from x = {}", point(&start["x"])), objective, bar, Mark::Plain));
            }
        }
        let sources = self.at("/rollout").into_iter().chain(starts);
        for source in sources {
            let place = if source["x"].is_null() { String::new() } else { format!(" from x = {}", point(&source["x"])) };
            if let Some(z) = source["z_score"].as_f64() {
                let bar = format!("at most {CHANCE} standard errors; beyond, the bias of the step or of the grid");
                found.push((format!("deviation{place}"), format!("{z:.2} standard errors"), bar, below(z.abs() <= CHANCE)));
            }
            let outside = source.pointer("/estimates/outside_fraction/mean").or(source.pointer("/outside_fraction/mean"));
            if let Some(part) = outside.and_then(Value::as_f64) {
                let name = format!("steps outside the policy's grid{place}");
                found.push((name, number(part), format!("at most {OUTSIDE}"), below(part <= OUTSIDE)));
            }
            let multilevel = &source["multilevel"];
            if let Some(converged) = multilevel.pointer("/info/converged").and_then(Value::as_bool) {
                let value = mean(&multilevel["objective"]).unwrap_or_default();
                found.push((format!("multilevel objective{place}"), value, "to the accuracy asked for".into(), below(converged)));
            }
        }
        for (quantity, value, bar, mark) in found {
            self.push(quantity, value, bar, mark);
        }
    }

    pub(super) fn sweep(&mut self) {
        let Some(rows) = self.at("/sweep/rows").and_then(Value::as_array) else { return };
        let worst = |name: &str| rows.iter().filter_map(|r| r[name].as_f64()).map(f64::abs).reduce(f64::max);
        let (z, error, outside) = (worst("z_score"), worst("value_error"), worst("outside_fraction"));
        let count = rows.len();
        let failed = self.at("/sweep/failures").and_then(Value::as_array).map_or(0, Vec::len);
        self.push("KL weights done", count.to_string(), format!("{failed} failed"), below(failed == 0));
        if let Some(z) = z {
            let bar = format!("at most {CHANCE} standard errors");
            self.push("largest deviation over the weights", format!("{z:.2} standard errors"), bar, below(z <= CHANCE));
        }
        if let Some(error) = error {
            self.push("largest error of V over the weights", number(error), "against the closed form", Mark::Plain);
        }
        if let Some(part) = outside {
            self.push(
                "largest part of steps outside the grid",
                number(part),
                format!("at most {OUTSIDE}"),
                below(part <= OUTSIDE),
            );
        }
    }
}
