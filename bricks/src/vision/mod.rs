//! Vision: a picture becomes rows that a language model reads in place, from llama.cpp's `mmproj` GGUF files.
//!
//! - [`Picture`]: a decoded image file, bounded before anything is allocated; [`PictureDigest`]: what it is known by
//! - [`Preprocess`], [`Framing`]: how a picture becomes the squares that the model was trained on; [`Preparation`]: one
//!   picture on its way there, in jobs; [`Pixels`]: a square
//! - [`VisionConfig`], [`VisionEncoder`]: a vision transformer of CLIP's or SigLIP's kind
//! - [`Encoding`]: one square on its way through the encoder, a few layers a job
//! - [`Projector`]: patch embeddings to rows of the language model's width, written straight into a slot where the
//!   picture's [`Arrangement`] has them
//! - [`Embeddings`]: such rows on their way, with what they were made of and how a prompt takes them in: [`RowLayout`]
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use nanomind_bricks::Gguf;
//! use nanomind_bricks::vision::{Encoding, Picture, PictureLimits, Projector, Square, VisionEncoder};
//! use nanomind_hal::Lane;
//! use nanomind_hal::tabm::{ElementType, SlotGeometry, SlotPool};
//! use nanomind_kernels::Isa;
//!
//! let (isa, lane) = (Isa::detect(), Lane::spawn(2, None)?);
//! let gguf = Arc::new(Gguf::open("mmproj.gguf")?);
//! let encoder = Arc::new(VisionEncoder::load(&gguf, isa, &lane, &mut |_| {})?);
//! let projector = Projector::load(&gguf, isa, &lane, &mut |_| {})?;
//! let pool = |max_tokens, width| {
//!     SlotPool::new(SlotGeometry { slots: 1, max_tokens, width, element: ElementType::F32 })
//! };
//! let patches = pool(encoder.config().patches(), projector.patch_width())?;
//! let tokens = pool(projector.config().most_rows, projector.width())?;
//!
//! let picture = Arc::new(Picture::open("photo.jpg", &PictureLimits::default())?);
//! let mut preparation = encoder.config().preprocess().prepare(picture);
//! while !preparation.is_complete() {
//!     preparation.advance(&lane);
//! }
//! let arrangement = projector.arrange(preparation.plan());
//! let mut slot = tokens.try_acquire().ok_or("no slot is free")?;
//! let (mut encoding, mut projection) = (Encoding::new(encoder.clone())?, projector.projection());
//! for tile in 0..preparation.plan().count() {
//!     encoding.begin(&lane, &preparation.tile(&lane, tile))?;
//!     while !encoding.is_complete() {
//!         encoding.advance(&lane, 4);
//!     }
//!     let encoded = encoding.publish(&lane, patches.try_acquire().ok_or("no slot is free")?)?;
//!     let square = Square { arrangement: &arrangement, tile, patches: encoded.rows_f32() };
//!     let blocks = 0..projector.config().blocks();
//!     projector.project(&lane, &mut projection, square, blocks, &mut slot)?;
//! }
//! let seen = slot.publish(arrangement.rows());
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
mod fields;
mod frame;
mod framing;
mod layout;
mod motion;
mod motion_jpeg;
mod picture;
mod preparation;
mod preprocess;
mod projector;
mod resample;
mod resizing;
mod slot;
mod thumbnail;

pub use config::{Activation, VisionConfig};
pub use digest::PictureDigest;
pub use embeddings::Embeddings;
pub use encoder::VisionEncoder;
pub use encoding::Encoding;
pub use error::{PictureError, VisionError};
pub use framing::{Framing, TilePlan};
pub use layout::{RowLayout, Span};
pub use motion::{Luma, MotionGate, MotionThreshold};
pub use picture::{Picture, PictureLimits};
pub use preparation::Preparation;
pub use preprocess::{Pixels, Preprocess};
pub use projector::{Arrangement, Merge, Projection, Projector, ProjectorConfig, ProjectorKind, Square};
pub use thumbnail::Thumbnail;
