//! A slab of one channel with its zeros, laid out so that every tap is a constant offset.
//!
//! Rows of at least a vector are padded one by one, and a column of outputs runs along the height.
//! Shorter rows follow each other so that a plane is one run, and the column runs along the depth.
//! At stride 2, even and odd places lie apart, so that vectors are loaded whole.

use macerator::{Scalar, Simd, Vector, vload_unaligned, vstore_unaligned};

use super::source::{Channel, Prologue};

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

    /// Copies the inputs of `planes` planes of outputs from plane `first` on, through its prologue.
    #[inline(always)]
    pub(crate) fn fill<S: Simd>(
        &self,
        input: &Channel<'_>,
        first: usize,
        planes: usize,
        copy: &mut [f32],
    ) {
        let [depth, height, width] = self.in_size;
        let rows = self.step * (self.out_size[1] - 1) + self.kernel;
        let count = self.step * (planes - 1) + self.kernel;
        assert!(input.size == self.in_size && copy.len() >= self.len(planes));
        let prologue = input.prologue.as_ref();
        for plane in 0..count {
            let z = (self.step * first + plane).checked_sub(self.low[0]);
            let z = z.filter(|&z| z < depth);
            let from = plane * self.plane;
            let Some(z) = z else {
                copy[from..from + self.plane].fill(0.0);
                continue;
            };
            for row in 0..rows {
                let y = row.checked_sub(self.low[1]).filter(|&y| y < height);
                let line = y.map(|y| &input.values[(z * height + y) * width..]);
                let to = &mut copy[from + self.row(row)..];
                if self.step == 1 {
                    self.line::<S>(line, prologue, to);
                } else {
                    self.halves(line, prologue, to);
                }
            }
            if self.step == 1 {
                copy[from + rows * self.pitch..from + self.plane].fill(0.0);
            }
        }
        copy[count * self.plane..].fill(0.0);
    }

    /// A row at stride 1, with its zeros. What lies beyond it may be written: rows are filled in
    /// order, and there is room after the last.
    #[inline(always)]
    fn line<S: Simd>(&self, line: Option<&[f32]>, prologue: Option<&Prologue>, to: &mut [f32]) {
        let Some(line) = line else {
            to[..self.pitch].fill(0.0);
            return;
        };
        let lanes = f32::lanes::<S>();
        let places = self.out_size[2] + self.kernel - 1;
        let low = self.low[2];
        let count = self.in_size[2].min(places - low);
        to[..low].fill(0.0);
        let whole = count.next_multiple_of(lanes);
        if line.len() >= whole && to.len() >= low + whole {
            for at in (0..count).step_by(lanes) {
                // SAFETY: both slices hold `whole` floats from there.
                unsafe {
                    let values: Vector<S, f32> = vload_unaligned(line.as_ptr().add(at));
                    vstore_unaligned(to.as_mut_ptr().add(low + at), values);
                }
            }
        } else {
            to[low..low + count].copy_from_slice(&line[..count]);
        }
        if let Some(prologue) = prologue {
            prologue.apply(&mut to[low..low + count]);
        }
        let end = self.pitch.max(low + count);
        to[low + count..end].fill(0.0);
    }

    /// A row at stride 2: even places, then odd ones.
    #[inline(always)]
    fn halves(&self, line: Option<&[f32]>, prologue: Option<&Prologue>, to: &mut [f32]) {
        let [part, _] = self.phases;
        let len = if self.flat { self.pitch } else { part };
        let (even, odd) = to.split_at_mut(part);
        let (even, odd) = (&mut even[..len], &mut odd[..len]);
        let Some(line) = line else {
            even.fill(0.0);
            odd.fill(0.0);
            return;
        };
        let places = self.step * (self.out_size[2] - 1) + self.kernel;
        let low = self.low[2];
        let count = self.in_size[2].min(places - low);
        let half = low.div_ceil(2);
        even[..half].fill(0.0);
        odd[..low / 2].fill(0.0);
        // The first input is at place `low`.
        let (first, second) = match low.is_multiple_of(2) {
            true => (&mut even[low / 2..], &mut odd[low / 2..]),
            false => (&mut odd[low / 2..], &mut even[half..]),
        };
        let (pairs, rest) = line[..count].as_chunks::<2>();
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
        if let Some(prologue) = prologue {
            prologue.apply(&mut first[..count.div_ceil(2)]);
            prologue.apply(&mut second[..end]);
        }
    }

    /// Copies planes of outputs to where the grid has them, zeros between and after the rows.
    #[inline(always)]
    pub(crate) fn spread(&self, outputs: &[f32], copy: &mut [f32]) {
        let [_, height, width] = self.out_size;
        let pitch = if self.flat {
            self.pitch
        } else {
            self.runs * self.lanes
        };
        let planes = copy.chunks_exact_mut(self.spread_plane());
        for (plane, rows) in planes.zip(outputs.chunks_exact(height * width)) {
            for (y, row) in rows.chunks_exact(width).enumerate() {
                let end = if y + 1 == height {
                    plane.len()
                } else {
                    (y + 1) * pitch
                };
                let to = &mut plane[y * pitch..end];
                to[..width].copy_from_slice(row);
                to[width..].fill(0.0);
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
