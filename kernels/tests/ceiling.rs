//! The ceilings that kernels are held against.

use nanomind_hal::{Clock, Lane};
use nanomind_kernels::{Isa, ceiling};

#[test]
fn every_instruction_set_has_ceilings() {
    let (lane, clock) = (Lane::single(), Clock::system());
    for isa in Isa::available() {
        // More than a piece that a thread claims, and no whole number of them.
        let read = ceiling::read_bandwidth(isa, &lane, &clock, (256 << 10) + 512).expect("memory");
        assert!(read > 0.0 && read.is_finite(), "{isa}: {read} B/s");
        for rate in [ceiling::dot_rate(isa, &lane, &clock), ceiling::multiply_add_rate(isa, &lane, &clock)] {
            assert!(rate > 0.0 && rate.is_finite(), "{isa}: {rate} operations/s");
        }
    }
}
