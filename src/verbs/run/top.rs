//! `run --top`: what a run does just now, as text on stderr.
use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nanomind::{
    actors::{NodeSnapshot, Snapshot, Watch},
    hal::Energy,
};

use crate::output::Table;

/// How often a terminal is redrawn, and how often a block is printed elsewhere.
const REDRAW: Duration = Duration::from_secs(1);
const PRINT: Duration = Duration::from_secs(5);

/// Shows the run on stderr. A terminal that no answers go to is redrawn in place; anywhere else, blocks follow each other.
pub(super) fn watch() -> Watch {
    let in_place = io::stderr().is_terminal() && !io::stdout().is_terminal();
    let drawn = Mutex::new(0);
    let show = move |snapshot: &Snapshot| {
        let text = block(snapshot);
        let mut drawn = drawn.lock().unwrap_or_else(PoisonError::into_inner);
        // Up over what was drawn before, and clear from there.
        let back = if *drawn > 0 && in_place { format!("\x1b[{drawn}A\x1b[J") } else { String::new() };
        *drawn = text.lines().count();
        let gap = if in_place { "" } else { "\n" };
        // Where even stderr is gone nobody is left to show anything to.
        let _ = io::stderr().lock().write_all(format!("{back}{text}{gap}").as_bytes());
    };
    Watch { every: if in_place { REDRAW } else { PRINT }, show: Arc::new(show) }
}

fn block(snapshot: &Snapshot) -> String {
    let Snapshot { seconds, mode, battery, watts, energy, requests, open, nodes, .. } = snapshot;
    let mut head = vec![format!("{seconds:.0} s"), format!("mode {mode}")];
    if let Some(battery) = battery {
        let charging = if battery.charging { ", charging" } else { "" };
        head.push(format!("battery {:.1} %{charging}", battery.level * 100.0));
    }
    if let Some(watts) = watts {
        head.push(format!("{watts:.2} W {}", energy.label()));
    }
    head.push(format!("{open} of {} requests open", requests.minted));
    let mut table =
        Table::new(["BRICK", "ON", "", ">QUEUE", ">TOKENS/s", ">PREDICTED", ">ACTUAL", ">ERROR", ">MOVES", ">ENERGY"]);
    nodes.iter().for_each(|node| table.row(row(node)));
    format!("{}\n{table}", head.join("   "))
}

fn row(node: &NodeSnapshot) -> [String; 10] {
    let ms = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2} ms"));
    [
        node.node.clone(),
        node.on.to_string(),
        if node.busy { "busy" } else { "" }.to_owned(),
        node.queue_depth.to_string(),
        node.tokens_per_s.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}")),
        ms(node.predicted_ms),
        ms(node.actual_ms),
        node.error.map_or_else(|| "-".to_owned(), |error| format!("{:.0} %", error * 100.0)),
        node.moves.to_string(),
        match node.energy {
            Energy::Unmeasured => "-".to_owned(),
            Energy::Measured(amount) | Energy::Estimated(amount) => amount.to_string(),
        },
    ]
}
