//! The polygons of a cube whose corners are inside or outside.

/// An edge of a cube: `axis` it runs along, and the corner that it starts from as bits (x 1, y 2,
/// z 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) axis: usize,
    pub(super) corner: usize,
}

impl Edge {
    /// The edge between two corners that differ in one bit.
    fn between(a: usize, b: usize) -> Self {
        Self {
            axis: (a ^ b).trailing_zeros() as usize,
            corner: a & b,
        }
    }

    /// Whether a face of the cube has both edges.
    fn shares_face(self, other: Self) -> bool {
        (0..3).any(|axis| {
            let side = |e: Self| e.corner >> axis & 1;
            axis != self.axis && axis != other.axis && side(self) == side(other)
        })
    }
}

/// A polygon whose corners lie on edges of the cube, seen counter-clockwise from outside the label.
pub(super) struct Polygon {
    pub(super) edges: Vec<Edge>,
    /// The corner that triangles fan out from, or none: then they meet in the polygon's centre.
    pub(super) fan: Option<usize>,
}

/// Corners of each face, counter-clockwise seen from outside the cube.
fn faces() -> impl Iterator<Item = [usize; 4]> {
    (0..6).map(|face| {
        let (axis, high) = (face / 2, face % 2 == 1);
        let (u, v) = (1 << ((axis + 1) % 3), 1 << ((axis + 2) % 3));
        let base = usize::from(high) << axis;
        match high {
            true => [base, base | u, base | u | v, base | v],
            false => [base, base | v, base | u | v, base | u],
        }
    })
}

/// The polygons for each set of corners inside, as bits.
pub(super) fn cases() -> Vec<Vec<Polygon>> {
    (0..256).map(polygons).collect()
}

fn polygons(inside: usize) -> Vec<Polygon> {
    let is = |corner: usize| inside >> corner & 1 == 1;
    // On each face, from where its outline enters the label to where it leaves it again.
    let mut segments = Vec::new();
    for corners in faces() {
        for i in 0..4 {
            let (before, first) = (corners[i], corners[(i + 1) % 4]);
            if is(before) || !is(first) {
                continue;
            }
            let mut last = (i + 1) % 4;
            while is(corners[(last + 1) % 4]) {
                last = (last + 1) % 4;
            }
            let leaves = Edge::between(corners[last], corners[(last + 1) % 4]);
            segments.push((Edge::between(before, first), leaves));
        }
    }
    let mut polygons = Vec::new();
    while let Some((start, mut at)) = segments.pop() {
        let mut edges = vec![start];
        while at != start {
            edges.push(at);
            // Every crossing is entered on one of its two faces and left on the other.
            let Some(next) = segments.iter().position(|(from, _)| *from == at) else {
                break;
            };
            at = segments.swap_remove(next).1;
        }
        let fan = fan(&edges);
        polygons.push(Polygon { edges, fan });
    }
    polygons
}

/// A corner whose diagonals all run through the inside of the cube.
fn fan(edges: &[Edge]) -> Option<usize> {
    let n = edges.len();
    (0..n).find(|&from| (2..n - 1).all(|step| !edges[from].shares_face(edges[(from + step) % n])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crossed_edge_is_in_one_polygon() {
        for (inside, polygons) in cases().iter().enumerate() {
            let crossed = (0..8)
                .flat_map(|corner| (0..3).map(move |axis| (corner, axis)))
                .filter(|(corner, axis)| corner >> axis & 1 == 0)
                .filter(|(corner, axis)| {
                    (inside >> corner ^ inside >> (corner | 1 << axis)) & 1 == 1
                })
                .count();
            let edges: Vec<_> = polygons.iter().flat_map(|p| &p.edges).collect();
            assert_eq!(edges.len(), crossed, "case {inside}");
            assert!(polygons.iter().all(|p| p.edges.len() >= 3), "case {inside}");
        }
    }
}
