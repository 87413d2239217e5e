//! Test programs in Python, with the packages (PyPI, pinned in `scripts/test-clients`) of which they are a part.

use std::path::Path;
use std::process::Command;

use super::engine::output_of;

/// Runs a program of this folder that says `passed` at its end; `give` adds its arguments.
#[track_caller]
pub(crate) fn passes(program: &str, package: &str, give: impl FnOnce(&mut Command)) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages = root.join(".weir/test-clients/python");
    assert!(packages.join(package).exists(), "{packages:?} lacks {package}: run `make test-clients`");
    let mut command = Command::new("python3");
    command.arg(root.join("tests/contract").join(program));
    give(&mut command);
    let output = output_of(command.env("PYTHONPATH", &packages).env("PYTHONDONTWRITEBYTECODE", "1"));
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.ends_with("passed\n"),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
