//! Where the warehouse is. The embedded one moves to another port when it is restarted, so whoever needs a
//! client asks for it each time; it is made anew only when the place has changed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clickhouse::{Client, Compression};

/// A ClickHouse and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `http://host:port`
    pub url: String,
    /// User.
    pub user: String,
    /// Password.
    pub password: String,
    /// Database.
    pub database: String,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("url", &self.url).field("user", &self.user).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Compressing for a way that leads nowhere costs more than what is saved.
    fn compression(&self) -> Compression {
        let authority = self.url.split("//").nth(1).and_then(|rest| rest.split('/').next());
        match authority.map(str::parse::<SocketAddr>) {
            Some(Ok(address)) if address.ip().is_loopback() => Compression::None,
            _ => Compression::Lz4,
        }
    }
}

/// Tells where the warehouse is now; `None` while it is being started.
pub type Locate = Arc<dyn Fn() -> Option<Endpoint> + Send + Sync>;

/// There is no warehouse to ask now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the warehouse is not running (it is being started or restarted)")]
pub struct NotRunning;

/// A way to the warehouse. Clones share it.
#[derive(Clone)]
pub struct Connection {
    locate: Locate,
    made: Arc<Mutex<Option<(Endpoint, Client)>>>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    /// Asks `locate` whenever a client is needed.
    pub fn new(locate: Locate) -> Self {
        Self { locate, made: Arc::default() }
    }

    /// Another way to the same warehouse, with clients of its own. A client's sockets are driven by the
    /// runtime that opened them: one that is not always running (a thread that blocks now and then) must not
    /// share them.
    pub fn separate(&self) -> Self {
        Self::new(Arc::clone(&self.locate))
    }

    /// A client for where the warehouse is now.
    pub fn client(&self) -> Result<Client, NotRunning> {
        let endpoint = (self.locate)().ok_or(NotRunning)?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, client)) = &*made
            && *known == endpoint
        {
            return Ok(client.clone());
        }
        let client = Client::default()
            .with_url(&endpoint.url)
            .with_user(&endpoint.user)
            .with_password(&endpoint.password)
            .with_database(&endpoint.database)
            .with_compression(endpoint.compression())
            .with_product_info("weir", env!("CARGO_PKG_VERSION"));
        *made = Some((endpoint, client.clone()));
        Ok(client)
    }

    /// Waits until the warehouse answers; gives up after `timeout`.
    pub async fn ready(&self, timeout: Duration) -> Result<Client, String> {
        let end = tokio::time::Instant::now() + timeout;
        loop {
            let why = match self.client() {
                Ok(client) => {
                    // Asked outside of the database, which may not exist yet.
                    match client.clone().with_database("default").query("SELECT 1").fetch_one::<u8>().await {
                        Ok(_) => return Ok(client),
                        Err(error) => error.to_string(),
                    }
                }
                Err(error) => error.to_string(),
            };
            if tokio::time::Instant::now() > end {
                return Err(why);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_leaves_the_machine_is_compressed() {
        let by = |url: &str| {
            let [user, password, database] = [const { String::new() }; 3];
            Endpoint { url: url.to_owned(), user, password, database }.compression()
        };
        for here in ["http://127.0.0.1:8123", "http://[::1]:8123/"] {
            assert_eq!(by(here), Compression::None, "{here}");
        }
        for away in ["http://10.0.0.7:8123", "https://db.example.com:8443", "http://db.example.com", ""] {
            assert_eq!(by(away), Compression::Lz4, "{away}");
        }
    }
}
