//! Watches a folder: waits, without looking again and again, until something happens in it.

use std::ffi::OsString;
use std::io;
use std::path::Path;

/// What a folder is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFor {
    /// Files that are written into it or moved there.
    Files,
    /// Devices that show up, and who may use them. Writing to a device is nothing that happens in its folder.
    Devices,
}

/// What happened in a watched folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderChange {
    /// A name has appeared; a file under it may still be written.
    Made(OsString),
    /// A file was closed by whoever wrote it, or moved in whole.
    Written(OsString),
    /// Who may use it has changed.
    Granted(OsString),
    /// More happened than the system kept: the folder must be looked at anew.
    Missed,
    /// The folder itself is gone; nothing will happen in it any more.
    Gone,
}

#[cfg(all(target_os = "linux", not(loom)))]
mod inotify {
    //! What the kernel tells through inotify.

    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use rustix::fs::inotify::{CreateFlags, ReadFlags, WatchFlags, add_watch, init};
    use tokio::net::unix::pipe::Receiver;

    use super::*;

    /// Bytes of an event before its name: watch, what happened, cookie, length of the name; four each.
    const HEAD: usize = 16;

    /// A folder that is watched from its making on.
    #[derive(Debug)]
    pub struct FolderWatch {
        /// No pipe, but to tokio it is alike: bytes come, and it says when.
        events: Receiver,
    }

    impl FolderWatch {
        /// Watches `folder` for what concerns `what`. Must be called inside a tokio runtime with its I/O driver on.
        ///
        /// # Errors
        /// When there is no such folder, or the system watches as many as it can already.
        pub fn new(folder: &Path, what: WatchFor) -> io::Result<FolderWatch> {
            let events = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
            let within = WatchFlags::CREATE | WatchFlags::MOVED_TO;
            let within = match what {
                WatchFor::Files => within | WatchFlags::CLOSE_WRITE,
                WatchFor::Devices => within | WatchFlags::ATTRIB,
            };
            let itself = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR;
            add_watch(&events, folder, within | itself)?;
            Ok(FolderWatch { events: Receiver::from_owned_fd_unchecked(events)? })
        }

        /// Waits until something happens; at least one change. Abandoning the wait loses none.
        pub async fn changes(&mut self) -> io::Result<Vec<FolderChange>> {
            // Room for some events with the longest names.
            let mut buffer = [0; 4096];
            loop {
                self.events.readable().await?;
                let changes = match self.events.try_read(&mut buffer) {
                    Ok(filled) => told(&buffer[..filled]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    Err(error) => return Err(error),
                };
                if !changes.is_empty() {
                    return Ok(changes);
                }
            }
        }
    }

    /// The changes among the events that the kernel has written, one after another.
    fn told(mut events: &[u8]) -> Vec<FolderChange> {
        let mut changes = Vec::new();
        while let Some((head, rest)) = events.split_first_chunk::<HEAD>() {
            let field = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
            let happened = ReadFlags::from_bits_retain(field(4));
            let (name, following) = rest.split_at(rest.len().min(field(12) as usize));
            // The name is padded with zeros.
            let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
            changes.extend(change(happened, OsStr::from_bytes(name).to_owned()));
            events = following;
        }
        changes
    }

    fn change(happened: ReadFlags, name: OsString) -> Option<FolderChange> {
        if happened.contains(ReadFlags::QUEUE_OVERFLOW) {
            Some(FolderChange::Missed)
        } else if happened.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::IGNORED) {
            Some(FolderChange::Gone)
        } else if name.is_empty() {
            // Of the folder itself.
            None
        } else if happened.intersects(ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_TO) {
            Some(FolderChange::Written(name))
        } else if happened.contains(ReadFlags::CREATE) {
            Some(FolderChange::Made(name))
        } else if happened.contains(ReadFlags::ATTRIB) {
            Some(FolderChange::Granted(name))
        } else {
            None
        }
    }
}

#[cfg(not(all(target_os = "linux", not(loom))))]
mod elsewhere {
    //! Where nothing is told.

    use super::*;

    /// A folder that cannot be watched on this system.
    #[derive(Debug)]
    pub struct FolderWatch(std::convert::Infallible);

    impl FolderWatch {
        /// Fails: folders are watched on Linux only so far.
        pub fn new(_: &Path, _: WatchFor) -> io::Result<FolderWatch> {
            Err(io::Error::new(io::ErrorKind::Unsupported, "folders are watched on Linux only so far"))
        }

        /// Never called: there is no watch.
        pub async fn changes(&mut self) -> io::Result<Vec<FolderChange>> {
            match self.0 {}
        }
    }
}

#[cfg(not(all(target_os = "linux", not(loom))))]
pub use elsewhere::FolderWatch;
#[cfg(all(target_os = "linux", not(loom)))]
pub use inotify::FolderWatch;

#[cfg(all(test, target_os = "linux", not(loom)))]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;

    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
    }

    /// Everything told until `last` is.
    async fn until(watch: &mut FolderWatch, last: FolderChange) -> Vec<FolderChange> {
        let mut told = Vec::new();
        while !told.contains(&last) {
            told.extend(watch.changes().await.expect("changes"));
        }
        told
    }

    #[test]
    fn a_file_is_told_when_it_is_made_and_again_when_it_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let (made, written) = (FolderChange::Made("a.png".into()), FolderChange::Written("a.png".into()));
        run(async {
            let mut watch = FolderWatch::new(folder.path(), WatchFor::Files).expect("a watch");
            let mut file = File::create(folder.path().join("a.png")).expect("a file");
            file.write_all(b"half").expect("to write");
            assert_eq!(watch.changes().await.expect("changes"), [made]);
            drop(file);
            assert_eq!(watch.changes().await.expect("changes"), [written]);
        });
    }

    #[test]
    fn a_file_that_is_moved_in_is_told_and_so_is_the_end_of_the_folder() {
        let (folder, elsewhere) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("another"));
        run(async {
            let mut watch = FolderWatch::new(folder.path(), WatchFor::Files).expect("a watch");
            fs::write(elsewhere.path().join("b.png"), "whole").expect("a file");
            fs::rename(elsewhere.path().join("b.png"), folder.path().join("c.png")).expect("to move it");
            let told = until(&mut watch, FolderChange::Written("c.png".into())).await;
            assert_eq!(told, [FolderChange::Written("c.png".into())]);
            fs::remove_file(folder.path().join("c.png")).expect("to remove it");
            fs::remove_dir(folder.path()).expect("to remove the folder");
            until(&mut watch, FolderChange::Gone).await;
        });
    }

    #[test]
    fn a_device_is_told_when_it_shows_up_and_when_it_is_opened_to_more_but_not_when_it_is_written_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("video0");
        let (made, granted) = (FolderChange::Made("video0".into()), FolderChange::Granted("video0".into()));
        run(async {
            let mut watch = FolderWatch::new(folder.path(), WatchFor::Devices).expect("a watch");
            fs::write(&path, "").expect("a file");
            fs::write(&path, "and more").expect("to write");
            let mut permissions = fs::metadata(&path).expect("a file").permissions();
            permissions.set_readonly(true);
            fs::set_permissions(&path, permissions).expect("to set them");
            assert_eq!(until(&mut watch, granted.clone()).await, [made, granted]);
        });
    }

    #[test]
    fn what_is_no_folder_cannot_be_watched() {
        run(async {
            let error = FolderWatch::new(Path::new("/nowhere/at/all"), WatchFor::Files).expect_err("an error");
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        });
    }
}
