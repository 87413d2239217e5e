"""Stripe's and Razorpay's own Python SDKs against a running engine: what they sign it believes, what it signs they
believe, and what one of them refuses the other refuses, too."""

import hashlib
import hmac
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import razorpay
import stripe

weir, public, stripe_path, razorpay_path, secret, stripe_sample, razorpay_sample = sys.argv[1:]
# Of one run: another event, another order.
mark = hashlib.sha256(stripe_path.encode()).hexdigest()[:12]


def post(path, body, headers):
    request = urllib.request.Request(public + path, data=body.encode(), headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


def signed_by_weir(provider, body):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(body)
        file.flush()
        command = [weir, "hooks", "sign", "--provider", provider, "--secret", secret, file.name]
        lines = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
    return dict(line.split(": ", 1) for line in lines)


def stripe_believes(body, header):
    try:
        return stripe.Webhook.construct_event(body, header, secret) is not None
    except stripe.SignatureVerificationError:
        return False


def razorpay_believes(body, header):
    client = razorpay.Client(auth=("key", "secret"))
    try:
        return client.utility.verify_webhook_signature(body, header, secret) in (True, None)
    except razorpay.errors.SignatureVerificationError:
        return False


def unique(value):
    """The sample with other names of event, session, payment and order."""
    if isinstance(value, dict):
        return {name: unique(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [unique(inner) for inner in value]
    if isinstance(value, str) and value.startswith(("evt_", "cs_", "pi_", "pay_", "order_")):
        return value + mark
    return value


with open(stripe_sample, encoding="utf-8") as file:
    body = json.dumps(unique(json.load(file)))
now = int(time.time())
digest = stripe.WebhookSignature._compute_signature(f"{now}.{body}", secret)
header = f"t={now},v1={digest}"
assert stripe_believes(body, header)
assert post(stripe_path, body, {"Stripe-Signature": header}) == 200
old = now - 301
digest = stripe.WebhookSignature._compute_signature(f"{old}.{body}", secret)
stale = f"t={old},v1={digest}"
for wrong, text in ((header, body + " "), (header.replace("v1=", "v0="), body), (stale, body)):
    assert not stripe_believes(text, wrong), wrong
    assert post(stripe_path, text, {"Stripe-Signature": wrong}) == 401, wrong
ours = signed_by_weir("stripe", body)["stripe-signature"]
assert stripe_believes(body, ours)
assert post(stripe_path, body, {"Stripe-Signature": ours}) == 200, "a repeat"

with open(razorpay_sample, encoding="utf-8") as file:
    body = json.dumps(unique(json.load(file)))
header = hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()
assert razorpay_believes(body, header)
assert post(razorpay_path, body, {"X-Razorpay-Signature": header}) == 200
for wrong, text in ((header, body + " "), (header[:-1] + ("0" if header[-1] != "0" else "1"), body), ("", body)):
    assert not razorpay_believes(text, wrong), wrong
    assert post(razorpay_path, text, {"X-Razorpay-Signature": wrong}) == 401, wrong
ours = signed_by_weir("razorpay", body)["x-razorpay-signature"]
assert razorpay_believes(body, ours) and ours == header
assert post(razorpay_path, body, {"X-Razorpay-Signature": ours}) == 200, "a repeat"
print("passed")
