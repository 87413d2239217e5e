use super::*;

fn insert(sql: &str) -> (&str, &str, &str) {
    match head(sql) {
        Head::Insert(found) => (found.statement.trim_end(), found.format, &sql[found.data_at..]),
        other => panic!("{sql:?} is {other:?}"),
    }
}

#[test]
fn the_data_of_an_insert_begins_after_its_format() {
    assert_eq!(insert("INSERT INTO t FORMAT CSV\n1,2\n"), ("INSERT INTO t", "CSV", "1,2\n"));
    assert_eq!(insert("insert into t(a, b) format RowBinary"), ("insert into t(a, b)", "RowBinary", ""));
    assert_eq!(insert("INSERT INTO t FORMAT TSV \t\r\n\n\nx"), ("INSERT INTO t", "TSV", "\n\nx"));
    assert_eq!(insert("INSERT INTO t VALUES (1, 'FORMAT')"), ("INSERT INTO t", "Values", " (1, 'FORMAT')"));
    assert_eq!(
        insert(
            "/* FORMAT x */ INSERT -- VALUES\n INTO `format x` SETTINGS a = 'VALUES (' FORMAT JSONEachRow {}"
        ),
        ("/* FORMAT x */ INSERT -- VALUES\n INTO `format x` SETTINGS a = 'VALUES ('", "JSONEachRow", "{}")
    );
    assert_eq!(insert("INSERT INTO values VALUES (1)"), ("INSERT INTO values", "Values", " (1)"));
    assert_eq!(insert("INSERT INTO db.format FORMAT CSV 1"), ("INSERT INTO db.format", "CSV", "1"));
}

#[test]
fn an_insert_without_data_is_not_given_any() {
    assert_eq!(head("INSERT INTO t SELECT 1 FORMAT CSV"), Head::InsertSelect);
    assert_eq!(head("INSERT INTO t (a) WITH x AS (SELECT 1) SELECT * FROM x"), Head::InsertSelect);
    assert_eq!(head("INSERT INTO t (a, b)"), Head::InsertOpen);
    assert_eq!(head("INSERT INTO t FORMAT"), Head::InsertOpen);
    assert_eq!(head("SELECT 1 FORMAT CSV"), Head::Other);
    assert_eq!(head(""), Head::Other);
}

#[test]
fn the_output_clauses_are_found_at_the_end_only() {
    let check = |sql: &str, format: Option<&str>, before: &str, end: &str| {
        let found = output(sql);
        assert_eq!(found.format, format, "{sql}");
        assert_eq!(&sql[..found.destination_at], before, "{sql}");
        assert_eq!(&sql[..found.end], end, "{sql}");
    };
    check("SELECT 1", None, "SELECT 1", "SELECT 1");
    check("SELECT 1 ; -- done", None, "SELECT 1", "SELECT 1");
    check("SELECT 1 FORMAT JSON;", Some("JSON"), "SELECT 1 ", "SELECT 1 FORMAT JSON");
    check("SELECT 1 AS format", None, "SELECT 1 AS format", "SELECT 1 AS format");
    check("SELECT ' FORMAT CSV'", None, "SELECT ' FORMAT CSV'", "SELECT ' FORMAT CSV'");
    check(
        "SELECT (SELECT 1 AS format x)",
        None,
        "SELECT (SELECT 1 AS format x)",
        "SELECT (SELECT 1 AS format x)",
    );
    check(
        "SELECT 1 SETTINGS a=1 FORMAT CSV SETTINGS max_threads=1",
        Some("CSV"),
        "SELECT 1 SETTINGS a=1 ",
        "SELECT 1 SETTINGS a=1 FORMAT CSV SETTINGS max_threads=1",
    );
    check(
        "SELECT $x$ FORMAT ; $x$ FORMAT TSV",
        Some("TSV"),
        "SELECT $x$ FORMAT ; $x$ ",
        "SELECT $x$ FORMAT ; $x$ FORMAT TSV",
    );
    assert!(output("SELECT 1 INTO OUTFILE 'x'").into_outfile);
    assert!(!output("SELECT 'INTO OUTFILE'").into_outfile);
}
