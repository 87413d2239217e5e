//! Mail, against a server that speaks SMTP: who is told of what, and that a server that fails holds nothing up.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::json;

use super::conversions::sale;
use super::engine::text_of;
use super::programs::{partner, program};
use super::{fresh, own};

const PATIENCE: Duration = Duration::from_secs(60);

/// A mail server for the length of a test: what it was told, one text for each letter. It refuses `refused@…`.
fn server() -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (letters, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let letters = letters.clone();
            std::thread::spawn(move || converse(stream, &letters));
        }
    });
    (port, received)
}

fn converse(stream: std::net::TcpStream, letters: &std::sync::mpsc::Sender<String>) {
    let mut out = stream.try_clone().expect("a socket");
    let mut say = |line: &str| out.write_all(format!("{line}\r\n").as_bytes()).is_ok();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    say("220 test");
    let mut told = String::new();
    while let Some(line) = lines.next() {
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" | "HELO" => "250 test",
            "RCPT" if line.contains("refused@") => "550 nobody of that name",
            "DATA" => {
                say("354 go on");
                for line in lines.by_ref().take_while(|line| line != ".") {
                    told.push_str(&line);
                    told.push('\n');
                }
                if letters.send(std::mem::take(&mut told)).is_err() {
                    return;
                }
                "250 taken"
            }
            "QUIT" => "221 bye",
            _ => "250 well",
        };
        told.push_str(&line);
        told.push('\n');
        if !say(answer) || verb == "QUIT" {
            return;
        }
    }
}

#[test]
fn partners_are_told_by_mail() {
    let (port, letters) = server();
    let shared = own(|settings| {
        settings
            .with("mail.smtp_url", &format!("smtp://127.0.0.1:{port}"))
            .with("mail.from", "Weir <weir@shop.example>")
            .with("mail.operator", "boss@shop.example")
    });
    let milestones = json!([{"name": "First", "target": {"orders": 1}},
        {"name": "All", "scope": "program", "target": {"orders": 1}}]);
    let program = program(&shared, json!({"milestones": milestones}));
    let refused = json!({"program_id": program, "email": "refused@shop.example", "status": "pending"});
    let (id, _) = partner(&shared, refused);
    shared.engine.call("PATCH", &format!("/v1/partners/{id}"), Some(&json!({"status": "approved"})), 200);
    let pending = json!({"program_id": program, "email": "ada@shop.example", "status": "pending"});
    let (id, code) = partner(&shared, pending);
    shared.engine.call("PATCH", &format!("/v1/partners/{id}"), Some(&json!({"status": "approved"})), 200);
    sale(&shared, &fresh("order"), 10_000, json!({"partner_code": code}));
    let batch = shared.post("/v1/payouts", json!({"partner_id": id}), 201);
    let payout = text_of(&batch["data"][0]["id"]);
    shared.post(&format!("/v1/payouts/{payout}/paid"), json!({}), 200);
    let end = Instant::now() + PATIENCE;
    let mut told = Vec::new();
    while told.len() < 4 {
        let left = end.saturating_duration_since(Instant::now());
        told.push(letters.recv_timeout(left).unwrap_or_else(|_| panic!("only these came: {told:#?}")));
    }
    let letter = |words: &str| {
        told.iter().find(|letter| letter.contains(words)).unwrap_or_else(|| panic!("{words}: {told:#?}"))
    };
    assert!(letter("Subject: You are approved").contains("To: ada@shop.example"), "{told:#?}");
    assert!(
        letter("Subject: Milestone reached: First").contains("From: Weir <weir@shop.example>"),
        "{told:#?}"
    );
    assert!(letter("Subject: Milestone reached: All").contains("To: boss@shop.example"), "{told:#?}");
    assert!(letter("Subject: Payout of 10.00 EUR").contains(&payout), "{told:#?}");
    let metrics = || shared.engine.api("GET", "/metrics", None).text();
    while !metrics().contains("weir_mail_dropped_total{reason=\"refused\"} 1") {
        assert!(Instant::now() < end, "a refused letter is counted: {}", metrics());
        std::thread::sleep(Duration::from_millis(50));
    }
}
