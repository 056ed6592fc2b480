//! Fields of configurations that are put together as tables, and names made of the axes.

use serde_json::Value as Json;
use toml::{Table, Value};

use crate::experiment::matrix::BackboneConfig;
use crate::experiment::plan::Axes;
use crate::train::backbone::Backbone;
use crate::train::config::CorpusSize;

/// Puts the fields of `over` into `table`; sections are joined, anything else is replaced.
pub(super) fn merge(table: &mut Table, over: &Table) {
    for (name, value) in over {
        match (table.get_mut(name), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            _ => {
                table.insert(name.clone(), value.clone());
            }
        }
    }
}

/// The values of an axis, or one that is not given.
pub(super) fn optional<T: Copy>(values: &[T]) -> Vec<Option<T>> {
    match values.is_empty() {
        true => vec![None],
        false => values.iter().copied().map(Some).collect(),
    }
}

/// TOML has whole numbers of 63 bits.
pub(super) fn seed_value(seed: u64) -> Value {
    Value::Integer(i64::try_from(seed).unwrap_or(i64::MAX))
}

pub(super) fn section(table: &Table, name: &str) -> Table {
    let section = table.get(name).and_then(Value::as_table);
    section.cloned().unwrap_or_default()
}

pub(super) fn set(table: &mut Table, section: &str, field: &str, value: Value) {
    let over = Table::from_iter([(field.to_owned(), value)]);
    merge(
        table,
        &Table::from_iter([(section.to_owned(), over.into())]),
    );
}

pub(super) fn set_backbone(table: &mut Table, backbone: &BackboneConfig) {
    let (backbone, filters) = backbone.parts();
    set(table, "model", "backbone", name_of(backbone).into());
    match filters {
        Some(filters) => set(table, "model", "filters", (filters as i64).into()),
        None => {
            if let Some(model) = table.get_mut("model").and_then(Value::as_table_mut) {
                model.remove("filters");
            }
        }
    }
}

/// The name of an encoder in a configuration.
fn name_of(backbone: Backbone) -> String {
    match serde_json::to_value(backbone) {
        Ok(Json::String(name)) => name,
        _ => unreachable!("an encoder is written as its name"),
    }
}

pub(super) fn backbone_name(backbone: &BackboneConfig) -> String {
    let (backbone, filters) = backbone.parts();
    match filters {
        Some(filters) => format!("{}-f{filters}", name_of(backbone)),
        None => name_of(backbone),
    }
}

pub(super) fn size_name(size: CorpusSize) -> String {
    match size {
        CorpusSize::Volumes(n) => format!("v{n}"),
        CorpusSize::Share(share) => format!("c{}", share.to_string().replace('.', "_")),
    }
}

pub(super) fn cell_name(axes: &Axes) -> String {
    let mut parts = vec![
        axes.task.clone(),
        axes.backbone.clone(),
        axes.pretraining.clone(),
    ];
    parts.extend(axes.corpus.map(size_name));
    parts.extend(axes.labelled.map(|n| format!("n{n}")));
    parts.push(format!("s{}", axes.seed));
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_joined() {
        let mut table: Table = "a = 1\n[s]\nx = 1\ny = [1, 2]".parse().expect("TOML");
        merge(
            &mut table,
            &"b = 2\n[s]\ny = [3]\n[s.t]\nz = 1".parse().expect("TOML"),
        );
        let expected: Table = "a = 1\nb = 2\n[s]\nx = 1\ny = [3]\n[s.t]\nz = 1"
            .parse()
            .expect("TOML");
        assert_eq!(table, expected);
    }
}
