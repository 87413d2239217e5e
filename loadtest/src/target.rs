//! The engine under load: where it listens and the key that opens it.

use std::net::SocketAddr;
use std::path::Path;

use serde::Deserialize;

/// Addresses and key.
#[derive(Debug, Clone, Deserialize)]
pub struct Target {
    /// The public listener.
    pub public: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
    /// An admin key.
    #[serde(rename = "operator_key")]
    pub key: String,
}

/// Why the load test cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No engine runs where it should: start it with `make run`.
    #[error("cannot read {path}: {source}. Is the engine running? Start it with `make run`")]
    NoEngine {
        /// The run file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The target is not on this machine; load goes to loopback only.
    #[error("{0} is not a loopback address; load goes to this machine only")]
    NotLoopback(SocketAddr),
    /// A data file is missing or unreadable.
    #[error("{0}")]
    Data(String),
    /// The engine answered something else than the contract says.
    #[error("{what}: expected {expected}, got {got}")]
    Unexpected {
        /// The call.
        what: String,
        /// What the contract says.
        expected: String,
        /// What came.
        got: String,
    },
    /// The connection failed.
    #[error("{0}")]
    Connection(String),
}

impl Target {
    /// Reads the run file that the engine writes into its data directory while it runs.
    pub fn from_run_file(path: &Path) -> Result<Self, LoadError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| LoadError::NoEngine { path: path.display().to_string(), source })?;
        let target: Self = serde_json::from_str(&text)
            .map_err(|error| LoadError::Data(format!("{}: {error}", path.display())))?;
        target.checked()
    }

    /// Refuses targets that are not on this machine.
    pub fn checked(self) -> Result<Self, LoadError> {
        for address in [self.public, self.admin] {
            if !address.ip().is_loopback() {
                return Err(LoadError::NotLoopback(address));
            }
        }
        Ok(self)
    }
}
