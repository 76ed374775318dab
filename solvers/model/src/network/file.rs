//! Networks from safetensors files.

use super::metadata::{Convention, Metadata};
use super::perceptron::{Activation, Layer, Perceptron};
use super::{Body, Network, NetworkParams};
use crate::error::ModelError;
use safetensors::{Dtype, SafeTensors};

const FORMAT: &str = "hjbridge-network-1";

/// Layers and widths beyond which a file is taken for a damaged one.
const MOST_LAYERS: usize = 1000;
const MOST_WIDE: usize = 1 << 20;

pub(super) fn load(bytes: &[u8], params: &NetworkParams) -> Result<Network, ModelError> {
    let broken =
        |e: safetensors::SafeTensorError| ModelError::invalid("network", "the file's bytes", format!("no safetensors file: {e}"));
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let metadata = Metadata(header.metadata().clone().unwrap_or_default());
    let tensors = Tensors(SafeTensors::deserialize(bytes).map_err(broken)?);

    metadata.choice("format", &[(FORMAT, ())])?;
    let dim = metadata.count("dimension", MOST_WIDE)?;
    let count = metadata.count("layers", MOST_LAYERS)?;
    let activation = metadata.choice(
        "activation",
        &[("silu", Activation::Silu), ("tanh", Activation::Tanh), ("relu", Activation::Relu), ("gelu", Activation::Gelu)],
    )?;
    let fourier = metadata.choice("embedding", &[("plain", false), ("fourier", true)])?;
    let convention = Convention::read(&metadata, params, false)?;

    let frequencies = if fourier { Some(tensors.read("embedding.frequencies", &[None])?.1) } else { None };
    let embedded = frequencies.as_ref().map_or(1, |f| 2 * f.len());
    let mut layers = Vec::with_capacity(count);
    let mut level_weights = Vec::new();
    let mut inputs = dim + embedded;
    for l in 0..count {
        let outputs = (l + 1 == count).then_some(dim);
        let (shape, mut weights) = tensors.read(&format!("layers.{l}.weight"), &[outputs, Some(inputs)])?;
        let (_, biases) = tensors.read(&format!("layers.{l}.bias"), &[Some(shape[0])])?;
        if l == 0 {
            let rows = || weights.chunks(inputs);
            level_weights = rows().flat_map(|row| row[dim..].iter().copied()).collect();
            weights = rows().flat_map(|row| row[..dim].iter().copied()).collect();
        }
        layers.push(Layer::new(weights, biases));
        inputs = shape[0];
    }
    let column = |name: &str, default: f64| match tensors.has(name) {
        true => tensors.read(name, &[Some(dim)]).map(|t| t.1),
        false => Ok(vec![default; dim]),
    };
    let (center, scale) = (column("center", 0.0)?, column("scale", 1.0)?);
    if let Some(i) = scale.iter().position(|s| *s <= 0.0) {
        return Err(ModelError::invalid(format!("tensor `scale`[{i}]"), scale[i], "must be positive"));
    }
    let body = Body::Perceptron(Perceptron { layers, level_weights, frequencies, activation });
    Ok(Network { dim, body, convention, standardization: Some((center, scale)) })
}

/// The numbers of a file.
struct Tensors<'a>(SafeTensors<'a>);

impl Tensors<'_> {
    fn has(&self, name: &str) -> bool {
        self.0.tensor(name).is_ok()
    }

    /// Shape and entries, row after row. Lengths that are not given must be positive.
    fn read(&self, name: &str, shape: &[Option<usize>]) -> Result<(Vec<usize>, Vec<f64>), ModelError> {
        let field = format!("tensor `{name}`");
        let lengths: Vec<String> = shape.iter().map(|n| n.map_or("any".into(), |n| n.to_string())).collect();
        let expected = format!("shape [{}] is needed", lengths.join(", "));
        let Ok(view) = self.0.tensor(name) else { return Err(ModelError::invalid(field, "absent", expected)) };
        let found = view.shape();
        let fits = found.len() == shape.len() && found.iter().zip(shape).all(|(f, s)| s.map_or(*f > 0, |s| *f == s));
        if !fits {
            return Err(ModelError::invalid(field, format!("shape {found:?}"), expected));
        }
        let data = view.data();
        let entries: Vec<f64> = match view.dtype() {
            Dtype::F32 => data.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
            Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            other => return Err(ModelError::invalid(field, format!("type {other:?}"), "must be F32 or F64")),
        };
        if let Some(k) = entries.iter().position(|x| !x.is_finite()) {
            return Err(ModelError::invalid(format!("{field}, entry {k}"), entries[k], "must be finite"));
        }
        Ok((found.to_vec(), entries))
    }
}

/// The bytes of a file with F64 tensors.
#[cfg(test)]
pub(super) fn write(tensors: &[(&str, &[usize], &[f64])], metadata: &[(&str, &str)]) -> Vec<u8> {
    use safetensors::tensor::TensorView;
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|t| t.2.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|(t, b)| (t.0, TensorView::new(Dtype::F64, t.1.to_vec(), b).unwrap()));
    let metadata = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    safetensors::serialize(views, Some(metadata)).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{LevelInput, Prediction};

    const METADATA: [(&str, &str); 8] = [
        ("format", FORMAT),
        ("dimension", "2"),
        ("layers", "2"),
        ("activation", "silu"),
        ("inputs", "y,log_snr"),
        ("embedding", "fourier"),
        ("predicts", "noise"),
        ("bandwidth", "0.2"),
    ];

    type Tensor = (&'static str, Vec<usize>, Vec<f64>);

    fn tensors() -> Vec<Tensor> {
        vec![
            ("embedding.frequencies", vec![1], vec![0.5]),
            ("layers.0.weight", vec![3, 4], (0..12).map(f64::from).collect()),
            ("layers.0.bias", vec![3], vec![0.1, 0.2, 0.3]),
            ("layers.1.weight", vec![2, 3], vec![1.0; 6]),
            ("layers.1.bias", vec![2], vec![0.0; 2]),
            ("scale", vec![2], vec![2.0, 3.0]),
        ]
    }

    fn bytes(tensors: &[Tensor], metadata: &[(&str, &str)]) -> Vec<u8> {
        let tensors: Vec<_> = tensors.iter().map(|t| (t.0, &t.1[..], &t.2[..])).collect();
        write(&tensors, metadata)
    }

    #[test]
    fn a_file_is_what_it_says() {
        let n = load(&bytes(&tensors(), &METADATA), &NetworkParams::default()).unwrap();
        assert_eq!((n.dim(), n.parameters(), n.predicts(), n.bandwidth()), (2, 23, Prediction::Noise, 0.2));
        assert_eq!(n.standardization(), Some((&[0.0, 0.0][..], &[2.0, 3.0][..])));
        match n.body {
            Body::Perceptron(p) => assert_eq!(p.level_weights, [2.0, 3.0, 6.0, 7.0, 10.0, 11.0]),
            #[cfg(feature = "onnx")]
            Body::Onnx(_) => unreachable!(),
        }
    }

    #[test]
    fn errors_name_the_metadata_or_the_tensor() {
        let message = |b: &[u8]| load(b, &NetworkParams::default()).unwrap_err().to_string();
        let edited = |name: &str, value: Option<&'static str>| {
            let mut m: Vec<_> = METADATA.iter().copied().filter(|(n, _)| *n != name).collect();
            let owned = name.to_string();
            if let Some(v) = value {
                m.push((&owned, v));
            }
            message(&bytes(&tensors(), &m))
        };
        for (name, value, expected) in [
            ("format", None, "metadata `format` = absent: must be hjbridge-network-1"),
            ("activation", Some("swish"), "metadata `activation` = swish: must be silu | tanh | relu | gelu"),
            ("inputs", Some("y"), "must be y,log_snr | y,sigma | y,tau | y,t"),
            ("layers", Some("0"), "metadata `layers` = 0: must be a whole number from 1"),
            ("bandwidth", Some("-1"), "metadata `bandwidth` = -1"),
            ("bandwidth", Some("0"), "metadata `tau_min` = 0: must be positive for this prediction"),
            ("inputs", Some("y,t"), "metadata `horizon` = absent: must be a positive number"),
            ("dimension", Some("3"), "tensor `layers.0.weight` = shape [3, 4]: shape [any, 5] is needed"),
            ("layers", Some("1"), "tensor `layers.0.weight` = shape [3, 4]: shape [2, 4] is needed"),
            // the second layer is then a hidden one
            ("layers", Some("3"), "tensor `layers.2.weight` = absent: shape [2, 2] is needed"),
        ] {
            let found = edited(name, value);
            assert!(found.contains(expected), "{found}");
        }
        let changed = |k: usize, change: fn(&mut Tensor)| {
            let mut all = tensors();
            change(&mut all[k]);
            message(&bytes(&all, &METADATA))
        };
        let e = changed(3, |t| t.2[4] = f64::NAN);
        assert!(e.contains("tensor `layers.1.weight`, entry 4 = NaN: must be finite"), "{e}");
        let e = changed(2, |t| *t = ("layers.0.bias", vec![2], vec![0.0; 2]));
        assert!(e.contains("tensor `layers.0.bias` = shape [2]: shape [3] is needed"), "{e}");
        let e = changed(5, |t| t.2[1] = 0.0);
        assert!(e.contains("tensor `scale`[1] = 0: must be positive"), "{e}");
        let e = changed(0, |t| t.0 = "other");
        assert!(e.contains("tensor `embedding.frequencies` = absent"), "{e}");
    }

    #[test]
    fn params_say_what_the_file_leaves_out_and_nothing_else() {
        let params = NetworkParams {
            predicts: Some(Prediction::X0),
            inputs: Some(LevelInput::Sigma),
            bandwidth: Some(0.25),
            tau_min: None,
        };
        let kept: Vec<_> = METADATA.iter().copied().filter(|(n, _)| !["predicts", "inputs", "bandwidth"].contains(n)).collect();
        let n = load(&bytes(&tensors(), &kept), &params).unwrap();
        assert_eq!((n.predicts(), n.level_input(), n.bandwidth()), (Prediction::X0, LevelInput::Sigma, 0.25));
        assert!(n.check(&params).is_ok());
        let n = load(&bytes(&tensors(), &METADATA), &params).unwrap();
        assert_eq!(n.bandwidth(), 0.2);
        for (params, expected) in [
            (
                NetworkParams { predicts: Some(Prediction::X0), ..Default::default() },
                "predicts = \"x0\": the file says \"noise\"",
            ),
            (
                NetworkParams { inputs: Some(LevelInput::T), ..Default::default() },
                "inputs = \"y,t\": the file says \"y,log_snr\"",
            ),
            (NetworkParams { bandwidth: Some(0.3), ..Default::default() }, "bandwidth = 0.3: the file says 0.2"),
            (NetworkParams { tau_min: Some(0.3), ..Default::default() }, "tau_min = 0.3: the file says 0"),
        ] {
            assert_eq!(n.check(&params).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn damaged_bytes_are_an_error() {
        let whole = bytes(&tensors(), &METADATA);
        for n in [0, 7, 8, 100, whole.len() - 1] {
            assert!(load(&whole[..n], &NetworkParams::default()).unwrap_err().to_string().contains("no safetensors file"), "{n}");
        }
        assert!(load(&[0xff; 64], &NetworkParams::default()).is_err());
    }
}
