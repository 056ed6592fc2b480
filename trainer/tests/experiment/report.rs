//! Tables of scores that are there.

use std::fs;
use std::path::Path;

use amaes::experiment::{DONE, Plan, Report, Start, Unit};
use serde_json::json;

use super::{Bench, MATRIX};

/// Writes that a cell is done, with Dice by test set and case.
fn finish(plan: &Plan, name: &str, tests: &[(&str, &[Option<f64>])]) {
    let index = plan.find(name).expect("a cell");
    let spent = json!({
        "steps": 20, "seconds": 1800.0, "median_s": 90.0, "memory_mib": 512.0,
        "parameters": 1000, "volumes": 20,
    });
    write(&plan.finetuning_folder(index).join(DONE), &spent);
    if let Start::Pretrained(p) = plan.cells[index].start {
        write(&plan.pretraining_folder(p).join(DONE), &spent);
    }
    for (test, dice) in tests {
        let cell = &plan.cells[index];
        let at = cell
            .tests
            .iter()
            .position(|t| t.name == *test)
            .expect("a test set");
        let scores = |dice: &Option<f64>| {
            json!({ "1": { "dice": dice, "reference_mm3": 1.0, "prediction_mm3": 1.0,
                           "reference_lesions": 1, "prediction_lesions": 1 } })
        };
        let cases = dice.iter().enumerate();
        let cases: Vec<_> = cases
            .map(|(n, d)| json!({ "id": format!("c{n}"), "subject": format!("s{n}"), "site": null, "labels": scores(d) }))
            .collect();
        let folder = plan.test_folder(index, at);
        let defaults = serde_json::to_value(amaes::evaluate::Evaluation::new(
            amaes::evaluate::Settings::default(),
            Vec::new(),
        ));
        let mut evaluation = defaults.expect("JSON");
        evaluation["cases"] = cases.into();
        write(&folder.join("evaluation.json"), &evaluation);
        write(
            &folder.join(DONE),
            &json!({ "cases": dice.len(), "seconds": 36.0 }),
        );
    }
    assert!(plan.is_done(Unit::Cell(index)), "{name}");
}

fn write(path: &Path, value: &serde_json::Value) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, value.to_string()).expect("written");
}

#[test]
fn tables_have_means_spreads_and_what_is_missing() {
    let bench = Bench::new();
    let matrix = format!(
        "{MATRIX}[[grid]]\nkind = \"ablation\"\ntasks = [\"a\"]\nbackbones = [\"unet-b\"]\npretraining = [\"none\", \"amaes\", \"skips\"]\nlabelled = [20]\n"
    );
    let plan = bench.plan(&matrix);
    let far = [Some(0.5); 6];
    let scratch = [Some(0.5), Some(0.6), Some(0.4), Some(0.5), Some(0.5), None];
    let better = [Some(0.7), Some(0.8), Some(0.6), Some(0.7), Some(0.7), None];
    let best = scratch.map(|d| d.map(|d| d + 0.4));
    finish(
        &plan,
        "a.unet-b.none.n20.s1",
        &[("test", &scratch), ("far", &far)],
    );
    finish(
        &plan,
        "a.unet-b.none.n20.s2",
        &[("test", &better), ("far", &far)],
    );
    finish(
        &plan,
        "a.unet-b.amaes.n20.s1",
        &[("test", &better), ("far", &far)],
    );
    let half = Report::of(&plan).expect("a report");
    let entry = |report: &Report, row: usize, column: usize| {
        let table = report.comparison.as_ref().expect("a table");
        table.rows[row].entries[column].clone().expect("an entry")
    };
    let table = half.comparison.as_ref().expect("a table");
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|c| format!("{}/{}", c.task, c.test))
        .collect();
    assert_eq!(columns, ["Task A/in domain", "Task A/far", "b/own"]);
    let rows: Vec<String> = table
        .rows
        .iter()
        .map(|r| format!("{} {}", r.row.backbone, r.title))
        .collect();
    assert_eq!(
        rows,
        [
            "unet-b none",
            "unet-b AMAES",
            "mednext-s-f4 none",
            "mednext-s-f4 AMAES"
        ]
    );

    let close = |found: f64, expected: f64| {
        assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
    };
    // Cases without a lesion on either side count for nothing: 0.5 and 0.7.
    let none = entry(&half, 0, 0);
    close(none.mean.expect("a mean"), 0.6);
    close(none.sd.expect("a spread"), 0.02f64.sqrt());
    assert!(none.difference.is_none() && !none.best);
    let amaes = entry(&half, 1, 0);
    assert_eq!((amaes.done, amaes.wanted, amaes.best), (1, 2, false));
    let difference = amaes.difference.expect("the first seed is in both");
    close(difference.mean, 0.2);
    // All five differences have one sign: two of 2^5 sign flips are as far from 0.
    close(difference.p, 2.0 / 32.0);
    assert_eq!((difference.subjects, difference.seeds), (5, 1));
    let missing = entry(&half, 2, 2);
    assert_eq!((missing.done, missing.mean), (0, None));
    let text = half.markdown();
    assert!(text.contains("60.00 ± 14.14"), "{text}");
    assert!(
        text.contains("70.00 (1 of 2 seeds) (+20.00, p = 0.062)"),
        "{text}"
    );
    assert!(
        text.contains("missing (0 of 2)") && text.contains("3 of 18 cells are done"),
        "{text}"
    );

    finish(
        &plan,
        "a.unet-b.amaes.n20.s2",
        &[("test", &best), ("far", &far)],
    );
    finish(
        &plan,
        "a.unet-b.skips.n20.s1",
        &[("test", &better), ("far", &far)],
    );
    let report = Report::of(&plan).expect("a report");
    let amaes = entry(&report, 1, 0);
    close(amaes.mean.expect("a mean"), 0.8);
    assert!(amaes.best && !entry(&report, 0, 0).best);
    close(amaes.difference.expect("both").mean, 0.2);
    // Equal scores differ by nothing.
    let same = entry(&report, 1, 1).difference.expect("both");
    close(same.mean, 0.0);
    close(same.p, 1.0);

    let ablation = report.ablation.as_ref().expect("a table");
    let rows: Vec<&str> = ablation.rows.iter().map(|r| r.title.as_str()).collect();
    assert_eq!(rows, ["none", "AMAES", "skips"]);
    assert!(
        ablation.rows[0].cost.is_none()
            && ablation.rows[1]
                .in_domain
                .as_ref()
                .is_some_and(|e| e.difference.is_none())
    );
    let cost = ablation.rows[1].cost.expect("a cost");
    assert_eq!(
        (cost.step_s, cost.hours, cost.parameters),
        (Some(90.0), Some(0.5), Some(1000))
    );
    // AMAES less itself without pretraining.
    close(
        ablation.rows[0]
            .in_domain
            .as_ref()
            .and_then(|e| e.difference)
            .expect("both")
            .mean,
        -0.2,
    );
    assert_eq!(report.compute.pretrainings, 2);
    close(report.compute.finetuning_h, 2.5);

    let folder = bench.folder.path().join("report");
    report.write(&folder).expect("written");
    let page = fs::read_to_string(folder.join("report.html")).expect("a page");
    assert!(
        page.contains("A &lt;test&gt;") && !page.contains("<test>"),
        "titles are escaped"
    );
    for bad in ["<script", "http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(bad), "{bad}");
    }
    let csv = fs::read_to_string(folder.join("comparison.csv")).expect("a table");
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 1 + 4 * 3);
    let fields = |line: &str| line.split(',').count();
    assert!(lines.iter().all(|l| fields(l) == fields(lines[0])), "{csv}");
}
