//! The table at the top of the page: the figures to look at first, each against what it should be. `docs/report.md` has the rules.

mod bridge;
mod certify;
mod chain;
mod simulation;
mod solution;

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
