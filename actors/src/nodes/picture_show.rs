//! How a sensor makes a picture: its file is read by a thread that waits, and decoded in a job.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use nanomind_bricks::vision::{Picture, PictureError, PictureLimits};
use nanomind_hal::{JobClass, JobCost, Phase};

use super::frames::Develop;
use crate::jobs::JobSpec;
use crate::request::Request;

/// The job of making a picture. What that costs is not known before it is done.
pub(crate) fn picture_job(request: Option<Request>) -> JobSpec {
    let (phase, class, cost) = (Phase::Prepare, JobClass::Vision, JobCost::default());
    JobSpec { phase, tokens: 0, class, cost, request: request.map(|request| request.id) }
}

/// Reads the file of a picture on a thread that waits, for a job to decode it.
pub(super) async fn open(path: PathBuf) -> Develop {
    let limits = PictureLimits::default();
    let file = path.display().to_string();
    let bytes = crate::threads::call("picture", move || read(&path, limits.file_bytes)).await;
    Box::new(move || {
        let picture = match bytes {
            Ok(bytes) => Picture::decode(&file, &bytes, &limits),
            Err(source) => Err(PictureError::Unreadable { file, source }),
        };
        Ok(picture.into())
    })
}

/// The bytes of a file, and one beyond `limit` where it is longer.
fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}
