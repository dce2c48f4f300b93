//! Why a camera gives no frame.

use std::io;
use std::time::Duration;

/// Why a camera gives no frame. Each error names the device, what was expected and what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CameraError {
    /// There is no such device, or no camera at all.
    #[error("camera {wanted}: no such device; found {found}")]
    NotFound {
        /// The path or name that was asked for.
        wanted: String,
        /// The cameras that there are.
        found: String,
    },
    /// Another program uses the camera.
    #[error("camera {device}: expected to have it alone, found it in use by another program")]
    Busy {
        /// The camera.
        device: String,
    },
    /// This program may not open the device.
    #[error("camera {device}: no permission to read and write it: sudo usermod -aG video $USER, then log in again")]
    Forbidden {
        /// The camera.
        device: String,
    },
    /// The device is none that frames can be streamed from.
    #[error("camera {device}: expected a device that captures and streams video, found {found}")]
    NoCapture {
        /// The device.
        device: String,
        /// What it says of itself.
        found: String,
    },
    /// The camera offers nothing that is understood here.
    #[error("camera {device}: expected {wanted}, found {offered}")]
    NoFormat {
        /// The camera.
        device: String,
        /// What was asked for, or what is understood.
        wanted: String,
        /// What it offers.
        offered: String,
    },
    /// The camera stopped delivering.
    #[error("camera {device}: expected a frame within {} s, found none", waited.as_secs_f32())]
    Silent {
        /// The camera.
        device: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The camera is gone.
    #[error("camera {device}: it was unplugged")]
    Unplugged {
        /// The camera.
        device: String,
    },
    /// The driver or the device failed in a way of its own.
    #[error("camera {device}: cannot {step}: {cause}")]
    Broken {
        /// The camera.
        device: String,
        /// What was tried.
        step: &'static str,
        /// What the system said.
        cause: String,
    },
    /// Cameras are not known on this system.
    #[error("camera {device}: cameras work on Linux only so far")]
    Unsupported {
        /// The camera.
        device: String,
    },
}

impl CameraError {
    /// What an error of the system means while `step` was tried on `device`.
    pub(super) fn system(device: &str, step: &'static str, error: &io::Error) -> CameraError {
        use rustix::io::Errno;
        let device = device.to_owned();
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::BUSY) => CameraError::Busy { device },
            Some(Errno::ACCESS | Errno::PERM) => CameraError::Forbidden { device },
            Some(Errno::NODEV | Errno::NXIO) => CameraError::Unplugged { device },
            _ => CameraError::Broken { device, step, cause: error.to_string() },
        }
    }

    /// Whether the camera may well work again when it is opened anew, by itself or because a person plugs it in: not so
    /// where the graph asks for what the device cannot do.
    pub fn may_pass(&self) -> bool {
        !matches!(self, CameraError::NoCapture { .. } | CameraError::NoFormat { .. } | CameraError::Unsupported { .. })
    }
}
