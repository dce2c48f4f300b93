//! The world around simulated nodes: what the scenario has happen, which shapes the models have, and when answers came.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use nanomind_bricks::shape::{LanguageShape, ModelShape, VisionShape};
use nanomind_graphs::{ModelFacts, PlannedNode};
use nanomind_hal::Timestamp;

use super::scenario::{Failing, Moving, Question, Scenario};
use super::timetable;
use crate::error::NodeError;
use crate::request::{RequestId, RequestTimes};
use crate::shapes::shape_of;

/// What all simulated nodes of a run share.
pub(super) struct World {
    scenario: Scenario,
    seed: u64,
    /// By what the graph calls the model.
    shapes: RefCell<BTreeMap<String, ModelShape>>,
    /// Tokens of the answers to what people asked.
    answers: RefCell<BTreeMap<RequestId, u32>>,
    latencies: RefCell<Latencies>,
}

/// How long requests waited at the sinks, in the order in which they were answered.
#[derive(Clone, Default, Debug)]
pub(super) struct Latencies {
    /// From the minting of a request to the first sign of its answer.
    pub(super) first_output: Vec<Duration>,
    /// From the minting of a request to the end of its answer.
    pub(super) end_to_end: Vec<Duration>,
}

impl World {
    /// A world in which the scenario happens as `seed` draws it.
    pub(super) fn new(scenario: Scenario, seed: u64) -> World {
        World { scenario, seed, shapes: RefCell::default(), answers: RefCell::default(), latencies: RefCell::default() }
    }

    pub(super) fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The questions that are put to a sensor, in order.
    pub(super) fn questions(&self, node: &str) -> Vec<Question> {
        timetable::questions(&self.scenario, self.seed, node)
    }

    /// When something moves before a camera, in order.
    pub(super) fn motion(&self, node: &str) -> Vec<Moving> {
        timetable::motion(&self.scenario, self.seed, node)
    }

    /// The frames that a recording has a camera send.
    pub(super) fn frames(&self, node: &str) -> Option<Vec<(Duration, bool)>> {
        timetable::frames(&self.scenario, node)
    }

    /// When a sensor that sees nothing at `now` sees again; `None` while it sees.
    pub(super) fn blind_until(&self, node: &str, now: Duration) -> Option<Duration> {
        let blind = self.scenario.faults.iter().filter(|fault| {
            let is_this = matches!(&fault.what, Failing::Sensor(name) if name == node);
            is_this && (fault.from..fault.to).contains(&now)
        });
        blind.map(|fault| fault.to).max()
    }

    /// The shape of the language model in a field of a node.
    pub(super) fn language(&self, plan: &PlannedNode, field: &str) -> Result<LanguageShape, NodeError> {
        match self.shape(plan.model(field)?)? {
            ModelShape::Language(shape) => Ok(shape),
            other => Err(wrong_shape(plan, field, "a language model", &other)),
        }
    }

    /// The shape of the vision model in a field of a node.
    pub(super) fn vision(&self, plan: &PlannedNode, field: &str) -> Result<VisionShape, NodeError> {
        match self.shape(plan.model(field)?)? {
            ModelShape::Vision(shape) => Ok(shape),
            other => Err(wrong_shape(plan, field, "a vision model", &other)),
        }
    }

    /// That of a model, whose file is opened once.
    fn shape(&self, facts: &ModelFacts) -> Result<ModelShape, NodeError> {
        if let Some(known) = self.shapes.borrow().get(&facts.reference) {
            return Ok(known.clone());
        }
        let shape = shape_of(facts).map_err(NodeError::own)?;
        self.shapes.borrow_mut().insert(facts.reference.clone(), shape.clone());
        Ok(shape)
    }

    /// A question was put whose answer has so many tokens.
    pub(super) fn asked(&self, request: RequestId, answer: u32) {
        self.answers.borrow_mut().insert(request, answer);
    }

    /// Tokens of the answer to a request, if no bound of the graph ends it earlier. Where nothing is said of it, as of a
    /// picture that is spoken about, the seed draws it.
    pub(super) fn answer_tokens(&self, request: RequestId) -> u32 {
        if let Some(&tokens) = self.answers.borrow().get(&request) {
            return tokens;
        }
        let answers = &self.scenario.prompts.answers;
        let mut random = timetable::stream(self.seed, "answers", request.0);
        // Between two numbers of 32 bits.
        timetable::between(&mut random, (*answers.start()).into(), (*answers.end()).into()) as u32
    }

    /// A sink has the whole answer to a request that came then.
    pub(super) fn answered(&self, request: RequestTimes, now: Timestamp) {
        let mut latencies = self.latencies.borrow_mut();
        latencies.first_output.extend(request.first_output.map(|first| first.since(request.minted)));
        latencies.end_to_end.push(now.since(request.minted));
    }

    /// How long requests waited so far.
    pub(super) fn latencies(&self) -> Latencies {
        self.latencies.borrow().clone()
    }
}

fn wrong_shape(plan: &PlannedNode, field: &str, expected: &str, found: &ModelShape) -> NodeError {
    let found = match found {
        ModelShape::Language(_) => "a language model",
        ModelShape::Vision(_) => "a vision model",
        ModelShape::Speech(_) => "a speech model",
    };
    NodeError::own(WrongShape {
        node: plan.name.clone(),
        field: field.to_owned(),
        expected: expected.to_owned(),
        found,
    })
}

/// A model of another kind than a node computes with.
#[derive(Debug, thiserror::Error)]
#[error("node `{node}`: {field}: expected {expected}, found {found}")]
struct WrongShape {
    node: String,
    field: String,
    expected: String,
    found: &'static str,
}
