//! Where the report of a run goes as JSON.
use std::{
    convert::Infallible,
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
    str::FromStr,
};

use nanomind::actors::RunReport;

use crate::exit::Exit;

/// `--report`: a file beside the short report on stderr, or stderr in place of it. Answers alone go to stdout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReportTo {
    /// `json`: the last line of stderr.
    Stderr,
    /// A file; one that is called `json` is `./json`.
    File(PathBuf),
}

impl FromStr for ReportTo {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<ReportTo, Infallible> {
        Ok(if text == "json" { ReportTo::Stderr } else { ReportTo::File(text.into()) })
    }
}

impl ReportTo {
    /// Gives the report there, and the short one to stderr unless that is to be quiet.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn give(&self, report: &RunReport, quiet: bool) -> Result<(), Exit> {
        match self {
            // One line, the last one, so that warnings before it are in nobody's way.
            ReportTo::Stderr => eprintln!("{}", serde_json::to_string(report).map_err(Exit::failed)?),
            ReportTo::File(path) => {
                if !quiet {
                    eprintln!("{report}");
                }
                let written = File::create(path).and_then(|file| write(BufWriter::new(file), report));
                written
                    .map_err(|error| Exit::failed(format!("cannot write the report {}: {error}", path.display())))?;
            }
        }
        Ok(())
    }
}

fn write(mut to: impl Write, report: &RunReport) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut to, report)?;
    to.write_all(b"\n")?;
    to.flush()
}
