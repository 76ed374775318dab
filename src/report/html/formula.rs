//! Formulas as HTML: `-4*kappa*x0*(x0**2 - 1)` with Greek letters, indices below and powers above the line.

/// Text with the characters that HTML takes for its own replaced.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// Names that have a sign of their own.
const SIGNS: [(&str, &str); 29] = [
    ("alpha", "α"),
    ("beta", "β"),
    ("gamma", "γ"),
    ("delta", "δ"),
    ("epsilon", "ε"),
    ("zeta", "ζ"),
    ("eta", "η"),
    ("theta", "θ"),
    ("kappa", "κ"),
    ("lambda", "λ"),
    ("mu", "μ"),
    ("nu", "ν"),
    ("xi", "ξ"),
    ("pi", "π"),
    ("rho", "ρ"),
    ("sigma", "σ"),
    ("tau", "τ"),
    ("phi", "φ"),
    ("psi", "ψ"),
    ("omega", "ω"),
    ("Delta", "Δ"),
    ("Sigma", "Σ"),
    ("Omega", "Ω"),
    ("grad", "∇"),
    ("Lap", "Δ"),
    ("int", "∫"),
    ("sqrt", "√"),
    ("infinity", "∞"),
    ("sum", "∑"),
];

/// Names that are written upright.
const UPRIGHT: [&str; 10] = ["tr", "sup", "inf", "max", "min", "E", "N", "log", "maximise", "minimise"];

/// A formula in the notation of problem files (`x_0`, `x0`, `a**b`, `a^b`, `a*b`) as an HTML element. Any text is safe.
pub fn formula(text: &str) -> String {
    format!("<span class=\"formula\">{}</span>", Typesetter { rest: text }.run())
}

struct Typesetter<'a> {
    rest: &'a str,
}

impl<'a> Typesetter<'a> {
    fn run(mut self) -> String {
        let mut out = String::new();
        while let Some(c) = self.rest.chars().next() {
            if c.is_alphabetic() {
                let name = self.take_while(|c| c.is_alphanumeric());
                out += &typeset(name, self.rest.trim_start().starts_with('('));
            } else if c.is_ascii_digit() || c == '.' {
                out += self.number();
            } else if let Some(rest) = self.rest.strip_prefix("**").or(self.rest.strip_prefix('^')) {
                self.rest = rest;
                out += &self.shifted("sup");
            } else if let Some(rest) = self.rest.strip_prefix('_') {
                self.rest = rest;
                out += &self.shifted("sub");
            } else {
                self.rest = &self.rest[c.len_utf8()..];
                let or_equal = self.rest.starts_with('=');
                match c {
                    '<' | '>' if or_equal => {
                        self.rest = &self.rest[1..];
                        out.push(if c == '<' { '≤' } else { '≥' });
                    }
                    '-' => out.push('−'),
                    '*' if self.rest.trim_start().starts_with(|c: char| c.is_ascii_digit()) => out += " · ",
                    '*' => out.push('\u{2009}'),
                    // written as in a file
                    '\'' => out.push('′'),
                    other => out += &escape(other.encode_utf8(&mut [0; 4])),
                }
            }
        }
        out
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !keep(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Digits, a point, an exponent.
    fn number(&mut self) -> &'a str {
        let bytes = self.rest.as_bytes();
        let digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_digit);
        let mut end = 0;
        while digit(end) || bytes.get(end) == Some(&b'.') {
            end += 1;
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            if digit(end + 1 + sign) {
                end += 1 + sign;
                while digit(end) {
                    end += 1;
                }
            }
        }
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// What follows, one operand, above or below the line.
    fn shifted(&mut self, tag: &str) -> String {
        self.rest = self.rest.trim_start();
        let sign = if self.rest.starts_with('-') { 1 } else { 0 };
        let body = &self.rest[sign..];
        let end = match body.chars().next() {
            Some('(') => closing(body),
            Some(c) if c.is_ascii_digit() || c == '.' => {
                let mut number = Typesetter { rest: body };
                number.number().len()
            }
            Some(c) if c.is_alphabetic() => body.find(|c: char| !c.is_alphanumeric()).unwrap_or(body.len()),
            Some(c) => c.len_utf8(),
            None => 0,
        };
        let (operand, rest) = self.rest.split_at(sign + end);
        self.rest = rest;
        let bare = operand.strip_prefix('(').and_then(|o| o.strip_suffix(')')).unwrap_or(operand);
        format!("<{tag}>{}</{tag}>", Typesetter { rest: bare }.run())
    }
}

/// Length of the parenthesis at the beginning; all of it when it is not closed.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + c.len_utf8();
        }
    }
    text.len()
}

/// A name: a sign, an index after a letter, d before a differential.
fn typeset(name: &str, called: bool) -> String {
    let end = name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len());
    let (letters, digits) = name.split_at(end);
    let index = if digits.is_empty() { String::new() } else { format!("<sub>{}</sub>", escape(digits)) };
    let known = SIGNS.iter().find(|(word, _)| *word == letters).map(|(_, sign)| *sign);
    let differential = ["dt", "dB", "dX", "dY"].contains(&name);
    match known {
        Some(sign) => format!("{sign}{index}"),
        None if differential => format!("d<i>{}</i>", &name[1..]),
        None if UPRIGHT.contains(&letters) || called && letters.chars().count() > 1 => format!("{}{index}", escape(letters)),
        None => format!("<i>{}</i>{index}", escape(letters)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_of_files() {
        let inner = |text: &str| formula(text).replace("<span class=\"formula\">", "").replace("</span>", "");
        assert_eq!(
            inner("-4*kappa*x0*(x0**2 - 1)"),
            "−4\u{2009}κ\u{2009}<i>x</i><sub>0</sub>\u{2009}(<i>x</i><sub>0</sub><sup>2</sup> − 1)"
        );
        assert_eq!(inner("exp(-t)**(a+1)"), "exp(−<i>t</i>)<sup><i>a</i>+1</sup>");
        assert_eq!(inner("1.5e-3*2"), "1.5e-3 · 2");
        assert_eq!(inner("x**-2"), "<i>x</i><sup>−2</sup>");
        assert_eq!(inner("a<=b"), "<i>a</i>≤<i>b</i>");
        assert_eq!(inner("V_t + int_0^T dt"), "<i>V</i><sub><i>t</i></sub> + ∫<sub>0</sub><sup><i>T</i></sup> d<i>t</i>");
    }

    #[test]
    fn any_text_is_safe() {
        for text in ["<script>alert(1)</script>", "x**(", "x**", "_", "a_<b>", "^(<i>)", "\"'&", "x**é", "**(((", "é0"] {
            let html = formula(text);
            let tags = ["span class=\"formula\"", "/span", "i", "/i", "sub", "/sub", "sup", "/sup"];
            for tag in html.split('<').skip(1).filter_map(|part| part.split('>').next()) {
                assert!(tags.contains(&tag), "{text}: {html}");
            }
            assert!(!html.contains("<script") && escape(text).find(['<', '>', '"', '\'']).is_none());
        }
    }
}
