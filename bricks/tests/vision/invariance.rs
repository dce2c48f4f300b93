//! A picture's rows are the same bits however its work is cut and on any number of threads.

use std::sync::Arc;

use nanomind_hal::Lane;
use nanomind_kernels::Isa;

use crate::expected::CASES;
use crate::eye::{Cut, Eye, WHOLE};
use crate::small;

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn patch_embeddings_do_not_depend_on_jobs_threads_or_what_was_encoded_before() {
    let lanes = [Lane::single(), Lane::spawn(3, None).unwrap()];
    let picture = Arc::new(small::picture(97, 60));
    for isa in Isa::available() {
        for (name, framing) in CASES {
            let eye = Eye::load(name, framing, isa);
            let whole = eye.encode(&lanes[0], &picture, WHOLE);
            let one = Cut { layers: 1, ..WHOLE };
            let threads = eye.encode(&lanes[1], &picture, one);
            assert!(bits(&threads.concat()) == bits(&whole.concat()), "{name} on {isa}: three threads change bits");
            let squares = eye.squares(&lanes[1], &picture);
            let last = &squares[squares.len() - 1];
            // Whatever square was encoded before.
            let mut again = eye.encoding(&lanes[1], &squares[0], one);
            again.begin(&lanes[0], last).unwrap();
            let mut jobs = 0;
            while !again.is_complete() {
                assert!(again.advance_cost(1).flops > 0);
                again.advance(&lanes[jobs % 2], 1);
                jobs += 1;
            }
            assert_eq!(jobs, eye.encoder.config().layers, "{name}: a job a layer");
            assert_eq!((again.remaining(), again.advance_cost(1).flops), (0, 0));
            let mut rows = vec![f32::NAN; whole[0].len()];
            again.write(&lanes[0], &mut rows);
            assert!(bits(&rows) == bits(&whole[squares.len() - 1]), "{name} on {isa}: changing lanes changes bits");
        }
    }
}

#[test]
fn projected_rows_do_not_depend_on_the_cut() {
    let lanes = [Lane::single(), Lane::spawn(3, None).unwrap()];
    for isa in Isa::available() {
        // LLaVA-OneVision interpolates the rows of the last one.
        for ((name, framing), size) in CASES.into_iter().flat_map(|case| [(case, (97, 60)), (case, (301, 263))]) {
            let (eye, picture) = (Eye::load(name, framing, isa), Arc::new(small::picture(size.0, size.1)));
            let encoded = eye.encode(&lanes[1], &picture, WHOLE);
            let arrangement = eye.arrange(&picture);
            let whole = eye.project(&lanes[0], &arrangement, &encoded, WHOLE);
            for blocks in [1, 7] {
                let cut = eye.project(&lanes[1], &arrangement, &encoded, Cut { blocks, ..WHOLE });
                let same = bits(whole.rows_f32()) == bits(cut.rows_f32());
                assert!(same, "{name} on {isa}, {size:?}: jobs of {blocks} blocks change bits");
            }
        }
    }
}
