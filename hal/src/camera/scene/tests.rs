//! What the scene camera promises: the same frames for the same seed, truth that fits them, motion and events.

use super::*;

fn camera(options: SceneOptions) -> SceneCamera {
    SceneCamera::new(options).unwrap_or_else(|error| panic!("{error}"))
}

/// The next frame's pixels and truth.
fn look(camera: &mut SceneCamera) -> (Vec<u8>, Scene) {
    let frame = camera.frame().unwrap_or_else(|error| panic!("{error}"));
    let scene = camera.scene().expect("a scene").clone();
    (frame.pixels.bytes().to_vec(), scene)
}

fn still(seed: u64) -> SceneOptions {
    SceneOptions { seed, motion: SceneMotion::Still, events: SceneEvents::Never, ..SceneOptions::default() }
}

#[test]
fn a_seed_gives_the_same_frames_and_another_seed_others() {
    let [mut a, mut b, mut c] = [7, 7, 8].map(|seed| camera(SceneOptions { seed, ..SceneOptions::default() }));
    for _ in 0..40 {
        let (first, second, third) = (look(&mut a), look(&mut b), look(&mut c));
        assert_eq!(first.1, second.1);
        assert!(first.0 == second.0, "the pixels of two cameras of one seed differ");
        assert!(first.0 != third.0, "two seeds give one picture");
    }
}

#[test]
fn a_still_scene_does_not_change_by_a_byte_and_a_drifting_one_does() {
    let mut camera = camera(still(3));
    let (first, scene) = look(&mut camera);
    for _ in 0..5 {
        let (next, same) = look(&mut camera);
        assert!(first == next && scene == same, "a still scene changed");
    }
    let mut drifting = super::tests::camera(SceneOptions { motion: SceneMotion::Drift, ..still(3) });
    let (before, after) = (look(&mut drifting), look(&mut drifting));
    assert!(before.0 != after.0, "nothing moved");
    let moved = before.1.things.iter().zip(&after.1.things).map(|(a, b)| (a.x - b.x).hypot(a.y - b.y));
    assert!(moved.into_iter().all(|by| by > 0.0 && by < 0.03), "{before:?} {after:?}");
}

#[test]
fn what_drifts_stays_at_its_place_and_within_the_frame() {
    for seed in 0..20 {
        let options = SceneOptions { motion: SceneMotion::Drift, ..still(seed) };
        let mut camera = camera(options);
        for _ in 0..70 {
            for thing in look(&mut camera).1.things {
                let (column, row) = thing.place.cell();
                let off = [(thing.x, column), (thing.y, row)].map(|(at, cell)| at - (cell as f32 + 0.5) / 3.0);
                assert!(off.iter().all(|off| off.abs() < 1.0 / 6.0), "{thing:?} left its place");
                assert!(thing.visible > 0.8, "{thing:?} left the frame");
            }
        }
    }
}

#[test]
fn the_truth_says_where_the_pixels_differ_from_the_backdrop() {
    let mut checked = 0;
    for seed in 0..30 {
        let (rgb, scene) = look(&mut camera(still(seed)));
        let [single] = scene.things.as_slice() else { continue };
        let size = 192;
        // The middle of a thing is not the backdrop's colour, the far corner is.
        let near = |x: f32, y: f32| {
            let at = (y * size as f32) as usize * size + (x * size as f32) as usize;
            [rgb[at * 3], rgb[at * 3 + 1], rgb[at * 3 + 2]]
        };
        let corner = |at: f32| if at < 0.5 { 0.995 } else { 0.005 };
        let backdrop = near(corner(single.x), corner(single.y));
        let reach = single.radius * 0.6;
        let differs = (-10..=10).flat_map(|dx| (-10..=10).map(move |dy| (dx as f32 / 10.0, dy as f32 / 10.0)));
        let differing = differs.filter(|(dx, dy)| {
            let seen = near(single.x + dx * reach, single.y + dy * reach);
            seen.iter().zip(backdrop).map(|(a, b)| i32::from(*a) - i32::from(b)).any(|by| by.abs() > 40)
        });
        assert!(differing.count() > 90, "seed {seed}: nothing to be seen of {scene}");
        checked += 1;
    }
    assert!(checked >= 3, "only {checked} scenes of one thing");
}

#[test]
fn things_come_and_go_one_at_a_time_over_the_rim() {
    let options = SceneOptions { seed: 11, event_every: 6, ..SceneOptions::default() };
    let mut camera = camera(options);
    let (mut events, mut before) = (Vec::new(), look(&mut camera).1.things.len());
    for frame in 1..240u64 {
        let scene = look(&mut camera).1;
        let count = scene.things.len();
        assert!((1..=5).contains(&count), "{count} things in frame {frame}");
        assert!(count.abs_diff(before) <= 1, "from {before} to {count} things in frame {frame}");
        match (&scene.event, frame.is_multiple_of(6)) {
            (Some(event), true) => {
                let moving = scene.things.iter().find(|thing| thing.passage != Passage::There).expect("a mover");
                let entering = matches!(event, SceneEvent::Enters(_));
                assert_eq!(moving.visible < 0.1, entering, "{event}: {moving:?}");
                assert!(event.to_string().contains(&moving.to_string()), "{event} is about {moving}");
                events.push(entering);
            }
            (None, false) => {}
            (event, _) => panic!("frame {frame}: {event:?}"),
        }
        // After a passage there is rest until the next event.
        assert_eq!(scene.is_settled(), frame % 6 >= 4 || frame < 6, "frame {frame}: {scene:?}");
        before = count;
    }
    let entered = events.iter().filter(|&&entering| entering).count();
    assert!(entered > 10 && entered < events.len() - 10, "{entered} of {} events are entrances", events.len());
}

#[test]
fn scenes_are_replaced_as_often_as_asked() {
    let options = SceneOptions { events: SceneEvents::Scenes, event_every: 3, ..still(5) };
    let mut camera = camera(options);
    let frames: Vec<(Vec<u8>, Scene)> = (0..12).map(|_| look(&mut camera)).collect();
    let numbers: Vec<u64> = frames.iter().map(|(_, scene)| scene.number).collect();
    assert_eq!(numbers, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
    for pair in frames.windows(2) {
        assert_eq!(pair[0].0 == pair[1].0, pair[0].1.number == pair[1].1.number, "{} {}", pair[0].1, pair[1].1);
    }
}

#[test]
fn a_size_that_cannot_be_drawn_is_refused_and_any_other_is_kept() {
    for size in [32, 100, 500] {
        let mut camera = camera(SceneOptions { size, ..still(1) });
        assert_eq!(look(&mut camera).0.len(), (size * size * 3) as usize);
    }
    let error = SceneCamera::new(SceneOptions { size: 20, ..still(1) }).err().expect("an error").to_string();
    assert_eq!(error, "camera scene 1: expected 20 × 20, found RGB from 32 × 32 to 2048 × 2048");
}

#[test]
fn a_scene_is_told_in_words() {
    let (_, scene) = look(&mut camera(still(2)));
    let words = scene.to_string();
    assert_eq!(words.split(", ").count(), scene.things.len(), "{words}");
    for thing in &scene.things {
        assert!(words.contains(&format!("{} {thing} {}", thing.size(), thing.place)), "{words}");
    }
}
