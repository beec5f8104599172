//! A browser of a test's own, and what people do with it.
//!
//! WebDriver is JSON over HTTP, and these tests need a dozen of its calls, so they are made with the client that is here
//! anyway: the crates for it bring a web server and a second HTTP stack along.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{Hub, PATIENCE, eventually};

/// The account that tests sign in with.
pub const NAME: &str = "ann";
/// Its password.
pub const PASSWORD: &str = "correct horse battery";

/// Chromium in front of one hub; both processes end when it is dropped.
pub struct Browser {
    driver: Child,
    session: String,
    url: String,
}

async fn ask(method: &str, address: String, body: Option<Value>) -> Result<Value, String> {
    let client = awc::Client::builder()
        .timeout(Duration::from_secs(60))
        .finish();
    let request = client
        .request(method.parse().unwrap(), address)
        .force_close();
    let sent = match body {
        Some(body) => request.send_json(&body).await,
        None => request.send().await,
    };
    let mut answer = sent.map_err(|error| error.to_string())?;
    let bytes = answer.body().limit(64 << 20).await;
    let bytes = bytes.map_err(|error| error.to_string())?;
    let body: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    match body["value"]["error"].as_str() {
        Some(error) => Err(format!("{error}: {}", body["value"]["message"])),
        None => Ok(body["value"].clone()),
    }
}

impl Browser {
    /// A browser with a window of this size.
    pub async fn start(hub: &Hub, width: u32, height: u32) -> Self {
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is missing: install chromium and chromium-driver, or run scripts/test");
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run"]},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let base = format!("http://127.0.0.1:{port}");
        eventually("chromedriver answers", || async {
            ask("GET", format!("{base}/status"), None).await.ok()
        })
        .await;
        let made = ask("POST", format!("{base}/session"), Some(wanted)).await;
        let Ok(made) = made else {
            let _ = driver.kill();
            panic!("chromium does not start: {made:?}");
        };
        let browser = Self {
            driver,
            session: format!("{base}/session/{}", made["sessionId"].as_str().unwrap()),
            url: hub.url.clone(),
        };
        browser.resize(width, height).await;
        browser
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, String> {
        ask("POST", format!("{}{path}", self.session), Some(body)).await
    }

    /// A command of Chromium's own protocol.
    pub async fn cdp(&self, command: &str, parameters: Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.post("/goog/cdp/execute", body).await.unwrap()
    }

    /// Another size of the window.
    pub async fn resize(&self, width: u32, height: u32) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.cdp("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Light or dark, as the system would have it.
    pub async fn prefer(&self, scheme: &str) {
        self.emulate("prefers-color-scheme", scheme).await;
    }

    /// A feature that style sheets ask for.
    pub async fn emulate(&self, feature: &str, value: &str) {
        let media = json!({"features": [{"name": feature, "value": value}]});
        self.cdp("Emulation.setEmulatedMedia", media).await;
    }

    /// Opens another tab, and goes there.
    pub async fn new_tab(&self) {
        let made = self.post("/window/new", json!({"type": "tab"})).await;
        let handle = made.unwrap()["handle"].clone();
        self.post("/window", json!({"handle": handle}))
            .await
            .unwrap();
    }

    /// Presses a key that writes nothing.
    pub async fn key(&self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": if key == "Tab" { 9 } else { 13 }});
            self.cdp("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Opens a path of the hub, or a whole address.
    pub async fn open(&self, path: &str) {
        let address = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.url)
        };
        self.post("/url", json!({"url": address})).await.unwrap();
        eventually("the page is loaded", || async {
            let body = json!({"script": "return document.readyState", "args": []});
            let state = self.post("/execute/sync", body).await.ok()?;
            (state == "complete").then_some(())
        })
        .await;
    }

    /// Runs a script in the page.
    pub async fn run(&self, script: &str) -> Value {
        let body = json!({"script": script, "args": []});
        self.post("/execute/sync", body).await.unwrap()
    }

    /// The text that can be read on the page.
    pub async fn text(&self) -> String {
        let text = self
            .run("return document.body.innerText.replace(/\\s+/g, ' ')")
            .await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Where the browser is: path and query.
    pub async fn place(&self) -> String {
        let place = self.run("return location.pathname + location.search").await;
        place.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page says this.
    pub async fn reads(&self, words: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            // Between two pages there is nothing to run a script in.
            let script =
                "return location.href + ' ' + document.body.innerText.replace(/\\s+/g, ' ')";
            let body = json!({"script": script, "args": []});
            let text = self.post("/execute/sync", body).await.unwrap_or_default();
            let text = text.as_str().unwrap_or_default();
            if text.contains(words) {
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "the page never says {words:?}, but:\n{text}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn find(&self, using: &str, value: &str) -> Result<String, String> {
        let body = json!({"using": using, "value": value});
        let found = self.post("/element", body).await?;
        let id = found
            .as_object()
            .and_then(|members| members.values().next());
        Ok(format!(
            "/element/{}",
            id.and_then(Value::as_str).unwrap_or_default()
        ))
    }

    /// Types into a field, in place of what stands there.
    pub async fn fill(&self, field: &str, value: &str) {
        let selector = format!("[name={field}]:not([type=hidden])");
        let field = self.find("css selector", &selector).await.unwrap();
        self.post(&format!("{field}/clear"), json!({}))
            .await
            .unwrap();
        self.post(&format!("{field}/value"), json!({"text": value}))
            .await
            .unwrap();
    }

    /// Clicks the first element of a selector.
    pub async fn click(&self, selector: &str) {
        let element = self.find("css selector", selector).await.unwrap();
        self.post(&format!("{element}/click"), json!({}))
            .await
            .unwrap();
    }

    /// Presses the button, or follows the link, with these words.
    pub async fn press(&self, words: &str) {
        let path = format!(
            "//button[normalize-space()={words:?}] | //a[normalize-space()={words:?}] | //summary[normalize-space()={words:?}]"
        );
        // A live region may be put in anew between the finding and the click.
        eventually(&format!("{words:?} can be pressed"), || async {
            let button = self.find("xpath", &path).await.ok()?;
            self.post(&format!("{button}/click"), json!({})).await.ok()
        })
        .await;
    }

    /// Makes the first account with the operator's token, and is signed in then.
    pub async fn make_first_account(&self, token: &str) {
        self.open("/console").await;
        self.fill("token", token).await;
        self.fill("name", NAME).await;
        self.fill("new_password", PASSWORD).await;
        self.fill("again", PASSWORD).await;
        self.press("Make the account and sign in").await;
        self.reads("Sign out").await;
    }

    /// Fills in the sign-in page that is open.
    pub async fn sign_in(&self, name: &str, password: &str) {
        self.fill("name", name).await;
        self.fill("password", password).await;
        self.press("Sign in").await;
    }

    /// What the browser complained about since the last question: refused by the policy, broken scripts, failed requests.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", json!({"type": "browser"})).await;
        let entries = log.unwrap().as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .filter(|entry| entry["level"] == "SEVERE")
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    /// Keeps a picture, when pictures are wanted.
    pub async fn picture(&self, name: &str) {
        let Ok(folder) = std::env::var("INTEGRATOR_SCREENSHOTS") else {
            return;
        };
        std::fs::create_dir_all(&folder).unwrap();
        // The whole page, as far as it is not endless.
        let sizes = self.cdp("Page.getLayoutMetrics", json!({})).await;
        let size = &sizes["cssContentSize"];
        let height = size["height"].as_f64().unwrap_or(900.0).min(6000.0);
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1});
        let wanted = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let picture = self.cdp("Page.captureScreenshot", wanted).await;
        let png = decode_base64(picture["data"].as_str().unwrap_or_default());
        std::fs::write(format!("{folder}/{name}.png"), png).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ending the session ends Chromium; the driver's end alone would leave it behind.
        let _ = self.end_session();
        let _ = Command::new("kill")
            .args(["-TERM", &self.driver.id().to_string()])
            .status();
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// Without a runtime: a test that has panicked has none to wait on.
    fn end_session(&self) -> std::io::Result<()> {
        let place = self.session.trim_start_matches("http://");
        let (host, path) = place.split_once('/').unwrap_or((place, ""));
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let request =
            format!("DELETE /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(())
    }
}

fn decode_base64(text: &str) -> Vec<u8> {
    let value = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let letters: Vec<u8> = text.bytes().filter(|letter| *letter != b'=').collect();
    let mut bytes = Vec::with_capacity(letters.len() * 3 / 4);
    for group in letters.chunks(4) {
        let bits = group
            .iter()
            .fold(0u32, |bits, letter| bits << 6 | u32::from(value(*letter)));
        let bits = bits << (6 * (4 - group.len()));
        bytes.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}
