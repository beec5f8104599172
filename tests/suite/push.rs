//! `integrator push`.

use std::process::{Command, Output};

use serde_json::json;

use crate::support::{Hub, Store};

async fn push(hub: &Hub, store: &Store, files: &[&std::path::Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_integrator"));
    command.args([
        "push",
        "--url",
        &hub.url,
        "--store",
        &store.id,
        "--token",
        &store.token,
    ]);
    command.args(files);
    actix_web::web::block(move || command.output().unwrap())
        .await
        .unwrap()
}

#[actix_web::test]
async fn what_is_good_is_pushed_and_each_bad_line_is_told_with_its_number() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let long = json!({"message": "a:b", "payload": {"x": "y".repeat(6 << 20)}}).to_string();
    let mut text = b"\xef\xbb\xbf{\"message\":\"a:b\",\"payload\":{}}\nnot json\n{\"message\":\"NO\",\"payload\":{}}\n\xff\n[1,2]\n\n".to_vec();
    text.extend_from_slice(long.as_bytes());
    text.extend_from_slice(b"\n{\"message\":\"a:c\",\"payload\":{}}");
    let path = hub.folder().join("messages.jsonl");
    std::fs::write(&path, text).unwrap();
    let output = push(&hub, &store, &[&path]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for (line, reason) in [
        (2, "is not JSON"),
        (3, "message:"),
        (4, "UTF-8"),
        (5, ""),
        (7, "larger than"),
    ] {
        let told = said
            .lines()
            .any(|one| one.contains(&format!("messages.jsonl:{line}: ")) && one.contains(reason));
        assert!(told, "line {line}: {said}");
    }
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "2 accepted, 5 refused"
    );
    assert_eq!(hub.quiet(&store).await["archived"], 2);
}

#[actix_web::test]
async fn a_document_over_several_lines_and_an_array_are_messages_too() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let (one, many) = (
        hub.folder().join("one.json"),
        hub.folder().join("many.json"),
    );
    std::fs::write(&one, "{\n  \"message\": \"a:b\",\n  \"payload\": {}\n}\n").unwrap();
    std::fs::write(
        &many,
        "[{\"message\":\"a:b\",\"payload\":{}},\n {\"message\":\"a:c\",\"payload\":{}}]",
    )
    .unwrap();
    let output = push(&hub, &store, &[&one, &many]).await;
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(hub.quiet(&store).await["archived"], 3);
}

#[actix_web::test]
async fn nothing_is_pushed_when_a_file_is_missing() {
    let hub = Hub::start().await;
    let store = hub.store("shop").await;
    let one = hub.folder().join("one.json");
    std::fs::write(&one, "{\"message\":\"a:b\",\"payload\":{}}").unwrap();
    let output = push(&hub, &store, &[&one, &hub.folder().join("nothing.json")]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(1) && said.contains("nothing.json"),
        "{said}"
    );
    assert_eq!(hub.quiet(&store).await["archived"], 0);
}
