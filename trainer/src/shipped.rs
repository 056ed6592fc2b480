//! The models that come with the program.

use std::path::Path;

/// A model within the program. `models/index.json` lists the same ones for the page.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// What to say in place of a file.
    pub id: &'static str,
    /// An `.amaes` file.
    pub bytes: &'static [u8],
}

/// All of them.
pub const MODELS: [Shipped; 1] = [Shipped {
    id: "brain-tissue",
    bytes: include_bytes!("../../models/brain-tissue/brain-tissue.amaes"),
}];

/// The model that `path` names. A file or folder of that name comes first.
pub fn find(path: &Path) -> Option<&'static Shipped> {
    let named = MODELS.iter().find(|model| Path::new(model.id) == path)?;
    (!path.exists()).then_some(named)
}

#[cfg(test)]
mod tests {
    use amaes_core::model::Spec;
    use amaes_core::weights::sha256;

    use super::*;
    use crate::model::{Beside, open};
    use crate::serve::Listed;

    #[test]
    fn the_list_of_the_page_is_that_of_the_program() {
        let list = include_str!("../../models/index.json");
        let list: Vec<Listed> = serde_json::from_str(list).expect("a list of models");
        assert_eq!(list.len(), MODELS.len());
        for (listed, shipped) in list.iter().zip(&MODELS) {
            assert_eq!(listed.id, shipped.id);
            assert_eq!(listed.bytes, shipped.bytes.len() as u64, "{}", shipped.id);
            let sum = sha256(shipped.bytes);
            assert_eq!(listed.sha256.as_ref(), Some(&sum), "{}", shipped.id);
            assert_eq!(listed.url, format!("{0}/{0}.amaes", shipped.id));
            let opened = open(Path::new(shipped.id), &Beside::default()).expect("a model");
            assert_eq!(opened.file.provenance.licence, listed.licence);
        }
    }

    #[test]
    fn brain_tissue_is_small_and_names_its_labels() {
        let path = Path::new("brain-tissue");
        let shipped = find(path).expect("it comes with the program");
        assert!(shipped.bytes.len() <= 8_000_000, "{}", shipped.bytes.len());
        let opened = open(path, &Beside::default()).expect("a model");
        assert!(opened.notes.is_empty(), "{:?}", opened.notes);
        let file = opened.file;
        assert!(matches!(file.spec, Spec::UNet(_)), "{}", file.spec.name());
        assert!(file.state.num_values() <= 6_000_000);
        let names: Vec<_> = file.labels.0.iter().map(|l| l.name.as_str()).collect();
        assert_eq!(names.len(), file.spec.out_channels());
        assert_eq!(
            names[..3],
            ["background", "cortical grey matter", "white matter"]
        );
    }

    #[test]
    fn other_names_are_paths() {
        assert!(find(Path::new("brain-tissue.amaes")).is_none());
        assert!(find(Path::new("./brain-tissue")).is_none());
        assert!(find(Path::new("models/brain-tissue")).is_none());
    }
}
