//! `init`: a commented problem to start from.

use super::common::say;
use crate::problem::{AnyProblemFile, check_name};
use crate::report::{ReportError, atomic};
use crate::run::RunError;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// Flags of `init`.
#[derive(Args)]
pub(super) struct InitArgs {
    /// Name of the problem
    #[arg(default_value = "my-problem")]
    name: String,
    /// What it is about
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// The file to write [default: NAME.json]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

/// Starting problems.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Fine-tuning of a diffusion model with a mixture of Gaussians as data
    #[default]
    FineTuning,
    /// Fine-tuning of a model of the columns of a CSV file, which is written beside it
    Data,
    /// Any controlled diffusion, by formulas
    Controlled,
}

/// The data of [`Kind::Data`].
const DATA: &str = include_str!("../../data/old_faithful.csv");

impl Kind {
    fn template(self) -> &'static str {
        match self {
            Kind::FineTuning => include_str!("templates/fine_tuning.json"),
            Kind::Data => include_str!("templates/data.json"),
            Kind::Controlled => include_str!("templates/controlled.json"),
        }
    }
}

pub(super) fn run(args: &InitArgs) -> Result<(), RunError> {
    check_name(&args.name)?;
    let path = args.out.clone().unwrap_or_else(|| format!("{}.json", args.name).into());
    let data = (args.kind == Kind::Data).then(|| path.with_extension("csv"));
    for file in std::iter::once(&path).chain(&data) {
        if !args.force && std::fs::symlink_metadata(file).is_ok() {
            let allowed = "exists; --force replaces it, --out writes elsewhere";
            return Err(ReportError::invalid("--out", file.display(), allowed).into());
        }
    }
    let beside = data.as_deref().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned());
    let text = match beside {
        Some(name) => {
            // quoted as JSON wants it
            let quoted = serde_json::Value::from(name).to_string();
            args.kind.template().replace("\"NAME.csv\"", &quoted)
        }
        None => args.kind.template().to_string(),
    };
    let shown = path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    let text = text
        .replace("NAME.json", &shown)
        .replace("out/NAME", &format!("out/{}", args.name))
        .replace("\"NAME\"", &format!("\"{}\"", args.name));
    AnyProblemFile::parse(&text, &path)?;
    let put = |file: &Path, text: &str| {
        atomic::replace(file, |p| std::fs::write(p, text).map_err(|e| ReportError::io(p, e))).map_err(RunError::from)
    };
    if let Some(data) = &data {
        put(data, DATA)?;
    }
    put(&path, &text)?;
    let mut lines = vec![format!("written to {}", path.display())];
    lines.extend(data.map(|data| format!("its data to {}", data.display())));
    lines.push(format!("next: hjbridge check {0}, hjbridge solve {0}", path.display()));
    say(lines.iter());
    Ok(())
}
