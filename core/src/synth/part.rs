//! The parts of a head, their labels and tissues.

use super::tissue::Tissue;
use crate::label::{Label, LabelEntry, LabelTable};

/// A part of the head: an index into the table of parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part(pub(super) u8);

impl Part {
    /// Its label.
    pub(super) fn label(self) -> Label {
        PARTS[usize::from(self.0)].0
    }

    /// Its tissue.
    pub(super) fn tissue(self) -> Tissue {
        PARTS[usize::from(self.0)].2
    }

    /// A part of the left half, or its twin on the right.
    #[inline]
    pub(super) fn side(self, right: bool) -> Self {
        Self(self.0 + u8::from(right))
    }
}

macro_rules! parts {
    ($($part:ident, $label:literal, $name:literal, $tissue:ident, $color:expr;)*) => {
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "an index for each constant")]
        #[repr(u8)]
        enum Index { $($part),* }
        #[allow(dead_code, reason = "right halves are found through the left ones")]
        impl Part {
            $(pub(super) const $part: Self = Self(Index::$part as u8);)*
        }
        /// Label, name, tissue and colour of every part. A part of the left half is followed by
        /// its twin on the right.
        const PARTS: &[(Label, &str, Tissue, [u8; 3])] = &[
            $(($label, $name, Tissue::$tissue, $color)),*
        ];
    };
}

// Numbers and names are FreeSurfer's.
parts! {
    AIR, 0, "Background", Air, [0, 0, 0];
    WHITE, 2, "Left-Cerebral-White-Matter", White, [245, 245, 245];
    WHITE_R, 41, "Right-Cerebral-White-Matter", White, [235, 235, 235];
    CORTEX, 3, "Left-Cerebral-Cortex", Cortex, [205, 62, 78];
    CORTEX_R, 42, "Right-Cerebral-Cortex", Cortex, [205, 82, 98];
    LATERAL, 4, "Left-Lateral-Ventricle", Csf, [120, 18, 134];
    LATERAL_R, 43, "Right-Lateral-Ventricle", Csf, [120, 38, 154];
    CEREBELLUM_WHITE, 7, "Left-Cerebellum-White-Matter", White, [220, 248, 164];
    CEREBELLUM_WHITE_R, 46, "Right-Cerebellum-White-Matter", White, [200, 238, 144];
    CEREBELLUM, 8, "Left-Cerebellum-Cortex", Cortex, [230, 148, 34];
    CEREBELLUM_R, 47, "Right-Cerebellum-Cortex", Cortex, [230, 168, 54];
    THALAMUS, 10, "Left-Thalamus", Thalamus, [0, 118, 14];
    THALAMUS_R, 49, "Right-Thalamus", Thalamus, [0, 138, 34];
    CAUDATE, 11, "Left-Caudate", Caudate, [122, 186, 220];
    CAUDATE_R, 50, "Right-Caudate", Caudate, [102, 166, 200];
    PUTAMEN, 12, "Left-Putamen", Putamen, [236, 13, 176];
    PUTAMEN_R, 51, "Right-Putamen", Putamen, [216, 33, 156];
    PALLIDUM, 13, "Left-Pallidum", Pallidum, [12, 48, 255];
    PALLIDUM_R, 52, "Right-Pallidum", Pallidum, [32, 68, 235];
    THIRD, 14, "3rd-Ventricle", Csf, [204, 182, 142];
    FOURTH, 15, "4th-Ventricle", Csf, [42, 204, 164];
    BRAINSTEM, 16, "Brain-Stem", Brainstem, [119, 159, 176];
    HIPPOCAMPUS, 17, "Left-Hippocampus", Hippocampus, [220, 216, 20];
    HIPPOCAMPUS_R, 53, "Right-Hippocampus", Hippocampus, [200, 196, 40];
    AMYGDALA, 18, "Left-Amygdala", Hippocampus, [103, 255, 255];
    AMYGDALA_R, 54, "Right-Amygdala", Hippocampus, [83, 235, 235];
    CSF, 24, "CSF", Csf, [60, 60, 60];
    VESSEL, 30, "Left-vessel", Blood, [160, 32, 240];
    VESSEL_R, 62, "Right-vessel", Blood, [140, 52, 220];
    CHOROID, 31, "Left-choroid-plexus", Choroid, [0, 200, 200];
    CHOROID_R, 63, "Right-choroid-plexus", Choroid, [20, 180, 220];
    SKIN, 118, "Epidermis", Skin, [255, 224, 189];
    MARROW, 121, "Cranium", Marrow, [240, 230, 140];
    MUSCLE, 123, "Muscle", Muscle, [180, 80, 60];
    FAT, 125, "Adipose", Fat, [255, 245, 160];
    NERVE, 128, "Nerve", White, [220, 216, 160];
    BONE, 129, "Bone", Bone, [200, 200, 220];
    CAVITY, 130, "Air", Air, [20, 30, 60];
    ORBIT, 131, "Orbital-Fat", Fat, [250, 220, 120];
    MUCOSA, 133, "Nasal-Structures", Skin, [230, 120, 120];
    GLOBE, 134, "Globe", Vitreous, [100, 180, 255];
    LENS, 150, "Lens", Lens, [60, 120, 200];
    DURA, 151, "Dura", Dura, [120, 100, 80];
}

/// Every part, in the order of its index.
pub(super) fn all() -> impl Iterator<Item = Part> {
    (0..PARTS.len()).map(|i| Part(i as u8))
}

/// Names and colours of the labels of a phantom, which are FreeSurfer's numbers where it has them
/// (lens and dura are 150 and 151).
pub fn label_table() -> LabelTable {
    let mut entries: Vec<LabelEntry> = PARTS
        .iter()
        .map(|&(value, name, _, color)| LabelEntry {
            value,
            name: name.to_owned(),
            color,
        })
        .collect();
    entries.sort_by_key(|e| e.value);
    LabelTable(entries)
}

/// The tissue of a label in FreeSurfer's numbers: those of a phantom, and the others of `aseg`,
/// `aparc+aseg` and `wmparc`.
pub fn tissue_of(label: Label) -> Option<Tissue> {
    if let Some((_, _, tissue, _)) = PARTS.iter().find(|p| p.0 == label) {
        return Some(*tissue);
    }
    Some(match label {
        // Inferior lateral and fifth ventricle, CSF outside the ventricles.
        5 | 44 | 72 | 122 | 257 => Tissue::Csf,
        // Accumbens and substantia nigra.
        26 | 58 => Tissue::Caudate,
        27 | 59 => Tissue::Pallidum,
        // Ventral diencephalon.
        28 | 60 => Tissue::Brainstem,
        77..=79 => Tissue::Hyperintensity,
        // Optic chiasm, corpus callosum, fornix.
        85 | 192 | 250..=255 => Tissue::White,
        119 | 120 | 124 | 127 | 132 | 258 => Tissue::Muscle,
        165 => Tissue::Bone,
        259 => Tissue::Vitreous,
        // Parcels of the cortex and of the white matter below it.
        1000..=2999 | 11_100..=12_999 => Tissue::Cortex,
        3000..=4999 | 5001 | 5002 => Tissue::White,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unique_and_twins_stand_side_by_side() {
        let table = label_table();
        assert!(table.0.windows(2).all(|w| w[0].value < w[1].value));
        for (i, (_, name, tissue, _)) in PARTS.iter().enumerate() {
            if let Some(name) = name.strip_prefix("Left") {
                assert_eq!(PARTS[i + 1].1.strip_prefix("Right"), Some(name));
                assert_eq!(PARTS[i + 1].2, *tissue);
            }
        }
        assert_eq!(Part::CORTEX.side(true), Part::CORTEX_R);
        assert_eq!(Part::FOURTH.label(), 15);
    }

    #[test]
    fn foreign_labels_have_tissues_or_none() {
        assert_eq!(tissue_of(2035), Some(Tissue::Cortex));
        assert_eq!(tissue_of(251), Some(Tissue::White));
        assert_eq!(tissue_of(42), Some(Tissue::Cortex));
        assert_eq!(tissue_of(999), None);
    }
}
