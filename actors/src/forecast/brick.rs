//! What a request takes of a brick: the jobs that it cuts the work into, by the shape of its model.

use nanomind_bricks::shape::{LanguageShape, ModelShape, VisionShape};
use nanomind_graphs::{FieldError, PlannedNode};
use nanomind_hal::{AcceleratorId, JobCost, Phase};

use super::ForecastError;
use super::device::Unit;
use crate::nodes::llm::CHUNKS;
use crate::nodes::projector::FEWEST_BLOCKS;
use crate::simulation::Dialogue;

/// What a request brings.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Demand {
    /// Width and height of its picture, in pixels.
    pub(super) picture: Option<(usize, usize)>,
    /// Tokens of the question.
    pub(super) question: usize,
    /// Tokens of the answer.
    pub(super) answer: usize,
}

/// What a brick is.
enum Part {
    Eye(Box<VisionShape>),
    Projector(Box<VisionShape>),
    Mind(Box<Mind>),
    Words(LanguageShape),
}

struct Mind {
    shape: LanguageShape,
    /// Nothing is held of its pictures.
    dialogue: Dialogue<()>,
    max_tokens: usize,
    /// The shape that rows of pictures come from.
    eye: Option<VisionShape>,
}

/// A node that works.
pub(super) struct Brick {
    pub(super) node: String,
    /// Where it may work, in order of preference.
    pub(super) places: Vec<AcceleratorId>,
    part: Part,
}

impl Brick {
    /// The brick of a node; `None` for nodes without a model, whose jobs take next to nothing. `eye` is the vision model of
    /// the graph, if it has one: its projector makes the rows that the language model reads.
    ///
    /// # Errors
    /// The model's shape is unknown, or of another kind than the node's.
    pub(super) fn of(node: &PlannedNode, eye: Option<&VisionShape>) -> Result<Option<Brick>, ForecastError> {
        let Ok(model) = node.model("model") else { return Ok(None) };
        let shape = crate::shapes::shape_of(model)?;
        let part = match (node.kind.as_str(), shape) {
            ("VisionEncoder", ModelShape::Vision(shape)) => Part::Eye(Box::new(shape)),
            ("Projector", ModelShape::Vision(shape)) => Part::Projector(Box::new(shape)),
            ("TokenEmbedding", ModelShape::Language(shape)) => Part::Words(shape),
            ("Llm", ModelShape::Language(shape)) => Part::Mind(Box::new(Mind {
                shape: crate::shapes::with_cache_of(node, shape),
                dialogue: Dialogue::of(node)?,
                max_tokens: count(node, "max_tokens")?,
                eye: eye.cloned(),
            })),
            _ => return Ok(None),
        };
        Ok(Some(Brick { node: node.name.clone(), places: node.candidates.clone(), part }))
    }

    /// Loading its weights.
    pub(super) fn load(&self) -> JobCost {
        match &self.part {
            Part::Eye(shape) => shape.load_encoder(),
            Part::Projector(shape) => shape.load_projector(),
            Part::Mind(mind) => mind.shape.load(),
            Part::Words(shape) => shape.load(),
        }
    }

    /// Bytes of its weights in memory.
    pub(super) fn weight_bytes(&self) -> u64 {
        match &self.part {
            Part::Eye(shape) => shape.encoder_bytes(),
            Part::Projector(shape) => shape.projector_bytes(),
            Part::Mind(mind) => mind.shape.weight_bytes(),
            Part::Words(shape) => shape.weight_bytes(),
        }
    }

    /// Whether it works on pictures, square by square.
    pub(super) fn packets(&self, demand: &Demand) -> usize {
        match (&self.part, demand.picture) {
            (Part::Eye(shape), Some((width, height))) => shape.squares(width, height),
            _ => 1,
        }
    }

    /// The weights were released, and what was built on them with them.
    pub(super) fn released(&mut self) {
        if let Part::Mind(mind) = &mut self.part {
            mind.dialogue.lose_cache();
        }
    }

    /// Seconds that a request takes on `unit`; the conversation goes on by it. `None` where it is refused.
    pub(super) fn serve(&mut self, demand: &Demand, unit: &Unit) -> Option<f64> {
        match &mut self.part {
            Part::Mind(mind) => mind.serve(demand, unit),
            part => part.seconds(demand, unit),
        }
    }

    /// Seconds that such a request would take on `unit`, as the first one of a conversation.
    pub(super) fn expect(&self, demand: &Demand, unit: &Unit) -> f64 {
        match &self.part {
            Part::Mind(mind) => mind.expect(demand, unit),
            part => part.seconds(demand, unit).unwrap_or(0.0),
        }
    }
}

impl Part {
    /// Seconds that a request takes of a part that remembers nothing.
    fn seconds(&self, demand: &Demand, unit: &Unit) -> Option<f64> {
        match self {
            Part::Eye(shape) => Some(demand.picture.map_or(0.0, |size| encode(shape, size, unit))),
            Part::Projector(shape) => Some(demand.picture.map_or(0.0, |size| project(shape, size, unit))),
            Part::Words(shape) => Some(unit.time(Phase::Embed, shape.embed(demand.question)).as_secs_f64()),
            Part::Mind(_) => None,
        }
    }
}

impl Mind {
    /// Rows of the picture, if there is one.
    fn rows(&self, demand: &Demand) -> Option<usize> {
        let (eye, (width, height)) = self.eye.as_ref().zip(demand.picture)?;
        Some(eye.rows(width, height))
    }

    fn serve(&mut self, demand: &Demand, unit: &Unit) -> Option<f64> {
        let rows = self.rows(demand);
        let placed = self.dialogue.place(demand.question, rows.as_slice()).ok()?;
        let answer = demand.answer.min(self.max_tokens).min(placed.room);
        self.dialogue.settle(placed, answer, rows.map(|_| ()).into_iter().collect());
        Some(self.seconds(placed.reused, placed.total, demand.answer, answer, unit))
    }

    fn expect(&self, demand: &Demand, unit: &Unit) -> f64 {
        let total = self.dialogue.first(demand.question + self.rows(demand).unwrap_or(0));
        self.seconds(0, total, demand.answer, demand.answer.min(self.max_tokens), unit)
    }

    /// Reading positions `reused..total`, then `answer` tokens of the `wanted`. Choosing the first one reads nothing; an
    /// answer that is not cut short ends with a step of its own.
    fn seconds(&self, reused: usize, total: usize, wanted: usize, answer: usize, unit: &Unit) -> f64 {
        let (mut position, mut seconds) = (reused, 0.0);
        while position < total {
            let fits = |chunk: &usize| unit.fits(Phase::Prefill, self.shape.prefill(*chunk, position));
            let chunk = CHUNKS.into_iter().find(fits).unwrap_or(CHUNKS[CHUNKS.len() - 1]).min(total - position);
            seconds += unit.time(Phase::Prefill, self.shape.prefill(chunk, position)).as_secs_f64();
            position += chunk;
        }
        let steps = if answer < wanted { answer.saturating_sub(1) } else { answer };
        let decodes = (0..steps).map(|said| unit.time(Phase::Decode, self.shape.decode(total + said)).as_secs_f64());
        seconds + unit.time(Phase::Decode, JobCost::default()).as_secs_f64() + decodes.sum::<f64>()
    }
}

/// Seconds of preparing a picture and encoding its squares, as many layers a job as fit.
fn encode(shape: &VisionShape, (width, height): (usize, usize), unit: &Unit) -> f64 {
    let time = |phase, cost| unit.time(phase, cost).as_secs_f64();
    let layers = shape.layer_count();
    let (mut done, mut square) = (0, time(Phase::Encode, shape.embed()) + time(Phase::Publish, shape.publish()));
    while done < layers {
        let fits = |end: &usize| unit.fits(Phase::Encode, shape.layers(done, *end));
        let end = (done + 1..=layers).rev().find(fits).unwrap_or(done + 1);
        square += time(Phase::Encode, shape.layers(done, end));
        done = end;
    }
    time(Phase::Prepare, shape.prepare(width, height)) + square * shape.squares(width, height) as f64
}

/// Seconds of projecting the squares of a picture, as many blocks of patches a job as fit.
fn project(shape: &VisionShape, (width, height): (usize, usize), unit: &Unit) -> f64 {
    let total = shape.blocks();
    let mut blocks = total;
    while blocks > FEWEST_BLOCKS && !unit.fits(Phase::Project, shape.project(blocks)) {
        blocks = blocks.div_ceil(2);
    }
    let (mut done, mut square) = (0, 0.0);
    while done < total {
        let now = blocks.min(total - done);
        square += unit.time(Phase::Project, shape.project(now)).as_secs_f64();
        done += now;
    }
    square * shape.squares(width, height) as f64
}

/// A whole number of a node's fields that its specification keeps from being negative.
pub(super) fn count(node: &PlannedNode, field: &str) -> Result<usize, FieldError> {
    node.integer(field).map(|value| usize::try_from(value).unwrap_or(0))
}
