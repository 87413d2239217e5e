//! Stripe's and Razorpay's own SDKs (PyPI, pinned in `scripts/test-clients`) sign and verify against the real listener.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::engine::output_of;
use super::shared;

const SECRET: &str = "whsec_sdk_0123456789";

#[test]
fn stripes_and_razorpays_sdks_agree_with_us() {
    let shared = shared();
    let made = |provider: &str| {
        let endpoint = json!({"provider": provider, "secrets": [SECRET]});
        let made = shared.post("/v1/webhook-endpoints", endpoint, 201);
        made["id"].as_str().expect("an id").to_owned()
    };
    let (stripe, razorpay) = (made("stripe"), made("razorpay"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages = root.join(".weir/test-clients/python");
    assert!(packages.join("stripe").exists(), "{packages:?} lacks stripe: run `make test-clients`");
    let samples = root.join("ingest/tests/webhooks");
    let mut command = Command::new("python3");
    command
        .arg(root.join("tests/contract/payment_sdks.py"))
        .arg(env!("CARGO_BIN_EXE_weir"))
        .arg(format!("http://{}", shared.engine.public))
        .args([format!("/hooks/{stripe}"), format!("/hooks/{razorpay}"), SECRET.to_owned()])
        .arg(samples.join("stripe/checkout_session_completed.json"))
        .arg(samples.join("razorpay/payment.captured.json"))
        .env("PYTHONPATH", &packages)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let output = output_of(&mut command);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.ends_with("passed\n"),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for id in [stripe, razorpay] {
        let deliveries = shared.get(&format!("/v1/webhook-endpoints/{id}/deliveries"));
        let outcomes: Vec<&Value> = deliveries["data"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|delivery| &delivery["outcome"])
            .collect();
        assert_eq!(outcomes, [&json!("duplicate"), &json!("processed")], "{deliveries}");
    }
}
