//! The rows of the bridge.

use super::{Mark, Table, below, number};
use serde_json::Value;

impl Table<'_> {
    pub(super) fn bridge(&mut self) {
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
}
