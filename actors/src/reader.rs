//! Reads text that may be hostile: bounded in length, and UTF-8 or an error that says where it is not.

use std::io::{self, Read};

/// How much text is read at most.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TextLimit {
    /// 16 MiB: far beyond any context, far below any memory.
    Default,
    #[cfg(test)]
    Bytes(u64),
}

impl TextLimit {
    fn bytes(self) -> u64 {
        match self {
            TextLimit::Default => 16 << 20,
            #[cfg(test)]
            TextLimit::Bytes(bytes) => bytes,
        }
    }
}

/// Reads everything as text.
pub(crate) fn read_text(source: impl Read, limit: TextLimit) -> io::Result<String> {
    let limit = limit.bytes();
    let mut bytes = Vec::new();
    source.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let problem = format!("expected at most {limit} bytes of text, found more");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(io::ErrorKind::InvalidData, format!("expected UTF-8 text, found another byte at offset {at}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_over_the_limit_or_not_utf8_is_an_error_that_says_so() {
        let long = read_text(&b"12345"[..], TextLimit::Bytes(4)).unwrap_err();
        assert_eq!(long.to_string(), "expected at most 4 bytes of text, found more");
        let binary = read_text(&b"ab\xffc"[..], TextLimit::Bytes(9)).unwrap_err();
        assert_eq!(binary.to_string(), "expected UTF-8 text, found another byte at offset 2");
        assert_eq!(read_text(&b"1234"[..], TextLimit::Bytes(4)).unwrap(), "1234");
    }
}
