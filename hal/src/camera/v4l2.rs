//! The kernel's video devices: Video4Linux 2, streamed through mapped buffers.

use std::io;
use std::path::Path;
use std::time::Duration;

use moq_v4l::buffer::{Flags, Type};
use moq_v4l::capability::Flags as Ability;
use moq_v4l::frameinterval::FrameIntervalEnum;
use moq_v4l::framesize::FrameSizeEnum;
use moq_v4l::io::mmap::Stream;
use moq_v4l::io::traits::CaptureStream;
use moq_v4l::video::Capture;
use moq_v4l::video::capture::Parameters;
use moq_v4l::{Device, Format, FourCC, Fraction};

use super::device::{Captured, Setting, VideoDevice};
use super::format::{Choice, FrameTime, Offer, SideOffer, SizeOffer};

/// Frames that the driver may have in hand: one that is written, one that waits, and slack.
const BUFFERS: u32 = 4;

/// `poll(2)`'s flag for something to read.
const READABLE: i16 = rustix::event::PollFlags::IN.bits() as i16;

/// An open video device of the kernel.
pub(super) struct KernelDevice {
    device: Device,
    /// There once something was asked of it: until then the camera rests.
    stream: Option<Stream<'static>>,
    started: bool,
}

impl KernelDevice {
    pub(super) fn open(path: &Path) -> io::Result<KernelDevice> {
        Ok(KernelDevice { device: Device::with_path(path)?, stream: None, started: false })
    }

    fn stream(&mut self) -> io::Result<&mut Stream<'static>> {
        if self.stream.is_none() {
            self.stream = Some(Stream::with_buffers(&self.device, Type::VideoCapture, BUFFERS)?);
        }
        self.stream.as_mut().ok_or_else(|| io::Error::other("no stream"))
    }

    /// The frame times of a coding at a size; none where the driver does not say.
    fn times(&self, fourcc: FourCC, width: u32, height: u32) -> Vec<FrameTime> {
        let intervals = self.device.enum_frameintervals(fourcc, width, height).unwrap_or_default();
        let time = |fraction: Fraction| FrameTime { numerator: fraction.numerator, denominator: fraction.denominator };
        let times = intervals.into_iter().flat_map(|interval| match interval.interval {
            FrameIntervalEnum::Discrete(fraction) => vec![time(fraction)],
            // The driver takes what is nearest between its bounds; whole rates are enough to choose by.
            FrameIntervalEnum::Stepwise(range) => between(time(range.min), time(range.max)),
        });
        times.collect()
    }
}

/// The bounds, and all whole numbers of frames a second between, up to 240.
fn between(shortest: FrameTime, longest: FrameTime) -> Vec<FrameTime> {
    let rates = |time: FrameTime| time.rate().unwrap_or(0.0);
    let (low, high) = (rates(longest).ceil().max(1.0), rates(shortest).floor().min(240.0));
    let whole = (low as u32..=high as u32).map(|rate| FrameTime { numerator: 1, denominator: rate });
    [shortest, longest].into_iter().chain(whole).collect()
}

impl VideoDevice for KernelDevice {
    fn check(&self) -> io::Result<Result<(), String>> {
        let says = self.device.query_caps()?;
        let can = |ability| says.capabilities.contains(ability);
        let lacks = if can(Ability::VIDEO_CAPTURE_MPLANE) && !can(Ability::VIDEO_CAPTURE) {
            "captures in several planes, which is not read yet"
        } else if !can(Ability::VIDEO_CAPTURE) {
            "captures no video"
        } else if !can(Ability::STREAMING) {
            "does not stream"
        } else {
            return Ok(Ok(()));
        };
        Ok(Err(format!("one that {lacks} ({}, driver {})", says.card, says.driver)))
    }

    fn offers(&self) -> io::Result<Vec<Offer>> {
        let mut offers = Vec::new();
        for format in self.device.enum_formats()? {
            let fourcc = format.fourcc;
            let sizes = self.device.enum_framesizes(fourcc).unwrap_or_default();
            if sizes.is_empty() {
                offers.push(Offer { fourcc: fourcc.repr, size: None, times: Vec::new() });
            }
            for size in sizes {
                let (size, times) = match size.size {
                    FrameSizeEnum::Discrete(size) => {
                        let sides = [size.width, size.height].map(SideOffer::exactly);
                        (sides, self.times(fourcc, size.width, size.height))
                    }
                    FrameSizeEnum::Stepwise(range) => {
                        let width = SideOffer { min: range.min_width, max: range.max_width, step: range.step_width };
                        let height =
                            SideOffer { min: range.min_height, max: range.max_height, step: range.step_height };
                        ([width, height], self.times(fourcc, range.max_width, range.max_height))
                    }
                };
                let [width, height] = size;
                offers.push(Offer { fourcc: fourcc.repr, size: Some(SizeOffer { width, height }), times });
            }
        }
        Ok(offers)
    }

    fn set(&mut self, choice: &Choice) -> io::Result<Setting> {
        let wanted = Format::new(choice.width, choice.height, FourCC::new(&choice.fourcc));
        let taken = self.device.set_format(&wanted)?;
        if let Some(time) = choice.time {
            let interval = Fraction::new(time.numerator, time.denominator);
            // A driver that knows no frame times says so here, and delivers all the same.
            if let Err(error) = self.device.set_params(&Parameters::new(interval)) {
                tracing::debug!(%error, "the camera takes no frame rate");
            }
        }
        let told = self.device.params().ok().map(|params| params.interval);
        let time = told.map(|time| FrameTime { numerator: time.numerator, denominator: time.denominator });
        let Format { fourcc, width, height, stride, .. } = taken;
        Ok(Setting { fourcc: fourcc.repr, width, height, stride, time })
    }

    fn waits(&mut self) -> io::Result<bool> {
        if !self.started {
            return Ok(false);
        }
        Ok(self.stream()?.handle().poll(READABLE, 0)? > 0)
    }

    fn next(&mut self, patience: Duration) -> io::Result<Captured<'_>> {
        self.started = true;
        let stream = self.stream()?;
        stream.set_timeout(patience);
        let (bytes, told) = CaptureStream::next(stream)?;
        let used = bytes.len().min(told.bytesused as usize);
        let damaged = told.flags.contains(Flags::ERROR);
        Ok(Captured { bytes: &bytes[..used], sequence: told.sequence, damaged })
    }

    fn buffers(&self) -> usize {
        BUFFERS as usize
    }
}
