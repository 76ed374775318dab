//! The bytes of small ONNX files: the few fields of the format (protocol buffers, onnx.proto) that the tests need.

/// A length of an input: fixed, or free under a name.
#[derive(Clone, Copy)]
pub enum Length {
    Fixed(u64),
    Free,
}

/// A graph under construction.
#[derive(Clone, Default)]
pub struct File {
    graph: Vec<u8>,
    metadata: Vec<u8>,
}

fn varint(mut n: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes
}

/// Field `number` that is a whole number.
fn number(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

/// Field `number` that is a text or a message.
fn message(number: u64, bytes: &[u8]) -> Vec<u8> {
    [&varint((number << 3) | 2)[..], &varint(bytes.len() as u64), bytes].concat()
}

fn text(field: u64, value: &str) -> Vec<u8> {
    message(field, value.as_bytes())
}

const FLOAT: u64 = 1;

impl File {
    /// ValueInfoProto: name, type { tensor_type { elem_type, shape { dim } } }.
    fn value(name: &str, element: u64, shape: &[Length]) -> Vec<u8> {
        let length = |l: &Length| match l {
            Length::Fixed(n) => message(1, &number(1, *n)),
            Length::Free => message(1, &text(2, "batch")),
        };
        let shape: Vec<u8> = shape.iter().flat_map(length).collect();
        let tensor = [number(1, element), message(2, &shape)].concat();
        [text(1, name), message(2, &message(1, &tensor))].concat()
    }

    pub fn input(self, name: &str, shape: &[Length]) -> Self {
        self.input_of(name, FLOAT, shape)
    }

    /// An input of another type.
    pub fn input_of(mut self, name: &str, element: u64, shape: &[Length]) -> Self {
        self.graph.extend(message(11, &File::value(name, element, shape)));
        self
    }

    pub fn output(mut self, name: &str, shape: &[Length]) -> Self {
        self.graph.extend(message(12, &File::value(name, FLOAT, shape)));
        self
    }

    /// A node `name` with one output.
    pub fn node(self, name: &str, operator: &str, inputs: &[&str], output: &str) -> Self {
        self.node_along(name, operator, inputs, output, None)
    }

    /// The same with an attribute `axis`.
    pub fn node_along(mut self, name: &str, operator: &str, inputs: &[&str], output: &str, axis: Option<u64>) -> Self {
        let inputs: Vec<u8> = inputs.iter().flat_map(|i| text(1, i)).collect();
        const INT: u64 = 2;
        let axis = axis.map(|n| message(5, &[text(1, "axis"), number(3, n), number(20, INT)].concat())).unwrap_or_default();
        self.graph.extend(message(1, &[inputs, text(2, output), text(3, name), text(4, operator), axis].concat()));
        self
    }

    /// A weight.
    pub fn tensor(mut self, name: &str, shape: &[u64], entries: &[f32]) -> Self {
        let lengths: Vec<u8> = shape.iter().flat_map(|n| number(1, *n)).collect();
        let bytes: Vec<u8> = entries.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.graph.extend(message(5, &[lengths, number(2, FLOAT), text(8, name), message(9, &bytes)].concat()));
        self
    }

    pub fn metadata(mut self, entries: &[(&str, &str)]) -> Self {
        for (key, value) in entries {
            self.metadata.extend(message(14, &[text(1, key), text(2, value)].concat()));
        }
        self
    }

    /// ModelProto of format version 8 with operators of version 17.
    pub fn bytes(&self) -> Vec<u8> {
        let graph = message(7, &[text(2, "test"), self.graph.clone()].concat());
        [number(1, 8), graph, message(8, &number(2, 17)), self.metadata.clone()].concat()
    }
}
