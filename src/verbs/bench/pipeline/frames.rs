//! The pictures that every variant answers about: files in a folder, in the order of their names.
use std::{
    fs,
    path::{Path, PathBuf},
};

use nanomind::hal::camera::{Camera, SceneCamera, SceneEvents, SceneMotion, SceneOptions};

use crate::exit::Exit;

/// Formats that all variants read.
const EXTENSIONS: [&str; 4] = ["png", "jpg", "jpeg", "bmp"];

/// Files of pictures, no two of them the same.
pub struct Frames {
    folder: PathBuf,
    files: Vec<PathBuf>,
    /// Whether they were drawn for this run alone, and go with it.
    drawn: bool,
}

impl Frames {
    /// The first `wanted` pictures of a folder.
    pub fn of_folder(folder: &Path, wanted: usize) -> Result<Frames, Exit> {
        let folder = super::absolute(folder)?;
        let unreadable = |error| Exit::usage(format!("cannot read {}: {error}", folder.display()));
        let is_picture = |path: &PathBuf| {
            let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
            extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
        };
        let mut files: Vec<PathBuf> =
            fs::read_dir(&folder).map_err(unreadable)?.flatten().map(|entry| entry.path()).filter(is_picture).collect();
        files.sort();
        if files.len() < wanted {
            let found = files.len();
            return Err(Exit::usage(format!(
                "{}: expected at least {wanted} pictures ({} to warm up), found {found}",
                folder.display(),
                super::WARM_UP
            ))
            .help("ask for fewer with --frames and --single"));
        }
        files.truncate(wanted);
        Ok(Frames { folder, files, drawn: false })
    }

    /// The first `wanted` frames of a scene camera whose scenes change with every frame, as files that all variants read.
    pub fn draw(wanted: usize) -> Result<Frames, Exit> {
        let options = SceneOptions {
            motion: SceneMotion::Still,
            events: SceneEvents::Scenes,
            event_every: 1,
            ..SceneOptions::default()
        };
        let mut camera = SceneCamera::new(options).map_err(Exit::failed)?;
        let folder = std::env::temp_dir().join(format!("nanomind-frames-{}", std::process::id()));
        let unwritable = |error| Exit::failed(format!("cannot write {}: {error}", folder.display()));
        fs::create_dir_all(&folder).map_err(unwritable)?;
        let mut frames = Frames { folder: folder.clone(), files: Vec::new(), drawn: true };
        for at in 0..wanted {
            let frame = camera.frame().map_err(Exit::failed)?;
            let file = folder.join(format!("scene-{at:05}.bmp"));
            fs::write(&file, bitmap(frame.width, frame.height, frame.pixels.bytes())).map_err(unwritable)?;
            frames.files.push(file);
        }
        Ok(frames)
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All of them, in order.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        if self.drawn {
            // What stays behind in the folder for such files harms nobody.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A BMP file of RGB pixels, `[height, width, 3]`: 24 bits a pixel, rows from the bottom, each filled up to four bytes.
fn bitmap(width: u32, height: u32, rgb: &[u8]) -> Vec<u8> {
    const HEADERS: u32 = 54;
    let row = (width as usize * 3).next_multiple_of(4);
    let size = HEADERS + (row * height as usize) as u32;
    let mut bytes = b"BM".to_vec();
    // The file's size, nothing, where the pixels begin; the second header's size, width, height.
    bytes.extend([size, 0, HEADERS, 40, width, height].into_iter().flat_map(u32::to_le_bytes));
    // One plane of 24 bits; not compressed, and nothing to say about the rest.
    bytes.extend([1u16, 24].into_iter().flat_map(u16::to_le_bytes));
    bytes.extend([0u8; 24]);
    for pixels in rgb.chunks_exact(width as usize * 3).rev() {
        let start = bytes.len();
        bytes.extend(pixels.chunks_exact(3).flat_map(|rgb| [rgb[2], rgb[1], rgb[0]]));
        bytes.resize(start + row, 0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use nanomind::bricks::vision::{Picture, PictureLimits};

    use super::*;

    #[test]
    fn a_bitmap_is_read_again_as_the_pixels_that_it_was_made_of() {
        let rgb: Vec<u8> = (0..5 * 3 * 3).map(|byte| byte as u8 * 5).collect();
        let picture = Picture::decode("x.bmp", &bitmap(5, 3, &rgb), &PictureLimits::default()).expect("a picture");
        assert_eq!((picture.width(), picture.height(), picture.rgb()), (5, 3, &rgb[..]));
    }

    #[test]
    fn drawn_frames_are_all_different_and_go_when_the_run_is_over() {
        let frames = Frames::draw(6).expect("six frames");
        let mut contents: Vec<Vec<u8>> = frames.files().iter().map(|file| fs::read(file).expect("a file")).collect();
        contents.sort();
        contents.dedup();
        assert_eq!(contents.len(), 6);
        let folder = frames.folder().to_owned();
        assert_eq!(Frames::of_folder(&folder, 6).expect("the same").files(), frames.files());
        drop(frames);
        assert!(!folder.exists());
    }
}
