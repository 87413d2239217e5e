//! When the process begins and ends: the data directory's lock, the tie to a parent, the signals.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// How long a child of `weir serve` waits for the process before it to let go of the data directory: after
/// the kill of a parent its child lives on for some milliseconds, or as long as a flush to a slow disk takes.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(10);
/// How often it looks.
const LOCK_POLL: Duration = Duration::from_millis(50);
/// The file whose lock stands for the directory. The kernel lets go of it when its holder ends, however it
/// ends.
const LOCK_FILE: &str = "weir.lock";

/// Why the data directory is not ours.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Somebody else has it.
    Held(PathBuf),
    /// The directory or its lock file cannot be made or opened.
    Io(PathBuf, io::Error),
}

/// Creates the directory if need be and locks it, waiting up to `wait`. It stays locked while the file is
/// open.
pub(crate) fn lock(data_dir: &Path, wait: Duration) -> Result<File, LockError> {
    let path = data_dir.join(LOCK_FILE);
    let io = |error: io::Error| LockError::Io(path.clone(), error);
    std::fs::create_dir_all(data_dir).map_err(io)?;
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(io)?;
    let deadline = Instant::now() + wait;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(LOCK_POLL),
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(LockError::Held(data_dir.to_path_buf())),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io(error.into())),
        }
    }
}

/// Ends this process when its parent does: by the kernel's signal where there is one, and in any case by the
/// end of standard input, whose other end only the parent holds. The receiver hears the latter.
///
/// # Errors
/// The kernel refuses the death signal, or no thread can be had.
pub(crate) fn tie_to_parent() -> io::Result<oneshot::Receiver<()>> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let (gone, heard) = oneshot::channel();
    std::thread::Builder::new().name("parent".into()).spawn(move || {
        let mut buffer = [0; 64];
        let mut input = io::stdin().lock();
        // What the parent might write means nothing. An error means as much as the end.
        while input.read(&mut buffer).is_ok_and(|count| count > 0) {}
        let _ = gone.send(());
    })?;
    Ok(heard)
}

/// Resolves when the process has been asked to end: SIGTERM, SIGINT, or the parent's silence.
///
/// # Errors
/// The signals cannot be listened to.
pub(crate) fn asked_to_end(
    parent: Option<oneshot::Receiver<()>>,
) -> io::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let parent_gone = async {
            match parent {
                Some(parent) => {
                    let _ = parent.await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = parent_gone => "the parent closed standard input",
        }
    })
}

/// Ends this process at once and without C++ destructors, which wait for threads that do not end.
pub(crate) fn end_at_once() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("not/yet/there");
        let first = lock(&inner, Duration::ZERO).unwrap();
        assert!(matches!(lock(&inner, Duration::ZERO), Err(LockError::Held(held)) if held == inner));
        let waiting = std::thread::spawn({
            let inner = inner.clone();
            move || lock(&inner, Duration::from_secs(30)).is_ok()
        });
        drop(first);
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let refused = lock(&dir.path().join("file/below"), Duration::ZERO).unwrap_err();
        assert!(matches!(refused, LockError::Io(path, _) if path.ends_with("file/below/weir.lock")));
    }
}
