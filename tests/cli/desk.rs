//! A temporary directory with problem files, and the program run in it.

use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No run of these tests may take longer.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// What a run left.
pub struct Outcome {
    /// Exit code; -1 after a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Where the output should be.
    pub out: PathBuf,
}

/// A working directory of its own.
pub struct Desk {
    dir: TempDir,
}

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A problem of the repository, at small sizes.
pub fn shipped(name: &str) -> Value {
    let text = std::fs::read_to_string(root().join("data/problems").join(name)).unwrap();
    let problem: Value = serde_json::from_str(&text).unwrap();
    edit(&problem, json!({"grid": {"nodes": [101]}, "time_steps": 50, "paths": 1000, "bridge_steps": [8, 16]}))
}

/// `mixture_1d.json` at small sizes.
pub fn mixture() -> Value {
    shipped("mixture_1d.json")
}

/// `old_faithful_waiting.json` at small sizes, with the data's path made absolute.
pub fn old_faithful() -> Value {
    let data = root().join("data/old_faithful.csv");
    edit(&shipped("old_faithful_waiting.json"), json!({"prior": {"file": data.to_str().unwrap()}}))
}

/// A linear-quadratic problem in two dimensions.
pub fn plane() -> Value {
    json!({
        "name": "plane", "horizon": 2.0, "schedule": {"kind": "linear", "b_min": 0.5, "b_max": 3.0},
        "prior": {"kind": "gaussian", "mean": [0.8, -0.4], "covariance": [[0.7, 0.3], [0.3, 1.5]]},
        "reward": {"kind": "quadratic", "Q": [[0.9, -0.2], [-0.2, 0.4]], "q": [0.5, 1.1], "c": 0.2}, "kl_weight": 0.6,
        "scheme": {"route": "monotone"}, "grid": {"lower": [-6.0, -7.0], "upper": [6.0, 7.0], "nodes": [31, 35]}, "time_steps": 20,
        "compare_on": {"lower": [-2.0, -2.0], "upper": [2.0, 2.0]}, "paths": 1000, "bridge_steps": [4, 8]
    })
}

/// A copy with some members replaced: objects are merged member by member unless they bring another `kind`, null removes.
pub fn edit(problem: &Value, change: Value) -> Value {
    let Value::Object(change) = change else { return change };
    let Value::Object(old) = problem else { return Value::Object(change) };
    if change.get("kind").is_some_and(|k| !k.is_null() && old.get("kind") != Some(k)) {
        return Value::Object(change);
    }
    let mut new = old.clone();
    for (key, value) in change {
        if value.is_null() {
            new.remove(&key);
        } else {
            let merged = edit(old.get(&key).unwrap_or(&Value::Null), value);
            new.insert(key, merged);
        }
    }
    Value::Object(new)
}

impl Desk {
    /// An empty directory.
    pub fn new() -> Self {
        Desk { dir: tempfile::tempdir().unwrap() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A file in it.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The names in it, sorted.
    pub fn names(&self) -> Vec<String> {
        names(self.path())
    }

    /// The program, with this directory as working directory.
    pub fn program(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hjbridge"));
        command.args(args).current_dir(self.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Run the program with exactly these arguments.
    pub fn plain(&self, args: &[&str]) -> Outcome {
        let label = args.join(" ");
        finish(self.program(args).spawn().unwrap(), &label, self.path().join("out"))
    }

    /// Write `problem` and run `command` on it, with output to `out/` in place of what is there.
    pub fn run(&self, command: &str, problem: &Value, flags: &[&str]) -> Outcome {
        self.text(command, &problem.to_string(), flags)
    }

    /// The same with the text of the problem file.
    pub fn text(&self, command: &str, problem: &str, flags: &[&str]) -> Outcome {
        self.file("problem.json", problem);
        let mut args = vec![command, "problem.json"];
        if command != "check" {
            args.extend(["--out", "out", "--force"]);
        }
        args.extend(flags);
        self.plain(&args)
    }
}

/// The names in a directory, sorted; empty if there is none.
pub fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Wait for the end; a run over the time limit is stopped and fails the test.
pub fn finish(mut child: Child, label: &str, out: PathBuf) -> Outcome {
    fn collect(stream: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut stream) = stream {
                stream.read_to_end(&mut bytes).unwrap();
            }
            String::from_utf8(bytes).unwrap()
        })
    }
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > TIME_LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{label}: still running after {TIME_LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let outcome =
        Outcome { code: status.code().unwrap_or(-1), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap(), out };
    assert!(!outcome.stderr.contains("panicked"), "{label}: {}", outcome.stderr);
    outcome
}

impl Outcome {
    /// Exit 0, nothing on standard error (no progress either, it is not a terminal), no temporary file left.
    #[track_caller]
    pub fn good(self, label: &str) -> Self {
        assert_eq!(self.code, 0, "{label}: {}", self.stderr);
        assert_eq!(self.stderr, "", "{label}: standard error must be empty");
        let hidden: Vec<_> = names(&self.out).into_iter().filter(|n| n.starts_with('.')).collect();
        assert!(hidden.is_empty(), "{label}: temporary files left: {hidden:?}");
        self
    }

    /// `report.json`.
    #[track_caller]
    pub fn report(&self) -> Value {
        let path = self.out.join("report.json");
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
    }

    /// `solution.npz`.
    #[track_caller]
    pub fn solution(&self) -> Solution {
        Solution::open(&self.out.join("solution.npz"))
    }
}

/// The arrays of `solution.npz`.
pub struct Solution {
    /// Nodes of each axis.
    pub axes: Vec<Vec<f64>>,
    /// Stored times.
    pub time: Vec<f64>,
    /// V, [time, axis0, ...].
    pub value: Vec<f64>,
    /// U (v for a controlled diffusion), [time, axis0, ..., component].
    pub control: Vec<f64>,
}

impl Solution {
    /// Read the file and check the shapes.
    #[track_caller]
    pub fn open(path: &Path) -> Self {
        let mut archive = npyz::npz::NpzArchive::open(path).unwrap();
        let mut array = |name: &str| {
            let array = archive.by_name(name).unwrap().unwrap_or_else(|| panic!("no array {name} in solution.npz"));
            assert_eq!(array.order(), npyz::Order::C, "{name}");
            let shape: Vec<usize> = array.shape().iter().map(|&n| usize::try_from(n).unwrap()).collect();
            (shape, array.into_vec::<f64>().unwrap())
        };
        let (time_shape, time) = array("time");
        let (value_shape, value) = array("value");
        let (control_shape, control) = array("control");
        assert_eq!(time_shape.len(), 1);
        let axes: Vec<Vec<f64>> = (0..value_shape.len() - 1).map(|i| array(&format!("axis{i}")).1).collect();
        let mut shape = vec![time.len()];
        shape.extend(axes.iter().map(Vec::len));
        assert_eq!(value_shape, shape, "shape of value");
        // a controlled diffusion may have any number of controls
        assert_eq!((control_shape.len(), &control_shape[..shape.len()]), (shape.len() + 1, &shape[..]), "shape of control");
        assert!(time.windows(2).all(|t| t[0] < t[1]), "times must ascend");
        assert!(value.iter().chain(&control).all(|v| v.is_finite()), "values must be finite");
        Solution { axes, time, value, control }
    }

    /// V(t_k, .), d = 1.
    pub fn value_at(&self, k: usize) -> &[f64] {
        let n = self.axes[0].len();
        &self.value[k * n..(k + 1) * n]
    }

    /// U(t_k, .), d = 1.
    pub fn control_at(&self, k: usize) -> &[f64] {
        let n = self.axes[0].len();
        &self.control[k * n..(k + 1) * n]
    }

    /// The node of an axis equal to `y`.
    pub fn node(&self, y: f64) -> usize {
        self.axes[0].iter().position(|x| (x - y).abs() < 1e-9).unwrap()
    }
}

/// The number at `pointer`.
#[track_caller]
pub fn number(report: &Value, pointer: &str) -> f64 {
    let found = report.pointer(pointer).unwrap_or(&Value::Null);
    found.as_f64().unwrap_or_else(|| panic!("{pointer} is {found}, not a number"))
}

/// The numbers at `pointer`.
#[track_caller]
pub fn numbers(report: &Value, pointer: &str) -> Vec<f64> {
    let found = report.pointer(pointer).unwrap_or(&Value::Null);
    let list = found.as_array().unwrap_or_else(|| panic!("{pointer} is {found}, not a list"));
    list.iter().map(|v| v.as_f64().unwrap_or_else(|| panic!("{pointer} has an entry {v}"))).collect()
}
