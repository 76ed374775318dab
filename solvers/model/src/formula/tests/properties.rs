//! Random text and random expressions.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::formula::Formula;
use crate::points::PointBlock;

const NAMES: [&str; 3] = ["t", "x", "y"];

/// An expression with its own printer and evaluator, both independent of the parser and of the compiled form.
#[derive(Debug, Clone)]
enum Tree {
    Number(f64),
    Variable(usize),
    Sign(char, Box<Tree>),
    Not(Box<Tree>),
    Call(&'static str, Box<Tree>),
    Infix(&'static str, Box<Tree>, Box<Tree>),
    Chain(Box<Tree>, Vec<(&'static str, Tree)>),
    Extreme(bool, Vec<Tree>),
    Where(Box<Tree>, Box<Tree>, Box<Tree>),
}

impl Tree {
    /// How tightly the outermost operation binds, by the table of the Python reference.
    fn level(&self) -> u8 {
        match self {
            Tree::Infix("or", ..) => 1,
            Tree::Infix("and", ..) => 2,
            Tree::Not(_) => 3,
            Tree::Chain(..) => 4,
            Tree::Infix("+" | "-", ..) => 5,
            Tree::Infix("*" | "/", ..) => 6,
            Tree::Sign(..) => 7,
            Tree::Infix(..) => 8,
            _ => 9,
        }
    }

    /// The text, in parentheses only if it binds less tightly than `least`.
    fn print(&self, least: u8) -> String {
        let text = match self {
            Tree::Number(x) => format!("{x}"),
            Tree::Variable(i) => NAMES[*i].to_string(),
            Tree::Sign(s, a) => format!("{s}{}", a.print(7)),
            Tree::Not(a) => format!("not {}", a.print(3)),
            Tree::Call(f, a) => format!("{f}({})", a.print(0)),
            Tree::Infix(f, a, b) => match self.level() {
                8 => format!("{}{f}{}", a.print(9), b.print(7)),
                level => format!("{} {f} {}", a.print(level), b.print(level + 1)),
            },
            Tree::Chain(a, rest) => rest.iter().fold(a.print(5), |text, (f, b)| format!("{text} {f} {}", b.print(5))),
            Tree::Extreme(min, all) => {
                let all: Vec<String> = all.iter().map(|a| a.print(0)).collect();
                format!("{}({})", if *min { "min" } else { "max" }, all.join(", "))
            }
            Tree::Where(c, a, b) => format!("where({}, {}, {})", c.print(0), a.print(0), b.print(0)),
        };
        if self.level() < least { format!("({text})") } else { text }
    }

    fn constant(&self) -> bool {
        match self {
            Tree::Number(_) => true,
            Tree::Variable(_) => false,
            Tree::Sign(_, a) | Tree::Not(a) | Tree::Call(_, a) => a.constant(),
            Tree::Infix(_, a, b) => a.constant() && b.constant(),
            Tree::Chain(a, rest) => a.constant() && rest.iter().all(|(_, b)| b.constant()),
            Tree::Extreme(_, all) => all.iter().all(Tree::constant),
            Tree::Where(c, a, b) => {
                // A constant condition leaves one branch.
                c.constant() && (c.eval(&[0.0; 3]).is_nan() || if c.eval(&[0.0; 3]) != 0.0 { a.constant() } else { b.constant() })
            }
        }
    }

    fn eval(&self, at: &[f64; 3]) -> f64 {
        let truth = |v: f64| if v.is_nan() { v } else { f64::from(v != 0.0) };
        match self {
            Tree::Number(x) => *x,
            Tree::Variable(i) => at[*i],
            Tree::Sign('-', a) => -a.eval(at),
            Tree::Sign(_, a) => a.eval(at),
            Tree::Not(a) => 1.0 - truth(a.eval(at)),
            Tree::Call(f, a) => {
                let a = a.eval(at);
                match *f {
                    "sin" => a.sin(),
                    "cos" => a.cos(),
                    "exp" => a.exp(),
                    "log" => a.ln(),
                    "sqrt" => a.sqrt(),
                    "abs" => a.abs(),
                    "tanh" => a.tanh(),
                    "floor" => a.floor(),
                    other => panic!("{other}"),
                }
            }
            Tree::Infix(f, left, right) => {
                let (a, b) = (left.eval(at), right.eval(at));
                match *f {
                    "+" => a + b,
                    "-" => a - b,
                    "*" => a * b,
                    "/" => a / b,
                    "and" if a == 0.0 || a.is_nan() => truth(a),
                    "or" if a != 0.0 || a.is_nan() => truth(a),
                    "and" | "or" => truth(b),
                    // Constant exponents: small integers multiply, one half is the square root.
                    _ if right.constant() && b == 0.5 => a.sqrt(),
                    _ if right.constant() && b.fract() == 0.0 && b.abs() <= 16.0 => integer_power(a, b),
                    _ => a.powf(b),
                }
            }
            Tree::Chain(first, rest) => {
                let (mut left, mut all) = (first.eval(at), None);
                for (f, right) in rest {
                    let right = right.eval(at);
                    let holds = match *f {
                        "<" => left < right,
                        "<=" => left <= right,
                        ">" => left > right,
                        ">=" => left >= right,
                        "==" => left == right,
                        _ => left != right,
                    };
                    let holds = if left.is_nan() || right.is_nan() { f64::NAN } else { f64::from(holds) };
                    all = Some(match all {
                        None => holds,
                        Some(1.0) => holds,
                        Some(before) => before,
                    });
                    left = right;
                }
                all.unwrap_or(left)
            }
            Tree::Extreme(min, all) => {
                let mut values = all.iter().map(|a| a.eval(at));
                let first = values.next().unwrap_or(f64::NAN);
                values.fold(first, |a, b| {
                    if a.is_nan() || b.is_nan() {
                        f64::NAN
                    } else if (*min && b < a) || (!*min && b > a) {
                        b
                    } else {
                        a
                    }
                })
            }
            Tree::Where(c, a, b) => match c.eval(at) {
                c if c.is_nan() => c,
                c if c != 0.0 => a.eval(at),
                _ => b.eval(at),
            },
        }
    }
}

/// a^n, the square of a^(n/2) times a for odd n.
fn integer_power(a: f64, n: f64) -> f64 {
    match n as i32 {
        0 => 1.0,
        1 => a,
        n if n < 0 => 1.0 / integer_power(a, -f64::from(n)),
        n => {
            let half = integer_power(a, f64::from(n / 2));
            if n % 2 == 1 { half * half * a } else { half * half }
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let number =
        prop::sample::select(vec![0.0, 0.1, 0.5, 1.0, 2.0, 3.0, 4.0, 7.0, 16.0, 17.0, 1e-3, 250.0]).prop_map(Tree::Number);
    let leaf = prop_oneof![number, (0..3usize).prop_map(Tree::Variable), (0..3usize).prop_map(Tree::Variable)];
    leaf.prop_recursive(6, 40, 3, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        let calls = prop::sample::select(vec!["sin", "cos", "exp", "log", "sqrt", "abs", "tanh", "floor"]);
        let arithmetic = prop::sample::select(vec!["+", "-", "*", "/", "**", "^"]);
        let logic = prop::sample::select(vec!["and", "or"]);
        let comparison = prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]);
        prop_oneof![
            4 => (arithmetic, boxed(), boxed()).prop_map(|(f, a, b)| Tree::Infix(f, a, b)),
            1 => (logic, boxed(), boxed()).prop_map(|(f, a, b)| Tree::Infix(f, a, b)),
            2 => (prop::sample::select(vec!['-', '+']), boxed()).prop_map(|(s, a)| Tree::Sign(s, a)),
            1 => boxed().prop_map(Tree::Not),
            2 => (calls, boxed()).prop_map(|(f, a)| Tree::Call(f, a)),
            2 => (boxed(), prop::collection::vec((comparison, inner.clone()), 1..4)).prop_map(|(a, r)| Tree::Chain(a, r)),
            1 => (any::<bool>(), prop::collection::vec(inner.clone(), 2..4)).prop_map(|(min, all)| Tree::Extreme(min, all)),
            1 => (boxed(), boxed(), boxed()).prop_map(|(c, a, b)| Tree::Where(c, a, b)),
        ]
    })
}

/// Expressions without kinks, with derivatives of moderate size.
fn smooth() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![(0..3usize).prop_map(Tree::Variable), (0.0..1.5f64).prop_map(Tree::Number)];
    leaf.prop_recursive(3, 10, 2, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            (prop::sample::select(vec!["+", "-", "*"]), boxed(), boxed()).prop_map(|(f, a, b)| Tree::Infix(f, a, b)),
            (prop::sample::select(vec!["sin", "cos", "tanh"]), boxed()).prop_map(|(f, a)| Tree::Call(f, a)),
            boxed().prop_map(|a| Tree::Infix("**", a, Box::new(Tree::Number(2.0)))),
        ]
    })
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

/// Whatever compiles must evaluate, with its derivatives, without a panic.
fn exercise(text: &str) {
    if let Ok(f) = Formula::parse(text, &NAMES) {
        let (mut out, mut again, mut grads) = ([0.0; 3], [0.0; 3], PointBlock::zeros(3, 3));
        let vars: [&[f64]; 3] = [&[0.5], &[0.0, -1.0, f64::NAN], &[2.0, f64::INFINITY, 0.0]];
        f.eval_block(&vars, &mut out);
        f.eval_gradient_block(&vars, &[0, 1, 2], &mut again, grads.as_mut());
        assert!(out.iter().zip(&again).all(|(&a, &b)| same(a, b)), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, rng_seed: RngSeed::Fixed(20_250), ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        exercise(&text);
    }

    #[test]
    fn arbitrary_tokens_never_panic(tokens in prop::collection::vec(prop::sample::select(vec![
        "x", "y", "t", "1", ".5", "2.", "1e", "e", "pi", "inf", "+", "-", "*", "/", "**", "^", "(", ")", ",", "<", "<=", "==", "!=",
        "=", "!", "and", "or", "not", "sin", "log(", "min(", "where(", "pow(", "atan2(", "erf(", " ", "\n", "é", "\u{2212}", "_", "0",
    ]), 0..14)) {
        exercise(&tokens.concat());
        exercise(&tokens.join(" "));
    }

    #[test]
    fn printed_expressions_are_read_back(tree in tree(), t in -3.0..3.0f64, x in -3.0..3.0f64, y in prop_oneof![Just(0.0), -3.0..3.0f64]) {
        let text = tree.print(0);
        let formula = Formula::parse(&text, &NAMES).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let (found, expected) = (formula.eval_scalar(&[t, x, y]), tree.eval(&[t, x, y]));
        prop_assert!(same(found, expected), "{}: {} for {}", text, found, expected);
        exercise(&text);
    }

    #[test]
    fn derivatives_are_limits_of_differences(tree in smooth(), at in prop::array::uniform3(-1.5..1.5f64)) {
        let text = tree.print(0);
        let (_, found) = super::gradient(&text, &NAMES, &at);
        for i in 0..3 {
            let difference = |h: f64| {
                let (mut up, mut down) = (at, at);
                up[i] += h;
                down[i] -= h;
                (tree.eval(&up) - tree.eval(&down)) / (2.0 * h)
            };
            // Richardson's combination; what is left is of order h^4, and the change between the two steps bounds it.
            let (coarse, fine) = (difference(2e-3), difference(1e-3));
            let best = (4.0 * fine - coarse) / 3.0;
            let allowed = 1e-2 * (coarse - fine).abs() + 1e-9 * (1.0 + tree.eval(&at).abs() + best.abs());
            prop_assert!((found[i] - best).abs() <= allowed, "{} in {}: {} for {}", text, NAMES[i], found[i], best);
        }
    }
}
