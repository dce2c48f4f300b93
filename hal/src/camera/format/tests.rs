//! The choice among lists as real drivers give them.

use super::*;

fn time(numerator: u32, denominator: u32) -> FrameTime {
    FrameTime { numerator, denominator }
}

/// A size with whole rates.
fn offer(fourcc: &[u8; 4], width: u32, height: u32, rates: &[u32]) -> Offer {
    let size = SizeOffer { width: SideOffer::exactly(width), height: SideOffer::exactly(height) };
    Offer { fourcc: *fourcc, size: Some(size), times: rates.iter().map(|&rate| time(1, rate)).collect() }
}

/// As a USB 2 webcam lists itself (after a Logitech C270): large frames come raw only at low rates.
fn webcam() -> Vec<Offer> {
    vec![
        offer(b"YUYV", 640, 480, &[30, 25, 20, 15, 10, 5]),
        offer(b"YUYV", 160, 120, &[30, 25, 20, 15, 10, 5]),
        offer(b"YUYV", 320, 240, &[30, 25, 20, 15, 10, 5]),
        offer(b"YUYV", 1280, 720, &[10, 5]),
        offer(b"MJPG", 640, 480, &[30, 25, 20, 15, 10, 5]),
        offer(b"MJPG", 1280, 720, &[30, 25, 20, 15, 10, 5]),
    ]
}

/// As a sensor on a ribbon lists itself: any size in steps, and codings that we do not read.
fn ribbon() -> Vec<Offer> {
    let range = |min, max, step| SideOffer { min, max, step };
    let size = Some(SizeOffer { width: range(32, 2592, 2), height: range(32, 1944, 2) });
    let times = vec![time(1, 90), time(1, 1)];
    [b"YU12", b"YUYV", b"RGB3", b"JPEG", b"H264"]
        .map(|fourcc| Offer { fourcc: *fourcc, size, times: times.clone() })
        .into()
}

#[track_caller]
fn chosen(offers: &[Offer], width: u32, height: u32, rate: Option<f64>) -> String {
    let choice = choose(offers, &CameraWish { width, height, rate }).expect("a choice");
    let rate = choice.time.map_or("?".to_owned(), |time| format!("{}/{}", time.denominator, time.numerator));
    format!("{} {} × {} {rate}", choice.fourcc.escape_ascii(), choice.width, choice.height)
}

#[test]
fn a_webcam_is_taken_raw_where_it_is_fast_enough_and_compressed_where_it_is_not() {
    assert_eq!(chosen(&webcam(), 640, 480, None), "YUYV 640 × 480 ?");
    assert_eq!(chosen(&webcam(), 640, 480, Some(30.0)), "YUYV 640 × 480 30/1");
    assert_eq!(chosen(&webcam(), 1280, 720, Some(30.0)), "MJPG 1280 × 720 30/1");
    assert_eq!(chosen(&webcam(), 1280, 720, Some(5.0)), "YUYV 1280 × 720 5/1");
    assert_eq!(chosen(&webcam(), 1920, 1080, None), "YUYV 1280 × 720 ?");
}

#[test]
fn a_size_between_two_is_rounded_up_since_frames_are_scaled_down_anyway() {
    assert_eq!(chosen(&webcam(), 384, 384, None), "YUYV 640 × 480 ?");
    assert_eq!(chosen(&webcam(), 192, 192, None), "YUYV 320 × 240 ?");
    assert_eq!(chosen(&webcam(), 100, 100, None), "YUYV 160 × 120 ?");
}

#[test]
fn a_sensor_with_ranges_gives_the_wanted_size_to_its_step() {
    assert_eq!(chosen(&ribbon(), 640, 480, None), "YUYV 640 × 480 ?");
    assert_eq!(chosen(&ribbon(), 641, 33, Some(80.0)), "YUYV 642 × 34 90/1");
    assert_eq!(chosen(&ribbon(), 9000, 9000, None), "YUYV 2592 × 1944 ?");
    let uneven = SideOffer { min: 32, max: 101, step: 10 };
    assert_eq!([10, 33, 95, 200].map(|side| uneven.nearest(side)), [32, 42, 92, 92]);
    let whole = SideOffer { min: 0, max: u32::MAX, step: 0 };
    assert_eq!([7, u32::MAX].map(|side| whole.nearest(side)), [7, u32::MAX]);
}

#[test]
fn a_driver_that_lists_no_sizes_is_asked_for_the_wanted_one() {
    let silent = [Offer { fourcc: *b"MJPG", size: None, times: Vec::new() }];
    assert_eq!(chosen(&silent, 800, 600, Some(15.0)), "MJPG 800 × 600 ?");
}

#[test]
fn television_rates_count_as_the_whole_numbers_that_they_are_sold_as() {
    let mut offers = vec![offer(b"YUYV", 640, 480, &[]), offer(b"MJPG", 640, 480, &[30])];
    offers[0].times = vec![time(1001, 30_000)];
    assert_eq!(chosen(&offers, 640, 480, Some(30.0)), "YUYV 640 × 480 30000/1001");
}

#[test]
fn frame_times_that_are_no_numbers_are_passed_over() {
    let mut offers = vec![offer(b"YUYV", 640, 480, &[])];
    offers[0].times = vec![time(0, 30), time(1, 0), time(1, 12)];
    assert_eq!(chosen(&offers, 640, 480, Some(30.0)), "YUYV 640 × 480 12/1");
}

#[test]
fn an_offer_is_shown_in_a_line() {
    assert_eq!(show(&webcam()[3..5]), "YUYV 1280 × 720, MJPG 640 × 480");
    assert_eq!(show(&ribbon()[..1]), "YU12 32 × 32 to 2592 × 1944");
    assert!(choose(&ribbon()[..1], &CameraWish::default()).is_none(), "planar frames are not read");
}
