//! The graph file of a verb: its arguments, its text, the machine that it is checked against, and telling its mistakes.
use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use nanomind::{
    graphs::{self, Drawing, Overrides, Report, Source},
    hal::{AcceleratorId, CpuTopology, MachineMemory, default_groups, parse_groups, profile::DeviceProfile},
};

use crate::exit::Exit;

/// Longest graph that is read, in bytes: as long as the check of included files allows.
const LONGEST: u64 = 1 << 20;

/// Which graph, with which settings.
#[derive(Debug, clap::Args)]
pub struct GraphArgs {
    /// The graph, a RON file
    pub graph: PathBuf,

    /// Set a parameter of the graph
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    set: Vec<(String, String)>,

    /// Pin a node to an accelerator (cpu, cpu:0, …)
    #[arg(long, value_name = "NODE=ACCELERATOR", value_parser = name_and_value)]
    place: Vec<(String, String)>,

    /// Core groups that are cpu:0, cpu:1, … [default: one for each cluster, or two halves]
    #[arg(long, value_name = "CORES;CORES", env = "NANOMIND_CPU_GROUPS")]
    pub cpu_groups: Option<String>,
}

/// Which machine to check a graph for, without running it there.
#[derive(Debug, clap::Args)]
pub struct MachineArgs {
    /// Check for a machine with these accelerators, instead of this one
    #[arg(long, value_name = "cpu,gpu,…", value_delimiter = ',', env = "NANOMIND_ACCELERATORS")]
    accelerators: Vec<AcceleratorId>,

    /// Memory that the graph may take, such as 512MiB [default: all that this machine has]
    #[arg(long, value_name = "AMOUNT", value_parser = amount, env = "NANOMIND_MEMORY")]
    memory: Option<u64>,
}

/// Which device the machine is.
#[derive(Debug, clap::Args)]
pub struct DeviceArgs {
    /// The device that this is: predictions start from its profile, and energy that nothing measures is estimated by it
    #[arg(long, value_name = "NAME|FILE.ron", env = "NANOMIND_DEVICE")]
    device: Option<String>,
}

impl DeviceArgs {
    /// Its profile, if it was named.
    ///
    /// # Errors
    /// Exit 65 for a device that is not known, or a profile that is wrong.
    pub fn profile(&self) -> Result<Option<Arc<DeviceProfile>>, Exit> {
        let found = self.device.as_deref().map(DeviceProfile::find).transpose();
        Ok(found.map_err(Exit::invalid)?.map(Arc::new))
    }
}

impl GraphArgs {
    /// What the command line sets over what the graph says.
    pub fn overrides(&self) -> Overrides {
        Overrides { params: self.set.clone(), placements: self.place.clone() }
    }
}

impl MachineArgs {
    /// The machine to check `graph` for.
    ///
    /// # Errors
    /// Exit 2 for core groups that make no sense.
    pub fn machine(&self, graph: &GraphArgs) -> Result<graphs::Machine, Exit> {
        let accelerators = if self.accelerators.is_empty() {
            let topology = CpuTopology::detect();
            let groups = match &graph.cpu_groups {
                Some(text) => parse_groups(text, &topology).map_err(Exit::usage)?,
                None => default_groups(&topology),
            };
            groups.into_iter().map(|group| group.name).collect()
        } else {
            self.accelerators.clone()
        };
        let here = || MachineMemory::read(Path::new("/")).map(|memory| memory.total);
        Ok(graphs::Machine { accelerators, memory: self.memory.or_else(here), ..graphs::Machine::default() })
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("expected NAME=VALUE, found {text:?}")),
    }
}

fn amount(text: &str) -> Result<u64, String> {
    graphs::parse_memory(text).ok_or_else(|| "expected an amount of memory such as 512MiB".to_owned())
}

/// Reads a graph file.
///
/// # Errors
/// Exit 65 for a file that is missing, too long or no text.
pub fn read(path: &Path) -> Result<Source, Exit> {
    let unreadable = |reason: String| Exit::invalid(format!("cannot read the graph {}: {reason}", path.display()));
    let found = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if found.len() > LONGEST {
        return Err(unreadable(format!("expected at most {LONGEST} bytes, found {}", found.len())));
    }
    let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    Ok(Source::new(path.display().to_string(), text))
}

/// Tells the mistakes on stderr, drawn for a terminal if it is one.
pub fn tell(report: &Report) {
    let terminal = io::stderr().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // Where even stderr is gone nobody is left to tell.
    let _ = writeln!(io::stderr(), "{}", report.draw(Drawing { terminal, colour, ..Drawing::PLAIN }));
}
