//! Loading a state dict into a burn module, and collecting one from it.
//!
//! A parameter's name is its path through the module's fields and indices. Names of enum variants
//! are left out, so that an enum of networks has the names of the network it holds.

use std::collections::HashSet;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData};

use super::report::{LoadReport, Mismatched};
use super::state_dict::values;
use super::{StateDict, WeightsError};
use crate::model::Spec;

/// Which parameters must be there.
#[derive(Clone, Copy, Debug, Default)]
pub enum Partial<'a> {
    /// All.
    #[default]
    None,
    /// Those of the encoder of the network that is loaded into. A head of the same names and
    /// shapes is not loaded.
    EncoderOnly(&'a Spec),
    /// Those of the encoder. Of the head, what is there in its shape is loaded.
    Matching(&'a Spec),
}

impl Partial<'_> {
    /// Whether a parameter must be there.
    fn requires(self, name: &str) -> bool {
        match self {
            Self::None => true,
            Self::EncoderOnly(spec) | Self::Matching(spec) => spec.in_encoder(name),
        }
    }
}

/// How [`load_into`] treats what does not fit.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions<'a> {
    /// Which parameters must be there.
    pub partial: Partial<'a>,
    /// Where the network reads `n` image channels and the weights were made for 1: repeat the
    /// first convolution along its input channels, divided by `n`, so that an image in all
    /// channels gives what it gave before.
    pub repeat_stem: bool,
}

/// First convolutions of the networks.
const STEMS: [&str; 6] = [
    "encoder.in_conv.conv1.conv.weight",
    "encoder.stem.weight",
    "encoder.stem.convs.0.conv.weight",
    "convs.0.weight",
    "layers.0.weight",
    "swinViT.patch_embed.proj.weight",
];

/// Loads the tensors of `state` into the parameters of `module`, as float32 on their device.
///
/// Tensors are converted one at a time. Parameters not initialised yet stay so until they are
/// loaded. Whether a parameter is trained stays as it is.
///
/// # Errors
/// [`WeightsError::Mismatch`] with the report if a wanted parameter is missing or has another
/// shape; tensors beyond the parameters are only reported. Nothing is loaded then.
pub fn load_into<M: Module>(
    module: M,
    state: &StateDict,
    options: &LoadOptions<'_>,
) -> Result<(M, LoadReport), WeightsError> {
    let expected = parameters_of(&module);
    let (plan, report) = checked_plan(&expected, state, options)?;
    let mut loader = Loader {
        path: Path::default(),
        state,
        plan: &plan,
        error: None,
    };
    let module = module.map(&mut loader);
    match loader.error {
        Some(error) => Err(error),
        None => Ok((module, report)),
    }
}

/// Puts the tensors of `from` in the place of those of `into`, as [`load_into`] loads them into a
/// module with the parameters of `into`.
///
/// # Errors
/// As [`load_into`].
pub fn transfer(
    into: &mut StateDict,
    from: &StateDict,
    options: &LoadOptions<'_>,
) -> Result<LoadReport, WeightsError> {
    let expected: Vec<_> = into
        .iter()
        .map(|(name, data)| (name.to_owned(), data.shape().to_vec()))
        .collect();
    let (plan, report) = checked_plan(&expected, from, options)?;
    for (name, shape) in &expected {
        if let Some(data) = plan.data(name, shape, from)? {
            into.replace(name, data);
        }
    }
    Ok(report)
}

/// What is to be done, where `options` allow it.
fn checked_plan(
    expected: &[(String, Vec<usize>)],
    state: &StateDict,
    options: &LoadOptions<'_>,
) -> Result<(Loading, LoadReport), WeightsError> {
    let (plan, report) = plan(expected, state, options);
    let lacks = report.missing.iter().any(|n| options.partial.requires(n));
    let differs = |m: &Mismatched| options.partial.requires(&m.name);
    if lacks || report.mismatched.iter().any(differs) || report.matched.is_empty() {
        return Err(WeightsError::Mismatch(Box::new(report)));
    }
    Ok((plan, report))
}

/// Names and shapes of a module's float parameters, without initialising them.
pub fn parameters_of<M: Module>(module: &M) -> Vec<(String, Vec<usize>)> {
    let mut lister = Lister::default();
    module.visit(&mut lister);
    lister.parameters
}

/// The float parameters of a module as float32, named as [`load_into`] names them.
///
/// # Errors
/// If two parameters have one name or one is not of a float type.
pub fn collect<M: Module>(module: &M) -> Result<StateDict, WeightsError> {
    let mut collector = Collector {
        path: Path::default(),
        state: StateDict::new(),
        error: None,
    };
    module.visit(&mut collector);
    match collector.error {
        Some(error) => Err(error),
        None => Ok(collector.state),
    }
}

/// What is to be done: names to load, and those of them to load repeated.
#[derive(Default)]
struct Loading {
    names: HashSet<String>,
    repeated: HashSet<String>,
}

impl Loading {
    /// The tensor for a parameter, or none if it keeps its value.
    fn data(
        &self,
        name: &str,
        shape: &[usize],
        state: &StateDict,
    ) -> Result<Option<TensorData>, WeightsError> {
        if !self.names.contains(name) {
            return Ok(None);
        }
        let data = state.f32(name)?;
        if !self.repeated.contains(name) {
            return Ok(Some(data));
        }
        let values = data
            .try_into_vec::<f32>()
            .map_err(|error| WeightsError::Io(std::io::Error::other(error.to_string())))?;
        Ok(Some(TensorData::new(
            repeat(&values, shape[0], shape[1]),
            shape.to_vec(),
        )))
    }
}

fn plan(
    expected: &[(String, Vec<usize>)],
    state: &StateDict,
    options: &LoadOptions<'_>,
) -> (Loading, LoadReport) {
    let mut report = LoadReport::compare(expected, state);
    let mut loading = Loading::default();
    if let Partial::EncoderOnly(spec) = options.partial {
        let (encoder, head) = report.matched.into_iter().partition(|n| spec.in_encoder(n));
        report.matched = encoder;
        report.missing.extend::<Vec<String>>(head);
        let (encoder, head): (Vec<Mismatched>, _) = report
            .mismatched
            .into_iter()
            .partition(|m| spec.in_encoder(&m.name));
        report.mismatched = encoder;
        report.missing.extend(head.into_iter().map(|m| m.name));
    }
    if options.repeat_stem {
        let (stems, others): (Vec<Mismatched>, _) =
            report.mismatched.into_iter().partition(repeatable);
        report.mismatched = others;
        let stems: Vec<String> = stems.into_iter().map(|m| m.name).collect();
        report.matched.extend(stems.iter().cloned());
        loading.repeated.extend(stems);
    }
    loading.names.extend(report.matched.iter().cloned());
    (loading, report)
}

/// A first convolution that differs in that it reads one channel where many are given.
fn repeatable(mismatched: &Mismatched) -> bool {
    let (expected, found) = (&mismatched.expected, &mismatched.found);
    STEMS.contains(&mismatched.name.as_str())
        && expected.len() == 5
        && found.len() == 5
        && found[1] == 1
        && expected[0] == found[0]
        && expected[2..] == found[2..]
}

/// Repeats a weight `[out, 1, ..]` to `[out, n, ..]` and divides it by `n`.
fn repeat(data: &[f32], out: usize, n: usize) -> Vec<f32> {
    let taps = data.len() / out.max(1);
    let filters = data.chunks_exact(taps.max(1));
    filters
        .flat_map(|filter| std::iter::repeat_n(filter, n).flatten())
        .map(|value| value / n as f32)
        .collect()
}

/// The way from the root to the current parameter.
#[derive(Default)]
struct Path(Vec<Option<String>>);

impl Path {
    fn enter(&mut self, name: &str, container: &str) {
        self.0
            .push((!container.starts_with("Enum")).then(|| name.to_owned()));
    }

    fn exit(&mut self) {
        self.0.pop();
    }

    fn name(&self) -> String {
        let parts: Vec<&str> = self.0.iter().flatten().map(String::as_str).collect();
        parts.join(".")
    }
}

#[derive(Default)]
struct Lister {
    path: Path,
    parameters: Vec<(String, Vec<usize>)>,
}

impl ModuleVisitor for Lister {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.parameters
            .push((self.path.name(), param.lazy_shape().to_vec()));
    }
}

struct Collector {
    path: Path,
    state: StateDict,
    error: Option<WeightsError>,
}

impl Collector {
    fn add(&mut self, data: TensorData) -> Result<(), WeightsError> {
        let name = self.path.name();
        let data = if data.dtype() == DType::F32 {
            data
        } else {
            TensorData::new(values(&name, &data)?, data.shape().clone())
        };
        self.state.insert(name, data)
    }
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.error.is_none()
            && let Err(error) = self.add(param.val().into_data())
        {
            self.error = Some(error);
        }
    }
}

struct Loader<'a> {
    path: Path,
    state: &'a StateDict,
    plan: &'a Loading,
    error: Option<WeightsError>,
}

impl ModuleMapper for Loader<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.error.is_some() {
            return param;
        }
        let shape = param.lazy_shape().to_vec();
        match self.plan.data(&self.path.name(), &shape, self.state) {
            Ok(Some(data)) => {
                let tensor = Tensor::from_data(data, (&param.lazy_device(), DType::F32));
                let id = param.id;
                param.transform_for_load(tensor, id)
            }
            Ok(None) => param,
            Err(error) => {
                self.error = Some(error);
                param
            }
        }
    }
}
