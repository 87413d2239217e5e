//! Habits of the code that a machine can check: the crate graph, names, file and line lengths, dead files, banned
//! words. Each rule collects everything that breaks it, so one run says all there is to mend.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which of Weir's crates each crate may link.
const GRAPH: &[(&str, &[&str])] = &[
    ("weir-schemas", &[]),
    ("weir-engine", &["weir-schemas"]),
    ("weir-edge", &["weir-schemas", "weir-engine"]),
    ("weir-ingest", &["weir-schemas", "weir-engine", "weir-edge"]),
    ("weir-query", &["weir-schemas", "weir-engine", "weir-edge"]),
    ("weir-dashboard", &["weir-schemas", "weir-engine", "weir-edge"]),
    // ClickHouse as a child process knows nothing of Weir, and only the program starts it.
    ("weir-embedded", &[]),
    (
        "weir",
        &[
            "weir-schemas",
            "weir-engine",
            "weir-edge",
            "weir-ingest",
            "weir-query",
            "weir-dashboard",
            "weir-embedded",
        ],
    ),
    // A black box over HTTP: what it counts, it counts by itself.
    ("weir-loadtest", &["weir-schemas"]),
    ("weir-benches", &["weir-schemas", "weir-engine", "weir-edge", "weir-ingest", "weir-embedded"]),
];

/// What tests may link beyond [`GRAPH`]: a real ClickHouse, and the providers' side of webhooks.
const OF_TESTS: &[&str] = &["weir-embedded", "weir-loadtest"];

/// Crates that speak HTTP; the engine's manifest holds none of them (its ClickHouse client brings its own).
const HTTP: &[&str] =
    &["hyper", "hyper-util", "http-body-util", "tokio-tungstenite", "axum", "warp", "actix-web"];

/// Names that say nothing about what is inside.
const NAMELESS: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc", "manager", "managers"];

/// Where memory is handled by hand: the mappings of the lanes and of the journal, and the libchdb binding.
const UNSAFE_FILES: &[&str] =
    &["embedded/src/libchdb.rs", "engine/src/mapped_file.rs", "engine/src/recorder/lane/map.rs"];

/// Lines of a source file that need no explanation.
const LINES_MAX: usize = 500;
/// Where a longer file explains itself.
const EXPLANATION_LINES: usize = 12;
/// rustfmt keeps code within 110 columns; comments, which it leaves alone, may run a little over.
const COLUMNS_MAX: usize = 120;

/// Folders that no one wrote by hand.
const NOT_SOURCE: &[&str] = &["target", "node_modules", "dist", ".git", ".weir", "test-results"];

const SECTIONS: [&str; 3] = ["dependencies", "build-dependencies", "dev-dependencies"];

struct Source {
    /// Relative to the repository.
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Part of the program or its tools, not of their tests.
    fn is_product(&self) -> bool {
        let path = format!("/{}", self.path);
        self.is_rust() && path.contains("/src/") && !path.contains("/tests/") && !path.ends_with("/tests.rs")
    }

    /// Its lines with their numbers, without what stands under `#[cfg(test)]`.
    fn product_lines(&self) -> Vec<(usize, &str)> {
        let indent = |line: &str| line.len() - line.trim_start().len();
        let mut kept = Vec::new();
        let mut lines = self.text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            if line.trim() != "#[cfg(test)]" {
                kept.push((number + 1, line));
                continue;
            }
            // rustfmt puts the closing brace where the item began; an item without a body ends with its line.
            for (_, inner) in lines.by_ref() {
                if indent(inner) == indent(line) && inner.ends_with([';', '}']) {
                    break;
                }
            }
        }
        kept
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the repository can be listed") {
        let path = entry.expect("an entry can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // The engine's own data beside the repository's sources; engine/data is source.
        let is_kept = !NOT_SOURCE.contains(&name) && path != root().join("data");
        if is_kept && path.is_dir() && !path.is_symlink() {
            walk(&path, found);
        } else if is_kept && path.is_file() {
            found.push(path);
        }
    }
}

/// Every text file of the repository.
fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    walk(root(), &mut paths);
    paths.sort();
    let sources: Vec<Source> = paths
        .into_iter()
        .filter_map(|path| {
            let text = String::from_utf8(std::fs::read(&path).expect("a file can be read")).ok()?;
            let path = path.strip_prefix(root()).expect("found under the root").to_str()?.to_owned();
            Some(Source { path, text })
        })
        .collect();
    assert!(sources.len() > 100, "only {} files found: the walk is broken", sources.len());
    sources
}

/// The manifests of the workspace by package name.
fn manifests() -> BTreeMap<String, toml::Table> {
    let read = |folder: &str| -> toml::Table {
        let path = root().join(folder).join("Cargo.toml");
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let workspace = read(".");
    let members = workspace["workspace"]["members"].as_array().expect("a list of members");
    let mut manifests: Vec<toml::Table> =
        members.iter().map(|member| read(member.as_str().expect("a folder"))).collect();
    manifests.push(workspace);
    let name = |table: &toml::Table| table["package"]["name"].as_str().expect("a name").to_owned();
    manifests.into_iter().map(|table| (name(&table), table)).collect()
}

fn dependencies<'a>(
    manifest: &'a toml::Table,
    section: &str,
) -> impl Iterator<Item = (&'a str, &'a toml::Value)> {
    let table = manifest.get(section).and_then(toml::Value::as_table);
    table.into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

#[track_caller]
fn assert_none(broken: &[String], rule: &str) {
    assert!(broken.is_empty(), "{rule}\n  {}", broken.join("\n  "));
}

#[test]
fn crates_know_only_the_crates_below_them() {
    let manifests = manifests();
    let mut broken = Vec::new();
    for (name, manifest) in &manifests {
        let Some((_, allowed)) = GRAPH.iter().find(|(of, _)| of == name) else {
            broken.push(format!("{name} has no place in the graph"));
            continue;
        };
        for section in SECTIONS {
            for (dependency, _) in dependencies(manifest, section) {
                let of_tests = section == "dev-dependencies" && OF_TESTS.contains(&dependency);
                if dependency.starts_with("weir") && !allowed.contains(&dependency) && !of_tests {
                    broken.push(format!("{name} may not depend on {dependency} ({section})"));
                }
            }
        }
        if manifest.contains_key("target") {
            broken.push(format!("{name} has dependencies by target, which this test does not read"));
        }
    }
    assert_none(&broken, "schemas ← engine ← edge ← {ingest, query, dashboard} ← weir → embedded");
    assert_eq!(manifests.len(), GRAPH.len(), "a crate of the graph is gone");
}

#[test]
fn the_engine_knows_no_http_server() {
    let manifests = manifests();
    let known = dependencies(&manifests["weir-engine"], "dependencies").map(|(name, _)| name.to_owned());
    let known: Vec<String> = known.filter(|name| HTTP.contains(&name.as_str())).collect();
    assert_none(&known, "The engine is driven by threads and by tests, without sockets:");
}

#[test]
fn versions_are_chosen_once_and_used() {
    let manifests = manifests();
    let mut used = BTreeSet::new();
    let mut own = Vec::new();
    for (name, manifest) in &manifests {
        for (dependency, value) in SECTIONS.iter().flat_map(|section| dependencies(manifest, section)) {
            used.insert(dependency);
            if value.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                own.push(format!("{name}: {dependency}"));
            }
        }
    }
    assert_none(&own, "Dependencies whose version is not the workspace's:");
    let chosen = manifests["weir"]["workspace"]["dependencies"].as_table().expect("a table");
    let idle: Vec<String> = chosen.keys().filter(|name| !used.contains(name.as_str())).cloned().collect();
    assert_none(&idle, "[workspace.dependencies] that no crate uses:");
}

#[test]
fn files_are_named_for_what_they_hold() {
    let mut broken = Vec::new();
    for source in sources() {
        for part in Path::new(&source.path).iter().filter_map(|part| part.to_str()) {
            let stem = part.split('.').next().unwrap_or_default();
            if NAMELESS.contains(&stem) || part == concat!("mod", ".rs") {
                broken.push(source.path.clone());
            }
        }
        for (number, line) in source.text.lines().enumerate().filter(|_| source.is_rust()) {
            if let Some(module) = declared_module(line).filter(|module| NAMELESS.contains(module)) {
                broken.push(format!("{}:{}: mod {module}", source.path, number + 1));
            }
        }
    }
    assert_none(&broken, "Names that say nothing (and foo.rs stands beside foo/):");
}

#[test]
fn long_files_explain_themselves() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| source.is_rust()) {
        let lines = source.text.lines().count();
        let mut opening = source.text.lines().take(EXPLANATION_LINES).filter(|line| line.starts_with("//"));
        let is_explained = opening.any(|line| {
            line.split(|c: char| !c.is_alphabetic())
                .any(|word| word.eq_ignore_ascii_case("lines") || word.eq_ignore_ascii_case("long"))
        });
        if lines > LINES_MAX && !is_explained {
            broken.push(format!("{}: {lines} lines", source.path));
        }
    }
    assert_none(&broken, "Over 500 lines, and the first comment does not say why it is one long file:");
}

#[test]
fn lines_fit_the_screen() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| source.is_rust()) {
        for (number, line) in source.text.lines().enumerate() {
            let columns = line.chars().count();
            // Neither rustfmt nor we break a text in two, nor the body of a json!.
            let has_text = line.contains('"') && !line.trim_start().starts_with("//");
            if columns > COLUMNS_MAX && !has_text {
                broken.push(format!("{}:{}: {columns} columns", source.path, number + 1));
            }
        }
    }
    assert_none(&broken, "Lines over 120 columns:");
}

/// The module that a line declares, here (`mod name {`) or in a file of its own (`pub(crate) mod name;`).
fn declared_module(line: &str) -> Option<&str> {
    let line = line.trim();
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')')?.1,
        Some(rest) => rest,
        None => line,
    };
    line.trim_start().strip_prefix("mod ")?.split([';', '{', ' ']).next()
}

/// The files one of which must declare the module kept in `path`; none for what cargo compiles by itself.
fn parents(path: &str) -> Vec<String> {
    let (folder, file) = path.rsplit_once('/').expect("no Rust file lies at the root");
    let holder = folder.rsplit_once('/').map_or(folder, |(_, last)| last);
    let is_of_cargo = matches!(holder, "bin" | "benches" | "examples")
        || matches!(file, "lib.rs" | "main.rs" | "build.rs")
        || holder == "tests" && !folder.contains("/src/");
    if is_of_cargo {
        Vec::new()
    } else if holder == "src" {
        vec![format!("{folder}/lib.rs"), format!("{folder}/main.rs")]
    } else {
        vec![format!("{folder}.rs"), format!("{folder}/main.rs")]
    }
}

#[test]
fn every_file_belongs_to_the_program() {
    let sources = sources();
    let by_path: BTreeMap<&str, &str> =
        sources.iter().map(|source| (source.path.as_str(), source.text.as_str())).collect();
    // What several test binaries share is declared with its path.
    let paths: BTreeSet<&str> = sources
        .iter()
        .flat_map(|source| source.text.lines().filter_map(|line| line.trim().strip_prefix("#[path = \"")))
        .filter_map(|rest| rest.strip_suffix("\"]")?.rsplit('/').next())
        .collect();
    let mut broken = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let is_shared = |file: &str| source.path == format!("tests/harness/{file}");
        if paths.iter().any(|file| is_shared(file)) {
            continue;
        }
        let parents = parents(&source.path);
        let name = Path::new(&source.path).file_stem().and_then(|stem| stem.to_str());
        let is_declared = parents
            .iter()
            .filter_map(|parent| by_path.get(parent.as_str()))
            .any(|text| text.lines().any(|line| line.ends_with(';') && declared_module(line) == name));
        if !parents.is_empty() && !is_declared {
            broken.push(format!("{} (not in {})", source.path, parents.join(" or ")));
        }
    }
    assert_none(&broken, "Files that no module declares:");
}

#[test]
fn unsafe_code_stays_in_its_files() {
    let keyword = concat!("uns", "afe");
    let mut found = BTreeSet::new();
    for source in sources().iter().filter(|source| source.is_rust()) {
        let mut code = source.text.lines().map(|line| line.split("//").next().unwrap_or_default());
        // As a keyword; `unsafe-inline` in a test of a header is none.
        let is_keyword = |(at, _): (usize, &str), code: &str| {
            let rest = code[at + keyword.len()..].trim_start();
            ["{", "(", "fn ", "impl", "extern ", "trait "].iter().any(|next| rest.starts_with(next))
        };
        if code.any(|code| code.match_indices(keyword).any(|found| is_keyword(found, code))) {
            found.insert(source.path.clone());
        }
    }
    let allowed: BTreeSet<String> = UNSAFE_FILES.iter().map(|&path| path.to_owned()).collect();
    assert_eq!(found, allowed, "files with unsafe code (left) and files allowed to hold it (right) differ");
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("unimple", "mented!"),
        concat!("to", "do!("),
        concat!("db", "g!("),
    ];
    let kinds = [".rs", ".toml", ".sql", ".ts", ".svelte", ".mjs", ".css", "Makefile"];
    let mut broken = Vec::new();
    let is_ours = |path: &str| path.starts_with("scripts/") || kinds.iter().any(|kind| path.ends_with(kind));
    for source in sources().iter().filter(|source| is_ours(&source.path)) {
        for (number, line) in source.text.lines().enumerate() {
            for mark in marks.iter().filter(|mark| line.contains(*mark)) {
                broken.push(format!("{}:{}: {mark}", source.path, number + 1));
            }
        }
    }
    assert_none(&broken, "Marks of unfinished work:");
}

/// The files declared as `#[cfg(test)] mod name;` in `source`.
fn test_modules(source: &Source) -> Vec<String> {
    let stem = source.path.trim_end_matches(".rs");
    let folder = stem.strip_suffix("/lib").or(stem.strip_suffix("/main")).unwrap_or(stem);
    let lines: Vec<&str> = source.text.lines().collect();
    let under_test = lines.windows(2).filter(|pair| pair[0].trim() == "#[cfg(test)]");
    under_test
        .filter(|pair| pair[1].ends_with(';'))
        .filter_map(|pair| Some(format!("{folder}/{}.rs", declared_module(pair[1])?)))
        .collect()
}

#[test]
fn the_product_does_not_unwrap() {
    let call = concat!(".unw", "rap()");
    let sources = sources();
    let tests: BTreeSet<String> = sources.iter().filter(|s| s.is_product()).flat_map(test_modules).collect();
    let mut broken = Vec::new();
    for source in sources.iter().filter(|source| source.is_product() && !tests.contains(&source.path)) {
        for (number, line) in source.product_lines() {
            if line.contains(call) && !line.trim_start().starts_with("//") {
                broken.push(format!("{}:{number}", source.path));
            }
        }
    }
    assert_none(&broken, "An invariant is stated with expect(), an error is returned:");
}

#[test]
fn no_path_of_one_machine() {
    let folders = [concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    let mut broken = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            for folder in folders {
                // `a/work/b`, `$x/work/` and `../work/` are relative.
                let is_start = |at: usize| {
                    let before = line[..at].chars().next_back();
                    before.is_none_or(|c| !c.is_alphanumeric() && !"_-.}/*".contains(c))
                };
                if line.match_indices(folder).any(|(at, _)| is_start(at)) {
                    broken.push(format!("{}:{}: {folder}", source.path, number + 1));
                }
            }
        }
    }
    assert_none(&broken, "Paths that exist on one machine only:");
}
