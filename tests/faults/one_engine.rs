//! One engine per data folder.

use crate::engine::{Settings, exited_with, output_of, run};

#[test]
fn the_second_engine_on_a_data_folder_refuses_and_names_the_first() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings::new(data.path());
    let first = settings.start();
    first.make_link("mine");
    let second = output_of(&mut settings.command());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(exited_with(second.status, 1), "{:?}: {said}", second.status);
    assert!(said.contains(&format!("process {}", first.pid())), "{said}");
    assert!(second.stdout.is_empty(), "it must not say that it is ready");
    // The first one is none the worse.
    assert_eq!(first.click("mine").status, 302);
    // What is rebuilt offline is refused as well.
    let (status, _, said) = run(data.path(), &["replay", "books"]);
    assert!(exited_with(status, 1) && said.contains(&format!("process {}", first.pid())), "{status}: {said}");
    first.kill();
    // A dead engine's lock is nobody's.
    let third = settings.start();
    assert_eq!(third.click("mine").status, 302);
}
