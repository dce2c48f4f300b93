//! Rows go from the encoder to the projector and on in slots, without a byte copied.

use std::sync::Arc;

use nanomind_bricks::vision::{Encoding, Preprocess, Square, VisionError};
use nanomind_hal::Lane;
use nanomind_hal::tabm::{ElementType, SlotGeometry, SlotPool};
use nanomind_kernels::Isa;

use crate::eye::{Eye, WHOLE};
use crate::small;

fn pool(max_tokens: usize, width: usize, element: ElementType) -> SlotPool {
    SlotPool::new(SlotGeometry { slots: 1, max_tokens, width, element }).unwrap()
}

#[test]
fn the_projector_reads_the_encoders_slots_and_no_byte_is_copied() {
    let lane = Lane::single();
    for (name, framing) in [("llava", "square"), ("onevision", ""), ("smolvlm", "")] {
        let (eye, picture) = (Eye::load(name, framing, Isa::detect()), Arc::new(small::picture(97, 60)));
        let (config, arrangement) = (eye.projector.config(), eye.arrange(&picture));
        let between = pool(config.patches(), config.patch_width, ElementType::F32);
        let after = pool(arrangement.rows(), config.width, ElementType::F32);
        let mut slot = after.try_acquire().unwrap();
        let address = slot.rows_mut_f32().as_ptr();
        let mut work = eye.projector.projection();
        let squares = eye.squares(&lane, &picture);
        for (tile, square) in squares.iter().enumerate() {
            let encoding = eye.encoding(&lane, square, WHOLE);
            let encoded = encoding.publish(&lane, between.try_acquire().unwrap()).unwrap();
            let square = Square { arrangement: &arrangement, tile, patches: encoded.rows_f32() };
            eye.projector.project(&lane, &mut work, square, 0..config.blocks(), &mut slot).unwrap();
        }
        let projected = slot.publish(arrangement.rows());
        assert_eq!(projected.rows_f32().as_ptr(), address, "{name}");
        assert_eq!((between.stats().copied_bytes, after.stats().copied_bytes), (0, 0), "{name}");
        assert_eq!((between.stats().free, after.stats().tokens_in_flight), (1, arrangement.rows()), "{name}");
        // What was computed in slots is what is computed in vectors.
        let encoded = eye.encode(&lane, &picture, WHOLE);
        assert_eq!(projected.rows_f32(), eye.project(&lane, &arrangement, &encoded, WHOLE).rows_f32(), "{name}");
    }
}

#[test]
fn no_picture_makes_more_rows_than_the_projector_says() {
    for (name, most) in [("llava", 25), ("siglip", 16), ("smolvlm", 4 * 17), ("onevision", 16 + 174 + 24)] {
        let eye = Eye::load(name, "square", Isa::detect());
        assert_eq!(eye.projector.config().most_rows, most, "{name}");
        let mut met = 0;
        for (width, height) in (0..900).map(|index| (1 + index * 37 % 701, 1 + index * 53 % 823)) {
            let plan = eye.encoder.config().preprocess().plan(width, height);
            met = met.max(eye.projector.arrange(plan).rows());
        }
        assert!(met <= most && met * 10 >= most * 9, "{name}: {met} rows, {most} at most");
    }
}

#[test]
fn a_slot_that_does_not_fit_is_refused_and_free_again() {
    let lane = Lane::single();
    let (eye, picture) = (Eye::load("siglip", "square", Isa::detect()), Arc::new(small::picture(40, 30)));
    let encoding = eye.encoding(&lane, &eye.squares(&lane, &picture)[0], WHOLE);
    let (patches, width) = (eye.encoder.config().patches(), eye.encoder.config().width);
    let refused = |pool: SlotPool| {
        let error = encoding.publish(&lane, pool.try_acquire().unwrap()).unwrap_err();
        assert_eq!(pool.stats().free, 1, "{error}");
        error
    };
    let expected = VisionError::SlotRows { expected: patches, found: patches - 1 };
    assert_eq!(refused(pool(patches - 1, width, ElementType::F32)), expected);
    let expected = VisionError::SlotWidth { expected: width, found: width + 1 };
    assert_eq!(refused(pool(patches, width + 1, ElementType::F32)), expected);
    let expected = VisionError::SlotElement { found: ElementType::F16 };
    assert_eq!(refused(pool(patches, width, ElementType::F16)), expected);

    let arrangement = eye.arrange(&picture);
    let project = |rows: usize, values: usize| {
        let mut slot = pool(rows, width, ElementType::F32).try_acquire().unwrap();
        let patches = vec![0.0; values];
        let square = Square { arrangement: &arrangement, tile: 0, patches: &patches };
        eye.projector.project(&lane, &mut eye.projector.projection(), square, 0..1, &mut slot).unwrap_err()
    };
    assert_eq!(project(patches, 33), VisionError::Patches { expected: patches * width, found: 33 });
    let expected = VisionError::SlotRows { expected: patches, found: patches - 1 };
    assert_eq!(project(patches - 1, patches * width), expected);
}

#[test]
fn pixels_of_another_size_are_refused() {
    let lane = Lane::single();
    let eye = Eye::load("siglip", "square", Isa::detect());
    let preprocess = Preprocess { size: 31, ..eye.encoder.config().preprocess() };
    let mut encoding = Encoding::new(eye.encoder).unwrap();
    let squares = preprocess.apply(&lane, &Arc::new(small::picture(40, 30)));
    let error = encoding.begin(&lane, &squares[0]).unwrap_err();
    assert_eq!(error, VisionError::PixelSize { expected: 62, found: 31 });
    assert!(!encoding.is_complete());
}

#[test]
fn rows_are_not_published_before_all_layers_are_done() {
    let lane = Lane::single();
    let eye = Eye::load("llava", "square", Isa::detect());
    let pool = pool(eye.encoder.config().patches(), eye.encoder.config().width, ElementType::F32);
    let mut encoding = Encoding::new(eye.encoder.clone()).unwrap();
    let published = encoding.publish(&lane, pool.try_acquire().unwrap());
    assert_eq!(published.unwrap_err(), VisionError::Incomplete { remaining: 2 });
    encoding.begin(&lane, &eye.squares(&lane, &Arc::new(small::picture(40, 30)))[0]).unwrap();
    encoding.advance(&lane, 1);
    let published = encoding.publish(&lane, pool.try_acquire().unwrap());
    assert_eq!(published.unwrap_err(), VisionError::Incomplete { remaining: 1 });
    assert_eq!(pool.stats().free, 1);
}
