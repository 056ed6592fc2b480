//! The allow-list: which Python names a pickle may mention, and what they become.

use burn::tensor::{BoolStore, DType};

/// What a name on the list stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::weights) enum Global {
    /// A dict class; called, it makes a dict of its argument.
    Dict,
    /// `_rebuild_tensor`: storage, offset, size, stride.
    RebuildTensor,
    /// `_rebuild_tensor_v2`: the same, with gradients and hooks.
    RebuildTensorV2,
    /// `_rebuild_tensor_v3`: the same, with the element type.
    RebuildTensorV3,
    /// `_rebuild_parameter`: its first argument.
    RebuildParameter,
    /// `_rebuild_from_type_v2`: function, type, arguments, state.
    RebuildFromType,
    /// A storage class of one element type.
    Storage(DType),
    /// A storage counted in bytes.
    UntypedStorage,
    /// A `torch.dtype`.
    Type(DType),
    /// A tensor or storage class of a type that is not read (complex, quantised, 8-bit floats).
    UnsupportedType,
    /// A harmless type whose objects are not interpreted.
    Inert,
}

/// Finds a name on the list, or among the caller's `extra` names (`module.name`).
pub(super) fn resolve(module: &str, name: &str, extra: &[String]) -> Option<Global> {
    known(module, name).or_else(|| {
        let is_it = |full: &String| full.strip_prefix(module) == Some(&format!(".{name}"));
        extra.iter().any(is_it).then_some(Global::Inert)
    })
}

fn known(module: &str, name: &str) -> Option<Global> {
    match module {
        "collections" => match name {
            "OrderedDict" | "defaultdict" | "Counter" => Some(Global::Dict),
            "deque" => Some(Global::Inert),
            _ => None,
        },
        "builtins" | "__builtin__" => builtin(name),
        "torch._utils" => match name {
            "_rebuild_tensor" => Some(Global::RebuildTensor),
            "_rebuild_tensor_v2" => Some(Global::RebuildTensorV2),
            "_rebuild_tensor_v3" => Some(Global::RebuildTensorV3),
            "_rebuild_parameter" | "_rebuild_parameter_with_state" => {
                Some(Global::RebuildParameter)
            }
            _ => None,
        },
        "torch._tensor" if name == "_rebuild_from_type_v2" => Some(Global::RebuildFromType),
        "torch" => torch(name),
        "torch.storage" => match name {
            "UntypedStorage" | "_UntypedStorage" => Some(Global::UntypedStorage),
            "TypedStorage" | "_TypedStorage" => Some(Global::Inert),
            _ => None,
        },
        "torch.nn.parameter" => matches!(name, "Parameter" | "Buffer").then_some(Global::Inert),
        _ => inert(module, name).then_some(Global::Inert),
    }
}

fn builtin(name: &str) -> Option<Global> {
    match name {
        "dict" => Some(Global::Dict),
        "bool" | "bytearray" | "bytes" | "complex" | "float" | "frozenset" | "int" | "list"
        | "object" | "range" | "set" | "slice" | "str" | "tuple" | "unicode" | "long" => {
            Some(Global::Inert)
        }
        _ => None,
    }
}

fn torch(name: &str) -> Option<Global> {
    let global = match name {
        "FloatStorage" => Global::Storage(DType::F32),
        "DoubleStorage" => Global::Storage(DType::F64),
        "HalfStorage" => Global::Storage(DType::F16),
        "BFloat16Storage" => Global::Storage(DType::BF16),
        "LongStorage" => Global::Storage(DType::I64),
        "IntStorage" => Global::Storage(DType::I32),
        "ShortStorage" => Global::Storage(DType::I16),
        "CharStorage" => Global::Storage(DType::I8),
        "ByteStorage" => Global::Storage(DType::U8),
        "BoolStorage" => Global::Storage(DType::Bool(BoolStore::Native)),
        "UntypedStorage" => Global::UntypedStorage,
        "float32" | "float" => Global::Type(DType::F32),
        "float64" | "double" => Global::Type(DType::F64),
        "float16" | "half" => Global::Type(DType::F16),
        "bfloat16" => Global::Type(DType::BF16),
        "int64" | "long" => Global::Type(DType::I64),
        "int32" | "int" => Global::Type(DType::I32),
        "int16" | "short" => Global::Type(DType::I16),
        "int8" => Global::Type(DType::I8),
        "uint64" => Global::Type(DType::U64),
        "uint32" => Global::Type(DType::U32),
        "uint16" => Global::Type(DType::U16),
        "uint8" => Global::Type(DType::U8),
        "bool" => Global::Type(DType::Bool(BoolStore::Native)),
        "ComplexFloatStorage"
        | "ComplexDoubleStorage"
        | "QInt8Storage"
        | "QUInt8Storage"
        | "QInt32Storage"
        | "complex32"
        | "complex64"
        | "complex128"
        | "qint8"
        | "quint8"
        | "qint32"
        | "float8_e4m3fn"
        | "float8_e5m2"
        | "float8_e4m3fnuz"
        | "float8_e5m2fnuz" => Global::UnsupportedType,
        "Size" | "device" | "Tensor" | "Generator" | "strided" | "contiguous_format" => {
            Global::Inert
        }
        _ => return None,
    };
    Some(global)
}

/// Types that checkpoints carry beside the weights: settings, paths, numbers, Lightning's
/// bookkeeping. None of them is interpreted.
fn inert(module: &str, name: &str) -> bool {
    match module {
        "_codecs" => name == "encode",
        "argparse" => name == "Namespace",
        "copy_reg" | "copyreg" => name == "_reconstructor",
        "datetime" => matches!(
            name,
            "date" | "datetime" | "time" | "timedelta" | "timezone"
        ),
        "decimal" => name == "Decimal",
        "fractions" => name == "Fraction",
        "pathlib" | "pathlib._local" => matches!(
            name,
            "Path" | "PosixPath" | "PurePath" | "PurePosixPath" | "PureWindowsPath" | "WindowsPath"
        ),
        "uuid" => name == "UUID",
        "numpy" => {
            matches!(name, "dtype" | "ndarray" | "bool_")
                || name.starts_with("float")
                || name.starts_with("int")
                || name.starts_with("uint")
        }
        "numpy.core.multiarray" | "numpy._core.multiarray" => {
            matches!(name, "scalar" | "_reconstruct")
        }
        "numpy.dtypes" => name.ends_with("DType"),
        "lightning.fabric.utilities.data" | "lightning_fabric.utilities.data" => {
            name == "AttributeDict"
        }
        "lightning.pytorch.utilities.parsing" | "pytorch_lightning.utilities.parsing" => {
            name == "AttributeDict"
        }
        "lightning.pytorch.callbacks.model_checkpoint"
        | "pytorch_lightning.callbacks.model_checkpoint" => name == "ModelCheckpoint",
        "lightning.pytorch.callbacks.early_stopping"
        | "pytorch_lightning.callbacks.early_stopping" => name == "EarlyStopping",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_code_is_not_on_the_list() {
        for (module, name) in [
            ("os", "system"),
            ("posix", "system"),
            ("nt", "system"),
            ("subprocess", "Popen"),
            ("builtins", "eval"),
            ("builtins", "exec"),
            ("builtins", "getattr"),
            ("builtins", "__import__"),
            ("__builtin__", "apply"),
            ("torch", "load"),
            ("torch.hub", "load"),
            ("torch.serialization", "load"),
            ("collections", "namedtuple"),
            ("numpy", "load"),
            ("numpy", "fromfile"),
            ("numpy.testing._private.utils", "runstring"),
            ("operator", "attrgetter"),
            ("functools", "partial"),
        ] {
            assert_eq!(resolve(module, name, &[]), None, "{module}.{name}");
        }
    }

    #[test]
    fn the_caller_may_add_names() {
        let extra = ["omegaconf.dictconfig.DictConfig".to_owned()];
        assert_eq!(
            resolve("omegaconf.dictconfig", "DictConfig", &extra),
            Some(Global::Inert)
        );
        assert_eq!(resolve("omegaconf.dictconfig", "DictConfi", &extra), None);
        assert_eq!(resolve("omegaconf", "DictConfig", &extra), None);
        // Adding a name on the list does not change what it stands for.
        let extra = ["collections.OrderedDict".to_owned()];
        assert_eq!(
            resolve("collections", "OrderedDict", &extra),
            Some(Global::Dict)
        );
    }
}
