//! `verona demo`, the first thing that anybody sees.

use crate::rig::demo;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Command;

#[test]
fn once_shows_both_directions_and_both_refusals_and_ends() {
    let out = demo(&["--once"]).wait_with_output().unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    assert_eq!((out.status.code(), String::from_utf8(out.stderr).unwrap().as_str()), (Some(0), ""), "{said}");
    // In this order, with what is between them.
    let mut rest = said.as_str();
    for part in [
        "MESSAGE sip:romeo@example.net SIP/2.0",
        "Art thou not Romeo, and a Montague?",
        "200 OK",
        "MESSAGE sip:juliet@example.com SIP/2.0",
        "Neither, fair saint, if either thee dislike.",
        "200 OK",
        "nenavid\u{ed}\u{161}-li",
        "MESSAGE sip:rosaline@example.net SIP/2.0",
        "404 Not Found",
        "item-not-found",
        "MESSAGE sip:nobody@example.com SIP/2.0",
        "item-not-found",
        "404",
    ] {
        let Some(at) = rest.find(part) else { unreachable_part(part, &said) };
        rest = &rest[at + part.len()..];
    }
}

fn unreachable_part(part: &str, said: &str) -> ! {
    std::panic::panic_any(format!("{part} is not where it should be in\n{said}"))
}

#[test]
fn it_stays_for_more_until_it_is_interrupted() {
    let mut child = demo(&[]);
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut until = |wanted: &[&str]| {
        let mut wanted = wanted.iter();
        let mut next = wanted.next();
        let mut line = String::new();
        while let Some(part) = next {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "the end before {part}");
            if line.contains(part) {
                next = wanted.next();
            }
        }
    };
    until(&["stays up"]);
    input.write_all(b"juliet: What light\nwho: nonsense\nROMEO:  It is the east \n").unwrap();
    until(&["What light", "MESSAGE sip:romeo@example.net SIP/2.0", "What light", "200 OK"]);
    until(&["It is the east", "It is the east"]);
    // The end of the input is not the end of the demo.
    drop(input);
    assert!(child.try_wait().unwrap().is_none());
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut complaints = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
    assert_eq!(complaints.trim(), "say who speaks: \"juliet: TEXT\" or \"romeo: TEXT\"");
}
