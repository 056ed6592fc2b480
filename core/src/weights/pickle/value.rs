//! What a pickle may hold.

use std::rc::Rc;

use burn::tensor::DType;

use super::globals::Global;

/// A value on the machine's stack; containers are references into the arena.
#[derive(Clone, Debug)]
pub(in crate::weights) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Text(Rc<str>),
    Global(Global),
    Node(usize),
    /// Anything else: floats, bytes, objects that are not interpreted.
    Opaque,
}

/// A container or tensor.
#[derive(Debug)]
pub(in crate::weights) enum Node {
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Storage(Storage),
    Tensor(Strided),
    /// A tensor of a kind that is not read, with the reason.
    Unsupported(String),
}

/// A named run of elements, stored beside the pickle.
#[derive(Clone, Debug)]
pub(in crate::weights) struct Storage {
    pub(in crate::weights) key: Rc<str>,
    /// Absent for untyped storages, which are counted in bytes.
    pub(in crate::weights) dtype: Option<DType>,
    /// Elements, or bytes if untyped.
    pub(in crate::weights) len: usize,
}

/// A tensor: a strided view of a storage. Offsets and strides count elements.
#[derive(Clone, Debug)]
pub(in crate::weights) struct Strided {
    pub(in crate::weights) storage: Storage,
    pub(in crate::weights) dtype: DType,
    pub(in crate::weights) offset: usize,
    pub(in crate::weights) shape: Vec<usize>,
    pub(in crate::weights) strides: Vec<usize>,
}

/// A pickle that was read.
#[derive(Debug)]
pub(in crate::weights) struct Pickle {
    pub(in crate::weights) arena: Vec<Node>,
    pub(in crate::weights) root: Value,
    /// Bytes the pickle took.
    pub(in crate::weights) len: usize,
}

impl Pickle {
    /// The node behind a value.
    pub(in crate::weights) fn node(&self, value: &Value) -> Option<&Node> {
        match value {
            Value::Node(id) => self.arena.get(*id),
            _ => None,
        }
    }
}
