//! The types of a problem file. Unknown fields are errors. Vectors have one entry per dimension.

use super::error::ProblemError;
pub use super::pift_spec::{AlphaSpec, InnerSpec, KernelSpec, PiFtSpec, StopSpec, TimeGridSpec, VarianceSpec};
use super::tagged::{split, tagged};
use super::text::{self, Place, place_of, place_of_byte};
use hjbridge_model::ClassReward;
use hjbridge_model::formula::closest_name;
use hjbridge_model::network::{LevelInput, Prediction};
use schemars::JsonSchema;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// A fine-tuning problem as written in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProblemFile {
    /// `fine_tuning`, or absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<FineTuningKind>,
    /// Name of the problem; the output goes to `out/NAME`.
    pub name: String,
    /// One sentence for reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// T > 0, the length of generation time; with b = 1 a time of 1 noises the data by the factor exp(-1/2).
    pub horizon: f64,
    /// The noise rate b, per unit of time, as a function of forward time tau = T - t.
    pub schedule: ScheduleSpec,
    /// The law of the data.
    pub prior: PriorSpec,
    /// The reward r of a generated state, in model coordinates.
    pub reward: RewardSpec,
    /// beta > 0, in units of reward: a number, a table or a formula in generation time t.
    pub kl_weight: KlWeightSpec,
    /// The law of Y_0.
    #[serde(default)]
    pub initial_law: InitialLawSpec,
    /// The grid of the HJB and PI-FT solvers; only parametric PI-FT does without.
    #[serde(default, skip_serializing_if = "GridSpec::is_absent")]
    pub grid: GridSpec,
    /// Time steps of `solve`, `rollout` and `pift`.
    #[serde(default = "default_time_steps")]
    pub time_steps: usize,
    /// Space and time scheme of the HJB solver.
    #[serde(default)]
    pub scheme: SchemeSpec,
    /// The discrete chain and its iteration.
    #[serde(default)]
    pub pift: PiFtSpec,
    /// Errors are taken over this box; default: the middle half of the grid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare_on: Option<RegionSpec>,
    /// Paths of `rollout`.
    #[serde(default = "default_paths")]
    pub paths: usize,
    /// The N of `bridge`.
    #[serde(default = "default_bridge_steps")]
    pub bridge_steps: Vec<usize>,
    /// Seed of `rollout`.
    #[serde(default)]
    pub seed: u64,
    /// Names of the coordinates with their units, for plots; default: the columns' names, or y.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axis_labels: Option<Vec<String>>,
    /// States are images, to be drawn as such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageSpec>,
}

/// A state as an image: grey pixels row by row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// Rows of pixels.
    pub rows: usize,
    /// Columns of pixels; rows times columns is the dimension.
    pub columns: usize,
    /// The values of black and of white.
    #[serde(default = "default_image_range")]
    pub range: [f64; 2],
}

fn default_image_range() -> [f64; 2] {
    [-1.0, 1.0]
}

/// The kind of these files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FineTuningKind {
    /// `fine_tuning`.
    FineTuning,
}

fn default_time_steps() -> usize {
    800
}

fn default_paths() -> usize {
    100_000
}

fn default_bridge_steps() -> Vec<usize> {
    vec![32, 64, 128, 256, 512, 1024]
}

/// Noise schedule b(tau), tau = T - t.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(tag = "kind", rename = "ScheduleSpec")]
pub enum ScheduleSpec {
    /// Constant b.
    Constant {
        /// The rate b > 0.
        b: f64,
    },
    /// b_min + (b_max - b_min) tau / T.
    Linear {
        /// The rate at the data, tau = 0.
        b_min: f64,
        /// The rate at the noise, tau = T.
        b_max: f64,
    },
    /// Cosine alpha-bar with the rate capped.
    Cosine {
        /// Offset of the angle; 0.008 in the literature.
        #[serde(default = "default_offset")]
        offset: f64,
        /// Largest rate.
        b_max: f64,
    },
    /// Piecewise linear.
    Table {
        /// Forward times from 0 to the horizon.
        tau: Vec<f64>,
        /// The rates b > 0 there.
        b: Vec<f64>,
    },
}

tagged!(ScheduleSpec);

fn default_offset() -> f64 {
    0.008
}

/// The law of the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(tag = "kind", rename = "PriorSpec")]
pub enum PriorSpec {
    /// N(mean, covariance).
    Gaussian {
        /// Mean, one entry for each dimension.
        mean: Vec<f64>,
        /// Covariance, a list of rows, positive definite.
        covariance: Vec<Vec<f64>>,
    },
    /// sum_i w_i N(mean_i, covariance_i).
    Mixture {
        /// Weights; they sum to one.
        weights: Vec<f64>,
        /// Means, one vector for each component.
        means: Vec<Vec<f64>>,
        /// Covariances, one list of rows for each component.
        covariances: Vec<Vec<Vec<f64>>>,
    },
    /// Gaussian kernel density estimate of columns of a CSV file with a header.
    Samples {
        /// Path, relative to the problem file.
        file: String,
        /// Column names, one for each coordinate.
        columns: Vec<String>,
        /// Standard deviation of the kernel in model coordinates; absent or null: Silverman's rule.
        #[serde(default)]
        bandwidth: Option<f64>,
        /// Whether the columns are brought to mean 0 and standard deviation 1.
        #[serde(default = "default_standardize")]
        standardize: bool,
    },
    /// A trained score, and the law that its training approximates.
    Network {
        /// A safetensors or ONNX file, path relative to the problem file.
        file: String,
        /// What it predicts; absent: as the file says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(schema_with = "super::schema::predictions")]
        predicts: Option<Prediction>,
        /// How it is told the noise level; absent: as the file says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(schema_with = "super::schema::level_inputs")]
        inputs: Option<LevelInput>,
        /// Width of the kernel in training; absent: as the file says, or 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bandwidth: Option<f64>,
        /// Forward time below which the score stays what it is there; absent: as the file says, or 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tau_min: Option<f64>,
        /// Any other kind of prior: closed forms are those of this law. Only parametric PI-FT does without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<Box<PriorSpec>>,
    },
}

tagged!(PriorSpec);

fn default_standardize() -> bool {
    true
}

/// -x'Qx/2 + q'x + c.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuadraticSpec {
    /// The curvature Q, a list of rows.
    #[serde(rename = "Q")]
    pub curvature: Vec<Vec<f64>>,
    /// The slope q.
    pub q: Vec<f64>,
    /// The constant c.
    #[serde(default)]
    pub c: f64,
}

/// height exp(-|x - center|^2 / (2 width^2)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BumpSpec {
    /// Centre, one entry for each dimension.
    pub center: Vec<f64>,
    /// Standard deviation of the bell.
    pub width: f64,
    /// Value at the centre.
    pub height: f64,
}

/// The terminal reward, in model coordinates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(tag = "kind", rename = "RewardSpec")]
pub enum RewardSpec {
    /// q'x + c.
    Linear {
        /// The slope q, one entry for each dimension.
        q: Vec<f64>,
        /// The constant c.
        #[serde(default)]
        c: f64,
    },
    /// -x'Qx/2 + q'x + c.
    Quadratic {
        /// The curvature Q, a list of rows.
        #[serde(rename = "Q")]
        curvature: Vec<Vec<f64>>,
        /// The slope q.
        q: Vec<f64>,
        /// The constant c.
        #[serde(default)]
        c: f64,
    },
    /// beta log sum_j exp(term_j / beta) at temperature beta = kl_weight.
    LogSumExp {
        /// The terms.
        terms: Vec<QuadraticSpec>,
        /// The temperature; default: the KL weight, which must then be constant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        temperature: Option<f64>,
    },
    /// Sum of Gaussian bumps.
    Bumps {
        /// The bumps.
        terms: Vec<BumpSpec>,
    },
    /// A class of a linear classifier.
    Classifier {
        /// A JSON file with the rows "q" and the numbers "c" of the scores q'x + c, path relative to the problem file.
        file: String,
        /// The class, from 0.
        class: usize,
        /// Log-odds or log-probability of the class.
        #[serde(default)]
        #[schemars(schema_with = "super::schema::class_rewards")]
        of: ClassReward,
    },
}

tagged!(RewardSpec);

/// beta(t).
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum KlWeightSpec {
    /// A number.
    Constant(f64),
    /// A function of time.
    Varying(KlFunctionSpec),
}

/// beta as a function of generation time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(tag = "kind", rename = "KlFunctionSpec")]
pub enum KlFunctionSpec {
    /// Piecewise linear.
    Table {
        /// Generation times from 0 to the horizon.
        t: Vec<f64>,
        /// The weights beta > 0 there.
        beta: Vec<f64>,
    },
    /// A formula in t, e.g. "0.4 + 0.8*(t/2)**2".
    Formula {
        /// The formula.
        beta: String,
    },
}

tagged!(KlFunctionSpec);

// by hand, because an untagged enum would answer every mistake with "data did not match any variant"
impl<'de> Deserialize<'de> for KlWeightSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KlVisitor;
        impl<'de> Visitor<'de> for KlVisitor {
            type Value = KlWeightSpec;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a positive number, {\"kind\": \"table\", ...} or {\"kind\": \"formula\", ...}")
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<KlWeightSpec, E> {
                Ok(KlWeightSpec::Constant(v))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<KlWeightSpec, E> {
                Ok(KlWeightSpec::Constant(v as f64))
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<KlWeightSpec, E> {
                Ok(KlWeightSpec::Constant(v as f64))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<KlWeightSpec, A::Error> {
                // the trait's reader, not the derived one for the tag outside
                let function = <KlFunctionSpec as Deserialize>::deserialize(de::value::MapAccessDeserializer::new(map));
                function.map(KlWeightSpec::Varying)
            }
        }
        deserializer.deserialize_any(KlVisitor)
    }
}

/// The law of Y_0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InitialLawSpec {
    /// N(0, I).
    StandardNormal,
    /// The prior noised over the horizon.
    #[default]
    NoisedPrior,
    /// The tilted law noised over the horizon.
    Optimal,
}

/// A tensor grid.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GridSpec {
    /// Lower corner of the box, in the coordinates of the state.
    pub lower: Vec<f64>,
    /// Upper corner of the box.
    pub upper: Vec<f64>,
    /// Nodes in each direction, at least 5.
    pub nodes: Vec<usize>,
    /// Concentrate nodes: absent for uniform axes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stretch: Option<StretchSpec>,
}

impl GridSpec {
    /// Whether the file has none.
    pub fn is_absent(&self) -> bool {
        self.lower.is_empty() && self.upper.is_empty() && self.nodes.is_empty()
    }
}

/// sinh stretching around a centre.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StretchSpec {
    /// Where nodes are densest.
    pub center: Vec<f64>,
    /// Strength, positive; spacing at the ends over spacing at the centre is about cosh(strength).
    pub strength: f64,
}

/// A box.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegionSpec {
    /// Lower corner.
    pub lower: Vec<f64>,
    /// Upper corner.
    pub upper: Vec<f64>,
}

/// How the HJB equation is solved. Fields that are absent are filled in when the problem is resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SchemeSpec {
    /// The route; default: `monotone` when `space` or `time` is given, otherwise `auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteSpec>,
    /// Space scheme of the monotone route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub space: Option<SpaceSpec>,
    /// Time scheme of the monotone route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeSpec>,
    /// Order of the differences of the high-order route: 4, 6 or 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<usize>,
    /// Tolerance of a time step of the high-order route, relative and absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
}

impl SchemeSpec {
    /// The route.
    pub fn route(&self) -> RouteSpec {
        let monotone = self.space.is_some() || self.time.is_some();
        self.route.unwrap_or(if monotone { RouteSpec::Monotone } else { RouteSpec::Auto })
    }

    /// The space scheme of the monotone route.
    pub fn space(&self) -> SpaceSpec {
        self.space.unwrap_or_default()
    }

    /// The time scheme of the monotone route.
    pub fn time(&self) -> TimeSpec {
        self.time.unwrap_or_default()
    }
}

/// Routes to the solution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteSpec {
    /// The one with the smallest error for its cost, found by measurement.
    #[default]
    Auto,
    /// Differences of high order, adaptive in time: for smooth data.
    HighOrder,
    /// Monotone differences and policy iteration.
    Monotone,
    /// The linear equation for exp(V/beta), where the weight of the control allows it.
    ColeHopf,
}

/// Space schemes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpaceSpec {
    /// First order, monotone.
    Upwind,
    /// Second order where that keeps the coefficients positive.
    #[default]
    Hybrid,
    /// Exponentially fitted (Scharfetter-Gummel): second order, and accurate in boundary layers.
    Fitted,
}

/// Time schemes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeSpec {
    /// First order, monotone.
    ImplicitEuler,
    /// Second order, Rannacher start.
    #[default]
    CrankNicolson,
    /// Second order, L-stable: for rewards with kinks.
    TrBdf2,
}

impl ProblemFile {
    /// Read and parse `path`.
    ///
    /// # Errors
    /// The file cannot be read, or is not a problem file; the error has line, column and field.
    pub fn read(path: &Path) -> Result<Self, ProblemError> {
        Self::parse(&text::read(path)?, path)
    }

    /// Parse `text`; `path` is only named in errors.
    ///
    /// # Errors
    /// As [`ProblemFile::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ProblemError> {
        parse_json(text, path)
    }
}

/// Parse a file of any of our types, with line, column and field in errors.
pub(crate) fn parse_json<T: de::DeserializeOwned>(text: &str, path: &Path) -> Result<T, ProblemError> {
    let plain = text::plain_json(text);
    let mut json = serde_json::Deserializer::from_str(&plain);
    let parse_error = |field: String, e: &serde_json::Error| {
        let full = e.to_string();
        let message = full.rsplit_once(" at line ").map_or(full.as_str(), |(m, _)| m);
        let mut place = parser_place(text, e);
        let (field, message) = match split(message) {
            Some((inner, rest)) => {
                let field = if inner.is_empty() { field } else { format!("{field}.{inner}") };
                // the parser was at the end of the whole object by then
                let culprit = rest.strip_prefix("unknown field `").and_then(|r| r.split_once('`')).map(|(name, _)| name);
                let exact = culprit.map_or_else(|| field.clone(), |name| format!("{field}.{name}"));
                place = place_of(text, &exact).unwrap_or(place);
                (field, rest)
            }
            None => {
                // the parser was behind the value; of what is missing it knows the end of the object
                if e.is_data() && !message.starts_with("missing") {
                    place = place_of(text, &field).unwrap_or(place);
                }
                (field, message)
            }
        };
        let message = format!("{message}{}", did_you_mean(message));
        ProblemError::Parse { path: path.into(), line: place.line, column: place.column, field, message }
    };
    let file: T = serde_path_to_error::deserialize(&mut json).map_err(|e| parse_error(e.path().to_string(), e.inner()))?;
    json.end().map_err(|e| parse_error(".".into(), &e))?;
    Ok(file)
}

/// Where the parser stood; its columns count bytes.
fn parser_place(text: &str, e: &serde_json::Error) -> Place {
    let start: usize = text.split_inclusive('\n').take(e.line().saturating_sub(1)).map(str::len).sum();
    let mut offset = (start + e.column().saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    place_of_byte(text, offset)
}

/// The name closest to an unknown field or variant, among those that the parser's message lists as expected.
fn did_you_mean(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let known = |message: &str| message.starts_with("unknown field") || message.starts_with("unknown variant");
    match quoted.next().filter(|_| known(message)).and_then(|name| closest_name(name, quoted)) {
        Some(close) => format!(" (did you mean `{close}`?)"),
        None => String::new(),
    }
}
