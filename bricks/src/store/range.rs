//! Two small pieces of HTTP that the client leaves to us: `Content-Range`, and redirects to a relative address.
use ureq::http::{HeaderMap, header};

/// `Content-Range: bytes START-END/TOTAL`, or `bytes */TOTAL` where no range could be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    pub(super) start: Option<u64>,
    pub(super) total: Option<u64>,
}

impl ContentRange {
    pub(super) fn from_headers(headers: &HeaderMap) -> Option<ContentRange> {
        ContentRange::parse(headers.get(header::CONTENT_RANGE)?.to_str().ok()?)
    }

    fn parse(text: &str) -> Option<ContentRange> {
        let (range, total) = text.trim().strip_prefix("bytes ")?.trim().split_once('/')?;
        let total = if total == "*" { None } else { Some(total.parse().ok()?) };
        if range == "*" {
            return Some(ContentRange { start: None, total });
        }
        let (start, end) = range.split_once('-')?;
        let (start, end): (u64, u64) = (start.parse().ok()?, end.parse().ok()?);
        (start <= end && total.is_none_or(|total| end < total)).then_some(ContentRange { start: Some(start), total })
    }
}

/// The address that `location` means in an answer from `base` (RFC 3986, section 5, without dot segments).
pub(super) fn resolve_location(base: &str, location: &str) -> String {
    let location = location.split('#').next().unwrap_or_default();
    let (scheme, rest) = base.split_once("://").unwrap_or(("https", base));
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if location.contains("://") {
        location.into()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let path = rest[authority.len()..].split('?').next().unwrap_or_default();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read_and_nonsense_is_not() {
        let range = |start, total| Some(ContentRange { start, total });
        assert_eq!(ContentRange::parse("bytes 5-9/10"), range(Some(5), Some(10)));
        assert_eq!(ContentRange::parse("bytes 5-9/*"), range(Some(5), None));
        assert_eq!(ContentRange::parse("bytes */10"), range(None, Some(10)));
        for nonsense in ["", "bytes", "bytes 9-5/10", "bytes 5-10/10", "bytes -1-5/9", "items 1-2/3", "bytes 1-2"] {
            assert_eq!(ContentRange::parse(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn redirects_are_resolved_against_where_they_came_from() {
        let base = "https://a.example:8/x/y.gguf?q=1/2";
        for (location, expected) in [
            ("http://b.example/z", "http://b.example/z"),
            ("//b.example/z", "https://b.example/z"),
            ("/z?k=v", "https://a.example:8/z?k=v"),
            ("z.gguf#part", "https://a.example:8/x/z.gguf"),
        ] {
            assert_eq!(resolve_location(base, location), expected, "{location}");
        }
        assert_eq!(resolve_location("https://a.example", "z"), "https://a.example/z");
    }
}
