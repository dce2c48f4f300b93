//! The flags that every verb takes, each with its environment variable.
use std::path::PathBuf;

use clap::builder::FalseyValueParser;

/// Flags of every verb.
#[derive(Clone, Debug, clap::Args)]
pub struct Globals {
    /// Never use the network: work with the models that are on this machine (HF_HUB_OFFLINE=1 does the same)
    #[arg(long, global = true, env = "NANOMIND_OFFLINE", value_parser = FalseyValueParser::new())]
    pub offline: bool,

    /// Answer yes to every question, as scripts need
    #[arg(long, short = 'y', global = true, env = "NANOMIND_YES", value_parser = FalseyValueParser::new())]
    pub yes: bool,

    /// Where models and other fetched files are kept [default: the user's cache folder]
    #[arg(long, global = true, env = "NANOMIND_HOME", value_name = "DIR")]
    pub home: Option<PathBuf>,
}
