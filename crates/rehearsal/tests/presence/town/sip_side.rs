//! The SIP users of a town: those who watch, and those who are watched behind a presence agent.

use super::*;

impl Town {
    pub(super) fn carry(&mut self, bytes: Bytes) {
        if self.chance.below(1000) >= self.lost {
            let after = self.way();
            self.at(after, Event::Sip(bytes, SOURCE.into()));
        }
    }

    /// A SIP user sends a request, and again until it is answered.
    pub(super) fn request(&mut self, text: String, branch: &str, who: Option<usize>) {
        let bytes = Bytes::from(text);
        self.open.insert(branch.to_owned(), (bytes.clone(), who));
        self.carry(bytes);
        let until = self.now + secs(32);
        self.at(ms(500), Event::Again { branch: branch.to_owned(), wait: secs(1), until });
    }

    /// A SIP user begins to watch.
    pub fn watch(&mut self, user: &str, contact: &str, expires: u32) -> usize {
        let n = self.mint();
        let who = self.watchers.len();
        let call_id = format!("watch{n}@town");
        self.by_call.insert(call_id.clone(), who);
        self.watchers.push(Watcher {
            user: user.into(),
            contact: contact.into(),
            call_id,
            tag: format!("t{n}"),
            expires,
            keeps: true,
            ..Watcher::default()
        });
        self.subscribe_now(who, expires);
        who
    }

    /// It watches on, or ends it with 0.
    pub fn again(&mut self, who: usize, expires: u32) {
        self.watchers[who].expires = expires;
        self.subscribe_now(who, expires);
    }

    pub(super) fn refresh(&mut self, who: usize) {
        let expires = self.watchers[who].expires;
        self.subscribe_now(who, expires);
    }

    pub(super) fn subscribe_now(&mut self, who: usize, expires: u32) {
        let n = self.mint();
        let w = &mut self.watchers[who];
        w.cseq += 1;
        let uri = w.target.clone().unwrap_or_else(|| format!("sip:{}", w.contact));
        let to_tag = w.to_tag.as_ref().map(|tag| format!(";tag={tag}")).unwrap_or_default();
        let text = format!(
            "SUBSCRIBE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKtown{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:{}@example.net>;tag={}\r\nTo: <sip:{}>{to_tag}\r\nCall-ID: {}\r\nCSeq: {} SUBSCRIBE\r\n\
             Contact: <sip:{}@192.0.2.20>\r\nEvent: presence\r\nAccept: application/pidf+xml\r\nExpires: {expires}\r\n\
             Content-Length: 0\r\n\r\n",
            w.user, w.tag, w.contact, w.call_id, w.cseq, w.user
        );
        self.request(text, &format!("z9hG4bKtown{n}"), Some(who));
    }

    pub(super) fn sip_came(&mut self, bytes: &Bytes) {
        let message = SipText::parse(bytes).expect("the gateway speaks SIP");
        if let Some(log) = &mut self.log {
            log.push((self.now, message.clone()));
        }
        if let Some(code) = message.status() {
            return self.answer_came(code, &message);
        }
        let branch = message.branch().unwrap().to_owned();
        match self.answered.get(&branch).cloned() {
            Some(answer) if answer.is_empty() => return,
            Some(answer) => return self.carry(answer),
            None => {}
        }
        let (method, uri) = message.request().unwrap();
        let (method, uri) = (method.to_owned(), uri.to_owned());
        match method.as_str() {
            "NOTIFY" => self.notify_came(&branch, &message),
            "SUBSCRIBE" => self.subscribe_came(&branch, &message, &uri),
            other => self.fault(&format!("the gateway sends {other}")),
        }
    }

    pub(super) fn respond(&mut self, branch: &str, response: &SipText) {
        let bytes = Bytes::from(response.to_bytes());
        self.answered.insert(branch.to_owned(), bytes.clone());
        self.carry(bytes);
    }

    pub(super) fn answer_came(&mut self, code: u16, message: &SipText) {
        let Some((_, who)) = message.branch().and_then(|branch| self.open.remove(branch)) else { return };
        let Some(who) = who else {
            self.notify_codes.push(code);
            let user = user_of(message.header("From").unwrap()).unwrap();
            if code == 481
                && let Some(pa) = self.watched.get_mut(user)
            {
                pa.dialogs.remove(message.header("Call-ID").unwrap());
            }
            return;
        };
        let now = self.now;
        let w = &mut self.watchers[who];
        w.codes.push(code);
        let user = format!("{}@example.net", w.user);
        if code == 481
            && !w.over
            && w.expires > 0
            && self.accounts.get(&w.contact).is_some_and(|a| a.subscribers.contains(&user) || a.policy == Policy::Leave)
        {
            let what = format!("{:?}: a promise is not kept: {w:?}", self.now);
            self.faults.push(what);
        }
        let w = &mut self.watchers[who];
        w.retry_after = message.header("Retry-After").map(str::to_owned);
        w.min_expires = message.header("Min-Expires").map(str::to_owned);
        match code {
            200..300 => {
                let tag = parameter(message.header("To").unwrap(), "tag").map(str::to_owned);
                if w.to_tag.is_none() || w.to_tag == tag {
                    w.to_tag = tag;
                    w.target = message.header("Contact").map(|c| uri_of(c).to_owned());
                }
                let granted: u32 = message.header("Expires").unwrap().parse().unwrap();
                w.until = Some(now + secs(granted.into()));
                if granted > 0 {
                    self.at(secs(u64::from(granted) * 3 / 4), Event::Refresh(who));
                }
            }
            481 => w.over = true,
            _ => {}
        }
    }

    /// A NOTIFY to a SIP user who watches.
    pub(super) fn notify_came(&mut self, branch: &str, message: &SipText) {
        self.notifies += 1;
        let Some(&who) = message.header("Call-ID").and_then(|call_id| self.by_call.get(call_id)) else {
            return self.fault(&format!("a NOTIFY for nobody: {message}"));
        };
        let state = message.header("Subscription-State").unwrap_or_default().to_owned();
        let cseq: u32 = message.header("CSeq").unwrap().split(' ').next().unwrap().parse().unwrap();
        let body = (!message.body.is_empty()).then(|| message.text());
        let (contact, user) = (self.watchers[who].contact.clone(), format!("{}@example.net", self.watchers[who].user));
        let approved = self.accounts.get(&contact).is_some_and(|account| account.subscribers.contains(&user));
        if body.is_some() && !approved && !body.as_ref().is_some_and(|b| b.contains("closed")) {
            self.fault(&format!("presence of {contact} to {user}, who is not approved: {message}"));
        }
        if body.is_some() && state.starts_with("pending") {
            self.fault(&format!("pending, with presence: {message}"));
        }
        let now = self.now;
        let w = &mut self.watchers[who];
        let tag = parameter(message.header("From").unwrap(), "tag").map(str::to_owned);
        // RFC 3856 §6.9: one dialog for one SUBSCRIBE, whoever took it.
        if w.to_tag.is_some() && w.to_tag != tag {
            return self.respond(branch, &message.response(481, "", ""));
        }
        w.to_tag = tag;
        w.target = message.header("Contact").map(|c| uri_of(c).to_owned());
        // What is over is over: a gateway that died before it knew may not know (RFC 6665 §4.1.3).
        if w.over {
            return self.respond(branch, &message.response(481, "", ""));
        }
        // A network that changes the order has the older one refused, as RFC 6665 §4.1.3 wants; numbers that come twice have one sender.
        let old = cseq <= w.seen;
        if !old {
            w.seen = cseq;
            w.over |= state.starts_with("terminated");
            w.state = state;
            if body.is_some() {
                w.body = body;
            }
            w.notifies.push(now);
        }
        if w.mute {
            return;
        }
        let ordered = self.lost == 0 && self.delay <= ms(1);
        if old && ordered {
            self.fault(&format!("CSeq goes back: {message}"));
        }
        let code = if old { 500 } else { 200 };
        self.respond(branch, &message.response(code, "", ""));
    }

    /// A SIP user who is watched.
    pub fn watchable(&mut self, user: &str, tuples: &[(&str, &str)]) {
        let tuples = tuples.iter().map(|(id, note)| ((*id).to_owned(), (*note).to_owned())).collect();
        let watched = Watched {
            first: VecDeque::new(),
            answer: (200, Vec::new()),
            state: "active".into(),
            tuples,
            most: 86_400,
            hasty: false,
            body: None,
            dialogs: BTreeMap::new(),
            asked: Vec::new(),
        };
        self.watched.insert(user.to_owned(), watched);
    }

    pub fn of(&mut self, user: &str) -> &mut Watched {
        self.watched.get_mut(user).unwrap()
    }

    pub(super) fn subscribe_came(&mut self, branch: &str, message: &SipText, uri: &str) {
        let (now, tag) = (self.now, format!("pa{}", self.mint()));
        let user = user_of(message.header("To").unwrap()).unwrap().to_owned();
        let Some(pa) = self.watched.get_mut(&user) else {
            return self.respond(branch, &message.response(404, "Not Found", "x"));
        };
        let call_id = message.header("Call-ID").unwrap().to_owned();
        let asked: u32 = message.header("Expires").unwrap().parse().unwrap();
        pa.asked.push((now, asked));
        let known = parameter(message.header("To").unwrap(), "tag").is_some();
        pa.dialogs.retain(|_, held| held.until > now);
        let (mut code, headers) = pa.first.pop_front().unwrap_or_else(|| pa.answer.clone());
        if code < 300 && known && !pa.dialogs.contains_key(&call_id) {
            code = 481;
        }
        if code == 0 {
            self.answered.insert(branch.to_owned(), Bytes::new());
            return;
        }
        let mut response = message.response(code, "", &tag);
        headers.iter().for_each(|(name, value)| response.push(name, value.as_str()));
        if code >= 300 {
            return self.respond(branch, &response);
        }
        let granted = asked.min(pa.most);
        response.push("Expires", granted.to_string());
        response.push("Contact", format!("<sip:{user}@192.0.2.20>"));
        let cseq: u32 = message.header("CSeq").unwrap().split(' ').next().unwrap().parse().unwrap();
        let held = pa.dialogs.entry(call_id.clone()).or_insert_with(|| Held {
            from: format!("{};tag={tag}", message.header("To").unwrap()),
            to: message.header("From").unwrap().to_owned(),
            target: uri_of(message.header("Contact").unwrap()).to_owned(),
            cseq: 0,
            seen: 0,
            until: now,
        });
        let back = known && cseq <= held.seen;
        held.seen = cseq;
        held.until = now + secs(u64::from(granted).max(2));
        let hasty = pa.hasty;
        if back {
            self.fault(&format!("CSeq goes back: {message} to {uri}"));
        }
        if !hasty {
            self.respond(branch, &response);
        }
        let state = match (asked, self.watched[&user].state.as_str()) {
            (0, "active") => "terminated;reason=timeout".to_owned(),
            // Who may not see may not poll.
            (0, _) => "terminated;reason=rejected".to_owned(),
            (_, state) => state.to_owned(),
        };
        if !state.is_empty() {
            self.notify(&user, &call_id, &state);
        }
        if hasty {
            self.respond(branch, &response);
        }
        if asked == 0 {
            self.of(&user).dialogs.remove(&call_id);
        }
    }

    /// The document of a SIP user.
    pub(super) fn document(&self, user: &str) -> String {
        if let Some(body) = &self.watched[user].body {
            return body.clone();
        }
        let tuple = |(id, note): &(String, String)| {
            format!("<tuple id='{id}'><status><basic>open</basic></status><note>{note}</note></tuple>")
        };
        let tuples: String = self.watched[user].tuples.iter().map(tuple).collect();
        let tuples = if tuples.is_empty() {
            "<tuple id='x'><status><basic>closed</basic></status></tuple>".to_owned()
        } else {
            tuples
        };
        format!("<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:{user}@example.net'>{tuples}</presence>")
    }

    /// A presence agent tells a dialog the state.
    pub fn notify(&mut self, user: &str, call_id: &str, state: &str) {
        let (n, now, body) = (self.mint(), self.now, self.document(user));
        let Some(held) = self.of(user).dialogs.get_mut(call_id) else { return };
        held.cseq += 1;
        let left = held.until.since(now).as_secs();
        let expires = if state.starts_with("terminated") { String::new() } else { format!(";expires={left}") };
        let text = format!(
            "NOTIFY {} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKtown{n}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\n\
             Call-ID: {call_id}\r\nCSeq: {} NOTIFY\r\nContact: <sip:{user}@192.0.2.20>\r\nEvent: presence\r\n\
             Subscription-State: {state}{expires}\r\nContent-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n{body}",
            held.target,
            held.from,
            held.to,
            held.cseq,
            body.len()
        );
        self.request(text, &format!("z9hG4bKtown{n}"), None);
    }

    /// A presence agent tells everybody.
    pub fn publish(&mut self, user: &str, tuples: &[(&str, &str)]) {
        self.of(user).tuples = tuples.iter().map(|(id, note)| ((*id).to_owned(), (*note).to_owned())).collect();
        let calls: Vec<String> = self.of(user).dialogs.keys().cloned().collect();
        calls.iter().for_each(|call_id| self.notify(user, call_id, "active"));
    }

    /// Any SIP, for one answer. Its branch is given.
    pub fn raw(&mut self, text: &str) {
        self.carry(Bytes::from(text.to_owned()));
    }
}
