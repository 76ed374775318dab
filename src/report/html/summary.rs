//! The table at the top of the page: the figures to look at first, each against what it should be. `docs/report.md` has the rules.

use super::formula::escape;
use serde_json::Value;

/// How a row came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Pass,
    /// To be looked at.
    Warn,
    /// There is nothing that it should be.
    Plain,
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is.
    pub quantity: String,
    /// What came out.
    pub value: String,
    /// What it is measured by.
    pub bar: String,
    /// Whether it holds.
    pub mark: Mark,
}

/// A part of the report with its rows.
struct Table<'a> {
    report: &'a Value,
    rows: Vec<Row>,
}

/// Largest deviation in standard errors that is put down to chance.
const CHANCE: f64 = 3.0;

/// Largest part of the steps that may begin outside the policy's grid.
const OUTSIDE: f64 = 1e-3;

/// A number with five significant digits.
pub fn number(x: f64) -> String {
    let size = x.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) {
        return format!("{x:.3e}");
    }
    let places = if size == 0.0 { 0 } else { (4 - size.log10().floor() as i32).max(0) as usize };
    let text = format!("{x:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

/// A point.
fn point(x: &Value) -> String {
    let all: Vec<String> = x.as_array().into_iter().flatten().filter_map(Value::as_f64).map(number).collect();
    if all.len() == 1 { all.concat() } else { format!("({})", all.join(", ")) }
}

/// The rows of a report.
pub fn rows(report: &Value) -> Vec<Row> {
    let mut table = Table { report, rows: Vec::new() };
    table.run();
    table.solution();
    table.rollout();
    table.pift();
    table.parametric();
    table.bridge();
    table.sweep();
    table.network();
    table.certify();
    table.rows
}

/// The table as HTML.
pub fn table(rows: &[Row]) -> String {
    let row = |r: &Row| {
        let (class, sign, word) = match r.mark {
            Mark::Pass => ("pass", "✓", "pass"),
            Mark::Warn => ("warn", "⚠", "warning"),
            Mark::Plain => ("plain", "–", "no bar"),
        };
        let [quantity, value, bar] = [&r.quantity, &r.value, &r.bar].map(|text| escape(text));
        format!(
            "<tr class=\"{class}\"><th scope=\"row\">{quantity}</th><td>{value}</td><td>{bar}</td>\
             <td class=\"mark\"><span aria-hidden=\"true\">{sign}</span> {word}</td></tr>\n"
        )
    };
    rows.iter().map(row).collect()
}

fn below(holds: bool) -> Mark {
    if holds { Mark::Pass } else { Mark::Warn }
}

impl Table<'_> {
    fn at(&self, pointer: &str) -> Option<&Value> {
        self.report.pointer(pointer).filter(|v| !v.is_null())
    }

    fn number(&self, pointer: &str) -> Option<f64> {
        self.at(pointer)?.as_f64()
    }

    fn numbers(&self, pointer: &str) -> Vec<f64> {
        self.at(pointer).and_then(Value::as_array).map_or_else(Vec::new, |a| a.iter().filter_map(Value::as_f64).collect())
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.at(pointer)?.as_str()
    }

    fn push(&mut self, quantity: impl Into<String>, value: impl Into<String>, bar: impl Into<String>, mark: Mark) {
        self.rows.push(Row { quantity: quantity.into(), value: value.into(), bar: bar.into(), mark });
    }

    fn run(&mut self) {
        match (self.at("/complete").and_then(Value::as_bool), self.text("/error").map(str::to_string)) {
            (Some(true), None) => self.push("run", "complete", "complete", Mark::Pass),
            (_, error) => {
                let reason = error.unwrap_or_else(|| "no reason known".into());
                self.push("run", format!("not complete: {reason}"), "complete", Mark::Warn);
            }
        }
        let missing = self.at("/figures_missing").and_then(Value::as_array).map_or(0, Vec::len);
        if missing > 0 {
            self.push("pictures that could not be drawn", missing.to_string(), "0", Mark::Warn);
        }
    }

    fn solution(&mut self) {
        let Some(section) = ["/solve", "/controlled"].into_iter().find(|s| self.at(s).is_some()) else { return };
        let p = |rest: &str| format!("{section}{rest}");
        let nodes: u64 =
            self.at("/problem/grid/nodes").and_then(Value::as_array).map_or(0, |n| n.iter().filter_map(Value::as_u64).product());
        if let (Some(route), Some(scheme)) = (self.text(&p("/route")), self.text(&p("/scheme"))) {
            let text = format!("{} ({scheme}), {nodes} nodes", route.replace('_', " "));
            let bar = self.text(&p("/reason")).unwrap_or_default().to_string();
            self.push("route of the HJB solution", text, bar, Mark::Plain);
        }
        let estimate = self.number(&p("/certificate/richardson/value_error"));
        let control_estimate = self.number(&p("/certificate/richardson/control_error"));
        if let Some(reliable) = self.at(&p("/certificate/reliable")).and_then(Value::as_bool) {
            let notes = self
                .at(&p("/certificate/notes"))
                .and_then(Value::as_array)
                .map_or_else(Vec::new, |n| n.iter().filter_map(Value::as_str).map(str::to_string).collect());
            let value = if reliable { "reliable".to_string() } else { format!("not reliable: {}", notes.join("; ")) };
            self.push("certificate of accuracy", value, "reliable", below(reliable));
        }
        if let Some(error) = estimate {
            self.push("error of V, by its certificate", number(error), "an estimate over compare_on", Mark::Plain);
        }
        if let Some(error) = control_estimate.filter(|_| self.text("/problem/controls/kind") != Some("none")) {
            let (value, bar) = match self.number(&p("/certificate/richardson/control_jump")) {
                Some(jump) => {
                    let mean = self.number(&p("/certificate/richardson/control_mean_error")).map_or("-".into(), number);
                    (format!("{mean} on average"), format!("the control switches, by {} at most", number(jump)))
                }
                None => (number(error), "an estimate over compare_on".into()),
            };
            self.push("error of the control, by its certificate", value, bar, Mark::Plain);
        }
        let observed = self.number(&p("/certificate/richardson/observed_order"));
        if let (Some(observed), Some(formal)) = (observed, self.number(&p("/certificate/richardson/formal_order"))) {
            let converging = self.at(&p("/certificate/richardson/converging")).and_then(Value::as_bool) != Some(false);
            let adaptive = self.text(&p("/route")) == Some("high_order");
            let mark = if adaptive && converging { Mark::Plain } else { below(converging && observed >= 0.5 * formal) };
            let bar = if adaptive {
                format!("{formal} for smooth data; the tolerance in time hides it")
            } else {
                format!("{formal} for smooth data")
            };
            self.push("order seen by the certificate", format!("{observed:.2}"), bar, mark);
        }
        if let Some(residual) = self.number(&p("/certificate/residual/sup")) {
            self.push("residual of the HJB equation", number(residual), "units of V per time", Mark::Plain);
        }
        for (name, known, estimate) in [("V", "/value_error", estimate), ("the control", "/control_error", control_estimate)] {
            let Some(error) = self.number(&p(known)) else { continue };
            // rounding is no error of the estimate
            let (bar, mark) = match estimate {
                Some(e) => (format!("twice the estimate, {}", number(2.0 * e)), below(error <= 2.0 * e + 1e-9)),
                None => (self.text(&p("/reference")).unwrap_or("the known solution").to_string(), Mark::Plain),
            };
            self.push(format!("error of {name} against the known solution"), number(error), bar, mark);
        }
        let negative = self.number(&p("/solver/monotonicity/violations"));
        if let Some(count) = negative.filter(|_| self.text(&p("/route")) != Some("high_order")) {
            self.push("negative rates (monotonicity)", number(count), "0", below(count == 0.0));
        }
        if let Some(objective) = self.number(&p("/objective")) {
            let bar = self.number(&p("/objective_exact")).map_or(String::new(), |x| format!("closed form {}", number(x)));
            self.push("optimal objective E V(0, Y₀)", number(objective), bar, Mark::Plain);
        }
        let starts: Vec<(String, String, String)> = (self.at(&p("/start")).and_then(Value::as_array).into_iter().flatten())
            .map(|s| {
                let known = s["exact_value"].as_f64().map_or(String::new(), |x| format!("known: {}", number(x)));
                (point(&s["x"]), s["value"].as_f64().map_or("-".into(), number), known)
            })
            .collect();
        for (x, value, known) in starts {
            self.push(format!("V at x = {x}"), value, known, Mark::Plain);
        }
    }

    fn rollout(&mut self) {
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

    fn pift(&mut self) {
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

    fn parametric(&mut self) {
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

    fn bridge(&mut self) {
        let steps = self.numbers("/bridge/steps");
        let Some(n) = steps.last() else { return };
        for (name, pointer) in [("V", "value_error"), ("the control", "control_error")] {
            if let Some(error) = self.numbers(&format!("/bridge/{pointer}")).last() {
                let bar = self.text("/bridge/reference_description").unwrap_or_default().to_string();
                self.push(format!("error of {name} at N = {n}"), number(*error), bar, Mark::Plain);
            }
        }
        for (name, pointer, expected, slack) in [
            ("order of V, last three N", "order_value", 1.0, 0.2),
            ("order of the control, last three N", "order_control", 1.0, 0.3),
            ("order of Richardson's extrapolation", "richardson_order", 2.0, 0.5),
            ("order of the final law (W₁)", "final_law/order/order", 1.0, 0.3),
        ] {
            if let Some(order) = self.number(&format!("/bridge/{pointer}")) {
                let bar = format!("{expected} ± {slack}");
                self.push(name, format!("{order:.2}"), bar, below((order - expected).abs() <= slack));
            }
        }
        if let Some(ratio) = self.numbers("/bridge/leading_error/value_ratio").last() {
            let mark = below((ratio - 1.0).abs() <= 0.1);
            self.push(format!("error of V over its predicted leading part, N = {n}"), number(*ratio), "1 ± 0.1", mark);
        }
        let own = self.at("/bridge/own_errors").and_then(Value::as_array);
        let own = own.into_iter().flatten().filter_map(|o| o["value"]["ratio_to_time_error"].as_f64()).reduce(f64::max);
        if let Some(own) = own {
            let name = "own errors of V (grid, quadrature, iteration, reference)";
            self.push(name, format!("{} of the time error", number(own)), "at most a tenth", below(own <= 0.1));
        }
        if let Some(rho) = self.numbers("/bridge/rho").into_iter().reduce(f64::max) {
            self.push("largest bound ρ on the contraction", number(rho), "below 1", below(rho < 1.0));
        }
        let own = self.at("/bridge/against_hjb/hjb_error/0").and_then(Value::as_f64);
        let hjb = self.text("/bridge/reference") == Some("hjb");
        let smallest = self.numbers("/bridge/value_error").into_iter().reduce(f64::min);
        if let (true, Some(own), Some(smallest)) = (hjb, own, smallest) {
            let bar = format!("a tenth of the smallest error of V, {}", number(0.1 * smallest));
            self.push("error of V in the HJB solution it is compared with", number(own), bar, below(own <= 0.1 * smallest));
        }
    }

    fn certify(&mut self) {
        let Some(section) = self.at("/certify") else { return };
        let sign = if section["sense"] == "minimise" { -1.0 } else { 1.0 };
        let mut found = Vec::new();
        for verdict in section["starts"].as_array().into_iter().flatten() {
            let place = if verdict["x"].is_null() { String::new() } else { format!(" from x = {}", point(&verdict["x"])) };
            let simulated = verdict.pointer("/simulated/objective/mean");
            let achieved = verdict.pointer("/computed/value").or(simulated).and_then(Value::as_f64);
            let optimum = verdict["optimum_exact"].as_f64().or(verdict.pointer("/optimum/value").and_then(Value::as_f64));
            if let Some(j) = achieved {
                let bar = optimum.map_or(String::new(), |v| format!("optimum {}", number(v)));
                found.push((format!("what the policy earns{place}"), number(j), bar, Mark::Plain));
            }
            for bound in verdict["bounds"].as_array().into_iter().flatten() {
                if let (Some(limit), Some(j)) = (bound["limit"].as_f64(), achieved) {
                    let kind = bound["kind"].as_str().unwrap_or("bound").replace('_', " ");
                    let bar = if sign > 0.0 { "not below what the policy earns" } else { "not above what the policy costs" };
                    let mark = below(sign * (limit - j) >= -1e-9 * (1.0 + j.abs()));
                    found.push((format!("bound of the optimum{place} ({kind})"), number(limit), bar.into(), mark));
                }
            }
            let loss = |end: &str| verdict["loss"][end].as_f64();
            if let (Some(value), Some(low), Some(high)) = (loss("value"), loss("low"), loss("high")) {
                let bar = format!("between {} and {}", number(low), number(high));
                found.push((format!("distance from optimal{place}"), number(value), bar, Mark::Plain));
            }
            if let Some(part) = verdict["reached"].as_f64() {
                found.push((
                    format!("part of the possible gain{place}"),
                    format!("{:.2} %", 100.0 * part),
                    String::new(),
                    Mark::Plain,
                ));
            }
        }
        for (route, name) in [("value_route", "the optimum"), ("policy_route", "the policy's value")] {
            if let Some(reliable) = section[route]["certificate"]["reliable"].as_bool() {
                let value = if reliable { "reliable" } else { "not reliable" };
                found.push((format!("certificate of {name}"), value.into(), "reliable".into(), below(reliable)));
            }
        }
        for (quantity, value, bar, mark) in found {
            self.push(quantity, value, bar, mark);
        }
    }

    fn sweep(&mut self) {
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

    fn network(&mut self) {
        if let Some(entropy) = self.number("/network/relative_entropy") {
            let bar = "of the reference's process with respect to the network's";
            self.push("relative entropy of the network", number(entropy), bar, Mark::Plain);
        }
        if let Some(gap) = self.number("/network/gap/value") {
            let part = self.number("/network/gap/discretisation");
            let bar = part.map_or(String::new(), |p| format!("of which about {} by the discretisation", number(p)));
            self.push("distance of V from the reference's closed form", number(gap), bar, Mark::Plain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mark(report: &Value, quantity: &str) -> Mark {
        rows(report).iter().find(|r| r.quantity == quantity).unwrap_or_else(|| panic!("no row {quantity}")).mark
    }

    #[test]
    fn marks_follow_the_rules() {
        let whole = json!({"complete": true, "error": null});
        assert_eq!(mark(&whole, "run"), Mark::Pass);
        assert_eq!(mark(&json!({"complete": false, "error": "x"}), "run"), Mark::Warn);
        let solve = |reliable: bool, error: f64| {
            json!({"complete": true, "solve": {"route": "monotone", "scheme": "hybrid", "value_error": error,
                "certificate": {"reliable": reliable, "notes": [], "richardson": {"value_error": 1e-3, "control_error": 1e-2,
                "observed_order": 1.9, "formal_order": 2, "converging": true}}}})
        };
        assert_eq!(mark(&solve(true, 1e-3), "certificate of accuracy"), Mark::Pass);
        assert_eq!(mark(&solve(false, 1e-3), "certificate of accuracy"), Mark::Warn);
        assert_eq!(mark(&solve(true, 1e-3), "error of V against the known solution"), Mark::Pass);
        assert_eq!(mark(&solve(true, 1e-1), "error of V against the known solution"), Mark::Warn);
        assert_eq!(mark(&solve(true, 1e-3), "order seen by the certificate"), Mark::Pass);
        let bridge = |order: f64| json!({"bridge": {"steps": [8, 16, 32], "order_value": order}});
        assert_eq!(mark(&bridge(0.95), "order of V, last three N"), Mark::Pass);
        assert_eq!(mark(&bridge(0.5), "order of V, last three N"), Mark::Warn);
        let rollout = |z: f64| json!({"rollout": {"z_score": z, "estimates": {"outside_fraction": {"mean": 0.5}}}});
        assert_eq!(mark(&rollout(-2.0), "deviation"), Mark::Pass);
        assert_eq!(mark(&rollout(-4.0), "deviation"), Mark::Warn);
        assert_eq!(mark(&rollout(0.0), "steps outside the policy's grid"), Mark::Warn);
    }

    #[test]
    fn texts_are_escaped_and_numbers_short() {
        let html = table(&rows(&json!({"complete": false, "error": "<script>"})));
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script>"));
        assert_eq!([number(0.25), number(1234567.0), number(1e-7), number(0.0)], ["0.25", "1.235e6", "1.000e-7", "0"]);
    }
}
