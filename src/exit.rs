//! How a verb ends when it does not succeed: an exit code and one message for the person at the terminal.
use std::{error::Error, fmt, process::ExitCode};

/// The exit codes besides 0; scripts rely on these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// The work itself failed.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// A graph or model file is invalid.
    Invalid = 65,
    /// A device that the work requires is missing.
    DeviceMissing = 69,
    /// Stopped by Ctrl-C.
    Interrupted = 130,
}

/// A verb's failure. `Display` is the whole message, without the leading "error: ".
#[derive(Debug)]
pub struct Exit {
    code: Code,
    message: Option<String>,
    help: Option<String>,
}

impl Exit {
    /// A failure with `code`; the message is `error` followed by its causes that it does not already spell out.
    pub fn new(code: Code, error: impl Into<Box<dyn Error>>) -> Exit {
        Exit { code, message: Some(with_causes(&*error.into())), help: None }
    }

    /// Exit 1: the work failed.
    pub fn failed(error: impl Into<Box<dyn Error>>) -> Exit {
        Exit::new(Code::Failed, error)
    }

    /// Exit 2: the command line makes no sense.
    pub fn usage(error: impl Into<Box<dyn Error>>) -> Exit {
        Exit::new(Code::Usage, error)
    }

    /// Exit 65: a graph or model file is invalid.
    pub fn invalid(error: impl Into<Box<dyn Error>>) -> Exit {
        Exit::new(Code::Invalid, error)
    }

    /// Ends with `code` and prints nothing more: the verb has already said everything on stderr.
    pub fn silent(code: Code) -> Exit {
        Exit { code, message: None, help: None }
    }

    /// The exit code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Adds a line that says what to do about it.
    pub fn help(mut self, help: impl Into<String>) -> Exit {
        self.help = Some(help.into());
        self
    }

    /// Prints the message on stderr and gives the process's exit code.
    pub fn report(self) -> ExitCode {
        if self.message.is_some() {
            eprintln!("{self}");
        }
        ExitCode::from(self.code as u8)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(message) = &self.message {
            write!(f, "error: {message}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// `error: cause: cause`, leaving out a cause that the text so far already ends with.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
