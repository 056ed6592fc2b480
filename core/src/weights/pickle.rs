//! Python pickles, read as data: a stack machine that builds plain values and calls nothing.
//!
//! The opcodes are those of protocols 0 to 5 (CPython's `pickletools`). A global outside the
//! allow-list of [`globals`] ends the reading, as importing it is what runs code in Python. The
//! pickle's objects live in an arena and are referred to by index, so that its memo costs nothing
//! and shared or cyclic objects stay what they are.

mod call;
mod globals;
mod machine;
mod stack;
mod tensors;
mod value;

pub(super) use self::machine::{Storages, unpickle};
pub(super) use self::tensors::named_tensors;
pub(super) use self::value::{Node, Pickle, Storage, Strided, Value};
