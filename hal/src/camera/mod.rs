//! Cameras: frames as they come, from a device of the kernel or from a drawn world that speaks the same interface.
//!
//! - [`Camera`]: gives a fresh [`Frame`] when asked
//! - [`CameraSource`]: opens a camera, and opens it again when it has come back; [`V4l2Camera`] is one of the kernel's
//! - [`SceneCamera`]: a stand-in that every machine has, with the truth beside each frame
//! - [`cameras`]: what the kernel shows

mod device;
mod error;
mod format;
mod frame;
mod listing;
mod scene;
mod source;
#[cfg(target_os = "linux")]
mod v4l2;

pub use error::CameraError;
pub use format::{CameraFormat, CameraWish, Coding};
pub use frame::{Frame, FramePixels};
pub use listing::{ListedCamera, cameras};
pub use scene::{
    Colour, Kind, Passage, Place, Scene, SceneCamera, SceneEvent, SceneEvents, SceneMotion, SceneOptions, SceneThing,
    What,
};
pub use source::{CameraSource, V4l2Camera};

/// What gives frames, one when asked.
pub trait Camera: Send {
    /// What it is called, for messages and pictures: `/dev/video0 (HD Webcam)`.
    fn name(&self) -> &str;

    /// What it was set to.
    fn format(&self) -> CameraFormat;

    /// A frame taken after the call, not one that has waited. Blocks until it is there, so it is called where waiting
    /// holds up nobody.
    ///
    /// # Errors
    /// After an error the camera is of no more use; it may be opened anew.
    fn frame(&mut self) -> Result<Frame, CameraError>;
}
