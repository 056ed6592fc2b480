//! What calls in a pickle become: tensors, storages, dicts. Nothing is called.

use burn::tensor::DType;

use super::globals::Global;
use super::machine::{Machine, Result, Storages};
use super::value::{Node, Storage, Strided, Value};

/// Most dimensions of a tensor that burn has.
const MAX_RANK: usize = 8;

impl Machine<'_> {
    /// The result of `callable(*args)`.
    pub(super) fn call(&mut self, callable: &Value, args: &Value) -> Result<Value> {
        let global = match callable {
            Value::Global(global) => *global,
            Value::Opaque => return Ok(Value::Opaque),
            _ => return Err(self.error("a call of something that is not a name")),
        };
        // No call on the list looks at more arguments than these.
        let args: Vec<Value> = self
            .items(args)
            .unwrap_or_default()
            .iter()
            .take(8)
            .cloned()
            .collect();
        let node = match global {
            Global::Dict => Node::Dict(self.dict_items(&args)?),
            Global::RebuildTensor | Global::RebuildTensorV2 => self.tensor(&args, None)?,
            Global::RebuildTensorV3 => {
                let dtype = args.get(6).cloned().unwrap_or(Value::None);
                self.tensor(&args, Some(&dtype))?
            }
            Global::RebuildParameter => {
                let data = args.first().cloned();
                return data.ok_or_else(|| self.error("a parameter without data"));
            }
            Global::RebuildFromType => {
                let (Some(function), Some(inner)) = (args.first(), args.get(2)) else {
                    return Err(self.error("a tensor subclass without data"));
                };
                // Depth is bounded: each level is an argument of the one before.
                return match function {
                    Value::Global(inner_global) if *inner_global != Global::RebuildFromType => {
                        self.call(function, inner)
                    }
                    _ => Err(self.error("a tensor subclass of a tensor subclass")),
                };
            }
            Global::Storage(_)
            | Global::UntypedStorage
            | Global::Type(_)
            | Global::UnsupportedType
            | Global::Inert => return Ok(Value::Opaque),
        };
        if let Node::Dict(pairs) = &node {
            self.values = self.values.saturating_add(2 * pairs.len());
        }
        self.arena.push(node);
        Ok(Value::Node(self.arena.len() - 1))
    }

    /// The items of a tuple or list.
    fn items(&self, value: &Value) -> Option<&[Value]> {
        match value {
            Value::Node(id) => match self.arena.get(*id) {
                Some(Node::Tuple(items) | Node::List(items)) => Some(items),
                _ => None,
            },
            _ => None,
        }
    }

    /// `dict(d)`, `OrderedDict([(k, v), ..])`, `defaultdict(factory, d)`.
    fn dict_items(&self, args: &[Value]) -> Result<Vec<(Value, Value)>> {
        for arg in args {
            if let Value::Node(id) = arg
                && let Some(Node::Dict(pairs)) = self.arena.get(*id)
            {
                return Ok(pairs.clone());
            }
            if let Some(items) = self.items(arg) {
                let pair = |item: &Value| match self.items(item) {
                    Some([key, value]) => Ok((key.clone(), value.clone())),
                    _ => Err(self.error("a dict of something that is not pairs")),
                };
                return items.iter().map(pair).collect();
            }
        }
        Ok(Vec::new())
    }

    /// `_rebuild_tensor*(storage, offset, size, stride, ..)`.
    fn tensor(&self, args: &[Value], dtype: Option<&Value>) -> Result<Node> {
        let [storage, offset, size, stride, ..] = args else {
            return Err(self.error("a tensor without storage, offset, size and stride"));
        };
        let storage = match storage {
            Value::Node(id) => match self.arena.get(*id) {
                Some(Node::Storage(storage)) => storage.clone(),
                Some(Node::Unsupported(reason)) => return Ok(Node::Unsupported(reason.clone())),
                _ => return Err(self.error("a tensor whose storage is not one")),
            },
            _ => return Err(self.error("a tensor whose storage is not one")),
        };
        let dtype = match dtype {
            None => storage.dtype,
            Some(Value::Global(global)) => match *global {
                Global::Type(dtype) => Some(dtype),
                _ => None,
            },
            Some(_) => None,
        };
        let Some(dtype) = dtype else {
            return Ok(Node::Unsupported("its element type is not read".to_owned()));
        };
        if storage.dtype.is_some_and(|stored| stored != dtype) {
            return Err(self.error("a tensor of another type than its storage"));
        }
        Ok(Node::Tensor(Strided {
            storage,
            dtype,
            offset: self.size(offset, "a tensor's offset")?,
            shape: self.sizes(size, "a tensor's shape")?,
            strides: self.sizes(stride, "a tensor's stride")?,
        }))
    }

    fn size(&self, value: &Value, what: &str) -> Result<usize> {
        match value {
            Value::Int(number) => usize::try_from(*number).ok(),
            _ => None,
        }
        .ok_or_else(|| self.error(format!("{what} that is not a size")))
    }

    fn sizes(&self, value: &Value, what: &str) -> Result<Vec<usize>> {
        let items = self
            .items(value)
            .ok_or_else(|| self.error(format!("{what} that is not a tuple")))?;
        if items.len() > MAX_RANK {
            return Err(self.error(format!("{what} of rank {}", items.len())));
        }
        items.iter().map(|item| self.size(item, what)).collect()
    }

    /// `('storage', class, key, location, count)`, with `None` or nothing after it.
    pub(super) fn storage(&self, id: &Value) -> Result<Node> {
        if self.storages == Storages::None {
            return Err(self.error("a tensor, whose values a pickle alone cannot hold,"));
        }
        let Some([Value::Text(tag), class, key, _location, count, view @ ..]) = self.items(id)
        else {
            return Err(self.error("a reference that is not a storage"));
        };
        if &**tag != "storage" {
            return Err(self.error(format!("a reference to a `{tag}`")));
        }
        if view.iter().any(|value| !matches!(value, Value::None)) {
            return Err(self.error("a view of a storage (PyTorch before 0.4)"));
        }
        let dtype: Option<DType> = match class {
            Value::Global(global) => match *global {
                Global::Storage(dtype) => Some(dtype),
                Global::UntypedStorage => None,
                _ => return Ok(Node::Unsupported("its storage type is not read".to_owned())),
            },
            _ => return Err(self.error("a storage without class")),
        };
        let key = match key {
            Value::Text(key) => key.clone(),
            Value::Int(key) => key.to_string().into(),
            _ => return Err(self.error("a storage without key")),
        };
        let len = self.size(count, "a storage's length")?;
        Ok(Node::Storage(Storage { key, dtype, len }))
    }
}
