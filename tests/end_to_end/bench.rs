//! `nanomind bench` measures what it is asked to, and writes it with the field names of `llama-bench`; `bench pipeline`
//! answers about every frame.
use serde_json::Value;

use crate::command::FreshMachine;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/language_llama_gqa_q8_0.gguf");

fn records(arguments: &[&str]) -> Vec<Value> {
    let common = ["bench", "-m", MODEL, "-r", "2", "--format", "json"];
    let ran = FreshMachine::new().run(common.iter().chain(arguments)).exits(0);
    ran.json().as_array().unwrap().clone()
}

#[test]
fn a_record_has_the_fields_of_llama_bench() {
    let records = records(&["-p", "16,8", "-n", "4", "-t", "1"]);
    let runs: Vec<_> = records.iter().map(|r| (r["n_prompt"].as_u64(), r["n_gen"].as_u64())).collect();
    assert_eq!(runs, [(Some(16), Some(0)), (Some(8), Some(0)), (Some(0), Some(4))]);
    for record in &records {
        let samples: Vec<f64> = record["samples_ns"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
        assert_eq!(samples.len(), 2, "{record}");
        let mean = (samples[0] + samples[1]) / 2.0;
        assert!((record["avg_ns"].as_f64().unwrap() - mean).abs() <= 1.0, "{record}");
        let tokens = record["n_prompt"].as_f64().unwrap() + record["n_gen"].as_f64().unwrap();
        let speed = (tokens / samples[0] + tokens / samples[1]) * 1e9 / 2.0;
        assert!((record["avg_ts"].as_f64().unwrap() / speed - 1.0).abs() < 1e-6, "{record}");
        assert!(record["stddev_ts"].is_f64() && record["stddev_ns"].is_u64(), "{record}");
        assert_eq!(record["n_threads"], 1);
        assert_eq!(record["model_filename"], MODEL);
        assert_eq!(record["backends"], "CPU");
        assert!(record["model_type"].as_str().unwrap().ends_with("Q8_0"), "{record}");
        for field in ["cpu_info", "test_time"] {
            assert!(record[field].is_string(), "{field} in {record}");
        }
        assert!(record["model_size"].as_u64() > Some(50_000) && record["model_n_params"].as_u64() > Some(50_000));
    }
}

#[test]
fn a_phase_of_0_tokens_is_left_out() {
    let decode_only = records(&["-p", "0", "-n", "3", "-t", "1"]);
    assert_eq!(decode_only.len(), 1);
    assert_eq!(decode_only[0]["n_gen"], 3);
    let ran = FreshMachine::new().run(["bench", "-m", MODEL, "-p", "0", "-n", "0"]).exits(2);
    assert_eq!(ran.stdout, "");
    ran.says("nothing to measure: both -p and -n are 0");
}

#[test]
fn a_workload_longer_than_the_model_was_trained_for_is_refused() {
    let ran = FreshMachine::new().run(["bench", "-m", MODEL, "-p", "513", "-n", "0", "-t", "1"]);
    ran.exits(2).says("context of 513 positions: expected at most the model's 512");
}

#[test]
fn a_file_that_is_no_model_is_refused() {
    let machine = FreshMachine::new();
    machine.file("broken.gguf", "not a model");
    machine.run(["bench", "-m", "broken.gguf"]).exits(65).says("broken.gguf: ");
}

#[test]
fn perplexity_is_that_of_a_guess_for_a_model_of_random_weights_and_what_is_wrong_is_said() {
    let text = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/texts/moby_dick.txt");
    let machine = FreshMachine::new();
    let perplexity =
        |arguments: &[&str]| machine.run(["bench", "perplexity", "-m", MODEL, "-t", "1"].iter().chain(arguments));
    let found = perplexity(&["-f", text, "-c", "64", "--chunks", "3", "--format", "json"]).exits(0).json();
    assert_eq!((&found["windows"], &found["tokens_scored"]), (&3.into(), &(3 * 31).into()), "{found:#}");
    // 264 tokens, none of them likelier than another for a reason.
    let value = found["perplexity"].as_f64().unwrap();
    assert!((100.0..700.0).contains(&value), "{found:#}");
    assert!((value.ln() - found["mean_nats"].as_f64().unwrap()).abs() < 1e-9, "{found:#}");
    perplexity(&["-f", text, "-c", "64", "--chunks", "1"]).exits(0).prints("1 of 64");

    perplexity(&["-f", "absent.txt"]).exits(1).says("absent.txt: ");
    machine.file("short.txt", "Call me Ishmael.\n");
    perplexity(&["-f", "short.txt"]).exits(2).says("expected at least the 512 of one window");
    perplexity(&["-f", text, "-c", "2"]).exits(2).says("windows of 2 tokens: expected at least 3");
    perplexity(&["-f", text, "-c", "513", "--chunks", "1"]).exits(2).says("at most the model's 512");
}

/// `bench pipeline` of the shipped model about few frames.
fn pipeline(arguments: &[&str]) -> Vec<String> {
    let scene = |name: &str| format!("{}/examples/models/scene/{name}", env!("CARGO_MANIFEST_DIR"));
    let (vision, model) = (scene("scene-mmproj.gguf"), scene("scene.gguf"));
    let common = ["bench", "pipeline", "--vision", &vision, "--model", &model, "-f", "5", "--single", "2"];
    common.iter().chain(arguments).map(|&argument| argument.to_owned()).collect()
}

#[test]
fn a_pipeline_answers_every_frame_alike_wherever_its_bricks_run_and_they_work_side_by_side() {
    let machine = FreshMachine::new();
    let ran = machine.run(pipeline(&["-r", "1", "--format", "json", "--trace", "trace.json"])).exits(0);
    let figures = ran.json();
    assert_eq!((&figures["frames"], &figures["rounds"]), (&5.into(), &1.into()), "{figures:#}");
    let variants = figures["variants"].as_array().unwrap();
    let names: Vec<&str> = variants.iter().filter_map(|one| one["variant"].as_str()).collect();
    assert_eq!(names, ["monolithic", "pipelined"]);
    for one in variants {
        assert_eq!(one["same_answers"], 1.0, "{one:#}");
        for figure in ["frames_per_second", "first_token_ms", "tokens_per_second", "peak_resident"] {
            assert!(one[figure].as_f64() > Some(0.0), "{figure} in {one:#}");
        }
    }
    assert!(figures["pipelined_over_llama_cpp"].is_null(), "{figures:#}");

    // While the mind reads and speaks about one frame, the eye is at work on a later one.
    let trace: Value = serde_json::from_str(&std::fs::read_to_string(machine.path("trace.json")).unwrap()).unwrap();
    let jobs = |node: &'static str| {
        let events = trace.as_array().unwrap().iter().filter(move |event| event["args"]["node"] == node);
        events.filter(|event| event["args"]["request"].is_u64()).map(|event| {
            let (begin, length) = (event["ts"].as_f64().unwrap(), event["dur"].as_f64().unwrap());
            (event["args"]["request"].as_u64().unwrap(), begin, begin + length)
        })
    };
    let ahead = jobs("mind").filter(|(frame, begin, end)| {
        jobs("eye").any(|(later, starts, stops)| later > *frame && starts < *end && *begin < stops)
    });
    assert!(ahead.count() > 0, "no job of the mind ran beside one of the eye for a later frame");
}

#[test]
#[cfg(unix)]
fn a_peer_is_asked_about_each_frame_in_a_conversation_of_its_own() {
    use std::os::unix::fs::PermissionsExt;
    let machine = FreshMachine::new();
    // Speaks as llama-mtmd-cli does, echo and all.
    let script = r#"#!/bin/sh
printf 'commands:\n   /image <path>\n\n> '
while read -r line; do
    case "$line" in
        /clear) images=0; printf 'Chat history cleared\n\n\n> ' ;;
        /image*) images=$((images + 1)); printf '%s image loaded\n\n> ' "$line" ;;
        *) printf '%s\n\n%s picture.\n\n> ' "$line" "$images" ;;
    esac
done
"#;
    let peer = machine.file("peer", script);
    std::fs::set_permissions(&peer, std::fs::Permissions::from_mode(0o755)).unwrap();
    let peer = peer.display().to_string();
    let ran = machine.run(pipeline(&["-r", "1", "--llama-mtmd-cli", &peer, "--format", "json"])).exits(0);
    let figures = ran.json();
    let theirs = &figures["variants"][2];
    assert_eq!((&theirs["variant"], &theirs["same_answers"]), (&"llama_cpp".into(), &0.0.into()), "{figures:#}");
    assert!(theirs["peak_resident"].as_u64() > Some(0), "{theirs:#}");
    assert!(figures["pipelined_over_llama_cpp"].as_f64() > Some(0.0), "{figures:#}");

    let mute = machine.file("mute", "#!/bin/sh\nexit 3\n");
    std::fs::set_permissions(&mute, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mute = mute.display().to_string();
    let ran = machine.run(pipeline(&["-r", "1", "--llama-mtmd-cli", &mute])).exits(1);
    ran.says("llama-mtmd-cli does not answer any more: it ended (exit status: 3)");
    machine.run(pipeline(&["--llama-mtmd-cli", "absent"])).exits(1).says("cannot run absent");
}

#[test]
fn too_few_pictures_are_counted_out() {
    let machine = FreshMachine::new();
    std::fs::create_dir(machine.path("few")).unwrap();
    machine.file("few/one.png", "not even looked at");
    let ran = machine.run(pipeline(&["--pictures", "few"])).exits(2);
    ran.says("few: expected at least 9 pictures (2 to warm up), found 1").says("--frames");
}
