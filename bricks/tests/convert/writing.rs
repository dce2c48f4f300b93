//! How files come to be: all of them whole, or none; nothing is replaced unasked; numbers that do not fit are refused.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use nanomind_bricks::convert::{ConvertError, convert};
use nanomind_hal::Lane;
use nanomind_kernels::Precision;
use serde_json::Value;

use crate::folder::ModelFolder;
use crate::{options, run};

/// The names of all files of a folder, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn files_appear_under_the_names_that_were_asked_for() {
    let temporary = tempfile::tempdir().unwrap();
    let (input, out) = (temporary.path().join("My Model"), temporary.path().join("a/b"));
    ModelFolder::new("smolvlm").write(&input);
    let mut options = options(&out, Precision::Q8_0, Precision::F16);
    options.name = None;
    let converted = run(&input, &options).unwrap();
    assert_eq!(names(&out), ["My Model.gguf", "mmproj-My Model.gguf"]);
    assert_eq!(converted.files[0].path, out.join("My Model.gguf"));
}

#[test]
fn nothing_is_replaced_unless_that_was_asked_for() {
    let temporary = tempfile::tempdir().unwrap();
    let (input, out) = (temporary.path().join("in"), temporary.path().join("out"));
    ModelFolder::new("smolvlm").write(&input);
    fs::create_dir(&out).unwrap();
    fs::write(out.join("mmproj-model.gguf"), "mine").unwrap();
    let mut options = options(&out, Precision::Q8_0, Precision::F16);
    let error = run(&input, &options).expect_err("a file that is there");
    assert!(matches!(&error, ConvertError::Exists { path } if path.ends_with("mmproj-model.gguf")), "{error}");
    assert_eq!(names(&out), ["mmproj-model.gguf"]);
    assert_eq!(fs::read(out.join("mmproj-model.gguf")).unwrap(), b"mine");
    options.overwrite = true;
    run(&input, &options).unwrap();
    assert!(fs::read(out.join("mmproj-model.gguf")).unwrap().starts_with(b"GGUF"));
}

#[test]
fn a_conversion_that_is_broken_off_at_any_point_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let (input, out) = (temporary.path().join("in"), temporary.path().join("out"));
    ModelFolder::new("llava").write(&input);
    let options = options(&out, Precision::Q4_0, Precision::F16);
    let mut pieces = 0;
    convert(&input, &options, &Lane::single(), &mut |progress| {
        pieces += 1;
        assert!(progress.done_bytes <= progress.total_bytes, "{progress:?}");
        ControlFlow::Continue(())
    })
    .unwrap();
    fs::remove_dir_all(&out).unwrap();
    for last in 1..=pieces {
        let mut heard = 0;
        let error = convert(&input, &options, &Lane::single(), &mut |_| {
            heard += 1;
            if heard == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(error, Err(ConvertError::Interrupted)), "piece {last} of {pieces}: {error:?}");
        assert_eq!(names(&out), [""; 0], "after piece {last} of {pieces}");
    }
}

#[test]
fn threads_do_not_change_a_file() {
    let temporary = tempfile::tempdir().unwrap();
    let input = temporary.path().join("in");
    ModelFolder::new("llama3").write(&input);
    let made = [Lane::single(), Lane::spawn(3, None).unwrap()].map(|lane| {
        let out = temporary.path().join(lane.threads().to_string());
        let options = options(&out, Precision::Q4_1, Precision::F16);
        convert(&input, &options, &lane, &mut |_| ControlFlow::Continue(())).unwrap();
        fs::read(out.join("model.gguf")).unwrap()
    });
    assert!(made[0] == made[1], "the files differ");
}

#[test]
fn numbers_that_would_become_infinite_are_refused_by_name() {
    let temporary = tempfile::tempdir().unwrap();
    let input = temporary.path().join("in");
    ModelFolder::new("llama").write(&input);
    let path = input.join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let places: Value = serde_json::from_slice(&whole[8..header]).unwrap();
    let name = "model.layers.1.mlp.up_proj.weight";
    let at = header + places[name]["data_offsets"][1].as_u64().unwrap() as usize - 4;
    for (number, precision, expected) in [
        (f32::NAN, Precision::F32, "expected finite numbers, found NaN"),
        (f32::INFINITY, Precision::Q8_0, "expected finite numbers, found inf"),
        (70000.0, Precision::F16, "expected numbers of at most 6.5504e4, which F16 can hold, found 7e4"),
    ] {
        let mut bytes = whole.clone();
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        let out = temporary.path().join(format!("{precision:?}"));
        let error = run(&input, &options(&out, precision, Precision::F16)).expect_err(expected).to_string();
        assert!(error.ends_with(&format!("model.safetensors: tensor `{name}`: {expected}")), "{error}");
        assert_eq!(names(&out), [""; 0]);
    }
}
