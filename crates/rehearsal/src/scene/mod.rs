//! Scenes: tests as plain text.
//!
//! A scene is a list of steps. Lines that begin with `#` and empty lines are for the reader. A step may open with the number that
//! its frame has in an RFC (`F12`).
//!
//! | step | means |
//! |---|---|
//! | `ACTOR sends` + block | a SIP or XMPP user says this; what a SIP request needs and the block lacks is filled in |
//! | `ACTOR sends again` | the same bytes once more |
//! | `ACTOR gets` + block | the oldest message for this user shows all that the block shows |
//! | `ACTOR gets again N` | the last request to it, or 2xx to its INVITE, came N times more |
//! | `ACTOR takes` | the XMPP server proves to have processed all stanzas so far |
//! | `ACTOR connects` | the actor opens a connection for MSRP to the gateway |
//! | `ACTOR accepts` | the gateway has asked for a connection to this actor and gets it; a block may say where: `msrp://192.0.2.20:7313`, or `msrps:` with the fingerprints |
//! | `ACTOR refuses connection` | it does not get it |
//! | `ACTOR disconnects` | the actor's connection breaks |
//! | `ACTOR gets disconnected` | the gateway has closed it, as nothing uses it any more |
//! | `ACTOR sends bytes` + block | these bytes come over the connection, in two pieces; the block has escapes |
//! | `silence` | nothing is there for anybody |
//! | `wait 31s` | time goes by, from deadline to deadline |
//! | `wait at most 31s` | time goes by until somebody gets something |
//! | `link down`, `link up` | the component streams end and come back |
//! | `restart` | the gateway is killed, and starts anew with what it has saved |
//! | `set KEY VALUE` | a setting of the gateway, see [`Settings::set`] |
//!
//! A block is indented by four spaces: XML if it begins with `<`, MSRP if it begins with `MSRP`, else SIP. In what an actor gets, `$name`
//! captures or repeats and `*` stands for anything (in a body only alone, but in an XML document, of which more may be there, like in a
//! stanza); `!Subject:` and `<absent name='subject'/>` forbid. `sends escaped` and `gets escaped` read `\r`, `\n` and `\xHH` in a body.
//! `anyone gets` takes the oldest message of that protocol, whoever it is for.
//!
//! A SIP request to `*` (`BYE * SIP/2.0`) goes within the actor's last dialog, or that of its Call-ID, which says what the scene does not:
//! Request-URI, From, To, CSeq. `ACK *` and `CANCEL *` belong to the actor's last INVITE. Of a session description the lines shown must be
//! there in their order, with others between; `!a=chatroom*` forbids.
//!
//! An MSRP frame is written as on the wire; without a body it needs no end-line. What a frame that is sent lacks of To-Path, From-Path, Message-ID and
//! Byte-Range is filled in. Steps with connections may name one as their last word, `sends`, `gets` and `sends bytes` as `on NAME`; without a
//! name it is the actor's latest one.
//!
//! When a scene ends, the server has taken all, a minute has gone by, and nobody may have got anything more; nothing may be under way.

mod pattern;
mod player;
mod script;
mod settings;
mod shows;
mod stanza;

pub use pattern::{Captures, fits};
pub use player::{Check, Failure, Player, Seen};
pub use settings::{GATEWAY, PROXY, Settings, relay};

/// Plays the scene `text`, which is called `name` in failures.
pub fn play(name: &str, text: &str) -> Result<(), Failure> {
    Player::new(Settings::default()).play(name, text)
}
