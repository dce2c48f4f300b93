//! Why nothing was measured.

use std::fmt::{self, Display};

/// One message for the person at the terminal.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// A failure that says what `subject` did not do, and why.
    pub(crate) fn of(subject: impl Display, cause: impl Display) -> Failure {
        Failure(format!("{subject}: {cause}"))
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
