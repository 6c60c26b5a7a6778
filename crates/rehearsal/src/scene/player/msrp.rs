//! MSRP in scenes: the connections between the gateway and the SIP users, as the shell has them.

use super::{Check, Kind, Pending, Player, Sent};
use crate::scene::script::{frame_block, raw_block};
use crate::scene::shows::frame_shows;
use crate::wire::{MsrpText, SipText};
use bytes::Bytes;
use msrp::{ConnectionId, Decoder, Hop, Limits, Ticket};
use std::collections::{BTreeMap, BTreeSet};
use stox::gateway::{Input, Wire};

/// A connection. Its number is its place among all.
#[derive(Debug)]
struct Connection {
    actor: String,
    name: Option<String>,
    open: bool,
    /// Where it leads to, if the gateway has asked for it.
    hop: Option<Hop>,
    /// How many sessions of the gateway use it.
    bound: usize,
    decoder: Decoder,
    /// What the gateway has written that is no whole frame yet.
    written: Vec<u8>,
    /// The requests that the actor got here, and the last one that it sent.
    got: Vec<MsrpText>,
    sent: Option<MsrpText>,
    /// Those that [`Player::unanswered`] has told of.
    answered: BTreeSet<String>,
}

/// All connections, the oldest first, and who is where.
#[derive(Debug, Default)]
pub(super) struct Connections {
    all: Vec<Connection>,
    /// Who has named this place, `host:port`, in a session description.
    places: BTreeMap<String, String>,
}

impl Connections {
    fn add(&mut self, actor: &str, name: Option<&str>, hop: Option<Hop>, limits: Limits) -> usize {
        let (actor, name) = (actor.to_owned(), name.map(str::to_owned));
        let (written, got) = (Vec::new(), Vec::new());
        let decoder = Decoder::new(limits);
        self.all.push(Connection {
            actor,
            name,
            open: true,
            hop,
            bound: 0,
            decoder,
            written,
            got,
            sent: None,
            answered: BTreeSet::new(),
        });
        self.all.len() - 1
    }

    /// The latest connection of `actor` that is open, or that of this name.
    fn find(&self, actor: &str, name: Option<&str>) -> Result<usize, String> {
        let is_meant = |c: &Connection| {
            let same = c.actor == actor && c.open;
            same && name.is_none_or(|name| c.name.as_deref() == Some(name))
        };
        self.all.iter().rposition(is_meant).ok_or_else(|| format!("{actor} has no such connection"))
    }

    /// Remembers that this came over a connection.
    pub(super) fn got(&mut self, at: usize, frame: &MsrpText) {
        if let Some(connection) = self.all.get_mut(at).filter(|_| frame.method().is_some()) {
            connection.got.push(frame.clone());
        }
    }

    /// How many connections sessions of the gateway use.
    pub(super) fn in_use(&self) -> usize {
        self.all.iter().filter(|connection| connection.open && connection.bound > 0).count()
    }

    /// The connection over which `actor` got the request that this answers, if it is an answer.
    fn asked(&self, actor: &str, start: &str) -> Option<usize> {
        let answer = MsrpText { start: start.to_owned(), headers: Vec::new(), body: None, flag: '$' };
        answer.status()?;
        let got = |c: &Connection| c.actor == actor && c.open && c.got.iter().any(|got| got.id() == answer.id());
        self.all.iter().rposition(got)
    }
}

/// A hop as scenes write it.
pub(super) fn hop_text(hop: &Hop) -> String {
    let Some(tls) = &hop.tls else { return format!("msrp://{}", place(hop)) };
    let hex = |digest: &[u8]| digest.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(":");
    let prints = tls.fingerprints.iter().map(|print| format!(" {} {}", print.algorithm, hex(&print.digest)));
    format!("msrps://{}{}", place(hop), prints.collect::<String>())
}

fn place(hop: &Hop) -> String {
    format!("{}:{}", hop.host, hop.port)
}

impl Player {
    fn msrp_limits(&self) -> Limits {
        let max_size = self.settings.config.msrp.as_ref().map_or(usize::MAX, |msrp| msrp.max_size);
        Limits { max_body: max_size, ..Limits::default() }
    }

    /// Remembers where the description that `actor` sends has it reached.
    pub(super) fn paths_of(&mut self, actor: &str, message: &SipText) {
        if message.header("Content-Type") != Some("application/sdp") {
            return;
        }
        let text = message.text();
        let lines = || text.lines();
        let host = lines().find_map(|line| line.strip_prefix("c=IN ")?.split(' ').nth(1));
        let port = lines().find_map(|line| line.strip_prefix("m=message ")?.split(' ').next());
        let named = host.zip(port).map(|(host, port)| format!("{host}:{port}"));
        let uris = lines().filter_map(|line| line.strip_prefix("a=path:"));
        let authority = |uri: &str| Some(uri.split_once("://")?.1.split(['/', ';']).next()?.to_owned());
        let paths = uris.flat_map(|path| path.split(' ')).filter_map(authority);
        for place in paths.chain(named) {
            self.connections.places.insert(place, actor.to_owned());
        }
    }

    /// A SIP user opens a connection to the gateway.
    pub fn connects(&mut self, actor: &str, name: Option<&str>) {
        let limits = self.msrp_limits();
        self.connections.add(actor, name, None, limits);
    }

    /// The gateway wants something done with connections.
    pub(super) fn wire(&mut self, wire: Wire) {
        match wire {
            Wire::Write { connection, bytes } => self.written(connection, &bytes),
            Wire::Open { ticket, hop } => self.open(ticket, hop),
            Wire::Bind(connection) => self.bind(connection),
            Wire::Release(connection) => self.release(connection),
        }
    }

    fn open(&mut self, ticket: Ticket, hop: Hop) {
        // Another session to the same place: the same connection.
        let same = self.connections.all.iter().rposition(|c| c.open && c.hop.as_ref() == Some(&hop));
        match same {
            Some(at) => self.opened(ticket, at),
            None => {
                let to = self.connections.places.get(&place(&hop)).cloned().unwrap_or_else(|| "nobody".to_owned());
                self.pending.push_back(Pending::Open { to, ticket, hop });
            }
        }
    }

    fn opened(&mut self, ticket: Ticket, at: usize) {
        self.input(Input::MsrpOpened(ticket, Some(ConnectionId(at as u64))));
        self.close_unused(at);
    }

    fn next_open(&mut self, actor: &str, hop: Option<&str>) -> Result<(Ticket, Hop), String> {
        match self.next_for(actor, Kind::Open, "a wish for a connection")? {
            Pending::Open { ticket, hop: asked, .. } => {
                let text = hop_text(&asked);
                match hop {
                    Some(hop) if hop != text => Err(format!("a connection to {text} is asked for, not to {hop}")),
                    _ => Ok((ticket, asked)),
                }
            }
            other => Err(format!("that is no wish for a connection: {other}")),
        }
    }

    /// The gateway has asked for a connection to a SIP user and gets it.
    pub fn accepts(&mut self, actor: &str, name: Option<&str>, hop: Option<&str>) -> Check {
        let (ticket, asked) = self.next_open(actor, hop)?;
        let limits = self.msrp_limits();
        let at = self.connections.add(actor, name, Some(asked), limits);
        self.opened(ticket, at);
        Ok(())
    }

    /// The gateway has asked for a connection to a SIP user and does not get it.
    pub fn refuses_connection(&mut self, actor: &str, hop: Option<&str>) -> Check {
        let (ticket, _) = self.next_open(actor, hop)?;
        self.input(Input::MsrpOpened(ticket, None));
        Ok(())
    }

    /// A connection breaks.
    pub fn disconnects(&mut self, actor: &str, name: Option<&str>) -> Check {
        let at = self.connections.find(actor, name)?;
        self.connections.all[at].open = false;
        self.lost(at);
        Ok(())
    }

    fn lost(&mut self, at: usize) {
        if std::mem::take(&mut self.connections.all[at].bound) > 0 {
            self.input(Input::MsrpLost(ConnectionId(at as u64)));
        }
    }

    /// The gateway's process is gone, and its connections with it.
    pub(super) fn connections_die(&mut self) {
        for (at, connection) in self.connections.all.iter_mut().enumerate().filter(|(_, c)| c.open) {
            (connection.open, connection.bound) = (false, 0);
            self.pending.push_back(Pending::Closed { to: connection.actor.clone(), connection: at });
        }
    }

    /// The gateway has closed the connection of a SIP user.
    pub fn gets_disconnected(&mut self, actor: &str, name: Option<&str>) -> Check {
        let pending = self.next_for(actor, Kind::Closed, "the end of a connection")?;
        match (&pending, name) {
            (Pending::Closed { connection, .. }, Some(name))
                if self.connections.all[*connection].name.as_deref() != Some(name) =>
            {
                Err(format!("that is another connection: {pending}"))
            }
            _ => Ok(()),
        }
    }

    fn bind(&mut self, id: ConnectionId) {
        match self.connections.all.get_mut(id.0 as usize).filter(|c| c.open) {
            Some(connection) => connection.bound += 1,
            None => self.misbehaves(id.0 as usize, "uses a connection that is not there"),
        }
    }

    fn release(&mut self, id: ConnectionId) {
        let at = id.0 as usize;
        match self.connections.all.get_mut(at) {
            Some(connection) if connection.open && connection.bound > 0 => {
                connection.bound -= 1;
                self.close_unused(at);
            }
            // It broke meanwhile.
            Some(connection) if !connection.open => {}
            _ => self.misbehaves(at, "releases what it does not use"),
        }
    }

    fn close_unused(&mut self, at: usize) {
        if let Some(connection) = self.connections.all.get_mut(at).filter(|c| c.open && c.bound == 0) {
            connection.open = false;
            self.pending.push_back(Pending::Closed { to: connection.actor.clone(), connection: at });
        }
    }

    fn written(&mut self, id: ConnectionId, bytes: &Bytes) {
        let at = id.0 as usize;
        let Some(connection) = self.connections.all.get_mut(at).filter(|c| c.open) else {
            return self.misbehaves(at, "writes to a connection that is not there");
        };
        connection.written.extend_from_slice(bytes);
        loop {
            match MsrpText::take(&mut connection.written) {
                Ok(Some(frame)) => {
                    self.pending.push_back(Pending::Msrp { to: connection.actor.clone(), connection: at, frame });
                }
                Ok(None) => return,
                Err(why) => return self.misbehaves(at, &why),
            }
        }
    }

    /// Leaves a message behind that no scene wants to see.
    fn misbehaves(&mut self, connection: usize, why: &str) {
        let frame = MsrpText { start: format!("the gateway {why}"), headers: Vec::new(), body: None, flag: '#' };
        self.pending.push_back(Pending::Msrp { to: "nobody".to_owned(), connection, frame });
    }

    /// A SIP user sends a frame. A response gets the paths of the request with its transaction id; a request what it lacks of To-Path and
    /// From-Path from the last one, Message-ID and Byte-Range as for a message in one piece. `!Name:` leaves them out.
    pub fn msrp_sends(&mut self, actor: &str, block: &str, escaped: bool, on: Option<&str>) -> Check {
        let template = frame_block(block, escaped)?;
        let mut lines = template.head.iter();
        let start = self.filled(lines.next().map_or("", String::as_str))?;
        let at = match self.connections.asked(actor, &start).filter(|_| on.is_none()) {
            Some(at) => at,
            None => self.connections.find(actor, on)?,
        };
        let (mut headers, mut without) = (Vec::new(), Vec::new());
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(|| format!("no header: {line}"))?;
            match name.strip_prefix('!') {
                Some(name) => without.push(name.to_ascii_lowercase()),
                None => headers.push((name.to_owned(), self.filled(value.trim())?)),
            }
        }
        let body = match (template.body, escaped) {
            (Some(body), false) => {
                let text = String::from_utf8(body).map_err(|_| "the body is not UTF-8")?;
                Some(self.filled(&text)?.into_bytes())
            }
            (body, _) => body,
        };
        let end = self.filled(&template.end)?;
        let mut frame = MsrpText { start, headers, body, flag: end.chars().last().unwrap_or('$') };
        if end != format!("-------{}{}", frame.id(), frame.flag) {
            return Err(format!("{end} is not the end of {}", frame.start));
        }
        let defaults = self.connections.all[at].defaults(&frame);
        for (place, (name, value)) in defaults.into_iter().enumerate() {
            if frame.header(name).is_none() && !without.contains(&name.to_ascii_lowercase()) {
                let value = value.ok_or_else(|| format!("{name} is missing, and nothing says what it should be"))?;
                frame.headers.insert(place.min(frame.headers.len()), (name.to_owned(), value));
            }
        }
        if frame.method().is_some() {
            self.connections.all[at].sent = Some(frame.clone());
        }
        let bytes = frame.to_bytes();
        self.sent.insert(actor.to_owned(), Sent::Msrp(at, bytes.clone()));
        self.msrp_bytes(at, &[&bytes])
    }

    /// A SIP user sends bytes, in two pieces.
    pub fn msrp_sends_bytes(&mut self, actor: &str, block: &str, on: Option<&str>) -> Check {
        let at = self.connections.find(actor, on)?;
        let bytes = raw_block(&self.filled(block)?)?;
        self.sent.insert(actor.to_owned(), Sent::Msrp(at, bytes.clone()));
        let (first, second) = bytes.split_at(bytes.len() / 2);
        self.msrp_bytes(at, &[first, second])
    }

    pub(super) fn msrp_bytes(&mut self, at: usize, pieces: &[&[u8]]) -> Check {
        for piece in pieces {
            let connection = &mut self.connections.all[at];
            if !connection.open {
                return Err("the connection is closed".to_owned());
            }
            connection.decoder.push(piece);
            while let Some(arrival) = self.connections.all[at].decoder.next() {
                match arrival {
                    Ok(arrival) => self.input(Input::Msrp(ConnectionId(at as u64), arrival)),
                    Err(_) => {
                        self.connections.all[at].open = false;
                        let to = self.connections.all[at].actor.clone();
                        self.pending.push_back(Pending::Closed { to, connection: at });
                        self.lost(at);
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// The transaction of the oldest SEND or NICKNAME that somebody got and that is not answered yet.
    pub fn unanswered(&mut self) -> Option<String> {
        self.first_unanswered(|_| true)
    }

    /// The same of what this actor got.
    pub fn unanswered_of(&mut self, actor: &str) -> Option<String> {
        self.first_unanswered(|who| who == actor)
    }

    fn first_unanswered(&mut self, whose: impl Fn(&str) -> bool) -> Option<String> {
        let open = self.connections.all.iter_mut().filter(|connection| connection.open && whose(&connection.actor));
        for connection in open {
            let waits = |frame: &MsrpText| {
                matches!(frame.method(), Some("SEND" | "NICKNAME")) && frame.header("Failure-Report") != Some("no")
            };
            if let Some(frame) =
                connection.got.iter().find(|frame| waits(frame) && !connection.answered.contains(frame.id()))
            {
                connection.answered.insert(frame.id().to_owned());
                return Some(frame.id().to_owned());
            }
        }
        None
    }

    /// A SIP user gets the next frame, on any of its connections or on this one, and it shows what `block` shows.
    pub fn msrp_gets(&mut self, actor: &str, block: &str, escaped: bool, on: Option<&str>) -> Check {
        let wanted = frame_block(block, escaped)?;
        let pending = self.next_for(actor, Kind::Msrp, block)?;
        let Pending::Msrp { connection, frame, .. } = &pending else { return Err("that is no frame".to_owned()) };
        let connection = self.connections.all.get_mut(*connection).ok_or("there is no such connection")?;
        if let Some(name) = on.filter(|name| connection.name.as_deref() != Some(*name)) {
            return Err(format!("it came over another connection than {name}: {frame}"));
        }
        if frame.method().is_some() {
            connection.got.push(frame.clone());
        }
        frame_shows(&wanted, frame, &mut self.captures)
            .map_err(|why| format!("{why}\nexpected\n{block}\ngot\n{pending}"))
    }
}

impl Connection {
    /// The headers that `frame` has if it does not say otherwise, in their order; nothing where it must say.
    fn defaults(&self, frame: &MsrpText) -> Vec<(&'static str, Option<String>)> {
        let header = |of: &MsrpText, name| of.header(name).map(str::to_owned);
        if frame.status().is_some() {
            let request = self.got.iter().rev().find(|request| request.id() == frame.id());
            let answer = request.map(|request| request.response(0, ""));
            let path = |name| answer.as_ref().and_then(|answer| header(answer, name));
            return vec![("To-Path", path("To-Path")), ("From-Path", path("From-Path"))];
        }
        let last = self.got.last();
        let path = |name, other| {
            let own = self.sent.as_ref().and_then(|sent| header(sent, name));
            own.or_else(|| last.and_then(|last| header(last, other)))
        };
        let mut headers = vec![("To-Path", path("To-Path", "From-Path")), ("From-Path", path("From-Path", "To-Path"))];
        if frame.method() == Some("SEND") {
            headers.push(("Message-ID", Some(format!("m-{}", frame.id()))));
            let n = frame.body.as_ref().map_or(0, Vec::len);
            headers.push(("Byte-Range", Some(format!("1-{n}/{n}"))));
        }
        headers
    }
}
