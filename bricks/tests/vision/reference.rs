//! Preprocessing, patch embeddings and projected rows equal those of HF transformers.

use nanomind_bricks::vision::{Framing, Preprocess};
use nanomind_hal::Lane;
use nanomind_hal::tabm::{ElementType, SlotGeometry, SlotPool};
use nanomind_kernels::Isa;

use crate::fixture::{self, MODELS};

#[test]
fn pictures_are_prepared_as_hf_processors_do_within_a_255th() {
    let lane = Lane::spawn(2, None).unwrap();
    let (prepared, _) = fixture::expected();
    for (case, framing) in prepared.iter().zip([Framing::CentreCrop, Framing::Stretch, Framing::CentreCrop]) {
        let (mean, std) = ([0.48, 0.45, 0.4], [0.26, 0.25, 0.27]);
        let preprocess = Preprocess { size: case.size, framing, mean, std };
        let pixels = preprocess.apply(&lane, &fixture::picture());
        let plane = case.size * case.size;
        let mut exact = 0;
        for (at, byte) in case.bytes.iter().enumerate() {
            let (pixel, channel) = (at / 3, at % 3);
            let level = (pixels.values()[channel * plane + pixel] * std[channel] + mean[channel]) * 255.0;
            let off = (level - f32::from(*byte)).abs();
            assert!(off < 1.01, "{framing:?} to {}: pixel {pixel} is {level}, expected {byte}", case.size);
            exact += usize::from(off < 0.01);
        }
        assert!(exact * 100 > case.bytes.len() * 98, "{framing:?} to {}: only {exact} values are equal", case.size);
    }
}

#[test]
fn encoders_and_projectors_compute_what_hf_transformers_does_on_every_instruction_set() {
    let (_, models) = fixture::expected();
    let lane = Lane::single();
    for isa in Isa::available() {
        for (name, expected) in MODELS.iter().zip(&models) {
            let encoder = fixture::encoder(name, isa);
            assert_eq!(
                (encoder.config().patches(), encoder.config().width),
                (expected.patches, expected.width),
                "{name}"
            );
            let rows = fixture::rows(&fixture::encoding(&encoder, &lane, 1), &lane);
            compare(&format!("{name} encoder on {isa}"), &expected.encoded, &rows, expected.width);

            let projector = fixture::projector(name, isa);
            let width = projector.width();
            assert_eq!((projector.patch_width(), width), (expected.width, expected.projected_width), "{name}");
            let element = ElementType::F32;
            let pool = SlotPool::new(SlotGeometry { slots: 1, max_tokens: 64, width, element }).unwrap();
            let mut slot = pool.try_acquire().unwrap();
            let mut work = projector.projection();
            projector.project(&lane, &mut work, &rows, 0..expected.patches, &mut slot).unwrap();
            let found = slot.publish(expected.patches);
            compare(&format!("{name} projector on {isa}"), &expected.projected, found.rows_f32(), width);
        }
    }
}

/// Fails where a row points elsewhere, or a value is off by more than a thousandth of its row's largest.
fn compare(what: &str, expected: &[f32], found: &[f32], width: usize) {
    assert_eq!(expected.len(), found.len(), "{what}: values");
    let (mut least, mut worst) = (1.0f64, 0.0f64);
    for (row, (right, found)) in expected.chunks_exact(width).zip(found.chunks_exact(width)).enumerate() {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let cosine = dot(right, found) / (dot(right, right) * dot(found, found)).sqrt();
        let largest = right.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let off = right.iter().zip(found).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max) / largest;
        (least, worst) = (least.min(cosine), worst.max(f64::from(off)));
        assert!(cosine >= 0.9999, "{what}: the cosine of row {row} is {cosine}, expected at least 0.9999");
        assert!(off <= 1e-3, "{what}: row {row} is off by {off:.2e} of its largest value, expected at most 1e-3");
    }
    eprintln!("{what}: cosine of at least {least:.7}, off by at most {worst:.1e} of a row's largest value");
}
