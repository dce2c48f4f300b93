//! The scene camera: a stand-in for a camera that every machine has. It shows drawn scenes of the kind that the shipped
//! vision-language model was trained on, the same ones for the same seed everywhere, with the truth beside each frame.

mod dice;
mod draw;
mod sheet;
mod truth;
mod world;

use std::ops::RangeInclusive;

pub use truth::{Colour, Kind, Passage, Place, Scene, SceneEvent, SceneThing, What};

use self::sheet::Sheet;
use self::world::World;
use super::{Camera, CameraError, CameraFormat, Coding, Frame, FramePixels};

/// How things move while nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SceneMotion {
    /// Not at all: frames of one scene are equal to the byte.
    Still,
    /// They sway about their places.
    Drift,
}

/// What happens from time to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SceneEvents {
    /// Nothing ever.
    Never,
    /// A thing comes in or goes out; there are one to five.
    Things,
    /// Everything is replaced at once; there are one to six things.
    Scenes,
}

/// What a scene camera shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SceneOptions {
    /// What all scenes are drawn from.
    pub seed: u64,
    /// Width and height of a frame in pixels.
    pub size: u32,
    /// How things move.
    pub motion: SceneMotion,
    /// What happens.
    pub events: SceneEvents,
    /// Frames from one event to the next; 0: nothing ever happens.
    pub event_every: u64,
}

impl SceneOptions {
    /// Sizes that can be drawn.
    pub const SIZES: RangeInclusive<u32> = 32..=2048;
}

/// 192 pixels, as the shipped model sees; things drift, and one comes or goes every eighth frame.
impl Default for SceneOptions {
    fn default() -> SceneOptions {
        SceneOptions { seed: 0, size: 192, motion: SceneMotion::Drift, events: SceneEvents::Things, event_every: 8 }
    }
}

/// A camera that looks at a drawn world. Each frame moves the world on by one step, however long it took.
pub struct SceneCamera {
    name: String,
    size: u32,
    world: World,
    sequence: u64,
    /// What the last frame showed.
    scene: Option<Scene>,
}

impl SceneCamera {
    /// A camera before a new world.
    ///
    /// # Errors
    /// When the size is outside of [`SceneOptions::SIZES`].
    pub fn new(options: SceneOptions) -> Result<SceneCamera, CameraError> {
        let name = format!("scene {}", options.seed);
        if !SceneOptions::SIZES.contains(&options.size) {
            let (wanted, sizes) = (format!("{0} × {0}", options.size), SceneOptions::SIZES);
            let offered = format!("RGB from {0} × {0} to {1} × {1}", sizes.start(), sizes.end());
            return Err(CameraError::NoFormat { device: name, wanted, offered });
        }
        let sheet = Sheet::decode().map_err(|cause| CameraError::Broken {
            device: name.clone(),
            step: "decode its sprite sheet",
            cause,
        })?;
        Ok(SceneCamera { name, size: options.size, world: World::new(options, sheet), sequence: 0, scene: None })
    }

    /// What the last frame shows; `None` before the first.
    pub fn scene(&self) -> Option<&Scene> {
        self.scene.as_ref()
    }
}

impl Camera for SceneCamera {
    fn name(&self) -> &str {
        &self.name
    }

    fn format(&self) -> CameraFormat {
        CameraFormat { coding: Coding::Rgb, width: self.size, height: self.size, rate: None }
    }

    fn frame(&mut self) -> Result<Frame, CameraError> {
        let (rgb, scene) = self.world.advance();
        self.scene = Some(scene);
        let sequence = self.sequence;
        self.sequence += 1;
        Ok(Frame { width: self.size, height: self.size, sequence, pixels: FramePixels::Rgb(rgb) })
    }
}

#[cfg(test)]
mod tests;
