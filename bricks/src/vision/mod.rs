//! Vision: a picture becomes rows that a language model reads in place, from llama.cpp's `mmproj` GGUF files.
//!
//! - [`Picture`]: a decoded image file, bounded before anything is allocated
//! - [`Preprocess`]: resize, crop and normalise as the model was trained: [`Pixels`]
//! - [`VisionConfig`], [`VisionEncoder`]: a vision transformer of CLIP's or SigLIP's kind
//! - [`Encoding`]: one picture on its way through the encoder, a few layers a job
//! - [`Projector`]: patch embeddings to rows of the language model's width, written straight into a slot
//!
//! Encoder and projector are two bricks: each is loaded by itself from the same file and may sit on its own accelerator.
//! Between the two, and from the projector to the language model, no embedding byte is copied.

mod config;
mod encoder;
mod encoding;
mod error;
mod picture;
mod preprocess;
mod projector;
mod resample;
mod slot;

pub use config::{Activation, VisionConfig};
pub use encoder::VisionEncoder;
pub use encoding::Encoding;
pub use error::{PictureError, VisionError};
pub use picture::{Picture, PictureLimits};
pub use preprocess::{Framing, Pixels, Preprocess};
pub use projector::{Projection, Projector};
