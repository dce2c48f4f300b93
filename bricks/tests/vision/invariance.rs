//! A picture's rows are the same bits however its work is cut and on any number of threads.

use nanomind_hal::Lane;
use nanomind_hal::tabm::{ElementType, SlotGeometry, SlotPool};
use nanomind_kernels::Isa;

use crate::fixture::{self, MODELS};

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn patch_embeddings_do_not_depend_on_jobs_threads_or_what_was_encoded_before() {
    let lanes = [Lane::single(), Lane::spawn(3, None).unwrap()];
    for isa in Isa::available() {
        for name in MODELS {
            let encoder = fixture::encoder(name, isa);
            let whole = bits(&fixture::rows(&fixture::encoding(&encoder, &lanes[0], usize::MAX), &lanes[0]));
            let mut again = fixture::encoding(&encoder, &lanes[1], 1);
            assert!(bits(&fixture::rows(&again, &lanes[1])) == whole, "{name} on {isa}: three threads change bits");
            again.begin(&lanes[0], &fixture::pixels(&encoder)).unwrap();
            let mut jobs = 0;
            while !again.is_complete() {
                assert!(again.advance_cost(1).flops > 0);
                again.advance(&lanes[jobs % 2], 1);
                jobs += 1;
            }
            assert_eq!(jobs, encoder.config().layers, "{name}: a job a layer");
            assert_eq!((again.remaining(), again.advance_cost(1).flops), (0, 0));
            assert!(bits(&fixture::rows(&again, &lanes[0])) == whole, "{name} on {isa}: changing lanes changes bits");
        }
    }
}

#[test]
fn projected_rows_do_not_depend_on_the_cut() {
    let lane = Lane::spawn(2, None).unwrap();
    for isa in Isa::available() {
        for name in MODELS {
            let encoder = fixture::encoder(name, isa);
            let rows = fixture::rows(&fixture::encoding(&encoder, &lane, 2), &lane);
            let patches = encoder.config().patches();
            let projector = fixture::projector(name, isa);
            let (element, width) = (ElementType::F32, projector.width());
            let pool = SlotPool::new(SlotGeometry { slots: 2, max_tokens: patches, width, element }).unwrap();
            let mut work = projector.projection();
            let [whole, cut] = [patches, 7].map(|step| {
                let mut slot = pool.try_acquire().unwrap();
                for start in (0..patches).step_by(step) {
                    let range = start..patches.min(start + step);
                    projector.project(&lane, &mut work, &rows, range, &mut slot).unwrap();
                }
                slot.publish(patches)
            });
            assert!(bits(whole.rows_f32()) == bits(cut.rows_f32()), "{name} on {isa}: cutting changes bits");
        }
    }
}
