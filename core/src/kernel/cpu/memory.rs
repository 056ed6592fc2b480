//! Memory of large outputs on the processor, kept for the next ones of about the same size.
//!
//! The system zeroes each page of fresh memory, which takes longer than many a kernel that fills
//! it; a training step, or a window of an image, asks for the same sizes as the one before.

use std::collections::VecDeque;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::{Shape, TensorData};
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes, DType};

/// Least floats of a block that is kept: allocators keep smaller ones themselves.
const LEAST_FLOATS: usize = 64 * 1024;

/// Blocks that are kept and outputs together take at most five quarters of what outputs alone took:
/// sizes differ, and not all of them are used at once.
const SPARE: usize = 4;

/// A block may be longer than what is asked for by this part of it: layers that follow each other
/// differ little, and many sizes would leave holes in the system's memory.
const SLACK: usize = 8;

static KEPT: Mutex<Kept> = Mutex::new(Kept {
    holders: 0,
    blocks: VecDeque::new(),
    free: 0,
    used: 0,
    most: 0,
    limit: usize::MAX,
});

struct Kept {
    holders: usize,
    /// Empty vectors, the longest kept first.
    blocks: VecDeque<Vec<f32>>,
    /// Floats of the blocks.
    free: usize,
    /// Floats of every [`Lent`], and their most while blocks were kept.
    used: usize,
    most: usize,
    /// Floats that blocks and outputs may take together.
    limit: usize,
}

impl Kept {
    fn lock() -> MutexGuard<'static, Self> {
        // No panic leaves it half changed.
        KEPT.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block of about this size, or else blocks to be dropped to make room for it.
    fn take(&mut self, len: usize) -> Result<Vec<f32>, Vec<Vec<f32>>> {
        // Of equal ones the last, which is in the cache.
        let sizes = self.blocks.iter().map(Vec::capacity).enumerate().rev();
        let suffices = sizes.filter(|(_, size)| (len..=len + len / SLACK).contains(size));
        let best = suffices.min_by_key(|&(_, size)| size);
        if let Some(block) = best.and_then(|(at, _)| self.blocks.remove(at)) {
            self.free -= block.capacity();
            return Ok(block);
        }
        self.most = self.most.max(self.used + len);
        let room = (self.most + self.most / SPARE).min(self.limit);
        let mut dropped = Vec::new();
        while self.used + len + self.free > room {
            let Some(oldest) = self.blocks.pop_front() else {
                break;
            };
            self.free -= oldest.capacity();
            dropped.push(oldest);
        }
        Err(dropped)
    }
}

/// Blocks are kept until as many [`release`]s, within `limit` bytes.
pub(in crate::kernel) fn hold(limit: Option<u64>) {
    let mut kept = Kept::lock();
    if kept.holders == 0 {
        kept.most = kept.used;
        kept.limit = usize::MAX;
    }
    let floats = limit.map(|bytes| bytes / size_of::<f32>() as u64);
    let floats = floats.and_then(|floats| usize::try_from(floats).ok());
    kept.limit = kept.limit.min(floats.unwrap_or(usize::MAX));
    kept.holders += 1;
}

pub(in crate::kernel) fn release() {
    let mut kept = Kept::lock();
    kept.holders -= 1;
    if kept.holders == 0 {
        let blocks = std::mem::take(&mut kept.blocks);
        kept.free = 0;
        // Unmapping takes a while.
        drop(kept);
        drop(blocks);
    }
}

/// An empty vector with room for `len` floats.
pub(crate) fn empty(len: usize) -> Vec<f32> {
    if len >= LEAST_FLOATS {
        let taken = Kept::lock().take(len);
        if let Ok(block) = taken {
            return block;
        }
    }
    Vec::with_capacity(len)
}

/// `len` zeros.
pub(crate) fn zeros(len: usize) -> Vec<f32> {
    // What the system gives is zero already.
    if len < LEAST_FLOATS || Kept::lock().holders == 0 {
        return vec![0.0; len];
    }
    let mut values = empty(len);
    values.resize(len, 0.0);
    values
}

/// Values whose memory is kept when they are dropped.
pub(crate) struct Lent(Vec<f32>);

impl Lent {
    pub(crate) fn new(values: Vec<f32>) -> Self {
        if values.capacity() >= LEAST_FLOATS {
            let mut kept = Kept::lock();
            kept.used += values.capacity();
            kept.most = kept.most.max(kept.used);
        }
        Self(values)
    }

    /// Takes the values out; an empty vector stays.
    fn take(&mut self) -> Vec<f32> {
        let values = std::mem::take(&mut self.0);
        if values.capacity() >= LEAST_FLOATS {
            Kept::lock().used -= values.capacity();
        }
        values
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut values = self.take();
        if values.capacity() < LEAST_FLOATS {
            return;
        }
        values.clear();
        let mut kept = Kept::lock();
        if kept.holders > 0 {
            kept.free += values.capacity();
            kept.blocks.push_back(values);
        }
    }
}

impl Deref for Lent {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

/// The data of a tensor, whose memory is kept when it is dropped.
pub(in crate::kernel) fn data(values: Vec<f32>, shape: impl Into<Shape>) -> TensorData {
    if values.capacity() < LEAST_FLOATS {
        return TensorData::new(values, shape);
    }
    let bytes = size_of_val(values.as_slice());
    // SAFETY: all elements of a vector are initialised.
    let bytes = unsafe { Bytes::from_controller(Box::new(Lent::new(values)), bytes) };
    TensorData::from_bytes(bytes, shape, DType::F32)
}

impl AllocationController for Lent {
    fn alloc_align(&self) -> usize {
        align_of::<f32>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Native
    }

    unsafe fn memory_mut(
        &mut self,
        _: AccessPolicy,
    ) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let len = self.capacity();
        // SAFETY: the vector's whole memory, which nothing else reaches meanwhile.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), len) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        // SAFETY: as above, to read.
        Ok(unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.capacity()) })
    }

    fn capacity(&self) -> usize {
        self.0.capacity() * size_of::<f32>()
    }

    /// The vector's memory is the global allocator's, with the alignment and the size above.
    fn try_detach(&mut self) -> Option<NonNull<u8>> {
        let values = ManuallyDrop::new(self.take());
        NonNull::new(values.as_ptr().cast_mut().cast())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = LEAST_FLOATS + 12_345;

    /// Sizes of the blocks, of those that this test makes.
    fn blocks() -> Vec<usize> {
        let kept = Kept::lock();
        let sizes = kept.blocks.iter().map(Vec::capacity);
        sizes.filter(|len| (LEN..LEN + 10).contains(len)).collect()
    }

    /// One test for all, since what is kept is the process'.
    #[test]
    fn memory_is_kept_while_somebody_holds_it() {
        let place = |values: &[f32]| values.as_ptr().addr();
        drop(data(zeros(LEN), [LEN]));
        assert!(blocks().is_empty());

        hold(None);
        hold(None);
        let mut first = data(zeros(LEN), [LEN]);
        let at = place(first.as_slice::<f32>().expect("floats"));
        first.as_mut_slice::<f32>().expect("floats").fill(1.0);
        drop(first);
        release();
        assert_eq!(blocks(), [LEN]);

        // Zeros are zeros, in the same memory.
        let second = zeros(LEN);
        assert_eq!(place(&second), at);
        assert!(second.iter().all(|&value| value == 0.0));
        assert!(blocks().is_empty());

        // The vector that a tensor is taken apart into is its owner's.
        let values: Vec<f32> = data(second, [LEN]).try_into_vec().expect("floats");
        assert_eq!((place(&values), values.len()), (at, LEN));
        assert!(blocks().is_empty());

        // Small ones are the allocator's.
        drop(Lent::new(values));
        drop(data(zeros(16), [16]));
        assert_eq!(blocks(), [LEN]);
        release();
        assert!(blocks().is_empty());
    }

    #[test]
    fn a_block_is_taken_that_is_a_little_longer() {
        let mut kept = Kept {
            holders: 1,
            blocks: [16, 15, 16].map(Vec::with_capacity).into(),
            free: 47,
            used: 0,
            most: 100,
            limit: usize::MAX,
        };
        let mut take = |len| kept.take(len).map(|block| block.capacity());
        assert_eq!([take(14), take(15)], [Ok(15), Ok(16)]);
        // More than an eighth.
        assert_eq!(take(14), Err(Vec::new()));
        assert_eq!(take(16), Ok(16));
        assert_eq!(kept.free, 0);
    }

    #[test]
    fn another_size_drops_the_oldest() {
        let mut kept = Kept {
            holders: 1,
            blocks: [5, 6, 7].map(Vec::with_capacity).into(),
            free: 18,
            used: 10,
            most: 30,
            limit: usize::MAX,
        };
        // 10 + 9 + 18 is within 30 and a quarter.
        assert_eq!(kept.take(9), Err(Vec::new()));
        assert_eq!(kept.take(6).map(|block| block.capacity()), Ok(6));
        // 10 + 16 + 12 is one too many.
        let dropped = kept.take(16).expect_err("a new size");
        assert_eq!(dropped.iter().map(Vec::capacity).collect::<Vec<_>>(), [5]);
        assert_eq!((kept.free, kept.most), (7, 30));
        // More than ever is used: a quarter more of it may be.
        kept.used = 40;
        assert_eq!(kept.take(8), Err(Vec::new()));
        assert_eq!((kept.free, kept.most), (7, 48));
        // Not beyond the limit.
        kept.limit = 54;
        let dropped = kept.take(8).expect_err("a new size");
        assert_eq!((dropped.len(), kept.free), (1, 0));
    }
}
