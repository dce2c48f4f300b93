//! What can go wrong with a download: for good, or so that another attempt may cure it.
use super::ReferenceError;

/// How many redirects are followed.
pub(super) const MOST_REDIRECTS: usize = 10;

/// A download failed.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The server refuses.
    #[error("{url}: the server answers {status}{}", status_hint(*.status))]
    Status {
        /// The address.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// Redirects without an end.
    #[error("{url}: more than {MOST_REDIRECTS} redirects")]
    TooManyRedirects {
        /// The address.
        url: String,
    },
    /// A redirect to nowhere, or to something less safe.
    #[error("{url}: the server redirects to an address that is not to be used: {source}")]
    BadRedirect {
        /// The address.
        url: String,
        /// What is wrong with the target.
        source: ReferenceError,
    },
    /// A redirect without a target.
    #[error("{url}: the server answers {status} without a Location")]
    NoLocation {
        /// The address.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// The connection failed again and again.
    #[error("{url}: {cause}, {attempts} times in a row; {kept} bytes are kept, the same command goes on from there")]
    GaveUp {
        /// The address.
        url: String,
        /// The last failure.
        cause: Interruption,
        /// How many attempts without progress.
        attempts: u32,
        /// How many bytes are kept.
        kept: u64,
    },
    /// The server cannot be trusted.
    #[error(
        "{url}: the server's certificate is not trusted: {reason}; a private authority is named with SSL_CERT_FILE"
    )]
    Untrusted {
        /// The address.
        url: String,
        /// What the check says.
        reason: String,
    },
    /// The size is not the promised one.
    #[error("{url}: expected a file of {expected} bytes, the server offers {found}")]
    Size {
        /// The address.
        url: String,
        /// The promised size.
        expected: u64,
        /// The offered size.
        found: u64,
    },
    /// The server sends without end.
    #[error("{url}: the server sends more than {limit} bytes")]
    Endless {
        /// The address.
        url: String,
        /// The most that was to come.
        limit: u64,
    },
    /// A request that cannot be made.
    #[error("{url}: {source}")]
    Request {
        /// The address.
        url: String,
        /// What the client says.
        source: ureq::Error,
    },
}

/// Why a download stopped early, in a way that another attempt may cure.
#[derive(Debug, thiserror::Error)]
pub enum Interruption {
    /// No connection, or a broken one.
    #[error("the connection fails ({0})")]
    Connection(ureq::Error),
    /// The server was silent.
    #[error("the server is silent")]
    Silence,
    /// The connection ended early.
    #[error("the connection is cut at {found} of {expected} bytes")]
    Cut {
        /// All bytes.
        expected: u64,
        /// Bytes so far.
        found: u64,
    },
    /// Reading failed.
    #[error("the connection breaks ({0})")]
    Read(std::io::Error),
    /// The server has a problem of its own.
    #[error("the server answers {0}")]
    Server(u16),
    /// The server sends another range than asked for.
    #[error("the server sends another range than asked for")]
    WrongRange,
}

fn status_hint(status: u16) -> &'static str {
    match status {
        401 | 403 => " (access denied; a gated model needs its licence accepted and HF_TOKEN set)",
        404 => " (not found; check the spelling)",
        410 => " (it is gone)",
        _ => "",
    }
}
