//! `docs/providers.md`: every provider's example, click to commission, is run as it stands there and must print what
//! stands there.

use std::path::Path;
use std::process::Command;

use super::engine::{ADMIN_KEY, output_of};
use super::own;

const DOCUMENT: &str = include_str!("../../docs/providers.md");
const PROVIDERS: [&str; 12] = [
    "stripe",
    "razorpay",
    "paddle",
    "lemonsqueezy",
    "shopify",
    "woocommerce",
    "paypal",
    "fondy",
    "gumroad",
    "refersion",
    "standard",
    "generic",
];

/// The last shell block of a section.
fn example(section: &str) -> &'static str {
    let head = format!("\n## {section}\n");
    let text = DOCUMENT.split_once(&head).unwrap_or_else(|| panic!("no section {section}")).1;
    let text = text.split("\n## ").next().expect("a section");
    let block = text.rsplit_once("```sh\n").unwrap_or_else(|| panic!("{section} has no example")).1;
    block.split("```").next().expect("the block ends")
}

#[test]
fn every_providers_example_is_true() {
    let shared = own(|settings| settings);
    let program = Path::new(env!("CARGO_BIN_EXE_weir")).parent().expect("a folder");
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let setup = example("From a click to a commission");
    let mut script = format!("set -e\n{setup}");
    for provider in PROVIDERS {
        script += &format!("echo == {provider}\n");
        for line in example(provider).lines() {
            // A warehouse that has much to do may answer from what it has until then.
            let asks = line.starts_with("counted ");
            script += &if asks { format!("until {line}; do sleep 0.2; done\n") } else { format!("{line}\n") };
        }
    }
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(env!("CARGO_MANIFEST_DIR"));
    bash.env("PATH", path).env("KEY", ADMIN_KEY).env("WEIR_DATA_DIR", &shared.engine.data);
    bash.env("WEIR", format!("http://{}", shared.engine.admin));
    bash.env("GO", format!("http://{}", shared.engine.public));
    let output = output_of(&mut bash);
    let (out, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let mut told = out.split("== ").skip(1);
    for provider in PROVIDERS {
        let written: Vec<&str> =
            example(provider).lines().filter_map(|line| line.strip_prefix("# ")).collect();
        assert_eq!(written.len(), 2, "{provider}: the answer and what it counts for");
        let printed: Vec<&str> = told.next().unwrap_or_default().lines().skip(1).collect();
        assert_eq!(printed, written, "{provider}: {log}");
    }
    assert!(output.status.success(), "{log}");
}
