//! The stack machine.

use std::collections::HashMap;

use super::value::{Node, Pickle, Value};
use crate::weights::{Format, WeightsError};

/// Longest pickle read; the tensors' values lie outside it.
const MAX_LENGTH: usize = 64 << 20;
/// Most values, containers and memo entries together. Each may take one byte of the pickle but
/// some tens of bytes here.
const MAX_VALUES: usize = 8_000_000;
/// Most containers and tensors.
const MAX_NODES: usize = 1_000_000;

/// Whether the pickle may refer to storages beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::weights) enum Storages {
    /// A pickle that stands for itself.
    None,
    /// The pickle of a PyTorch file.
    Torch,
}

/// Reads the pickle that `bytes` begins with. `extra` are names to allow beside the list.
pub(in crate::weights) fn unpickle(
    bytes: &[u8],
    format: Format,
    storages: Storages,
    extra: &[String],
) -> Result<Pickle> {
    let mut machine = Machine {
        bytes: &bytes[..bytes.len().min(MAX_LENGTH)],
        at: 0,
        values: 0,
        format,
        storages,
        extra,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        arena: Vec::new(),
    };
    let root = machine.run()?;
    Ok(Pickle {
        arena: machine.arena,
        root,
        len: machine.at,
    })
}

pub(super) struct Machine<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) values: usize,
    format: Format,
    pub(super) storages: Storages,
    pub(super) extra: &'a [String],
    pub(super) stack: Vec<Value>,
    /// Stack heights at the open marks.
    pub(super) marks: Vec<usize>,
    pub(super) memo: HashMap<usize, Value>,
    pub(super) arena: Vec<Node>,
}

pub(super) type Result<T> = std::result::Result<T, WeightsError>;

impl Machine<'_> {
    fn run(&mut self) -> Result<Value> {
        loop {
            if self.values > MAX_VALUES || self.arena.len() > MAX_NODES {
                return Err(self.error("more values than a checkpoint has"));
            }
            let op = self.byte()?;
            match op {
                b'.' => return self.pop(),
                0x80 => {
                    let version = self.byte()?;
                    if version > 5 {
                        return Err(self.error(format!("pickle protocol {version}")));
                    }
                }
                0x95 => _ = self.take(8)?,
                _ => self.step(op)?,
            }
        }
    }

    fn step(&mut self, op: u8) -> Result<()> {
        match op {
            // Numbers and other plain values.
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'J' => {
                let number = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(number.into()));
            }
            b'K' => {
                let number = self.byte()?;
                self.push(Value::Int(number.into()));
            }
            b'M' => {
                let number = u16::from_le_bytes(self.array()?);
                self.push(Value::Int(number.into()));
            }
            b'G' => {
                self.take(8)?;
                self.push(Value::Opaque);
            }
            0x8a => {
                let len = self.byte()?.into();
                self.long(len)?;
            }
            0x8b => {
                let len = self.length32()?;
                self.long(len)?;
            }
            b'I' | b'L' => {
                let line = self.line()?;
                let value = match line.trim_end_matches('L') {
                    "00" if op == b'I' => Value::Bool(false),
                    "01" if op == b'I' => Value::Bool(true),
                    digits => digits.parse().map_or(Value::Opaque, Value::Int),
                };
                self.push(value);
            }
            b'F' => {
                self.line()?;
                self.push(Value::Opaque);
            }
            // Text and bytes.
            b'X' => {
                let len = self.length32()?;
                self.text(len)?;
            }
            0x8c => {
                let len = self.byte()?.into();
                self.text(len)?;
            }
            0x8d => {
                let len = self.length64()?;
                self.text(len)?;
            }
            b'T' => {
                let len = self.length32()?;
                self.text(len)?;
            }
            b'U' => {
                let len = self.byte()?.into();
                self.text(len)?;
            }
            b'V' | b'S' => {
                let line = self.line()?;
                let text = if op == b'S' {
                    line.trim_matches(['\'', '"'])
                } else {
                    line
                };
                self.push(Value::Text(text.into()));
            }
            b'B' => {
                let len = self.length32()?;
                self.opaque(len)?;
            }
            b'C' => {
                let len = self.byte()?.into();
                self.opaque(len)?;
            }
            0x8e | 0x96 => {
                let len = self.length64()?;
                self.opaque(len)?;
            }
            // Containers.
            b'(' => {
                self.values += 1;
                self.marks.push(self.stack.len());
            }
            b')' => self.node(Node::Tuple(Vec::new())),
            b']' | 0x8f => self.node(Node::List(Vec::new())),
            b'}' => self.node(Node::Dict(Vec::new())),
            b't' => {
                let items = self.pop_mark()?;
                self.node(Node::Tuple(items));
            }
            b'l' | 0x91 => {
                let items = self.pop_mark()?;
                self.node(Node::List(items));
            }
            b'd' => {
                let items = self.pop_mark()?;
                let pairs = self.pairs(items)?;
                self.node(Node::Dict(pairs));
            }
            0x85..=0x87 => {
                let len = usize::from(op - 0x84);
                let start = self.above_mark(len)?;
                let items = self.stack.split_off(start);
                self.node(Node::Tuple(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.append(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set(items)?;
            }
            // The stack and the memo.
            b'0' => {
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'1' => _ = self.pop_mark()?,
            b'2' => {
                let top = self.top()?.clone();
                self.push(top);
            }
            b'q' => {
                let index = self.byte()?.into();
                self.remember(index)?;
            }
            b'r' => {
                let index = self.length32()?;
                self.remember(index)?;
            }
            b'p' => {
                let index = self.index_line()?;
                self.remember(index)?;
            }
            0x94 => self.remember(self.memo.len())?,
            b'h' => {
                let index = self.byte()?.into();
                self.recall(index)?;
            }
            b'j' => {
                let index = self.length32()?;
                self.recall(index)?;
            }
            b'g' => {
                let index = self.index_line()?;
                self.recall(index)?;
            }
            // Names and calls.
            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                self.global(module, name)?;
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                match (&module, &name) {
                    (Value::Text(module), Value::Text(name)) => self.global(module, name)?,
                    _ => return Err(self.error("a global whose name is not text")),
                }
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(&id)?;
                self.node(storage);
            }
            b'R' => {
                let args = self.pop()?;
                let callable = self.pop()?;
                let result = self.call(&callable, &args)?;
                self.push(result);
            }
            0x81 => {
                let args = self.pop()?;
                let class = self.pop()?;
                let result = self.call(&class, &args)?;
                self.push(result);
            }
            0x92 => {
                let _keywords = self.pop()?;
                let args = self.pop()?;
                let class = self.pop()?;
                let result = self.call(&class, &args)?;
                self.push(result);
            }
            // State of an object: a dict keeps its items, others are not interpreted.
            b'b' => _ = self.pop()?,
            other => return Err(self.error(format!("pickle opcode 0x{other:02x}"))),
        }
        Ok(())
    }

    pub(super) fn error(&self, message: impl Into<String>) -> WeightsError {
        let message = message.into();
        WeightsError::malformed(
            self.format,
            format!("{message} at byte {} of the pickle", self.at),
        )
    }
}
