//! `amaes inspect`: what is in a model or weights file.

use std::path::PathBuf;

use amaes::model::{Opened, open};
use amaes_core::label::{LabelEntry, LabelTable};
use amaes_core::model::Spec;
use amaes_core::preprocess::Plan;
use amaes_core::weights::{Format, Hints, Provenance};
use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::{BesideArgs, print, print_json, text};

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// .amaes, PyTorch, safetensors or burnpack, or a TensorFlow.js folder
    file: PathBuf,
    /// List every tensor
    #[arg(long)]
    keys: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    beside: BesideArgs,
}

#[derive(Serialize)]
struct Description<'a> {
    file: PathBuf,
    format: Format,
    spec: &'a Spec,
    parameters: usize,
    plan: &'a Plan,
    labels: &'a LabelTable,
    hints: &'a Hints,
    provenance: &'a Provenance,
    notes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    tensors: Option<Vec<Tensor>>,
}

#[derive(Serialize)]
struct Tensor {
    name: String,
    shape: Vec<usize>,
}

impl Inspect {
    pub(super) fn run(&self) -> Result<()> {
        let Opened {
            file,
            format,
            notes,
        } = open(&self.file, &self.beside.beside())?;
        let tensors = || {
            file.state.iter().map(|(name, data)| Tensor {
                name: name.into(),
                shape: data.shape().to_vec(),
            })
        };
        let description = Description {
            file: self.file.clone(),
            format,
            spec: &file.spec,
            parameters: file.state.num_values(),
            plan: &file.plan,
            labels: &file.labels,
            hints: &file.hints,
            provenance: &file.provenance,
            notes: &notes,
            tensors: self.keys.then(|| tensors().collect()),
        };
        match self.json {
            true => print_json(&description),
            false => print(&description.text()?),
        }
    }
}

impl Description<'_> {
    fn text(&self) -> Result<String> {
        let mut out = String::new();
        let mut row = |name: &str, value: &str| out.push_str(&format!("{name:<14} {value}\n"));
        row("file", &self.file.display().to_string());
        row("format", &self.format.to_string());
        row("network", self.spec.name());
        if let serde_json::Value::Object(fields) = serde_json::to_value(self.spec)? {
            for (name, value) in fields.iter().filter(|(name, _)| *name != "network") {
                row(&format!("  {name}"), &value.to_string());
            }
        }
        row(
            "parameters",
            &format!(
                "{} ({:.2} M)",
                self.parameters,
                self.parameters as f64 / 1e6
            ),
        );
        for (i, step) in self.plan.steps.iter().enumerate() {
            row(
                if i == 0 { "plan" } else { "" },
                &serde_json::to_string(step)?,
            );
        }
        if let Some(patch) = self.hints.patch {
            row("patch", &patch.map(|n| n.to_string()).join(" x "));
        }
        row("source", &self.provenance.source);
        let more = [
            ("licence", &self.provenance.licence),
            ("url", &self.provenance.url),
            ("sha256", &self.provenance.sha256),
            ("notes", &self.provenance.notes),
        ];
        for (name, value) in more {
            if let Some(value) = value {
                row(name, value);
            }
        }
        row("created by", &self.provenance.created_by);
        for note in self.notes {
            row("note", note);
        }
        let label = |e: &LabelEntry| {
            let [r, g, b] = e.color;
            vec![
                format!("  {:<4} {}", e.value, e.name),
                format!("#{r:02x}{g:02x}{b:02x}"),
            ]
        };
        let labels: Vec<_> = self.labels.0.iter().map(label).collect();
        out.push_str(&format!("\nlabels\n{}", text::table(&labels)));
        if let Some(tensors) = &self.tensors {
            let tensor = |t: &Tensor| vec![format!("  {}", t.name), format!("{:?}", t.shape)];
            let tensors: Vec<_> = tensors.iter().map(tensor).collect();
            out.push_str(&format!("\ntensors\n{}", text::table(&tensors)));
        }
        Ok(out)
    }
}
