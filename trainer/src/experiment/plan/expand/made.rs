//! Data that a matrix describes, and the fields in which `@NAME` stands for them.

use serde_json::json;
use toml::Table;

use super::Expansion;
use super::table::{merge, section, set};
use crate::error::WithPath;
use crate::experiment::error::Result;
use crate::experiment::identity::identity;
use crate::experiment::matrix::Matrix;
use crate::experiment::plan::{Made, MadeKind};
use crate::synth::SynthConfig;

/// Fields in which `@NAME` stands for data that are made.
pub(super) const DATA: &str = "data.path";
pub(super) const STORE: &str = "data.store";
pub(super) const PREPROCESSING: &str = "model.plan";

/// What `@NAME` is replaced by.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    /// What determines the data.
    Identity,
    /// Where they are.
    Place,
}

impl Expansion {
    pub(super) fn data(&mut self) -> Result<()> {
        for (name, table) in self.plan.matrix.synth.clone() {
            let table = self.tree(&name, table)?;
            let config: SynthConfig = match table.try_into() {
                Ok(config) => config,
                Err(e) => return self.bad(&format!("synth.{name}"), e.to_string()),
            };
            config.sites()?;
            config.tissues()?;
            config.frame()?;
            let value = serde_json::to_value(&config).with_path(&self.path)?;
            let id = identity(&json!({ "synth": value }));
            self.add(name, id, MadeKind::Synth(Box::new(config)), None);
        }
        for (name, corpus) in self.plan.matrix.corpus.clone() {
            let (input, needs) = match Matrix::made(&corpus.input) {
                Some(tree) => {
                    let index = self.made(tree)?;
                    (format!("@{}", self.plan.data[index].id), Some(index))
                }
                None => (corpus.input.display().to_string(), None),
            };
            let id = identity(&json!({ "corpus": input, "spacing": corpus.spacing }));
            self.add(name, id, MadeKind::Corpus(corpus), needs);
        }
        Ok(())
    }

    /// The configuration of a tree: what it says over what the tree that is its `base` says, which
    /// may have a base too.
    fn tree(&self, name: &str, mut table: Table) -> Result<Table> {
        let trees = &self.plan.matrix.synth;
        let mut above = vec![name];
        while let Some(base) = table.remove("base") {
            let found = base.as_str().and_then(|base| trees.get_key_value(base));
            let Some((base, tree)) = found else {
                return self.bad(&format!("synth.{name}"), format!("there is no tree {base}"));
            };
            if above.contains(&base.as_str()) {
                return self.bad(
                    &format!("synth.{name}"),
                    format!("`{base}` is its own base"),
                );
            }
            above.push(base);
            let mut whole = tree.clone();
            merge(&mut whole, &table);
            table = whole;
        }
        Ok(table)
    }

    fn add(&mut self, name: String, id: String, kind: MadeKind, needs: Option<usize>) {
        let folder = self.plan.matrix.folder.join("data");
        self.made.insert(name.clone(), self.plan.data.len());
        self.plan.data.push(Made {
            folder: folder.join(format!("{name}-{id}")),
            name,
            id,
            kind,
            needs,
        });
    }

    /// The data of a name.
    fn made(&self, name: &str) -> Result<usize> {
        match self.made.get(name) {
            Some(&index) => Ok(index),
            None => self.bad(name, "there is neither [synth] nor [corpus] of that name"),
        }
    }

    /// Puts what `@NAME` stands for in its place: where the data are, or what determines them,
    /// wherever they are. Returns which data they are.
    pub(super) fn resolve(
        &self,
        table: &mut Table,
        path: &str,
        meaning: Meaning,
    ) -> Result<Option<usize>> {
        let Some((name, field)) = path.split_once('.') else {
            return Ok(None);
        };
        let value = section(table, name);
        let value = value.get(field).and_then(toml::Value::as_str);
        let Some(made) = value.and_then(|v| v.strip_prefix('@')) else {
            return Ok(None);
        };
        let index = self.made(made)?;
        let made = &self.plan.data[index];
        let is_tree = matches!(made.kind, MadeKind::Synth(_));
        if is_tree != (path == DATA) {
            return self.bad(path, format!("`@{}` is of the other kind", made.name));
        }
        let place = match (meaning, path) {
            (Meaning::Identity, _) => format!("@{}", made.id),
            (Meaning::Place, PREPROCESSING) => made.plan_path().display().to_string(),
            (Meaning::Place, _) => made.path().display().to_string(),
        };
        set(table, name, field, place.into());
        Ok(Some(index))
    }
}
