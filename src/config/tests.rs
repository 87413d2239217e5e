use super::*;

fn gather(
    flags: &[(&'static str, &str)],
    environment: &[(&str, &str)],
    file: &str,
) -> Result<Config, ConfigError> {
    let flags = flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Values::gather(&flags, environment, Some((Path::new("weir.toml"), file)))?.check()
}

#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    let file = "data_dir = \"/file\"\npublic_addr = \"127.0.0.1:1\"\nadmin_addr = \"127.0.0.1:2\"\n\
                [live]\ntick_ms = 250\n";
    let environment = [("WEIR_DATA_DIR", "/environment"), ("WEIR_PUBLIC_ADDR", "127.0.0.1:3")];
    let config = gather(&[("data_dir", "/flag")], &environment, file).unwrap();
    assert_eq!(config.data_dir, PathBuf::from("/flag"));
    assert_eq!((config.public_addr.port(), config.admin_addr.port()), (3, 2));
    assert_eq!(config.live_tick, Duration::from_millis(250));
}

#[test]
fn errors_name_where_the_value_came_from() {
    let error = |flags: &[(&'static str, &str)], environment: &[(&str, &str)], file: &str| {
        gather(flags, environment, file).unwrap_err().to_string()
    };
    assert_eq!(
        error(&[], &[("WEIR_PUBLIC_ADDR", "nonsense")], ""),
        "WEIR_PUBLIC_ADDR: `nonsense` is not an address such as 127.0.0.1:8080"
    );
    assert!(
        error(&[("live.tick_ms", "5")], &[], "").starts_with("--live-tick-ms: 5 is not a number from 10")
    );
    assert!(error(&[], &[], "nope = 1").starts_with("weir.toml: nope: is not an option"));
    assert!(error(&[], &[], "= 1").starts_with("weir.toml: "));
    assert!(error(&[], &[("WEIR_ADMIN_KEY", "weir_short")], "").contains("32 to 128"));
    assert!(error(&[], &[("WEIR_DURABILITY_CLICKS", "maybe")], "").contains("process or power"));
    assert!(error(&[], &[("WEIR_CLICKHOUSE_URL", "tcp://x")], "").contains("http://"));
    let proxies = error(&[], &[("WEIR_TRUSTED_PROXIES", "10.0.0.0/8, nonsense")], "");
    assert!(proxies.starts_with("WEIR_TRUSTED_PROXIES: `nonsense`: "), "{proxies}");
}

#[test]
fn names_follow_the_rule() {
    let option = options::find("durability.clicks").unwrap();
    assert_eq!(
        (option.variable().as_str(), option.flag().as_str()),
        ("WEIR_DURABILITY_CLICKS", "--durability-clicks")
    );
    let option = options::find("data_dir").unwrap();
    assert_eq!((option.variable().as_str(), option.flag().as_str()), ("WEIR_DATA_DIR", "--data-dir"));
}

/// Whoever knows the variable can write either.
#[test]
fn the_file_takes_dots_and_underscores_alike() {
    let nested = gather(&[], &[], "[public]\naddr = \"127.0.0.1:1\"\n[data]\ndir = \"/x\"\n").unwrap();
    let flat = gather(&[], &[], "public_addr = \"127.0.0.1:1\"\nlive_tick_ms = 250\n").unwrap();
    assert_eq!(nested.public_addr, flat.public_addr);
    assert_eq!((nested.data_dir, flat.live_tick), ("/x".into(), Duration::from_millis(250)));
}

#[test]
fn lists_and_booleans_come_from_the_file() {
    let config =
        gather(&[], &[], "trusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n[privacy]\ncookies = false\n")
            .unwrap();
    let ranges = ["10.0.0.0/8", "::1"].map(|range| range.parse().unwrap());
    assert_eq!(config.trusted_proxies, TrustedProxies::new(ranges.into()));
    assert!(!config.privacy_cookies);
}
