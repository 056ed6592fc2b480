//! How long memory of the processor's kernels is kept.

/// While one of these lives, memory of large outputs on the processor is kept when they are
/// dropped, for later outputs of about the same size. See [`keep_memory`].
#[derive(Debug)]
#[must_use = "memory is kept as long as this lives"]
pub struct KeptMemory(());

/// Keeps memory of large outputs (256 KiB and more) until what is returned is dropped: the system
/// zeroes every page of fresh memory, which takes as long as many a kernel.
///
/// Outputs and what is kept together stay below five quarters of the most that outputs alone have
/// taken, and below `limit` bytes unless outputs alone take more; of several limits the least
/// holds. Results do not change. On other devices than Flex it does nothing.
pub fn keep_memory(limit: Option<u64>) -> KeptMemory {
    #[cfg(feature = "flex")]
    super::cpu::memory::hold(limit);
    #[cfg(not(feature = "flex"))]
    let _ = limit;
    KeptMemory(())
}

impl Drop for KeptMemory {
    fn drop(&mut self) {
        #[cfg(feature = "flex")]
        super::cpu::memory::release();
    }
}
