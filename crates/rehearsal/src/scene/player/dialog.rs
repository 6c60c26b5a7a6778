//! The dialogs of the SIP users of a scene: what they remember, so that a scene need not say it.

use crate::wire::{SipText, parameter, uri_of};

/// A dialog that an INVITE has begun, as one end of it sees it.
#[derive(Debug, Clone, Default)]
struct Dialog {
    actor: String,
    call_id: String,
    /// From of what it sends, and To.
    local: String,
    remote: String,
    /// Where requests within the dialog go.
    target: String,
    /// The highest CSeq that it has sent.
    sequence: u32,
    /// The last INVITE that it has sent.
    invite: Option<Invite>,
}

#[derive(Debug, Clone, Default)]
struct Invite {
    uri: String,
    to: String,
    via: String,
    sequence: u32,
    /// The last status that it got, 0 for none.
    status: u16,
}

/// All of them, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Dialogs(Vec<Dialog>);

impl Dialogs {
    fn of(&mut self, actor: &str, call_id: Option<&str>) -> Option<&mut Dialog> {
        self.0.iter_mut().rev().find(|d| d.actor == actor && call_id.is_none_or(|c| d.call_id == c))
    }

    /// The tag that `actor` has in the dialog of this request, if it has spoken.
    pub(super) fn tag(&mut self, actor: &str, request: &SipText) -> Option<String> {
        let dialog = self.of(actor, request.header("Call-ID"))?;
        parameter(&dialog.local, "tag").map(str::to_owned)
    }

    /// `actor` sends this.
    pub(super) fn sent(&mut self, actor: &str, message: &SipText) {
        let value = |name| message.header(name).unwrap_or_default().to_owned();
        let (sequence, method) = cseq(message);
        let call_id = value("Call-ID");
        if message.status().is_some() {
            if let (true, Some(dialog)) = (method == "INVITE", self.of(actor, Some(&call_id))) {
                dialog.local = value("To");
            }
            return;
        }
        let uri = message.request().map(|(_, uri)| uri.to_owned()).unwrap_or_default();
        if method == "INVITE" && self.of(actor, Some(&call_id)).is_none() {
            let (local, remote, target) = (value("From"), value("To"), uri.clone());
            let actor = actor.to_owned();
            self.0.push(Dialog { actor, call_id: call_id.clone(), local, remote, target, ..Dialog::default() });
        }
        let Some(dialog) = self.of(actor, Some(&call_id)) else { return };
        match method {
            "ACK" | "CANCEL" => {}
            "INVITE" => {
                let (to, via) = (value("To"), value("Via"));
                dialog.invite = Some(Invite { uri, to, via, sequence, status: 0 });
                dialog.sequence = sequence;
            }
            _ => dialog.sequence = dialog.sequence.max(sequence),
        }
    }

    /// `actor` gets this.
    pub(super) fn got(&mut self, actor: &str, message: &SipText) {
        let value = |name| message.header(name).unwrap_or_default().to_owned();
        let (sequence, method) = cseq(message);
        if method != "INVITE" {
            return;
        }
        let call_id = value("Call-ID");
        let contact = message.header("Contact").map(|contact| uri_of(contact).to_owned());
        let known = self.of(actor, Some(&call_id));
        match (message.status(), known) {
            (None, Some(dialog)) => dialog.target = contact.unwrap_or_default(),
            (None, None) => {
                let (local, remote, target) = (value("To"), value("From"), contact.unwrap_or_default());
                let actor = actor.to_owned();
                self.0.push(Dialog { actor, call_id, local, remote, target, ..Dialog::default() });
            }
            (Some(status), Some(dialog)) => {
                let Some(invite) = dialog.invite.as_mut().filter(|invite| invite.sequence == sequence) else { return };
                invite.status = status;
                if parameter(&value("To"), "tag").is_some() {
                    dialog.remote = value("To");
                }
                if let (Some(contact), 101..=299) = (contact, status) {
                    dialog.target = contact;
                }
            }
            (Some(_), None) => {}
        }
    }

    /// Fills in what a request within the last dialog of `actor` lacks, or within that of its own Call-ID: Request-URI (where the scene
    /// has `*`), From, To, Call-ID, CSeq; an ACK and a CANCEL are those of the last INVITE.
    pub(super) fn complete(&mut self, actor: &str, method: &str, message: &mut SipText) -> Result<(), String> {
        let call_id = message.header("Call-ID").map(str::to_owned);
        let none = || format!("{actor} has no dialog");
        let dialog = self.of(actor, call_id.as_deref()).ok_or_else(none)?;
        let no_invite = || format!("{actor} has sent no INVITE");
        let (mut uri, mut remote, mut via) = (dialog.target.clone(), dialog.remote.clone(), None);
        let sequence = match method {
            "ACK" | "CANCEL" => {
                let invite = dialog.invite.as_ref().ok_or_else(no_invite)?;
                // RFC 3261 §17.1.1.3, §9.1: within the INVITE's own transaction.
                if method == "CANCEL" || invite.status >= 300 {
                    (uri, via) = (invite.uri.clone(), Some(invite.via.clone()));
                }
                if method == "CANCEL" {
                    remote.clone_from(&invite.to);
                }
                invite.sequence
            }
            _ => dialog.sequence + 1,
        };
        message.start = format!("{method} {uri} SIP/2.0");
        let all = [
            ("Via", via),
            ("From", Some(dialog.local.clone())),
            ("To", Some(remote)),
            ("Call-ID", Some(dialog.call_id.clone())),
            ("CSeq", Some(format!("{sequence} {method}"))),
        ];
        for (name, value) in all {
            if let (None, Some(value)) = (message.header(name), value) {
                message.push(name, value);
            }
        }
        Ok(())
    }
}

/// The number and the method of CSeq.
pub(super) fn cseq(message: &SipText) -> (u32, &str) {
    let mut words = message.header("CSeq").unwrap_or_default().split_whitespace();
    (words.next().and_then(|n| n.parse().ok()).unwrap_or(0), words.next().unwrap_or_default())
}
