//! Chromium without a window, driven over its DevTools protocol.

use serde_json::{Value, json};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

/// Nothing that is asked of the browser may take longer.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// A browser with one page.
pub struct Browser {
    child: Child,
    socket: WebSocket<TcpStream>,
    session: String,
    asked: u64,
    /// What the page said and fetched since it was opened.
    events: Vec<Value>,
    profile: TempDir,
}

/// The first Chromium on the path.
fn executable() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    names.iter().flat_map(|name| folders.iter().map(move |f| f.join(name))).find(|p| p.is_file())
}

impl Browser {
    /// Start it; none where there is no Chromium, unless HJBRIDGE_BROWSER=required.
    pub fn start() -> Option<Self> {
        let Some(program) = executable() else {
            let required = std::env::var("HJBRIDGE_BROWSER").is_ok_and(|v| v == "required");
            assert!(!required, "HJBRIDGE_BROWSER=required, and there is no Chromium on the path");
            println!("skipped: there is no Chromium on the path");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let child = Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"])
            .args(["--disable-extensions", "--no-default-browser-check", "--force-color-profile=srgb"])
            .arg("--remote-debugging-port=0")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // the child is ended with the struct, whatever fails from here on
        let started = Instant::now();
        let mut starting = Starting { child: Some(child) };
        let address = loop {
            let text = std::fs::read_to_string(profile.path().join("DevToolsActivePort")).unwrap_or_default();
            if let Some((port, path)) = text.trim_end().split_once('\n').filter(|(_, path)| !path.is_empty()) {
                break (port.to_string(), path.to_string());
            }
            assert!(started.elapsed() < TIME_LIMIT, "Chromium does not start");
            std::thread::sleep(Duration::from_millis(20));
        };
        let stream = TcpStream::connect(format!("127.0.0.1:{}", address.0)).unwrap();
        stream.set_read_timeout(Some(TIME_LIMIT)).unwrap();
        let (socket, _) = tungstenite::client(format!("ws://127.0.0.1:{}{}", address.0, address.1), stream).unwrap();
        let child = starting.child.take().unwrap();
        let mut this = Browser { child, socket, session: String::new(), asked: 0, events: Vec::new(), profile };
        let target = this.ask("Target.createTarget", json!({"url": "about:blank"}));
        let attached = this.ask("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        this.session = attached["sessionId"].as_str().unwrap().into();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            this.ask(&format!("{domain}.enable"), json!({}));
        }
        this.size(1200, 900);
        Some(this)
    }

    /// Call a method and wait for its answer.
    #[track_caller]
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut message = json!({"id": self.asked, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.socket.send(Message::text(message.to_string())).unwrap();
        let started = Instant::now();
        loop {
            let answer = self.next();
            if answer["id"] == self.asked {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            assert!(started.elapsed() < TIME_LIMIT, "{method}: no answer");
            self.events.push(answer);
        }
    }

    fn next(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.socket.read().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// Open a file and wait until it is drawn.
    #[track_caller]
    pub fn open(&mut self, file: &Path) {
        self.events.clear();
        let answer = self.ask("Page.navigate", json!({"url": url(file)}));
        assert!(answer["errorText"].is_null(), "{answer}");
        let started = Instant::now();
        while !self.events.iter().any(|e| e["method"] == "Page.loadEventFired") {
            let event = self.next();
            self.events.push(event);
            assert!(started.elapsed() < TIME_LIMIT, "{}: not loaded", file.display());
        }
        self.settle();
    }

    /// Wait for two frames: what was asked for is drawn.
    pub fn settle(&mut self) {
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))");
    }

    /// The value of an expression.
    #[track_caller]
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.ask("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// A text that an expression gives.
    #[track_caller]
    pub fn text(&mut self, expression: &str) -> String {
        let value = self.evaluate(expression);
        value.as_str().unwrap_or_else(|| panic!("{expression} is {value}")).into()
    }

    /// A number that an expression gives.
    #[track_caller]
    pub fn number(&mut self, expression: &str) -> f64 {
        let value = self.evaluate(expression);
        value.as_f64().unwrap_or_else(|| panic!("{expression} is {value}"))
    }

    /// The size of the window.
    pub fn size(&mut self, width: u32, height: u32) {
        let params = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.ask("Emulation.setDeviceMetricsOverride", params);
        self.settle();
    }

    /// Whether the reader prefers dark pages.
    pub fn dark(&mut self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        self.ask("Emulation.setEmulatedMedia", json!({"features": [{"name": "prefers-color-scheme", "value": value}]}));
        self.settle();
    }

    /// Move the pointer into an element, to a part of its width and height.
    #[track_caller]
    pub fn point(&mut self, element: &str, across: f64, down: f64) {
        let of = format!(
            "(() => {{ const e = {element}; e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect(); \
             return [b.left + {across} * b.width, b.top + {down} * b.height]; }})()"
        );
        // it may scroll smoothly
        self.evaluate("document.documentElement.style.scrollBehavior = 'auto'");
        let place = self.evaluate(&of);
        self.ask("Input.dispatchMouseEvent", json!({"type": "mouseMoved", "x": place[0], "y": place[1]}));
        self.settle();
    }

    /// Press a key.
    pub fn press(&mut self, key: &str, code: u32) {
        for kind in ["keyDown", "keyUp"] {
            self.ask("Input.dispatchKeyEvent", json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}));
        }
        self.settle();
    }

    /// What was logged, thrown or warned of since the page was opened.
    pub fn complaints(&mut self) -> Vec<Value> {
        self.settle();
        let bad = ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"];
        self.events.iter().filter(|e| bad.iter().any(|method| e["method"] == *method)).cloned().collect()
    }

    /// Addresses asked for since the page was opened; data inside the page are none.
    pub fn requests(&mut self) -> Vec<String> {
        self.settle();
        let sent = self.events.iter().filter(|e| e["method"] == "Network.requestWillBeSent");
        let urls = sent.filter_map(|e| e["params"]["request"]["url"].as_str());
        urls.filter(|u| !u.starts_with("data:")).map(String::from).collect()
    }
}

/// The address of a file.
pub fn url(file: &Path) -> String {
    format!("file://{}", file.display())
}

/// A child that is ended when the start fails.
struct Starting {
    child: Option<Child>,
}

fn end(child: &mut Child) {
    // it may have gone by itself
    let _ = child.kill();
    let _ = child.wait();
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.child.iter_mut().for_each(end);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // its helpers go with it and leave the profile alone
        let message = json!({"id": 0, "method": "Browser.close"});
        let _ = self.socket.send(Message::text(message.to_string()));
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(5) && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        end(&mut self.child);
        let _ = std::fs::remove_dir_all(self.profile.path());
    }
}
