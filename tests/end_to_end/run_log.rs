//! Run logs, and what is told of them: `why`, `replay`, and the energy in the report of the same run.
use std::io::Read;

use serde_json::Value;

use crate::{
    command::{FreshMachine, Ran},
    run_chat::{chat, endless, report, start},
};

/// A short chat on a machine that is said to be a laptop, with two forced moves and a log of it.
fn logged(machine: &FreshMachine) -> Ran {
    let arguments = ["--set", "prompt=hello", "--migrate-every", "6", "--device", "laptop"];
    machine.run(chat(&[&arguments[..], &["--log", "run.log", "--report", "report.json"]].concat())).exits(0)
}

/// Whole microjoules.
fn amount(energy: &Value) -> u64 {
    energy["measured"].as_u64().or(energy["estimated"].as_u64()).unwrap_or(0)
}

fn sum<'e>(energies: impl IntoIterator<Item = &'e Value>) -> u64 {
    energies.into_iter().map(amount).sum()
}

#[test]
fn the_energy_of_a_run_is_cut_in_every_way_and_each_sums_to_the_microjoule() {
    let machine = FreshMachine::new();
    logged(&machine).says("energy  ").says("a token generated");
    let report = report(&machine);
    let (energy, nodes) = (&report["energy"], report["nodes"].as_array().unwrap());
    let bricks = sum(nodes.iter().map(|node| &node["energy"]));
    assert!(bricks > 0, "{energy:#}");
    assert_eq!(bricks, amount(&energy["bricks"]));
    assert_eq!(bricks + amount(&energy["unattributed"]), amount(&energy["total"]));
    let requests = energy["requests"].as_array().unwrap().iter().map(|request| &request["energy"]);
    let others = [&energy["earlier_requests"]["energy"], &energy["no_request"]];
    assert_eq!(sum(requests.chain(others)), bricks, "{energy:#}");
    let edges = report["edges"].as_array().unwrap().iter().map(|edge| &edge["energy"]);
    assert_eq!(sum(edges.chain([&energy["unsent"]])), bricks, "{energy:#}");
    for node in nodes {
        let phases = node["phases"].as_array().unwrap();
        assert_eq!(sum(phases.iter().map(|phase| &phase["energy"])), amount(&node["energy"]), "{node:#}");
    }
}

#[test]
fn the_report_as_json_goes_to_stderr_in_place_of_the_short_one_and_the_answer_alone_to_stdout() {
    let machine = FreshMachine::new();
    let plain = machine.run(chat(&["--set", "prompt=hello"])).exits(0);
    let ran = machine.run(chat(&["--set", "prompt=hello", "--report", "json"])).exits(0);
    assert_eq!(ran.stdout, plain.stdout);
    let last = ran.stderr.lines().next_back().unwrap_or_default();
    let report: Value = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error} in {}", ran.stderr));
    assert_eq!(report["end"], "finished");
}

#[test]
fn a_run_says_why_it_went_as_it_did_and_its_decisions_come_out_again() {
    let machine = FreshMachine::new();
    logged(&machine);
    let why = machine.run(["why", "run.log"]).exits(0);
    assert_eq!(why.stderr, "", "the log is whole");
    let why = why.prints("mind went from cpu to cpu:0: a move every 6 tokens was asked for.").prints("battery");
    assert!(why.stdout.contains("had generated 6 tokens since it moved last"), "{}", why.stdout);
    machine.run(["why", "run.log", "--brick", "mind"]).exits(0).prints("mind was predicted to take");
    machine.run(["why", "run.log", "--brick", "mynd"]).exits(2).says("expected one of the bricks mind");
    machine.run(["why", "run.log", "--at", "noon"]).exits(2).says("expected a time such as 12.4s");
    let early = machine.run(["why", "run.log", "--at", "0s", "--format", "json"]).exits(0).json();
    assert_eq!((&early["decisions"], &early["state"]["places"]["mind"]), (&Value::Array(vec![]), &"cpu".into()));
    let all = machine.run(["why", "run.log", "--format", "json"]).exits(0).json();
    let decisions = all["decisions"].as_array().unwrap().len();
    let again = machine.run(["replay", "run.log"]).exits(0);
    let again = again.prints(&format!("the same {decisions} decisions again, bit for bit"));
    assert_eq!(again.stderr, "");
}

#[test]
fn a_log_of_a_run_that_was_killed_is_read_as_far_as_it_goes() {
    let machine = FreshMachine::new();
    let arguments = [&endless(&machine)[..], &["--log".to_owned(), "run.log".to_owned()]].concat();
    let mut child = start(&machine, &arguments);
    child.stdout.take().unwrap().read_exact(&mut [0; 8]).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    machine.run(["replay", "run.log"]).exits(0).prints("bit for bit").says("ends without the end of its run");
    let mut bytes = std::fs::read(machine.path("run.log")).unwrap();
    bytes.truncate(bytes.len() - 3);
    machine.file("torn.log", bytes);
    machine.run(["why", "torn.log"]).exits(0).prints("endless.ron ran by").says("in the middle of a record");
}

#[test]
fn what_is_no_log_or_cannot_be_written_is_said() {
    let machine = FreshMachine::new();
    machine.file("notes.txt", "hello");
    machine.run(["why", "notes.txt"]).exits(65).says("notes.txt is no run log");
    machine.run(["replay", "nothing.log"]).exits(65).says("cannot read the run log nothing.log");
    let full = machine.run(chat(&["--set", "prompt=hello", "--log", "/dev/full"]));
    full.exits(1).says("cannot write the run log /dev/full");
    machine.run(chat(&["--set", "prompt=hello", "--device", "rk3577"])).exits(65).says("rk3566");
}

#[test]
fn what_another_policy_would_have_come_to_is_simulated_from_the_arrivals() {
    let machine = FreshMachine::new();
    logged(&machine);
    machine.file("other.ron", "PowerSaver");
    let told = machine.run(["replay", "run.log", "--policy", "PowerSaver"]).exits(0);
    let told = told.prints("RECORDED").prints("OTHERWISE").prints("SIMULATED").prints("a token for every 4 bytes");
    assert_eq!(told.stderr, "");
    let json = machine.run(["replay", "run.log", "--policy", "other.ron", "--format", "json"]).exits(0).json();
    for which in ["recorded", "simulated", "otherwise"] {
        let outcome = &json[which];
        assert_eq!((&outcome["requests"], &outcome["answered"]), (&1.into(), &1.into()), "{which}: {json:#}");
        assert!(amount(&outcome["energy"]) > 0, "{which}: {json:#}");
    }
    assert_eq!(json["otherwise"]["policy"], "PowerSaver");
    machine.run(["replay", "run.log", "--policy", "PowerSafe"]).exits(65).says("PowerSaver");
    machine.file("wrong.ron", "PowerSafer");
    machine.run(["replay", "run.log", "--policy", "wrong.ron"]).exits(65).says("PowerSaver");
    machine.run(chat(&["--set", "prompt=hello", "--log", "nowhere.log"])).exits(0);
    machine.run(["replay", "nowhere.log", "--policy", "other.ron"]).exits(2).says("--device");
}

#[test]
fn a_simulation_writes_a_log_too_and_its_decisions_come_out_again() {
    let machine = FreshMachine::new();
    machine.file("day.ron", r#"Scenario(name: "ten minutes", lasts: "10min", level: 0.4)"#);
    let mut arguments =
        chat(&["--set", "prompt=hello", "--device", "rk3566", "--scenario", "day.ron", "--log", "day.log"]);
    arguments[0] = "simulate".to_owned();
    machine.run(arguments).exits(0);
    machine.run(["replay", "day.log"]).exits(0).prints("bit for bit");
    machine.run(["why", "day.log"]).exits(0).prints("the mode went from performance to balanced: battery at");
}

#[test]
fn top_shows_while_the_run_goes_on_what_each_brick_does() {
    let machine = FreshMachine::new();
    let plain = machine.run(chat(&["--set", "prompt=hello"])).exits(0);
    let shown = machine.run(chat(&["--set", "prompt=hello", "--top"])).exits(0);
    assert_eq!(shown.stdout, plain.stdout);
    shown.says("mode performance").says("BRICK").says("PREDICTED");
}
