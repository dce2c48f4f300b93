//! Rows go from the encoder to the projector and on in slots, without a byte copied.

use nanomind_bricks::vision::{Encoding, Preprocess, VisionError};
use nanomind_hal::Lane;
use nanomind_hal::tabm::{ElementType, SlotGeometry, SlotPool};
use nanomind_kernels::Isa;

use crate::fixture;

fn pool(max_tokens: usize, width: usize, element: ElementType) -> SlotPool {
    SlotPool::new(SlotGeometry { slots: 1, max_tokens, width, element }).unwrap()
}

#[test]
fn the_projector_reads_the_encoders_slot_and_no_byte_is_copied() {
    let lane = Lane::single();
    let isa = Isa::detect();
    let encoder = fixture::encoder("clip", isa);
    let projector = fixture::projector("clip", isa);
    let (patches, width) = (encoder.config().patches(), encoder.config().width);
    let between = pool(patches, width, ElementType::F32);
    let after = pool(patches, projector.width(), ElementType::F32);

    let encoding = fixture::encoding(&encoder, &lane, 1);
    let encoded = encoding.publish(&lane, between.try_acquire().unwrap()).unwrap();
    assert_eq!(encoded.rows_f32(), fixture::rows(&encoding, &lane));
    let mut slot = after.try_acquire().unwrap();
    let address = slot.rows_mut_f32().as_ptr();
    projector.project(&lane, &mut projector.projection(), encoded.rows_f32(), 0..patches, &mut slot).unwrap();
    drop(encoded);
    let projected = slot.publish(patches);
    assert_eq!(projected.rows_f32().as_ptr(), address);
    assert_eq!((between.stats().copied_bytes, after.stats().copied_bytes), (0, 0));
    assert_eq!((between.stats().free, after.stats().tokens_in_flight), (1, patches));
}

#[test]
fn a_slot_that_does_not_fit_is_refused_and_free_again() {
    let lane = Lane::single();
    let isa = Isa::detect();
    let encoder = fixture::encoder("siglip", isa);
    let encoding = fixture::encoding(&encoder, &lane, 3);
    let (patches, width) = (encoder.config().patches(), encoder.config().width);
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

    let projector = fixture::projector("siglip", isa);
    let pool = pool(patches, projector.width(), ElementType::F32);
    let mut slot = pool.try_acquire().unwrap();
    let error = projector.project(&lane, &mut projector.projection(), &[0.0; 33], 0..1, &mut slot).unwrap_err();
    assert_eq!(error, VisionError::PatchWidth { expected: 32, found: 33 });
}

#[test]
fn pixels_of_another_size_are_refused() {
    let lane = Lane::single();
    let encoder = fixture::encoder("siglip", Isa::detect());
    let preprocess = Preprocess { size: 31, ..encoder.config().preprocess() };
    let mut encoding = Encoding::new(encoder).unwrap();
    let error = encoding.begin(&lane, &preprocess.apply(&lane, &fixture::picture())).unwrap_err();
    assert_eq!(error, VisionError::PixelSize { expected: 26, found: 31 });
    assert!(!encoding.is_complete());
}

#[test]
fn rows_are_not_published_before_all_layers_are_done() {
    let lane = Lane::single();
    let encoder = fixture::encoder("clip", Isa::detect());
    let pool = pool(encoder.config().patches(), encoder.config().width, ElementType::F32);
    let mut encoding = Encoding::new(encoder.clone()).unwrap();
    let published = encoding.publish(&lane, pool.try_acquire().unwrap());
    assert_eq!(published.unwrap_err(), VisionError::Incomplete { remaining: 2 });
    encoding.begin(&lane, &fixture::pixels(&encoder)).unwrap();
    encoding.advance(&lane, 1);
    let published = encoding.publish(&lane, pool.try_acquire().unwrap());
    assert_eq!(published.unwrap_err(), VisionError::Incomplete { remaining: 1 });
    assert_eq!(pool.stats().free, 1);
}
