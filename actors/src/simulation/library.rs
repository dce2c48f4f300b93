//! The simulated library: the kinds of the standard one with their specifications, and simulated bodies.

use std::rc::Rc;

use nanomind_graphs::{NodeSpec, PlannedNode, SpecError};
use nanomind_hal::AcceleratorKind;

use super::nodes::camera::Camera;
use super::nodes::embedding::Lookup;
use super::nodes::eye::Eye;
use super::nodes::mind::Mind;
use super::nodes::people::People;
use super::nodes::projector::Projector;
use super::nodes::sink::{Lasting, Onlooker, Reader};
use super::world::World;
use crate::error::NodeError;
use crate::library::NodeLibrary;
use crate::node::Node;
use crate::nodes::timer::Timer;

/// The kinds of the standard library, as they live in `world`.
///
/// # Errors
/// Never in a released version: a test registers them all.
pub(super) fn simulated(world: &Rc<World>) -> Result<NodeLibrary, SpecError> {
    let mut library = NodeLibrary::empty();
    for spec in NodeLibrary::standard()?.registry().iter() {
        // A kind without a body is one that no graph can name; a test holds that there is none.
        let Some(body) = body(&spec.kind) else { continue };
        let world = world.clone();
        library.register_boxed(on_every_accelerator(spec), move |plan| body(plan, &world))?;
    }
    Ok(library)
}

/// Bricks run on whatever accelerator of the device does their phases.
fn on_every_accelerator(spec: &NodeSpec) -> NodeSpec {
    if spec.phases.is_empty() { spec.clone() } else { spec.clone().runs_on(&AcceleratorKind::ALL) }
}

/// Makes a simulated node of its plan.
type Body = fn(&PlannedNode, &Rc<World>) -> Result<Box<dyn Node>, NodeError>;

/// What makes the nodes of a kind.
fn body(kind: &str) -> Option<Body> {
    let body: Body = match kind {
        "Prompt" => |plan, world| Ok(Box::new(People::at_prompt(plan, world.clone())?)),
        "TextFile" => |_, world| Ok(Box::new(People::of_file(world.clone()))),
        "Timer" => |plan, _| Ok(Box::new(Lasting(Timer::new(plan)?))),
        "Image" => |_, world| Ok(Box::new(Camera::still(world.clone()))),
        "ImageFolder" => |plan, world| Ok(Box::new(Camera::folder(plan, world.clone())?)),
        "Camera" | "SceneCamera" => |plan, world| Ok(Box::new(Camera::filming(plan, world.clone())?)),
        "TokenEmbedding" => |plan, world| Ok(Box::new(Lookup::new(plan, world)?)),
        "VisionEncoder" => |plan, world| Ok(Box::new(Eye::new(plan, world)?)),
        "Projector" => |plan, world| Ok(Box::new(Projector::new(plan, world)?)),
        "Llm" => |plan, world| Ok(Box::new(Mind::new(plan, world.clone())?)),
        "Preview" => |_, _| Ok(Box::new(Onlooker)),
        "Stdout" | "TextSink" => |_, world| Ok(Box::new(Reader { world: world.clone() })),
        _ => return None,
    };
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::super::scenario::Scenario;
    use super::*;

    #[test]
    fn every_kind_of_the_standard_library_has_a_simulated_body() {
        let world = Rc::new(World::new(Scenario::default(), 0));
        let (standard, simulated) = (NodeLibrary::standard().unwrap(), simulated(&world).unwrap());
        let kinds = |library: &NodeLibrary| library.registry().iter().map(|spec| spec.kind.clone()).collect::<Vec<_>>();
        assert_eq!(kinds(&standard), kinds(&simulated));
    }
}
