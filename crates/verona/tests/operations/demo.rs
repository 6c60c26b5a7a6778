//! `verona demo`, the first thing that anybody sees.

use crate::rig::{PATIENCE, demo};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Command;
use std::sync::mpsc;

#[test]
fn once_shows_messages_a_session_a_room_and_a_call_and_ends() {
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
        "SIP/2.0 604 Nobody of that name",
        "I take thee at thy word ...",
        "(Juliet makes the room capulet@rooms.example.com",
        "INVITE sip:capulet@rooms.example.com SIP/2.0",
        "a=chatroom:nickname private-messages",
        "to='capulet@rooms.example.com/Romeo'",
        "<status code='110'/>",
        ";isfocus",
        "Event: conference",
        "<subject>Today in Verona</subject>",
        "<display-text>JuliC</display-text>",
        "Romeo is here!",
        "type='groupchat'",
        "(JuliC sees: Romeo says to all: Romeo is here!)",
        "From: JuliC <sip:capulet@rooms.example.com;gr=JuliC>",
        "What man art thou?",
        "(JuliC sees: Romeo says in private: I take thee at thy",
        "Thou hast amazed me",
        "Use-Nickname: \"JuliC\"",
        " 425 ",
        "Use-Nickname: \"montecchi\"",
        "(JuliC sees: Romeo is called montecchi now)",
        "Refer-To: <sip:benvolio@example.com>",
        "<invite to='benvolio@example.com'",
        "BYE sip:capulet@",
        "type='unavailable'",
        "INVITE sip:juliet@example.com SIP/2.0",
        "m=audio 49170 UDP/TLS/RTP/SAVPF 96 0",
        "<propose xmlns='urn:xmpp:jingle-message:0'",
        "SIP/2.0 180 Ringing",
        "<proceed xmlns='urn:xmpp:jingle-message:0'",
        "action='session-initiate'",
        "action='session-accept'",
        "SIP/2.0 200 OK",
        "(Juliet and Romeo talk)",
        "action='session-terminate'",
        "BYE sip:romeo@",
    ] {
        let at = rest.find(part);
        assert!(at.is_some(), "{part} is not where it should be in\n{said}");
        rest = &rest[at.unwrap() + part.len()..];
    }
}

#[test]
fn it_stays_for_more_until_it_is_interrupted() {
    let mut child = demo(&[]);
    let mut input = child.stdin.take().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (line, lines) = mpsc::channel();
    let reader = std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|l| line.send(l)));
    let until = |wanted: &[&str]| {
        for part in wanted {
            while !lines.recv_timeout(PATIENCE).expect("more lines").contains(part) {}
        }
    };
    until(&["stays up"]);
    input.write_all(b"juliet: What light\n").unwrap();
    until(&["What light", "MESSAGE sip:romeo@example.net SIP/2.0", "What light", "200 OK"]);
    input.write_all(b"who: nonsense\nROMEO:  It is the east \n").unwrap();
    until(&["MESSAGE sip:juliet@example.com SIP/2.0", "It is the east", "<body>It is the east</body>", "200 OK"]);
    // The end of the input is not the end of the demo.
    drop(input);
    assert!(child.try_wait().unwrap().is_none());
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut complaints = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
    assert_eq!(complaints.trim(), "say who speaks: \"juliet: TEXT\" or \"romeo: TEXT\"");
    drop(lines);
    let _ = reader.join();
}
