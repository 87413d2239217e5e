//! Statuses, headers, parameters and encodings, by plain HTTP.

use std::io::Read as _;

use crate::server::Server;

#[tokio::test]
async fn failures_have_clickhouses_statuses_and_codes() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.run("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a").await;
    for (target, body, status, code) in [
        ("/", "SELEC 1", 400, "62"),
        ("/", "SELECT 1; SELECT 2", 400, "62"),
        ("/", "SELECT nothing FROM t", 404, "47"),
        ("/", "SELECT * FROM missing", 404, "60"),
        ("/", "SELECT * FROM missing.t", 404, "81"),
        ("/", "SELECT 1 INTO OUTFILE '/tmp/x'", 500, "344"),
        ("/", "SELECT throwIf(1)", 500, "395"),
        ("/", "INSERT INTO t FORMAT TSV\nx\n", 400, "27"),
        ("/", "INSERT INTO t VALUES (300", 400, "62"),
        ("/?no_such_setting=1", "SELECT 1", 404, "115"),
        ("/?compress=perhaps", "SELECT 1", 500, "408"),
        ("/?user=default&password=wrong", "SELECT 1", 200, ""),
    ] {
        let request = server.request("POST", target).body(body.as_bytes().to_vec()).unwrap();
        let (parts, read) = server.send(request).await;
        let text = String::from_utf8(read.unwrap()).unwrap();
        assert_eq!(parts.status, status, "{target} {body}: {text}");
        let told = parts.headers.get("x-clickhouse-exception-code").map(|value| value.to_str().unwrap());
        assert_eq!(told.unwrap_or_default(), code, "{target} {body}: {text}");
        if status != 200 {
            assert!(text.starts_with(&format!("Code: {code}. DB::Exception: ")), "{text}");
            assert!(text.contains(" (version 26."), "{text}");
        }
    }
    let mut wrong = server.request("POST", "/").body(b"SELECT 1".to_vec()).unwrap();
    wrong.headers_mut().insert("x-clickhouse-key", "wrong".parse().unwrap());
    assert_eq!(server.send(wrong).await.0.status, 403);
    let mut lost = server.request("GET", "/nowhere").body(Vec::new()).unwrap();
    lost.headers_mut().remove("x-clickhouse-key");
    assert_eq!(server.send(lost).await.0.status, 404);
    assert_eq!(server.run("SELECT count() FROM t").await, "0\n");
}

#[tokio::test]
async fn a_get_reads_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let get = async |target: &str| {
        let (parts, read) = server.send(server.request("GET", target).body(Vec::new()).unwrap()).await;
        (parts.status.as_u16(), String::from_utf8(read.unwrap()).unwrap())
    };
    assert_eq!(get("/ping").await, (200, "Ok.\n".to_owned()));
    assert_eq!(get("/replicas_status").await, (200, "Ok.\n".to_owned()));
    assert_eq!(get("/").await, (200, "Ok.\n".to_owned()));
    assert_eq!(get("/?query=SELECT%201").await, (200, "1\n".to_owned()));
    assert_eq!(get("/?query=SELECT%201&max_threads=1").await, (200, "1\n".to_owned()));
    server.run("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a").await;
    for statement in
        ["DROP%20TABLE%20t", "INSERT%20INTO%20t%20VALUES%20(1)", "INSERT%20INTO%20t%20SELECT%201"]
    {
        for readonly in ["", "&readonly=0", "&readonly=1"] {
            let (status, text) = get(&format!("/?query={statement}{readonly}")).await;
            assert!(status == 500 && text.starts_with("Code: 164."), "{statement}{readonly}: {text}");
        }
    }
    assert_eq!(server.run("SELECT count() FROM t").await, "0\n");
}

#[tokio::test]
async fn parameters_settings_database_and_format_belong_to_their_request() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.run("CREATE DATABASE other").await;
    server.run("CREATE TABLE other.t (a UInt8, s String) ENGINE = MergeTree ORDER BY a").await;
    let insert = "database=other&query=INSERT+INTO+t+FORMAT+JSONEachRow";
    let (status, text) = server.post(insert, "{\"a\":1,\"s\":\"x\\n\\ny\"}\n\n{\"a\":2,\"s\":\"'\"}").await;
    assert_eq!(status, 200, "{text}");
    server.run("INSERT INTO other.t (s, a) VALUES ('v', 3), (concat('v', 'w'), 4)").await;
    let select = "database=other&default_format=JSONCompactEachRow&param_s=x%5Cn%5Cny&param_n=2";
    let (_, text) =
        server.post(select, "SELECT a, s FROM t WHERE s = {s:String} OR a = {n:UInt8} ORDER BY a").await;
    assert_eq!(text, "[1, \"x\\n\\ny\"]\n[2, \"'\"]\n");
    let (_, text) = server.post("max_threads=3", "SELECT getSetting('max_threads')").await;
    assert_eq!(text, "3\n");
    assert_ne!(server.run("SELECT getSetting('max_threads')").await, "3\n");
    assert_eq!(server.run("SELECT currentDatabase()").await, "default\n");
    assert_eq!(server.run("SELECT a FROM other.t WHERE s = 'vw' FORMAT CSV").await, "4\n");
}

#[tokio::test]
async fn headers_describe_the_answer() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let request =
        server.request("POST", "/?query_id=mine").body(b"SELECT 1 AS a FORMAT JSON".to_vec()).unwrap();
    let (parts, read) = server.send(request).await;
    let header = |name: &str| parts.headers.get(name).unwrap().to_str().unwrap();
    assert_eq!(header("x-clickhouse-query-id"), "mine");
    assert_eq!(header("x-clickhouse-format"), "JSON");
    assert_eq!(header("content-type"), "application/json; charset=UTF-8");
    let summary: serde_json::Value = serde_json::from_str(header("x-clickhouse-summary")).unwrap();
    assert_eq!(summary["result_rows"], "1");
    let body: serde_json::Value = serde_json::from_slice(&read.unwrap()).unwrap();
    assert_eq!(body["rows"], 1);
    server.run("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a").await;
    let request =
        server.request("POST", "/").body(b"INSERT INTO t SELECT number FROM numbers(5)".to_vec()).unwrap();
    let (parts, _) = server.send(request).await;
    let summary = parts.headers.get("x-clickhouse-summary").unwrap().to_str().unwrap();
    let summary: serde_json::Value = serde_json::from_str(summary).unwrap();
    assert_eq!(summary["written_rows"], "5");
}

#[tokio::test]
async fn gzip_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.run("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    let mut zipped = Vec::new();
    let plain: String = (0..100_000).map(|n| format!("{n}\n")).collect();
    flate2::read::GzEncoder::new(plain.as_bytes(), flate2::Compression::fast())
        .read_to_end(&mut zipped)
        .unwrap();
    let insert = |body: &[u8]| {
        let request =
            server.request("POST", "/?query=INSERT+INTO+t+FORMAT+TSV").header("content-encoding", "gzip");
        request.body(body.to_vec()).unwrap()
    };
    let (parts, _) = server.send(insert(&zipped[..zipped.len() / 2])).await;
    assert_ne!(parts.status, 200);
    assert_eq!(server.run("SELECT count() FROM t").await, "0\n", "half a body was taken");
    let (parts, _) = server.send(insert(&zipped)).await;
    assert_eq!(parts.status, 200);
    let select = server
        .request("POST", "/?enable_http_compression=1")
        .header("accept-encoding", "gzip")
        .body(b"SELECT a FROM t ORDER BY a".to_vec())
        .unwrap();
    let (parts, read) = server.send(select).await;
    assert_eq!(parts.headers.get("content-encoding").unwrap(), "gzip");
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(&read.unwrap()[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain);
}

#[tokio::test]
async fn a_late_failure_breaks_the_transfer() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    for _ in 0..5 {
        let late = "SELECT number, throwIf(number = 3000000, 'too far') FROM numbers(10000000)";
        let request = server.request("POST", "/").body(late.as_bytes().to_vec()).unwrap();
        let (parts, read) = server.send(request).await;
        assert_eq!(parts.status, 200);
        let read = read.expect_err("the transfer ended as if all was well");
        let tag = parts.headers.get("x-clickhouse-exception-tag").unwrap().to_str().unwrap();
        let end = String::from_utf8_lossy(&read[read.len() - 1000..]).into_owned();
        assert!(end.contains(&format!("\r\n__exception__\r\n{tag}\r\nCode: 395.")), "{end}");
        assert!(end.ends_with(&format!(" {tag}\r\n__exception__\r\n")), "{end}");
    }
    // The same held back until the end has its status.
    let soon = "SELECT number, throwIf(number = 300000, 'too far') FROM numbers(1000000)";
    let (status, text) = server.post("wait_end_of_query=1", soon).await;
    assert!(status == 500 && text.starts_with("Code: 395."), "{text}");
}

#[tokio::test]
async fn queries_are_bounded_and_end_with_their_clients() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    // Inserts whose bodies never end take their places and no processor time.
    let mut held = Vec::new();
    for _ in 0..64 {
        use tokio::io::AsyncWriteExt as _;
        let mut socket = tokio::net::TcpStream::connect(&address).await.unwrap();
        let head = "POST /?query=SELECT+1&user=default&password=a+pass%3Aword HTTP/1.1\r\nhost: x\r\n\
                    content-length: 5\r\n\r\n ";
        socket.write_all(head.as_bytes()).await.unwrap();
        held.push(socket);
    }
    let deadline = std::time::Instant::now() + crate::server::PATIENCE;
    loop {
        let (status, text) = server.post("", "SELECT 1").await;
        if status == 503 {
            assert!(text.starts_with("Code: 202."), "{text}");
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the 65th query is still taken");
    }
    drop(held);
    while server.post("", "SELECT 1").await.0 != 200 {
        assert!(std::time::Instant::now() < deadline, "places of clients that left are not given back");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // A query without output notices its client's end by being stopped.
    let endless = "SELECT max(number) AS endless FROM system.numbers";
    let request = server.request("POST", "/").body(endless.as_bytes().to_vec()).unwrap();
    let asked = tokio::time::timeout(std::time::Duration::from_millis(300), server.send(request)).await;
    assert!(asked.is_err(), "an endless query ended");
    let running = "SELECT count() FROM system.processes WHERE query LIKE '%endless%' \
                   AND query NOT LIKE '%processes%'";
    while server.run(running).await != "0\n" {
        assert!(std::time::Instant::now() < deadline, "an abandoned query runs on");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
