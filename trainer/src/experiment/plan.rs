//! The cells of a matrix, each with what determines it.

mod expand;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use amaes_core::label::Label;
use serde::{Deserialize, Serialize};

use self::expand::Expansion;
use super::error::{ExperimentError, Result};
use super::matrix::{CorpusConfig, GridKind, Matrix};
use super::state::Unit;
use crate::labelled::DatasetConfig;
use crate::store::Store;
use crate::synth::SynthConfig;
use crate::train::config::{CorpusSize, PretrainConfig};
use crate::train::corpus::Corpus;
use crate::train::finetune::FinetuneConfig;

/// Everything that a matrix asks for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The matrix.
    pub matrix: Matrix,
    /// Data to make; what others are made of comes first.
    pub data: Vec<Made>,
    /// Networks to pretrain.
    pub pretrainings: Vec<Pretraining>,
    /// Networks to finetune and to test, those that share a pretraining together.
    pub cells: Vec<Cell>,
}

/// Data that the experiment makes.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its name in the matrix.
    pub name: String,
    /// What determines it.
    pub id: String,
    /// Where it is.
    pub folder: PathBuf,
    /// How it is made.
    pub kind: MadeKind,
    /// Other data that it is made of.
    pub needs: Option<usize>,
}

/// How data are made.
#[derive(Clone, Debug)]
pub enum MadeKind {
    /// A tree of synthetic subjects.
    Synth(Box<SynthConfig>),
    /// A store, of the images in a folder.
    Corpus(CorpusConfig),
}

/// A network to pretrain.
#[derive(Clone, Debug)]
pub struct Pretraining {
    /// Its name, without what determines it.
    pub name: String,
    /// What determines it.
    pub id: String,
    /// The run.
    pub config: PretrainConfig,
    /// The store, where the experiment makes it.
    pub needs: Option<usize>,
}

/// What a network is finetuned from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Random weights.
    Scratch,
    /// A file.
    Weights(PathBuf),
    /// One of the plan's pretrainings.
    Pretrained(usize),
    /// The network of another cell of the plan, which comes before it.
    Cell(usize),
}

/// Where a cell lies in the matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axes {
    /// The task.
    pub task: String,
    /// The encoder and its filters.
    pub backbone: String,
    /// The variant of pretraining.
    pub pretraining: String,
    /// Size of the corpus, where the grid has sizes and the variant pretrains.
    pub corpus: Option<CorpusSize>,
    /// Labelled cases, where the grid says how many.
    pub labelled: Option<usize>,
    /// Seed of finetuning.
    pub seed: u64,
}

/// A network to finetune and to test.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Its name, without what determines it.
    pub name: String,
    /// What determines the network.
    pub id: String,
    /// Where it lies in the matrix.
    pub axes: Axes,
    /// The tables that show it.
    pub kinds: BTreeSet<GridKind>,
    /// What it is finetuned from.
    pub start: Start,
    /// The run.
    pub finetune: FinetuneConfig,
    /// Its test sets.
    pub tests: Vec<Test>,
    /// Data that the experiment makes for it.
    pub needs: BTreeSet<usize>,
}

/// A test set.
#[derive(Clone, Debug)]
pub struct Test {
    /// Its name.
    pub name: String,
    /// What determines its scores, beside the network.
    pub id: String,
    /// What tables call it.
    pub title: String,
    /// Whether it is from where the task's cases are from.
    pub in_domain: bool,
    /// Labels that are scored; all without.
    pub labels: Vec<Label>,
    /// The cases; those that the task's division left for testing without.
    pub data: Option<DatasetConfig>,
}

impl Plan {
    /// The cells of a matrix, which is read from `path`.
    ///
    /// # Errors
    ///
    /// [`ExperimentError`] with the file, and the field or the configuration that makes no sense.
    pub fn read(path: &Path) -> Result<Self> {
        Self::new(Matrix::read(path)?, path)
    }

    /// The cells of a matrix; errors call it `path`, and files beside it are found from there.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn new(matrix: Matrix, path: &Path) -> Result<Self> {
        Expansion::new(matrix, path).plan()
    }

    /// The cell of a name, with what determines it or without.
    ///
    /// # Errors
    ///
    /// [`ExperimentError::NoCell`].
    pub fn find(&self, name: &str) -> Result<usize> {
        let is = |cell: &Cell| cell.name == name || cell.folder_name() == name;
        let found = self.cells.iter().position(is);
        found.ok_or_else(|| ExperimentError::NoCell(name.to_owned()))
    }

    /// A cell, the one that it goes on from, and so on to the first.
    fn stages(&self, cell: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(cell), |&cell| match self.cells[cell].start {
            Start::Cell(before) => Some(before),
            _ => None,
        })
    }

    /// The first of the cells that lead to one.
    pub(super) fn first_stage(&self, cell: usize) -> usize {
        self.stages(cell).last().unwrap_or(cell)
    }

    /// The pretraining that a cell begins with, or the first of those that it goes on from.
    pub fn pretraining_of(&self, cell: usize) -> Option<usize> {
        match self.cells[self.first_stage(cell)].start {
            Start::Pretrained(n) => Some(n),
            _ => None,
        }
    }

    /// Some cells and those that they go on from, these first.
    pub fn with_earlier(&self, cells: &[usize]) -> Vec<usize> {
        let all: BTreeSet<usize> = cells.iter().flat_map(|&c| self.stages(c)).collect();
        all.into_iter().collect()
    }

    /// The folder of a pretraining.
    pub fn pretraining_folder(&self, index: usize) -> PathBuf {
        self.pretrainings[index].config.folder()
    }

    /// The folder of a cell's run.
    pub fn finetuning_folder(&self, cell: usize) -> PathBuf {
        let name = self.cells[cell].folder_name();
        self.matrix.folder.join("finetuning").join(name)
    }

    /// The folder of the segmentations and scores of a cell's test set.
    pub fn test_folder(&self, cell: usize, test: usize) -> PathBuf {
        let name = self.cells[cell].tests[test].folder_name();
        self.tests_folder(cell).join(name)
    }

    /// The folder of all of a cell's test sets.
    pub(super) fn tests_folder(&self, cell: usize) -> PathBuf {
        let name = self.cells[cell].folder_name();
        self.matrix.folder.join("tests").join(name)
    }

    /// Steps of a unit's run, where it has one and they are known: those of a pretraining may depend
    /// on a store that is not there yet.
    pub fn steps(&self, unit: Unit) -> Option<u64> {
        match unit {
            Unit::Data(_) => None,
            Unit::Pretraining(index) => {
                let config = &self.pretrainings[index].config;
                config.training.steps.or_else(|| {
                    let store = Store::open(&config.data.store).ok()?;
                    Some(config.steps(Corpus::new(store, config).ok()?.volumes()))
                })
            }
            Unit::Cell(index) => Some(self.cells[index].finetune.steps()),
        }
    }

    /// What tables call a variant of pretraining.
    pub fn variant_title(&self, name: &str) -> String {
        expand::variant_of(&self.matrix, name)
            .and_then(|v| v.title)
            .unwrap_or_else(|| name.to_owned())
    }

    /// What tables call a task.
    pub fn task_title(&self, name: &str) -> String {
        let task = self.matrix.tasks.get(name);
        let title = task.and_then(|t| t.title.clone());
        title.unwrap_or_else(|| name.to_owned())
    }
}

impl Made {
    /// What is to be read: the tree or the store.
    pub fn path(&self) -> PathBuf {
        match self.kind {
            MadeKind::Synth(_) => self.folder.join("tree"),
            MadeKind::Corpus(_) => self.folder.join("store"),
        }
    }

    /// The preprocessing of a store's volumes, as JSON.
    pub fn plan_path(&self) -> PathBuf {
        self.folder.join("plan.json")
    }
}

impl Cell {
    fn folder_name(&self) -> String {
        format!("{}-{}", self.name, self.id)
    }
}

impl Test {
    fn folder_name(&self) -> String {
        format!("{}-{}", self.name, self.id)
    }
}
