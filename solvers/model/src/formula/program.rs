//! The compiled form of a formula: a flat list of operations, each reading earlier ones.
//!
//! The list is built without a tree: equal subexpressions become one node, operations on constants are computed at once,
//! and constant integer powers become multiplications. Nothing here recurses, so a long sum costs no stack.

use std::collections::HashMap;

use super::eval;

/// Index of a node in the list.
pub(super) type Id = u32;

/// Operations on one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Unary {
    Neg,
    Not,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Exp,
    Log,
    Log1p,
    Expm1,
    Sqrt,
    Abs,
    Sign,
    Floor,
    Ceil,
    Erf,
}

/// Operations on two numbers. `a > b` is stored as `b < a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Atan2,
    Hypot,
    Min,
    Max,
    Less,
    LessEqual,
    Equal,
    NotEqual,
    And,
    Or,
}

/// A node of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Op {
    /// A number, by its bits (so that operations can be compared and hashed).
    Constant(u64),
    /// A variable, by its place in the list of variables.
    Variable(u32),
    Unary(Unary, Id),
    Binary(Binary, Id, Id),
    /// A constant integer power, 2 <= |n| <= [`LARGEST_INTEGER_POWER`] or n = -1.
    Power(Id, i8),
    /// Condition, value where it holds, value elsewhere.
    Where(Id, Id, Id),
}

impl Op {
    /// The nodes read, as many as the operation has operands.
    pub(super) fn operands(&self) -> impl Iterator<Item = Id> + use<> {
        let operands = match *self {
            Op::Constant(_) | Op::Variable(_) => [None; 3],
            Op::Unary(_, a) | Op::Power(a, _) => [Some(a), None, None],
            Op::Binary(_, a, b) => [Some(a), Some(b), None],
            Op::Where(c, a, b) => [Some(c), Some(a), Some(b)],
        };
        operands.into_iter().flatten()
    }

    fn renumber(self, new: impl Fn(Id) -> Id) -> Op {
        match self {
            Op::Constant(_) | Op::Variable(_) => self,
            Op::Unary(f, a) => Op::Unary(f, new(a)),
            Op::Binary(f, a, b) => Op::Binary(f, new(a), new(b)),
            Op::Power(a, n) => Op::Power(new(a), n),
            Op::Where(c, a, b) => Op::Where(new(c), new(a), new(b)),
        }
    }
}

/// Constant exponents up to this size are evaluated by repeated squaring: faster than the general power, and as exact as
/// a handful of roundings allow.
pub(super) const LARGEST_INTEGER_POWER: f64 = 16.0;

/// The finished list; the last node is the value.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) nodes: Vec<Op>,
    /// For each node, the variables it reads (bit i for variable i).
    pub(super) uses: Vec<u128>,
    /// For each node, the variables its derivative may differ from zero in.
    pub(super) slopes: Vec<u128>,
}

impl Program {
    /// The number, when the formula is one.
    pub(super) fn constant(&self) -> Option<f64> {
        match self.nodes.last() {
            Some(&Op::Constant(bits)) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }
}

/// Builds the list, sharing and folding on the way.
#[derive(Default)]
pub(super) struct Builder {
    nodes: Vec<Op>,
    /// Value of the constant nodes, zero for the others.
    constants: Vec<f64>,
    known: HashMap<Op, Id>,
}

impl Builder {
    fn intern(&mut self, op: Op) -> Id {
        let (nodes, constants) = (&mut self.nodes, &mut self.constants);
        *self.known.entry(op).or_insert_with(|| {
            nodes.push(op);
            constants.push(if let Op::Constant(bits) = op { f64::from_bits(bits) } else { 0.0 });
            (nodes.len() - 1) as Id
        })
    }

    fn value(&self, id: Id) -> Option<f64> {
        match self.nodes[id as usize] {
            Op::Constant(bits) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    /// Add the operation, or its value when all operands are constants. The value comes from the code that evaluates
    /// blocks, so folding never changes a bit.
    fn push(&mut self, op: Op) -> Id {
        if op.operands().all(|id| self.value(id).is_some()) {
            let mut value = [0.0];
            eval::apply(op, |id| std::slice::from_ref(&self.constants[id as usize]), &mut value);
            return self.constant(value[0]);
        }
        self.intern(op)
    }

    pub(super) fn constant(&mut self, value: f64) -> Id {
        self.intern(Op::Constant(value.to_bits()))
    }

    pub(super) fn variable(&mut self, index: u32) -> Id {
        self.intern(Op::Variable(index))
    }

    pub(super) fn unary(&mut self, f: Unary, a: Id) -> Id {
        match (f, self.nodes[a as usize]) {
            (Unary::Neg, Op::Unary(Unary::Neg, inner)) => inner,
            _ => self.push(Op::Unary(f, a)),
        }
    }

    pub(super) fn binary(&mut self, f: Binary, a: Id, b: Id) -> Id {
        match f {
            Binary::Pow => self.power(a, b),
            Binary::Mul if self.value(a) == Some(1.0) => b,
            Binary::Mul | Binary::Div if self.value(b) == Some(1.0) => a,
            // Sums and products commute exactly, so that x*y and y*x are one node.
            Binary::Add | Binary::Mul => self.push(Op::Binary(f, a.min(b), a.max(b))),
            _ => self.push(Op::Binary(f, a, b)),
        }
    }

    fn power(&mut self, a: Id, b: Id) -> Id {
        match self.value(b) {
            Some(0.0) => self.constant(1.0),
            Some(1.0) => a,
            Some(0.5) => self.push(Op::Unary(Unary::Sqrt, a)),
            Some(n) if n.fract() == 0.0 && n.abs() <= LARGEST_INTEGER_POWER => self.push(Op::Power(a, n as i8)),
            _ => self.push(Op::Binary(Binary::Pow, a, b)),
        }
    }

    pub(super) fn select(&mut self, condition: Id, a: Id, b: Id) -> Id {
        match self.value(condition) {
            Some(c) if c.is_nan() => self.constant(f64::NAN),
            Some(0.0) => b,
            Some(_) => a,
            None => self.push(Op::Where(condition, a, b)),
        }
    }

    /// Keep the nodes that `root` needs, in their order, and note which variables each depends on.
    pub(super) fn finish(self, root: Id) -> Program {
        let root = root as usize;
        let mut live = vec![false; root + 1];
        live[root] = true;
        for k in (0..=root).rev() {
            if live[k] {
                self.nodes[k].operands().for_each(|id| live[id as usize] = true);
            }
        }
        let mut number = vec![0 as Id; root + 1];
        let mut program = Program { nodes: Vec::new(), uses: Vec::new(), slopes: Vec::new() };
        for k in (0..=root).filter(|&k| live[k]) {
            number[k] = program.nodes.len() as Id;
            let op = self.nodes[k].renumber(|id| number[id as usize]);
            let union = |masks: &[u128]| op.operands().fold(0, |mask, id| mask | masks[id as usize]);
            let (uses, slopes) = match op {
                Op::Constant(_) => (0, 0),
                Op::Variable(i) => (1 << i, 1 << i),
                Op::Unary(Unary::Not | Unary::Sign | Unary::Floor | Unary::Ceil, _) => (union(&program.uses), 0),
                Op::Binary(
                    Binary::Less | Binary::LessEqual | Binary::Equal | Binary::NotEqual | Binary::And | Binary::Or,
                    ..,
                ) => (union(&program.uses), 0),
                Op::Where(_, a, b) => (union(&program.uses), program.slopes[a as usize] | program.slopes[b as usize]),
                _ => (union(&program.uses), union(&program.slopes)),
            };
            program.nodes.push(op);
            program.uses.push(uses);
            program.slopes.push(slopes);
        }
        program
    }
}
