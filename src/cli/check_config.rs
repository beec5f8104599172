//! `integrator check-config`: says what is in force, and where each value comes from.

use std::io::{ErrorKind, Write};

use super::{ConfigArgs, Outcome, environment};
use crate::config::{Effective, Origin};

/// Check the configuration and print what is in force
///
/// Prints every value as TOML with a comment that says where it comes from; passwords are masked. When something is wrong,
/// all of it is told on standard error, and the exit code is 1.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Prints to standard output.
pub fn run(args: Args) -> Outcome {
    let effective = args.config.load(environment())?;
    match std::io::stdout().write_all(render(&effective).as_bytes()) {
        // Whoever reads has seen enough, as `head` has.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// A TOML file that would give this configuration again, passwords apart.
fn render(effective: &Effective) -> String {
    let mut text = String::new();
    let mut section = "";
    for entry in &effective.entries {
        if section != entry.section {
            let gap = if section.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{gap}[{}]\n", entry.section));
            section = &entry.section;
        }
        let value = format!("{} = {}", entry.key, entry.shown);
        let origin = match &entry.origin {
            Origin::Default => "default".to_owned(),
            set => set.to_string(),
        };
        text.push_str(&format!("{value:<48} # {origin}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Overrides};

    fn printed(env: &[(&str, &str)]) -> String {
        let args = ConfigArgs {
            listen: Some("[::]:0".to_owned()),
            ..ConfigArgs::default()
        };
        let env = env
            .iter()
            .map(|(variable, text)| (variable.to_string(), text.to_string()));
        render(&args.load(env).unwrap())
    }

    #[test]
    fn each_value_is_printed_with_its_origin() {
        let text = printed(&[("INTEGRATOR__RETRY__JITTER", "0.5")]);
        let has = |value: &str, origin: &str| {
            text.lines()
                .any(|line| line.starts_with(value) && line.ends_with(origin))
        };
        assert!(has("listen = \"[::]:0\" ", " # flag --listen"), "{text}");
        assert!(
            has("jitter = 0.5 ", " # environment INTEGRATOR__RETRY__JITTER"),
            "{text}"
        );
        assert!(has("max_attempts = 20 ", " # default"), "{text}");
        assert!(text.starts_with("[server]\nlisten = "), "{text}");
    }

    #[test]
    fn what_is_printed_can_be_used_as_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.toml");
        let env = [
            ("INTEGRATOR__EGRESS__ALLOW_NETWORKS", "127.0.0.0/8,10.0.0.1"),
            ("INTEGRATOR__DATABASE__URL", "sqlite://with \"quotes\".db"),
        ];
        std::fs::write(&path, printed(&env)).unwrap();
        let again = Config::load(Some(&path), std::iter::empty(), &Overrides::default()).unwrap();
        assert_eq!(again.server.listen.to_string(), "[::]:0");
        assert_eq!(again.egress.allow_networks.len(), 2);
        assert_eq!(
            again.database.url.to_string(),
            "sqlite://with \"quotes\".db"
        );
    }
}
