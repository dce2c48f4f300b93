//! Frames: how records lie in the file. Each is whole or it is not there.
//!
//! A frame is the length of its payload and the CRC-32 of length and payload, four bytes each with the lowest first, and
//! then the payload. It is written by one call to the operating system, so that a process that is killed leaves whole
//! frames and at most a part of one at the end.

use std::io::{self, Read};

/// No record is longer: the largest is the header, with the text of a graph and all that it includes.
pub(super) const LONGEST: usize = 16 << 20;

/// Length and checksum.
const HEAD: usize = 8;

/// Puts a payload into `frame`, replacing what is there. `None` where it is too long.
pub(super) fn seal(frame: &mut Vec<u8>, payload: &[u8]) -> Option<()> {
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= LONGEST)?.to_le_bytes();
    frame.clear();
    frame.extend(length);
    frame.extend(checksum(length, payload).to_le_bytes());
    frame.extend(payload);
    Some(())
}

fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(payload);
    hasher.finalize()
}

/// What comes next in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A whole frame.
    Payload(Vec<u8>),
    /// Nothing more.
    End,
    /// Something that is no whole frame, and why not.
    Broken(Break),
}

/// Why a file cannot be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// It ends in the middle of a record.
    Torn,
    /// A record is not what was written.
    Damaged,
}

/// Reads frames from `input`, of which `left` bytes are left; never takes more memory than that.
#[derive(Debug)]
pub(super) struct Frames<R> {
    input: R,
    left: u64,
}

impl<R: Read> Frames<R> {
    pub(super) fn new(input: R, left: u64) -> Frames<R> {
        Frames { input, left }
    }

    /// Bytes behind the frames that were read.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// The next frame. What is broken stays: it is never read past.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Next> {
        if self.left == 0 {
            return Ok(Next::End);
        }
        let Some(body) = self.left.checked_sub(HEAD as u64) else { return Ok(Next::Broken(Break::Torn)) };
        let mut head = [0; HEAD];
        if !self.fill(&mut head)? {
            return Ok(Next::Broken(Break::Torn));
        }
        let [a, b, c, d, e, f, g, h] = head;
        let (length, expected) = ([a, b, c, d], u32::from_le_bytes([e, f, g, h]));
        let bytes = u32::from_le_bytes(length) as usize;
        if bytes > LONGEST {
            return Ok(Next::Broken(Break::Damaged));
        }
        if bytes as u64 > body {
            return Ok(Next::Broken(Break::Torn));
        }
        let mut payload = vec![0; bytes];
        if !self.fill(&mut payload)? {
            return Ok(Next::Broken(Break::Torn));
        }
        if checksum(length, &payload) != expected {
            return Ok(Next::Broken(Break::Damaged));
        }
        self.left = body - bytes as u64;
        Ok(Next::Payload(payload))
    }

    /// Fills a buffer; false where the file has become shorter meanwhile.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        match self.input.read_exact(buffer) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}
