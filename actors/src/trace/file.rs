//! The file of a trace and the ring of records that wait to be written to it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;
use parking_lot::Mutex;

use super::chrome::{self, Tracks};
use super::record::Record;

/// How many records can wait between two flushes: 50 tokens/s leave some 500 records a second, so this is minutes.
const RING_RECORDS: usize = 1 << 16;

/// A trace could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file could not be made.
    #[error("cannot create the trace file {}: {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file could not be written to; what was written before is still there.
    #[error("cannot write the trace file {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A trace being written. Clones are handles of one file.
///
/// Pushing never blocks and never touches the disk; records that find the ring full are counted, and the count is
/// written at the end.
#[derive(Clone, Debug)]
pub struct TraceFile {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    ring: ArrayQueue<Record>,
    lost: AtomicU64,
    out: Mutex<Option<Out>>,
}

#[derive(Debug)]
struct Out {
    file: BufWriter<File>,
    tracks: Tracks,
    last: BTreeMap<String, u64>,
}

impl TraceFile {
    /// Makes the file, replacing one that is there, and writes the head of the array.
    ///
    /// # Errors
    /// [`TraceError::Create`] and [`TraceError::Write`] with what the system said.
    pub fn create(path: &Path) -> Result<TraceFile, TraceError> {
        let file = File::create(path).map_err(|source| TraceError::Create { path: path.to_owned(), source })?;
        let trace = TraceFile {
            shared: Arc::new(Shared {
                path: path.to_owned(),
                ring: ArrayQueue::new(RING_RECORDS),
                lost: AtomicU64::new(0),
                out: Mutex::new(Some(Out {
                    file: BufWriter::new(file),
                    tracks: Tracks::default(),
                    last: BTreeMap::new(),
                })),
            }),
        };
        trace.write(|out| out.file.write_all(chrome::HEAD.as_bytes()))?;
        Ok(trace)
    }

    /// Where the trace goes.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Records that were lost because the ring was full.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    pub(super) fn push(&self, record: Record) {
        if self.shared.ring.push(record).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes what waits in the ring. After each flush the file is readable, even if the process dies.
    ///
    /// # Errors
    /// [`TraceError::Write`], once: after it the trace is closed and later calls do nothing, so that a full disk ends
    /// the trace and not the run.
    pub fn flush(&self) -> Result<(), TraceError> {
        self.write(|out| self.drain(out))
    }

    /// Writes what waits, the count of lost records and the end of the array, and closes the file.
    ///
    /// # Errors
    /// [`TraceError::Write`] with what the system said.
    pub fn finish(&self) -> Result<(), TraceError> {
        self.write(|out| {
            self.drain(out)?;
            out.file.write_all(chrome::tail(self.lost()).as_bytes())
        })?;
        *self.shared.out.lock() = None;
        Ok(())
    }

    fn drain(&self, out: &mut Out) -> io::Result<()> {
        // No more than one ring full at a time, so that a busy producer cannot keep the writer here for ever.
        for _ in 0..RING_RECORDS {
            let Some(record) = self.shared.ring.pop() else { break };
            if let Record::Counter { name, value, .. } = &record
                && out.last.insert(name.clone(), value.to_bits()) == Some(value.to_bits())
            {
                continue; // A counter holds its value until the next step: the same value again says nothing.
            }
            chrome::write(&mut out.file, &mut out.tracks, &record)?;
        }
        Ok(())
    }

    fn write(&self, work: impl FnOnce(&mut Out) -> io::Result<()>) -> Result<(), TraceError> {
        let mut out = self.shared.out.lock();
        let Some(open) = out.as_mut() else { return Ok(()) };
        let written = work(open).and_then(|()| open.file.flush());
        written.map_err(|source| {
            *out = None;
            TraceError::Write { path: self.shared.path.clone(), source }
        })
    }
}
