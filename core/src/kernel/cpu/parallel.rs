//! Running independent tasks on all cores, and the memory each thread works in.

use std::cell::Cell;
use std::marker::PhantomData;

use super::memory;

/// Calls `task` with `0..count`, on several threads where the build has them.
///
/// Tasks must not depend on each other or on who runs them: that makes every result independent of
/// the number of threads.
pub(crate) fn for_each(count: usize, task: impl Fn(usize) + Send + Sync) {
    #[cfg(feature = "rayon")]
    {
        use rayon::prelude::*;
        if count > 1 {
            (0..count).into_par_iter().with_max_len(1).for_each(task);
            return;
        }
    }
    (0..count).for_each(task);
}

thread_local! {
    static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Lends `len` floats of arbitrary content to `body`. The memory is kept for the thread's next
/// task, since fresh pages cost more than the copy into them.
pub(crate) fn with_scratch<R>(len: usize, body: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut memory = SCRATCH.take();
    if memory.len() < len {
        memory.resize(len, 0.0);
    }
    let result = body(&mut memory[..len]);
    SCRATCH.set(memory);
    result
}

/// A mutable slice that several tasks write, each its own elements.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    start: *mut f32,
    len: usize,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: elements are only reached through `row`, whose callers promise disjointness.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

/// `len` floats that `fill` writes, without the time to zero them first.
///
/// # Safety
/// `fill` writes every element before anything reads it.
pub(crate) unsafe fn filled(len: usize, fill: impl FnOnce(Shared<'_>)) -> Vec<f32> {
    let mut memory = memory::empty(len);
    let start = memory.spare_capacity_mut().as_mut_ptr().cast();
    fill(Shared {
        start,
        len,
        life: PhantomData,
    });
    // SAFETY: the capacity is there, and by the caller's promise every element is written.
    unsafe { memory.set_len(len) };
    memory
}

impl<'a> Shared<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            life: PhantomData,
        }
    }

    /// `len` elements from `start`.
    ///
    /// # Safety
    /// No two live rows overlap, whichever thread made them.
    #[allow(clippy::mut_from_ref, reason = "disjointness is the caller's promise")]
    pub(crate) unsafe fn row(&self, start: usize, len: usize) -> &mut [f32] {
        assert!(
            start.checked_add(len).is_some_and(|end| end <= self.len),
            "row {start}+{len} exceeds {} elements",
            self.len
        );
        // SAFETY: in bounds by the assertion; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }

    /// Where `len` elements from `start` lie.
    pub(crate) fn target(&self, start: usize, len: usize) -> *mut f32 {
        assert!(
            start.checked_add(len).is_some_and(|end| end <= self.len),
            "{len} elements from {start} exceed {}",
            self.len
        );
        // SAFETY: in bounds by the assertion.
        unsafe { self.start.add(start) }
    }

    /// Writes `values` at `start`, `start + step` and so on.
    ///
    /// # Safety
    /// Nobody else reads or writes these elements meanwhile.
    pub(crate) unsafe fn write(&self, start: usize, step: usize, values: &[f32]) {
        let last = values.len().saturating_sub(1).checked_mul(step);
        assert!(
            last.and_then(|last| last.checked_add(start))
                .is_some_and(|last| last < self.len),
            "{} values from {start} in steps of {step} exceed {} elements",
            values.len(),
            self.len
        );
        // SAFETY: in bounds by the assertion; exclusive by the caller's promise.
        unsafe {
            let target = self.start.add(start);
            if step == 1 {
                std::ptr::copy_nonoverlapping(values.as_ptr(), target, values.len());
                return;
            }
            for (index, value) in values.iter().enumerate() {
                *target.add(index * step) = *value;
            }
        }
    }
}
