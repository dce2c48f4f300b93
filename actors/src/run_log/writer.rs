//! Writes a run log while the run goes on.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::record::{Header, Record};
use super::{MAGIC, frame};

/// A run log could not be written.
#[derive(Debug, thiserror::Error)]
pub enum RunLogError {
    /// The file could not be made, or not be written to.
    #[error("cannot write the run log {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A run log that is being written; the default writes nothing. Clones are handles of one file.
///
/// Every record is one write to the file: whatever happens to the process, records that were written are there. Where a
/// record cannot be written, as on a full disk, that is said once and the run goes on without its log.
#[derive(Clone, Default, Debug)]
pub struct RunLog(Option<Arc<Mutex<Out>>>);

#[derive(Debug)]
pub(super) struct Out {
    path: PathBuf,
    /// None after it could not be written to.
    file: Option<File>,
    /// Room for a frame and for its payload.
    frame: Vec<u8>,
    payload: Vec<u8>,
}

impl RunLog {
    /// Makes the file, replacing one that is there, and writes the header.
    ///
    /// # Errors
    /// With what the system said.
    pub fn create(path: &Path, header: Header) -> Result<RunLog, RunLogError> {
        let failed = |source| RunLogError::Write { path: path.to_owned(), source };
        let mut out = Out::to(path).map_err(failed)?;
        if let Some(file) = &mut out.file {
            file.write_all(MAGIC).map_err(failed)?;
        }
        out.write(&Record::Header(Box::new(header)))?;
        Ok(RunLog(Some(Arc::new(Mutex::new(out)))))
    }

    /// Whether anything is written: it is no use to make records otherwise.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Writes what `record` makes, if there is a log.
    pub(crate) fn write(&self, record: impl FnOnce() -> Record) {
        let Some(out) = &self.0 else { return };
        if let Err(error) = out.lock().write(&record()) {
            tracing::warn!("{error}; the run goes on without its log");
        }
    }
}

impl Out {
    /// An empty file.
    pub(super) fn to(path: &Path) -> io::Result<Out> {
        let file = File::create(path)?;
        Ok(Out { path: path.to_owned(), file: Some(file), frame: Vec::new(), payload: Vec::new() })
    }

    /// Writes a record, unless writing failed before.
    pub(super) fn write(&mut self, record: &Record) -> Result<(), RunLogError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        self.payload.clear();
        let encoded = postcard::to_extend(record, std::mem::take(&mut self.payload)).map_err(io::Error::other);
        let sealed = encoded.and_then(|payload| {
            self.payload = payload;
            let too_long = || io::Error::other(format!("expected a record of at most {} bytes", frame::LONGEST));
            frame::seal(&mut self.frame, &self.payload).ok_or_else(too_long)
        });
        sealed.and_then(|()| file.write_all(&self.frame)).map_err(|source| {
            self.file = None;
            RunLogError::Write { path: self.path.clone(), source }
        })
    }
}
