//! What determines a result, as a short number.

use amaes_core::weights::sha256;
use serde_json::{Map, Value};

/// Digits of an identity.
const DIGITS: usize = 12;

/// Settings that change where, when and how fast a run goes, but not its result.
const IRRELEVANT: [&str; 17] = [
    "run.name",
    "run.folder",
    "run.device",
    "data.threads",
    "data.queue",
    "data.memory_mib",
    "data.cache",
    "data.cache_mib",
    "loader.threads",
    "loader.queue",
    "loader.memory_mib",
    "training.checkpoint_activations",
    "output.checkpoint_every",
    "output.keep",
    "output.milestone",
    "output.picture_every",
    "output.tensorboard",
];

/// A number for a value, whatever the order of its fields.
pub(super) fn identity(value: &Value) -> String {
    let mut digits = sha256(sorted(value).to_string().as_bytes());
    digits.truncate(DIGITS);
    digits
}

/// The configuration of a run without what its result does not depend on.
pub(super) fn relevant(mut config: Value) -> Value {
    for path in IRRELEVANT {
        if let Some((section, field)) = path.split_once('.')
            && let Some(section) = config.get_mut(section).and_then(Value::as_object_mut)
        {
            section.shift_remove(field);
        }
    }
    config
}

/// The same with the fields of every object in the order of their names.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort();
            let fields = names.into_iter().map(|n| (n.clone(), sorted(&fields[n])));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(list) => list.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn identities_are_of_what_matters() {
        let config = |name: &str, lr: f64| {
            json!({
                "run": {"name": name, "seed": 1, "device": "flex"},
                "training": {"lr": lr},
                "output": {"keep": 3, "validate_every": 10},
            })
        };
        let of = |config| identity(&relevant(config));
        assert_eq!(of(config("a", 0.1)), of(config("b", 0.1)));
        assert_ne!(of(config("a", 0.1)), of(config("a", 0.2)));
        let other_order = json!({
            "output": {"validate_every": 10},
            "training": {"lr": 0.1},
            "run": {"seed": 1},
        });
        assert_eq!(of(config("a", 0.1)), of(other_order.clone()));
        assert_eq!(of(other_order).len(), DIGITS);
    }
}
