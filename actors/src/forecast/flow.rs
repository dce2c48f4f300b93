//! Who asks what of whom: the sensors that make requests, and the bricks that each request passes, in order.

use std::time::Duration;

use nanomind_bricks::shape::{ModelShape, VisionShape};
use nanomind_graphs::{Firing, Plan, PlannedNode, QueuePolicy, Role};

use super::ForecastError;
use super::brick::{Brick, count};
use crate::simulation::{Scenario, tokens_of};

/// A graph as requests go through it.
pub(super) struct Flow {
    pub(super) bricks: Vec<Brick>,
    pub(super) sources: Vec<Source>,
}

/// A sensor that makes requests.
pub(super) struct Source {
    pub(super) sensor: String,
    pub(super) kind: SourceKind,
    /// The bricks that a request passes, in order.
    pub(super) path: Vec<Stop>,
    /// Width and height of the pictures of its requests, where they have one.
    pub(super) picture: Option<(usize, usize)>,
    /// Tokens of the question that stands beside its pictures, where no request brings one.
    pub(super) standing: usize,
}

/// What makes the requests of a sensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SourceKind {
    /// People who ask.
    People,
    /// A question of the graph's own, asked once.
    Once,
    /// A clock that strikes so often.
    Clockwork { every: Duration },
    /// A camera that takes a picture so often.
    Film { every: Duration },
}

/// A brick on the way of a request.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    /// Which brick.
    pub(super) brick: usize,
    /// Those of the path whose output it waits for; none where it takes what the sensor sends.
    pub(super) after: Vec<usize>,
    /// Packets that fit between the last of those and it.
    pub(super) room: usize,
    /// Whether what comes too early is replaced rather than waited for.
    pub(super) takes_latest: bool,
}

/// The least time between two pictures of a camera that takes them as fast as it can.
const FASTEST: Duration = Duration::from_millis(33);

impl Flow {
    /// The flow of a plan.
    ///
    /// # Errors
    /// The shape of a model is unknown.
    pub(super) fn of(plan: &Plan, scenario: &Scenario) -> Result<Flow, ForecastError> {
        let eye = eye(plan)?;
        let mut bricks = Vec::new();
        let mut places: Vec<Option<usize>> = Vec::new();
        for node in plan.nodes() {
            let brick = Brick::of(node, eye.as_ref())?;
            places.push(brick.is_some().then_some(bricks.len()));
            bricks.extend(brick);
        }
        let sensors = plan.nodes().iter().enumerate().filter(|(_, node)| node.role == Role::Sensor);
        let sources = sensors.filter(|(index, _)| !is_asked(plan, *index));
        let sources =
            sources.map(|(index, _)| source(plan, index, &places, scenario)).collect::<Result<Vec<_>, _>>()?;
        Ok(Flow { bricks, sources: sources.into_iter().flatten().collect() })
    }
}

/// The vision model of the graph, whose projector makes the rows of its pictures.
fn eye(plan: &Plan) -> Result<Option<VisionShape>, ForecastError> {
    let model = plan.nodes().iter().filter(|node| node.kind == "Projector").find_map(|node| node.model("model").ok());
    match model.map(crate::shapes::shape_of).transpose()? {
        Some(ModelShape::Vision(shape)) => Ok(Some(shape)),
        _ => Ok(None),
    }
}

/// Whether a sensor waits for questions rather than making requests itself.
fn is_asked(plan: &Plan, sensor: usize) -> bool {
    plan.edges().iter().any(|edge| edge.to.node == sensor)
}

fn source(
    plan: &Plan,
    sensor: usize,
    places: &[Option<usize>],
    scenario: &Scenario,
) -> Result<Option<Source>, ForecastError> {
    let reached = reached(plan, sensor);
    let sensor = &plan.nodes()[sensor];
    let path: Vec<Stop> = reached.iter().filter_map(|node| stop(plan, *node, &reached, places)).collect();
    if path.is_empty() {
        return Ok(None);
    }
    let nodes = || reached.iter().map(|index| &plan.nodes()[*index]);
    let camera = nodes().find(|node| is_camera(node));
    let picture = camera.map(|camera| picture_size(camera, scenario)).transpose()?;
    let kind = match sensor.kind.as_str() {
        "Prompt" if !sensor.text("text")?.is_empty() && !sensor.bool("follow_up")? => SourceKind::Once,
        "Timer" => SourceKind::Clockwork { every: sensor.duration("every")? },
        _ if is_camera(sensor) => SourceKind::Film { every: sensor.duration("every").unwrap_or_default().max(FASTEST) },
        _ => SourceKind::People,
    };
    let standing = plan.nodes().iter().filter(|node| node.kind == "Prompt");
    let standing = standing.map(|node| node.text("text").map(tokens_of)).sum::<Result<usize, _>>()?;
    Ok(Some(Source { sensor: sensor.name.clone(), kind, path, picture, standing }))
}

/// The nodes that a request of `sensor` reaches, itself first, each after those that it hears from.
fn reached(plan: &Plan, sensor: usize) -> Vec<usize> {
    fn visit(plan: &Plan, at: usize, seen: &mut [bool], order: &mut Vec<usize>) {
        if std::mem::replace(&mut seen[at], true) {
            return;
        }
        let edges = plan.edges().iter().filter(|edge| edge.from.node == at && edge.firing != Firing::Latched);
        edges.for_each(|edge| visit(plan, edge.to.node, seen, order));
        order.push(at);
    }
    let (mut seen, mut order) = (vec![false; plan.nodes().len()], Vec::new());
    visit(plan, sensor, &mut seen, &mut order);
    order.reverse();
    order
}

/// A node of the path, where it is a brick, and what of the path it waits for.
fn stop(plan: &Plan, node: usize, reached: &[usize], places: &[Option<usize>]) -> Option<Stop> {
    let brick = places[node]?;
    let edges = plan.edges().iter().filter(|edge| edge.to.node == node && edge.firing != Firing::Latched);
    let edges: Vec<_> = edges.filter(|edge| reached.contains(&edge.from.node)).collect();
    let after = edges.iter().filter_map(|edge| places[edge.from.node]).collect();
    let room = edges.iter().map(|edge| edge.queue.packets as usize).min().unwrap_or(1);
    let takes_latest = edges.iter().any(|edge| edge.queue.policy == QueuePolicy::Latest);
    Some(Stop { brick, after, room, takes_latest })
}

fn is_camera(node: &PlannedNode) -> bool {
    matches!(node.kind.as_str(), "Camera" | "SceneCamera" | "Image" | "ImageFolder")
}

/// Width and height of a camera's pictures: what its fields say, or else what the scenario says.
fn picture_size(node: &PlannedNode, scenario: &Scenario) -> Result<(usize, usize), ForecastError> {
    let has = |field: &str| node.spec.find_field(field).is_some();
    Ok(match node.kind.as_str() {
        _ if has("width") && has("height") => (count(node, "width")?, count(node, "height")?),
        "SceneCamera" => (count(node, "size")?, count(node, "size")?),
        _ => (scenario.picture.0 as usize, scenario.picture.1 as usize),
    })
}
