//! Passwords of links: Argon2id, as PHC strings that carry their parameters and salt. What callers set is hashed
//! before it is journaled; nothing keeps or answers it in clear.
//!
//! A hash takes memory and some tens of milliseconds on purpose, so it runs on the pool for blocking work and only a
//! few at once.

use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::commands::off_the_sockets;

/// Longest password, in bytes.
pub const PASSWORD_MAX: usize = 128;
/// OWASP's first choice for Argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1_024;
const PASSES: u32 = 2;
/// Attempts that are verified at once: 38 MiB.
const VERIFYING_MAX: usize = 2;
/// How long an attempt waits for its turn.
const VERIFY_PATIENCE: Duration = Duration::from_secs(5);

/// Visitors do not wait for the hashes of a bulk of links.
static VERIFYING: Semaphore = Semaphore::const_new(VERIFYING_MAX);
static HASHING: Semaphore = Semaphore::const_new(1);

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("the parameters are within Argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash_now(clear: &str) -> String {
    let salt: [u8; 16] = rand::random();
    let hash = argon2().hash_password_with_salt(clear.as_bytes(), &salt);
    hash.expect("salt and password are within Argon2's bounds").to_string()
}

fn verify_now(clear: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| argon2().verify_password(clear.as_bytes(), &hash).is_ok())
}

/// What is kept of a password.
pub(crate) async fn hash(clear: String) -> String {
    let _turn = HASHING.acquire().await.expect("it is never closed");
    off_the_sockets(move || hash_now(&clear)).await
}

/// Whether it is the password; `None` where too many attempts wait.
pub(crate) async fn verify(clear: String, hash: String) -> Option<bool> {
    if clear.len() > PASSWORD_MAX {
        return Some(false);
    }
    let turn = tokio::time::timeout(VERIFY_PATIENCE, VERIFYING.acquire()).await.ok()?;
    let _turn = turn.expect("it is never closed");
    Some(off_the_sockets(move || verify_now(&clear, &hash)).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_opens_with_its_password_alone_and_shows_nothing_of_it() {
        let kept = hash("correct horse".to_owned()).await;
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(!kept.contains("horse"));
        assert_ne!(hash("correct horse".to_owned()).await, kept, "each has a salt of its own");
        let verify = |clear: &str| verify(clear.to_owned(), kept.clone());
        assert_eq!(verify("correct horse").await, Some(true));
        for wrong in ["", "correct hors", "correct horse ", &kept, &"x".repeat(PASSWORD_MAX + 1)] {
            assert_eq!(verify(wrong).await, Some(false), "{wrong}");
        }
        assert_eq!(super::verify("x".to_owned(), "x".to_owned()).await, Some(false), "no hash opens nothing");
    }
}
