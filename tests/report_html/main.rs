//! `report.html` in a real browser: pages of every command are opened from disk and used as a reader would.
//!
//! Needs Chromium (Debian: chromium); without it these tests say so and pass, unless HJBRIDGE_BROWSER=required.
#![cfg(feature = "cli")]

mod browser;
#[allow(dead_code)]
#[path = "../cli/desk.rs"]
mod desk;

use browser::{Browser, url};
use desk::{Desk, Outcome, edit, mixture, old_faithful, plane, root, shipped};
use serde_json::{Value, json};
use std::path::PathBuf;

fn page(run: &Outcome) -> PathBuf {
    run.out.join("report.html")
}

/// A problem of the repository.
fn as_it_is(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(root().join("data/problems").join(name)).unwrap()).unwrap()
}

/// Numbers, texts, truth values and nulls of a report, sorted.
fn leaves(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) if !members.is_empty() => members.values().for_each(|v| leaves(v, found)),
        Value::Array(items) if !items.is_empty() => items.iter().for_each(|v| leaves(v, found)),
        // a browser writes numbers in its own way: compare what they are
        Value::Number(x) if x.is_f64() => found.push(format!("{:?}", x.as_f64().unwrap())),
        Value::Number(x) => found.push(format!("{:?}", x.to_string().parse::<f64>().unwrap())),
        Value::String(text) => found.push(text.clone()),
        other => found.push(other.to_string()),
    }
}

/// What holds for every page. `figures`: diagrams and maps at least.
#[track_caller]
fn whole(browser: &mut Browser, run: &Outcome, label: &str, figures: f64) {
    browser.open(&page(run));
    assert_eq!(browser.requests(), [url(&page(run))], "{label}: nothing is fetched but the page");
    let heading = browser.text("document.querySelector('h1').textContent");
    assert!(heading.contains(" on "), "{label}: {heading}");
    assert!(browser.number("document.querySelectorAll('table.summary tbody tr').length") >= 2.0, "{label}: summary");
    assert!(browser.number("document.querySelectorAll('#problem .display').length") >= 3.0, "{label}: formulas");
    let drawn = browser.number("document.querySelectorAll('.figure svg.diagram path, .map canvas, #pictures img').length");
    assert!(drawn >= figures, "{label}: {drawn} things drawn");
    let svg = browser.text("[...document.querySelectorAll('.figure svg')].map(s => s.outerHTML).join('')");
    for wrong in ["NaN", "undefined", "Infinity"] {
        assert!(!svg.contains(wrong), "{label}: {wrong} in a figure");
    }
    // every value of report.json is in the tree
    let mut expected = Vec::new();
    leaves(&run.report(), &mut expected);
    browser.evaluate("document.getElementById('expand').click()");
    let shown = browser
        .evaluate("[...document.querySelectorAll('#tree .leaf')].map(l => l.lastChild.textContent).filter(t => t !== undefined)");
    let mut shown: Vec<String> = shown.as_array().unwrap().iter().map(|t| t.as_str().unwrap().to_string()).collect();
    let number = |text: &String| match text.parse::<f64>() {
        // minus zero is zero
        Ok(x) => format!("{:?}", x + 0.0),
        Err(_) => text.clone(),
    };
    shown = shown.iter().map(number).collect();
    expected = expected.iter().map(number).collect();
    shown.sort();
    expected.sort();
    assert_eq!(shown.len(), expected.len(), "{label}: values in the tree");
    let other = shown.iter().zip(&expected).find(|(a, b)| a != b);
    assert!(other.is_none(), "{label}: in the tree and in report.json: {other:?}");
    browser.evaluate("document.getElementById('collapse').click()");
    // a telephone: nothing is wider than the screen
    browser.size(380, 800);
    let width = browser.number("document.documentElement.scrollWidth");
    assert!(width <= 380.0, "{label}: {width} pixels wide on a screen of 380");
    browser.size(1200, 900);
    assert_eq!(browser.requests(), [url(&page(run))], "{label}: nothing is fetched later");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{label}: {complaints:?}");
}

#[test]
fn pages_of_every_command_are_whole() {
    let Some(mut browser) = Browser::start() else { return };
    let small = edit(&mixture(), json!({"grid": {"nodes": [61]}, "time_steps": 16, "paths": 500}));
    let controlled = edit(&as_it_is("double_well_soc.json"), json!({"grid": {"nodes": [81]}, "paths": 200}));
    let exit = edit(&as_it_is("double_well_exit.json"), json!({"grid": {"nodes": [101]}}));
    let put = edit(&as_it_is("american_put.json"), json!({"grid": {"nodes": [101]}}));
    let infinite = edit(&as_it_is("lq_discounted_2d.json"), json!({"grid": {"nodes": [21, 21]}}));
    let three = json!({
        "kind": "controlled_diffusion", "name": "space", "horizon": 0.5, "drift": ["-x0", "-x1", "-x2"], "terminal": "x0 - x1**2",
        "grid": {"lower": [-2, -2, -2], "upper": [2, 2, 2], "nodes": [9, 9, 9]}, "time_steps": 4, "scheme": {"route": "monotone"}
    });
    for (label, command, problem, flags, figures) in [
        ("solve", "solve", &small, &[][..], 4.0),
        ("plane", "solve", &plane(), &[], 2.0),
        ("rollout", "rollout", &small, &[], 6.0),
        ("rollout in the plane", "rollout", &plane(), &[], 2.0),
        ("bridge", "bridge", &edit(&old_faithful(), json!({"grid": {"nodes": [101]}})), &[], 7.0),
        ("pift", "pift", &small, &[], 6.0),
        ("sweep", "sweep", &small, &["--kl-weight", "0.7,1.4"], 4.0),
        ("parametric", "pift", &small, &["--parametric", "polynomial", "--training-paths", "64"], 0.0),
        ("controlled", "solve", &controlled, &[], 4.0),
        ("controlled rollout", "rollout", &controlled, &[], 4.0),
        ("exit", "solve", &exit, &[], 2.0),
        ("stopping", "solve", &put, &[], 2.0),
        ("infinite horizon", "solve", &infinite, &[], 2.0),
        ("space", "solve", &three, &[], 2.0),
    ] {
        let desk = Desk::new();
        let run = desk.run(command, problem, flags).good(label);
        whole(&mut browser, &run, label, figures);
        let complete = browser.text("document.querySelector('table.summary tbody tr').className");
        assert_eq!(complete, "pass", "{label}");
    }
}

/// The numbers of the tooltip after the last `=` or `:` of each line.
fn tip(browser: &mut Browser) -> Vec<f64> {
    let lines = browser.evaluate("[...document.querySelectorAll('#tooltip:not([hidden]) > div')].map(d => d.textContent)");
    let last = |line: &Value| line.as_str().unwrap().rsplit([' ']).next().unwrap().parse::<f64>().unwrap_or(f64::NAN);
    lines.as_array().unwrap().iter().map(last).collect()
}

/// Single precision, seven digits.
#[track_caller]
fn same(shown: f64, expected: f64, what: &str) {
    assert!((shown - expected).abs() <= 1e-6 * (1.0 + expected.abs()), "{what}: {shown} shown, {expected} in solution.npz");
}

#[test]
fn a_line_is_read_and_the_slider_moves_it() {
    let Some(mut browser) = Browser::start() else { return };
    let desk = Desk::new();
    let run = desk.run("solve", &mixture(), &[]).good("solve");
    let solution = run.solution();
    browser.open(&page(&run));
    let chart = "document.querySelectorAll('#time-figures svg.diagram')";
    let path = format!("{chart}[0].querySelector('.series path').getAttribute('d')");
    let check = |browser: &mut Browser, k: usize| {
        for (i, values) in [solution.value_at(k), solution.control_at(k)].into_iter().enumerate() {
            browser.point(&format!("{chart}[{i}]"), 0.4, 0.5);
            let shown = tip(browser);
            let node = (0..solution.axes[0].len())
                .min_by(|&a, &b| {
                    let far = |j: usize| (solution.axes[0][j] - shown[0]).abs();
                    far(a).total_cmp(&far(b))
                })
                .unwrap();
            same(shown[0], solution.axes[0][node], "state");
            same(shown[1], values[node], "value");
            // the closed form is there beside it, and close
            assert!((shown[2] - shown[1]).abs() < 0.05 * (1.0 + shown[1].abs()), "{shown:?}");
        }
    };
    check(&mut browser, 0);
    let before = browser.text(&path);
    browser.evaluate("document.getElementById('time').focus()");
    browser.press("End", 35);
    assert_ne!(before, browser.text(&path), "the line moves");
    assert_eq!(browser.text("document.getElementById('shown-time').textContent"), "t = 2");
    check(&mut browser, solution.time.len() - 1);
    // the keyboard reads values too, and the legend hides a line
    browser.evaluate(&format!("{chart}[0].focus()"));
    browser.press("ArrowRight", 39);
    browser.press("ArrowRight", 39);
    assert!(tip(&mut browser).len() >= 2);
    let lines = format!("{chart}[0].querySelectorAll('.series').length");
    let count = browser.number(&lines);
    browser.evaluate("document.querySelector('#time-figures .legend button').click()");
    assert_eq!(browser.number(&lines), count - 1.0);
    // in the dark the ground is dark
    let ground = "Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])";
    browser.dark(false);
    assert!(browser.number(ground) > 200.0);
    browser.dark(true);
    assert!(browser.number(ground) < 60.0);
    // the search finds a value by its name
    browser.evaluate(
        "const find = document.getElementById('find'); find.value = 'solve.value_error'; find.dispatchEvent(new Event('input'))",
    );
    let found = browser.text("document.querySelector('#found .hit').textContent");
    let error = desk::number(&run.report(), "/solve/value_error");
    assert_eq!(found.rsplit(' ').next().unwrap().parse::<f64>().unwrap(), error, "{found}");
    assert!(browser.complaints().is_empty());
}

#[test]
fn a_map_is_read_and_the_slider_paints_it() {
    let Some(mut browser) = Browser::start() else { return };
    let desk = Desk::new();
    let ring =
        edit(&shipped("ring_2d.json"), json!({"grid": {"nodes": [41, 41]}, "time_steps": 10, "scheme": {"route": "monotone"}}));
    let run = desk.run("solve", &ring, &[]).good("ring");
    let solution = run.solution();
    browser.open(&page(&run));
    assert_eq!(browser.number("document.querySelectorAll('.map canvas').length"), 2.0);
    let arrows = browser.text("document.querySelectorAll('.map')[1].querySelector('path.arrows').getAttribute('d')");
    assert!(arrows.len() > 1000, "arrows: {}", arrows.len());
    let image = "document.querySelector('.map canvas').toDataURL()";
    let before = browser.text(image);
    browser.evaluate("document.getElementById('time').focus()");
    browser.press("End", 35);
    assert_ne!(before, browser.text(image), "the map changes");
    browser.point("document.querySelectorAll('.map canvas')[1]", 0.7, 0.3);
    let lines = browser.evaluate("[...document.querySelectorAll('#tooltip > div')].map(d => d.textContent)");
    let shown = tip(&mut browser);
    let near = |axis: usize| solution.axes[axis].iter().position(|v| (v - shown[axis]).abs() < 1e-6).unwrap();
    let (n, last) = (solution.axes[1].len(), solution.time.len() - 1);
    let node = last * solution.axes[0].len() * n + near(0) * n + near(1);
    let (u, v) = (solution.control[2 * node], solution.control[2 * node + 1]);
    same(shown[2], u.hypot(v), "length of the control");
    let arrow = lines[3].as_str().unwrap();
    let parts: Vec<f64> =
        arrow.trim_start_matches("arrow: (").trim_end_matches(')').split(", ").map(|p| p.parse().unwrap()).collect();
    same(parts[0], u, "first component");
    same(parts[1], v, "second component");
    browser.point("document.querySelectorAll('.map canvas')[0]", 0.2, 0.6);
    let shown = tip(&mut browser);
    let near = |axis: usize| solution.axes[axis].iter().position(|v| (v - shown[axis]).abs() < 1e-6).unwrap();
    same(shown[2], solution.value[last * solution.axes[0].len() * n + near(0) * n + near(1)], "V");
    assert!(browser.complaints().is_empty());
}

#[test]
fn an_unfinished_run_warns_and_texts_stay_texts() {
    let Some(mut browser) = Browser::start() else { return };
    let desk = Desk::new();
    // beyond a time the HJB equation has no solution
    let change = json!({
        "reward": {"kind": "quadratic", "Q": [[-1.2]], "q": [0.0]}, "kl_weight": {"kind": "formula", "beta": "0.2 + 0.8*(t/2)**20"},
        "grid": {"lower": [-8.0], "upper": [8.0]}, "time_steps": 100
    });
    let run = desk.run("solve", &edit(&mixture(), change), &[]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    whole(&mut browser, &run, "unfinished", 4.0);
    let banner = browser.text("document.querySelector('[role=alert]').textContent");
    assert!(banner.contains("not complete") && banner.contains("ill-posed"), "{banner}");
    assert_eq!(browser.text("document.querySelector('table.summary tbody tr').className"), "warn");
    // markup in a description and in the name of a column
    let bad = "<img src=x onerror=\"window.broken=1\"><script>window.broken=2</script></script>";
    desk.file("data.csv", format!("\"{}\"\n{}", bad.replace('"', "\"\""), "1\n2\n4\n3\n7\n2\n5\n6\n"));
    let change = json!({"description": bad, "prior": {"kind": "samples", "file": "data.csv", "columns": [bad]}});
    let problem = edit(&old_faithful(), edit(&change, json!({"axis_labels": null})));
    let problem = edit(&problem, json!({"axis_labels": null}));
    let run = desk.run("solve", &problem, &["--nodes", "61", "--steps", "8"]).good("markup");
    whole(&mut browser, &run, "markup", 4.0);
    assert!(browser.evaluate("window.broken ?? null").is_null(), "a text was run");
    assert_eq!(browser.number("document.images.length"), 0.0);
    assert!(browser.text("document.querySelector('.lead').textContent").contains("<script>"));
    assert!(browser.text("document.querySelector('#time-figures').textContent").contains("<img"));
}
