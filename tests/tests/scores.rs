//! Statistics of scores against NumPy, SciPy and statsmodels.
//!
//! The numbers are made by `tests/reference/scores.py`.

use amaes::evaluate::statistics::{
    BootstrapConfig, Description, bootstrap_interval, holm, paired_test,
};
use serde_json::Value;

fn reference() -> Value {
    serde_json::from_str(include_str!("../reference/scores.json")).expect("JSON")
}

fn list(v: &Value) -> Vec<f64> {
    let list = v.as_array().expect("a list").iter();
    list.map(|n| n.as_f64().expect("a number")).collect()
}

fn entries<'a>(all: &'a Value, name: &str) -> &'a [Value] {
    all[name].as_array().expect("a list")
}

fn near(a: f64, b: f64, what: &str) {
    assert!((a - b).abs() <= 1e-9 * b.abs().max(1e-3), "{what}: {a} {b}");
}

fn agrees(found: Option<f64>, expected: &Value, what: &str) {
    match (found, expected.as_f64()) {
        (Some(a), Some(b)) => near(a, b, what),
        (a, b) => assert_eq!(a, b, "{what}"),
    }
}

#[test]
fn descriptions_agree_with_numpy() {
    let all = reference();
    for expected in entries(&all, "described") {
        let found = Description::of(&list(&expected["values"])).expect("values");
        agrees(Some(found.mean), &expected["mean"], "mean");
        agrees(found.sd, &expected["sd"], "sd");
        let quantiles = [
            found.min,
            found.lower_quartile,
            found.median,
            found.upper_quartile,
            found.max,
        ];
        for (a, b) in quantiles.into_iter().zip(list(&expected["quantiles"])) {
            near(a, b, "quantile");
        }
    }
    assert_eq!(Description::of(&[]), None);
    assert_eq!(Description::of(&[2.0]).expect("a value").sd, None);
}

#[test]
fn intervals_are_percentiles_of_resampled_subjects() {
    let all = reference();
    for expected in entries(&all, "bootstrap") {
        let groups = expected["groups"].as_array().expect("groups").iter();
        let values = groups
            .enumerate()
            .flat_map(|(subject, g)| list(g).into_iter().map(move |v| (subject, v)));
        let values: Vec<(usize, f64)> = values.collect();
        let config = BootstrapConfig {
            resamples: 2000,
            confidence: 0.9,
            seed: expected["seed"].as_u64().expect("a seed"),
        };
        let found = bootstrap_interval(values.iter().copied(), &config).expect("an interval");
        for (a, b) in found.into_iter().zip(list(&expected["interval"])) {
            near(a, b, "the same draws");
        }
        if let Some(scipy) = expected["scipy"].as_array() {
            let many = BootstrapConfig {
                resamples: 200_000,
                ..config
            };
            let found = bootstrap_interval(values, &many).expect("an interval");
            let width = found[1] - found[0];
            for (a, b) in found.into_iter().zip(scipy) {
                let b = b.as_f64().expect("a number");
                assert!((a - b).abs() < 0.01 * width, "{a} {b}");
            }
        }
    }
    let one = [("a", 0.5), ("a", 0.7)];
    assert_eq!(bootstrap_interval(one, &BootstrapConfig::default()), None);
}

#[test]
fn paired_tests_agree_with_scipy() {
    let all = reference();
    for expected in entries(&all, "paired") {
        let differences = list(&expected["differences"]);
        let n = differences.len();
        let pairs: Vec<[f64; 2]> = differences.iter().map(|&d| [d, 0.0]).collect();
        let found = paired_test(&pairs, 3).expect("pairs");
        assert_eq!(found.n, n);
        agrees(Some(found.mean_difference), &expected["mean"], "mean");
        agrees(Some(found.median_difference), &expected["median"], "median");
        agrees(found.cohen_d, &expected["d"], "d");
        if !expected["wilcoxon"].is_null() {
            let name = format!("Wilcoxon of {n}");
            agrees(Some(found.wilcoxon_p), &expected["wilcoxon"]["p"], &name);
            agrees(
                found.rank_biserial,
                &expected["wilcoxon"]["rank_biserial"],
                "rank-biserial",
            );
        }
        if !expected["permutation"].is_null() {
            assert!(found.permutation_exact);
            agrees(
                Some(found.permutation_p),
                &expected["permutation"],
                &format!("permutation of {n}"),
            );
        } else if n > 16 {
            assert!(!found.permutation_exact);
            // For that many pairs the three tests say about the same.
            let near = (found.permutation_p - found.wilcoxon_p).abs();
            assert!(near < 0.1, "{found:?}");
        }
        // The other way round the p-values are the same and the effect has the other sign.
        let turned: Vec<[f64; 2]> = differences.iter().map(|&d| [0.0, d]).collect();
        let turned = paired_test(&turned, 3).expect("pairs");
        assert_eq!(turned.wilcoxon_p, found.wilcoxon_p);
        assert_eq!(turned.permutation_p, found.permutation_p);
        assert_eq!(turned.rank_biserial, found.rank_biserial.map(|r| -r));
    }
    let same = paired_test(&[[0.3, 0.3]; 4], 1).expect("pairs");
    assert_eq!((same.wilcoxon_p, same.permutation_p), (1.0, 1.0));
    assert_eq!((same.rank_biserial, same.cohen_d), (None, None));
    assert_eq!(paired_test(&[], 1), None);
}

#[test]
fn correction_agrees_with_statsmodels() {
    let all = reference();
    for expected in entries(&all, "holm") {
        let found = holm(&list(&expected["p"]));
        for (a, b) in found.into_iter().zip(list(&expected["corrected"])) {
            near(a, b, "Holm");
        }
    }
    assert!(holm(&[]).is_empty());
}
