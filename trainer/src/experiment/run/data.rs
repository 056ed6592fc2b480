//! Makes the data that a matrix describes.

use amaes_core::preprocess::{Plan as Preprocessing, Step};

use super::{Event, Runner};
use crate::atomic::write_bytes;
use crate::corpus::Catalogue;
use crate::corpus::prepare::{self, PrepareOptions, prepare};
use crate::corpus::scan::{Everything, ScanOptions, scan};
use crate::error::WithPath;
use crate::experiment::error::Result;
use crate::experiment::matrix::CorpusConfig;
use crate::experiment::plan::{Made, MadeKind};
use crate::experiment::state::{Unit, set_done};
use crate::store::StoreOptions;
use crate::synth;

impl Runner<'_> {
    /// Makes data; whether all were made.
    pub(super) fn make(&mut self, index: usize) -> Result<bool> {
        let made = &self.plan.data[index];
        let unit = Unit::Data(index);
        (self.show)(self.plan, Event::Begun { unit, step: 0 });
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        match &made.kind {
            MadeKind::Synth(config) => {
                let tree = made.path();
                let made = synth::generate(config, &tree, threads, self.stop, &|_| {})?;
                if self.stopped() && made.made + made.present < made.total {
                    return Ok(false);
                }
                let images = serde_json::json!({ "subjects": made.total });
                set_done(&self.plan.data[index].folder, &images)?;
            }
            MadeKind::Corpus(config) => self.prepare(unit, made, config)?,
        }
        Ok(true)
    }

    fn prepare(&mut self, unit: Unit, made: &Made, config: &CorpusConfig) -> Result<()> {
        let input = match made.needs {
            Some(tree) => self.plan.data[tree].path(),
            None => config.input.clone(),
        };
        std::fs::create_dir_all(&made.folder).with_path(&made.folder)?;
        let path = made.folder.join("catalogue.sqlite");
        let mut catalogue = Catalogue::create(&path)?;
        scan(
            &mut catalogue,
            &input,
            &ScanOptions::default(),
            &Everything,
            &|_| {},
        )?;
        drop(catalogue);
        let plan = preprocessing(config);
        let json = serde_json::to_vec_pretty(&plan).with_path(&made.folder)?;
        write_bytes(&made.plan_path(), &json)?;
        let store = made.path();
        let options = PrepareOptions {
            store: StoreOptions {
                plan,
                ..StoreOptions::default()
            },
            resume: store.exists(),
            ..PrepareOptions::default()
        };
        let notes = std::sync::Mutex::new(Vec::new());
        let found = prepare(&path, &store, &options, &|event| {
            if let prepare::Event::Quarantined { path, reason, .. } = event
                && let Ok(mut notes) = notes.lock()
            {
                notes.push(format!("{path}: {reason}"));
            }
        })?;
        for text in notes.into_inner().unwrap_or_default() {
            (self.show)(self.plan, Event::Note { unit, text });
        }
        set_done(&made.folder, &found)
    }
}

/// The reference's preprocessing, on another grid where one is asked for.
fn preprocessing(config: &CorpusConfig) -> Preprocessing {
    let mut plan = Preprocessing::reference();
    for step in &mut plan.steps {
        if let (Step::Resample { spacing, .. }, Some(edge)) = (step, config.spacing) {
            *spacing = [edge; 3];
        }
    }
    plan
}
