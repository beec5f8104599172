//! The layers together, as an operator meets them.

use std::path::PathBuf;

use super::schema::{DEFAULTS, Schema};
use super::*;

/// One load: a file's text (if any), variables and flags.
#[derive(Default)]
struct Setup<'a> {
    file: Option<&'a str>,
    env: &'a [(&'a str, &'a str)],
    flags: Overrides,
}

impl Setup<'_> {
    fn load(&self) -> Result<Effective, ConfigErrors> {
        let folder = tempfile::tempdir().unwrap();
        let path = self.file.map(|text| {
            let path = folder.path().join("hub.toml");
            std::fs::write(&path, text).unwrap();
            path
        });
        let env = self
            .env
            .iter()
            .map(|(variable, text)| (variable.to_string(), text.to_string()));
        Effective::load(path.as_deref(), env, &self.flags)
    }

    fn config(&self) -> Config {
        self.load()
            .unwrap_or_else(|errors| panic!("{errors}"))
            .config
    }

    /// What is said about each problem, the temporary folder cut off.
    fn said(&self) -> Vec<String> {
        let errors = self.load().expect_err("this configuration is wrong");
        let short = |problem: &Problem| {
            let said = problem.to_string();
            match (said.find("file /"), said.find("hub.toml")) {
                (Some(start), Some(end)) => format!("{}file {}", &said[..start], &said[end..]),
                _ => said,
            }
        };
        errors.problems().iter().map(short).collect()
    }
}

fn from_file(text: &str) -> Setup<'_> {
    Setup {
        file: Some(text),
        ..Setup::default()
    }
}

fn from_env<'a>(env: &'a [(&'a str, &'a str)]) -> Setup<'a> {
    Setup {
        env,
        ..Setup::default()
    }
}

#[test]
fn every_default_is_valid() {
    let effective = Setup::default()
        .load()
        .unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(effective.config, Config::defaults());
    assert!(
        effective
            .entries
            .iter()
            .all(|entry| entry.origin == Origin::Default)
    );
}

#[test]
fn the_promised_defaults_stand() {
    let config = Config::defaults();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.max_body_bytes, 5 * 1024 * 1024);
    assert_eq!(config.server.public_url, None);
    assert_eq!(
        config.database.url,
        DatabaseUrl::Sqlite {
            path: PathBuf::from("data/integrator.db")
        }
    );
    assert_eq!(
        (config.egress.allow_networks.len(), &config.egress.ca_file),
        (0, &None)
    );
    assert!(config.cors.allow_origins.is_empty());
    assert_eq!(config.poll.interval_secs, 300);
    assert_eq!(
        (
            config.retry.base_secs,
            config.retry.max_secs,
            config.retry.max_attempts
        ),
        (5, 3600, 20)
    );
    assert_eq!(config.retry.deadline_secs, 5 * 24 * 3600);
    assert_eq!(
        (config.dispatch.timeout_secs, config.dispatch.concurrency),
        (180, 16)
    );
    assert_eq!(
        (
            config.retention.archived_days,
            config.retention.idempotency_hours
        ),
        (90, 24)
    );
    assert_eq!(
        (config.log.level, config.log.format),
        (LogLevel::Info, LogFormat::Text)
    );
}

#[test]
fn every_key_and_section_is_documented() {
    let mut documented = false;
    let mut keys = 0;
    for (index, line) in DEFAULTS.lines().enumerate() {
        let names = !line.is_empty() && !line.starts_with('#');
        assert!(
            !names || documented,
            "config/default.toml:{}: {line} has no comment above it",
            index + 1
        );
        keys += usize::from(names && line.contains(" = "));
        documented = line.starts_with('#');
    }
    assert_eq!(keys, Schema::new().keys().len());
}

#[test]
fn every_number_has_a_range() {
    for known in Schema::new()
        .keys()
        .iter()
        .filter(|known| known.default.is_integer() || known.default.is_float())
    {
        let text = format!("[{}]\n{} = 9e18", known.section, known.key);
        let text = if known.default.is_integer() {
            text.replace("9e18", "9000000000000000000")
        } else {
            text
        };
        let said = from_file(&text).said().join("\n");
        assert!(
            said.starts_with(&format!(
                "{} (file hub.toml, line 2): expected ",
                known.name()
            )),
            "{said}"
        );
        assert!(said.contains("from ") && said.contains(" to "), "{said}");
    }
}

#[test]
fn a_file_wins_over_defaults_the_environment_over_the_file_and_flags_over_all() {
    let file =
        "[server]\nlisten = \"[::]:1\"\nworkers = 1\nshutdown_secs = 1\n[log]\nlevel = \"warn\"";
    let env = [
        ("INTEGRATOR__SERVER__LISTEN", "[::]:2"),
        ("INTEGRATOR__SERVER__WORKERS", "2"),
    ];
    let flags = Overrides {
        listen: Some("[::]:3".to_owned()),
        database: None,
    };
    let effective = Setup {
        file: Some(file),
        env: &env,
        flags,
    }
    .load()
    .unwrap();

    let server = &effective.config.server;
    assert_eq!(
        (
            server.listen.to_string().as_str(),
            server.workers,
            server.shutdown_secs
        ),
        ("[::]:3", 2, 1)
    );
    assert_eq!(server.max_connections, 10_000);

    let origin = |key: &str| {
        effective
            .entries
            .iter()
            .find(|entry| entry.key == key)
            .unwrap()
            .origin
            .clone()
    };
    assert_eq!(origin("listen"), Origin::Flag { name: "--listen" });
    assert_eq!(
        origin("workers"),
        Origin::Environment {
            variable: "INTEGRATOR__SERVER__WORKERS".to_owned()
        }
    );
    assert!(matches!(
        origin("shutdown_secs"),
        Origin::File { line: 4, .. }
    ));
    assert!(matches!(origin("level"), Origin::File { line: 6, .. }));
    assert_eq!(origin("max_connections"), Origin::Default);
}

#[test]
fn lists_are_separated_by_commas_in_the_environment_and_may_be_emptied() {
    let file =
        "egress.allow_networks = [\"10.0.0.0/8\"]\ncors.allow_origins = [\"https://a.example\"]";
    let env = [
        (
            "INTEGRATOR__EGRESS__ALLOW_NETWORKS",
            "127.0.0.1, fd00::/8,192.168.7.9/16",
        ),
        ("INTEGRATOR__CORS__ALLOW_ORIGINS", ""),
    ];
    let config = Setup {
        file: Some(file),
        env: &env,
        ..Setup::default()
    }
    .config();
    let networks: Vec<_> = config
        .egress
        .allow_networks
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(networks, ["127.0.0.1/32", "fd00::/8", "192.168.0.0/16"]);
    assert!(config.cors.allow_origins.is_empty());
}

#[test]
fn origins_are_compared_as_browsers_send_them() {
    let config = from_env(&[(
        "INTEGRATOR__CORS__ALLOW_ORIGINS",
        "https://Admin.example.com:443/,http://localhost:3000",
    )])
    .config();
    assert!(
        config.cors.allows("https://admin.example.com")
            && config.cors.allows("http://localhost:3000")
    );
    assert!(!config.cors.allows("http://admin.example.com") && !config.cors.allows("null"));
    assert!(
        from_env(&[("INTEGRATOR__CORS__ALLOW_ORIGINS", "*")])
            .config()
            .cors
            .allows("https://any.example")
    );
}

#[test]
fn an_unknown_key_of_a_file_is_named_with_its_line_and_the_nearest_known_key() {
    let file = "listen = 1\n[retry]\njiter = 0.2\n[databse]\nurl = \"sqlite://a\"\n[server]\ninterval_secs = 1\n[nothing]\n";
    let said = from_file(file).said();
    assert_eq!(
        said,
        [
            "listen (file hub.toml, line 1): there is no such key; the nearest known key is server.listen",
            "retry.jiter (file hub.toml, line 3): there is no such key; the nearest known key is retry.jitter",
            "databse.url (file hub.toml, line 5): there is no such key; the nearest known key is database.url",
            "server.interval_secs (file hub.toml, line 7): there is no such key; the nearest known key is poll.interval_secs",
            &said[4],
        ]
    );
    assert!(said[4].starts_with("nothing (file hub.toml, line 8): there is no such key"));
}

#[test]
fn an_unknown_variable_is_named_with_the_nearest_known_variable() {
    let env = [
        ("INTEGRATOR__RETRY__MAX_ATEMPTS", "3"),
        ("INTEGRATOR__LISTEN", "[::]:1"),
        ("INTEGRATOR_SERVICE_PORT", "1"),
        ("PATH", "/bin"),
    ];
    assert_eq!(
        from_env(&env).said(),
        [
            "listen (environment INTEGRATOR__LISTEN): there is no such key; the nearest known key is server.listen (INTEGRATOR__SERVER__LISTEN)",
            "retry.max_atempts (environment INTEGRATOR__RETRY__MAX_ATEMPTS): there is no such key; \
             the nearest known key is retry.max_attempts (INTEGRATOR__RETRY__MAX_ATTEMPTS)",
        ]
    );
}

#[test]
fn a_wrong_type_names_the_key_its_place_and_what_was_expected() {
    let file = "server = 5\n[retry]\nbase_secs = \"soon\"\njitter = true\nmax_secs = -1\n[egress]\nallow_networks = \"10.0.0.0/8\"\n[log.level]\nx = 1";
    assert_eq!(
        from_file(file).said(),
        [
            "server (file hub.toml, line 1): expected the section [server] with keys below it, found 5",
            "retry.base_secs (file hub.toml, line 3): expected a whole number, not negative, found the text \"soon\"",
            "retry.jitter (file hub.toml, line 4): expected a number, found true",
            "retry.max_secs (file hub.toml, line 5): expected a whole number, not negative, found -1",
            "egress.allow_networks (file hub.toml, line 7): expected a list of texts, found the text \"10.0.0.0/8\"",
            "log.level (file hub.toml, line 8): expected a text, found a table",
        ]
    );
    let env = [
        ("INTEGRATOR__POLL__INTERVAL_SECS", "1.5"),
        ("INTEGRATOR__RETRY__MAX_ATTEMPTS", ""),
    ];
    assert_eq!(
        from_env(&env).said(),
        [
            "poll.interval_secs (environment INTEGRATOR__POLL__INTERVAL_SECS): expected a whole number, not negative, found the text \"1.5\"",
            "retry.max_attempts (environment INTEGRATOR__RETRY__MAX_ATTEMPTS): expected a whole number, not negative, found the text \"\"",
        ]
    );
}

#[test]
fn a_whole_number_serves_as_a_fraction() {
    assert_eq!(from_file("retry.jitter = 1").config().retry.jitter, 1.0);
    assert_eq!(
        from_env(&[("INTEGRATOR__RETRY__JITTER", "0")])
            .config()
            .retry
            .jitter,
        0.0
    );
}

#[test]
fn values_out_of_range_or_unreadable_are_told_with_what_would_do() {
    let env = [
        ("INTEGRATOR__RETRY__JITTER", "1.5"),
        ("INTEGRATOR__POLL__INTERVAL_SECS", "0"),
        ("INTEGRATOR__SERVER__LISTEN", "8080"),
        (
            "INTEGRATOR__SERVER__PUBLIC_URL",
            "https://me:hunter2@hub.example.com",
        ),
        ("INTEGRATOR__DATABASE__URL", "mysql://me:hunter2@db"),
        (
            "INTEGRATOR__EGRESS__ALLOW_NETWORKS",
            "localhost,10.0.0.0/8,10.0.0.0/33",
        ),
        ("INTEGRATOR__CORS__ALLOW_ORIGINS", "admin.example.com"),
        ("INTEGRATOR__LOG__FORMAT", "xml"),
    ];
    let said = from_env(&env).said();
    for (start, sentence) in [
        (
            "retry.jitter (environment INTEGRATOR__RETRY__JITTER)",
            "expected a number from 0 to 1, found 1.5",
        ),
        (
            "poll.interval_secs (",
            "expected seconds, from 1 to 604800, found 0",
        ),
        (
            "server.listen (",
            "expected HOST:PORT such as 127.0.0.1:8080 or [::]:8080, found \"8080\"",
        ),
        (
            "server.public_url (",
            "expected an address such as https://hub.example.com",
        ),
        ("database.url (", "expected sqlite://PATH or postgres://"),
        (
            "egress.allow_networks (",
            "found \"localhost\", \"10.0.0.0/33\"",
        ),
        ("cors.allow_origins (", "found \"admin.example.com\""),
        ("log.format (", "expected `text` or `json`"),
    ] {
        assert!(
            said.iter()
                .any(|line| line.starts_with(start) && line.contains(sentence)),
            "{start} {sentence}\n{said:#?}"
        );
    }
    assert_eq!(said.len(), env.len(), "{said:#?}");
    assert!(!said.join("\n").contains("hunter2"));
}

#[test]
fn a_number_that_is_none_is_out_of_range() {
    let said = from_file("retry.jitter = nan").said();
    assert_eq!(
        said,
        ["retry.jitter (file hub.toml, line 1): expected a number from 0 to 1, found nan"]
    );
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    let said = from_env(&[("INTEGRATOR__SUPERVISION__HANG_SECS", "5")]).said();
    assert_eq!(said.len(), 1);
    assert!(
        said[0].starts_with("supervision.hang_secs (environment ")
            && said[0].contains("supervision.heartbeat_secs (5)"),
        "{said:?}"
    );
}

#[test]
fn everything_that_is_wrong_in_any_layer_is_told_at_once() {
    let file = "[poll]\ninterval_secs = 0\n[retry]\nmax_atempts = 3\nbase_secs = \"x\"";
    let env = [
        ("INTEGRATOR__RETRY__MAX_SEC", "1"),
        ("INTEGRATOR__DISPATCH__CONCURRENCY", "none"),
    ];
    let flags = Overrides {
        listen: Some("nowhere".to_owned()),
        database: Some("mysql://db".to_owned()),
    };
    let setup = Setup {
        file: Some(file),
        env: &env,
        flags,
    };
    let said = setup.said();
    let keys: Vec<_> = said
        .iter()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(
        keys,
        [
            "retry.max_atempts",
            "retry.base_secs",
            "dispatch.concurrency",
            "retry.max_sec",
            "server.listen",
            "database.url",
            "poll.interval_secs",
        ]
    );
    let all = setup.load().unwrap_err().to_string();
    assert!(
        all.starts_with("the configuration has 7 problems:\n  retry.max_atempts (file "),
        "{all}"
    );
    assert!(all.contains("server.listen (flag --listen): "), "{all}");
}

#[test]
fn a_file_that_is_no_toml_is_told_with_its_lines_and_the_environment_still_checked() {
    let setup = Setup {
        file: Some("[server]\nlisten = \nworkers = = 2\n"),
        env: &[("INTEGRATOR__X__Y", "1")],
        ..Setup::default()
    };
    let said = setup.said();
    assert!(said[0].starts_with("file hub.toml, line 2: "), "{said:?}");
    assert!(
        said.iter()
            .any(|line| line.starts_with("x.y (environment INTEGRATOR__X__Y)")),
        "{said:?}"
    );
}

#[test]
fn a_file_that_is_missing_is_told_by_name() {
    let errors = Config::load(
        Some(Path::new("no/such/hub.toml")),
        std::iter::empty(),
        &Overrides::default(),
    )
    .unwrap_err();
    assert!(
        errors
            .to_string()
            .contains("cannot read the configuration file no/such/hub.toml: "),
        "{errors}"
    );
}

#[test]
fn passwords_do_not_show_among_the_values_in_force() {
    let effective = from_env(&[("INTEGRATOR__DATABASE__URL", "postgres://hub:hunter2@db/hub")])
        .load()
        .unwrap();
    let shown = effective
        .entries
        .iter()
        .find(|entry| entry.section == "database" && entry.key == "url")
        .unwrap();
    assert_eq!(shown.shown, "\"postgres://hub:***@db/hub\"");
    assert!(!format!("{effective:?}").contains("hunter2"));
}

#[test]
fn a_configuration_for_tests_keeps_to_its_folder_and_this_machine() {
    let config = Config::for_tests(Path::new("/tmp/x"));
    assert_eq!(
        config.database.url.embedded(),
        Ok(Path::new("/tmp/x/hub.db"))
    );
    assert_eq!(config.server.listen.port, 0);
    assert!(
        config
            .egress
            .allow_networks
            .iter()
            .all(|network| network.addr().is_loopback())
    );
}
