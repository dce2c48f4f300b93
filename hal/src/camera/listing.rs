//! The cameras that the kernel shows, and which of them a graph means.

use std::fs;
use std::path::{Path, PathBuf};

use super::CameraError;

/// A video device that carries a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedCamera {
    /// Its device file: `/dev/video0`.
    pub device: PathBuf,
    /// What its driver calls it: `HD Webcam`.
    pub label: String,
}

impl std::fmt::Display for ListedCamera {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.device.display(), self.label)
    }
}

/// The cameras of the machine whose file system is at `root` (`/`, but for tests), in the order of their numbers. Reads
/// only; opens no device.
pub fn cameras(root: &Path) -> Vec<ListedCamera> {
    let folder = root.join("sys/class/video4linux");
    let line = |path: PathBuf| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let listed = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let number: u32 = name.strip_prefix("video")?.parse().ok()?;
        // A camera has several nodes; the first carries the picture, the others its metadata.
        let first = line(entry.path().join("index")).is_none_or(|index| index == "0");
        let label = line(entry.path().join("name")).filter(|label| !label.is_empty());
        let label = label.unwrap_or_else(|| "camera".to_owned());
        first.then(|| (number, ListedCamera { device: root.join("dev").join(name), label }))
    };
    let mut found: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().filter_map(listed).collect();
    found.sort_by_key(|(number, _)| *number);
    found.into_iter().map(|(_, camera)| camera).collect()
}

/// The camera that `wanted` means: a device file, a label or a part of one (capitals do not matter), or, if empty, the
/// first there is.
pub(super) fn find(root: &Path, wanted: &str) -> Result<ListedCamera, CameraError> {
    let cameras = cameras(root);
    let found = if wanted.is_empty() {
        cameras.first().cloned()
    } else if wanted.starts_with('/') {
        let device = root.join(wanted.trim_start_matches('/'));
        let label = cameras.iter().find(|camera| camera.device == device).map(|camera| camera.label.clone());
        // What the kernel does not list may still be a link to what it does, or a device handed into a container.
        device.exists().then(|| ListedCamera { device, label: label.unwrap_or_else(|| "camera".to_owned()) })
    } else {
        let wanted = wanted.to_lowercase();
        let by = |fits: fn(&str, &str) -> bool| {
            cameras.iter().find(|camera| fits(&camera.label.to_lowercase(), &wanted)).cloned()
        };
        by(|label, wanted| label == wanted).or_else(|| by(|label, wanted| label.contains(wanted)))
    };
    found.ok_or_else(|| {
        let list: Vec<String> = cameras.iter().map(ToString::to_string).collect();
        CameraError::NotFound {
            wanted: if wanted.is_empty() { "of any kind".to_owned() } else { format!("`{wanted}`") },
            found: if list.is_empty() { "no camera at all".to_owned() } else { list.join(", ") },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with a webcam of two nodes, and a second camera whose number comes later in order but not in letters.
    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        let file = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        for (node, index, label) in
            [("video10", "0", "Depth"), ("video2", "0", "HD Webcam"), ("video3", "1", "HD Webcam")]
        {
            file(&format!("sys/class/video4linux/{node}/name"), label);
            file(&format!("sys/class/video4linux/{node}/index"), index);
            file(&format!("dev/{node}"), "");
        }
        file("sys/class/video4linux/v4l-subdev0/name", "a sensor's insides");
        root
    }

    #[test]
    fn cameras_are_listed_by_number_each_once() {
        let root = machine();
        let labels: Vec<String> = cameras(root.path()).into_iter().map(|camera| camera.label).collect();
        assert_eq!(labels, ["HD Webcam", "Depth"]);
    }

    #[test]
    fn a_camera_is_found_by_file_by_label_by_part_of_it_or_as_the_first() {
        let root = machine();
        let device = |wanted: &str| {
            let found = find(root.path(), wanted).unwrap_or_else(|error| panic!("{error}"));
            found.device.strip_prefix(root.path()).expect("a path on it").display().to_string()
        };
        assert_eq!(device(""), "dev/video2");
        assert_eq!(device("/dev/video10"), "dev/video10");
        assert_eq!(device("/dev/video3"), "dev/video3");
        assert_eq!(device("hd webcam"), "dev/video2");
        assert_eq!(device("depth"), "dev/video10");
        assert_eq!(device("Web"), "dev/video2");
    }

    #[test]
    fn a_camera_that_is_not_there_is_told_with_those_that_are() {
        let root = machine();
        let error = find(root.path(), "/dev/video7").expect_err("an error").to_string();
        let told = error.replace(&root.path().display().to_string(), "");
        let list = "/dev/video2 (HD Webcam), /dev/video10 (Depth)";
        assert_eq!(told, format!("camera `/dev/video7`: no such device; found {list}"));
        let none = find(Path::new("/nowhere"), "").expect_err("an error").to_string();
        assert_eq!(none, "camera of any kind: no such device; found no camera at all");
    }
}
