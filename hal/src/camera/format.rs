//! Formats: what a camera offers, what is wanted of it, and the choice between.

use std::fmt;

/// What is wanted of a camera; it gives the nearest that it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CameraWish {
    /// Pixels of a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Frames a second; `None`: whatever the camera likes.
    pub rate: Option<f64>,
}

/// 640 × 480 pixels at whatever rate: what nearly every camera can, and more than vision encoders take.
impl Default for CameraWish {
    fn default() -> CameraWish {
        CameraWish { width: 640, height: 480, rate: None }
    }
}

impl fmt::Display for CameraWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {}", self.width, self.height)?;
        self.rate.map_or(Ok(()), |rate| write!(f, " at {rate} frames/s"))
    }
}

/// How pixels are coded; those that are understood here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Coding {
    /// Y₀ U Y₁ V.
    Yuyv,
    /// A JPEG image each frame.
    Mjpeg,
    /// Red, green, blue.
    Rgb,
}

impl Coding {
    /// In the order in which they are preferred where all else is equal: without loss, and cheap to convert, first.
    pub(super) const ALL: [Coding; 3] = [Coding::Yuyv, Coding::Mjpeg, Coding::Rgb];

    /// The coding that the kernel calls so, if it is understood here.
    pub(super) fn of(fourcc: [u8; 4]) -> Option<Coding> {
        match &fourcc {
            b"YUYV" => Some(Coding::Yuyv),
            b"MJPG" | b"JPEG" => Some(Coding::Mjpeg),
            b"RGB3" => Some(Coding::Rgb),
            _ => None,
        }
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Coding::Yuyv => "YUYV",
            Coding::Mjpeg => "MJPEG",
            Coding::Rgb => "RGB",
        })
    }
}

/// What a camera was set to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CameraFormat {
    /// How pixels are coded.
    pub coding: Coding,
    /// Pixels of a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Frames a second, where the camera says.
    pub rate: Option<f64>,
}

impl fmt::Display for CameraFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} × {}", self.coding, self.width, self.height)?;
        self.rate.map_or(Ok(()), |rate| write!(f, " at {rate:.3} frames/s"))
    }
}

/// A time between two frames, in seconds, as the kernel writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameTime {
    pub(super) numerator: u32,
    pub(super) denominator: u32,
}

impl FrameTime {
    /// Frames a second; `None` where it is no number.
    pub(super) fn rate(self) -> Option<f64> {
        (self.numerator > 0 && self.denominator > 0).then(|| f64::from(self.denominator) / f64::from(self.numerator))
    }
}

/// One thing that a camera offers: a coding at a size, with the frame times that go with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) fourcc: [u8; 4],
    /// `None`: the camera does not say.
    pub(super) size: Option<SizeOffer>,
    /// None: the camera does not say.
    pub(super) times: Vec<FrameTime>,
}

/// A size, or a range of sizes in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SizeOffer {
    pub(super) width: SideOffer,
    pub(super) height: SideOffer,
}

/// A side from `min` to `max` in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SideOffer {
    pub(super) min: u32,
    pub(super) max: u32,
    pub(super) step: u32,
}

impl SideOffer {
    pub(super) fn exactly(side: u32) -> SideOffer {
        SideOffer { min: side, max: side, step: 1 }
    }

    /// The side on offer that is nearest to the wanted one, rather larger than smaller.
    pub(super) fn nearest(self, wanted: u32) -> u32 {
        let (max, step) = (self.max.max(self.min), self.step.max(1));
        let above = wanted.clamp(self.min, max) - self.min;
        let steps = above.div_ceil(step);
        let up = u64::from(self.min) + u64::from(steps) * u64::from(step);
        u32::try_from(up).ok().filter(|&up| up <= max).unwrap_or_else(|| max - (max - self.min) % step)
    }
}

/// What to ask the camera for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    pub(super) fourcc: [u8; 4],
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) time: Option<FrameTime>,
}

/// The offer that comes nearest to the wish; `None` where nothing on offer is understood here.
///
/// A larger frame is better than a smaller one, since it is scaled down anyway; a rate that is too low counts as much as
/// a side that is too short. Where offers are equally near, the coding decides.
pub(super) fn choose(offers: &[Offer], wish: &CameraWish) -> Option<Choice> {
    let candidates = offers.iter().filter_map(|offer| {
        let coding = Coding::of(offer.fourcc)?;
        let size = offer.size.map(|size| (size.width.nearest(wish.width), size.height.nearest(wish.height)));
        let (width, height) = size.unwrap_or((wish.width, wish.height));
        let time = wish.rate.and_then(|rate| nearest_time(&offer.times, rate));
        let rate_lack = match (wish.rate, time.and_then(FrameTime::rate)) {
            (Some(wanted), Some(found)) => (wanted / found).max(1.0).ln(),
            _ => 0.0,
        };
        let lack = side_lack(width, wish.width) + side_lack(height, wish.height) + rate_lack;
        Some((lack, coding, Choice { fourcc: offer.fourcc, width, height, time }))
    });
    let nearer = |a: &(f64, Coding, Choice), b: &(f64, Coding, Choice)| {
        // Differences below a hundredth are none: 29.97 frames a second are 30.
        let lack = if (a.0 - b.0).abs() < 0.01 { std::cmp::Ordering::Equal } else { a.0.total_cmp(&b.0) };
        lack.then(a.1.cmp(&b.1))
    };
    candidates.min_by(nearer).map(|(_, _, choice)| choice)
}

/// How bad it is that a side is not the wanted one: as the logarithm of the ratio, a larger side counting a quarter.
fn side_lack(side: u32, wanted: u32) -> f64 {
    let ratio = f64::from(side.max(1)) / f64::from(wanted.max(1));
    if ratio >= 1.0 { ratio.ln() / 4.0 } else { -ratio.ln() }
}

/// The frame time whose rate is nearest to the wanted one; the faster of two that are equally near.
fn nearest_time(times: &[FrameTime], wanted: f64) -> Option<FrameTime> {
    let off = |time: &FrameTime| time.rate().map(|rate| (rate / wanted).ln());
    let rated = times.iter().filter_map(|time| Some((off(time)?, *time)));
    rated.min_by(|a, b| a.0.abs().total_cmp(&b.0.abs()).then(b.0.total_cmp(&a.0))).map(|(_, time)| time)
}

/// Everything on offer in a line: `YUYV 640 × 480, MJPG 64 × 64 to 1920 × 1080`.
pub(super) fn show(offers: &[Offer]) -> String {
    let side = |offer: &Offer, side: fn(SideOffer) -> u32| {
        offer.size.map(|size| format!("{} × {}", side(size.width), side(size.height)))
    };
    let line = |offer: &Offer| {
        let (least, most) = (side(offer, |side| side.min), side(offer, |side| side.max));
        let size = match (least, most) {
            (Some(least), Some(most)) if least == most => format!(" {least}"),
            (Some(least), Some(most)) => format!(" {least} to {most}"),
            _ => String::new(),
        };
        format!("{}{size}", offer.fourcc.escape_ascii())
    };
    if offers.is_empty() { "nothing".to_owned() } else { offers.iter().map(line).collect::<Vec<_>>().join(", ") }
}

#[cfg(test)]
mod tests;
