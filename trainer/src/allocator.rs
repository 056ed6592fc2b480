//! The allocator of programs that run networks.
//!
//! Networks ask for many MiB again and again, in sizes that differ; the system's allocator often
//! returns them to the system at once, which then zeroes each page anew.

use libmimalloc_sys::{mi_option_set_default, mi_option_t};

pub use mimalloc::MiMalloc as Allocator;

/// `mi_option_purge_delay` of `mimalloc.h`, which the bindings do not name.
const PURGE_DELAY: mi_option_t = 15;
/// Milliseconds that freed memory is kept. The usual second lets a process hold a fifth more than
/// it uses, which a limit on its memory would have to leave.
const KEPT: std::ffi::c_long = 10;

/// Lets an [`Allocator`] return freed memory to the system soon, unless `MIMALLOC_PURGE_DELAY` is
/// set; to be called first in `main`.
pub fn keep_briefly() {
    // SAFETY: sets a number, and no other thread is there yet to read it.
    unsafe { mi_option_set_default(PURGE_DELAY, KEPT) };
}
