//! Text that is refused, and what the refusal says.

use crate::formula::{Formula, FormulaError, LENGTH_LIMIT};

const NAMES: [&str; 4] = ["t", "x0", "x1", "u0"];

fn refusal(text: &str) -> FormulaError {
    match Formula::parse(text, &NAMES) {
        Ok(_) => panic!("`{text}` was accepted"),
        Err(error) => error,
    }
}

#[test]
fn syntax_errors_carry_column_and_expectation() {
    for (text, column, expected) in [
        ("", 1, "a number, a name, a sign or `(`"),
        ("   ", 4, "a number"),
        ("2x0", 2, "written with `*`"),
        ("2 x0", 3, "written with `*`"),
        ("2(3)", 2, "written with `*`"),
        ("(1)(2)", 4, "written with `*`"),
        ("x0(2)", 3, "written with `*`"),
        ("x0 x1", 4, "written with `*`"),
        ("1.2.3", 4, "written with `*`"),
        ("0x10", 2, "written with `*`"),
        ("2e", 2, "written with `*`"),
        ("2exp(1)", 2, "written with `*`"),
        ("x0 +", 5, "a number"),
        ("x0 + * x1", 6, "a number"),
        ("x0 // 2", 5, "a number"),
        ("* 2", 1, "a number"),
        ("(x0 + 1", 8, "`)` for the parenthesis opened at column 1"),
        ("sin(x0", 7, "`)` for the parenthesis opened at column 4"),
        ("x0)", 3, "an operator or the end"),
        ("x0, x1", 3, "an operator or the end"),
        ("sin x0", 5, "`(` after the function sin"),
        ("sin", 4, "`(` after the function sin"),
        ("min(1,)", 7, "a number"),
        ("x0 = 1", 4, "`==`"),
        ("x0 & x1", 4, "`and`"),
        ("x0 || x1", 4, "`or`"),
        ("!x0", 1, "`not`"),
        ("x0 % 2", 4, "floor"),
        ("x[0]", 2, "round parentheses"),
        ("x0 if x1 else 2", 4, "where"),
        ("np.exp(x0)", 3, "no prefix"),
        ("x0 $ 2", 4, "an operator"),
        ("1 + inf", 5, "finite"),
        ("nan", 1, "finite"),
        ("1e999", 1, "at most"),
        ("1 + not x0", 5, "parentheses"),
        ("-not x0", 2, "parentheses"),
        ("x0 < not x1", 6, "parentheses"),
        ("é + 1 +", 1, "é"),
        ("1 + é", 5, "é"),
        ("x0 <> x1", 5, "a number"),
        ("x0 not x1", 4, "an operator"),
    ] {
        let error = refusal(text);
        let message = error.to_string();
        let (FormulaError::Syntax { column: at, .. } | FormulaError::UnknownName { column: at, .. }) = error else {
            panic!("{text}: {message}")
        };
        assert_eq!(at, column, "{text}: {message}");
        assert!(message.contains(expected), "{text}: {message}");
    }
    assert_eq!(
        refusal("2*(x0 - 1 x1").to_string(),
        "formula `2*(x0 - 1 x1`, column 11: found `x1`; expected an operator (a product is written with `*`)"
    );
}

#[test]
fn unknown_names_come_with_a_suggestion_and_the_choice() {
    for (text, column, suggestion) in [
        ("1 + x2", 5, Some("x0")),
        ("x00", 1, Some("x0")),
        ("T", 1, Some("t")),
        ("PI", 1, Some("pi")),
        ("sqr(x0)", 1, Some("sqrt")),
        ("Exp(x0)", 1, Some("exp")),
        ("arcsin(x0)", 1, Some("asin")),
        ("maxx(x0, 1)", 1, Some("max")),
        ("velocity", 1, None),
        ("gamma(x0)", 1, None),
    ] {
        let error = refusal(text);
        let FormulaError::UnknownName { column: at, suggestion: found, allowed, .. } = &error else { panic!("{text}: {error}") };
        assert_eq!((*at, found.as_deref()), (column, suggestion), "{text}");
        assert!(allowed.iter().any(|a| a == if text.contains('(') { "atan2" } else { "u0" }), "{text}: {allowed:?}");
    }
    assert_eq!(
        refusal("1 + x2").to_string(),
        "formula `1 + x2`, column 5: unknown variable `x2` (did you mean `x0`?); variables: t, x0, x1, u0"
    );
}

#[test]
fn wrong_numbers_of_arguments() {
    for (text, function, found, expected) in [
        ("sin()", "sin", 0, "1"),
        ("sin(1, 2)", "sin", 2, "1"),
        ("atan2(1)", "atan2", 1, "2"),
        ("pow(1, 2, 3)", "pow", 3, "2"),
        ("min(1)", "min", 1, "2 or more"),
        ("max()", "max", 0, "2 or more"),
        ("where(1, 2)", "where", 2, "3"),
    ] {
        let error = refusal(&format!("1 + {text}"));
        let FormulaError::Arguments { column, function: name, found: n, expected: e, .. } = &error else { panic!("{error}") };
        assert_eq!((*column, name.as_str(), *n), (5, function, found));
        assert!(e.starts_with(expected));
    }
}

#[test]
fn variables_are_checked() {
    for names in
        [vec!["x", "x"], vec!["sin"], vec!["pi"], vec!["and"], vec!["inf"], vec!["2x"], vec![""], vec!["a b"], vec!["x-"]]
    {
        assert!(matches!(Formula::parse("1", &names), Err(FormulaError::Variable { .. })), "{names:?}");
    }
    let many: Vec<String> = (0..129).map(|i| format!("x{i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(matches!(Formula::parse("1", &many), Err(FormulaError::Variable { .. })));
    let last = Formula::parse("2*x127", &many[..128]).unwrap();
    assert!(last.uses("x127") && !last.uses("x126"));
    let mut values = vec![0.0; 128];
    values[127] = 3.0;
    assert_eq!(last.eval_scalar(&values), 6.0);
    assert_eq!(Formula::parse("σ_1*β", &["σ_1", "β"]).unwrap().eval_scalar(&[2.0, 3.0]), 6.0);
}

/// On a stack of 512 kB, a quarter of what a thread usually has.
fn on_a_small_stack(task: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(512 * 1024).spawn(task).unwrap().join().unwrap();
}

#[test]
fn nesting_and_length_are_bounded() {
    on_a_small_stack(|| {
        for unit in ["(", "-", "+", "not ", "2**", "sin(", "2^-", "1+(", "1 or (1 and (1 < (1 + (2*(", "min(1,", "where(1,2,"] {
            let text = unit.repeat(LENGTH_LIMIT / unit.len());
            assert!(matches!(refusal(&text), FormulaError::TooDeep { limit: 200, .. }), "{unit}");
        }
        assert!(matches!(refusal(&"(".repeat(10_000_000)), FormulaError::TooLong { length: 10_000_000, limit: LENGTH_LIMIT }));
        let nested = |n: usize| Formula::parse(&format!("{}1{}", "(".repeat(n), ")".repeat(n)), &[]);
        assert!(nested(199).is_ok() && nested(200).is_err());
        // Long is not deep.
        for (term, expected) in [("+x", 8_192.0), ("-x", -8_190.0), ("*x", 1.0), ("<x", 0.0), (" or x", 1.0)] {
            let count = 16_382 / term.len();
            let text = format!("{}{}", &"x", term.repeat(count));
            let found = Formula::parse(&text, &["x"]).unwrap().eval_scalar(&[1.0]);
            assert_eq!(found, expected, "{term}");
        }
        let wide = format!("max(x{})", ",x+1".repeat(4_000));
        assert_eq!(Formula::parse(&wide, &["x"]).unwrap().eval_scalar(&[1.0]), 2.0);
    });
}

#[test]
fn long_formulas_are_shown_in_part() {
    let text = format!("{}1 + * 2{}", "x0 + ".repeat(200), " + x0".repeat(200));
    let message = refusal(&text).to_string();
    assert!(message.contains("1 + * 2") && message.contains("column 1005") && message.len() < 300, "{message}");
}
