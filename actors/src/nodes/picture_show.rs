//! How a sensor shows a picture: read by a thread that waits, decoded in a job, then sent, or its request refused.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nanomind_bricks::vision::{Picture, PictureError, PictureLimits};
use nanomind_hal::{JobClass, JobCost, Phase};

use crate::error::NodeError;
use crate::jobs::JobSpec;
use crate::node::NodeContext;
use crate::packet::Packet;
use crate::request::Request;

/// The job of making a picture. What that costs is not known before it is done.
pub(super) fn picture_job(request: Option<Request>) -> JobSpec {
    let (phase, class, cost) = (Phase::Prepare, JobClass::Vision, JobCost::default());
    JobSpec { phase, tokens: 0, class, cost, request: request.map(|request| request.id) }
}

/// Makes a picture in a job and sends it on `image`, or refuses the request with what is wrong with it.
pub(super) async fn show(
    context: &NodeContext,
    request: Request,
    make: impl FnOnce() -> Result<Picture, PictureError> + Send + 'static,
) -> Result<(), NodeError> {
    let made = context.jobs().run(picture_job(Some(request)), move |_| make()).await?;
    match made.value {
        Ok(picture) => context.send("image", Packet::image(request, Arc::new(picture))).await,
        Err(error) => context.refuse(request, error).await,
    }
}

/// Shows the picture in a file.
pub(super) async fn show_file(context: &NodeContext, request: Request, path: PathBuf) -> Result<(), NodeError> {
    let limits = PictureLimits::default();
    let file = path.display().to_string();
    let bytes = match crate::threads::call("picture", move || read(&path, limits.file_bytes)).await {
        Ok(bytes) => bytes,
        Err(source) => return context.refuse(request, PictureError::Unreadable { file, source }).await,
    };
    show(context, request, move || Picture::decode(&file, &bytes, &limits)).await
}

/// The bytes of a file, and one beyond `limit` where it is longer.
fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}
