//! Models on the machine: `list`, `pull` and `show`.
use crate::command::FreshMachine;

#[test]
fn list_names_the_catalogue() {
    let machine = FreshMachine::new();
    machine.run(["list"]).exits(0).prints("smollm2-135m").prints("98.4 MB");
    let models = machine.run(["list", "--format", "json"]).exits(0).json();
    assert_eq!(models[0]["name"], "smollm2-135m", "{models}");
}

#[test]
fn an_unknown_flag_exits_2() {
    FreshMachine::new().run(["list", "--colour"]).exits(2).says("--colour");
}
