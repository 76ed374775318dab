//! Networks from ONNX files: the shipped one against the same weights in safetensors, small graphs whose score is known, files that do
//! not fit, and the command line.

#[allow(dead_code)]
#[path = "../cli/desk.rs"]
mod desk;
mod file;

use Length::{Fixed, Free};
use desk::{Desk, edit, number, root, shipped};
use file::{File, Length};
use hjbridge::model::network::{LevelInput, NetworkParams, Prediction};
use hjbridge::model::{Feedback, GaussianMixture, ModelError, Network, NetworkScore, NoisedScore, PointBlock, Schedule};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

fn schedule() -> Schedule {
    Schedule::linear(2.0, 0.5, 5.0).unwrap()
}

/// `old_faithful.onnx` or `old_faithful.safetensors` under the schedule of its training.
fn shipped_score(kind: &str) -> NetworkScore {
    let path = root().join("data/pretrained/old_faithful").with_extension(kind);
    NetworkScore::new(Arc::new(Network::read(&path, &NetworkParams::default()).unwrap()), schedule()).unwrap()
}

/// `n` points in R^`dim` within 3 of the origin.
fn points(dim: usize, n: usize) -> PointBlock {
    let mut x = PointBlock::zeros(dim, n);
    x.data_mut().iter_mut().enumerate().for_each(|(k, x)| *x = 3.0 * (0.4 + 1.7 * k as f64).sin());
    x
}

fn eval(score: &NetworkScore, t: f64, x: &PointBlock) -> PointBlock {
    let mut s = PointBlock::zeros(x.dim(), x.len());
    score.at(t).eval(x.as_points(), s.as_mut());
    s
}

fn largest(x: &PointBlock) -> f64 {
    x.data().iter().fold(0.0, |m, x| x.abs().max(m))
}

fn difference(a: &PointBlock, b: &PointBlock) -> f64 {
    a.data().iter().zip(b.data()).fold(0.0, |m, (a, b)| (a - b).abs().max(m))
}

#[test]
fn the_same_weights_give_the_same_score() {
    let (onnx, safetensors) = (shipped_score("onnx"), shipped_score("safetensors"));
    assert_eq!(onnx.network().parameters(), safetensors.network().parameters() + 4, "the frequencies are a weight there");
    assert_eq!(onnx.network().standardization(), safetensors.network().standardization());
    assert_eq!(onnx.network().level_input(), LevelInput::LogSnr);
    let x = points(2, 1000);
    for t in [0.0, 0.7, 1.5, 1.95, 2.0] {
        let (a, b) = (eval(&onnx, t, &x), eval(&safetensors, t, &x));
        let gap = difference(&a, &b) / largest(&b);
        assert!(gap > 0.0 && gap < 1e-5, "{t}: {gap:e}");
    }
}

#[test]
fn products_with_the_jacobian_are_those_of_the_safetensors_network() {
    let (onnx, safetensors) = (shipped_score("onnx"), shipped_score("safetensors"));
    let (x, v) = (points(2, 150), points(2, 300));
    let mut direction = PointBlock::zeros(2, 150);
    direction.data_mut().copy_from_slice(&v.data()[300..]);
    let worst = [0.0, 1.5, 2.0].map(|t| {
        let both = [&onnx, &safetensors].map(|score| {
            let (mut jp, mut jv) = (PointBlock::zeros(2, 150), PointBlock::zeros(2, 150));
            assert!(score.at(t).vjp(x.as_points(), direction.as_points(), jp.as_mut()));
            score.slice(t).jvp(x.as_points(), direction.as_points(), jv.as_mut());
            (jp, jv)
        });
        let [(a, c), (b, d)] = &both;
        (difference(a, b) / largest(b)).max(difference(c, d) / largest(d))
    });
    // tract's logistic function is good to about 1e-6, which a step of 0.01 sigma magnifies to some 1e-4
    assert!(worst.iter().all(|w| *w < 1e-3), "{worst:?}");
}

#[test]
fn a_point_has_the_same_bits_in_every_block_and_thread() {
    let score = shipped_score("onnx");
    let x = points(2, 333);
    let all = eval(&score, 1.3, &x);
    for size in [1, 5, 64, 100] {
        let blocks: Vec<(usize, PointBlock)> = (0..x.len())
            .step_by(size)
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(|start| {
                let window = x.as_points().window(start..x.len().min(start + size));
                let mut s = PointBlock::zeros(2, window.len());
                score.at(1.3).eval(window, s.as_mut());
                (start, s)
            })
            .collect();
        for (start, s) in blocks {
            for i in 0..2 {
                assert_eq!(s.coord(i), &all.coord(i)[start..start + s.len()], "{size}");
            }
        }
    }
}

/// With sigma^2 = 1 - e^2 the score of N(0, C) noised is s = -y / w, w = C + (1 - C) sigma^2; the noise is y sigma / w and the data point
/// sqrt(1 - sigma^2) C y / w, which have no singularity but are asked only above tau_min.
fn gaussian(c: f32, predicts: &str, y: &[Length], level: &[Length]) -> File {
    let d = match y[1] {
        Fixed(d) => d,
        Free => 1,
    };
    let file = File::default()
        .input("y", y)
        .input("sigma", level)
        .tensor("C", &[], &[c])
        .tensor("1 - C", &[], &[1.0 - c])
        .tensor("one", &[], &[1.0])
        .tensor("minus one", &[], &[-1.0])
        .node("square", "Mul", &["sigma", "sigma"], "sigma2")
        .node("part", "Mul", &["sigma2", "1 - C"], "p")
        .node("variance", "Add", &["p", "C"], "w")
        .output("out", &[y[0], Fixed(d)])
        .metadata(&[("inputs", "y,sigma"), ("predicts", predicts), ("tau_min", "0.001")]);
    match predicts {
        "score" => file.node("negative", "Mul", &["y", "minus one"], "n").node("divide", "Div", &["n", "w"], "out"),
        "noise" => file.node("times", "Mul", &["y", "sigma"], "n").node("divide", "Div", &["n", "w"], "out"),
        _ => file
            .node("rest", "Sub", &["one", "sigma2"], "e2")
            .node("root", "Sqrt", &["e2"], "e")
            .node("scaled", "Mul", &["y", "C"], "m")
            .node("times", "Mul", &["m", "e"], "n")
            .node("divide", "Div", &["n", "w"], "out"),
    }
}

fn read(file: &File) -> Result<Network, ModelError> {
    Network::from_onnx(&file.bytes(), None, &NetworkParams::default())
}

#[test]
fn predictions_of_a_gaussian_become_its_score() {
    let c = 0.4;
    let covariance =
        |d: usize| (0..d).map(|i| (0..d).map(|j| if i == j { f64::from(c as f32) } else { 0.0 }).collect()).collect();
    for predicts in ["score", "noise", "x0"] {
        for (d, batch, level) in [
            (1, Free, vec![Free, Fixed(1)]),
            (3, Free, vec![Free, Fixed(1)]),
            (3, Free, vec![]),
            (3, Free, vec![Fixed(1)]),
            (2, Fixed(7), vec![Fixed(7), Fixed(1)]),
            (2, Fixed(1), vec![Fixed(1)]),
            (1, Fixed(5), vec![Fixed(1), Fixed(1)]),
        ] {
            let network = read(&gaussian(c as f32, predicts, &[batch, Fixed(d as u64)], &level)).unwrap();
            assert_eq!(network.dim(), d);
            let score = NetworkScore::new(Arc::new(network), schedule()).unwrap();
            let exact = NoisedScore::new(GaussianMixture::gaussian(vec![0.0; d], covariance(d)).unwrap(), schedule());
            let x = points(d, 40);
            for t in [0.0, 1.0, 1.9] {
                let (found, mut expected) = (eval(&score, t, &x), PointBlock::zeros(d, 40));
                exact.at(t).eval(x.as_points(), expected.as_mut());
                // sigma^2 >= 0.04: a division by it magnifies the rounding of x0
                assert!(difference(&found, &expected) < 2e-5 * largest(&expected), "{predicts} {d} {t}");
            }
        }
    }
}

/// z = 0.3 y - 0.2 level + 0.1 in R^1, in one tensor.
fn linear(y: &[Length]) -> File {
    File::default()
        .input("both", y)
        .tensor("A", &[2, 1], &[0.3, -0.2])
        .tensor("b", &[1], &[0.1])
        .node("product", "MatMul", &["both", "A"], "z")
        .node("sum", "Add", &["z", "b"], "out")
        .output("out", &[y[0], Fixed(1)])
}

#[test]
fn the_level_may_be_the_last_column_and_what_the_file_leaves_out_may_be_given() {
    let file = linear(&[Free, Fixed(2)]).bytes();
    let (t, y) = (1.25, 0.7);
    let schedule = schedule();
    let e = schedule.signal(t);
    let h = 0.3;
    let sigma = (1.0 - e * e + (e * h).powi(2)).sqrt();
    for (inputs, level) in [
        (LevelInput::Sigma, sigma),
        (LevelInput::LogSnr, (e / sigma).powi(2).ln()),
        (LevelInput::Tau, 2.0 - t),
        (LevelInput::T, t),
    ] {
        let out = 0.3 * y - 0.2 * level + 0.1;
        for (predicts, expected) in
            [(Prediction::Noise, -out / sigma), (Prediction::Score, out), (Prediction::X0, (e * out - y) / (sigma * sigma))]
        {
            let params = NetworkParams { inputs: Some(inputs), predicts: Some(predicts), bandwidth: Some(h), tau_min: None };
            let network = Network::from_onnx(&file, None, &params).unwrap();
            assert!(network.check(&params).is_ok() && network.standardization().is_none());
            let score = NetworkScore::new(Arc::new(network), schedule.clone()).unwrap();
            let mut x = PointBlock::zeros(1, 1);
            x.data_mut()[0] = y;
            let found = eval(&score, t, &x).data()[0];
            assert!((found - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{inputs:?} {predicts:?}: {found} {expected}");
        }
    }
}

#[test]
fn files_that_do_not_fit_are_named() {
    let ok = [Free, Fixed(2)];
    let level = [Free, Fixed(1)];
    let message = |file: &File| read(file).unwrap_err().to_string();
    let said = [("inputs", "y,sigma"), ("predicts", "score")];
    let plain = || linear(&ok).metadata(&said);
    assert!(read(&plain()).is_ok());
    for (file, expected) in [
        (linear(&ok), "metadata `inputs` = absent: must be y,log_snr | y,sigma | y,tau | y,t"),
        (linear(&ok).metadata(&[("inputs", "y,sigma"), ("predicts", "x1")]), "metadata `predicts` = x1"),
        (plain().metadata(&[("bandwidth", "-1")]), "metadata `bandwidth` = -1"),
        (plain().metadata(&[("center", "0.0, 1.0"), ("scale", "1")]), "metadata `center` = 0.0, 1.0: must be 1 finite numbers"),
        (plain().metadata(&[("center", "0"), ("scale", "0")]), "metadata `scale` = 0: must be 1 finite numbers above 0"),
        (linear(&[Free, Free]).metadata(&said), "input `both` = shape [free, free]: [batch, columns] is needed"),
        (linear(&[Fixed(2)]).metadata(&said), "input `both` = shape [2]: [batch, columns] is needed"),
        (linear(&[Fixed(0), Fixed(2)]).metadata(&said), "input `both` = shape [0, 2]"),
        // the product's node says which lengths do not fit
        (linear(&[Free, Fixed(3)]).metadata(&said), "product"),
        (gaussian(0.4, "score", &ok, &[Free, Fixed(3)]), "input `sigma` = shape [free, 3]: a number, or shape [1]"),
        (gaussian(0.4, "score", &[Fixed(4), Fixed(2)], &[Fixed(3)]), "input `sigma` = shape [3]: a number, or shape [1]"),
        (plain().input("third", &level).input("fourth", &level), "inputs = both, third, fourth: one is needed"),
        (plain().output("again", &ok), "outputs = out, again: exactly one is needed"),
        (
            File::default()
                .input_of("both", 11, &ok)
                .node("same", "Identity", &["both"], "out")
                .output("out", &ok)
                .metadata(&said),
            "input `both` = Double: float32 is needed",
        ),
        (
            File::default().input("both", &ok).node("same", "Identity", &["both"], "out").output("out", &ok).metadata(&said),
            "output `out` = shape 64,2 of F32: shape [64, 1] (batch, dimension) of float32 is needed",
        ),
        (
            plain().node("fold", "Origami", &["out"], "folded"),
            "node `fold`, output `folded` = operator Origami: is not supported by tract",
        ),
        (
            File::default().input("both", &ok).output("out", &ok).metadata(&said),
            "output `out` = absent: must be the output of a node",
        ),
        (plain().tensor("spare", &[3], &[1.0, f32::NAN, 0.0]), "tensor `spare`, entry 1 = NaN: must be finite"),
    ] {
        let found = message(&file);
        assert!(found.contains(expected), "{found}\n{expected}");
    }
    for bytes in [&b"no network"[..], &[0xff; 64], &plain().bytes()[..60]] {
        let found = Network::from_onnx(bytes, None, &NetworkParams::default()).unwrap_err().to_string();
        assert!(found.contains("ONNX file"), "{found}");
    }
}

/// sqrt(0.5 - y)
#[test]
fn an_output_that_is_no_number_is_named() {
    let file = File::default()
        .input("both", &[Free, Fixed(2)])
        .tensor("A", &[2, 1], &[-1.0, 0.0])
        .tensor("b", &[1], &[0.5])
        .node("product", "MatMul", &["both", "A"], "z")
        .node("sum", "Add", &["z", "b"], "w")
        .node("root", "Sqrt", &["w"], "out")
        .output("out", &[Free, Fixed(1)])
        .metadata(&[("inputs", "y,sigma"), ("predicts", "score")]);
    let found = NetworkScore::new(Arc::new(read(&file).unwrap()), schedule()).unwrap_err().to_string();
    assert!(found.contains("score[0] at t = 0, (1, ..., 1) = NaN: must be finite"), "{found}");
}

#[test]
fn another_schedule_is_refused_where_the_file_says_its_own() {
    let file = linear(&[Free, Fixed(2)]).metadata(&[("inputs", "y,t"), ("predicts", "score")]);
    assert!(NetworkScore::new(Arc::new(read(&file).unwrap()), schedule()).is_ok());
    let file = file.metadata(&[("horizon", "2"), ("noise", "3")]);
    let found = NetworkScore::new(Arc::new(read(&file).unwrap()), schedule()).unwrap_err().to_string();
    assert!(found.contains("trained with horizon 2 and int b = 3"), "{found}");
}

/// `old_faithful_network.json` with one of its files, at small sizes.
fn problem(file: &str) -> Value {
    let at = |name: &str| root().join("data").join(name).to_str().unwrap().to_string();
    edit(
        &shipped("old_faithful_network.json"),
        json!({"prior": {"file": at(file), "reference": {"file": at("old_faithful.csv")}},
               "grid": {"nodes": [33, 33]}, "time_steps": 8, "scheme": {"route": "monotone"}}),
    )
}

#[test]
fn commands_take_it_like_the_safetensors_file() {
    let desk = Desk::new();
    for (command, flags, figure) in [
        ("solve", &[][..], "/solve/objective"),
        ("pift", &["--steps", "8"], "/pift/objective"),
        ("rollout", &["--paths", "2000"], "/rollout/estimates/objective/mean"),
    ] {
        let [a, b] = ["onnx", "safetensors"].map(|kind| {
            let run = desk.run(command, &problem(&format!("pretrained/old_faithful.{kind}")), flags);
            assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{command}");
            number(&run.report(), figure)
        });
        assert!(a != b && (a - b).abs() < 1e-5 * b.abs().max(1.0), "{command}: {a} {b}");
    }
    let path = desk.file("p.json", problem("pretrained/old_faithful.onnx").to_string());
    let run = desk.plain(&["check", path.to_str().unwrap()]);
    assert!(run.code == 0 && run.stdout.contains("a network of 34694 parameters"), "{} {}", run.stdout, run.stderr);
}

#[test]
fn as_a_policy_it_is_worth_what_the_safetensors_file_is() {
    let desk = Desk::new();
    let problem = problem("pretrained/old_faithful.safetensors");
    let [a, b] = ["onnx", "safetensors"].map(|kind| {
        let policy = root().join("data/pretrained/old_faithful").with_extension(kind);
        let run = desk.run("certify", &problem, &[policy.to_str().unwrap(), "--paths", "512", "--steps", "16"]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{kind}");
        let report = run.report();
        assert_eq!(report["certify"]["policy"]["kind"], "network");
        ["computed/value", "simulated/objective/mean"].map(|part| number(&report, &format!("/certify/starts/0/{part}")))
    });
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 1e-4 * b.abs().max(1.0), "{a} {b}");
    }
}

#[test]
fn the_command_line_says_what_does_not_fit() {
    let desk = Desk::new();
    let silent = desk.file("silent.onnx", linear(&[Free, Fixed(2)]).bytes());
    let (silent, broken) = (silent, desk.file("broken.onnx", [7u8; 100]));
    for (change, message) in [
        (json!({"file": "nowhere.onnx"}), "nowhere.onnx: no such file"),
        (json!({"file": broken}), "no ONNX file"),
        (json!({"file": silent}), "metadata `inputs` = absent"),
        (
            json!({"file": silent, "inputs": "y,tau", "bandwidth": 0.2}),
            "prior.reference = 2 dimensions: the network has 1 dimensions",
        ),
        (json!({"file": silent, "inputs": "tau"}), "unknown variant `tau`, expected one of `y,log_snr`"),
        (json!({"inputs": "y,t"}), "prior.inputs = \"y,t\": the file says \"y,log_snr\""),
        (json!({"bandwidth": 0.3}), "prior.bandwidth = 0.3: the file says 0.2"),
    ] {
        let run = desk.run("solve", &edit(&problem("pretrained/old_faithful.onnx"), json!({"prior": change.clone()})), &[]);
        assert_eq!(run.code, 2, "{change}: {}", run.stderr);
        assert!(run.stderr.contains(message), "{change}: {}", run.stderr);
    }
}
