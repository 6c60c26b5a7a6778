//! Who may speak, and to whom: RFC 7247 §8, and no open relay.

use super::Gateway;
use crate::address;
use crate::config::{LinkId, Peer};
use crate::error::Refusal;
use crate::numbers;
use crate::trunk::{self, Trunk};
use base::Str;
use sip::agent::{Flow, Transport};
use sip::{Method, NameAddr, Request, Uri};
use std::sync::Arc;
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

impl Gateway {
    /// Whether `from` is the other side of the dialog that the request names. What is in no dialog is the engine's to refuse.
    pub(super) fn is_party(&self, request: &Request, flow: Flow, from: &Jid) -> bool {
        let watched = self.subscriptions.find(request).and_then(|id| self.subscriptions.dialog(id));
        let dialog = watched.or_else(|| self.sessions.find(request).and_then(|id| self.sessions.dialog(id)));
        let Some(dialog) = dialog else { return true };
        let remote = NameAddr::parse(&dialog.remote_uri).ok();
        let remote = remote.and_then(|remote| self.speaker(request, &remote.uri, flow).ok());
        remote.is_some_and(|(said, remote)| remote.unwrap_or(said).same_bare(from))
    }

    /// Whom the certificates of connections name, as they were told ([`crate::gateway::Input::SipSecured`]): for the gateway that comes after this one.
    pub fn take_secured(&mut self) -> Vec<(u64, Arc<[Str]>)> {
        self.secured.take_sorted()
    }

    /// Takes note of the sender's name. Whom it speaks to, the dialog knows: the Request-URI is our Contact.
    pub(super) fn hear_in_dialog(&mut self, request: &Request, flow: Flow, from: &Jid) {
        let dialog = self.subscriptions.find(request).and_then(|id| self.subscriptions.dialog(id));
        let local = dialog.and_then(|dialog| NameAddr::parse(&dialog.local_uri).ok());
        let to = local.and_then(|local| address::to_jid(&local.uri, &self.addresses).ok());
        if let Some(to) = to {
            self.hear_name(request, flow, from, &to);
        }
    }

    /// Takes note of the sender's name.
    pub(super) fn hear_name(&mut self, request: &Request, flow: Flow, from: &Jid, to: &Jid) {
        let name = numbers::name(request, self.peers(flow).any(|peer| peer.trusted));
        self.names.heard(from, to, name.as_deref());
    }

    /// Who may speak, and to whom: RFC 7247 §8, and no open relay.
    pub(super) fn check_request(&self, request: &Request, flow: Flow) -> Result<(Jid, Jid, LinkId), Refusal> {
        let to_header = request.headers.to().map_err(|_| Refusal::BadRequest("Bad To"))?;
        if [&request.uri, &to_header.uri].into_iter().any(is_sips) {
            return Err(Refusal::SipsNotAllowed);
        }
        let (from, link) = self.check_peer(request, flow)?;
        if from.local().is_none() {
            return Err(Refusal::SenderNotAllowed);
        }
        if numbers::wants_privacy(request) {
            return Err(Refusal::NoPrivacy);
        }
        // Most XMPP servers still apply stringprep, which would make another user of this one.
        address::keeps_its_name(&from).map_err(Refusal::Sender)?;
        let to = match self.called_by_account(&request.uri) {
            Some(user) => user,
            None => self.recipient(request, flow)?,
        };
        if !self.config.reaches(link, to.domain()) {
            return Err(Refusal::NotServed);
        }
        // The gateway ends the SIP path and begins an XMPP one: the request is forwarded in all but name (RFC 5393, RFC 7247 §8).
        if request.headers.max_forwards().ok().flatten() == Some(0) {
            return Err(Refusal::TooManyHops);
        }
        Ok((from, to, link))
    }

    /// The XMPP user whom a registrar reaches by the Contact that it was given for the user's account, if this is one: at our address, or where the
    /// operator has Contacts lead to.
    pub(super) fn called_by_account(&self, uri: &Uri) -> Option<Jid> {
        let uri = uri.sip()?;
        let user = self.linked.called(uri)?;
        const TRANSPORTS: [Transport; 5] =
            [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];
        let ours = |transport| self.sip.sent_by(transport).is_some_and(|(host, _)| *host == uri.host);
        let host = uri.host.to_string();
        let by_domain = || self.config.is_xmpp(&host);
        (TRANSPORTS.into_iter().any(ours) || by_domain()).then_some(user)
    }

    /// Whom a request is for: its Request-URI says it, or the trunk that it comes from and whose account it is for.
    fn recipient(&self, request: &Request, flow: Flow) -> Result<Jid, Refusal> {
        let to = address::to_jid(&request.uri, &self.addresses).map_err(Refusal::Address);
        let served = |to: &Jid| self.config.xmpp_domains.iter().any(|domain| domain == to.domain());
        if to.as_ref().is_ok_and(served) {
            return to;
        }
        let user = self.trunks_at(flow).find_map(|trunk| trunk::user_of(trunk, request));
        user.cloned().map_or(to, Ok)
    }

    /// The trunks that something comes from.
    fn trunks_at(&self, flow: Flow) -> impl Iterator<Item = &Trunk> + Clone {
        let names = flow.connection.and_then(|connection| self.secured.get(&connection));
        self.trunks.behind(flow.remote.ip(), names.map_or(&[], |names| names))
    }

    /// Whether whoever sent this may speak for its From.
    pub(super) fn check_peer(&self, request: &Request, flow: Flow) -> Result<(Jid, LinkId), Refusal> {
        let from_header = request.headers.from().map_err(|_| Refusal::BadRequest("Bad From"))?;
        let (said, mapped) = self.speaker(request, &from_header.uri, flow)?;
        let from = mapped.as_ref().unwrap_or(&said);
        if [&said, from].into_iter().any(|jid| self.config.xmpp_domains.iter().any(|d| d == jid.domain())) {
            return Err(Refusal::SpoofedDomain);
        }
        let may = |peer: &Peer| peer.domains.iter().any(|d| d == said.domain() || d == from.domain());
        let carries = |trunk: &Trunk| trunk.domains.iter().any(|d| d == said.domain() || d == from.domain());
        // Who registers here has proved it before anything else was looked at, by its name as it is written; nobody else speaks for them, and no rule makes
        // one of them of somebody else.
        let allowed = match [&said, from].into_iter().any(|jid| self.phones.serves(jid.domain())) {
            true => {
                let written = address::to_jid(&from_header.uri, &self.addresses).map_err(Refusal::Sender)?;
                written.same_bare(from) && self.phones.is_account(&written)
            }
            false => self.peers(flow).any(may) || self.trunks_at(flow).any(carries),
        };
        let link = self.config.links.iter().position(|l| l.domain == from.domain());
        match (allowed, link) {
            (true, Some(link)) => Ok((mapped.unwrap_or(said), link)),
            (false, _) | (_, None) => Err(Refusal::SenderNotAllowed),
        }
    }

    /// Who a URI in From or To of a request from SIP stands for: as it is said, and as the XMPP side sees it if that is another. Those who do not say who they are may call,
    /// if the operator lets them, and nothing else.
    fn speaker(&self, request: &Request, uri: &Uri, flow: Flow) -> Result<(Jid, Option<Jid>), Refusal> {
        use Method::{Notify, Options, Publish, Subscribe};
        let said = address::to_jid(uri, &self.addresses).map_err(Refusal::Sender)?;
        let said = trunk::number_at(self.trunks_at(flow), &said).unwrap_or(said);
        let config = &self.config;
        // Who registers here is who it says: no rule for numbers makes somebody else of it.
        if self.phones.serves(said.domain()) || matches!(request.method, Subscribe | Notify | Publish | Options) {
            return Ok((said, None));
        }
        if numbers::is_anonymous(uri) {
            // Who is in a call already stays in it, whatever is configured anew.
            let welcome = config.numbers.anonymous || request.headers.to_tag().is_some();
            let calls = welcome && config.media.is_some() && request.method != Method::Message;
            let own = |domain: &&Str| config.links.iter().any(|link| link.domain == **domain);
            let mut domains = self.peers(flow).flat_map(|peer| &peer.domains).filter(own);
            let phones = config.phone_domain.as_ref();
            let domain = domains.clone().find(|domain| Some(*domain) == phones).or_else(|| domains.next());
            let nobody = domain.filter(|_| calls).and_then(|domain| numbers::anonymous(domain));
            return nobody.map(|nobody| (nobody, None)).ok_or(Refusal::Anonymous);
        }
        let from = config.numbers.caller(&said);
        Ok((said, from))
    }

    /// Whether whoever sent something this way may have passed it on for others: what they do is not held against it.
    pub(super) fn passes_on(&self, flow: Flow) -> bool {
        self.peers(flow).next().is_some() || self.trunks_at(flow).next().is_some()
    }

    /// What is said of whoever sent something this way.
    fn peers(&self, flow: Flow) -> impl Iterator<Item = &Peer> + Clone {
        self.config.peers_of(flow, &self.secured)
    }

    pub(super) fn check_stanza(&self, link: LinkId, stanza: &Stanza) -> Result<(), Refusal> {
        let Some(l) = self.config.links.get(link) else { return Err(Refusal::NotServed) };
        let Some(from) = &stanza.from else { return Err(Refusal::BadRequest("from is missing")) };
        // A stanza from a SIP domain of ours has come round a loop, or lies.
        if self.config.links.iter().any(|l| l.domain == from.domain()) {
            return Err(Refusal::SpoofedDomain);
        }
        if !l.allow_from.is_empty() && !l.allow_from.iter().any(|d| d == from.domain()) {
            return Err(Refusal::SenderNotAllowed);
        }
        Ok(())
    }
}

/// RFC 7247 §8: a SIPS To or Request-URI asks for TLS on all hops, which XMPP cannot promise.
fn is_sips(uri: &Uri) -> bool {
    uri.scheme() == "sips"
}
