//! Vision: a picture becomes rows that a language model reads in place, from llama.cpp's `mmproj` GGUF files.
//!
//! - [`Picture`]: a decoded image file, bounded before anything is allocated; [`PictureDigest`]: what it is known by
//! - [`Preprocess`]: resize, crop and normalise as the model was trained: [`Pixels`]
//! - [`VisionConfig`], [`VisionEncoder`]: a vision transformer of CLIP's or SigLIP's kind
//! - [`Encoding`]: one picture on its way through the encoder, a few layers a job
//! - [`Projector`]: patch embeddings to rows of the language model's width, written straight into a slot
//! - [`Embeddings`]: such rows on their way, with what they were made of and how a prompt takes them in: [`RowLayout`]
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use nanomind_bricks::Gguf;
//! use nanomind_bricks::vision::{Encoding, Picture, PictureLimits, Projector, VisionEncoder};
//! use nanomind_hal::Lane;
//! use nanomind_hal::tabm::{ElementType, SlotGeometry, SlotPool};
//! use nanomind_kernels::Isa;
//!
//! let (isa, lane) = (Isa::detect(), Lane::spawn(2, None)?);
//! let gguf = Arc::new(Gguf::open("mmproj.gguf")?);
//! let encoder = Arc::new(VisionEncoder::load(&gguf, isa, &lane, &mut |_| {})?);
//! let projector = Projector::load(&gguf, isa, &lane, &mut |_| {})?;
//! let pool = |width| {
//!     let max_tokens = encoder.config().patches();
//!     SlotPool::new(SlotGeometry { slots: 1, max_tokens, width, element: ElementType::F32 })
//! };
//! let (patches, tokens) = (pool(projector.patch_width())?, pool(projector.width())?);
//!
//! let picture = Picture::open("photo.jpg", &PictureLimits::default())?;
//! let mut encoding = Encoding::new(encoder.clone())?;
//! encoding.begin(&lane, &encoder.config().preprocess().apply(&lane, &picture))?;
//! while !encoding.is_complete() {
//!     encoding.advance(&lane, 4);
//! }
//! let encoded = encoding.publish(&lane, patches.try_acquire().ok_or("no slot is free")?)?;
//! let mut slot = tokens.try_acquire().ok_or("no slot is free")?;
//! let rows = 0..encoded.tokens();
//! projector.project(&lane, &mut projector.projection(), encoded.rows_f32(), rows, &mut slot)?;
//! let seen = slot.publish(encoded.tokens());
//! # assert_eq!(seen.width(), projector.width());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Encoder and projector are two bricks: each is loaded by itself from the same file and may sit on its own accelerator.
//! Between the two, and from the projector to the language model, no embedding byte is copied.

mod config;
mod digest;
mod embeddings;
mod encoder;
mod encoding;
mod error;
mod frame;
mod layout;
mod motion_jpeg;
mod picture;
mod preprocess;
mod projector;
mod resample;
mod slot;
mod thumbnail;

pub use config::{Activation, VisionConfig};
pub use digest::PictureDigest;
pub use embeddings::Embeddings;
pub use encoder::VisionEncoder;
pub use encoding::Encoding;
pub use error::{PictureError, VisionError};
pub use layout::{RowLayout, Span};
pub use picture::{Picture, PictureLimits};
pub use preprocess::{Framing, Pixels, Preprocess};
pub use projector::{Projection, Projector};
pub use thumbnail::Thumbnail;
