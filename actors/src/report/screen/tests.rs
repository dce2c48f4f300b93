//! The report of a camera assistant and of a chat, as they stand on the screen.

use serde_json::{Value, json};

use super::super::{AnswerReport, RunReport};

fn node(name: &str, kind: &str, jobs: &[(&str, u64, f64, f64, u64)]) -> Value {
    let ran_on = jobs.iter().map(|(place, jobs, run_ms, wait_ms, tokens)| {
        json!({ "accelerator": place, "jobs": jobs, "tokens": tokens, "run_ms": run_ms, "wait_ms": wait_ms,
                "longest_wait_ms": wait_ms })
    });
    json!({ "node": name, "kind": kind, "end": "finished", "failed": false, "restarts": 0, "moves": 0,
            "ran_on": ran_on.collect::<Vec<_>>(), "counters": {}, "answers": [], "energy": "unmeasured", "phases": [] })
}

fn answer(request: u64, first_token_ms: f64, cached: u64) -> Value {
    json!({ "request": request, "prompt_tokens": 150, "cached_tokens": cached, "generated_tokens": 17,
            "first_token_ms": first_token_ms, "prefill_ms": 50.0, "decode_ms": 34.0, "prefill_tokens_per_s": 3000.0,
            "decode_tokens_per_s": 500.0, "moves": 0, "generated_on": { "cpu": 17 }, "finish": "end of text" })
}

/// A run that answered a question about a picture, and the same question once more from the caches.
fn sight() -> Value {
    let mut eye = node("eye", "VisionEncoder", &[("cpu:0", 12, 61.26, 0.5, 144)]);
    eye["counters"] = json!({ "cache_hits": 1 });
    let mut mind = node("mind", "Llm", &[("cpu:1", 20, 80.0, 1.0, 184), ("cpu:0", 3, 9.0, 0.25, 3)]);
    mind["answers"] = json!([answer(1, 90.0, 0), answer(2, 12.5, 140)]);
    let pool = |name: &str| json!({ "pool": name, "acquired": 1, "published": 1, "copied_bytes": 0, "slots": 3, "bytes": 500_000, "free": 3 });
    json!({
        "graph": "camera-assistant", "end": "finished", "seconds": 0.32,
        "requests": { "minted": 2, "answered": 2, "failed": 0, "cancelled": 0, "dropped": 0 },
        "first_outputs": [{ "request": 1, "after_ms": 117.4 }],
        "nodes": [node("question", "Prompt", &[]), node("picture", "Image", &[("cpu", 1, 2.0, 0.0, 0)]), eye, mind],
        "edges": [{ "edge": "picture.image → eye.image", "packets": 2, "tokens": 0, "dropped": 0, "cancelled": 0,
                    "received": 2, "waits": 0, "energy": "unmeasured", "wasted": "unmeasured" }],
        "pools": [pool("eye.patches"), pool("projector.tokens")],
        "memory": { "weights": 12_300_000, "kv_cache": 153_600, "slots": 1_000_000, "peak_resident": 43_210_000 },
        "accelerators": [], "decisions": [], "energy": unknown(),
    })
}

/// The energy of a run of which nothing is known.
fn unknown() -> Value {
    json!({ "source": "nothing", "total": "unmeasured", "bricks": "unmeasured", "unattributed": "unmeasured",
            "loading": "unmeasured", "requests": [], "earlier_requests": { "requests": 0, "energy": "unmeasured" },
            "no_request": "unmeasured", "unsent": "unmeasured", "measured_s": 0.0, "estimated_s": 0.0, "unmeasured_s": 0.3 })
}

fn shown(report: Value) -> String {
    let report: RunReport = serde_json::from_value(report).unwrap_or_else(|error| panic!("{error}"));
    report.to_string()
}

#[test]
fn a_run_of_sight_is_a_table_of_bricks_and_a_line_for_each_matter() {
    let expected = "\
BRICK             ON  JOBS  COMPUTING  WAITING  TOKENS  FROM CACHE
picture          cpu     1     2.0 ms   0.0 ms
eye            cpu:0    12    61.3 ms   0.5 ms     144      1 time
mind     cpu:1 cpu:0    23    89.0 ms   1.2 ms     187  140 tokens
mind    first token after 117 ms (12.5 ms to 117 ms in 2 answers)
        34 tokens generated at 500.0 tokens/s
        300 prompt tokens, 140 from the cache, read at 1600.0 tokens/s
copied  0 bytes of embeddings (eye.patches 0, projector.tokens 0)
memory  weights 12.3 MB, KV cache 0.2 MB, slots 1.0 MB; process peak 43.2 MB
0.32 s, 2 of 2 requests answered";
    assert_eq!(shown(sight()), expected);
}

#[test]
fn what_was_not_measured_is_not_shown() {
    let mut report = sight();
    report["pools"] = json!([]);
    report["memory"] = json!({ "weights": 98_000_000, "kv_cache": 0, "slots": 0 });
    let mut mind = node("mind", "Llm", &[("cpu", 18, 80.0, 0.0, 167)]);
    mind["answers"] = json!([answer(1, 90.0, 0)]);
    report["nodes"] = json!([mind]);
    let expected = "\
BRICK   ON  JOBS  COMPUTING  WAITING  TOKENS
mind   cpu    18    80.0 ms   0.0 ms     167
mind    first token after 117 ms
        17 tokens generated at 500.0 tokens/s (end of text)
        150 prompt tokens, read at 3000.0 tokens/s
memory  weights 98.0 MB
0.32 s, 2 of 2 requests answered";
    assert_eq!(shown(report), expected);
}

#[test]
fn known_energy_and_lost_requests_are_named_with_their_source() {
    let mut report = sight();
    report["energy"]["total"] = json!({ "measured": 2_250_000 });
    report["energy"]["bricks"] = json!({ "estimated": 1_500_000 });
    report["energy"]["loading"] = json!({ "estimated": 200_000 });
    report["nodes"][3]["energy"] = json!({ "estimated": 1_480_000 });
    report["nodes"][3]["phases"] = json!([
        { "phase": "prefill", "jobs": 3, "tokens": 150, "energy": { "estimated": 600_000 }, "mj_per_token": 4.0 },
        { "phase": "decode", "jobs": 20, "tokens": 34, "energy": { "estimated": 680_000 }, "mj_per_token": 20.0 }]);
    let request = |request: u64, energy: u64| json!({ "request": request, "energy": { "estimated": energy } });
    report["energy"]["requests"] = json!([request(1, 1_000_000), request(2, 300_000), request(3, 7)]);
    report["requests"] = json!({ "minted": 9, "answered": 2, "failed": 1, "cancelled": 0, "dropped": 5 });
    report["edges"][0]["dropped"] = json!(5);
    let shown = shown(report);
    for told in [
        "0.32 s, 2 of 9 requests answered, 1 failed, 5 dropped, 1 unfinished",
        "140 tokens  1.480 J",
        "energy  2.250 J (measured); bricks 1.500 J (estimated), loading 200.000 mJ",
        "        4.0 mJ a token read, 20.0 mJ a token generated, 650.0 mJ an answer",
        "picture.image → eye.image: 2 packets, 5 dropped, 0 cancelled",
    ] {
        assert!(shown.contains(told), "{told} is missing:\n{shown}");
    }
}

#[test]
fn the_longest_of_reports_fits_a_screen_of_80_by_24() {
    let mut report = sight();
    for part in ["total", "bricks", "loading"] {
        report["energy"][part] = json!({ "estimated": 98_765_432 });
    }
    report["nodes"][3]["energy"] = json!({ "estimated": 98_765_432 });
    let answers: Vec<Value> = (0..200).map(|request| answer(request, 1234.5, 140)).collect();
    report["nodes"][3]["answers"] = Value::Array(answers);
    let edges = (0..30).map(|edge| {
        json!({ "edge": format!("picture.image → eye{edge}.image"), "packets": 300, "tokens": 0, "dropped": 299,
                "cancelled": 0, "received": 2, "waits": 0, "energy": { "estimated": 7 }, "wasted": { "estimated": 3 } })
    });
    report["edges"] = Value::Array(edges.collect());
    let shown = shown(report);
    let widest = shown.lines().map(|line| line.chars().count()).max();
    assert!(shown.lines().count() <= 24 && widest <= Some(80), "{widest:?} characters wide:\n{shown}");
}

#[test]
fn a_report_that_was_written_as_json_is_read_again_with_the_same_facts() {
    let report: RunReport = serde_json::from_value(sight()).unwrap();
    let again: RunReport = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(again.to_string(), report.to_string());
    let first = |report: &RunReport| report.answers().next().map(|(_, answer): (_, &AnswerReport)| answer.request);
    assert_eq!((first(&again), again.copied_bytes(), again.memory), (Some(1), 0, report.memory));
}

#[test]
fn what_stays_in_memory_between_stages_and_in_standby_is_told_where_there_was_any() {
    let mut report = sight();
    report["memory"]["between_stages"] = json!({ "times": 12, "weights": 0, "process": 31_000_000 });
    report["memory"]["in_standby"] = json!({ "times": 1, "weights": 0 });
    report["standby"] = json!({ "entries": 1, "seconds": 20.25 });
    let lines = "
memory  weights 12.3 MB, KV cache 0.2 MB, slots 1.0 MB; process peak 43.2 MB
        weights 0.0 MB, process 31.0 MB after 12 stages in turn
standby once, 20.2 s; weights 0.0 MB
";
    assert!(shown(report.clone()).contains(lines), "{}", shown(report));
}
