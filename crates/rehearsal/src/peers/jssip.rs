//! JsSIP: the phone of web pages, in Node.

use super::{Driver, Place, template};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

/// A MESSAGE that came to it.
#[derive(Debug, Clone, Deserialize)]
pub struct JsMessage {
    /// Whom it is from.
    pub from: String,
    /// What it says.
    pub body: String,
    /// Its Content-Type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A running JsSIP; see `interop/jssip.mjs` for the commands.
#[derive(Debug)]
pub struct JsSip {
    driver: Driver,
    count: u64,
}

impl JsSip {
    /// Starts it. `fields` are those of its `start` command: `url`, `uri`, `ca`, `origin`, `password`, `register`.
    #[track_caller]
    pub fn start(place: &Place, name: &str, mut fields: Value) -> JsSip {
        let packages = template::path("node_modules/jssip");
        assert!(packages.is_dir(), "JsSIP is not installed; scripts/setup installs it");
        let mut driver = Driver::start_with(place, name, ("node", &[]), "jssip.mjs");
        fields["do"] = json!("start");
        driver.order(&fields);
        JsSip { driver, count: 0 }
    }

    /// Waits until its WebSocket is there.
    #[track_caller]
    pub fn wait_connected(&mut self) {
        let _: Value = self.driver.expect("connected", SOON, |_| true);
    }

    /// Waits until it has none: it could not be made, or has ended.
    #[track_caller]
    pub fn wait_disconnected(&mut self) {
        let _: Value = self.driver.expect("disconnected", SOON, |_| true);
    }

    /// Waits until it is registered.
    #[track_caller]
    pub fn wait_registered(&mut self) {
        let _: Value = self.driver.expect("registered", SOON, |_| true);
    }

    /// Waits until its registration is refused; the code, 0 if there is none.
    #[track_caller]
    pub fn wait_refused(&mut self) -> u16 {
        let refused: Value = self.driver.expect("unregistered", SOON, |_| true);
        refused["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or_default()
    }

    /// Says something; the code of the final answer, 0 if there is none.
    #[track_caller]
    pub fn say(&mut self, to: &str, body: &str) -> u16 {
        self.ask(json!({"do": "message", "to": to, "body": body}))
    }

    /// Calls; the code of the final answer, 0 if there is none.
    #[track_caller]
    pub fn call(&mut self, to: &str) -> u16 {
        self.ask(json!({"do": "call", "to": to}))
    }

    /// Calls, without waiting for an answer.
    #[track_caller]
    pub fn dial(&mut self, to: &str) {
        self.count += 1;
        self.driver.order(&json!({"do": "call", "to": to, "token": self.count}));
    }

    /// The next message that comes.
    #[track_caller]
    pub fn message(&mut self) -> JsMessage {
        self.driver.expect("message", SOON, |_| true)
    }

    /// Waits until it is called; by whom.
    #[track_caller]
    pub fn wait_called(&mut self) -> String {
        let called: Value = self.driver.expect("incoming", SOON, |_| true);
        called["from"].as_str().unwrap_or_default().to_owned()
    }

    /// Takes the call that it rings for.
    #[track_caller]
    pub fn answer(&mut self) {
        self.driver.order(&json!({"do": "answer"}));
    }

    /// Waits until its call has been answered, and that is known to both.
    #[track_caller]
    pub fn wait_confirmed(&mut self) {
        let _: Value = self.driver.expect("confirmed", SOON, |_| true);
    }

    /// Ends its call, or declines it.
    #[track_caller]
    pub fn hang_up(&mut self) {
        self.driver.order(&json!({"do": "hangup"}));
    }

    /// Waits until its call is over; who has ended it (`local`, `remote`, `system`), and why.
    #[track_caller]
    pub fn wait_ended(&mut self) -> (String, String) {
        let ended: Value = self.driver.expect("ended", SOON, |_| true);
        let text = |name: &str| ended[name].as_str().unwrap_or_default().to_owned();
        (text("by"), text("cause"))
    }

    #[track_caller]
    fn ask(&mut self, mut command: Value) -> u16 {
        self.count += 1;
        let token = json!(self.count);
        command["token"] = token.clone();
        self.driver.order(&command);
        let answer: Value = self.driver.expect("answer", SOON, |answer: &Value| answer["token"] == token);
        answer["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or_default()
    }
}
