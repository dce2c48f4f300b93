//! The device under test, on whichever adapter there is.

use super::*;

const DOUBLED: &str = "
@group(0) @binding(0) var<uniform> count: vec4u;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<u32>;
@compute @workgroup_size(64) fn doubled(@builtin(global_invocation_id) id: vec3u) {
    if id.x < count.x { output[id.x] = 2u * input[id.x]; }
}";

const BINDINGS: [Access; 3] = [Access::Parameters(16), Access::Read, Access::Write];

fn opened() -> Gpu {
    Gpu::open(&GpuChoice::Best, None).expect("an adapter: install mesa-vulkan-drivers and libvulkan1")
}

fn doubled(gpu: &Gpu) -> Pipeline {
    let text = PipelineText { label: "doubled", wgsl: DOUBLED, entry: "doubled", bindings: &BINDINGS, constants: &[] };
    gpu.pipeline(&text).expect("a pipeline")
}

fn bytes(words: &[u32]) -> &[u8] {
    bytemuck::cast_slice(words)
}

#[test]
fn what_is_recorded_runs_in_order_in_one_submission() {
    let gpu = opened();
    let pipeline = doubled(&gpu);
    let input: Vec<u32> = (0..100).collect();
    let first = gpu.upload("input", bytes(&input)).expect("memory");
    let second = gpu.buffer("output", 400, BufferUse::Storage).expect("memory");
    let back = gpu.buffer("way back", 400, BufferUse::Readback).expect("memory");
    let parameters = gpu.buffer("parameters", 512, BufferUse::Parameters).expect("memory");
    gpu.write(&parameters, 0, bytes(&[100, 0, 0, 0])).expect("written");
    gpu.write(&parameters, 256, bytes(&[50, 0, 0, 0])).expect("written");
    let there = gpu.bind(&pipeline, &[&parameters, &first, &second]).expect("bindings");
    let again = gpu.bind(&pipeline, &[&parameters, &second, &first]).expect("bindings");
    for _ in 0..2 {
        gpu.write(&first, 0, bytes(&input)).expect("written");
        let mut recorder = gpu.record();
        recorder.dispatch(&pipeline, &there, &[0], [2, 1, 1]);
        recorder.dispatch(&pipeline, &again, &[256], [1, 1, 1]);
        recorder.copy(&first, 0, &back, 0, 400);
        let submission = recorder.submit().expect("submitted");
        let mut output = [0_u32; 100];
        gpu.read(&back, submission, bytemuck::cast_slice_mut(&mut output)).expect("read");
        let expected: Vec<u32> = (0..100).map(|at| if at < 50 { 4 * at } else { at }).collect();
        assert_eq!(output[..], expected);
    }
}

#[test]
fn odd_numbers_of_bytes_come_back_as_they_went() {
    let gpu = opened();
    let buffer = gpu.upload("bytes", &[1, 2, 3, 4, 5, 6, 7]).expect("memory");
    assert_eq!(buffer.bytes(), 8);
    let mut back = [0; 7];
    gpu.download(&buffer, 0, &mut back).expect("read");
    assert_eq!(back, [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn what_is_too_large_or_wrong_is_an_error_that_says_so_and_harms_nothing() {
    let gpu = opened();
    let most = gpu.adapter().limits.binding_bytes;
    let error = gpu.buffer("weights", most + 4, BufferUse::Storage).expect_err("too large");
    assert!(matches!(&error, GpuError::TooLarge { what, .. } if what == "weights"), "{error}");
    let broken = PipelineText { label: "broken", wgsl: "fn f( {", entry: "f", bindings: &[], constants: &[] };
    let error = gpu.pipeline(&broken).expect_err("no shader");
    assert!(matches!(&error, GpuError::Refused { reason, .. } if reason.starts_with("broken")), "{error}");
    let short = gpu.upload("short", &[1, 2, 3, 4]).expect("memory");
    assert!(matches!(gpu.write(&short, 0, &[0; 8]), Err(GpuError::Refused { .. })));
    assert!(matches!(gpu.download(&short, 4, &mut [0; 4]), Err(GpuError::Refused { .. })));
    gpu.check().expect("no refusal left over");
    doubled(&gpu);
}

#[test]
fn a_lost_device_says_so_at_every_later_call() {
    let gpu = opened();
    let pipeline = doubled(&gpu);
    let buffer = gpu.upload("bytes", &[0; 64]).expect("memory");
    let recorder = gpu.record();
    assert!(!gpu.is_lost());
    gpu.lose();
    assert!(gpu.is_lost());
    let lost = |error: GpuError| matches!(error, GpuError::Lost { .. });
    assert!(lost(recorder.submit().expect_err("lost")));
    assert!(lost(gpu.buffer("more", 4, BufferUse::Storage).expect_err("lost")));
    assert!(lost(gpu.write(&buffer, 0, &[0; 4]).expect_err("lost")));
    assert!(lost(gpu.download(&buffer, 0, &mut [0; 4]).expect_err("lost")));
    assert!(lost(gpu.bind(&pipeline, &[&buffer, &buffer, &buffer]).expect_err("lost")));
    assert!(lost(gpu.record().submit().expect_err("lost")));
}

#[test]
fn compiled_pipelines_are_kept_in_the_folder_and_taken_from_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let gpu = Gpu::open(&GpuChoice::Best, Some(folder.path())).expect("an adapter");
    doubled(&gpu);
    let kept = gpu.adapter().features.pipeline_cache;
    drop(gpu);
    let files = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(files == 1, kept, "{files} files");
    doubled(&Gpu::open(&GpuChoice::Best, Some(folder.path())).expect("an adapter"));
}

#[test]
fn adapters_are_chosen_by_place_by_name_or_by_what_they_promise() {
    let all = adapters();
    let one = all.first().expect("an adapter: install mesa-vulkan-drivers and libvulkan1").clone();
    let card = GpuAdapter { index: 1, name: "NVIDIA H100".to_owned(), kind: GpuKind::Discrete, ..one.clone() };
    let emulated = GpuAdapter { index: 0, name: "llvmpipe".to_owned(), kind: GpuKind::Emulated, ..one };
    let two = [emulated, card];
    let chosen = |text: &str| text.parse::<GpuChoice>().expect("a choice").among(&two);
    assert_eq!(chosen(""), Ok(1));
    assert_eq!(chosen("0"), Ok(0));
    assert_eq!(chosen("h100"), Ok(1));
    let error = chosen("mali").expect_err("none").to_string();
    assert_eq!(error, "no graphics processor \"mali\", found 0 \"llvmpipe\", 1 \"NVIDIA H100\"");
    assert_eq!(GpuChoice::Best.among(&[]), Err(GpuError::NoAdapter));
}

#[test]
fn threads_that_read_at_once_each_get_what_is_theirs() {
    let gpu = opened();
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let gpu = &gpu;
            scope.spawn(move || {
                for round in 0..500 {
                    let words = [thread, round];
                    let buffer = gpu.upload("words", bytes(&words)).expect("memory");
                    let mut back = [0u32; 2];
                    gpu.download(&buffer, 0, bytemuck::cast_slice_mut(&mut back)).expect("read");
                    assert_eq!(back, words);
                }
            });
        }
    });
}
