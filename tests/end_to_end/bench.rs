//! `nanomind bench` measures what it is asked to, and writes it with the field names of `llama-bench`.
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
