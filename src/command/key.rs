//! `weir key create|list|revoke`: through the engine that runs on the data folder, else on the folder itself.

use clap::ArgMatches;
use serde_json::{Value, json};
use weir_ingest::commands::NewIds;
use weir_ingest::commands::keys::new_secret;
use weir_schemas::fact::{Fact, Role};
use weir_schemas::ids::{KeyId, WorkspaceId};

use super::running::Running;
use crate::config::Config;
use crate::engine::{Engine, Failure};
use crate::first_start::{first_start, make_key, submit};

pub(super) fn run(matches: &ArgMatches, config: &Config) -> Result<(), Failure> {
    let running = Running::find(&config.data_dir);
    let text =
        |matches: &ArgMatches, name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    match matches.subcommand() {
        Some(("create", matches)) => create(config, running, &text(matches, "name"), &text(matches, "role")),
        Some(("revoke", matches)) => revoke(config, running, &text(matches, "id")),
        _ => list(config, running),
    }
}

fn create(config: &Config, running: Option<Running>, name: &str, role: &str) -> Result<(), Failure> {
    if let Some(running) = running {
        let body = json!({"name": name, "role": role}).to_string();
        let made = running.ask_json("POST", "/v1/keys", Some(&body))?;
        print_made(&made["id"], &made["key"]);
        return Ok(());
    }
    let role: Role = serde_json::from_value(json!(role))?;
    offline(config, async |engine| {
        let ids = NewIds::new(config.node);
        if let Some(first) = first_start(&engine.books, &ids, config.admin_key.as_deref()).await? {
            print_made(&json!(first.id), &json!(first.secret));
        }
        let made = make_key(&engine.books, &ids, name, role, new_secret()).await?;
        print_made(&json!(made.id), &json!(made.secret));
        Ok(())
    })
}

fn print_made(id: &Value, secret: &Value) {
    println!("{}  {}", id.as_str().unwrap_or_default(), secret.as_str().unwrap_or_default());
}

fn revoke(config: &Config, running: Option<Running>, id: &str) -> Result<(), Failure> {
    let id: KeyId = id.parse().map_err(|error| format!("`{id}` is {error}"))?;
    match running {
        Some(running) => drop(running.ask_json("DELETE", &format!("/v1/keys/{id}"), None)?),
        None => offline(config, async |engine| {
            submit(&engine.books, Fact::KeyRevoked { id }).await?;
            Ok(())
        })?,
    }
    println!("{id} is revoked");
    Ok(())
}

fn list(config: &Config, running: Option<Running>) -> Result<(), Failure> {
    let print = |keys: &[Value]| {
        for key in keys {
            let field = |name: &str| key[name].as_str().unwrap_or("").to_owned();
            let state = if key["revoked_at"].is_null() { "" } else { "  revoked" };
            println!("{}  {:7}  {}…  {}{state}", field("id"), field("role"), field("hint"), field("name"));
        }
    };
    if let Some(running) = running {
        let answer = running.ask_json("GET", "/v1/keys?limit=100", None)?;
        print(answer["data"].as_array().map_or(&[], Vec::as_slice));
        return Ok(());
    }
    offline(config, async |engine| {
        let keys = engine.books.reads().keys(WorkspaceId::FIRST)?;
        print(&keys.iter().map(|key| json!(key)).collect::<Vec<_>>());
        Ok(())
    })
}

/// Works on the data folder while no engine has it.
fn offline(config: &Config, work: impl AsyncFnOnce(&Engine) -> Result<(), Failure>) -> Result<(), Failure> {
    let engine = Engine::start(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(work(&engine));
    engine.stop();
    result
}
