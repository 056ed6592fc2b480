//! Pictures of volumes: a grid of slices with captions, as PNG.

mod font;

use std::io;
use std::path::Path;

use amaes_core::label::{Label, LabelTable};
use amaes_core::volume::Orientation;
use png::{BitDepth, ColorType, Encoder};

use crate::atomic::write_bytes;
use crate::error::{Result, WithPath};

/// Pixels between the cells of a grid, and around it.
const GAP: usize = 6;
/// Slices smaller than this are drawn with more than one pixel a voxel.
const SMALL: usize = 96;
/// Background.
const PAPER: [u8; 3] = [18, 20, 24];
/// Captions.
const INK: [u8; 3] = [222, 226, 232];
/// Voxels that are NaN: hidden ones.
const HIDDEN: [u8; 3] = [38, 62, 98];

/// One plane of a volume; NaN marks voxels that are hidden.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    width: usize,
    height: usize,
    values: Vec<f32>,
    /// The label of each voxel, where labels are drawn over them.
    labels: Vec<Label>,
}

impl Slice {
    /// Plane `index` across `axis` of a volume of `shape` voxels, first axis fastest. The later
    /// of the two other axes runs upwards. `None` where the volume has no such plane.
    pub fn of(data: &[f32], shape: [usize; 3], axis: usize, index: usize) -> Option<Self> {
        let (size, values) = plane(data, shape, axis, index)?;
        Some(Self {
            width: size[0],
            height: size[1],
            values,
            labels: Vec::new(),
        })
    }

    /// The same with the labels of the same plane over it, in the colours of
    /// [`LabelTable::generic`]; 0 has none. `None` where there is no such plane.
    #[must_use]
    pub fn with_labels(
        self,
        labels: &[Label],
        shape: [usize; 3],
        axis: usize,
        index: usize,
    ) -> Option<Self> {
        let (size, labels) = plane(labels, shape, axis, index)?;
        (size == self.size()).then_some(Self { labels, ..self })
    }

    /// The three planes through the middle of a volume: across x, y and z.
    pub fn middle(data: &[f32], shape: [usize; 3]) -> Vec<Self> {
        (0..3)
            .filter_map(|axis| Self::of(data, shape, axis, shape[axis] / 2))
            .collect()
    }

    /// Width and height in voxels.
    pub fn size(&self) -> [usize; 2] {
        [self.width, self.height]
    }
}

/// Width, height and values of a plane, the top row first.
fn plane<T: Copy>(
    data: &[T],
    shape: [usize; 3],
    axis: usize,
    index: usize,
) -> Option<([usize; 2], Vec<T>)> {
    let voxels = shape.iter().try_fold(1usize, |n, &s| n.checked_mul(s))?;
    if index >= *shape.get(axis)? || voxels != data.len() {
        return None;
    }
    let strides = [1, shape[0], shape[0] * shape[1]];
    let (across, up) = [(1, 2), (0, 2), (0, 1)][axis];
    let (width, height) = (shape[across], shape[up]);
    let mut values = Vec::with_capacity(width * height);
    for row in (0..height).rev() {
        let start = index * strides[axis] + row * strides[up];
        values.extend((0..width).map(|i| data[start + i * strides[across]]));
    }
    Some(([width, height], values))
}

/// Names of the planes of [`Slice::middle`] in a volume of an orientation: `sagittal` and so on.
pub fn plane_names(orientation: Orientation) -> [&'static str; 3] {
    let letters = orientation.to_string();
    let mut letters = letters.chars();
    [0, 1, 2].map(|_| match letters.next() {
        Some('L' | 'R') => "sagittal",
        Some('A' | 'P') => "coronal",
        _ => "axial",
    })
}

/// One cell: what is drawn and between which values it runs from black to white.
#[derive(Clone, Debug)]
struct Cell {
    slice: Slice,
    low: f32,
    high: f32,
}

/// Slices in rows and columns with captions.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    columns: Vec<String>,
    rows: Vec<(String, Vec<Cell>)>,
}

impl Grid {
    /// A grid without rows. `columns` are captions above the columns.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Self {
            columns: columns.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; every slice is drawn from `low` (black) to `high` (white).
    pub fn row(
        &mut self,
        caption: impl Into<String>,
        slices: impl IntoIterator<Item = Slice>,
        [low, high]: [f32; 2],
    ) -> &mut Self {
        let cells = slices
            .into_iter()
            .map(|slice| Cell { slice, low, high })
            .collect();
        self.rows.push((caption.into(), cells));
        self
    }

    /// The picture.
    pub fn draw(&self) -> Picture {
        let scale = |s: &Slice| SMALL.div_ceil(s.width.max(s.height).max(1)).max(1);
        let count = self.rows.iter().map(|(_, cells)| cells.len());
        let count = count.max().unwrap_or(0).max(self.columns.len());
        // A column is as wide as its widest slice and its caption, a row as high as its highest.
        let mut widths: Vec<usize> = (0..count)
            .map(|c| self.columns.get(c).map_or(0, |s| font::width(s)))
            .collect();
        for (_, cells) in &self.rows {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.slice.width * scale(&cell.slice));
            }
        }
        let line = font::HEIGHT + GAP;
        let height = |cells: &[Cell]| {
            let heights = cells.iter().map(|c| c.slice.height * scale(&c.slice));
            heights.max().unwrap_or(0) + GAP + line
        };
        let captions = self.rows.iter().map(|(caption, _)| font::width(caption));
        let inner: usize = widths.iter().map(|w| w + GAP).sum();
        let inner = inner.max(captions.max().unwrap_or(0) + GAP);
        let total: usize = self.rows.iter().map(|(_, cells)| height(cells)).sum();
        let head = if self.columns.is_empty() { 0 } else { line };
        let mut picture = Picture::new(inner + GAP, total + head + GAP);
        let mut x = GAP;
        for (width, caption) in widths.iter().zip(&self.columns) {
            picture.text(x, GAP, caption);
            x += width + GAP;
        }
        let mut y = GAP + head;
        for (caption, cells) in &self.rows {
            picture.text(GAP, y, caption);
            let mut x = GAP;
            for (width, cell) in widths.iter().zip(cells) {
                picture.slice(x, y + line, cell, scale(&cell.slice));
                x += width + GAP;
            }
            y += height(cells);
        }
        picture
    }

    /// The picture as the bytes of a PNG file.
    ///
    /// # Errors
    ///
    /// An error when the picture is larger than the format allows.
    pub fn png(&self) -> io::Result<Vec<u8>> {
        self.draw().png()
    }

    /// Writes the picture as a PNG file, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        write_bytes(path, &self.png().with_path(path)?)
    }
}

/// Pixels of eight bits a colour.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
}

impl Picture {
    fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            pixels: vec![PAPER; width * height],
        }
    }

    /// A picture of a width and height whose pixels have the colours of `colour(x, y)`.
    pub(crate) fn drawn(
        [width, height]: [usize; 2],
        colour: impl Fn(usize, usize) -> [u8; 3],
    ) -> Self {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        Self {
            width,
            height,
            pixels: pixels.map(|(x, y)| colour(x, y)).collect(),
        }
    }

    /// Width and height in pixels.
    pub fn size(&self) -> [usize; 2] {
        [self.width, self.height]
    }

    /// The colour (red, green, blue) of a pixel, from the top left.
    pub fn pixel(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        let inside = x < self.width && y < self.height;
        inside.then(|| self.pixels[x + y * self.width])
    }

    fn set(&mut self, x: usize, y: usize, colour: [u8; 3]) {
        if x < self.width && y < self.height {
            self.pixels[x + y * self.width] = colour;
        }
    }

    fn text(&mut self, x: usize, y: usize, text: &str) {
        for (dx, dy) in font::pixels(text) {
            self.set(x + dx, y + dy, INK);
        }
    }

    fn slice(&mut self, left: usize, top: usize, cell: &Cell, scale: usize) {
        let Cell { slice, low, high } = cell;
        let most = slice.labels.iter().copied().max().unwrap_or(0);
        let colours = LabelTable::generic(usize::from(most) + 1);
        let gain = 255.0 / (high - low).max(f32::MIN_POSITIVE);
        for y in 0..slice.height * scale {
            for x in 0..slice.width * scale {
                let at = x / scale + y / scale * slice.width;
                let value = slice.values[at];
                let colour = if value.is_nan() {
                    HIDDEN
                } else {
                    [((value - low) * gain).clamp(0.0, 255.0).round() as u8; 3]
                };
                let colour = match slice.labels.get(at) {
                    None | Some(0) => colour,
                    Some(&label) => mixed(colour, colours.0[usize::from(label)].color),
                };
                self.set(left + x, top + y, colour);
            }
        }
    }

    /// The bytes of a PNG file.
    ///
    /// # Errors
    ///
    /// An error when the picture is larger than the format allows.
    pub fn png(&self) -> io::Result<Vec<u8>> {
        let edge = |n: usize| u32::try_from(n).map_err(|_| io::ErrorKind::InvalidInput);
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out, edge(self.width)?, edge(self.height)?);
        encoder.set_color(ColorType::Rgb);
        encoder.set_depth(BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(self.pixels.as_flattened())?;
        writer.finish()?;
        Ok(out)
    }
}

/// Halfway between two colours.
fn mixed(a: [u8; 3], b: [u8; 3]) -> [u8; 3] {
    [0, 1, 2].map(|n| a[n] / 2 + b[n] / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that say where they are: `x + 10 y + 100 z`.
    fn volume(shape: [usize; 3]) -> Vec<f32> {
        let mut out = Vec::new();
        for z in 0..shape[2] {
            for y in 0..shape[1] {
                out.extend((0..shape[0]).map(|x| (x + 10 * y + 100 * z) as f32));
            }
        }
        out
    }

    #[test]
    fn slices_show_the_right_voxels() {
        let shape = [2, 3, 4];
        let data = volume(shape);
        let slice = Slice::of(&data, shape, 0, 1).expect("a plane");
        assert_eq!(slice.size(), [3, 4]);
        assert_eq!(slice.values[..3], [301.0, 311.0, 321.0]);
        let slice = Slice::of(&data, shape, 2, 3).expect("a plane");
        assert_eq!(slice.size(), [2, 3]);
        assert_eq!(slice.values, [320.0, 321.0, 310.0, 311.0, 300.0, 301.0]);
        assert_eq!(Slice::of(&data, shape, 1, 3), None);
        assert_eq!(Slice::of(&data[1..], shape, 1, 0), None);
        assert_eq!(Slice::middle(&data, shape).len(), 3);
    }

    #[test]
    fn a_grid_becomes_a_png_that_reads_back() {
        let mut values = volume([100, 1, 1]);
        values[1] = f32::NAN;
        let slice = Slice::of(&values, [100, 1, 1], 2, 0).expect("a plane");
        let mut grid = Grid::new(["before", "after"]);
        grid.row("row 1", [slice.clone(), slice], [0.0, 99.0]);
        let picture = grid.draw();
        let decoder = png::Decoder::new(io::Cursor::new(grid.png().expect("encoded")));
        let mut reader = decoder.read_info().expect("a header");
        let mut bytes = vec![0; reader.output_buffer_size().expect("a size")];
        reader.next_frame(&mut bytes).expect("an image");
        assert_eq!(
            picture.size().map(|n| n as u32),
            [reader.info().width, reader.info().height]
        );
        assert_eq!(picture.pixels.as_flattened(), bytes);
        // The slice's row lies below two captions, one pixel a voxel.
        let y = GAP + 2 * (font::HEIGHT + GAP);
        assert_eq!(picture.pixel(GAP, y), Some([0; 3]));
        assert_eq!(picture.pixel(GAP + 1, y), Some(HIDDEN));
        assert_eq!(picture.pixel(GAP + 99, y), Some([255; 3]));
        assert_eq!(picture.pixel(GAP + 100, y), Some(PAPER));
        assert_eq!(picture.pixel(GAP + 100 + GAP, y), Some([0; 3]));
        assert!(picture.pixels.contains(&INK));
    }

    #[test]
    fn planes_are_named_by_orientation() {
        assert_eq!(
            plane_names(Orientation::RAS),
            ["sagittal", "coronal", "axial"]
        );
        let lia: Orientation = "LIA".parse().expect("an orientation");
        assert_eq!(plane_names(lia), ["sagittal", "axial", "coronal"]);
    }
}
