//! The shape that a header gives is that of the loaded encoder and projector, and costs add up however work is cut.

use std::path::PathBuf;
use std::sync::Arc;

use nanomind_bricks::Gguf;
use nanomind_bricks::shape::{ModelShape, VisionShape};
use nanomind_bricks::vision::{Encoding, Picture, Projector, VisionEncoder};
use nanomind_hal::{JobCost, Lane};
use nanomind_kernels::Isa;

use crate::small;

/// The shipped model's file and drawn ones of each kind of projector and framing.
fn files() -> Vec<Arc<Gguf>> {
    let shipped: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "..", "examples", "models", "scene", "scene-mmproj.gguf"].iter().collect();
    let drawn = KINDS.map(|(name, framing)| {
        let bytes = small::files(name, framing).vision.to_bytes();
        Gguf::from_bytes(format!("{name} {framing}"), bytes).unwrap()
    });
    [Gguf::open(shipped).unwrap()].into_iter().chain(drawn).map(Arc::new).collect()
}

const KINDS: [(&str, &str); 4] = [("llava", "square"), ("onevision", ""), ("smolvlm", ""), ("mobilevlm", "pad")];

#[test]
fn a_header_gives_the_shape_of_the_encoder_and_projector_that_are_loaded() {
    for gguf in files() {
        let header = VisionShape::of_gguf(&gguf).unwrap();
        assert_eq!(ModelShape::of_gguf(&gguf).unwrap(), ModelShape::Vision(header.clone()));
        let lane = Lane::single();
        let mut read = 0;
        let encoder =
            VisionEncoder::load(&gguf, Isa::detect(), &lane, &mut |progress| read = progress.done_bytes).unwrap();
        assert_eq!(header.encoder(), encoder.shape(), "{}", gguf.file());
        assert_eq!(header.load_encoder().bytes, read, "{}: the loader counts what it reads", gguf.file());
        let projector =
            Projector::load(&gguf, Isa::detect(), &lane, &mut |progress| read = progress.done_bytes).unwrap();
        assert_eq!(header.projector(), Some(projector.shape()), "{}", gguf.file());
        let most = header.load_projector().bytes;
        assert!((read..=read + 4 * projector.width() as u64).contains(&most), "{}: {most} of {read}", gguf.file());
        assert_eq!((header.width(), header.patches()), (projector.width(), encoder.config().patches()));
    }
}

#[test]
fn a_picture_costs_what_its_jobs_declare() {
    let lane = Lane::single();
    for gguf in files() {
        let shape = VisionShape::of_gguf(&gguf).unwrap();
        let encoder = Arc::new(VisionEncoder::load(&gguf, Isa::detect(), &lane, &mut |_| {}).unwrap());
        let projector = Projector::load(&gguf, Isa::detect(), &lane, &mut |_| {}).unwrap();
        for (width, height) in [(64, 48), (31, 90)] {
            let picture = Arc::new(Picture::from_rgb(width, height, vec![100; width * height * 3]).unwrap());
            let mut preparation = encoder.config().preprocess().prepare(picture);
            let mut prepared = JobCost::default();
            while !preparation.is_complete() {
                prepared = plus(prepared, preparation.cost());
                preparation.advance(&lane);
            }
            assert_eq!(prepared, shape.prepare(width, height), "{} {width} by {height}", gguf.file());
            assert_eq!(shape.squares(width, height), preparation.plan().count());
            assert_eq!(shape.rows(width, height), projector.arrange(preparation.plan()).rows());
        }
        let encoding = Encoding::new(encoder.clone()).unwrap();
        let layers = (0..shape.layer_count()).map(|layer| shape.layers(layer, layer + 1));
        assert_eq!(layers.fold(shape.embed(), plus), encoding.cost(), "{}", gguf.file());
        assert_eq!(shape.publish(), encoding.publish_cost());
        assert_eq!(shape.project(shape.blocks()), projector.cost(projector.config().blocks()));
    }
}

fn plus(a: JobCost, b: JobCost) -> JobCost {
    JobCost { flops: a.flops + b.flops, bytes: a.bytes + b.bytes }
}
