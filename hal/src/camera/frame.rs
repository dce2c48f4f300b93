//! Frames: what a camera hands on, as it came.

use std::fmt;

/// One frame of a camera, not yet converted: that is work for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Pixels of a row, as the camera was set.
    pub width: u32,
    /// Rows, as the camera was set.
    pub height: u32,
    /// The camera's own count of frames, from 0; what is missing in it was not taken.
    pub sequence: u64,
    /// The pixels.
    pub pixels: FramePixels,
}

/// The pixels of a frame in the camera's own coding.
#[derive(Clone, PartialEq, Eq)]
pub enum FramePixels {
    /// Red, green, blue, a byte each: `[height, width, 3]`.
    Rgb(Vec<u8>),
    /// Two pixels in four bytes, Y₀ U Y₁ V, limited range (BT.601): `[height, ⌈width / 2⌉, 4]`.
    Yuyv(Vec<u8>),
    /// A JPEG image, perhaps without Huffman tables, as in Motion JPEG. Its header is as hostile as any file's.
    Jpeg(Vec<u8>),
}

impl FramePixels {
    /// The bytes, whatever they mean.
    pub fn bytes(&self) -> &[u8] {
        match self {
            FramePixels::Rgb(bytes) | FramePixels::Yuyv(bytes) | FramePixels::Jpeg(bytes) => bytes,
        }
    }
}

impl fmt::Debug for FramePixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (coding, bytes) = match self {
            FramePixels::Rgb(bytes) => ("RGB", bytes),
            FramePixels::Yuyv(bytes) => ("YUYV", bytes),
            FramePixels::Jpeg(bytes) => ("JPEG", bytes),
        };
        write!(f, "{coding}, {} bytes from {:?}", bytes.len(), &bytes[..bytes.len().min(8)])
    }
}
