//! Reads a run log back. The file is hostile until checked: whatever is in it, reading it takes no more memory than it
//! has bytes and ends with a message, at worst.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::frame::{Break, Frames, Next};
use super::record::{Header, Record};
use super::{FORMAT, MAGIC, MAGIC_STEM};

/// A run log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refuses.
    #[error("cannot read the run log {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is no run log of nanomind: expected it to begin with {MAGIC_STEM:?}", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
    },
    /// It was written in another format.
    #[error("{} was written in format {found} of run logs; this program reads format {FORMAT}", path.display())]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// The format that it says it has.
        found: String,
    },
    /// It does not say what ran.
    #[error("{} holds no whole header: expected the graph and device that ran, found {found}", path.display())]
    NoHeader {
        /// The file.
        path: PathBuf,
        /// What is there instead.
        found: &'static str,
    },
}

/// A run log that is open for reading: its header, and then an iterator of its records in their order.
#[derive(Debug)]
pub struct RunLogReader {
    path: PathBuf,
    header: Header,
    frames: Frames<BufReader<File>>,
    records: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Reading,
    /// Nothing follows. Whether the last record was that of a run that ended in order.
    Over {
        in_order: bool,
    },
    Broken(Break),
}

/// How a log ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tail {
    /// With the record of a run that ended in order.
    Whole,
    /// After a whole record: the run was killed, goes on, or could not write its log any more.
    CutShort,
    /// In the middle of a record, which is not read.
    Torn {
        /// Bytes of it.
        bytes: u64,
    },
    /// With bytes that are no record of a run log, which are not read.
    Damaged {
        /// How many.
        bytes: u64,
    },
}

impl RunLogReader {
    /// Opens a log and reads its header.
    ///
    /// # Errors
    /// It cannot be read, is no run log or one of another format, or its header is not whole.
    pub fn open(path: &Path) -> Result<RunLogReader, ReadError> {
        let unreadable = |source| ReadError::Unreadable { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let left = file.metadata().map_err(unreadable)?.len();
        let mut input = BufReader::new(file);
        let mut magic = Vec::new();
        let read = input.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic).map_err(unreadable)?;
        check_magic(path, &magic)?;
        let mut frames = Frames::new(input, left.saturating_sub(read as u64));
        let no_header = |found| ReadError::NoHeader { path: path.to_owned(), found };
        let header = match frames.next().map_err(unreadable)? {
            Next::Payload(payload) => match postcard::from_bytes(&payload) {
                Ok(Record::Header(header)) => *header,
                Ok(_) => return Err(no_header("another record")),
                Err(_) => return Err(no_header("something that is no record")),
            },
            Next::End => return Err(no_header("nothing")),
            Next::Broken(Break::Torn) => return Err(no_header("a part of one")),
            Next::Broken(Break::Damaged) => return Err(no_header("one that was damaged")),
        };
        Ok(RunLogReader { path: path.to_owned(), header, frames, records: 1, state: State::Reading })
    }

    /// What ran, and on what.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How the log ended; `None` before all of its records were read.
    pub fn tail(&self) -> Option<Tail> {
        let bytes = self.frames.left();
        match self.state {
            State::Reading => None,
            State::Over { in_order: true } => Some(Tail::Whole),
            State::Over { in_order: false } => Some(Tail::CutShort),
            State::Broken(Break::Torn) => Some(Tail::Torn { bytes }),
            State::Broken(Break::Damaged) => Some(Tail::Damaged { bytes }),
        }
    }

    /// What is to be said of how the log ended; nothing of one that is whole.
    pub fn warning(&self) -> Option<String> {
        let (path, records) = (self.path.display(), self.records);
        match self.tail()? {
            Tail::Whole => None,
            Tail::CutShort => Some(format!("{path} ends without the end of its run, after {records} records")),
            Tail::Torn { bytes } => Some(format!(
                "{path} ends in the middle of a record: its last {bytes} bytes are left out, {records} records are read"
            )),
            Tail::Damaged { bytes } => Some(format!(
                "{path} is damaged: its last {bytes} bytes are left out, {records} records before them are read"
            )),
        }
    }

    fn read(&mut self) -> io::Result<Option<Record>> {
        let broken = match self.frames.next()? {
            Next::Payload(payload) => match postcard::from_bytes(&payload) {
                Ok(record) => {
                    self.records += 1;
                    if let Record::End(_) = record {
                        self.state = State::Over { in_order: true };
                    }
                    return Ok(Some(record));
                }
                Err(_) => Break::Damaged,
            },
            Next::End => {
                self.state = State::Over { in_order: false };
                return Ok(None);
            }
            Next::Broken(broken) => broken,
        };
        self.state = State::Broken(broken);
        Ok(None)
    }
}

/// Each record in turn, the header left out, up to the end or to what cannot be read: [`RunLogReader::tail`] says which.
impl Iterator for RunLogReader {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if !matches!(self.state, State::Reading) {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.state = State::Over { in_order: false };
        }
        read.map_err(|source| ReadError::Unreadable { path: self.path.clone(), source }).transpose()
    }
}

/// The first line of a log, of this or another format.
fn check_magic(path: &Path, found: &[u8]) -> Result<(), ReadError> {
    if found == MAGIC {
        return Ok(());
    }
    let text = String::from_utf8_lossy(found);
    match text.strip_prefix(MAGIC_STEM) {
        Some(format) => {
            let found = format.trim_end().replace(char::is_control, "\u{fffd}");
            Err(ReadError::OtherFormat { path: path.to_owned(), found })
        }
        None => Err(ReadError::NotALog { path: path.to_owned() }),
    }
}
