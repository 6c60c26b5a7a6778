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
//! | `ACTOR gets again N` | the last request to it came N times more |
//! | `ACTOR takes` | the XMPP server proves to have processed all stanzas so far |
//! | `silence` | nothing is there for anybody |
//! | `wait 31s` | time goes by, from deadline to deadline |
//! | `wait at most 31s` | time goes by until somebody gets something |
//! | `link down`, `link up` | the component streams end and come back |
//! | `restart` | the gateway is killed, and starts anew with what it has saved |
//! | `set KEY VALUE` | a setting of the gateway, see [`Settings::set`] |
//!
//! A block is indented by four spaces: XML if it begins with `<`, else SIP. In what an actor gets, `$name` captures or repeats and `*`
//! stands for anything (in a body only alone, but in an XML document, of which more may be there, like in a stanza); `!Subject:` and `<absent name='subject'/>` forbid. `sends escaped` and `gets escaped`
//! read `\r`, `\n` and `\xHH` in a SIP body. `anyone gets` takes the oldest message of that protocol, whoever it is for.
//!
//! When a scene ends, the server has taken all, a minute has gone by, and nobody may have got anything more; nothing may be under way.

mod pattern;
mod player;
mod script;
mod settings;
mod shows;
mod stanza;

pub use pattern::{Captures, fits};
pub use player::{Check, Failure, Player};
pub use settings::{GATEWAY, PROXY, Settings};

/// Plays the scene `text`, which is called `name` in failures.
pub fn play(name: &str, text: &str) -> Result<(), Failure> {
    Player::new(Settings::default()).play(name, text)
}
