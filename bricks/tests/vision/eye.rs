//! A drawn model, loaded, and pictures seen through it.

use std::sync::Arc;

use nanomind_bricks::Gguf;
use nanomind_bricks::vision::{Arrangement, Encoding, Picture, Pixels, Projector, Square, VisionEncoder};
use nanomind_hal::Lane;
use nanomind_hal::tabm::{ElementType, SlotGeometry, SlotPool, SlotReader};
use nanomind_kernels::Isa;

use crate::small;

/// Encoder and projector of one model.
pub(crate) struct Eye {
    pub(crate) encoder: Arc<VisionEncoder>,
    pub(crate) projector: Projector,
}

/// How the work of a picture is cut.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) layers: usize,
    pub(crate) blocks: usize,
}

/// As few jobs as can be.
pub(crate) const WHOLE: Cut = Cut { layers: usize::MAX, blocks: usize::MAX };

impl Eye {
    pub(crate) fn load(name: &str, framing: &str, isa: Isa) -> Eye {
        let bytes = small::files(name, framing).vision.to_bytes();
        let gguf = Arc::new(Gguf::from_bytes(format!("{name}.gguf"), bytes).unwrap_or_else(|error| panic!("{error}")));
        let lane = Lane::single();
        let encoder = VisionEncoder::load(&gguf, isa, &lane, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
        let projector = Projector::load(&gguf, isa, &lane, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
        Eye { encoder: Arc::new(encoder), projector }
    }

    /// The squares of a picture.
    pub(crate) fn squares(&self, lane: &Lane, picture: &Arc<Picture>) -> Vec<Pixels> {
        self.encoder.config().preprocess().apply(lane, picture)
    }

    /// A square on its way, all layers done.
    pub(crate) fn encoding(&self, lane: &Lane, square: &Pixels, cut: Cut) -> Encoding {
        let mut encoding = Encoding::new(self.encoder.clone()).unwrap();
        encoding.begin(lane, square).unwrap();
        while !encoding.is_complete() {
            encoding.advance(lane, cut.layers);
        }
        encoding
    }

    /// The patch embeddings of each square.
    pub(crate) fn encode(&self, lane: &Lane, picture: &Arc<Picture>, cut: Cut) -> Vec<Vec<f32>> {
        let config = self.encoder.config();
        let encode = |square: &Pixels| {
            let mut rows = vec![f32::NAN; config.patches() * config.width];
            self.encoding(lane, square, cut).write(lane, &mut rows);
            rows
        };
        self.squares(lane, picture).iter().map(encode).collect()
    }

    /// The rows of a picture whose squares were encoded, in a slot of exactly as many.
    pub(crate) fn project(&self, lane: &Lane, arrangement: &Arrangement, encoded: &[Vec<f32>], cut: Cut) -> SlotReader {
        let (max_tokens, width) = (arrangement.rows(), self.projector.width());
        let geometry = SlotGeometry { slots: 1, max_tokens, width, element: ElementType::F32 };
        let mut slot = SlotPool::new(geometry).unwrap().try_acquire().unwrap();
        // What is not written shall be seen.
        slot.rows_mut_f32().fill(f32::NAN);
        let (mut work, total) = (self.projector.projection(), self.projector.config().blocks());
        for (tile, patches) in encoded.iter().enumerate() {
            let mut done = 0;
            while done < total {
                let blocks = done..total.min(done.saturating_add(cut.blocks));
                done = blocks.end;
                let square = Square { arrangement, tile, patches };
                self.projector.project(lane, &mut work, square, blocks, &mut slot).unwrap();
            }
        }
        slot.publish(arrangement.rows())
    }

    /// Where the rows of a picture go.
    pub(crate) fn arrange(&self, picture: &Picture) -> Arrangement {
        let plan = self.encoder.config().preprocess().plan(picture.width(), picture.height());
        self.projector.arrange(plan)
    }
}
