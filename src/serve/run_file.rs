//! `engine.json` in the data folder: where the engine that runs there is reached, and a key that ends with
//! it. The commands of the same program, the demo and the load test find it there.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::Addresses;

/// The name of the file.
pub(crate) const RUN_FILE: &str = "engine.json";

/// The file while the engine runs.
pub(super) struct RunFile(PathBuf);

impl RunFile {
    pub(super) fn write(data: &Path, addresses: &Addresses, operator_key: &str) -> std::io::Result<Self> {
        let path = data.join(RUN_FILE);
        let next = data.join("engine.json.next");
        let _ = fs::remove_file(&next);
        // Readable by the owner alone from the first byte on.
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&next)?;
        let address = |url: &str| url.trim_start_matches("http://").to_owned();
        let content = json!({
            "public": address(&addresses.public_local),
            "admin": address(&addresses.admin_local),
            "operator_key": operator_key,
            "pid": std::process::id(),
        });
        file.write_all(content.to_string().as_bytes())?;
        fs::rename(&next, &path)?;
        Ok(Self(path))
    }
}

impl Drop for RunFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
