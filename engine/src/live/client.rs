//! Clients as the live thread sees them: an outlet of bounded size, and what they watch.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use weir_schemas::live::CloseCode;

use super::{Outgoing, Watcher};

/// Frames that an outlet holds: what a client may be behind before it misses deltas.
pub const OUTLET_FRAMES: usize = 32;
/// Places of an outlet: one is kept for the word that the connection closes, which must not be lost.
pub const OUTLET_PLACES: usize = OUTLET_FRAMES + 1;
/// A client that has taken nothing for this long is closed.
pub(super) const SLOW_MAX: Duration = Duration::from_secs(30);

/// A connected client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub(super) u64);

/// What a client's name for something stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Watching {
    Topic(String),
    Tail,
}

#[derive(Debug)]
pub(super) struct Client {
    pub watcher: Watcher,
    outlet: mpsc::Sender<Outgoing>,
    /// Kept for [`Outgoing::Close`].
    last_word: Option<mpsc::OwnedPermit<Outgoing>>,
    /// By the client's name.
    pub watching: HashMap<String, Watching>,
    /// Since when its outlet has been full.
    full_since: Option<Instant>,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Sent,
    /// The outlet is full: the frame is dropped.
    Missed,
    /// The client is gone, or was given up.
    Gone,
}

impl Client {
    pub(super) fn new(watcher: Watcher, outlet: mpsc::Sender<Outgoing>) -> Self {
        let last_word = outlet.clone().try_reserve_owned().ok();
        Self { watcher, outlet, last_word, watching: HashMap::new(), full_since: None }
    }

    pub(super) fn send(&mut self, frame: Bytes) -> Delivery {
        match self.outlet.try_send(Outgoing::Frame(frame)) {
            Ok(()) => {
                metrics::counter!("weir_live_frames_total").increment(1);
                self.full_since = None;
                Delivery::Sent
            }
            Err(TrySendError::Closed(_)) => Delivery::Gone,
            Err(TrySendError::Full(_)) => {
                let since = *self.full_since.get_or_insert_with(Instant::now);
                metrics::counter!("weir_live_frames_dropped_total", "reason" => "slow_consumer").increment(1);
                if since.elapsed() < SLOW_MAX { Delivery::Missed } else { Delivery::Gone }
            }
        }
    }

    /// Whether there is room for a frame.
    pub(super) fn has_room(&self) -> bool {
        self.outlet.capacity() > 0
    }

    /// Whether it was given up for taking nothing, rather than gone by itself.
    pub(super) fn is_slow(&self) -> bool {
        self.full_since.is_some_and(|since| since.elapsed() >= SLOW_MAX)
    }

    /// Asks the connection to close; only the first such word counts.
    pub(super) fn close(&mut self, code: CloseCode, why: &'static str) {
        if let Some(place) = self.last_word.take() {
            place.send(Outgoing::Close(code, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_schemas::ids::WorkspaceId;

    use super::*;

    #[test]
    fn who_does_not_read_misses_frames_and_holds_no_more_than_its_outlet() {
        // One place is kept for the word that closes.
        let (outlet, mut frames) = mpsc::channel(3);
        let watcher = Watcher { workspace: WorkspaceId(1), partner: None };
        let mut client = Client::new(watcher, outlet);
        let mut send = || client.send(Bytes::from_static(b"{}"));
        assert_eq!([send(), send(), send()], [Delivery::Sent, Delivery::Sent, Delivery::Missed]);
        assert!(!client.has_room());
        assert!(frames.try_recv().is_ok());
        assert!(client.has_room(), "it reads again");
        assert_eq!(client.send(Bytes::from_static(b"{}")), Delivery::Sent);
        drop(frames);
        assert_eq!(client.send(Bytes::from_static(b"{}")), Delivery::Gone);
    }
}
