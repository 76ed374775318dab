//! The rows of a certificate of a given policy.

use super::{Mark, Table, below, number, point};
use serde_json::Value;

impl Table<'_> {
    pub(super) fn certify(&mut self) {
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
}
