//! A slab of one channel with its zeros, laid out so that every tap is a constant offset.
//!
//! Rows of at least a vector are padded one by one, and a column of outputs runs along the height.
//! Shorter rows follow each other so that a plane is one run, and the column runs along the depth.
//! At stride 2, even and odd places lie apart, so that vectors are loaded whole.

use macerator::{Scalar, Simd, Vector, vload_unaligned, vstore_unaligned};

use super::source::Channel;
use super::stream::{MOST_LANES, rest};

/// Layout of the slabs of one convolution.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    kernel: usize,
    step: usize,
    low: [usize; 3],
    in_size: [usize; 3],
    out_size: [usize; 3],
    lanes: usize,
    /// Whether a plane is one run.
    flat: bool,
    /// From one row to the next, of those whose places have the same remainder.
    pitch: usize,
    /// From the places of one remainder to the next along the width, and along the height.
    phases: [usize; 2],
    /// From one plane to the next.
    plane: usize,
    /// Vectors of a run.
    pub(crate) runs: usize,
    /// Start of the last vector of a run of outputs.
    pub(crate) last: usize,
    /// Offsets of the taps along the other axes than the column's, the width's outermost.
    pub(crate) offsets: Vec<usize>,
}

/// A row of a copy: `low` zeros, `count` values, zeros.
struct Line<S: Simd> {
    low: usize,
    count: usize,
    /// Above zero in the lanes of the last vector of values.
    last: Vector<S, f32>,
}

impl<S: Simd> Line<S> {
    /// The last values of a row, fewer than a vector, and zeros; `left` floats are there from `from`.
    ///
    /// # Safety
    /// They are readable, and the row's last values are among them.
    #[inline(always)]
    unsafe fn tail(&self, from: *const f32, left: usize) -> Vector<S, f32> {
        let lanes = f32::lanes::<S>();
        let zero: Vector<S, f32> = 0.0_f32.splat();
        // SAFETY: the caller's promise.
        unsafe {
            if left >= lanes {
                self.last.gt(zero).select(vload_unaligned(from), zero)
            } else {
                rest(from, self.count % lanes)
            }
        }
    }

    /// Writes a row of at most a vector more than `pitch` floats from the start of `values`, which
    /// may go on. What lies beyond is written too: rows are written in order.
    #[inline(always)]
    fn store(&self, values: &[f32], to: &mut [f32], pitch: usize) {
        let Self { low, count, .. } = *self;
        let lanes = f32::lanes::<S>();
        let zero: Vector<S, f32> = 0.0_f32.splat();
        let whole = count / lanes * lanes;
        assert!(low <= lanes && values.len() >= count);
        assert!(to.len() >= pitch.max(low + count) + lanes);
        // SAFETY: by the assertions.
        unsafe {
            let (values_left, values) = (values.len(), values.as_ptr());
            let to = to.as_mut_ptr();
            vstore_unaligned(to, zero);
            for at in (0..whole).step_by(lanes) {
                let x: Vector<S, f32> = vload_unaligned(values.add(at));
                vstore_unaligned(to.add(low + at), x);
            }
            let mut at = low + whole;
            if whole < count {
                let x = self.tail(values.add(whole), values_left - whole);
                vstore_unaligned(to.add(at), x);
                at += lanes;
            }
            while at < pitch {
                vstore_unaligned(to.add(at), zero);
                at += lanes;
            }
        }
    }

    /// Writes all rows of `values`, `width` apart, one store each: what a vector has beyond a row are
    /// the zeros before the next, if `pitch` is no more than a vector.
    #[inline(always)]
    fn store_rows(&self, values: &[f32], width: usize, to: &mut [f32], pitch: usize) {
        let Self { low, count, .. } = *self;
        let lanes = f32::lanes::<S>();
        let rows = values.len() / width;
        assert!(low <= lanes && count < lanes && pitch <= lanes && count <= width && rows > 0);
        assert!(to.len() >= (rows - 1) * pitch + low + lanes);
        zeros::<S>(to, low);
        for row in 0..rows {
            let from = row * width;
            // SAFETY: by the assertions.
            unsafe {
                let x = self.tail(values.as_ptr().add(from), values.len() - from);
                vstore_unaligned(to.as_mut_ptr().add(row * pitch + low), x);
            }
        }
    }
}

/// Writes `len` zeros, and up to a vector more.
#[inline(always)]
fn zeros<S: Simd>(to: &mut [f32], len: usize) {
    let lanes = f32::lanes::<S>();
    let zero: Vector<S, f32> = 0.0_f32.splat();
    assert!(to.len() >= len + lanes);
    for at in (0..len).step_by(lanes) {
        // SAFETY: by the assertion.
        unsafe { vstore_unaligned(to.as_mut_ptr().add(at), zero) };
    }
}

/// Ones in the first `count` lanes, zeros in the others.
#[inline(always)]
fn first_lanes<S: Simd>(count: usize) -> Vector<S, f32> {
    let mut lanes = [0.0; MOST_LANES];
    lanes[..count].fill(1.0);
    // SAFETY: no vector is longer than the array.
    unsafe { vload_unaligned(lanes.as_ptr()) }
}

/// How many columns there are, and how far they lie apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) outer: usize,
    /// From one outer index to the next: in the frame, in the outputs.
    pub(crate) outer_steps: [usize; 2],
    /// Outputs along the column.
    pub(crate) column: usize,
    /// From one input of a column to the next, and from one output.
    pub(crate) column_steps: [usize; 2],
}

impl Frame {
    pub(crate) fn new(
        kernel: usize,
        step: usize,
        low: [usize; 3],
        in_size: [usize; 3],
        out_size: [usize; 3],
        lanes: usize,
    ) -> Self {
        assert!(step == 1 || step == 2);
        let [_, height, width] = out_size;
        let flat = width < lanes;
        let more = (kernel - 1) / step;
        let (rows, pitch, phases, plane, runs, last);
        if flat {
            let places = step * (width - 1) + kernel;
            let data = in_size[2].min(places - low[2]);
            let high = places - low[2] - data;
            // At stride 1, the zeros after a row are those before the next.
            let shared = if step == 1 { high.min(low[2]) } else { 0 };
            pitch = width + more - shared;
            rows = height + more;
            let part = rows * pitch + shared;
            phases = [part, step * part];
            plane = step * step * part;
            runs = ((height - 1) * pitch + width).div_ceil(lanes);
            last = (runs - 1) * lanes;
        } else {
            rows = step * (height - 1) + kernel;
            runs = width.div_ceil(lanes);
            let part = (runs * lanes + more).next_multiple_of(lanes);
            phases = [part, 0];
            pitch = step * part;
            plane = rows * pitch;
            last = width - lanes;
        }
        let mut frame = Self {
            kernel,
            step,
            low,
            in_size,
            out_size,
            lanes,
            flat,
            pitch,
            phases,
            plane,
            runs,
            last,
            offsets: Vec::with_capacity(kernel * kernel),
        };
        for across in 0..kernel {
            let place = across % step * frame.phases[0] + across / step;
            for along in 0..kernel {
                let line = if flat {
                    frame.row(along)
                } else {
                    along * plane
                };
                frame.offsets.push(place + line);
            }
        }
        frame
    }

    /// Place of padded row `row` in its plane.
    fn row(&self, row: usize) -> usize {
        if self.flat {
            row % self.step * self.phases[1] + row / self.step * self.pitch
        } else {
            row * self.pitch
        }
    }

    pub(crate) fn plane(&self) -> usize {
        self.plane
    }

    /// Floats for `planes` planes of outputs, with those that the last vectors read and
    /// [`Self::fill`] writes too much.
    pub(crate) fn len(&self, planes: usize) -> usize {
        (self.step * (planes - 1) + self.kernel) * self.plane + 2 * self.lanes
    }

    /// Outputs in a row.
    pub(crate) fn width(&self) -> usize {
        self.out_size[2]
    }

    /// Floats of a plane of outputs that lie as the inputs do, if planes are one run.
    pub(crate) fn flat_plane(&self) -> Option<usize> {
        self.flat.then_some(self.runs * self.lanes)
    }

    /// Floats of a plane of the copy that [`Self::spread`] makes; none if there need be no copy.
    pub(crate) fn spread_plane(&self) -> usize {
        let [_, height, width] = self.out_size;
        match self.flat {
            true => self.runs * self.lanes,
            false if width.is_multiple_of(self.lanes) => 0,
            false => height * self.runs * self.lanes,
        }
    }

    /// Columns of `planes` planes whose outputs lie as the input does, if planes are one run, in
    /// rows `width` apart otherwise.
    pub(crate) fn grid(&self, planes: usize, width: usize) -> Grid {
        let height = self.out_size[1];
        if self.flat {
            Grid {
                outer: 1,
                outer_steps: [0, 0],
                column: planes,
                column_steps: [self.plane, self.runs * self.lanes],
            }
        } else {
            Grid {
                outer: planes,
                outer_steps: [self.step * self.plane, height * width],
                column: height,
                column_steps: [self.pitch, width],
            }
        }
    }

    /// Where the kernel's tap `[depth, height, width]` stands: width outermost, the column's axis
    /// innermost.
    fn place(&self, [d, h, w]: [usize; 3]) -> usize {
        let (along, column) = if self.flat { (h, d) } else { (d, h) };
        (w * self.kernel + along) * self.kernel + column
    }

    /// Calls `each` with the index of every tap in the kernel and its place in the column's order.
    pub(crate) fn order(&self, mut each: impl FnMut(usize, usize)) {
        let k = self.kernel;
        for d in 0..k {
            for h in 0..k {
                for w in 0..k {
                    each((d * k + h) * k + w, self.place([d, h, w]));
                }
            }
        }
    }

    /// Floats that [`Self::fill`] works in, if the input has a prologue.
    pub(crate) fn stage(&self) -> usize {
        self.in_size[1] * self.in_size[2]
    }

    /// Copies the inputs of `planes` planes of outputs from plane `first` on, through its prologue.
    #[inline(always)]
    pub(crate) fn fill<S: Simd>(
        &self,
        input: &Channel<'_>,
        first: usize,
        planes: usize,
        copy: &mut [f32],
        stage: &mut [f32],
    ) {
        let [depth, height, width] = self.in_size;
        let rows = self.step * (self.out_size[1] - 1) + self.kernel;
        let count = self.step * (planes - 1) + self.kernel;
        assert!(input.size == self.in_size && copy.len() >= self.len(planes));
        let places = self.step * (self.out_size[2] - 1) + self.kernel;
        let line = Line::<S> {
            low: self.low[2],
            count: width.min(places - self.low[2]),
            last: first_lanes::<S>(width.min(places - self.low[2]) % f32::lanes::<S>()),
        };
        for plane in 0..count {
            let z = (self.step * first + plane).checked_sub(self.low[0]);
            let z = z.filter(|&z| z < depth);
            let from = plane * self.plane;
            let Some(z) = z else {
                zeros::<S>(&mut copy[from..], self.plane);
                continue;
            };
            let values = match &input.prologue {
                Some(_) => {
                    let plane = &mut stage[..height * width];
                    input.rows([z, 0], plane);
                    &*plane
                }
                None => input.plane(z),
            };
            // Rows within the input.
            let low = self.low[1];
            let inside = low..(height + low).min(rows);
            if self.step == 1 {
                let start = from + low * self.pitch;
                zeros::<S>(&mut copy[from..], start - from);
                let lanes = f32::lanes::<S>();
                if (1..lanes).contains(&line.count) && self.pitch <= lanes {
                    let values = &values[..inside.len() * width];
                    line.store_rows(values, width, &mut copy[start..], self.pitch);
                } else {
                    for row in inside.clone() {
                        let at = from + row * self.pitch;
                        line.store(&values[(row - low) * width..], &mut copy[at..], self.pitch);
                    }
                }
                let end = inside.end * self.pitch;
                zeros::<S>(&mut copy[from + end..], self.plane - end);
            } else {
                for row in 0..rows {
                    let values = inside
                        .contains(&row)
                        .then(|| &values[(row - low) * width..][..line.count]);
                    self.halves(values, &mut copy[from + self.row(row)..]);
                }
            }
        }
        copy[count * self.plane..].fill(0.0);
    }

    /// A row at stride 2: even places, then odd ones.
    #[inline(always)]
    fn halves(&self, line: Option<&[f32]>, to: &mut [f32]) {
        let [part, _] = self.phases;
        let len = if self.flat { self.pitch } else { part };
        let (even, odd) = to.split_at_mut(part);
        let (even, odd) = (&mut even[..len], &mut odd[..len]);
        let Some(line) = line else {
            even.fill(0.0);
            odd.fill(0.0);
            return;
        };
        let low = self.low[2];
        let half = low.div_ceil(2);
        even[..half].fill(0.0);
        odd[..low / 2].fill(0.0);
        // The first input is at place `low`.
        let (first, second) = match low.is_multiple_of(2) {
            true => (&mut even[low / 2..], &mut odd[low / 2..]),
            false => (&mut odd[low / 2..], &mut even[half..]),
        };
        let (pairs, rest) = line.as_chunks::<2>();
        let both = first.iter_mut().zip(second.iter_mut());
        for ((first, second), pair) in both.zip(pairs) {
            *first = pair[0];
            *second = pair[1];
        }
        let end = pairs.len();
        for half in [&mut *first, &mut *second] {
            if let Some(after) = half.get_mut(end..) {
                after.fill(0.0);
            }
        }
        if let [value] = rest {
            first[end] = *value;
        }
    }

    /// Floats for the copy that [`Self::spread`] makes of `planes` planes, with those that it writes
    /// too much.
    pub(crate) fn spread_len(&self, planes: usize) -> usize {
        match self.spread_plane() {
            0 => 0,
            plane => planes * plane + 2 * self.lanes,
        }
    }

    /// Copies planes of outputs to where the grid has them, zeros between and after the rows.
    #[inline(always)]
    pub(crate) fn spread<S: Simd>(&self, outputs: &[f32], copy: &mut [f32]) {
        let [_, height, width] = self.out_size;
        let pitch = if self.flat {
            self.pitch
        } else {
            self.runs * self.lanes
        };
        let line = Line::<S> {
            low: 0,
            count: width,
            last: first_lanes::<S>(width % f32::lanes::<S>()),
        };
        let plane = self.spread_plane();
        for index in 0..outputs.len() / (height * width) {
            let from = index * plane;
            for y in 0..height {
                let to = &mut copy[from + y * pitch..];
                line.store(&outputs[(index * height + y) * width..], to, pitch);
            }
            let end = from + height * pitch;
            if let Some(after) = copy.get_mut(end..from + plane) {
                after.fill(0.0);
            }
        }
    }

    /// The rows of outputs that lie as the input does.
    #[inline(always)]
    pub(crate) fn gather<S: Simd>(&self, from: &[f32], outputs: &mut [f32]) {
        let [_, height, width] = self.out_size;
        let lanes = f32::lanes::<S>();
        let planes = from.chunks_exact(self.runs * self.lanes);
        for (z, plane) in planes.enumerate() {
            for y in 0..height {
                let row = &plane[y * self.pitch..];
                let to = &mut outputs[(z * height + y) * width..];
                if row.len() >= lanes && to.len() >= lanes {
                    // SAFETY: both slices hold a vector. What it writes beyond the row is
                    // written by the rows after it.
                    unsafe {
                        let values: Vector<S, f32> = vload_unaligned(row.as_ptr());
                        vstore_unaligned(to.as_mut_ptr(), values);
                    }
                } else {
                    to[..width].copy_from_slice(&row[..width]);
                }
            }
        }
    }
}
