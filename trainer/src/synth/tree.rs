//! What a BIDS tree has beside its subjects.

use std::fmt::Write;
use std::path::Path;

use amaes_core::synth::label_table;
use serde_json::json;

use super::config::SynthConfig;
use super::error::{Result, SynthError};
use super::subject::{DERIVATIVE, Participant, write_json};
use crate::atomic::write_bytes;
use crate::error::WithPath;

/// Where the configuration is kept.
const CONFIG: &str = "code/synth.toml";

/// Makes the tree, or checks that what is there came from the same configuration (`count` may
/// have grown or shrunk).
pub(super) fn begin(config: &SynthConfig, out: &Path) -> Result<()> {
    let file = out.join(CONFIG);
    if file.is_file() {
        let old = SynthConfig::read(Some(&file), &[])?;
        let digits = |c: &SynthConfig| c.count.to_string().len().max(4);
        let same = SynthConfig {
            count: config.count,
            ..old.clone()
        } == *config;
        if !same || digits(&old) != digits(config) {
            return Err(SynthError::tree(
                out,
                format!(
                    "was made with another configuration ({CONFIG}); choose another folder or remove it"
                ),
            ));
        }
    } else if out.is_dir() && out.read_dir().with_path(out)?.next().is_some() {
        return Err(SynthError::tree(
            out,
            "holds other files; choose an empty folder or a new one",
        ));
    }
    write_bytes(&file, config.to_toml()?.as_bytes())?;
    let by = json!([{
        "Name": "amaes synth",
        "Version": env!("CARGO_PKG_VERSION"),
    }]);
    let description = |name: &str, kind: &str| {
        json!({
            "Name": name,
            "BIDSVersion": "1.10.0",
            "DatasetType": kind,
            "GeneratedBy": by,
        })
    };
    let derivative = out.join(DERIVATIVE);
    write_json(
        &out.join("dataset_description.json"),
        &description("Synthetic brains", "raw"),
    )?;
    write_json(
        &derivative.join("dataset_description.json"),
        &description("Labels of synthetic brains", "derivative"),
    )?;
    let text = "Images of synthetic brains, made by `amaes synth` with `code/synth.toml`. \
                No person was scanned. Labels are in `derivatives/labels`.\n";
    write_bytes(&out.join("README"), text.as_bytes())?;
    if config.labels.path.is_none() {
        let mut table = String::from("index\tname\tcolor\n");
        for e in label_table().0 {
            let [r, g, b] = e.color;
            let _ = writeln!(table, "{}\t{}\t#{r:02x}{g:02x}{b:02x}", e.value, e.name);
        }
        write_bytes(&derivative.join("desc-tissue_dseg.tsv"), table.as_bytes())?;
    }
    if !config.kinds().is_empty() {
        let mut table = String::from("index\tname\n");
        for (i, name) in config.lesion_labels().iter().enumerate() {
            let _ = writeln!(table, "{i}\t{name}");
        }
        write_bytes(&derivative.join("desc-lesion_dseg.tsv"), table.as_bytes())?;
    }
    write_json(
        &out.join("participants.json"),
        &json!({
            "age": {"Description": "age", "Units": "year"},
            "sex": {"Description": "sex", "Levels": {"F": "female", "M": "male"}},
            "site": {"Description": "scanner and protocol that the images imitate"},
            "lesion": {"Description": "kind of the lesion"},
            "seed": {"Description": "what the subject was drawn from"},
            "lesion_volume": {"Description": "volume of the lesion, all labels", "Units": "mL"},
            "source": {"Description": "label map that the images were made of"},
        }),
    )
}

/// Writes `participants.tsv`.
pub(super) fn end(out: &Path, participants: &[Participant]) -> Result<()> {
    let mut table =
        String::from("participant_id\tage\tsex\tsite\tlesion\tseed\tlesion_volume\tsource\n");
    for p in participants {
        let source = p.source.as_deref().unwrap_or("n/a");
        let _ = writeln!(
            table,
            "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{source}",
            p.participant_id, p.age, p.sex, p.site, p.lesion, p.seed, p.lesion_volume,
        );
    }
    Ok(write_bytes(
        &out.join("participants.tsv"),
        table.as_bytes(),
    )?)
}
