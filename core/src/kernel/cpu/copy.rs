//! The copy of a tile's input into cache, with its zeros, laid out so that every tap is a constant
//! offset.

use super::lattice::Window;
use super::source::Channel;
use super::tile::Tap;

/// The copy of a tile's input: `[phases of depth][of height][of width][planes][rows][pitch]`.
pub(crate) struct Copy<'a> {
    windows: [&'a Window; 3],
    first: [usize; 2],
    /// Planes, rows and places in a row.
    extent: [usize; 3],
    /// From one row to the next: rows share the zeros between them.
    pub(crate) pitch: usize,
    /// Floats of one phase.
    phase: usize,
    /// Floats of one channel.
    pub(crate) channel: usize,
}

impl<'a> Copy<'a> {
    pub(crate) fn new(
        windows: [&'a Window; 3],
        depth: [usize; 2],
        height: [usize; 2],
        width: usize,
    ) -> Self {
        let extent = [
            depth[1] - depth[0] + windows[0].span,
            height[1] - height[0] + windows[1].span,
            width + windows[2].span,
        ];
        let shared = (0..windows[2].phases.len())
            .map(|phase| {
                let (before, count, _) = windows[2].row(phase, 0, extent[2]);
                before.min(extent[2] - before - count)
            })
            .min()
            .unwrap_or(0)
            .min(windows[2].span);
        let pitch = extent[2] - shared;
        let phase = extent[0] * extent[1] * pitch + shared;
        let phases: usize = windows.iter().map(|w| w.phases.len()).product();
        let mut channel = phase * phases;
        // Channels a multiple of 4 KiB apart would compete for the same cache sets.
        if channel % 512 < 16 {
            channel += 16;
        }
        Self {
            windows,
            first: [depth[0], height[0]],
            extent,
            pitch,
            phase,
            channel,
        }
    }

    /// From one plane to the next.
    pub(crate) fn plane(&self) -> usize {
        self.extent[1] * self.pitch
    }

    /// All taps for the outputs of the first plane.
    pub(crate) fn all_taps(&self, taps: &mut Vec<Tap>) {
        self.collect(0, 1, taps, |_, _| true);
    }

    /// The taps of the width alone, for a copy of one phase.
    pub(crate) fn taps_of_width(&self, block: usize, taps: &mut Vec<Tap>) {
        taps.clear();
        let places = self.windows[2].taps.iter().enumerate();
        taps.extend(places.map(|(n, &(_, place))| Tap {
            input: place,
            weight: n * block,
        }));
    }

    /// Taps for the outputs of `plane`, without those that only read zeros there. Weights are
    /// `block` apart.
    pub(crate) fn taps(&self, plane: usize, block: usize, taps: &mut Vec<Tap>) {
        let depth = self.windows[0];
        self.collect(plane, block, taps, |phase, place| {
            depth.input(phase, self.first[0], plane + place).is_some()
        });
    }

    fn collect(
        &self,
        plane: usize,
        block: usize,
        taps: &mut Vec<Tap>,
        keep: impl Fn(usize, usize) -> bool,
    ) {
        taps.clear();
        let [windows_d, windows_h, windows_w] = self.windows;
        let per_plane = windows_h.taps.len() * windows_w.taps.len();
        for (d, &(phase_d, place_d)) in windows_d.taps.iter().enumerate() {
            if !keep(phase_d, place_d) {
                continue;
            }
            let mut weight = d * per_plane * block;
            for &(phase_h, place_h) in &windows_h.taps {
                for &(phase_w, place_w) in &windows_w.taps {
                    let phase = (phase_d * windows_h.phases.len() + phase_h)
                        * windows_w.phases.len()
                        + phase_w;
                    let row = (plane + place_d) * self.extent[1] + place_h;
                    let input = phase * self.phase + row * self.pitch + place_w;
                    taps.push(Tap { input, weight });
                    weight += block;
                }
            }
        }
    }

    /// Copies one channel of the input; zeros around it stay zero.
    pub(crate) fn fill(&self, input: Channel<'_>, copy: &mut [f32]) {
        let ww = self.windows[2];
        let rows = self.extent[1] * self.pitch;
        let inside = (0..2).all(|axis| self.first[axis] + self.extent[axis] <= input.size[axis]);
        let plain = self.windows.iter().all(|window| window.is_plain());
        if plain && inside && self.pitch == input.size[2] {
            // Nothing between the rows, here and there.
            let (planes, rest) = copy.split_at_mut(rows * self.extent[0]);
            rest.fill(0.0);
            for (plane, copy) in planes.chunks_exact_mut(rows).enumerate() {
                input.rows([self.first[0] + plane, self.first[1]], copy);
            }
            return;
        }
        let plain = input.unmapped();
        self.walk(|at, place, [before, count, start]| {
            let out = &mut copy[at..at + self.pitch];
            match place {
                Some(place) => {
                    zero_around(out, before, count);
                    plain.read(place, start, ww.step(), &mut out[before..before + count]);
                }
                None => out.fill(0.0),
            }
        });
        if let Some(prologue) = &input.prologue {
            // All of it at once, and the zeros after it again: rows are short.
            prologue.apply(copy);
            self.walk(|at, place, [before, count, _]| {
                let out = &mut copy[at..at + self.pitch];
                match place {
                    Some(_) => zero_around(out, before, count),
                    None => out.fill(0.0),
                }
            });
        }
        let used = self.extent[0] * self.extent[1] * self.pitch;
        let phases: usize = self.windows.iter().map(|w| w.phases.len()).product();
        for phase in 0..phases {
            copy[phase * self.phase + used..(phase + 1) * self.phase].fill(0.0);
        }
        copy[phases * self.phase..].fill(0.0);
    }

    /// Calls `each` for every row of the copy: where it is, which row of the input it holds, and
    /// the zeros before it, its voxels, the first of them.
    fn walk(&self, mut each: impl FnMut(usize, Option<[usize; 2]>, [usize; 3])) {
        let [wd, wh, ww] = self.windows;
        for phase_d in 0..wd.phases.len() {
            for phase_h in 0..wh.phases.len() {
                for phase_w in 0..ww.phases.len() {
                    let (before, count, start) = ww.row(phase_w, 0, self.extent[2]);
                    let row_of = [before.min(self.pitch), count, start];
                    let phase = (phase_d * wh.phases.len() + phase_h) * ww.phases.len() + phase_w;
                    for plane in 0..self.extent[0] {
                        let z = wd.input(phase_d, self.first[0], plane);
                        for row in 0..self.extent[1] {
                            let y = wh.input(phase_h, self.first[1], row);
                            let at =
                                phase * self.phase + (plane * self.extent[1] + row) * self.pitch;
                            each(at, z.zip(y).map(|(z, y)| [z, y]), row_of);
                        }
                    }
                }
            }
        }
    }
}

/// Zeros on both sides of the `count` voxels of a row.
fn zero_around(row: &mut [f32], before: usize, count: usize) {
    row[..before].fill(0.0);
    row[before + count..].fill(0.0);
}
