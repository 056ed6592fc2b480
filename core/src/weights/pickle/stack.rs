//! The machine's input, stack, memo and names.

use super::globals::resolve;
use super::machine::{Machine, Result};
use super::value::{Node, Value};
use crate::weights::WeightsError;

impl<'a> Machine<'a> {
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.get(..len) else {
            return Err(self.error(format!("{len} bytes wanted, {} left", rest.len())));
        };
        self.at += len;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn length32(&mut self) -> Result<usize> {
        let len = u32::from_le_bytes(self.array()?);
        usize::try_from(len).map_err(|_| self.error(format!("a length of {len}")))
    }

    pub(super) fn length64(&mut self) -> Result<usize> {
        let len = u64::from_le_bytes(self.array()?);
        usize::try_from(len).map_err(|_| self.error(format!("a length of {len}")))
    }

    pub(super) fn line(&mut self) -> Result<&'a str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(len) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(self.error("a line without end"));
        };
        self.at += len + 1;
        let text = std::str::from_utf8(&rest[..len]);
        text.map_err(|_| self.error("a line that is not text"))
    }

    pub(super) fn index_line(&mut self) -> Result<usize> {
        let line = self.line()?;
        line.parse()
            .map_err(|_| self.error(format!("a memo index `{line}`")))
    }

    pub(super) fn text(&mut self, len: usize) -> Result<()> {
        let bytes = self.take(len)?;
        self.push(
            std::str::from_utf8(bytes).map_or(Value::Opaque, |text| Value::Text(text.into())),
        );
        Ok(())
    }

    pub(super) fn opaque(&mut self, len: usize) -> Result<()> {
        self.take(len)?;
        self.push(Value::Opaque);
        Ok(())
    }

    /// A little-endian integer in two's complement of any length.
    pub(super) fn long(&mut self, len: usize) -> Result<()> {
        let bytes = self.take(len)?;
        let fill = if bytes.last().is_some_and(|&byte| byte >= 0x80) {
            0xff
        } else {
            0
        };
        let mut array = [fill; 8];
        self.push(match array.get_mut(..len) {
            Some(low) => {
                low.copy_from_slice(bytes);
                Value::Int(i64::from_le_bytes(array))
            }
            None => Value::Opaque,
        });
        Ok(())
    }

    // The stack.

    pub(super) fn push(&mut self, value: Value) {
        self.values += 1;
        self.stack.push(value);
    }

    pub(super) fn node(&mut self, node: Node) {
        self.push(Value::Node(self.arena.len()));
        self.arena.push(node);
    }

    /// The index of the `len`th value from the top, which must lie above the last mark.
    pub(super) fn above_mark(&self, len: usize) -> Result<usize> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack
            .len()
            .checked_sub(len)
            .filter(|&start| start >= floor)
            .ok_or_else(|| self.error("too few values on the stack"))
    }

    pub(super) fn pop(&mut self) -> Result<Value> {
        self.above_mark(1)?;
        self.stack.pop().ok_or_else(|| self.error("an empty stack"))
    }

    pub(super) fn top(&self) -> Result<&Value> {
        let index = self.above_mark(1)?;
        Ok(&self.stack[index])
    }

    pub(super) fn pop_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self
            .marks
            .pop()
            .ok_or_else(|| self.error("no mark on the stack"))?;
        Ok(self.stack.split_off(mark))
    }

    pub(super) fn pairs(&self, items: Vec<Value>) -> Result<Vec<(Value, Value)>> {
        if !items.len().is_multiple_of(2) {
            return Err(self.error("a key without value"));
        }
        let mut pairs = Vec::with_capacity(items.len() / 2);
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            pairs.push((key, value));
        }
        Ok(pairs)
    }

    pub(super) fn append(&mut self, items: Vec<Value>) -> Result<()> {
        match *self.top()? {
            Value::Opaque => return Ok(()),
            Value::Node(id) => {
                if let Some(Node::List(list)) = self.arena.get_mut(id) {
                    list.extend(items);
                    return Ok(());
                }
            }
            _ => {}
        }
        Err(self.error("items for something that is not a list"))
    }

    pub(super) fn set(&mut self, items: Vec<Value>) -> Result<()> {
        let pairs = self.pairs(items)?;
        match *self.top()? {
            Value::Opaque => return Ok(()),
            Value::Node(id) => {
                if let Some(Node::Dict(dict)) = self.arena.get_mut(id) {
                    dict.extend(pairs);
                    return Ok(());
                }
            }
            _ => {}
        }
        Err(self.error("items for something that is not a dict"))
    }

    // The memo.

    pub(super) fn remember(&mut self, index: usize) -> Result<()> {
        let top = self.top()?.clone();
        self.values += 1;
        self.memo.insert(index, top);
        Ok(())
    }

    pub(super) fn recall(&mut self, index: usize) -> Result<()> {
        let value = self.memo.get(&index).cloned();
        let value = value.ok_or_else(|| self.error(format!("no memo {index}")))?;
        self.push(value);
        Ok(())
    }

    pub(super) fn global(&mut self, module: &str, name: &str) -> Result<()> {
        let global =
            resolve(module, name, self.extra).ok_or_else(|| WeightsError::ForbiddenGlobal {
                global: format!("{module}.{name}"),
            })?;
        self.push(Value::Global(global));
        Ok(())
    }
}
