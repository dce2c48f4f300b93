//! Downloads over HTTP: resumed where they were cut, retried with growing pauses, through redirects, never less safe
//! than they began.
use std::{io::Read, time::Duration};

use nanomind_hal::Clock;
use ureq::{
    Agent, Body,
    http::{HeaderMap, Response, StatusCode, header},
    tls::{RootCerts, TlsConfig},
};

use super::{
    HttpError, Interruption, Patience, PullEvent, PullProgress, ReferenceError, Sha256, StoreError, Token,
    http_error::MOST_REDIRECTS,
    part::{Origin, PartFile},
    range::{ContentRange, resolve_location},
    reference::check_address,
};

const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// No model file is larger; a server that sends more is broken or hostile.
const LARGEST_FILE: u64 = 1 << 40;

/// What is to be downloaded.
#[derive(Debug)]
pub(super) struct Download<'a> {
    pub(super) url: String,
    /// The reference it was asked for by.
    pub(super) reference: String,
    /// Sent to the address's own host only.
    pub(super) token: Option<&'a Token>,
    pub(super) sha256: Option<Sha256>,
}

/// How one attempt ended.
enum Attempt {
    Complete,
    Interrupted { cause: Interruption, retry_after: Option<Duration> },
}

impl From<Interruption> for Attempt {
    fn from(cause: Interruption) -> Attempt {
        Attempt::Interrupted { cause, retry_after: None }
    }
}

/// An HTTP client for large files.
pub(super) struct Http {
    agent: Agent,
    patience: Patience,
    clock: Clock,
}

impl Http {
    pub(super) fn new(patience: Patience) -> Http {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("nanomind/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(patience.silence))
            .timeout_recv_response(Some(patience.silence))
            .timeout_per_read(Some(patience.silence))
            .timeout_per_write(Some(patience.silence))
            .build();
        Http { agent: Agent::new_with_config(config), patience, clock: Clock::system() }
    }

    /// Brings `part` to the whole file. Its bytes are kept on failure, so that a later call goes on.
    pub(super) fn fetch(
        &self,
        download: &Download<'_>,
        part: &mut PartFile,
        progress: &mut PullProgress<'_>,
    ) -> Result<(), StoreError> {
        let mut failures = 0;
        loop {
            let before = part.len();
            let (cause, retry_after) = match self.attempt(download, part, progress)? {
                Attempt::Complete => return Ok(()),
                Attempt::Interrupted { cause, retry_after } => (cause, retry_after),
            };
            failures = if part.len() > before { 1 } else { failures + 1 };
            if failures >= self.patience.attempts {
                let (url, kept) = (download.url.clone(), part.len());
                return Err(HttpError::GaveUp { url, cause, attempts: failures, kept }.into());
            }
            let doubled = self.patience.first_wait * 2_u32.saturating_pow(failures - 1);
            let wait = retry_after.unwrap_or(doubled).min(LONGEST_WAIT);
            progress(PullEvent::Retrying { cause: &cause.to_string(), kept: part.len(), wait });
            self.clock.sleep_blocking(wait);
        }
    }

    fn attempt(
        &self,
        download: &Download<'_>,
        part: &mut PartFile,
        progress: &mut PullProgress<'_>,
    ) -> Result<Attempt, StoreError> {
        let url = &download.url;
        if part.len() > 0 && part.origin().total == Some(part.len()) {
            return Ok(Attempt::Complete);
        }
        let resumable = part.origin().validator.is_some() || part.origin().sha256.is_some();
        if part.len() > 0 && !resumable {
            part.restart()?;
        }
        let mut origin = Origin { reference: download.reference.clone(), ..Origin::default() };
        origin.sha256 = download.sha256.map(|digest| digest.to_string());
        let response = match self.get(download, part, &mut origin)? {
            Ok(response) => response,
            Err(cause) => return Ok(cause.into()),
        };
        let total = match self.accept(url, &response, part, &origin)? {
            Ok(total) => total,
            Err(end) => return Ok(end),
        };
        if let (Some(expected), Some(found)) = (origin.total, total)
            && expected != found
        {
            return Err(HttpError::Size { url: url.clone(), expected, found }.into());
        }
        origin.total = origin.total.or(total);
        origin.validator = validator(response.headers());
        part.set_origin(origin)?;
        read_body(url, response, part, progress)
    }

    /// Asks for what is missing, following redirects; what the hub says about the file on the way goes to `origin`.
    fn get(
        &self,
        download: &Download<'_>,
        part: &PartFile,
        origin: &mut Origin,
    ) -> Result<Result<Response<Body>, Interruption>, HttpError> {
        let url = &download.url;
        let bad = |source| HttpError::BadRedirect { url: url.clone(), source };
        let mut at = url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let mut request = self.agent.get(&at);
            if let Some(token) = download.token.filter(|_| same_host(url, &at)) {
                request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.secret()));
            }
            if part.len() > 0 {
                request = request.header(header::RANGE, format!("bytes={}-", part.len()));
                if let Some(validator) = &part.origin().validator {
                    request = request.header(header::IF_RANGE, validator);
                }
            }
            let response = match request.call() {
                Ok(response) => response,
                Err(error) => return interruption(url, error).map(Err),
            };
            note_hub_headers(response.headers(), origin);
            let status = response.status();
            if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(Ok(response));
            }
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let Some(location) = location else {
                return Err(HttpError::NoLocation { url: url.clone(), status: status.as_u16() });
            };
            let next = resolve_location(&at, location);
            check_address(&next).map_err(bad)?;
            if at.starts_with("https:") && !next.starts_with("https:") {
                return Err(bad(ReferenceError::Unencrypted { url: next }));
            }
            at = next;
        }
        Err(HttpError::TooManyRedirects { url: url.clone() })
    }

    /// Decides by the status what the body is: gives the file's size, where known, with `part` ready for the body.
    fn accept(
        &self,
        url: &str,
        response: &Response<Body>,
        part: &mut PartFile,
        offered: &Origin,
    ) -> Result<Result<Option<u64>, Attempt>, StoreError> {
        let headers = response.headers();
        match response.status() {
            // Without If-Range only the hub's digest can tell that the file changed since the first bytes came.
            StatusCode::PARTIAL_CONTENT if part.origin().sha256.is_some() && part.origin().sha256 != offered.sha256 => {
                part.restart()?;
                Ok(Err(Interruption::WrongRange.into()))
            }
            StatusCode::PARTIAL_CONTENT => match ContentRange::from_headers(headers) {
                Some(range) if range.start == Some(part.len()) => Ok(Ok(range.total)),
                _ => {
                    part.restart()?;
                    Ok(Err(Interruption::WrongRange.into()))
                }
            },
            StatusCode::OK => {
                part.restart()?;
                Ok(Ok(content_length(headers)))
            }
            StatusCode::RANGE_NOT_SATISFIABLE if part.len() > 0 => {
                match ContentRange::from_headers(headers).and_then(|range| range.total) {
                    Some(total) if total == part.len() => Ok(Err(Attempt::Complete)),
                    _ => {
                        part.restart()?;
                        Ok(Err(Interruption::WrongRange.into()))
                    }
                }
            }
            status if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) => {
                let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                let retry_after = seconds.map(Duration::from_secs);
                let cause = Interruption::Server(status.as_u16());
                Ok(Err(Attempt::Interrupted { cause, retry_after }))
            }
            status => Err(HttpError::Status { url: url.into(), status: status.as_u16() }.into()),
        }
    }
}

fn read_body(
    url: &str,
    response: Response<Body>,
    part: &mut PartFile,
    progress: &mut PullProgress<'_>,
) -> Result<Attempt, StoreError> {
    let total = part.origin().total;
    let limit = total.unwrap_or(LARGEST_FILE);
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; 128 << 10];
    progress(PullEvent::Fetching { bytes: part.len(), total });
    loop {
        let read = match body.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => return Ok(Interruption::Silence.into()),
            Err(error) => return Ok(cut_or(part, total, Interruption::Read(error)).into()),
        };
        if read == 0 {
            break;
        }
        if part.len() + read as u64 > limit {
            return Err(HttpError::Endless { url: url.into(), limit }.into());
        }
        part.write(&buffer[..read])?;
        progress(PullEvent::Fetching { bytes: part.len(), total });
    }
    match total {
        Some(expected) if part.len() < expected => Ok(Interruption::Cut { expected, found: part.len() }.into()),
        _ => Ok(Attempt::Complete),
    }
}

/// A broken read is a cut connection in plainer words, when the size is known.
fn cut_or(part: &PartFile, total: Option<u64>, other: Interruption) -> Interruption {
    match total {
        Some(expected) => Interruption::Cut { expected, found: part.len() },
        None => other,
    }
}

/// Sorts the client's errors into those that another attempt may cure and the others.
fn interruption(url: &str, error: ureq::Error) -> Result<Interruption, HttpError> {
    match error {
        ureq::Error::Timeout(_) => Ok(Interruption::Silence),
        ureq::Error::Rustls(error) => Err(HttpError::Untrusted { url: url.into(), reason: error.to_string() }),
        ureq::Error::Io(error) if is_untrusted(&error) => {
            Err(HttpError::Untrusted { url: url.into(), reason: error.to_string() })
        }
        ureq::Error::Io(_) | ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::Protocol(_) => {
            Ok(Interruption::Connection(error))
        }
        source => Err(HttpError::Request { url: url.into(), source }),
    }
}

fn is_untrusted(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::InvalidData
}

/// A strong ETag, else the date: what `If-Range` can hold.
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let strong = text(header::ETAG).filter(|tag| !tag.starts_with("W/"));
    strong.or_else(|| text(header::LAST_MODIFIED)).map(str::to_owned)
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The hub names digest and size of a large file on its first answer, before it redirects to where the bytes are.
fn note_hub_headers(headers: &HeaderMap, origin: &mut Origin) {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if origin.sha256.is_none()
        && let Some(tag) = text("x-linked-etag")
        && let Ok(digest) = tag.trim_matches('"').parse::<Sha256>()
    {
        origin.sha256 = Some(digest.to_string());
    }
    if origin.total.is_none() {
        origin.total = text("x-linked-size").and_then(|size| size.parse().ok());
    }
}

fn same_host(one: &str, other: &str) -> bool {
    let authority = |url: &str| check_address(url).ok().and_then(|uri| uri.authority().map(|a| a.as_str().to_owned()));
    authority(one).is_some_and(|one| Some(one) == authority(other))
}
