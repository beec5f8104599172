//! `integrator check-endpoint`: reads an application's `endpoint.json` as the hub would, and says what it finds.

use std::io::Write;

use super::Outcome;
use crate::{
    actors::{describe_endpoint, http_clients, http_transport},
    config::EgressConfig,
    domain::{
        integration::{EndpointDescription, Service, join},
        registry::Dialect,
    },
};

/// Check an endpoint application
///
/// Reads URL/endpoint.json and says in plain words what is wrong with it and what the hub would register. Exit code 1 when the hub
/// could not use it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The application's address, such as https://app.example.org/acme
    url: String,
    /// The token it expects; only told apart from none, it is not sent: endpoint.json is open
    #[arg(
        long,
        value_name = "T",
        env = "INTEGRATOR_ENDPOINT_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
}

/// The description cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the hub could not use this endpoint ({0})")]
struct Unusable(String);

/// Reads the description and prints what it says.
pub fn run(args: Args) -> Outcome {
    // The person at this terminal chose the address: nothing is refused here.
    let egress = EgressConfig {
        allow_networks: ["0.0.0.0/0", "::/0"]
            .iter()
            .filter_map(|network| network.parse().ok())
            .collect(),
        connect_timeout_secs: 10,
        ca_file: None,
    };
    let transport = http_transport(http_clients(&egress)?);
    let url = args
        .url
        .trim()
        .trim_end_matches("/endpoint.json")
        .to_owned();
    let description = actix_rt::System::new()
        .block_on(async { describe_endpoint(transport().as_ref(), &url).await });
    let mut out = std::io::stdout().lock();
    write!(out, "{}", told(&url, args.token.as_deref(), &description))?;
    match description.error_messages.len() {
        0 if !description.services.is_empty() => Ok(()),
        0 => Err(Unusable("no services".into()).into()),
        1 => Err(Unusable("1 error".into()).into()),
        many => Err(Unusable(format!("{many} errors")).into()),
    }
}

/// The report.
fn told(url: &str, token: Option<&str>, description: &EndpointDescription) -> String {
    let mut text = format!("{}\n", join(url, "endpoint.json"));
    for error in &description.error_messages {
        text.push_str(&format!("  error    {error}\n"));
    }
    for warning in &description.warnings {
        text.push_str(&format!("  warning  {warning}\n"));
    }
    if token.is_some_and(|token| token.len() < 32) {
        text.push_str(
            "  warning  token: has fewer than 32 characters, which clients of 2013 do not accept\n",
        );
    }
    let name = description.name.as_deref().unwrap_or("NAME");
    if description.services.is_empty() {
        text.push_str("nothing would be registered\n");
        return text;
    }
    text.push_str(&format!(
        "would be registered as {name}{}\n",
        description
            .display
            .as_ref()
            .map_or_else(String::new, |display| format!(" ({display})"))
    ));
    for service in &description.services {
        text.push_str(&service_told(url, name, service));
    }
    text
}

fn service_told(url: &str, name: &str, service: &Service) -> String {
    let mut text = format!(
        "  {name}.{}  POST {}{}\n",
        service.name,
        join(url, &service.path),
        if service.required { "  (required)" } else { "" }
    );
    let messages: Vec<String> = service
        .recommends
        .messages
        .iter()
        .map(ToString::to_string)
        .collect();
    if !messages.is_empty() {
        text.push_str(&format!("    takes {}\n", messages.join(", ")));
    }
    if service.recommends.options.dialect == Some(Dialect::Two) {
        text.push_str("    speaks dialect 2\n");
    }
    if let Some(schedule) = &service.recommends.schedule {
        text.push_str(&format!("    is asked {}\n", schedule.describe()));
    }
    for parameter in &service.requires.parameters {
        text.push_str(&format!(
            "    {} {} ({})\n",
            if parameter.optional {
                "may have"
            } else {
                "needs"
            },
            parameter.name,
            parameter.data_type.data_type().word()
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::endpoint_json;

    #[test]
    fn a_report_names_services_faults_and_parameters() {
        let description = endpoint_json::read(
            br#"{"name":"acme","consumers":[{"name":"send_order","path":"/send","requires":{"paramaters":[{"name":"api_key"}]},
                "recommends":{"keys":["order:new"],"schedule":{"count":30,"interval":"minutes"}}}]}"#,
        );
        let text = told("http://app.example.org/", Some("short"), &description);
        for part in [
            "http://app.example.org/endpoint.json\n",
            "warning  consumers: was read as services",
            "fewer than 32",
            "registered as acme",
            "acme.send_order  POST http://app.example.org/send\n",
            "takes order:new",
            "every 30 minutes",
            "needs api_key (string)",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("  error"), "{text}");
    }
}
