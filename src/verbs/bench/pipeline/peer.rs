//! llama.cpp's mtmd, driven through the conversation of `llama-mtmd-cli`: the models are loaded once, every frame is a
//! conversation of its own.
use std::{
    io::{self, Read, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use nanomind::{
    actors::RequestId,
    hal::{Clock, ProcessMemory},
};

use super::{Args, WARM_UP, figures::Outcome, frames::Frames, stopwatch::Stopwatch};
use crate::exit::Exit;

/// What it prints when it waits for a line.
const INVITE: &[u8] = b"\n> ";

/// Asks about all frames as `here` does: it answers one at a time, whatever is asked of it.
pub fn run(args: &Args, frames: &Frames) -> Result<Outcome, Exit> {
    let program = args.llama_mtmd_cli.as_deref().ok_or_else(|| Exit::usage("expected --llama-mtmd-cli"))?;
    let mut peer = Peer::start(program, args)?;
    let (clock, watch) = (Clock::system(), Stopwatch::default());
    for (at, file) in frames.files().iter().enumerate() {
        let request = RequestId(at as u64);
        peer.say("/clear")?;
        peer.hear(|_, _| {})?;
        watch.begin(request, file.display().to_string(), clock.now());
        peer.say(&format!("/image {}", file.display()))?;
        peer.hear(|_, _| {})?;
        peer.say(&args.question.replace('\n', " "))?;
        // The first line is the question, as it echoes it, or empty.
        let mut in_answer = false;
        peer.hear(|piece, last| {
            let behind = if in_answer { Some(piece) } else { piece.split_once('\n').map(|(_, behind)| behind) };
            in_answer |= behind.is_some();
            watch.hear(request, behind.unwrap_or_default(), last, clock.now());
        })?;
    }
    let peak = ProcessMemory::of(Path::new("/"), peer.child.id()).map(|memory| memory.peak_resident);
    peer.end();
    let mut laps = watch.take();
    for lap in &mut laps {
        lap.text = lap.text.trim().to_owned();
    }
    Ok(Outcome::of(&laps, WARM_UP, args.frames as usize, peak))
}

/// A running `llama-mtmd-cli` that waits for a line.
struct Peer {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Peer {
    fn start(program: &Path, args: &Args) -> Result<Peer, Exit> {
        let lost = |error| Exit::failed(format!("cannot run {}: {error}", program.display()));
        if !program.is_file() {
            return Err(lost(io::ErrorKind::NotFound.into()));
        }
        // It echoes what it reads on the controlling terminal, if it has one.
        let mut command = Command::new("setsid");
        command.arg(program).arg("-m").arg(&args.model).arg("--mmproj").arg(&args.vision);
        command.args(["-t", "2", "-c", "1024", "--temp", "0", "--jinja", "--no-mmproj-offload"]);
        command.args(["-n", &args.max_tokens.to_string()]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(lost)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Exit::failed("llama-mtmd-cli has no pipes"));
        };
        let mut peer = Peer { child, input, output };
        peer.hear(|_, _| {})?;
        Ok(peer)
    }

    fn say(&mut self, line: &str) -> Result<(), Exit> {
        self.input.write_all(format!("{line}\n").as_bytes()).map_err(|error| self.gone(&error.to_string()))
    }

    /// Reads to the next invitation, and tells `heard` each piece before it; the last one with `true`.
    fn hear(&mut self, mut heard: impl FnMut(&str, bool)) -> Result<(), Exit> {
        let mut kept: Vec<u8> = Vec::new();
        let mut byte = [0; 1];
        loop {
            // It writes token by token, so that a byte at a time costs nothing beside its work.
            match self.output.read(&mut byte) {
                Ok(1) => kept.push(byte[0]),
                Ok(_) => return Err(self.gone("it ended")),
                Err(error) => return Err(self.gone(&error.to_string())),
            }
            if kept.ends_with(INVITE) {
                kept.truncate(kept.len() - INVITE.len());
                heard(&String::from_utf8_lossy(&kept), true);
                return Ok(());
            }
            // What may still become an invitation, or is no whole character yet, waits.
            let is_open = (1..INVITE.len()).any(|open| kept.ends_with(&INVITE[..open]));
            if !is_open && let Ok(piece) = std::str::from_utf8(&kept) {
                heard(piece, false);
                kept.clear();
            }
        }
    }

    fn gone(&mut self, why: &str) -> Exit {
        let ended = self.child.wait().map(|status| format!(" ({status})")).unwrap_or_default();
        Exit::failed(format!("llama-mtmd-cli does not answer any more: {why}{ended}"))
            .help("ask it about two pictures by hand, with /clear between them: it says why")
    }

    fn end(mut self) {
        drop(self.input);
        // Its answers are here; how it leaves is its own affair.
        let _ = self.child.wait();
    }
}
