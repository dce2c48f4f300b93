//! A pseudo-terminal, so that a program meets a person: what it shows can be read, and keys pressed.
use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Child, Command},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

/// Longest wait for the program to show anything, in seconds: a test fails then instead of waiting for ever.
const PATIENCE: i64 = 60;

/// A terminal of 80 by 24 with a program in it.
pub struct Terminal {
    screen: File,
    child: Child,
}

impl Terminal {
    /// Starts `command` with a terminal for its three streams.
    pub fn open(command: &mut Command) -> Terminal {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&screen, size).unwrap();
        let name = ptsname(&screen, Vec::new()).unwrap();
        let path = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
        let program_end = || OpenOptions::new().read(true).write(true).open(path).unwrap();
        command.stdin(program_end()).stdout(program_end()).stderr(program_end());
        let child = command.spawn().unwrap();
        // The command must not keep the program's end open, or the screen would never end.
        command.stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        Terminal { screen: screen.into(), child }
    }

    /// Presses keys.
    pub fn write(&mut self, keys: &str) {
        self.screen.write_all(keys.as_bytes()).unwrap();
    }

    /// What is shown from here up to and with `text`.
    #[track_caller]
    pub fn read_until(&mut self, text: &str) -> String {
        let shown = self.read(|shown| shown.ends_with(text.as_bytes()));
        assert!(shown.ends_with(text), "the program ended without {text:?}:\n{shown}");
        shown
    }

    /// What is shown from here to the program's end.
    pub fn read_to_end(&mut self) -> String {
        self.read(|_| false)
    }

    /// The program's exit code, when it has ended.
    pub fn exit_code(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    #[track_caller]
    fn read(&mut self, enough: impl Fn(&[u8]) -> bool) -> String {
        let mut shown = Vec::new();
        let mut byte = [0; 1];
        while !enough(&shown) {
            let patience = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
            let ready = poll(&mut [PollFd::new(&self.screen, PollFlags::IN)], Some(&patience)).unwrap();
            assert!(ready > 0, "nothing more came after {:?}", String::from_utf8_lossy(&shown));
            // A terminal whose program has gone gives an error on Linux, and nothing elsewhere.
            match self.screen.read(&mut byte) {
                Ok(1) => shown.push(byte[0]),
                Ok(_) | Err(_) => break,
            }
        }
        String::from_utf8_lossy(&shown).into_owned()
    }
}
