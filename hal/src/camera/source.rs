//! Where cameras come from: what a graph asks for, opened as often as it is needed, since a device may go and come back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::listing::find;
use super::{Camera, CameraError, CameraWish};

/// Opens a camera, and opens it again after it was gone.
pub trait CameraSource: Send + Sync {
    /// Opens the camera, which may block for a while.
    fn open(&self) -> Result<Box<dyn Camera>, CameraError>;

    /// The folder in which the device file shows up when the camera comes back.
    fn folder(&self) -> &Path;
}

/// A camera of the kernel: a device file or a name, and what is wanted of it.
#[derive(Clone, Debug)]
pub struct V4l2Camera {
    wanted: String,
    wish: CameraWish,
    patience: Duration,
    root: PathBuf,
    folder: PathBuf,
}

impl V4l2Camera {
    /// The longest that a frame is waited for.
    const PATIENCE_MAX: Duration = Duration::from_secs(60 * 60);

    /// The camera that `wanted` means: a device file (`/dev/video0`), a label or a part of one (`HD Webcam`), or, if
    /// empty, the first there is. If no frame comes in `patience`, it counts as broken.
    pub fn new(wanted: impl Into<String>, wish: CameraWish, patience: Duration) -> V4l2Camera {
        V4l2Camera::on("/", wanted, wish, patience)
    }

    /// As [`V4l2Camera::new`], on the machine whose file system is at `root`.
    fn on(root: impl Into<PathBuf>, wanted: impl Into<String>, wish: CameraWish, patience: Duration) -> V4l2Camera {
        let root = root.into();
        let patience = patience.clamp(Duration::from_millis(1), V4l2Camera::PATIENCE_MAX);
        V4l2Camera { wanted: wanted.into(), wish, patience, folder: root.join("dev"), root }
    }
}

impl CameraSource for V4l2Camera {
    #[cfg(target_os = "linux")]
    fn open(&self) -> Result<Box<dyn Camera>, CameraError> {
        use super::device::DeviceCamera;
        use super::v4l2::KernelDevice;

        let listed = find(&self.root, &self.wanted)?;
        let name = listed.to_string();
        let device =
            KernelDevice::open(&listed.device).map_err(|error| CameraError::system(&name, "open it", &error))?;
        Ok(Box::new(DeviceCamera::open(device, name, &self.wish, self.patience)?))
    }

    #[cfg(not(target_os = "linux"))]
    fn open(&self) -> Result<Box<dyn Camera>, CameraError> {
        Err(CameraError::Unsupported { device: self.wanted.clone() })
    }

    fn folder(&self) -> &Path {
        &self.folder
    }
}
