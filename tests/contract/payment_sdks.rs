//! Stripe's and Razorpay's own SDKs (PyPI, pinned in `scripts/test-clients`) sign and verify against the real listener.

use std::path::Path;

use serde_json::{Value, json};

use super::python::passes;
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
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("ingest/tests/webhooks");
    passes("payment_sdks.py", "stripe", |command| {
        command
            .arg(env!("CARGO_BIN_EXE_weir"))
            .arg(format!("http://{}", shared.engine.public))
            .args([format!("/hooks/{stripe}"), format!("/hooks/{razorpay}"), SECRET.to_owned()])
            .arg(samples.join("stripe/checkout_session_completed.json"))
            .arg(samples.join("razorpay/payment.captured.json"));
    });
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
