//! Networks from ONNX files, evaluated by tract in 32-bit floats.
//!
//! Points are evaluated in batches of one length, filled up with copies of the last point, so that every point goes through the same
//! kernels however points are cut into blocks.

use super::metadata::{Convention, Metadata};
use super::{Body, Network, NetworkParams};
use crate::error::ModelError;
use crate::points::{PointBlock, Points, PointsMut};
use std::collections::HashSet;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use tract_onnx::pb::{
    GraphProto, TensorProto, ValueInfoProto, tensor_proto::DataType, tensor_shape_proto::dimension, type_proto,
};
use tract_onnx::prelude::*;
use tract_onnx::tensor::load_tensor;

/// Points in a batch whose length the file leaves free.
const BATCH: usize = 64;

/// Rows of a batch and columns beyond which a file is taken for a damaged one.
const MOST: usize = 1 << 20;

/// A graph ready to run.
#[derive(Debug)]
pub(super) struct Graph {
    plan: Arc<TypedRunnableModel>,
    dim: usize,
    batch: usize,
    level: LevelPlace,
    parameters: usize,
}

/// Where the graph takes the level.
#[derive(Clone, Debug, PartialEq)]
enum LevelPlace {
    /// In the last column of its only input.
    LastColumn,
    /// In a second input of this shape.
    Input(Vec<usize>),
}

/// An input as the file declares it.
struct Declared<'a> {
    name: &'a str,
    /// None where the length is free.
    shape: Vec<Option<usize>>,
}

pub(super) fn load(bytes: &[u8], directory: Option<&Path>, params: &NetworkParams) -> Result<Network, ModelError> {
    // tract indexes and unwraps where a file contradicts itself
    catch_unwind(AssertUnwindSafe(|| load_unguarded(bytes, directory, params)))
        .unwrap_or_else(|_| Err(unusable("tract gave up on it: the file contradicts itself")))
}

fn unusable(reason: impl Display) -> ModelError {
    ModelError::invalid("network", "the ONNX file", reason.to_string())
}

fn load_unguarded(bytes: &[u8], directory: Option<&Path>, params: &NetworkParams) -> Result<Network, ModelError> {
    let framework = tract_onnx::onnx().with_ignore_value_info(true);
    let proto = framework.proto_model_for_read(&mut &*bytes);
    let proto = proto.map_err(|e| ModelError::invalid("network", "the file's bytes", format!("no ONNX file: {e:#}")))?;
    let Some(graph) = &proto.graph else { return Err(unusable("has no graph")) };

    let texts = proto.metadata_props.iter().map(|p| (p.key.clone(), p.value.clone())).collect();
    let metadata = Metadata(texts);
    let convention = Convention::read(&metadata, params, true)?;
    check_nodes(graph, |operator| framework.op_register.0.contains_key(operator))?;
    let directory = directory.and_then(Path::to_str);
    let parameters = check_weights(graph, |t| load_tensor(&*framework.provider, t, directory))?;
    let (dim, batch, level) = inputs(graph)?;

    let mut model = framework.parse(&proto, directory).map_err(|e| unusable(format!("{e:#}")))?.model;
    let columns = if level == LevelPlace::LastColumn { dim + 1 } else { dim };
    let mut shapes = vec![vec![batch, columns]];
    if let LevelPlace::Input(shape) = &level {
        shapes.push(shape.clone());
    }
    for (i, shape) in shapes.iter().enumerate() {
        model.set_input_fact(i, f32::fact(&shape[..]).into()).map_err(|e| unusable(format!("{e:#}")))?;
    }
    let model = model.into_optimized().map_err(|e| unusable(format!("{e:#}")))?;
    let output = model.output_fact(0).map_err(|e| unusable(format!("{e:#}")))?;
    let found = output.shape.as_concrete();
    if found != Some(&[batch, dim][..]) || output.datum_type != f32::datum_type() {
        let found = format!("shape {:?} of {:?}", output.shape, output.datum_type);
        let field = format!("output `{}`", graph.output[0].name);
        return Err(ModelError::invalid(field, found, format!("shape [{batch}, {dim}] (batch, dimension) of float32 is needed")));
    }
    let plan = model.into_runnable().map_err(|e| unusable(format!("{e:#}")))?;
    let graph = Graph { plan, dim, batch, level, parameters };
    // whatever fails, fails here
    graph
        .run(1.0, PointBlock::zeros(dim, 1).as_points(), PointBlock::zeros(dim, 1).as_mut())
        .map_err(|e| unusable(format!("{e:#}")))?;
    let standardization = standardization(&metadata, dim)?;
    Ok(Network { dim, body: Body::Onnx(Arc::new(graph)), convention, standardization })
}

/// Every node's operator is one that tract has, and every output is made somewhere.
fn check_nodes(graph: &GraphProto, known: impl Fn(&str) -> bool) -> Result<(), ModelError> {
    for (k, node) in graph.node.iter().enumerate() {
        if !known(&node.op_type) {
            let name = if node.name.is_empty() { format!("node {k}") } else { format!("node `{}`", node.name) };
            let domain = if node.domain.is_empty() { String::new() } else { format!("{}.", node.domain) };
            let field = format!("{name}, output `{}`", node.output.first().map_or("", String::as_str));
            return Err(ModelError::invalid(field, format!("operator {domain}{}", node.op_type), "is not supported by tract"));
        }
    }
    let [output] = &graph.output[..] else {
        let names: Vec<&str> = graph.output.iter().map(|o| &*o.name).collect();
        return Err(ModelError::invalid("outputs", names.join(", "), "exactly one is needed"));
    };
    let made: HashSet<&str> = graph.node.iter().flat_map(|n| n.output.iter().map(String::as_str)).collect();
    if !made.contains(&*output.name) {
        return Err(ModelError::invalid(format!("output `{}`", output.name), "absent", "must be the output of a node"));
    }
    Ok(())
}

/// All weights are finite; how many there are.
fn check_weights(graph: &GraphProto, load: impl Fn(&TensorProto) -> TractResult<Tensor>) -> Result<usize, ModelError> {
    let mut count = 0;
    for proto in &graph.initializer {
        let field = format!("tensor `{}`", proto.name);
        let read = |e: TractError| ModelError::invalid(&field, "unreadable", format!("{e:#}"));
        let tensor = load(proto).map_err(read)?;
        if !tensor.datum_type().is_float() {
            continue;
        }
        let tensor = tensor.cast_to::<f64>().map_err(read)?;
        let entries = tensor.to_plain_array_view::<f64>().map_err(read)?;
        if let Some((k, x)) = entries.iter().enumerate().find(|(_, x)| !x.is_finite()) {
            return Err(ModelError::invalid(format!("{field}, entry {k}"), x, "must be finite"));
        }
        count += entries.len();
    }
    Ok(count)
}

/// Dimension, length of the batch and where the level goes.
fn inputs(graph: &GraphProto) -> Result<(usize, usize, LevelPlace), ModelError> {
    let weights: HashSet<&str> = graph.initializer.iter().map(|t| &*t.name).collect();
    let free = graph.input.iter().filter(|i| !weights.contains(&*i.name));
    let declared = free.map(declared).collect::<Result<Vec<_>, _>>()?;
    let (y, level) = match &declared[..] {
        [both] => (both, None),
        [y, level] => (y, Some(level)),
        other => {
            let names: Vec<&str> = other.iter().map(|d| d.name).collect();
            let allowed = "one is needed, batch x (d + 1) with the level last, or two, batch x d and the level";
            return Err(ModelError::invalid("inputs", names.join(", "), allowed));
        }
    };
    let least = if level.is_none() { 2 } else { 1 };
    let (batch, columns) = match y.shape[..] {
        [batch, Some(columns)] if (least..=MOST).contains(&columns) => (batch.unwrap_or(BATCH), columns),
        _ => {
            let allowed = format!("[batch, columns] is needed, columns fixed and at least {least}");
            return Err(ModelError::invalid(format!("input `{}`", y.name), shape_text(&y.shape), allowed));
        }
    };
    if !(1..=MOST).contains(&batch) {
        return Err(ModelError::invalid(format!("input `{}`", y.name), shape_text(&y.shape), format!("a batch of 1 to {MOST}")));
    }
    let Some(level) = level else { return Ok((columns - 1, batch, LevelPlace::LastColumn)) };
    let along = |n: Option<usize>| n.unwrap_or(batch);
    let shape = match level.shape[..] {
        [] => vec![],
        [n] => vec![along(n)],
        [n, last] => vec![along(n), last.unwrap_or(1)],
        _ => vec![0],
    };
    let fits = shape.first().is_none_or(|n| *n == 1 || *n == batch) && shape.get(1).is_none_or(|n| *n == 1);
    if !fits {
        let allowed = "a number, or shape [1], [batch], [1, 1] or [batch, 1], is needed for the level";
        return Err(ModelError::invalid(format!("input `{}`", level.name), shape_text(&level.shape), allowed));
    }
    Ok((columns, batch, LevelPlace::Input(shape)))
}

fn declared(info: &ValueInfoProto) -> Result<Declared<'_>, ModelError> {
    let field = || format!("input `{}`", info.name);
    let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Err(ModelError::invalid(field(), "no tensor", "a tensor of float32 is needed"));
    };
    if tensor.elem_type != DataType::Float as i32 {
        let found = DataType::try_from(tensor.elem_type).map_or("an unknown type".into(), |t| format!("{t:?}"));
        return Err(ModelError::invalid(field(), found, "float32 is needed"));
    }
    let Some(shape) = &tensor.shape else {
        return Err(ModelError::invalid(field(), "no shape", "a shape is needed"));
    };
    let length = |d: &tract_onnx::pb::tensor_shape_proto::Dimension| match &d.value {
        Some(dimension::Value::DimValue(n)) => usize::try_from(*n).ok(),
        _ => None,
    };
    Ok(Declared { name: &info.name, shape: shape.dim.iter().map(length).collect() })
}

fn shape_text(shape: &[Option<usize>]) -> String {
    let lengths: Vec<String> = shape.iter().map(|n| n.map_or("free".into(), |n| n.to_string())).collect();
    format!("shape [{}]", lengths.join(", "))
}

/// Center and scale of each coordinate.
type Units = (Vec<f64>, Vec<f64>);

/// Center and scale, where the file has them.
fn standardization(metadata: &Metadata, dim: usize) -> Result<Option<Units>, ModelError> {
    if !metadata.0.contains_key("center") && !metadata.0.contains_key("scale") {
        return Ok(None);
    }
    let column = |name: &str, least: f64| {
        let allowed = format!("must be {dim} finite numbers above {least}, separated by commas");
        let text = metadata.get(name, &allowed)?;
        let numbers: Option<Vec<f64>> = text.split(',').map(|x| x.trim().parse().ok()).collect();
        let fit = numbers.filter(|n: &Vec<f64>| n.len() == dim && n.iter().all(|x| x.is_finite() && *x > least));
        fit.ok_or_else(|| ModelError::invalid(format!("metadata `{name}`"), text, allowed))
    };
    Ok(Some((column("center", f64::NEG_INFINITY)?, column("scale", 0.0)?)))
}

impl Graph {
    /// Number of weights.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// Write the network at all points. NaN where tract fails, which it does not after the trial in `load`.
    pub fn evaluate(&self, level: f64, x: Points<'_>, mut out: PointsMut<'_>) {
        if self.run(level, x, out.reborrow()).is_err() {
            out.fill(f64::NAN);
        }
    }

    /// Write J v by central differences, with a step of length `step`.
    pub fn tangent(&self, level: f64, step: f64, x: Points<'_>, v: Points<'_>, mut out: PointsMut<'_>) {
        let (d, n) = (x.dim(), x.len());
        let mut length = vec![0.0; n];
        for i in 0..d {
            length.iter_mut().zip(v.coord(i)).for_each(|(l, v)| *l += v * v);
        }
        let h: Vec<f64> = length.iter().map(|l: &f64| if *l > 0.0 { step / l.sqrt() } else { 0.0 }).collect();
        let (mut up, mut down) = (PointBlock::zeros(d, n), PointBlock::zeros(d, n));
        for (to, sign) in [(&mut up, 1.0), (&mut down, -1.0)] {
            let mut moved = PointBlock::zeros(d, n);
            for i in 0..d {
                for (j, m) in moved.as_mut().coord_mut(i).iter_mut().enumerate() {
                    *m = x.coord(i)[j] + sign * h[j] * v.coord(i)[j];
                }
            }
            self.evaluate(level, moved.as_points(), to.as_mut());
        }
        for i in 0..d {
            for (j, o) in out.coord_mut(i).iter_mut().enumerate() {
                *o = if h[j] > 0.0 { (up.coord(i)[j] - down.coord(i)[j]) / (2.0 * h[j]) } else { 0.0 };
            }
        }
    }

    /// Write J'p: p times the derivative along each coordinate, by central differences of length `step`.
    pub fn cotangent(&self, level: f64, step: f64, x: Points<'_>, p: Points<'_>, mut out: PointsMut<'_>) {
        let (d, n) = (x.dim(), x.len());
        let mut moved = PointBlock::zeros(d, n);
        for i in 0..d {
            moved.as_mut().coord_mut(i).copy_from_slice(x.coord(i));
        }
        let (mut up, mut down) = (PointBlock::zeros(d, n), PointBlock::zeros(d, n));
        for i in 0..d {
            for (to, h) in [(&mut up, step), (&mut down, -step)] {
                moved.as_mut().coord_mut(i).iter_mut().zip(x.coord(i)).for_each(|(m, x)| *m = x + h);
                self.evaluate(level, moved.as_points(), to.as_mut());
            }
            moved.as_mut().coord_mut(i).copy_from_slice(x.coord(i));
            for (j, o) in out.coord_mut(i).iter_mut().enumerate() {
                *o = (0..d).map(|k| p.coord(k)[j] * (up.coord(k)[j] - down.coord(k)[j])).sum::<f64>() / (2.0 * step);
            }
        }
    }

    fn run(&self, level: f64, x: Points<'_>, mut out: PointsMut<'_>) -> TractResult<()> {
        let (d, n) = (self.dim, self.batch);
        let columns = if self.level == LevelPlace::LastColumn { d + 1 } else { d };
        let mut state = self.plan.spawn()?;
        let mut rows = vec![level as f32; n * columns];
        for start in (0..x.len()).step_by(n) {
            let here = n.min(x.len() - start);
            for i in 0..d {
                let y = &x.coord(i)[start..start + here];
                for (j, row) in rows.chunks_exact_mut(columns).enumerate() {
                    row[i] = y[j.min(here - 1)] as f32;
                }
            }
            let mut given = tvec!(Tensor::from_shape(&[n, columns], &rows)?.into_tvalue());
            if let LevelPlace::Input(shape) = &self.level {
                let levels = vec![level as f32; shape.iter().product()];
                given.push(Tensor::from_shape(shape, &levels)?.into_tvalue());
            }
            let found = state.run(given)?;
            let found = found[0].to_plain_array_view::<f32>()?;
            for (k, value) in found.iter().take(here * d).enumerate() {
                out.coord_mut(k % d)[start + k / d] = f64::from(*value);
            }
        }
        Ok(())
    }
}
