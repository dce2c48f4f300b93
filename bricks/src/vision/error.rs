//! Why an image file could not be read, or a picture could not be encoded.

use nanomind_hal::tabm::ElementType;

/// Why an image file could not be read. Each error names the file and what was found.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The file cannot be opened or read.
    #[error("{file}: {source}")]
    Unreadable {
        /// The image file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is longer than the limit.
    #[error("{file}: expected at most {limit} bytes, found more")]
    TooLong {
        /// The image file.
        file: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file is in none of the formats that are read here.
    #[error("{file}: expected a JPEG, PNG, WebP, BMP or GIF image, found {found}")]
    UnknownFormat {
        /// The image file.
        file: String,
        /// How the file begins, or what it is.
        found: String,
    },
    /// The header says that the image is larger than the limits.
    #[error("{file}: expected a {format} image of at most {expected}, found {found}")]
    TooLarge {
        /// The image file.
        file: String,
        /// The format by the file's first bytes.
        format: &'static str,
        /// The limit.
        expected: String,
        /// What the header says.
        found: String,
    },
    /// The bytes are not what the header promises.
    #[error("{file}: expected a whole {format} image, found a damaged one: {source}")]
    Damaged {
        /// The image file.
        file: String,
        /// The format by the file's first bytes.
        format: &'static str,
        /// What the decoder said.
        source: image::ImageError,
    },
    /// The file ends before the image does.
    #[error("{file}: expected a whole {format} image, found one that ends after {found} bytes")]
    Truncated {
        /// The image file.
        file: String,
        /// The format by the file's first bytes.
        format: &'static str,
        /// Bytes of the file.
        found: usize,
    },
    /// A camera's frame has another number of bytes than its size says.
    #[error("{file}: expected {expected} bytes of {coding} for {width} by {height} pixels, found {found}")]
    FrameLength {
        /// The frame's name.
        file: String,
        /// How its pixels are coded.
        coding: &'static str,
        /// Pixels of a row.
        width: usize,
        /// Rows.
        height: usize,
        /// Bytes that these take.
        expected: usize,
        /// Bytes that there are.
        found: usize,
    },
}

/// Why a picture could not be encoded or projected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VisionError {
    /// Pixels of another size.
    #[error("pixels are {found} by {found}, expected the encoder's {expected} by {expected}")]
    PixelSize {
        /// Side that the encoder takes.
        expected: usize,
        /// Side of the pixels.
        found: usize,
    },
    /// The rows were asked for before all layers were done.
    #[error("the picture is not encoded yet: {remaining} layers are left")]
    Incomplete {
        /// Layers that are left.
        remaining: usize,
    },
    /// Not enough memory to encode in.
    #[error("no memory for {tokens} tokens of a vision encoder")]
    Memory {
        /// Positions of the encoder.
        tokens: usize,
    },
    /// Patch embeddings of another width or number.
    #[error("a square of {found} values of patch embeddings, expected {expected}")]
    Patches {
        /// Values that the projector takes for a square.
        expected: usize,
        /// Values that there are.
        found: usize,
    },
    /// The slot's rows have another width.
    #[error("the slot's rows are {found} wide, expected {expected}")]
    SlotWidth {
        /// Width of the rows to write.
        expected: usize,
        /// Width of the slot.
        found: usize,
    },
    /// The slot has too few rows.
    #[error("the slot has room for {found} rows, expected at least {expected}")]
    SlotRows {
        /// Rows to write.
        expected: usize,
        /// Rows of the slot.
        found: usize,
    },
    /// The slot has another precision.
    #[error("the slot's rows are {found:?}, expected F32")]
    SlotElement {
        /// What the rows are made of.
        found: ElementType,
    },
}
