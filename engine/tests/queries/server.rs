//! A real ClickHouse for these tests: this test's own executable, started again to be the child.

use std::io::{BufRead as _, BufReader, Lines};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use clickhouse::Client;
use weir_embedded::{ServeOptions, serve};
use weir_engine::warehouse::migrate;

const DATA_DIR: &str = "WEIR_TEST_CLICKHOUSE_DIR";
pub(crate) const PASSWORD: &str = "secret";

pub(crate) struct Server {
    child: Child,
    url: String,
    /// Kept open: the child's test harness speaks up after a minute, and would end at a closed pipe.
    _stdout: Lines<BufReader<ChildStdout>>,
    _data_dir: tempfile::TempDir,
}

fn libchdb() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = std::env::var_os("WEIR_LIBCHDB")
        .map_or_else(|| repository.join(".weir/libchdb-26.7.3/libchdb.so"), PathBuf::from);
    assert!(path.is_file(), "{} is missing: run `make libchdb`", path.display());
    path
}

/// Not a test of its own: what [`Server::start`] runs.
#[test]
#[ignore = "the ClickHouse of the other tests"]
fn clickhouse_child() {
    let Some(data_dir) = std::env::var_os(DATA_DIR) else { return };
    let options = ServeOptions {
        libchdb: libchdb(),
        data_dir: data_dir.into(),
        addr: SocketAddr::from(([127, 0, 0, 1], 0)),
        password: PASSWORD.to_owned(),
        tied: true,
    };
    serve(options).unwrap();
}

impl Server {
    pub(crate) fn start() -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "server::clickhouse_child", "--ignored", "--nocapture"])
            .env(DATA_DIR, data_dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The test harness may print in front of the ready line, even on the same line.
        let url = lines
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| Some(line.split_once(r#"{"clickhouse":""#)?.1.split_once('"')?.0.to_owned()))
            .expect("the child becomes ready");
        Self { child, url, _stdout: lines, _data_dir: data_dir }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn client(&self) -> Client {
        let client = Client::default().with_url(self.url()).with_user("default");
        client.with_password(PASSWORD).with_database("weir")
    }

    /// With the schema up.
    pub(crate) async fn migrated(&self) -> Client {
        let client = self.client();
        migrate::up(&client).await.unwrap();
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
