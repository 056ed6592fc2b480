//! The networks: an encoder and a head each, described by a serialisable [`Spec`].

mod decoder;
mod error;
mod mednext;
mod meshnet;
mod resenc;
mod segments;
mod spec;
mod strided;
mod swin_unetr;
mod unet;

pub use self::decoder::{UNetDecoder, UNetDecoderConfig};
pub use self::error::SpecError;
pub use self::mednext::{
    MedNeXt, MedNeXtConfig, MedNeXtDecoder, MedNeXtEncoder, MedNeXtHead, MedNeXtNativeDecoder,
    MedNeXtOut,
};
pub use self::meshnet::{MeshNet, MeshNetConfig, MeshNetLayer};
pub use self::resenc::{
    ConvBlocks, ResEncDecoder, ResEncEncoder, ResEncStage, ResEncUNet, ResEncUNetConfig,
};
pub use self::segments::Tape;
pub use self::spec::{Model, Spec};
pub use self::strided::{Strided, StridedConfig, StridedKind, StridedLayer};
pub(crate) use self::swin_unetr::{
    SWIN_LIGHT_WIDTHS, SWIN_VIEWS_CODE, SWIN_VIEWS_LAYERS, SWIN_VIEWS_WIDTHS,
};
pub use self::swin_unetr::{
    SwinLightDecoder, SwinRestorer, SwinSegmenter, SwinTransformer, SwinTransformerConfig,
    SwinUNETR, SwinUNETRConfig, SwinUNETRHead, SwinViews, UnetrBlock, UnetrUpBlock,
};
pub use self::unet::{UNet, UNetConfig, UNetEncoder, UNetHead};
