//! The `clickhouse` crate, as the engine uses it.

use clickhouse::Row;
use clickhouse::error::Error;
use serde::{Deserialize, Serialize};

use crate::server::Server;

#[derive(Row, Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Hit {
    seq: u64,
    slug: String,
    country: Option<String>,
    amount: i64,
    tags: Vec<String>,
}

fn hit(seq: u64) -> Hit {
    Hit {
        seq,
        slug: format!("s\n\n{seq}"),
        country: (!seq.is_multiple_of(3)).then(|| "DE".to_owned()),
        amount: -(i64::try_from(seq).unwrap()) * 1_000_003,
        tags: vec!["a".into(), "b\0c".into()],
    }
}

const TABLE: &str = "CREATE TABLE hits (seq UInt64, slug String, country Nullable(String), amount Int64,
    tags Array(String)) ENGINE = MergeTree ORDER BY seq";

#[tokio::test]
async fn what_is_inserted_is_selected_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let client = server.client().with_database("weir");
    server.run("CREATE DATABASE weir").await;
    client.query(TABLE).execute().await.unwrap();
    let rows: Vec<Hit> = (0..50_000).map(hit).collect();
    for client in [client.clone(), client.clone().with_compression(clickhouse::Compression::None)] {
        client.query("TRUNCATE TABLE hits").execute().await.unwrap();
        let mut insert = client.insert::<Hit>("hits").await.unwrap();
        for row in &rows {
            insert.write(row).await.unwrap();
        }
        insert.end().await.unwrap();
        let mut cursor = client
            .query("SELECT ?fields FROM hits WHERE seq < {upto:UInt64} ORDER BY seq")
            .param("upto", 40_000)
            .fetch::<Hit>()
            .unwrap();
        let mut expected = rows[..40_000].iter();
        while let Some(row) = cursor.next().await.unwrap() {
            assert_eq!(Some(&row), expected.next());
        }
        assert_eq!(expected.next(), None);
    }
    let total: i64 = client.query("SELECT sum(amount) FROM hits").fetch_one().await.unwrap();
    assert_eq!(total, rows.iter().map(|row| row.amount).sum::<i64>());
}

#[tokio::test]
async fn an_insert_that_is_given_up_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let client = server.client();
    client.query(TABLE).execute().await.unwrap();
    let mut insert = client.insert::<Hit>("hits").await.unwrap();
    for seq in 0..20_000 {
        insert.write(&hit(seq)).await.unwrap();
    }
    // Without `end` the client breaks the transfer off.
    drop(insert);
    // The server has noticed once the insert no longer runs; until then there is nothing to see either.
    let deadline = std::time::Instant::now() + crate::server::PATIENCE;
    let running = "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO%'";
    while client.query(running).fetch_one::<u64>().await.unwrap() > 0 {
        assert!(std::time::Instant::now() < deadline, "the insert goes on");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let count: u64 = client.query("SELECT count() FROM hits").fetch_one().await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn errors_have_clickhouses_words_before_and_after_the_first_rows() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let client = server.client();
    let refused = client.query("SELECT * FROM nowhere").fetch_all::<u64>().await.unwrap_err();
    assert!(matches!(&refused, Error::BadResponse(text) if text.contains("Code: 60.")), "{refused}");
    // The client finds the exception in what it reads at a time: in a compressed answer that is always the
    // whole block. (Without compression it can miss it, and reports the broken transfer instead.)
    let late = "SELECT number + throwIf(number = 5000000, 'too far') AS n FROM numbers(10000000)";
    let mut cursor = client.query(late).fetch::<u64>().unwrap();
    let mut count = 0;
    let failed = loop {
        match cursor.next().await {
            Ok(Some(number)) => {
                assert_eq!(number, count);
                count += 1;
            }
            Ok(None) => panic!("ended well after {count} rows"),
            Err(error) => break error,
        }
    };
    assert!(count > 100_000, "{count}");
    assert!(matches!(&failed, Error::BadResponse(text) if text.contains("too far")), "{failed}");
}
