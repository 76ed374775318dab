//! The problem in words and formulas.

use super::formula::{escape, formula};
use serde_json::Value;

/// The problem of a report: a paragraph, the formulas, a table of what is in them.
pub fn problem_text(problem: &Value) -> String {
    if !problem.is_object() {
        return "<p>Several problems: All numbers has them by name.</p>\n".into();
    }
    let mut page = Text { html: String::new(), problem };
    if let Some(description) = problem["description"].as_str() {
        page.html += &format!("<p class=\"lead\">{}</p>\n", escape(description));
    }
    if problem["kind"] == "controlled_diffusion" {
        page.controlled()
    } else {
        page.fine_tuning()
    }
    page.html
}

struct Text<'a> {
    html: String,
    problem: &'a Value,
}

/// All digits, without a point after whole numbers.
fn number(x: f64) -> String {
    if x == 0.0 || (1e-4..1e15).contains(&x.abs()) { x.to_string() } else { format!("{x:e}") }
}

/// Any value as text: strings as they are, members by their names.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(x) => x.as_f64().filter(|_| x.is_f64()).map_or_else(|| x.to_string(), number),
        Value::Object(fields) => {
            format!("({})", fields.iter().map(|(name, v)| format!("{name} = {}", plain(v))).collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) if items.len() == 1 => plain(&items[0]),
        Value::Array(items) => format!("({})", items.iter().map(plain).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// Long lists are in the file.
fn short(value: &Value) -> String {
    let text = plain(value);
    if text.chars().count() > 120 {
        format!("{}… (see the problem file below)", text.chars().take(100).collect::<String>())
    } else {
        text
    }
}

impl Text<'_> {
    fn display(&mut self, label: &str, text: &str) {
        self.html += &format!("<div class=\"display\"><span class=\"what\">{}</span>{}</div>\n", escape(label), formula(text));
    }

    fn open(&mut self) {
        self.html += "<table class=\"facts\"><tbody>\n";
    }

    fn close(&mut self) {
        self.html += "</tbody></table>\n";
    }

    /// A row of the table; `html` is ready.
    fn row(&mut self, name: &str, html: &str) {
        self.html += &format!("<tr><th scope=\"row\">{}</th><td>{html}</td></tr>\n", escape(name));
    }

    fn fine_tuning(&mut self) {
        let p = self.problem;
        self.html += &format!(
            "<p>A diffusion model generates from noise at {} to data at {}. Its pre-trained score {} is replaced by a control {} \
             that earns the reward {} at the end and pays for each departure from {}.</p>\n",
            formula("t = 0"),
            formula("t = T"),
            formula("s"),
            formula("U"),
            formula("r"),
            formula("s")
        );
        self.display("dynamics", "dY = [ (b/2) Y + b U ] dt + √b dB");
        self.display("objective", "maximise  E [ r(Y_T) - int_0^T beta (b/2) |U - s|^2 dt ]");
        self.display(
            "HJB equation",
            "V_t + ( (b/2) y + b s ) · grad V + (b/2) Lap V + (b/(2 beta)) |grad V|^2 = 0,   V(T, y) = r(y)",
        );
        self.display("optimal control", "U = s + grad V / beta");
        self.open();
        self.row("horizon", &formula(&format!("T = {}", plain(&p["horizon"]))));
        self.row("noise rate", &schedule(&p["schedule"]));
        self.row("pre-trained model", &prior(&p["prior"]));
        self.row("reward", &reward(&p["reward"]));
        self.row("KL weight", &kl_weight(&p["kl_weight"]));
        let initial = match p["initial_law"].as_str() {
            Some("standard_normal") => "standard normal",
            Some("noised_prior") => "the pre-trained law, noised over the horizon",
            Some("optimal") => "the tilted law, noised over the horizon",
            other => other.unwrap_or("-"),
        };
        self.row("law of the start", &escape(initial));
        self.grid();
        let chain = &p["pift"];
        if chain.is_object() {
            let name = |field: &str| short(&chain[field]).replace('_', " ");
            let text = format!(
                "a: {}, variance: {}, kernel: {}, inner iteration: {}",
                name("alpha"),
                name("variance"),
                name("kernel"),
                name("inner")
            );
            self.row("discrete chain", &escape(&text));
        }
        self.close();
    }

    fn controlled(&mut self) {
        let p = self.problem;
        let minimise = p["sense"] == "minimise";
        let (verb, sign, bound) = if minimise { ("minimise", "+", "inf_v") } else { ("maximise", "-", "sup_v") };
        let horizon = !p["horizon"].is_null();
        let controls = p["controls"]["kind"].as_str().unwrap_or("free");
        let time = if horizon { "V_t + " } else { "" };
        let discounted = p["discount"].as_f64().is_some_and(|r| r != 0.0);
        let (weight, discount) = if discounted { ("exp(-rho t) ", " - rho V") } else { ("", "") };
        let push = if controls == "none" { "" } else { " + G v" };
        self.display("dynamics", &format!("dX = [ f{push} ] dt + sigma dB"));
        // what the functional has of end, running and control terms
        let (leaves, running) = (p["target"].is_object(), !p["running"].is_null());
        let (end, limit) = match (horizon, leaves) {
            (true, _) => (format!("{}g(X_T)", weight.replace('t', "T")), "T"),
            (false, true) => (format!("{}h(X_tau)", weight.replace('t', "tau")), "tau"),
            (false, false) => (String::new(), "infinity"),
        };
        let flow = match (running, controls) {
            (false, "none") => String::new(),
            (true, "none") => "l".into(),
            (false, _) => format!("{} c(v)", if minimise { "" } else { "-" }),
            (true, _) => format!("l {sign} c(v)"),
        };
        let integral = if flow.is_empty() { String::new() } else { format!("int_0^{limit} {weight}( {} ) dt", flow.trim()) };
        let plus = if end.is_empty() || integral.is_empty() { "" } else { " + " };
        self.display("functional", &format!("{verb}  E [ {end}{plus}{integral} ]"));
        let hamiltonian = if controls == "none" { String::new() } else { format!(" + {bound} ( (G v) · grad V {sign} c(v) )") };
        let source = if running { " + l" } else { "" };
        let generator = format!("{time}f · grad V + (1/2) tr(sigma sigma' D^2 V){source}{hamiltonian}{discount}");
        let equation = match (p["obstacle"].is_null(), minimise) {
            (true, _) => format!("{generator} = 0"),
            (false, false) => format!("max( {generator}, psi - V ) = 0"),
            (false, true) => format!("min( {generator}, psi - V ) = 0"),
        };
        self.display("HJB equation", &equation);
        self.open();
        if let Some(t) = p["horizon"].as_f64() {
            self.row("horizon", &formula(&format!("T = {t}")));
        } else {
            self.row("horizon", "none: the problem is stationary");
        }
        if let Some(parameters) = p["parameters"].as_object().filter(|m| !m.is_empty()) {
            let all: Vec<String> = parameters.iter().map(|(name, v)| formula(&format!("{name} = {}", plain(v)))).collect();
            self.row("parameters", &all.join(", "));
        }
        for (name, field, letter) in [
            ("drift", "drift", "f"),
            ("control matrix", "control_matrix", "G"),
            ("noise", "diffusion", "sigma"),
            (if minimise { "running cost" } else { "running reward" }, "running", "l"),
            ("cost of the control", "control_cost", "c(v)"),
            (if minimise { "terminal cost" } else { "terminal reward" }, "terminal", "g"),
            (if minimise { "cost of stopping" } else { "reward for stopping" }, "obstacle", "psi"),
            ("values on Dirichlet faces", "face_value", "V"),
        ] {
            let value = &p[field];
            let unused = controls == "none" && field.starts_with("control");
            if !value.is_null() && !unused {
                let unit = if field == "control_matrix" || field == "diffusion" { self.identity(value) } else { "" };
                let when = if field == "obstacle" { ", taken at a time of choice" } else { "" };
                self.row(name, &format!("{}{unit}{when}", formula(&format!("{letter} = {}", short(value)))));
            }
        }
        if p["control_cost"].is_null() && controls != "none" {
            let weight = &p["control_weight"];
            let text = match weight.is_null() {
                true => formula("c(v) = |v|^2/2"),
                false => format!("{}{}", formula(&format!("c(v) = v' R v/2,  R = {}", short(weight))), self.identity(weight)),
            };
            self.row("cost of the control", &text);
        }
        let set = match controls {
            "free" => "free".to_string(),
            "none" => "none".to_string(),
            "box" => format!("between {} and {}", short(&p["controls"]["lower"]), short(&p["controls"]["upper"])),
            "finite" => {
                format!("{} of them: {}", p["controls"]["values"].as_array().map_or(0, Vec::len), short(&p["controls"]["values"]))
            }
            other => other.to_string(),
        };
        self.row("controls", &escape(&set));
        if discounted {
            self.row("discount", &formula(&format!("rho = {}", plain(&p["discount"]))));
        }
        let target = &p["target"];
        if target.is_object() {
            let level = formula(&format!("{} <= 0", plain(&target["level"])));
            self.row(
                "target",
                &format!("the process ends where {level}, with {}", formula(&format!("h = {}", plain(&target["value"])))),
            );
        }
        if let Some(faces) = p["faces"].as_array() {
            let all: Vec<String> = faces.iter().map(plain).collect();
            self.row("faces of the box", &escape(&all.join(", ")));
        }
        for (name, field, letter) in [("known solution", "value", "V"), ("known control", "control", "v")] {
            if !p["exact"][field].is_null() {
                self.row(name, &formula(&format!("{letter} = {}", plain(&p["exact"][field]))));
            }
        }
        self.grid();
        self.close();
    }

    /// A single formula stands for a multiple of the identity.
    fn identity(&self, value: &Value) -> &'static str {
        let one = self.problem["drift"].as_array().is_some_and(|f| f.len() == 1);
        if value.is_array() || one { "" } else { " times the identity" }
    }

    fn grid(&mut self) {
        let (p, grid) = (self.problem, &self.problem["grid"]);
        if !grid.is_object() {
            self.row("grid", "none");
            return;
        }
        let list = |v: &Value| v.as_array().cloned().unwrap_or_default();
        let (lower, upper, nodes) = (list(&grid["lower"]), list(&grid["upper"]), list(&grid["nodes"]));
        let axis = |i: usize| -> Option<String> {
            Some(format!("{} nodes in [{}, {}]", nodes.get(i)?, plain(lower.get(i)?), plain(upper.get(i)?)))
        };
        let axes: Vec<String> = (0..nodes.len()).filter_map(axis).collect();
        let stretched = if grid["stretch"].is_object() { ", stretched" } else { "" };
        self.row("grid", &escape(&format!("{}{stretched}", axes.join(" × "))));
        if !(p["kind"] == "controlled_diffusion" && p["horizon"].is_null()) {
            self.row("time steps", &escape(&plain(&p["time_steps"])));
        }
        let region = &p["compare_on"];
        if region.is_object() {
            let (lower, upper) = (list(&region["lower"]), list(&region["upper"]));
            let sides: Vec<String> = lower.iter().zip(&upper).map(|(a, b)| format!("[{}, {}]", plain(a), plain(b))).collect();
            self.row("errors are taken over", &escape(&sides.join(" × ")));
        }
        if let Some(scheme) = p["scheme"].as_object().filter(|s| !s.is_empty()) {
            let parts: Vec<String> = scheme.iter().map(|(k, v)| format!("{k}: {}", plain(v)).replace('_', " ")).collect();
            self.row("scheme asked for", &escape(&parts.join(", ")));
        }
    }
}

fn schedule(s: &Value) -> String {
    match s["kind"].as_str() {
        Some("constant") => formula(&format!("b = {}", plain(&s["b"]))),
        Some("linear") => {
            format!(
                "linear: {} at the data, {} at the noise",
                formula(&format!("b = {}", plain(&s["b_min"]))),
                formula(&plain(&s["b_max"]))
            )
        }
        Some("cosine") => format!("cosine, offset {}, at most {}", escape(&plain(&s["offset"])), formula(&plain(&s["b_max"]))),
        Some("table") => format!("a table of {} rates", s["b"].as_array().map_or(0, Vec::len)),
        _ => escape(&short(s)),
    }
}

fn prior(p: &Value) -> String {
    let vector = |v: &Value| escape(&short(v));
    match p["kind"].as_str() {
        Some("gaussian") => format!("normal, mean {}, covariance {}", vector(&p["mean"]), vector(&p["covariance"])),
        Some("mixture") => format!(
            "mixture of {} normal laws: weights {}, means {}, covariances {}",
            p["weights"].as_array().map_or(0, Vec::len),
            vector(&p["weights"]),
            vector(&p["means"]),
            vector(&p["covariances"])
        ),
        Some("samples") => {
            let width = p["bandwidth"].as_f64().map_or(String::new(), |h| format!(", width {h}"));
            let units = if p["standardize"] == false { "" } else { ", brought to mean 0 and standard deviation 1" };
            format!("kernel density estimate{width} of the columns {} of {}{units}", vector(&p["columns"]), vector(&p["file"]))
        }
        Some("network") => {
            let reference =
                if p["reference"].is_object() { format!("; reference: {}", prior(&p["reference"])) } else { String::new() };
            format!("a trained network, {}{reference}", vector(&p["file"]))
        }
        _ => vector(p),
    }
}

fn reward(r: &Value) -> String {
    let vector = |v: &Value| escape(&short(v));
    let count = r["terms"].as_array().map_or(0, Vec::len);
    match r["kind"].as_str() {
        Some("linear") => format!("{}, q = {}, c = {}", formula("r(x) = q'x + c"), vector(&r["q"]), vector(&r["c"])),
        Some("quadratic") => format!(
            "{}, Q = {}, q = {}, c = {}",
            formula("r(x) = -x'Q x/2 + q'x + c"),
            vector(&r["Q"]),
            vector(&r["q"]),
            vector(&r["c"])
        ),
        Some("log_sum_exp") => {
            format!("{} of {count} quadratic terms: {}", formula("r(x) = beta log sum_j exp(r_j(x)/beta)"), vector(&r["terms"]))
        }
        Some("bumps") => {
            format!("{}, {count} of them: {}", formula("r(x) = sum_j h_j exp(-|x - m_j|^2/(2 w_j^2))"), vector(&r["terms"]))
        }
        Some("classifier") => {
            format!(
                "{} of class {} by the classifier {}",
                vector(&r["of"]).replace('_', " "),
                vector(&r["class"]),
                vector(&r["file"])
            )
        }
        _ => vector(r),
    }
}

fn kl_weight(w: &Value) -> String {
    match w["kind"].as_str() {
        Some("formula") => formula(&format!("beta(t) = {}", plain(&w["beta"]))),
        Some("table") => format!("{} by a table of {} weights", formula("beta(t)"), w["beta"].as_array().map_or(0, Vec::len)),
        _ => formula(&format!("beta = {}", short(w))),
    }
}
