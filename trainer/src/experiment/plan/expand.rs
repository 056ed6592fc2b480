//! From the grids of a matrix to its cells.

mod made;
mod stages;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use amaes_core::augment::AugmentConfig;
use serde_json::json;
use toml::Table;

use self::made::{DATA, Meaning, PREPROCESSING, STORE};
use self::table::{
    backbone_name, cell_name, merge, optional, section, seed_value, set, set_backbone, size_name,
};
use super::{Axes, Cell, Plan, Pretraining, Start, Test};
use crate::error::WithPath;
use crate::experiment::error::{ExperimentError, Result};
use crate::experiment::identity::{identity, relevant};
use crate::experiment::matrix::{
    BackboneConfig, Grid, IN_DOMAIN, Matrix, SizedBackbone, TaskConfig,
};
use crate::experiment::variant::{Variant, built_in};
use crate::labelled::DatasetConfig;
use crate::train::backbone::Backbone;
use crate::train::config::{CorpusSize, PretrainConfig};
use crate::train::export::MODEL;
use crate::train::finetune::{FinetuneConfig, Transfer};

/// The variant of a name: the matrix's own, or one that every matrix has.
pub(super) fn variant_of(matrix: &Matrix, name: &str) -> Option<Variant> {
    let own = matrix.variants.get(name).cloned();
    own.or_else(|| built_in(name, &augment(matrix)))
}

/// The augmentation that variants of pretraining change.
fn augment(matrix: &Matrix) -> AugmentConfig {
    let section = matrix.pretrain.get("augment").cloned();
    // What is wrong with it is said where the whole configuration is read.
    section.and_then(|s| s.try_into().ok()).unwrap_or_default()
}

/// A plan in the making.
pub(super) struct Expansion {
    path: PathBuf,
    plan: Plan,
    /// Data by name.
    made: BTreeMap<String, usize>,
    /// Pretrainings by identity.
    known: BTreeMap<String, usize>,
    /// Finetuning configurations of the tasks.
    tasks: BTreeMap<String, Table>,
}

impl Expansion {
    pub(super) fn new(matrix: Matrix, path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            plan: Plan {
                matrix,
                data: Vec::new(),
                pretrainings: Vec::new(),
                cells: Vec::new(),
            },
            made: BTreeMap::new(),
            known: BTreeMap::new(),
            tasks: BTreeMap::new(),
        }
    }

    pub(super) fn plan(mut self) -> Result<Plan> {
        self.data()?;
        for (name, task) in self.plan.matrix.tasks.clone() {
            let table = self.task(&task)?;
            self.tasks.insert(name, table);
        }
        for grid in self.plan.matrix.grid.clone() {
            self.grid(&grid)?;
        }
        // Data that no cell needs are not made.
        self.sort();
        Ok(self.plan)
    }

    fn bad<T>(&self, field: &str, message: impl Into<String>) -> Result<T> {
        Err(ExperimentError::Matrix {
            path: self.path.clone(),
            field: field.to_owned(),
            message: message.into(),
        })
    }

    /// The finetuning configuration of a task.
    fn task(&self, task: &TaskConfig) -> Result<Table> {
        let mut table = match &task.config {
            Some(file) => {
                let path = self.path.parent().unwrap_or(Path::new("")).join(file);
                let text = std::fs::read_to_string(&path).with_path(&path)?;
                text.parse::<Table>().with_path(&path)?
            }
            None => Table::new(),
        };
        merge(&mut table, &self.plan.matrix.finetune);
        merge(&mut table, &task.finetune);
        Ok(table)
    }

    fn grid(&mut self, grid: &Grid) -> Result<()> {
        let matrix = &self.plan.matrix;
        let tasks = match grid.tasks.is_empty() {
            true => matrix.tasks.keys().cloned().collect(),
            false => grid.tasks.clone(),
        };
        let mut names = grid.pretraining.clone();
        if let Some(leave_out) = &grid.leave_out {
            names.extend(leave_out.variants(&augment(matrix)));
        }
        let mut variants = Vec::new();
        for name in names {
            match variant_of(matrix, &name) {
                Some(variant) => {
                    let trains = self.pretrains(&name, &variant)?;
                    variants.push((name, variant, trains));
                }
                None => {
                    return self.bad("grid.pretraining", format!("there is no variant `{name}`"));
                }
            }
        }
        let backbones = match grid.backbones.is_empty() {
            true => vec![self.base_backbone()?],
            false => grid.backbones.clone(),
        };
        let seeds = match grid.seeds.is_empty() {
            true => matrix.seeds.clone(),
            false => grid.seeds.clone(),
        };
        let sizes = optional(&grid.corpus);
        let labelled = optional(&grid.labelled);
        for task in &tasks {
            for backbone in &backbones {
                for (name, variant, trains) in &variants {
                    for &size in &sizes {
                        for &labelled in &labelled {
                            for &seed in &seeds {
                                let axes = Axes {
                                    task: task.clone(),
                                    backbone: backbone_name(backbone),
                                    pretraining: name.clone(),
                                    corpus: size.filter(|_| *trains),
                                    labelled,
                                    seed,
                                };
                                let cell = self.cell(axes, backbone, variant)?;
                                self.plan.cells[cell].kinds.insert(grid.kind);
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The encoder of `[pretrain]`.
    fn base_backbone(&self) -> Result<BackboneConfig> {
        let model = self.plan.matrix.pretrain.get("model");
        let Some(model) = model.and_then(toml::Value::as_table) else {
            return Ok(BackboneConfig::Published(Backbone::default()));
        };
        let backbone = match model.get("backbone") {
            Some(name) => match name.clone().try_into::<Backbone>() {
                Ok(backbone) => backbone,
                Err(error) => return self.bad("pretrain.model.backbone", error.to_string()),
            },
            None => Backbone::default(),
        };
        Ok(
            match model.get("filters").and_then(toml::Value::as_integer) {
                Some(filters) => BackboneConfig::Sized(SizedBackbone {
                    backbone,
                    filters: usize::try_from(filters).unwrap_or(0),
                }),
                None => BackboneConfig::Published(backbone),
            },
        )
    }

    /// Adds a cell, and before it the one that it goes on from; its place.
    fn cell(&mut self, axes: Axes, backbone: &BackboneConfig, variant: &Variant) -> Result<usize> {
        let before = variant
            .after
            .as_ref()
            .and_then(|after| Some((after.clone(), variant_of(&self.plan.matrix, after)?)));
        let start = match (before, &variant.weights, variant.scratch) {
            (Some((name, before)), _, _) => {
                let axes = Axes {
                    pretraining: name,
                    ..axes.clone()
                };
                Start::Cell(self.cell(axes, backbone, &before)?)
            }
            (None, Some(file), _) => Start::Weights(file.clone()),
            (None, None, true) => Start::Scratch,
            (None, None, false) => Start::Pretrained(self.pretraining(&axes, backbone, variant)?),
        };
        let name = cell_name(&axes);
        let mut table = self.tasks[&axes.task].clone();
        merge(&mut table, &variant.finetune);
        set_backbone(&mut table, backbone);
        set(&mut table, "run", "seed", seed_value(axes.seed));
        if let Some(n) = axes.labelled {
            set(&mut table, "split", "train", (n as i64).into());
        }
        if self.plan.matrix.draw_each_seed && section(&table, "split").contains_key("train") {
            set(&mut table, "split", "train_seed", seed_value(axes.seed));
        }
        if let Some(model) = table.get_mut("model").and_then(toml::Value::as_table_mut) {
            model.remove("weights");
        }

        // What determines the network ...
        let mut determined = table.clone();
        let mut needs = BTreeSet::new();
        for (table, meaning) in [
            (&mut determined, Meaning::Identity),
            (&mut table, Meaning::Place),
        ] {
            for path in [DATA, PREPROCESSING] {
                needs.extend(self.resolve(table, path, meaning)?);
            }
            let also = table.get_mut("also").and_then(toml::Value::as_table_mut);
            for also in also.into_iter().flat_map(|also| also.iter_mut()) {
                if let Some(also) = also.1.as_table_mut() {
                    needs.extend(self.resolve(also, DATA, meaning)?);
                }
            }
        }
        let read = |table: Table| {
            FinetuneConfig::from_table(table, &self.path)
                .map_err(|e| ExperimentError::train(&name, e))
        };
        let config = serde_json::to_value(read(determined)?).with_path(&self.path)?;
        let id = identity(&json!({
            "finetune": relevant(config),
            "start": match &start {
                Start::Scratch => "random".to_owned(),
                Start::Weights(file) => file.display().to_string(),
                Start::Pretrained(n) => format!("@{}", self.plan.pretrainings[*n].id),
                Start::Cell(n) => format!("after @{}", self.plan.cells[*n].id),
            },
        }));
        let mut same = self.plan.cells.iter();
        if let Some(known) = same.position(|c| c.id == id && c.name == name) {
            return Ok(known);
        }
        // ... and what it is made with.
        let data = section(&self.tasks[&axes.task], "data");
        let tests = self.tests(&axes.task, &data, &mut needs)?;
        let mut config = read(table)?;
        config.run.folder = self.plan.matrix.folder.join("finetuning");
        config.run.name = format!("{name}-{id}");
        config.run.device = self.plan.matrix.device;
        config.model.weights = match &start {
            Start::Scratch => None,
            Start::Weights(file) => Some(file.clone()),
            Start::Pretrained(n) => Some(self.plan.pretraining_folder(*n).join(MODEL)),
            Start::Cell(n) => Some(self.plan.finetuning_folder(*n).join(MODEL)),
        };
        if matches!(start, Start::Cell(_)) {
            config.model.transfer = Transfer::All;
        }
        let index = self.plan.cells.len();
        self.plan.cells.push(Cell {
            name,
            id,
            axes,
            kinds: BTreeSet::new(),
            start,
            finetune: config,
            tests,
            needs,
        });
        Ok(index)
    }

    fn pretraining(
        &mut self,
        axes: &Axes,
        backbone: &BackboneConfig,
        variant: &Variant,
    ) -> Result<usize> {
        let matrix = &self.plan.matrix;
        let mut table = matrix.pretrain.clone();
        merge(&mut table, &variant.pretrain);
        set_backbone(&mut table, backbone);
        if let Some(size) = axes.corpus {
            let value = match size {
                CorpusSize::Volumes(n) => toml::Value::Integer(n as i64),
                CorpusSize::Share(share) => toml::Value::Float(share),
            };
            set(&mut table, "data", "size", value);
        }
        if matrix.pretrain_each_seed {
            set(&mut table, "run", "seed", seed_value(axes.seed));
        }
        let mut parts = vec![axes.backbone.clone(), axes.pretraining.clone()];
        parts.extend(axes.corpus.map(size_name));
        if matrix.pretrain_each_seed {
            parts.push(format!("s{}", axes.seed));
        }
        let name = parts.join(".");
        let read = |table: Table| {
            PretrainConfig::from_table(table, &self.path)
                .map_err(|e| ExperimentError::train(format!("pretraining {name}"), e))
        };
        let mut determined = table.clone();
        let needs = self.resolve(&mut determined, STORE, Meaning::Identity)?;
        let config = serde_json::to_value(read(determined)?).with_path(&self.path)?;
        let id = identity(&json!({ "pretrain": relevant(config) }));
        if let Some(&known) = self.known.get(&id) {
            return Ok(known);
        }
        self.resolve(&mut table, STORE, Meaning::Place)?;
        let mut config = read(table)?;
        config.run.folder = matrix.folder.join("pretraining");
        config.run.name = format!("{name}-{id}");
        config.run.device = matrix.device;
        let index = self.plan.pretrainings.len();
        self.known.insert(id.clone(), index);
        self.plan.pretrainings.push(Pretraining {
            name,
            id,
            config,
            needs,
        });
        Ok(index)
    }

    /// The test sets of a task whose data are `data`.
    fn tests(&self, task: &str, data: &Table, needs: &mut BTreeSet<usize>) -> Result<Vec<Test>> {
        let matrix = &self.plan.matrix;
        let task = &matrix.tasks[task];
        let scored = json!({
            "segment": matrix.segment,
            "evaluate": matrix.evaluate,
            "labels": task.labels,
        });
        let mut tests = Vec::new();
        if task.in_domain {
            tests.push(Test {
                name: IN_DOMAIN.into(),
                id: identity(&scored),
                title: "in domain".into(),
                in_domain: true,
                labels: task.labels.clone(),
                data: None,
            });
        }
        for test in &task.tests {
            let mut table = Table::from_iter([("data".to_owned(), data.clone().into())]);
            if !test.sites.is_empty() {
                let sites = test.sites.iter().cloned().map(toml::Value::String);
                set(
                    &mut table,
                    "data",
                    "sites",
                    toml::Value::Array(sites.collect()),
                );
            }
            let over = Table::from_iter([("data".to_owned(), test.data.clone().into())]);
            merge(&mut table, &over);
            let read = |table: &Table| match section(table, "data").try_into::<DatasetConfig>() {
                Ok(config) => Ok(config),
                Err(e) => self.bad(&format!("tests.{}.data", test.name), e.to_string()),
            };
            let mut determined = table.clone();
            needs.extend(self.resolve(&mut determined, DATA, Meaning::Identity)?);
            let config = serde_json::to_value(read(&determined)?).with_path(&self.path)?;
            self.resolve(&mut table, DATA, Meaning::Place)?;
            tests.push(Test {
                name: test.name.clone(),
                id: identity(&json!({ "data": config, "scored": scored })),
                title: test.title.clone().unwrap_or_else(|| test.name.clone()),
                in_domain: test.in_domain,
                labels: task.labels.clone(),
                data: Some(read(&table)?),
            });
        }
        Ok(tests)
    }
}
