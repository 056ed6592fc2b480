//! Cells of a matrix, what they share and what they need.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use amaes::experiment::{MadeKind, Plan, Start};
use amaes::synth::SynthConfig;
use amaes::train::finetune::Transfer;

use super::{Bench, MATRIX};

fn ids(plan: &Plan) -> BTreeMap<String, String> {
    let cells = plan.cells.iter();
    cells.map(|c| (c.name.clone(), c.id.clone())).collect()
}

#[test]
fn cells_share_what_they_need() {
    let bench = Bench::new();
    let plan = bench.plan(MATRIX);
    // Two tasks, two backbones, with and without pretraining, two seeds.
    assert_eq!((plan.cells.len(), plan.pretrainings.len()), (16, 2));
    assert_eq!(ids(&plan).len(), 16, "names differ");
    let cell = &plan.cells[plan.find("a.mednext-s-f4.amaes.n20.s2").expect("there")];
    let Start::Pretrained(pretraining) = cell.start else {
        panic!("{:?}", cell.start);
    };
    let pretraining = &plan.pretrainings[pretraining];
    assert_eq!(pretraining.name, "mednext-s-f4.amaes");
    assert_eq!(cell.finetune.model.filters, Some(4));
    assert_eq!(cell.finetune.run.seed, 2);
    assert_eq!(cell.finetune.split.train, Some(20));
    assert_eq!(cell.finetune.split.train_seed, Some(2));
    let weights = cell.finetune.model.weights.as_deref().expect("weights");
    assert!(weights.starts_with(pretraining.config.folder()));
    let names: Vec<_> = cell.tests.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["test", "far"]);
    assert_eq!(cell.tests[1].data.as_ref().expect("data").sites, ["b"]);

    // The same cells twice are the same cells.
    let twice = format!(
        "{MATRIX}[[grid]]\nkind = \"ablation\"\ntasks = [\"a\"]\nbackbones = [\"unet-b\"]\npretraining = [\"none\", \"amaes\", \"skips\"]\nlabelled = [20]\n"
    );
    let more = bench.plan(&twice);
    assert_eq!((more.cells.len(), more.pretrainings.len()), (18, 3));
    for (name, id) in ids(&plan) {
        assert_eq!(ids(&more)[&name], id, "{name}");
    }
}

#[test]
fn another_configuration_is_another_cell() {
    let bench = Bench::new();
    let before = ids(&bench.plan(MATRIX));
    let pretrained = |name: &str| name.contains("amaes");
    for (from, to, changed) in [
        // What does not change a result.
        ("seeds = [1, 2]", "seeds = [2, 1]", None),
        (
            "training.steps = 20",
            "training.steps = 20\noutput.keep = 9",
            None,
        ),
        (
            "data.store = \"none\"",
            "data.store = \"none\"\ndata.threads = 3",
            None,
        ),
        // What changes all, or what is pretrained.
        ("training.steps = 20", "training.steps = 21", Some(true)),
        ("split.test = 0.2", "split.test = 0.3", Some(true)),
        ("training.steps = 10", "training.steps = 11", Some(false)),
        ("\"none\"", "\"other\"", Some(false)),
    ] {
        let after = ids(&bench.plan(&MATRIX.replacen(from, to, 1)));
        for (name, id) in &before {
            let differs = match changed {
                None => false,
                Some(true) => true,
                Some(false) => pretrained(name),
            };
            assert_eq!(after[name] != *id, differs, "{to}: {name}");
        }
    }
}

#[test]
fn a_second_stage_goes_on_from_whole_networks() {
    let bench = Bench::new();
    let stages = |grid: &str| {
        format!(
            "{MATRIX}[variants.second]\nafter = \"first\"\nfinetune.training.steps = 5\n\
             [variants.first]\npretrain.training.steps = 3\n\
             [[grid]]\ntasks = [\"b\"]\nbackbones = [\"unet-b\"]\npretraining = [{grid}]\n"
        )
    };
    let plan = bench.plan(&stages("\"second\""));
    // The first stage is there though no grid names it, and no table shows it.
    assert_eq!((plan.cells.len(), plan.pretrainings.len()), (20, 3));
    for seed in [1, 2] {
        let find = |stage: &str| {
            plan.find(&format!("b.unet-b.{stage}.s{seed}"))
                .expect("there")
        };
        let (first, second) = (find("first"), find("second"));
        let cell = &plan.cells[second];
        assert_eq!(cell.start, Start::Cell(first));
        assert!(first < second && plan.cells[first].kinds.is_empty() && !cell.kinds.is_empty());
        assert_eq!(plan.with_earlier(&[second]), [first, second]);
        let pretraining = plan.pretraining_of(second).expect("pretrained");
        assert_eq!(plan.cells[first].start, Start::Pretrained(pretraining));
        assert_eq!(
            plan.pretrainings[pretraining].config.training.steps,
            Some(3)
        );
        let model = &cell.finetune.model;
        assert_eq!(model.transfer, Transfer::All);
        let weights = model.weights.as_deref().expect("weights");
        assert!(weights.starts_with(plan.finetuning_folder(first)));
        let steps = |cell: usize| plan.cells[cell].finetune.training.steps;
        assert_eq!((steps(first), steps(second)), (Some(20), Some(5)));
    }
    // A first stage that begins with a file stays first too.
    let file = stages("\"second\"").replace("pretrain.training.steps = 3", "weights = \"file\"");
    let from_file = bench.plan(&file);
    let second = from_file.find("b.unet-b.second.s1").expect("there");
    let first = from_file.find("b.unet-b.first.s1").expect("there");
    assert_eq!(from_file.with_earlier(&[second]), [first, second]);
    assert_eq!(from_file.pretraining_of(second), None);
    // What changes the first stage changes the second; the order of a grid changes nothing.
    let other =
        stages("\"second\"").replace("pretrain.training.steps = 3", "pretrain.training.steps = 4");
    assert_ne!(
        ids(&plan)["b.unet-b.second.s1"],
        ids(&bench.plan(&other))["b.unet-b.second.s1"]
    );
    for grid in ["\"first\", \"second\"", "\"second\", \"first\""] {
        let both = bench.plan(&stages(grid));
        assert_eq!(ids(&both), ids(&plan), "{grid}");
        assert!(both.cells.iter().all(|c| !c.kinds.is_empty()));
    }

    for (from, to, message) in [
        (
            "\"first\"\nf",
            "\"x\"\nf",
            "variants.second.after: there is no variant `x`",
        ),
        (
            "\"first\"\nf",
            "\"second\"\nf",
            "`second` comes after itself",
        ),
        (
            "\"first\"\nf",
            "\"first\"\nscratch = true\nf",
            "takes the place of scratch",
        ),
    ] {
        let text = stages("\"second\"").replacen(from, to, 1);
        let error = Plan::read(&bench.matrix(&text)).expect_err(to).to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn axes_multiply() {
    let bench = Bench::new();
    let grid = MATRIX.find("[[grid]]").expect("a grid");
    let matrix = |grid_text: &str| format!("{}[[grid]]\n{grid_text}", &MATRIX[..grid]);
    // Nothing is pretrained for `none`, whatever the size of the corpus.
    let plan = bench.plan(&matrix(
        "tasks = [\"a\"]\npretraining = [\"none\", \"amaes\"]\ncorpus = [0.1, 0.5, 1.0]\nlabelled = [5, 10]",
    ));
    assert_eq!(plan.pretrainings.len(), 3);
    assert_eq!(plan.cells.len(), 2 * 2 * (1 + 3));
    let sizes: Vec<String> = plan.pretrainings.iter().map(|p| p.name.clone()).collect();
    assert_eq!(
        sizes,
        ["unet-b.amaes.c0_1", "unet-b.amaes.c0_5", "unet-b.amaes.c1"]
    );

    // AMAES and eleven transforms left out.
    let plan = bench.plan(&matrix(
        "tasks = [\"a\"]\nkind = \"ablation\"\npretraining = [\"amaes\"]\nleave_out = \"all\"\nseeds = [7]",
    ));
    assert_eq!((plan.pretrainings.len(), plan.cells.len()), (12, 12));

    // Chains of layers are not pretrained, but stand beside what is.
    let text = MATRIX[..grid].replace(
        "split.test = 0.2",
        "split.test = 0.2\npatch.size = [64, 64, 96]",
    );
    let plan = bench.plan(&format!(
        "{text}[[grid]]\ntasks = [\"a\"]\nseeds = [7]\nbackbones = [\"resenc-l\", {{ backbone = \"resenc-b\", filters = 8 }}]\n\
         pretraining = [\"none\", \"amaes\"]\n[[grid]]\ntasks = [\"a\"]\nseeds = [7]\nbackbones = [\"meshnet\", \"strided\"]\npretraining = [\"none\"]",
    ));
    let names: Vec<&str> = plan.cells.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "a.resenc-b.none.s7",
            "a.resenc-b-f8.none.s7",
            "a.meshnet.none.s7",
            "a.strided.none.s7",
            "a.resenc-b.amaes.s7",
            "a.resenc-b-f8.amaes.s7",
        ]
    );

    // A pretraining for every seed.
    let text = matrix("tasks = [\"a\"]\npretraining = [\"amaes\"]");
    let plan = bench.plan(&format!("pretrain_each_seed = true\n{text}"));
    assert_eq!((plan.pretrainings.len(), plan.cells.len()), (2, 2));
    assert_eq!(plan.pretrainings[1].config.run.seed, 2);
}

#[test]
fn made_data_may_be_trained_on_beside_others() {
    let bench = Bench::new();
    let matrix = |seed: u64, path: &str| {
        let made = format!("[synth.made]\ncount = 3\nsites = [\"c\"]\nseed = {seed}\n");
        let also = format!("also.made = {{ share = 0.5, data.path = \"{path}\" }}");
        let training = "training.steps = 20";
        let text = MATRIX.replacen(training, &format!("{training}\n{also}"), 1);
        bench.matrix(&format!("{text}{made}"))
    };
    let plan = |seed| Plan::read(&matrix(seed, "@made")).unwrap_or_else(|e| panic!("{e}"));
    let (one, other) = (plan(1), plan(2));
    for cell in &one.cells {
        let also = &cell.finetune.also["made"];
        assert_eq!(also.data.path, one.data[0].path());
        assert!(cell.needs.contains(&0));
    }
    // What determines the data determines the cell.
    for (name, id) in ids(&one) {
        assert_ne!(ids(&other)[&name], id);
    }
    let error = Plan::read(&matrix(1, "@cake")).expect_err("none of that name");
    assert!(error.to_string().contains("cake"), "{error}");
}

#[test]
fn mistakes_are_named() {
    let bench = Bench::new();
    for (from, to, expected) in [
        ("\"amaes\"", "\"cake\"", "`cake`"),
        ("data.store = \"none\"", "data.store = \"@cake\"", "cake"),
        ("training.steps = 10", "training.cake = 10", "cake"),
        (
            "training.steps = 20",
            "training.steps = 0",
            "training.steps",
        ),
        ("filters = 4", "filters = 0", "filters"),
        ("\"mednext-s\"", "\"meshnet\"", "finetuned only"),
        (
            "data.path = \"nowhere\"",
            "data.path = \"nowhere\"\npatch.size = [100, 96, 96]",
            "multiples of 16",
        ),
        (
            "data.path = \"elsewhere\"",
            "data.cake = 1",
            "tests.own.data",
        ),
    ] {
        let path = bench.matrix(&MATRIX.replacen(from, to, 1));
        let error = Plan::read(&path).expect_err(to).to_string();
        assert!(error.contains(expected), "{to}: {error}");
    }
}

#[test]
fn ready_matrices_are_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let files = ["experiments", "models"].map(|f| fs::read_dir(root.join(f)).expect("a folder"));
    let mut found = 0;
    for entry in files.into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        let plan = Plan::read(&path).unwrap_or_else(|e| panic!("{e}"));
        assert!(!plan.cells.is_empty() && !plan.pretrainings.is_empty());
        let own = plan.matrix.folder.file_name() == path.file_stem();
        assert!(own, "{}: its folder is that of another", path.display());
        found += 1;
    }
    assert!(found >= 10, "{found} matrices");
}

#[test]
fn trees_have_what_their_base_has() {
    let bench = Bench::new();
    let trees = "[synth.first]\ncount = 3\nsites = [\"mine\"]\nsite.mine = { base = \"c\", noise = 0.2 }\n\
                 [synth.second]\nbase = \"first\"\nseed = 7\n\
                 [synth.third]\nbase = \"second\"\ncount = 4\nsite.mine.noise = 0.3\n";
    let plan = bench.plan(&format!("{MATRIX}{trees}"));
    let made: Vec<&SynthConfig> = plan
        .data
        .iter()
        .map(|made| match &made.kind {
            MadeKind::Synth(config) => &**config,
            MadeKind::Corpus(_) => panic!("{} is a tree", made.name),
        })
        .collect();
    assert_eq!((made[0].seed, made[1].seed), (1, 7));
    let seeded = SynthConfig {
        seed: 7,
        ..made[0].clone()
    };
    assert_eq!(*made[1], seeded);
    assert_ne!(plan.data[0].id, plan.data[1].id);
    let third = SynthConfig {
        count: 4,
        site: made[2].site.clone(),
        ..seeded
    };
    assert_eq!(*made[2], third);
    let mine = &third.site["mine"];
    assert_eq!(mine["base"].as_str(), Some("c"));
    assert_eq!(mine["noise"].as_float(), Some(0.3));
    for (base, named) in [
        ("fourth", "there is no tree"),
        ("last", "`last` is its own base"),
    ] {
        let text = format!("{MATRIX}{trees}[synth.last]\nbase = \"{base}\"\n");
        let error = Plan::read(&bench.matrix(&text))
            .expect_err(base)
            .to_string();
        assert!(
            error.contains("synth.last") && error.contains(named),
            "{error}"
        );
    }
}
