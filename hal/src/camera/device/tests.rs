//! Cameras on a stand-in device that answers as drivers were seen to: negotiation, stale and broken frames, unplugging.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::*;
use crate::camera::format::{SideOffer, SizeOffer};

/// What the stand-in does next when a frame is asked for.
#[derive(Clone)]
enum Event {
    Frame(Vec<u8>, u32),
    Damaged(u32),
    Silence,
    Fails(Errno),
}

/// A device whose answers a test writes.
#[derive(Clone)]
struct StandIn {
    offers: Vec<Offer>,
    /// What it makes of a choice.
    makes: fn(&Choice) -> Setting,
    /// Frames that wait already when one is asked for.
    waiting: usize,
    events: Arc<Mutex<VecDeque<Event>>>,
    last: Vec<u8>,
    refuses: Option<&'static str>,
}

fn obeys(choice: &Choice) -> Setting {
    let Choice { fourcc, width, height, time } = *choice;
    Setting { fourcc, width, height, stride: 0, time }
}

impl StandIn {
    fn new(offers: Vec<Offer>, events: impl IntoIterator<Item = Event>) -> StandIn {
        let events = Arc::new(Mutex::new(events.into_iter().collect()));
        StandIn { offers, makes: obeys, waiting: 0, events, last: Vec::new(), refuses: None }
    }

    fn open(self, wish: CameraWish) -> Result<DeviceCamera<StandIn>, CameraError> {
        DeviceCamera::open(self, "/dev/video9 (Stand-in)".to_owned(), &wish, Duration::from_secs(5))
    }
}

impl VideoDevice for StandIn {
    fn check(&self) -> io::Result<Result<(), String>> {
        Ok(self.refuses.map_or(Ok(()), |what| Err(what.to_owned())))
    }

    fn offers(&self) -> io::Result<Vec<Offer>> {
        Ok(self.offers.clone())
    }

    fn set(&mut self, choice: &Choice) -> io::Result<Setting> {
        Ok((self.makes)(choice))
    }

    fn waits(&mut self) -> io::Result<bool> {
        let waits = self.waiting > 0;
        self.waiting = self.waiting.saturating_sub(1);
        Ok(waits)
    }

    fn next(&mut self, _: Duration) -> io::Result<Captured<'_>> {
        let event = self.events.lock().expect("the script").pop_front().unwrap_or(Event::Silence);
        let (bytes, sequence, damaged) = match event {
            Event::Frame(bytes, sequence) => (bytes, sequence, false),
            Event::Damaged(sequence) => (Vec::new(), sequence, true),
            Event::Silence => return Err(io::ErrorKind::TimedOut.into()),
            Event::Fails(errno) => return Err(errno.into()),
        };
        self.last = bytes;
        Ok(Captured { bytes: &self.last, sequence, damaged })
    }

    fn buffers(&self) -> usize {
        4
    }
}

/// YUYV at one small size.
fn small() -> Vec<Offer> {
    let (width, height) = (SideOffer::exactly(4), SideOffer::exactly(2));
    vec![Offer { fourcc: *b"YUYV", size: Some(SizeOffer { width, height }), times: Vec::new() }]
}

fn yuyv(value: u8, sequence: u32) -> Event {
    Event::Frame(vec![value; 16], sequence)
}

fn wish() -> CameraWish {
    CameraWish { width: 4, height: 2, rate: None }
}

#[test]
fn a_frame_is_one_taken_after_the_call_and_not_one_that_waited() {
    let device = StandIn { waiting: 2, ..StandIn::new(small(), (1..=4).map(|count| yuyv(count, count.into()))) };
    let mut camera = device.open(wish()).expect("a camera");
    let frame = camera.frame().expect("a frame");
    assert_eq!((frame.sequence, frame.pixels), (3, FramePixels::Yuyv(vec![3; 16])));
    assert_eq!(camera.frame().expect("a frame").sequence, 4);
}

#[test]
fn damaged_and_short_frames_are_passed_over_until_there_are_too_many() {
    let events = [Event::Damaged(1), Event::Frame(vec![2; 15], 2), yuyv(3, 3)];
    let mut camera = StandIn::new(small(), events).open(wish()).expect("a camera");
    assert_eq!(camera.frame().expect("a frame").sequence, 3);
    let mut broken = StandIn::new(small(), (0..99).map(Event::Damaged)).open(wish()).expect("a camera");
    let error = broken.frame().expect_err("an error").to_string();
    let cause = "30 frames in a row were damaged or too short";
    assert_eq!(error, format!("camera /dev/video9 (Stand-in): cannot take a frame: {cause}"));
}

#[test]
fn rows_lose_what_the_device_puts_between_them() {
    let padded = |choice: &Choice| Setting { stride: 10, ..obeys(choice) };
    // The last row is not padded.
    let bytes = [[1; 8].as_slice(), &[0; 2], &[2; 8]].concat();
    let device = StandIn { makes: padded, ..StandIn::new(small(), [Event::Frame(bytes, 0)]) };
    let frame = device.open(wish()).expect("a camera").frame().expect("a frame");
    assert_eq!(frame.pixels.bytes(), [[1; 8], [2; 8]].concat());
}

#[test]
fn the_count_goes_on_where_the_drivers_goes_round() {
    let events = [yuyv(0, u32::MAX), yuyv(0, 0), yuyv(0, 1)];
    let mut camera = StandIn::new(small(), events).open(wish()).expect("a camera");
    let counts = [(); 3].map(|()| camera.frame().expect("a frame").sequence);
    assert_eq!(counts, [0xFFFF_FFFF, 0x1_0000_0000, 0x1_0000_0001]);
}

#[test]
fn each_end_of_a_camera_is_told_by_its_name() {
    let failing = |event| {
        let mut camera = StandIn::new(small(), [yuyv(1, 0), event]).open(wish()).expect("a camera");
        camera.frame().expect("the first frame");
        camera.frame().expect_err("an error")
    };
    let camera = "camera /dev/video9 (Stand-in):";
    let unplugged = failing(Event::Fails(Errno::NODEV));
    assert!(matches!(unplugged, CameraError::Unplugged { .. }), "{unplugged:?}");
    assert_eq!(unplugged.to_string(), format!("{camera} it was unplugged"));
    let silent = failing(Event::Silence).to_string();
    assert_eq!(silent, format!("{camera} expected a frame within 5 s, found none"));
    let busy = failing(Event::Fails(Errno::BUSY)).to_string();
    assert_eq!(busy, format!("{camera} expected to have it alone, found it in use by another program"));
    let other = failing(Event::Fails(Errno::IO));
    assert!(matches!(other, CameraError::Broken { .. }) && other.may_pass(), "{other:?}");
}

#[test]
fn a_device_that_is_no_camera_or_offers_nothing_understood_is_refused_with_what_it_is() {
    let camera = "camera /dev/video9 (Stand-in):";
    let refused = |device: StandIn| match device.open(wish()) {
        Ok(camera) => panic!("opened at {}", camera.format()),
        Err(error) => (error.to_string(), error.may_pass()),
    };
    let radio = StandIn { refuses: Some("a radio"), ..StandIn::new(small(), []) };
    let expected = format!("{camera} expected a device that captures and streams video, found a radio");
    assert_eq!(refused(radio), (expected, false));
    let mut bayer = small();
    bayer[0].fourcc = *b"BA81";
    let expected = format!("{camera} expected YUYV, MJPEG, RGB, found BA81 4 × 2");
    assert_eq!(refused(StandIn::new(bayer, [])), (expected, false));
    let expected = format!("{camera} expected YUYV, MJPEG, RGB, found nothing");
    assert_eq!(refused(StandIn::new(Vec::new(), [])), (expected, false));
}

#[test]
fn a_device_that_takes_something_impossible_is_refused() {
    let refused = |makes| match (StandIn { makes, ..StandIn::new(small(), []) }).open(wish()) {
        Ok(camera) => panic!("opened at {}", camera.format()),
        Err(error) => error.to_string(),
    };
    let camera = "camera /dev/video9 (Stand-in):";
    let stride = refused(|choice| Setting { stride: 7, ..obeys(choice) });
    assert_eq!(stride, format!("{camera} expected at least 8 bytes a row, found YUYV 4 × 2, 7 bytes a row"));
    let sides = refused(|choice| Setting { height: 0, ..obeys(choice) });
    assert_eq!(sides, format!("{camera} expected sides from 1 to 16384, found YUYV 4 × 0, 0 bytes a row"));
    let coding = refused(|choice| Setting { fourcc: *b"NV12", ..obeys(choice) });
    assert_eq!(coding, format!("{camera} expected a coding that it offered, found NV12 4 × 2, 0 bytes a row"));
}

#[test]
fn a_device_that_takes_another_size_is_taken_at_its_word() {
    let other = |choice: &Choice| Setting { width: 2, ..obeys(choice) };
    let device = StandIn { makes: other, ..StandIn::new(small(), [Event::Frame(vec![9; 16], 0)]) };
    let mut camera = device.open(wish()).expect("a camera");
    assert_eq!(camera.format().to_string(), "YUYV 2 × 2");
    assert_eq!(camera.frame().expect("a frame").pixels, FramePixels::Yuyv(vec![9; 8]));
}
