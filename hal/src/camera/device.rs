//! A video device as this module sees it, and the camera made of one: negotiation, stale frames, broken frames, silence.

use std::io;
use std::time::Duration;

use super::format::{Choice, Coding, FrameTime, Offer, choose, show};
use super::{Camera, CameraError, CameraFormat, CameraWish, Frame, FramePixels};

/// Widest and highest frames that are taken from a device.
const SIDE_MAX: u32 = 16_384;

/// So many frames in a row may come damaged; then the camera is.
const DAMAGED_MAX: usize = 30;

/// What a device says that it does after it was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) fourcc: [u8; 4],
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bytes from one row to the next; 0 where that means nothing.
    pub(super) stride: u32,
    pub(super) time: Option<FrameTime>,
}

/// One buffer of a device.
pub(super) struct Captured<'a> {
    pub(super) bytes: &'a [u8],
    /// The driver's count of frames.
    pub(super) sequence: u32,
    /// Whether the driver calls the frame damaged.
    pub(super) damaged: bool,
}

/// What a camera is asked for. The kernel answers in `v4l2.rs`, recorded answers in the tests.
pub(super) trait VideoDevice: Send {
    /// What cannot be captured from says what it is.
    fn check(&self) -> io::Result<Result<(), String>>;
    /// Everything on offer.
    fn offers(&self) -> io::Result<Vec<Offer>>;
    /// Sets the device to the choice, or to what it makes of it.
    fn set(&mut self, choice: &Choice) -> io::Result<Setting>;
    /// Whether a frame waits; starts streaming at the first call.
    fn waits(&mut self) -> io::Result<bool>;
    /// The next frame; `TimedOut` if none comes in `patience`.
    fn next(&mut self, patience: Duration) -> io::Result<Captured<'_>>;
    /// How many frames may wait.
    fn buffers(&self) -> usize;
}

/// A camera on a video device.
pub(super) struct DeviceCamera<D> {
    device: D,
    name: String,
    format: CameraFormat,
    stride: usize,
    patience: Duration,
    /// The driver's count at the last frame, and how often it has gone round.
    counted: Option<(u32, u64)>,
}

impl<D: VideoDevice> DeviceCamera<D> {
    /// Sets the device to what comes nearest to the wish.
    pub(super) fn open(
        mut device: D,
        name: String,
        wish: &CameraWish,
        patience: Duration,
    ) -> Result<DeviceCamera<D>, CameraError> {
        let failed = |step| move |error: io::Error| (step, error);
        let attempt = |device: &mut D| -> Result<Result<Setting, CameraError>, (&'static str, io::Error)> {
            if let Err(found) = device.check().map_err(failed("ask what it is"))? {
                return Ok(Err(CameraError::NoCapture { device: name.clone(), found }));
            }
            let offers = device.offers().map_err(failed("ask for its formats"))?;
            let Some(choice) = choose(&offers, wish) else {
                return Ok(Err(CameraError::NoFormat {
                    device: name.clone(),
                    wanted: Coding::ALL.map(|coding| coding.to_string()).join(", "),
                    offered: show(&offers),
                }));
            };
            Ok(Ok(device.set(&choice).map_err(failed("set its format"))?))
        };
        let setting = attempt(&mut device).map_err(|(step, error)| CameraError::system(&name, step, &error))??;
        let (format, stride) = understood(&name, &setting)?;
        tracing::info!(camera = %name, wanted = %wish, taken = %format, "camera opened");
        Ok(DeviceCamera { device, name, format, stride, patience, counted: None })
    }

    /// The driver's count without its going round at 2³².
    fn sequence(&mut self, count: u32) -> u64 {
        let rounds = match self.counted {
            Some((last, rounds)) => rounds + u64::from(count < last),
            None => 0,
        };
        self.counted = Some((count, rounds));
        (rounds << 32) | u64::from(count)
    }

    fn take(&mut self) -> io::Result<Frame> {
        // What waits already was taken before the call.
        for _ in 0..self.device.buffers() {
            if !self.device.waits()? {
                break;
            }
            self.device.next(self.patience)?;
        }
        let CameraFormat { coding, width, height, .. } = self.format;
        for _ in 0..DAMAGED_MAX {
            let captured = self.device.next(self.patience)?;
            if captured.damaged {
                continue;
            }
            let Some(pixels) = pixels(coding, captured.bytes, width, height, self.stride) else { continue };
            let sequence = captured.sequence;
            let sequence = self.sequence(sequence);
            return Ok(Frame { width, height, sequence, pixels });
        }
        Err(io::Error::other(format!("{DAMAGED_MAX} frames in a row were damaged or too short")))
    }
}

impl<D: VideoDevice> Camera for DeviceCamera<D> {
    fn name(&self) -> &str {
        &self.name
    }

    fn format(&self) -> CameraFormat {
        self.format
    }

    fn frame(&mut self) -> Result<Frame, CameraError> {
        self.take().map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => CameraError::Silent { device: self.name.clone(), waited: self.patience },
            _ => CameraError::system(&self.name, "take a frame", &error),
        })
    }
}

/// The setting in our terms, with the bytes of a row; an error where the device took what is not understood here.
fn understood(name: &str, setting: &Setting) -> Result<(CameraFormat, usize), CameraError> {
    let Setting { fourcc, width, height, stride, time } = *setting;
    let refused = |wanted: String| CameraError::NoFormat {
        device: name.to_owned(),
        wanted,
        offered: format!("{} {width} × {height}, {stride} bytes a row", fourcc.escape_ascii()),
    };
    let coding = Coding::of(fourcc).ok_or_else(|| refused("a coding that it offered".to_owned()))?;
    let sides = 1..=SIDE_MAX;
    if !sides.contains(&width) || !sides.contains(&height) {
        return Err(refused(format!("sides from 1 to {SIDE_MAX}")));
    }
    let row = row_bytes(coding, width);
    let stride = if stride == 0 { row } else { stride as usize };
    if stride < row {
        return Err(refused(format!("at least {row} bytes a row")));
    }
    Ok((CameraFormat { coding, width, height, rate: time.and_then(FrameTime::rate) }, stride))
}

/// Bytes of a row of pixels without what the device puts between rows.
fn row_bytes(coding: Coding, width: u32) -> usize {
    match coding {
        Coding::Yuyv => width.div_ceil(2) as usize * 4,
        Coding::Rgb => width as usize * 3,
        Coding::Mjpeg => 0,
    }
}

/// The rows without what lies between; `None` where there are too few bytes.
fn pixels(coding: Coding, bytes: &[u8], width: u32, height: u32, stride: usize) -> Option<FramePixels> {
    let row = row_bytes(coding, width);
    let rows = || {
        let height = height as usize;
        // The last row need not be padded.
        let needed = stride.checked_mul(height - 1)?.checked_add(row)?;
        let bytes = bytes.get(..needed)?;
        Some(if stride == row {
            bytes.to_vec()
        } else {
            bytes.chunks(stride).flat_map(|line| &line[..row]).copied().collect()
        })
    };
    match coding {
        Coding::Yuyv => rows().map(FramePixels::Yuyv),
        Coding::Rgb => rows().map(FramePixels::Rgb),
        Coding::Mjpeg => (!bytes.is_empty()).then(|| FramePixels::Jpeg(bytes.to_vec())),
    }
}

#[cfg(test)]
mod tests;
