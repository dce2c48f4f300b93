//! Shows a pull on stderr: a bar on a terminal, a line now and then elsewhere.
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nanomind::bricks::store::PullEvent;

use crate::output;

/// What a person sees of one pull.
pub struct PullDisplay {
    name: String,
    bar: ProgressBar,
    stage: Stage,
    /// Tenths of the present stage that have been said, where there is no terminal.
    tenths_said: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Nothing,
    Fetching,
    Unpacking,
}

impl PullDisplay {
    /// Shows nothing before the first event.
    pub fn new(name: impl Into<String>) -> PullDisplay {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        PullDisplay { name: name.into(), bar, stage: Stage::Nothing, tenths_said: 0 }
    }

    /// Shows what happens.
    pub fn show(&mut self, event: PullEvent<'_>) {
        match event {
            PullEvent::Waiting => self.say(&format!("another nanomind fetches {}; waiting for it", self.name)),
            PullEvent::Fetching { bytes, total } => self.advance(Stage::Fetching, bytes, total),
            PullEvent::Unpacking { bytes, total } => self.advance(Stage::Unpacking, bytes, Some(total)),
            PullEvent::Retrying { cause, kept, wait } => {
                let (kept, wait) = (output::bytes(kept), seconds(wait));
                self.say(&format!("{}: {cause}; {kept} are kept, going on in {wait}", self.name));
            }
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }

    fn say(&self, text: &str) {
        if self.bar.is_hidden() { eprintln!("{text}") } else { self.bar.println(text) }
    }

    fn advance(&mut self, stage: Stage, bytes: u64, total: Option<u64>) {
        if stage != self.stage {
            self.stage = stage;
            self.tenths_said = 0;
            self.bar.set_style(style(total.is_some()));
            self.bar.set_message(format!("{} {}", verb(stage), self.name));
        }
        match total {
            Some(total) => self.bar.set_length(total),
            None => self.bar.unset_length(),
        }
        self.bar.set_position(bytes);
        if self.bar.is_hidden() {
            self.say_tenths(bytes, total);
        }
    }

    /// Without a terminal: one line at the start of a stage; while fetching, one each tenth as well (or each 100 MB of
    /// an unknown whole).
    fn say_tenths(&mut self, bytes: u64, total: Option<u64>) {
        let tenth = total.map_or(100_000_000, |total| total / 10).max(1);
        let tenths = if self.stage == Stage::Fetching { 1 + bytes / tenth } else { 1 };
        if tenths <= self.tenths_said {
            return;
        }
        self.tenths_said = tenths;
        match (self.stage, total) {
            (Stage::Fetching, Some(total)) => {
                eprintln!("fetching {}: {} of {}", self.name, output::bytes(bytes), output::bytes(total));
            }
            (Stage::Fetching, None) => eprintln!("fetching {}: {}", self.name, output::bytes(bytes)),
            _ => eprintln!("{} {}", verb(self.stage), self.name),
        }
    }
}

fn verb(stage: Stage) -> &'static str {
    match stage {
        Stage::Nothing | Stage::Fetching => "fetching",
        Stage::Unpacking => "unpacking",
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn style(known_length: bool) -> ProgressStyle {
    let template = match known_length {
        true => "{msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}",
        false => "{msg} {spinner} {decimal_bytes} {decimal_bytes_per_sec}",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}
