//! Model references, as a person or a graph writes them: a catalogue name, a file, a file of the Hugging Face hub, or
//! an address with a digest.
use std::{fmt, net::Ipv4Addr, net::Ipv6Addr, path::PathBuf, str::FromStr};

use ureq::http::Uri;

use super::{CATALOGUE, InvalidDigest, Sha256};

/// What names a model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ModelRef {
    /// A name of the catalogue: `smollm2-135m`.
    Name(String),
    /// A file on this machine: anything with a `/` in it or `.gguf` at its end.
    File(PathBuf),
    /// A file of the Hugging Face hub: `hf:ORG/REPO/FILE@REV`.
    Hub(HubFile),
    /// A file behind a plain address, which must come with its digest: `https://…#sha256=HEX`.
    Url(UrlFile),
}

/// A file of a model repository on the Hugging Face hub.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HubFile {
    pub(super) organisation: String,
    pub(super) repository: String,
    /// Path inside the repository; no part of it is empty, `.` or `..`.
    pub(super) file: String,
    /// Branch, tag or commit.
    pub(super) revision: String,
    pub(super) sha256: Option<Sha256>,
}

/// A file behind a plain address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UrlFile {
    pub(super) url: String,
    pub(super) sha256: Sha256,
}

/// A text that names no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing there.
    #[error(
        "the model reference is empty; expected a catalogue name, a file, hf:ORG/REPO/FILE or https://…#sha256=HEX"
    )]
    Empty,
    /// No such name in the catalogue.
    #[error("there is no model {name:?}; {}", known_names(name))]
    UnknownName {
        /// The name.
        name: String,
    },
    /// Not `hf:ORG/REPO/FILE`.
    #[error(
        "{reference:?} names no file of the hub: expected hf:ORG/REPO/FILE or hf:ORG/REPO/FILE@REVISION, found {problem}"
    )]
    Hub {
        /// The text.
        reference: String,
        /// What is wrong with it.
        problem: HubProblem,
    },
    /// A plain address without a digest.
    #[error("{url} comes without a digest; add #sha256= and the file's 64 hexadecimal digits")]
    NoDigest {
        /// The address.
        url: String,
    },
    /// A digest that is none.
    #[error("in {reference}: {source}")]
    Digest {
        /// The text.
        reference: String,
        /// What is wrong with it.
        source: InvalidDigest,
    },
    /// Unencrypted, and not this machine.
    #[error("{url} is unencrypted; use https (http is only for addresses of this machine)")]
    Unencrypted {
        /// The address.
        url: String,
    },
    /// No address at all, or one that must not be used.
    #[error("{url} is no address to fetch from: {problem}")]
    BadUrl {
        /// The address, without secrets.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// What is wrong with a hub reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HubProblem {
    /// Fewer than three parts.
    TooFewParts,
    /// An empty part, `.` or `..`.
    BadPart,
    /// A letter that has no place in a name.
    BadLetter,
    /// `@` with nothing behind it.
    EmptyRevision,
}

impl fmt::Display for HubProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HubProblem::TooFewParts => "fewer than three parts",
            HubProblem::BadPart => "a part that is empty, \".\" or \"..\"",
            HubProblem::BadLetter => "a letter that has no place in a name",
            HubProblem::EmptyRevision => "nothing behind the \"@\"",
        })
    }
}

fn known_names(name: &str) -> String {
    let near = |known: &&str| known.starts_with(name) || name.starts_with(known) || shares_most_letters(known, name);
    let names: Vec<&str> = CATALOGUE.iter().map(|entry| entry.name).collect();
    match names.iter().copied().find(|known| near(known)) {
        Some(known) => format!("did you mean {known}? A file in this folder is written ./{name}"),
        None => format!("known are: {}. A file in this folder is written ./{name}", names.join(", ")),
    }
}

/// Whether at least three quarters of the letters stand at the same place, counted from the front or the back.
fn shares_most_letters(one: &str, other: &str) -> bool {
    let same_front = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let same_back = one.chars().rev().zip(other.chars().rev()).take_while(|(a, b)| a == b).count();
    let longest = one.chars().count().max(other.chars().count());
    (same_front + same_back) * 4 >= longest * 3
}

impl FromStr for ModelRef {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<ModelRef, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if let Some(rest) = text.strip_prefix("hf:") {
            return HubFile::parse(text, rest).map(ModelRef::Hub);
        }
        if text.contains("://") {
            return UrlFile::parse(text).map(ModelRef::Url);
        }
        if text.contains(['/', '\\']) || text.to_ascii_lowercase().ends_with(".gguf") {
            return Ok(ModelRef::File(text.into()));
        }
        Ok(ModelRef::Name(text.into()))
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModelRef::Name(name) => f.write_str(name),
            ModelRef::File(path) => write!(f, "{}", path.display()),
            ModelRef::Hub(file) => write!(f, "{file}"),
            ModelRef::Url(file) => write!(f, "{}#sha256={}", file.url, file.sha256),
        }
    }
}

impl HubFile {
    fn parse(reference: &str, rest: &str) -> Result<HubFile, ReferenceError> {
        let wrong = |problem| ReferenceError::Hub { reference: reference.into(), problem };
        let (rest, sha256) = split_digest(reference, rest)?;
        let (path, revision) = match rest.rsplit_once('@') {
            Some((_, "")) => return Err(wrong(HubProblem::EmptyRevision)),
            Some((path, revision)) => (path, revision),
            None => (rest, "main"),
        };
        if path.chars().chain(revision.chars()).any(|c| c.is_control() || matches!(c, '\\' | ':' | '?' | '#' | '@')) {
            return Err(wrong(HubProblem::BadLetter));
        }
        if path.split('/').chain(revision.split('/')).any(|part| matches!(part, "" | "." | "..")) {
            return Err(wrong(HubProblem::BadPart));
        }
        let mut parts = path.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(organisation), Some(repository), Some(file)) => Ok(HubFile {
                organisation: organisation.into(),
                repository: repository.into(),
                file: file.into(),
                revision: revision.into(),
                sha256,
            }),
            _ => Err(wrong(HubProblem::TooFewParts)),
        }
    }

    /// Where the hub behind `endpoint` (`https://huggingface.co`) serves it.
    pub(super) fn url(&self, endpoint: &str) -> String {
        let HubFile { organisation, repository, file, revision, .. } = self;
        let repository = format!("{}/{}", percent_encoded(organisation, false), percent_encoded(repository, false));
        let endpoint = endpoint.trim_end_matches('/');
        format!("{endpoint}/{repository}/resolve/{}/{}", percent_encoded(revision, false), percent_encoded(file, true))
    }
}

impl fmt::Display for HubFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf:{}/{}/{}", self.organisation, self.repository, self.file)?;
        if self.revision != "main" {
            write!(f, "@{}", self.revision)?;
        }
        match self.sha256 {
            Some(sha256) => write!(f, "#sha256={sha256}"),
            None => Ok(()),
        }
    }
}

impl UrlFile {
    fn parse(reference: &str) -> Result<UrlFile, ReferenceError> {
        let (url, sha256) = split_digest(reference, reference)?;
        check_address(url)?;
        let sha256 = sha256.ok_or_else(|| ReferenceError::NoDigest { url: url.into() })?;
        Ok(UrlFile { url: url.into(), sha256 })
    }

    /// A name for the file on this machine: the last part of the address, with odd letters replaced.
    pub(super) fn file_name(&self) -> String {
        let path = self.url.split(['?', '#']).next().unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
        let name: String = name.chars().map(plain).take(200).collect();
        if name.trim_matches('.').is_empty() { "model".into() } else { name }
    }
}

/// Splits `#sha256=HEX` off the end of `text`, a part of `reference`.
fn split_digest<'a>(reference: &str, text: &'a str) -> Result<(&'a str, Option<Sha256>), ReferenceError> {
    let Some((before, digest)) = text.split_once("#sha256=") else { return Ok((text, None)) };
    let digest = digest.parse().map_err(|source| ReferenceError::Digest { reference: reference.into(), source })?;
    Ok((before, Some(digest)))
}

/// Checks that `url` is https, or http to this machine, with a host and without a password in it.
pub(super) fn check_address(url: &str) -> Result<Uri, ReferenceError> {
    let bad = |problem| {
        let without_secret = match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
            _ => url.into(),
        };
        ReferenceError::BadUrl { url: without_secret, problem }
    };
    let uri: Uri = url.parse().map_err(|_| bad("it cannot be read as an address"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(bad("it has no scheme and host"));
    };
    if authority.as_str().contains('@') {
        return Err(bad("it has a user name or password in it, which would end up in logs"));
    }
    match scheme {
        "https" => Ok(uri),
        "http" if is_this_machine(authority.host()) => Ok(uri),
        "http" => Err(ReferenceError::Unencrypted { url: url.into() }),
        _ => Err(bad("its scheme is neither https nor http")),
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || address.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
}

fn percent_encoded(text: &str, keep_slashes: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(byte.into()),
            b'/' if keep_slashes => encoded.push('/'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

    #[track_caller]
    fn parse(text: &str) -> ModelRef {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[track_caller]
    fn refuses(text: &str, expected: &str) {
        let error = text.parse::<ModelRef>().expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: expected {expected:?} in: {error}");
    }

    #[test]
    fn the_four_kinds_of_reference_are_told_apart() {
        assert_eq!(parse("smollm2-135m"), ModelRef::Name("smollm2-135m".into()));
        for file in ["./model", "model.gguf", "../a/b.bin", "/srv/MODEL.GGUF"] {
            assert_eq!(parse(file), ModelRef::File(file.into()), "{file}");
        }
        let ModelRef::Hub(hub) = parse("hf:org/repo/sub/file name.gguf@refs/pr/1") else { panic!("no hub file") };
        assert_eq!((hub.organisation.as_str(), hub.repository.as_str()), ("org", "repo"));
        assert_eq!((hub.file.as_str(), hub.revision.as_str()), ("sub/file name.gguf", "refs/pr/1"));
        assert_eq!(
            hub.url("https://huggingface.co/"),
            "https://huggingface.co/org/repo/resolve/refs%2Fpr%2F1/sub/file%20name.gguf"
        );
        let ModelRef::Url(url) = parse(&format!("https://example.org/a/b%20c.gguf?x=1#sha256={DIGEST}")) else {
            panic!("no address")
        };
        assert_eq!(url.url, "https://example.org/a/b%20c.gguf?x=1");
        assert_eq!(url.file_name(), "b_20c.gguf");
    }

    #[test]
    fn a_reference_prints_as_it_was_written() {
        let texts = [
            "smollm2-135m".to_owned(),
            "./a.gguf".into(),
            "hf:org/repo/file.gguf".into(),
            format!("hf:org/repo/a/file.gguf@v1#sha256={DIGEST}"),
            format!("http://127.0.0.1:8080/file.gguf#sha256={DIGEST}"),
        ];
        for text in texts {
            assert_eq!(parse(&text).to_string(), text);
        }
    }

    #[test]
    fn a_hub_reference_never_leaves_its_folder() {
        for bad in ["hf:o/r/../x", "hf:../r/x", "hf:o//x", "hf:o/r/x@../main", "hf:o/r/./x", "hf:/r/x"] {
            refuses(bad, "a part that is empty");
        }
        refuses("hf:o/r", "fewer than three parts");
        refuses("hf:o/r/x@", "nothing behind");
        refuses("hf:o/r/a\\b", "a letter");
    }

    #[test]
    fn a_plain_address_needs_encryption_and_a_digest() {
        refuses("https://example.org/a.gguf", "#sha256=");
        refuses("https://example.org/a.gguf#sha256=12", "found 2 characters");
        refuses(&format!("http://example.org/a.gguf#sha256={DIGEST}"), "use https");
        refuses(&format!("ftp://example.org/a.gguf#sha256={DIGEST}"), "neither https nor http");
        refuses(&format!("http://127.0.0.1.example.org/a#sha256={DIGEST}"), "use https");
        for local in ["localhost", "127.0.0.1:80", "[::1]:80"] {
            parse(&format!("http://{local}/a.gguf#sha256={DIGEST}"));
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        let error =
            format!("https://me:secret@example.org/a#sha256={DIGEST}").parse::<ModelRef>().expect_err("refused");
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn an_unknown_name_says_what_is_known() {
        let error = |name: &str| ReferenceError::UnknownName { name: name.into() }.to_string();
        assert!(error("smollm2").contains("did you mean smollm2-135m?"), "{}", error("smollm2"));
        assert!(error("smolm2-135m").contains("did you mean smollm2-135m?"), "{}", error("smolm2-135m"));
        assert!(error("gpt").contains("known are: smollm2-135m"), "{}", error("gpt"));
    }
}
