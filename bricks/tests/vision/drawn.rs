//! The shipped model sees what the scene camera draws: its answers are held against the camera's truth.

use nanomind_bricks::vision::{Picture, PictureLimits};
use nanomind_hal::camera::{Camera, Kind, Scene, SceneCamera, SceneEvents, SceneMotion, SceneOptions, SceneThing};

use super::scene::Seer;

/// Frames that are looked at: one of each scene. `NANOMIND_DRAWN` asks for another number.
const FRAMES: u64 = 12;

const NUMBERS: [&str; 7] = ["no", "one", "two", "three", "four", "five", "six"];

fn article(phrase: &str) -> String {
    let an = phrase.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {phrase}", if an { "an" } else { "a" })
}

/// What the model was taught to call it: an everyday thing is named without its colour.
fn label(thing: &SceneThing) -> String {
    if thing.what.kind == Kind::Thing { thing.what.name.to_owned() } else { thing.to_string() }
}

/// Things whose label is theirs alone, with it.
fn alone(scene: &Scene) -> impl Iterator<Item = (&SceneThing, String)> {
    let labels: Vec<String> = scene.things.iter().map(label).collect();
    let twice = move |wanted: &String| labels.iter().filter(|label| *label == wanted).count() > 1;
    scene.things.iter().map(|thing| (thing, label(thing))).filter(move |(_, label)| !twice(label))
}

/// Questions about the frame with the answers that its truth gives, in the words that the model was taught.
fn questions(scene: &Scene) -> Vec<(&'static str, String, String)> {
    let things = &scene.things;
    let mut asked = Vec::new();
    let phrases: Vec<String> = things.iter().map(|thing| format!("a {} {}", thing.size(), label(thing))).collect();
    let described = match phrases.split_last() {
        None => return asked,
        Some((only, [])) => format!("There is {only}."),
        Some((last, rest)) => format!("There are {} objects: {} and {last}.", NUMBERS[things.len()], rest.join(", ")),
    };
    asked.push(("describe", "What do you see?".to_owned(), described));
    let count = if things.len() == 1 {
        "There is one object.".to_owned()
    } else {
        format!("There are {} objects.", NUMBERS[things.len()])
    };
    asked.push(("count", "How many objects are there?".to_owned(), count));
    for thing in things {
        asked.push(("name", format!("What is {}?", thing.place), format!("It is {}.", article(&label(thing)))));
    }
    for (thing, label) in alone(scene) {
        asked.push(("where", format!("Where is the {label}?"), format!("It is {}.", thing.place)));
        asked.push(("size", format!("Is the {label} large or small?"), format!("It is {}.", thing.size())));
        let namesakes = things.iter().filter(|other| other.what == thing.what).count();
        if let Some(colour) = thing.colour.filter(|_| namesakes == 1) {
            let name = thing.what.name;
            asked.push(("colour", format!("What colour is the {name}?"), format!("The {name} is {}.", colour.name())));
        }
        if thing.what.kind != Kind::Digit {
            let label = article(&label);
            asked.push(("exists", format!("Is there {label}?"), format!("Yes, there is {label}.")));
        }
    }
    asked
}

#[test]
fn the_shipped_model_sees_what_the_scene_camera_draws() {
    let frames = std::env::var("NANOMIND_DRAWN").ok().and_then(|frames| frames.parse().ok()).unwrap_or(FRAMES);
    let mut seer = Seer::load();
    let options = SceneOptions {
        seed: 2026,
        motion: SceneMotion::Drift,
        events: SceneEvents::Scenes,
        event_every: 1,
        ..SceneOptions::default()
    };
    let mut camera = SceneCamera::new(options).unwrap();
    let mut tally = std::collections::BTreeMap::<&str, (usize, usize)>::new();
    let mut wrong = Vec::new();
    for frame in 0..frames {
        let picture = camera.frame().unwrap();
        let picture = Picture::from_frame("a scene", &picture, &PictureLimits::default()).unwrap();
        let rows = seer.look(&picture);
        for (skill, question, expected) in questions(camera.scene().unwrap()) {
            let found = seer.answer(rows.clone(), &question);
            let entry = tally.entry(skill).or_default();
            entry.1 += 1;
            if found == expected {
                entry.0 += 1;
            } else {
                wrong.push(format!("frame {frame}: {question}\n  expected {expected}\n  found    {found}"));
            }
        }
    }
    let (right, asked) = tally.values().fold((0, 0), |(right, asked), entry| (right + entry.0, asked + entry.1));
    eprintln!("{right} of {asked} answers are true: {tally:?}");
    if frames != FRAMES {
        eprintln!("{}", wrong.join("\n"));
    }
    assert!(asked > 100, "only {asked} questions");
    assert!(right * 100 >= 98 * asked, "{right} of {asked} answers are true:\n{}", wrong.join("\n"));
}
