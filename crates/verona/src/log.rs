//! The log: one line for each event on standard error, as text or JSON, harmless on every terminal.
//!
//! What must never be logged: message bodies, secrets. Addresses of people: at debug and below only. What a peer sent may
//! stand in a value, so control characters, escape sequences and characters that turn the reading direction are written as
//! `\u` with four hexadecimal digits, which JSON reads back.

use crate::config::{Log, LogFormat};
use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, reload};

/// Changes the level of a log that runs.
#[derive(Debug, Clone)]
pub struct Handle(reload::Handle<Targets, Registry>);

impl Handle {
    /// Takes over the level. It was checked when the configuration was read; a wrong one changes nothing.
    pub fn set_level(&self, log: &Log) {
        if let Ok(targets) = levels(&log.level) {
            // Fails only when the subscriber is gone, and then nobody logs.
            let _ = self.0.reload(targets);
        }
    }
}

/// Starts the log of this process. A process has one; a second start says so and changes nothing.
pub fn init(log: &Log) -> Result<Handle, String> {
    let (subscriber, handle) = subscriber(log, io::stderr);
    subscriber.try_init().map_err(|e| e.to_string())?;
    std::panic::set_hook(Box::new(panicked));
    Ok(handle)
}

/// A panic is an event like any other, on a line of its own. Its words may quote what a peer sent (that of a string cut in the wrong place
/// does), so only those stay that stand in the program.
fn panicked(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(tracing::field::display);
    let words = panic.payload().downcast_ref::<&'static str>();
    tracing::error!(place, words, "a panic");
}

fn subscriber<W>(log: &Log, writer: W) -> (impl tracing::Subscriber + Send + Sync + 'static, Handle)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(levels(&log.level).unwrap_or_else(|_| Targets::new()));
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(Harmless(writer));
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    (tracing_subscriber::registry().with(lines.with_filter(filter)), Handle(handle))
}

/// Reads `log.level`: a level, and levels by module, between commas. The most exact module counts.
pub fn levels(text: &str) -> Result<Targets, String> {
    let mut targets = Targets::new();
    let mut seen: Vec<&str> = vec![];
    for part in text.split(',').map(str::trim) {
        let (module, level) = part.split_once('=').unwrap_or(("", part));
        let level = match level {
            "off" => LevelFilter::OFF,
            "error" => LevelFilter::ERROR,
            "warn" => LevelFilter::WARN,
            "info" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            "trace" => LevelFilter::TRACE,
            _ => return Err(format!("{level:?} is not a level")),
        };
        if seen.contains(&module) {
            return Err(match module {
                "" => "two levels".to_owned(),
                _ => format!("two levels for {module:?}"),
            });
        }
        seen.push(module);
        targets = match module {
            "" => targets.with_default(level),
            _ => targets.with_target(module, level),
        };
    }
    Ok(targets)
}

/// Writes characters that do something to a terminal or to the reading order in a form that does nothing.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_harmful(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A writer of whole events, each ending with its one newline; everything else in them is made harmless.
struct Harmless<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Harmless<W> {
    type Writer = HarmlessWriter<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        HarmlessWriter(self.0.make_writer())
    }
}

struct HarmlessWriter<W>(W);

impl<W: Write> Write for HarmlessWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        // The formatter hands over each event in one piece.
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut line = escape(line).into_owned();
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A log kept in memory, for tests that look at what was logged, or at what was not.
#[derive(Debug, Clone, Default)]
pub struct Capture(Arc<Mutex<Vec<u8>>>);

impl Capture {
    /// Makes this the log of the whole process, at `level` and as text. Fails where the process has a log already.
    pub fn install(level: &str) -> Result<Capture, String> {
        let capture = Capture::default();
        let log = Log { level: level.to_owned(), format: LogFormat::Text };
        subscriber(&log, capture.clone()).0.try_init().map_err(|e| e.to_string())?;
        Ok(capture)
    }

    /// Everything that `work` logs on this thread, in the form that `log` says. `work` gets the handle.
    pub fn during(log: &Log, work: impl FnOnce(&Handle)) -> String {
        let capture = Capture::default();
        let (subscriber, handle) = subscriber(log, capture.clone());
        tracing::subscriber::with_default(subscriber, || work(&handle));
        capture.text()
    }

    /// What was logged so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Capture {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(event);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Capture {
    type Writer = Capture;

    fn make_writer(&'a self) -> Capture {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(level: &str, format: LogFormat) -> Log {
        Log { level: level.to_owned(), format }
    }

    const HOSTILE: &str = "a\r\nINFO forged\u{1b}[2J\u{202e}b\u{9b}c\u{2028}d\u{e0041}";

    #[test]
    fn what_a_peer_sent_does_nothing_to_the_reader_of_a_text_log() {
        let text = Capture::during(&log("info", LogFormat::Text), |_| {
            tracing::info!(reason = HOSTILE, "refused");
            tracing::info!(reason = %HOSTILE, "refused");
            tracing::info!("{HOSTILE}");
        });
        assert_eq!(text.lines().count(), 3, "{text:?}");
        assert!(text.chars().all(|c| c == '\n' || !is_harmful(c)), "{text:?}");
        assert!(text.contains("forged"), "{text:?}");
    }

    #[test]
    fn a_json_log_stays_json() {
        let text = Capture::during(&log("info", LogFormat::Json), |_| tracing::info!(reason = HOSTILE, "refused"));
        assert_eq!(text.lines().count(), 1);
        assert!(text.trim_end().chars().all(|c| !is_harmful(c)), "{text:?}");
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["reason"], HOSTILE);
        assert_eq!(event["message"], "refused");
        assert_eq!(event["level"], "INFO");
        assert_eq!(event["target"], module_path!());
    }

    #[test]
    fn a_panic_is_a_line_without_what_it_quotes() {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(panicked));
        let text = Capture::during(&log("info", LogFormat::Json), |_| {
            let body = "B\u{f6}dyword".to_owned();
            let cut = body.len() - "dyword".len() - 1;
            assert!(std::panic::catch_unwind(|| body[cut..].len()).is_err());
        });
        std::panic::set_hook(usual);
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(event["place"].as_str().is_some_and(|place| place.contains("log.rs")), "{text}");
        assert!(event["message"] == "a panic" && !text.contains("dyword"), "{text}");
    }

    #[test]
    fn the_level_changes_while_it_runs() {
        let text = Capture::during(&log("warn", LogFormat::Text), |handle| {
            tracing::info!("one");
            handle.set_level(&log("info", LogFormat::Text));
            tracing::info!("two");
            handle.set_level(&log("nonsense", LogFormat::Text));
            tracing::info!("three");
            handle.set_level(&log("info,verona::log=off", LogFormat::Text));
            tracing::info!("four");
        });
        let said: Vec<_> = ["one", "two", "three", "four"].iter().filter(|w| text.contains(**w)).collect();
        assert_eq!(said, [&"two", &"three"]);
    }

    #[test]
    fn levels_are_read_strictly() {
        for good in ["off", "info", "info,verona=debug", "verona::io=trace, warn", "verona=debug"] {
            assert!(levels(good).is_ok(), "{good}");
        }
        for (bad, problem) in [
            ("", "\"\" is not a level"),
            ("inof", "\"inof\" is not a level"),
            ("INFO", "\"INFO\" is not a level"),
            ("info,debug", "two levels"),
            ("verona=info,verona=debug", "two levels for \"verona\""),
            ("verona=", "\"\" is not a level"),
        ] {
            assert_eq!(levels(bad).unwrap_err(), problem, "{bad}");
        }
    }

    #[test]
    fn escaping_leaves_the_harmless_alone() {
        assert!(matches!(escape("plain, ünïcode, 😀"), Cow::Borrowed(_)));
        assert_eq!(escape("a\u{1b}[0m"), "a\\u001b[0m");
        assert_eq!(escape("\u{e0041}"), "\\udb40\\udc41");
    }
}
