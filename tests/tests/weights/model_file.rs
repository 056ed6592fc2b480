//! The model file: what is written comes back, and nothing else does.

use amaes_core::label::LabelTable;
use amaes_core::model::{Spec, UNetConfig};
use amaes_core::preprocess::{Normalization, Plan, Step};
use amaes_core::weights::{
    Format, Hints, ModelFile, Precision, Provenance, StateDict, WeightsError, detect, sha256,
};
use burn::tensor::TensorData;
use burn_pack::{Bytes, DType, Reader, Tensor, Writer};

use super::{assert_same, filled, floats, import_tfjs, read_plain, shared, small_meshnet};

fn model() -> ModelFile {
    let spec = Spec::MeshNet(small_meshnet());
    ModelFile {
        state: filled(&spec),
        spec,
        plan: Plan {
            steps: vec![Step::conform(), Step::Normalize(Normalization::MinMax)],
        },
        labels: LabelTable::generic(3),
        hints: Hints {
            patch: Some([64, 64, 32]),
            overlap: Some(0.5),
        },
        provenance: Provenance {
            format: Some(Format::Tfjs),
            sha256: Some(sha256(b"source")),
            licence: Some("MIT".to_owned()),
            ..Provenance::new("model5_gw_ae")
        },
    }
}

fn write(model: &ModelFile, precision: Precision) -> Vec<u8> {
    let mut bytes = Vec::new();
    let sum = model.write(&mut bytes, precision).expect("sound");
    assert_eq!(sum.len(), 64);
    bytes
}

/// The tensors in the order of their names, as a model file has them.
fn sorted(state: &StateDict) -> StateDict {
    let mut named: Vec<_> = state.clone().into_iter().collect();
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut sorted = StateDict::new();
    for (name, data) in named {
        sorted.insert(name, data).expect("distinct");
    }
    sorted
}

fn assert_parts(a: &ModelFile, b: &ModelFile) {
    assert_eq!(a.spec, b.spec);
    assert_eq!(a.plan, b.plan);
    assert_eq!(a.labels, b.labels);
    assert_eq!(a.hints, b.hints);
    assert_eq!(a.provenance, b.provenance);
}

#[test]
fn what_is_written_comes_back() {
    let model = model();
    let bytes = write(&model, Precision::Full);
    assert_eq!(detect(&bytes).expect("known"), Format::ModelFile);
    let back = ModelFile::read(bytes.clone()).expect("sound");
    assert_parts(&model, &back);
    assert_same(&sorted(&model.state), &back.state);
    assert!(back.provenance.created_by.starts_with("amaes "));
    // burn and the reader of all formats see the same tensors.
    assert_same(&back.state, &read_plain(bytes).expect("a burnpack"));
}

/// Same contents, same bytes, whatever order the tensors came in.
#[test]
fn bytes_are_deterministic() {
    let model = model();
    let bytes = write(&model, Precision::Full);
    assert_eq!(write(&model, Precision::Full), bytes);
    let mut reversed = StateDict::new();
    for (name, data) in model.state.clone().into_iter().rev() {
        reversed.insert(name, data).expect("distinct");
    }
    let other = ModelFile {
        state: reversed,
        ..model
    };
    assert_eq!(write(&other, Precision::Full), bytes);
    let back = ModelFile::read(bytes.clone()).expect("sound");
    assert_eq!(write(&back, Precision::Full), bytes);
}

#[test]
fn half_precision_rounds_to_nearest_even() {
    let mut model = model();
    // Between 2048 and 2050 lies a tie, as does one between 2050 and 2052; 65519 rounds down.
    let values = vec![2049.0f32, 2051.0, 65519.0];
    model
        .state
        .replace("convs.2.bias", TensorData::new(values, [3]));
    let bytes = write(&model, Precision::Half);
    assert!(bytes.len() < write(&model, Precision::Full).len());
    let back = ModelFile::read(bytes.clone()).expect("sound");
    assert_eq!(
        back.state.get("convs.2.bias").map(TensorData::dtype),
        Some(DType::F16)
    );
    assert_eq!(
        floats(&back.state, "convs.2.bias"),
        [2048.0, 2052.0, 65504.0]
    );
    // Half precision loses nothing the second time.
    assert_eq!(write(&back, Precision::Half), bytes);

    let mut large = model.clone();
    large
        .state
        .replace("convs.2.bias", TensorData::new(vec![0.0f32, 1e5, 0.0], [3]));
    let error = large
        .write(&mut Vec::new(), Precision::Half)
        .expect_err("too large")
        .to_string();
    assert_eq!(
        error,
        "tensor `convs.2.bias` holds 100000, which float16 cannot hold"
    );
}

#[test]
fn eight_bits_are_within_half_a_step() {
    let model = model();
    let bytes = write(&model, Precision::Byte);
    let stored = read_plain(bytes.clone()).expect("a burnpack");
    let back = ModelFile::read(bytes.clone()).expect("sound");
    assert_parts(&model, &back);
    assert_eq!(back.state.len(), model.state.len());
    for (name, data) in model.state.iter() {
        let (wanted, found) = (floats(&model.state, name), floats(&back.state, name));
        if data.shape().len() < 2 {
            assert_eq!(wanted, found, "{name}");
            continue;
        }
        assert_eq!(stored.get(name).map(TensorData::dtype), Some(DType::I8));
        let row = wanted.len() / data.shape().as_slice()[0];
        for (wanted, found) in wanted.chunks(row).zip(found.chunks(row)) {
            let largest = wanted.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            // The largest value is kept, the others are a whole number of steps.
            let step = largest / 127.0;
            for (w, f) in wanted.iter().zip(found) {
                assert!((w - f).abs() <= 0.501 * step, "{name}: {w} {f}");
            }
        }
    }
    // It loses nothing the second time.
    let again = ModelFile::read(write(&back, Precision::Byte)).expect("sound");
    for name in back.state.names() {
        for (a, b) in floats(&again.state, name)
            .iter()
            .zip(floats(&back.state, name))
        {
            assert!((a - b).abs() <= 1e-6 * b.abs(), "{name}: {a} {b}");
        }
    }
    // The checksum is over what is stored.
    let is_found = |at: &usize| {
        let mut bytes = bytes.clone();
        bytes[*at] ^= 0x10;
        ModelFile::read(bytes).is_err()
    };
    let found = (0..bytes.len()).filter(is_found).count();
    assert!(found > model.state.num_values(), "{found}");

    let mut broken = model;
    let (name, shape) = {
        let (name, data) = broken
            .state
            .iter()
            .find(|(_, d)| d.shape().len() > 1)
            .expect("one");
        (name.to_owned(), data.shape().clone())
    };
    let values = vec![f32::INFINITY; shape.num_elements()];
    broken.state.replace(name, TensorData::new(values, shape));
    let error = broken
        .write(&mut Vec::new(), Precision::Byte)
        .expect_err("infinite");
    assert!(
        error.to_string().ends_with("which 8 bits cannot hold"),
        "{error}"
    );
}

/// Every flipped byte is found or changes nothing, as in the padding between tensors.
#[test]
fn every_change_is_found() {
    let model = model();
    let good = write(&model, Precision::Full);
    let mut found = 0;
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        match ModelFile::read(bytes) {
            Err(_) => found += 1,
            Ok(back) => {
                assert_parts(&model, &back);
                assert_same(&sorted(&model.state), &back.state);
            }
        }
    }
    assert!(found > model.state.num_values() * 4);
}

#[test]
fn cut_files_are_refused() {
    let good = write(&model(), Precision::Full);
    for len in 0..good.len() {
        let error = ModelFile::read(good[..len].to_vec()).expect_err("cut");
        assert!(
            matches!(
                error,
                WeightsError::Malformed {
                    format: Format::Burnpack,
                    ..
                }
            ),
            "{len}: {error}"
        );
    }
}

/// Writes the model's tensors with other metadata, as another program would.
fn forged(change: impl Fn(&str, &str) -> Option<String>) -> Vec<u8> {
    let reader =
        Reader::from_bytes(Bytes::from_bytes_vec(write(&model(), Precision::Full))).expect("sound");
    let metadata = reader.metadata().clone();
    let mut writer = Writer::new(reader.into_tensors().expect("sound"));
    for (key, value) in metadata {
        if let Some(value) = change(&key, &value) {
            writer = writer.with_metadata(&key, &value);
        }
    }
    writer.into_bytes().expect("sound").to_vec()
}

#[test]
fn other_files_are_refused() {
    let error = ModelFile::read(b"PK\x03\x04 and more bytes".to_vec()).expect_err("a zip");
    assert_eq!(error.to_string(), "burnpack file: it does not begin as one");
    let tensor = Tensor::new(
        "a".to_owned(),
        DType::F32,
        vec![1],
        None,
        Bytes::from_elems(vec![0f32]),
    );
    let plain = Writer::new(vec![tensor])
        .into_bytes()
        .expect("sound")
        .to_vec();
    assert_eq!(detect(&plain).expect("known"), Format::Burnpack);
    let error = ModelFile::read(plain).expect_err("no metadata");
    assert!(matches!(error, WeightsError::MissingEntry("amaes.version")));
    let mut future = write(&model(), Precision::Full);
    future[4] = 9;
    let error = ModelFile::read(future)
        .expect_err("a newer burnpack")
        .to_string();
    assert!(
        error.contains("written by a newer burn than version 1"),
        "{error}"
    );
}

#[test]
fn forged_metadata_is_refused() {
    let set = |entry: &'static str, value: Option<&'static str>| {
        let bytes = forged(|key, old| match value {
            _ if key != entry => Some(old.to_owned()),
            value => value.map(str::to_owned),
        });
        ModelFile::read(bytes).expect_err("forged")
    };
    let error = set("amaes.version", Some("2"));
    assert!(matches!(
        error,
        WeightsError::NewerVersion {
            found: 2,
            supported: 1
        }
    ));
    assert_eq!(
        error.to_string(),
        "model file of version 2; this amaes reads up to 1"
    );
    assert!(matches!(
        set("amaes.version", Some("x")),
        WeightsError::BadEntry { .. }
    ));
    assert!(matches!(
        set("amaes.sha256", None),
        WeightsError::MissingEntry("amaes.sha256")
    ));
    for entry in [
        "amaes.spec",
        "amaes.plan",
        "amaes.labels",
        "amaes.hints",
        "amaes.provenance",
    ] {
        assert!(
            matches!(set(entry, Some("{}")), WeightsError::Checksum { .. }),
            "{entry}"
        );
        assert!(
            matches!(set(entry, None), WeightsError::Checksum { .. }),
            "{entry}"
        );
    }
}

#[test]
fn parts_that_contradict_each_other_are_not_written() {
    let error = |model: ModelFile| {
        model
            .write(&mut Vec::new(), Precision::Full)
            .expect_err("contradicts")
            .to_string()
    };
    let other = ModelFile {
        spec: Spec::UNet(UNetConfig::b(1, 3)),
        ..model()
    };
    assert!(error(other).contains("the weights do not fit the network"));
    let labels = ModelFile {
        labels: LabelTable::generic(4),
        ..model()
    };
    assert!(error(labels).contains("4 labels for a network of 3 classes"));
    let mut more = model();
    more.state
        .insert("more", super::floats_data(&[1]))
        .expect("new");
    assert!(error(more).contains("tensors of no parameter: more"));
    let mut less = model();
    less.state.remove("convs.0.bias");
    assert!(error(less).contains("1 missing: convs.0.bias"));
    let hints = Hints {
        patch: Some([0, 1, 1]),
        overlap: None,
    };
    assert!(error(ModelFile { hints, ..model() }).contains("patch [0, 1, 1]"));
    let hints = Hints {
        patch: None,
        overlap: Some(1.0),
    };
    assert!(error(ModelFile { hints, ..model() }).contains("overlap 1"));
}

/// A disk that is full after some bytes.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0 == 0 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        let len = bytes.len().min(self.0);
        self.0 -= len;
        Ok(len)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let error = model()
        .write(&mut Full(1000), Precision::Full)
        .expect_err("full");
    assert!(matches!(error, WeightsError::Io(_)));
}

/// From TensorFlow.js and from safetensors the same model file comes out, byte for byte.
#[test]
fn sources_do_not_matter() {
    let Some(folder) = shared("weights", "sources_do_not_matter") else {
        return;
    };
    let tfjs = import_tfjs(&folder.join("brainchop/model5_gw_ae")).expect("a MeshNet");
    let file = folder.join("niivue-tinygrad/net_tissue_fast.safetensors");
    let (state, found) = super::import(&file, None).expect("a MeshNet");
    let file = |spec, state| ModelFile {
        spec,
        state,
        plan: found.plan.clone().expect("a plan"),
        labels: found.labels.clone().expect("labels"),
        hints: Hints::default(),
        provenance: Provenance::new("model5_gw_ae"),
    };
    let a = write(
        &file(Spec::MeshNet(tfjs.config), tfjs.state),
        Precision::Full,
    );
    let b = write(&file(found.spec.clone(), state), Precision::Full);
    assert_eq!(a, b);
}
