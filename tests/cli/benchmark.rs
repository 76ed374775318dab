//! `benchmark`: orders of every scheme against theory, one table in two formats, suites that are refused.

use crate::desk::{Desk, names, root};
use serde_json::{Value, json};

/// A suite of one benchmark on the linear-quadratic problem of the repository, whose errors are asymptotic from N = 16 on.
fn suite(change: Value) -> Desk {
    let desk = Desk::new();
    std::fs::create_dir(desk.path().join("suite")).unwrap();
    let problem = root().join("data/problems/lq_1d.json");
    let file = json!({
        "name": "lq", "problem": problem, "steps": [16, 32, 64, 128], "quick_steps": [16, 32, 64],
        "chain": {"nodes": [201], "variants": [{}, {"kernel": "soft", "variance": "over_alpha"}]},
        "hjb": {"nodes": [401], "schemes": ["implicit_euler", "crank_nicolson", "tr_bdf2"]},
        "high_order": {"nodes": [201], "integrators": ["bdf"], "tolerances": [1e-3, 1e-6, 1e-9]},
        "policies": {"nodes": [101], "schemes": ["euler", "exponential", "heun"], "extrapolation": "quadratic"}});
    desk.file("suite/lq.json", crate::desk::edit(&file, change).to_string());
    desk
}

const RUN: [&str; 6] = ["benchmark", "--suite", "suite", "--out", "out", "--quick"];

fn rows(desk: &Desk, out: &str) -> Vec<csv::StringRecord> {
    let mut reader = csv::Reader::from_path(desk.path().join(out).join("benchmark.csv")).unwrap();
    reader.records().map(|r| r.unwrap()).collect()
}

#[test]
fn every_scheme_has_the_order_of_its_theory_and_the_tables_agree() {
    let desk = suite(json!({}));
    let run = desk.plain(&RUN).good("quick");
    assert_eq!(
        names(&run.out),
        ["benchmark.csv", "benchmark.md", "benchmark.png", "benchmark.svg", "report.html", "report.json"]
    );
    let report = run.report();
    assert_eq!((report["command"].as_str(), report["complete"].as_bool()), (Some("benchmark"), Some(true)));
    let report = &report["benchmark"];
    assert_eq!(report["failures"], json!([]));
    let orders = report["orders"].as_array().unwrap();
    let expected = [
        ("PI-FT 1-a", 1.0, true),
        ("PI-FT (1-a)/a, soft", 1.0, true),
        ("HJB implicit Euler", 1.0, true),
        ("HJB Crank-Nicolson", 2.0, true),
        ("HJB TR-BDF2", 2.0, true),
        ("policy, Euler-Maruyama", 1.0, false),
        ("policy, exponential integrator", 1.0, false),
        ("policy, Heun", 2.0, false),
    ];
    assert_eq!(orders.len(), expected.len());
    for (row, (method, order, controlled)) in orders.iter().zip(expected) {
        assert_eq!(row["method"], method);
        // one twelfth of the order: N = 16 to 64 are not yet the limit
        let check = |what: &str, tolerance: f64| {
            let found = row[what]["order"].as_f64().unwrap_or_else(|| panic!("{method}: no order of {what}"));
            assert!((found - order).abs() < tolerance * order, "{method}, {what}: {found}, expected {order}");
        };
        check("value", 1.0 / 12.0);
        if controlled {
            // the control of a chain is off by a second term next to T
            check("control", 0.15);
        } else {
            assert_eq!(row["control"], Value::Null);
        }
    }

    // the CSV table, the report and the page say the same
    let (table, listed) = (rows(&desk, "out"), report["rows"].as_array().unwrap());
    assert_eq!((table.len(), listed.len()), (2 * 3 + 3 * 3 + 2 + 3 * 3, table.len()));
    let page = std::fs::read_to_string(run.out.join("benchmark.md")).unwrap();
    let section = page.split("## lq\n").nth(1).unwrap();
    let lines: Vec<&str> =
        section.lines().skip_while(|l| !l.starts_with("|---")).skip(1).take_while(|l| l.starts_with('|')).collect();
    assert_eq!(lines.len(), table.len());
    for ((record, row), line) in table.iter().zip(listed).zip(lines) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let error: f64 = record[5].parse().unwrap();
        assert_eq!((&record[0], row["problem"].as_str()), ("lq", Some("lq")));
        assert!(row["method"] == record[2] && cells[0].starts_with(&record[2]), "{line}");
        assert!(row["steps"].as_u64() == record[3].parse().ok() && cells[1] == &record[3], "{line}");
        assert!(row["value_error"].as_f64() == Some(error) && cells[2] == format!("{error:.2e}"), "{line}");
        assert!(record[13].parse::<f64>().unwrap() > 0.0, "seconds of {line}");
        // what the grid leaves is far below what the steps make, but for the tightest tolerance
        let floor: f64 = record[9].parse().unwrap();
        assert!(floor < 0.3 * error || record[1] == *"high_order", "{line}: {floor}");
    }

    // errors do not depend on the number of threads
    let other = desk.plain(&["benchmark", "--suite", "suite", "--out", "other", "--quick", "--threads", "1", "--quiet"]);
    assert_eq!((other.code, other.stdout.as_str()), (0, ""));
    for (a, b) in table.iter().zip(rows(&desk, "other")) {
        assert!((0..15).filter(|i| *i != 13).all(|i| a[i] == b[i]), "{a:?} {b:?}");
    }
}

#[test]
fn a_method_that_fails_does_not_lose_the_others() {
    // b h >= 1 for one chain at N = 4
    let desk = suite(json!({"quick_steps": [4, 8], "hjb": null, "high_order": null, "policies": null,
        "chain": {"nodes": [101], "variants": [{"alpha": "linear"}, {}]}}));
    let run = desk.plain(&RUN).good("one failure");
    let report = &run.report()["benchmark"];
    let failures = report["failures"].as_array().unwrap();
    assert_eq!((failures.len(), failures[0]["size"].as_f64(), rows(&desk, "out").len()), (1, Some(4.0), 3));
    assert!(failures[0]["reason"].as_str().unwrap().contains("alpha[0]"), "{failures:?}");
    assert!(std::fs::read_to_string(run.out.join("benchmark.md")).unwrap().contains("## Failed"));
}

#[test]
fn suites_that_are_refused() {
    let cases = [
        (json!({"stepps": [1]}), "unknown field `stepps`"),
        (json!({"problem": "nowhere.json"}), "nowhere.json"),
        (json!({"steps": [32, 16]}), "lq.json: steps = [32, 16]: two numbers or more, ascending"),
        (json!({"quick_steps": [8]}), "lq.json: quick_steps"),
        (json!({"chain": {"nodes": [200]}}), "lq.json: chain.nodes = [200]: 1 odd numbers"),
        (json!({"hjb": {"nodes": [101, 101]}}), "lq.json: hjb.nodes"),
        (json!({"chain": {"variants": [{}, {"kernel": "both"}]}}), "lq.json: chain.variants[1].kernel = both"),
        (json!({"chain": {"variants": [{"variance": "posteriour"}]}}), "did you mean `posterior`?"),
        (json!({"hjb": {"schemes": ["leapfrog"]}}), "hjb.schemes[0]: unknown variant `leapfrog`"),
        (json!({"high_order": {"tolerances": [1e-6, 1e-3]}}), "lq.json: high_order.tolerances"),
        (json!({"policies": {"schemes": ["milstein"]}}), "lq.json: policies.schemes[0] = milstein"),
        (json!({"policies": {"quadrature": 1}}), "lq.json: policies.quadrature = 1"),
        (json!({"reference": {"tolerance": 0.5}}), "lq.json: reference.tolerance"),
        (
            json!({"problem": root().join("data/problems/double_well_soc.json")}),
            "lq.json: chain = given: for fine-tuning problems only",
        ),
        (json!({"problem": root().join("data/problems/double_well_exit.json")}), "lq.json: problem = no horizon"),
    ];
    for (change, message) in cases {
        let desk = suite(change);
        let run = desk.plain(&RUN);
        assert_eq!(run.code, 2, "{message}: {}", run.stderr);
        assert!(run.stderr.contains(message), "{message}: {}", run.stderr);
        assert!(!run.out.exists(), "{message}: something was written");
    }
    let desk = suite(json!({}));
    for (flags, message) in [
        (["--only", "lqq"], "--only = lqq: must be one of: lq"),
        (["--suite", "nowhere"], "nowhere"),
        (["--suite", "."], "must be a directory with benchmarks"),
    ] {
        let run = desk.plain(
            &[&["benchmark", "--out", "out"][..], &if flags[0] == "--only" { vec!["--suite", "suite"] } else { vec![] }, &flags]
                .concat(),
        );
        assert_eq!(run.code, 2, "{message}: {}", run.stderr);
        assert!(run.stderr.contains(message), "{message}: {}", run.stderr);
        assert!(!run.out.exists());
    }
}

#[test]
fn the_suite_of_the_repository_can_be_read() {
    let files = names(&root().join("data/benchmarks"));
    let suite = hjbridge::benchmark::read_suite(&root().join("data/benchmarks"), &[]).unwrap();
    assert_eq!(suite.len(), files.len());
    let listed = std::fs::read_to_string(root().join("docs/benchmark.md")).unwrap();
    for benchmark in suite {
        assert!(
            listed.contains(&format!("| `{}` |", benchmark.file.name)),
            "{} is not in docs/benchmark.md",
            benchmark.file.name
        );
    }
}
