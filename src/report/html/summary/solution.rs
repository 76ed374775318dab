//! The rows of an HJB solution, of a fine-tuning problem or of a controlled diffusion.

use super::{Mark, Table, below, number, point};
use serde_json::Value;

impl Table<'_> {
    pub(super) fn solution(&mut self) {
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
}
