#!/usr/bin/python3
"""A Jingle device that a test drives: slixmpp for the stanzas, aiortc for ICE, DTLS-SRTP, opus, G.711 and VP8.

Each line on stdin is one command, an object with the key "do"; each line on stdout is one event, an object with the key
"event". A call is named by its sid. Whatever the other side does against an XEP is a "fault", and a fault fails the test, also where the
test looked elsewhere (jingle_session.py has the rules). The end of stdin ends the device.

Commands
    connect   jid, password, host, port, address (of the media), folder (of the recordings) -> "online" or "failed"
              once more after "offline": calls go on
    policy    how it behaves from now on, see POLICY    -> "noted"
    allow     fault: what contains this text is no fault -> "noted"
    call      to, media ["audio", "video"]              -> "calling" {call}
    accept    call                                      -> "answered"
    reject    call, reason (busy, decline, ...)         -> "ended"
    hangup    call, reason, text: also before the answer, when it is a retract or "cancel" -> "ended"
    hold, resume   call, manner: info, modify or both   mute, unmute  call
    add       call, media                               -> "added" or "rejected"
    remove    call, content                             restart  call, content (ICE)  -> "restarted"
    send      call, action, xml (children)              -> nothing; a jingle element as it is
    greet     to: shows itself to somebody              -> "greeted"
    disconnect                                          -> "offline"
    look                                                -> "look" {calls}
Events
    online offline failed noted greeted problem fault look
    proposed {call, peer, media}  proceeding {call, peer}  calling incoming {call, peer, media, proposed}  ringing {call, by}
    answered {call, by}  elsewhere {call}  missed {call, condition}  ended {call, by, condition, text}
    recording {call, path}  connected failed picture restarted {call, content}
    held resumed modified asked added rejected removed dtmf info  {call, ...}
    refused {call, action, condition, jingle}: an iq error to what we said (a fault as well)
"""

import asyncio
import json
import logging
import os
import sys
import uuid
import xml.etree.ElementTree as ET

import slixmpp
import webrtc
from jingle_session import ERRORS, JINGLE, REASONS, RTP, Refused, Session, element
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

CLIENT = "{jabber:client}"
STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
JMI, HINTS, CARBONS = "{urn:xmpp:jingle-message:0}", "{urn:xmpp:hints}", "{urn:xmpp:carbons:2}"
FORWARD = "{urn:xmpp:forward:0}"
# An iq that nobody answers for so long is a fault.
PATIENCE = 12
FEATURES = (
    "urn:xmpp:jingle:1", "urn:xmpp:jingle:apps:rtp:1", "urn:xmpp:jingle:apps:rtp:audio", "urn:xmpp:jingle:apps:rtp:video",
    "urn:xmpp:jingle:apps:rtp:rtcp-fb:0", "urn:xmpp:jingle:apps:rtp:ssma:0", "urn:xmpp:jingle:transports:ice-udp:1",
    "urn:xmpp:jingle:apps:dtls:0",
)  # fmt: skip
POLICY = {
    # What it does when it is called: accept, ring (and wait for an order), reject, silent (says that it has heard, no more),
    # deaf (does not even answer the iq), error (answers the session-initiate with an error).
    "answer": "accept",
    "after": 0.0,  # seconds of ringing before it accepts
    "reason": "busy",  # of "reject"
    "condition": "service-unavailable",  # of "error"
    "jmi": True,  # knows XEP-0353
    "tone": 1000,  # Hz that it sends; 0: nothing
    "codecs": ["opus", "PCMU", "PCMA"],  # of audio, in this order
    "trickle": False,  # candidates one by one, after the offer or answer
    "late": 0.0,  # and so many seconds after
    "add": "accept",  # a content-add: accept, reject, silent
}


def emit(event, **fields):
    """One event out. Nothing is buffered: the test waits for this line."""
    fields["event"] = event
    sys.stdout.write(json.dumps(fields, ensure_ascii=True) + "\n")
    sys.stdout.flush()


class Client(slixmpp.ClientXMPP):
    """The stream. What it reads goes to the device."""

    def __init__(self, device, jid, password):
        super().__init__(jid, password)
        self.device = device
        for plugin in ("xep_0030", "xep_0115", "xep_0199", "xep_0280"):
            self.register_plugin(plugin)
        self.auto_authorize, self.auto_subscribe = None, False
        for feature in FEATURES + (("urn:xmpp:jingle-message:0",) if device.policy["jmi"] else ()):
            self["xep_0030"].add_feature(feature)
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("failed_all_auth", lambda _: emit("failed", why="authentication"))
        self.add_event_handler("connection_failed", self.no_connection)
        self.add_event_handler("disconnected", lambda reason: emit("offline", why=str(reason)))
        jingle = MatchXPath(f"{CLIENT}iq/{JINGLE}jingle")
        self.register_handler(Callback("jingle", jingle, lambda stanza: device.iq_came(stanza.xml)))
        self.register_handler(Callback("messages", MatchXPath(CLIENT + "message"), lambda stanza: device.message_came(stanza.xml)))
        self.register_handler(Callback("presences", MatchXPath(CLIENT + "presence"), self.presence_came))

    async def started(self, _):
        self.get_roster()
        await self["xep_0115"].update_caps(broadcast=False)
        await self["xep_0280"].enable()
        self.send_presence()

    def no_connection(self, reason):
        """Once is enough: whether to try again is the test's decision."""
        self.cancel_connection_attempt()
        emit("failed", why=str(reason))

    def presence_came(self, stanza):
        if stanza.xml.get("from") == self.boundjid.full and stanza.xml.get("type") is None:
            emit("online", jid=self.boundjid.full)


class Proposal:
    """A call that was proposed and is not a session yet (XEP-0353)."""

    def __init__(self, sid, peer, media, ours):
        self.sid, self.peer, self.media, self.ours = sid, peer, media, ours
        self.proceeded = False


class Device:
    """Who is called and calls."""

    def __init__(self):
        self.policy, self.allowed, self.name = dict(POLICY), [], "device"
        self.xmpp, self.address, self.folder = None, None, None
        self.sessions, self.proposals = {}, {}
        self.recordings, self.count, self.refused = [], 0, set()

    @property
    def me(self):
        return self.xmpp.boundjid.full

    def tell(self, event, **fields):
        if event != "fault" or not any(text in fields["what"] for text in self.allowed):
            emit(event, **fields)

    def fault(self, what):
        self.tell("fault", what=what)

    # What sessions say.

    def ask(self, session, to, jingle):
        """An iq set; it is a fault where nobody answers, or with an error while the call lasts."""
        self.count += 1
        iq = self.xmpp.make_iq(ito=to, itype="set")
        iq["id"] = f"{self.name}-{os.getpid()}-{self.count}"
        iq.xml.append(jingle)
        action, stream = jingle.get("action"), self.xmpp

        def done(answer):
            if answer["type"] != "error":
                return
            error = answer.xml.find(CLIENT + "error")
            own = [e.tag for e in error] if error is not None else []
            condition = next((tag[len(STANZAS):] for tag in own if tag.startswith(STANZAS) and not tag.endswith("}text")), None)
            jingle_condition = next((tag[len(ERRORS):] for tag in own if tag.startswith(ERRORS)), None)
            self.tell("refused", call=session.sid, action=action, condition=condition, jingle=jingle_condition)
            if action == "session-initiate":
                session.do(session.over("them", condition, None))
            else:
                # What crosses their session-terminate is nobody's fault; it may be here already and wait for its turn.
                what = f"{session.sid}: {action} was refused: {condition} {jingle_condition or ''}"
                asyncio.get_running_loop().call_later(1, lambda: session.ended or self.fault(what))

        def late(_):
            # Whoever is offline hears nothing.
            if stream is self.xmpp and stream.is_connected():
                self.fault(f"{session.sid}: {action}: no answer within {PATIENCE} s")

        # Errors are told; slixmpp raises them as well.
        iq.send(callback=done, timeout=PATIENCE, timeout_callback=late).add_done_callback(lambda f: f.cancelled() or f.exception())

    def jmi(self, to, name, sid, *children):
        self.count += 1
        message = self.xmpp.make_message(mto=to, mtype="chat")
        message["id"] = f"{self.name}-m{os.getpid()}-{self.count}"
        said = element(JMI + name, id=sid)
        said.extend(children)
        message.xml.append(said)
        message.xml.append(element(HINTS + "store"))
        message.send()

    def reason(self, condition):
        found = element(JINGLE + "reason")
        found.append(element(JINGLE + condition))
        return found

    def finished(self, session):
        self.proposals.pop(session.sid, None)
        if session.jmi and session.state == "active":
            self.jmi(session.peer, "finish", session.sid, self.reason(session.ended[1] or "general-error"))

    async def met(self, session):
        """Somebody calls: what now?"""
        policy = self.policy
        if session.jmi:
            # It was accepted when it was proposed.
            await session.accept()
        elif policy["answer"] in ("accept", "ring"):
            session.say("session-info", element("{urn:xmpp:jingle:apps:rtp:info:1}ringing"))
            if policy["answer"] == "accept":
                asyncio.get_running_loop().call_later(policy["after"], lambda: session.do(session.accept()))
        elif policy["answer"] == "reject":
            await session.terminate(policy["reason"])

    # What comes.

    def iq_came(self, iq):
        if iq.get("type") != "set":
            return
        sender, jingle = iq.get("from"), iq.find(JINGLE + "jingle")
        action, sid = jingle.get("action"), jingle.get("sid")
        if self.policy["answer"] == "deaf":
            return
        try:
            if action == "session-initiate":
                self.initiated(sender, sid, jingle)
            session = self.sessions.get((sender, sid))
            if session is None:
                # What was sent before our error came is nobody's fault.
                if sid not in self.refused:
                    self.fault(f"{sid}: {action} from {sender}, who has no such session")
                raise Refused("item-not-found", "unknown-session")
        except Refused as refused:
            self.answer(iq, refused)
            return
        session.do(self.handle(session, iq, action, jingle))

    async def handle(self, session, iq, action, jingle):
        try:
            session.check(action, jingle)
        except Refused as refused:
            self.answer(iq, refused)
            return
        self.answer(iq, None)
        await session.hear(action, jingle)

    def initiated(self, sender, sid, jingle):
        if self.policy["answer"] == "error":
            self.refused.add(sid)
            raise Refused(self.policy["condition"])
        if (sender, sid) in self.sessions:
            self.fault(f"{sid}: a second session-initiate")
            raise Refused("conflict")
        if jingle.get("initiator") not in (None, sender):
            self.fault(f"{sid}: {sender} says that {jingle.get('initiator')} has begun it")
        session = self.sessions[sender, sid] = Session(self, sid, sender, False)
        proposal = self.proposals.get(sid)
        if proposal is not None and not proposal.ours:
            if proposal.peer != sender:
                self.fault(f"{sid}: proposed by {proposal.peer}, begun by {sender}")
            if not proposal.proceeded:
                self.fault(f"{sid}: begun before we said that we take it")
            session.jmi = proposal.proceeded

    def answer(self, iq, refused):
        answer = self.xmpp.make_iq(ito=iq.get("from"), itype="error" if refused else "result")
        answer["id"] = iq.get("id")
        if refused:
            error = element(CLIENT + "error", type="cancel")
            error.append(element(STANZAS + refused.condition))
            if refused.jingle:
                error.append(element(ERRORS + refused.jingle))
            answer.xml.append(error)
        answer.send()

    def message_came(self, message):
        if message.get("type") == "error":
            for said in message:
                if said.tag.startswith(JMI) and (proposal := self.proposals.pop(said.get("id"), None)):
                    self.tell("ended", call=proposal.sid, by="them", condition="error", text=None)
            return
        carbon = message.find(CARBONS + "sent") if message.get("from") == self.xmpp.boundjid.bare else None
        if carbon is not None:
            inner = carbon.find(f"{FORWARD}forwarded/{CLIENT}message")
            for said in inner if inner is not None else ():
                if said.tag.startswith(JMI):
                    self.carbon(said)
            return
        if message.find(CARBONS + "received") is not None:
            return
        for said in message:
            if said.tag.startswith(JMI):
                self.hear(message, said.tag[len(JMI):], said)

    def carbon(self, said):
        """Another device of ours has said this."""
        proposal = self.proposals.get(said.get("id"))
        if proposal and not proposal.ours and not proposal.proceeded and said.tag[len(JMI):] in ("proceed", "accept", "reject"):
            del self.proposals[proposal.sid]
            self.tell("elsewhere", call=proposal.sid)

    def hear(self, message, name, said):
        sender, sid = message.get("from"), said.get("id")
        if not sid:
            self.fault(f"{name} without an id")
            return
        if message.get("type") != "chat":
            self.fault(f"{name} in a message of type {message.get('type')} (XEP-0353 §3)")
        if name != "propose" and "/" not in sender:
            self.fault(f"{name} from a bare address")
        proposal = self.proposals.get(sid)
        condition = None
        if (reason := said.find(JINGLE + "reason")) is not None:
            condition = next((e.tag[len(JINGLE):] for e in reason if e.tag[len(JINGLE):] in REASONS), None)
        if name == "propose" and self.policy["jmi"]:
            self.proposed(message, sender, sid, said)
        elif name == "retract":
            if proposal and not proposal.ours:
                del self.proposals[sid]
                self.tell("missed", call=sid, condition=condition)
        elif name == "finish":
            self.tell("finished", call=sid, condition=condition)
        elif proposal and proposal.ours:
            if name == "ringing":
                self.tell("ringing", call=sid, by="message")
            elif name == "proceed" and not proposal.proceeded:
                proposal.proceeded = True
                self.tell("proceeding", call=sid, peer=sender)
                self.begin(sid, sender, proposal.media, True)
            elif name == "reject":
                del self.proposals[sid]
                self.tell("ended", call=sid, by="them", condition=condition, text=None)

    def proposed(self, message, sender, sid, said):
        descriptions = said.findall(RTP + "description")
        if not descriptions:
            self.fault(f"{sid}: a proposal of nothing")
        if message.find(HINTS + "store") is None:
            self.fault(f"{sid}: a proposal that nobody stores (XEP-0353 §3.1)")
        if sid in self.proposals:
            return
        media = [d.get("media") for d in descriptions]
        proposal = self.proposals[sid] = Proposal(sid, sender, media, False)
        self.tell("proposed", call=sid, peer=sender, media=media)
        answer = self.policy["answer"]
        if answer in ("accept", "ring"):
            self.jmi(sender, "ringing", sid)
        if answer == "accept":
            asyncio.get_running_loop().call_later(self.policy["after"], self.proceed, proposal)
        elif answer == "reject":
            del self.proposals[sid]
            self.jmi(sender, "reject", sid, self.reason(self.policy["reason"]))

    def proceed(self, proposal):
        if self.proposals.get(proposal.sid) is proposal and not proposal.proceeded:
            proposal.proceeded = True
            self.jmi(proposal.peer, "proceed", proposal.sid)

    def begin(self, sid, peer, media, jmi):
        session = self.sessions[peer, sid] = Session(self, sid, peer, True)
        session.jmi = jmi
        session.do(session.initiate(media))

    # The commands.

    def session(self, order):
        found = [s for (_, sid), s in self.sessions.items() if sid == order["call"]]
        if not found:
            raise ValueError("no such call")
        return found[-1]

    def do_connect(self, order):
        self.address = order["address"]
        webrtc.live_at(self.address)
        self.folder = order["folder"]
        self.name = order["jid"].split("@")[0] + "-" + order["jid"].split("/")[-1]
        client = self.xmpp = Client(self, order["jid"], order["password"])
        # One server on loopback: no look-ups and no TLS.
        client.use_aiodns = False
        client.connect((order["host"], order["port"]), use_ssl=False, force_starttls=False, disable_starttls=True)

    def do_policy(self, order):
        fields = {key: value for key, value in order.items() if key != "do"}
        if strangers := set(fields) - set(POLICY):
            raise ValueError(f"no such policy: {strangers}")
        self.policy.update(fields)
        emit("noted")

    def do_allow(self, order):
        self.allowed.append(order["fault"])
        emit("noted")

    def do_greet(self, order):
        self.xmpp.send_presence(pto=order["to"])
        # Whoever answers this has seen the presence before it.
        iq = self.xmpp.make_iq_get("http://jabber.org/protocol/disco#info", ito=order["to"])
        iq.send(callback=lambda _: self.tell("greeted", to=order["to"])).add_done_callback(lambda f: f.cancelled() or f.exception())

    def do_call(self, order):
        sid, media = str(uuid.uuid4()), order.get("media", ["audio"])
        self.tell("calling", call=sid)
        if not self.policy["jmi"]:
            self.begin(sid, order["to"], media, False)
            return
        self.proposals[sid] = Proposal(sid, order["to"], media, True)
        self.jmi(order["to"], "propose", sid, *(element(RTP + "description", media=kind) for kind in media))

    def do_accept(self, order):
        proposal = self.proposals.get(order["call"])
        if proposal and not proposal.ours and not proposal.proceeded:
            self.proceed(proposal)
        else:
            session = self.session(order)
            session.do(session.accept())

    def do_reject(self, order):
        proposal = self.proposals.get(order["call"])
        if proposal and not proposal.ours and not proposal.proceeded:
            del self.proposals[proposal.sid]
            self.jmi(proposal.peer, "reject", proposal.sid, self.reason(order.get("reason", "busy")))
            self.tell("ended", call=proposal.sid, by="us", condition=order.get("reason", "busy"), text=None)
        else:
            session = self.session(order)
            session.do(session.terminate(order.get("reason", "busy")))

    def do_hangup(self, order):
        proposal = self.proposals.get(order["call"])
        if proposal and proposal.ours and not proposal.proceeded:
            del self.proposals[proposal.sid]
            self.jmi(proposal.peer, "retract", proposal.sid, self.reason("cancel"))
            self.tell("ended", call=proposal.sid, by="us", condition="cancel", text=None)
        else:
            session = self.session(order)
            before = session.initiator and session.state != "active"
            session.do(session.terminate(order.get("reason", "cancel" if before else "success"), order.get("text")))

    def do_hold(self, order):
        session = self.session(order)
        session.do(session.hold(order["do"] == "hold", order.get("manner", "both")))

    do_resume = do_hold

    def do_mute(self, order):
        session = self.session(order)
        session.do(session.mute(order["do"] == "mute"))

    do_unmute = do_mute

    def do_add(self, order):
        session = self.session(order)
        session.do(session.add(order["media"]))

    def do_remove(self, order):
        session = self.session(order)
        session.do(session.remove(order["content"]))

    def do_restart(self, order):
        session = self.session(order)
        session.do(session.restart(order["content"]))

    def do_send(self, order):
        session = self.session(order)
        session.say(order["action"], *ET.fromstring(f"<x xmlns='{JINGLE[1:-1]}'>{order.get('xml', '')}</x>"))

    def do_disconnect(self, _):
        self.xmpp.disconnect()

    def do_look(self, _):
        emit("look", calls=[s.look() for s in self.sessions.values()], proposals=list(self.proposals))

    async def run(self):
        """Reads commands until stdin ends."""
        reader = asyncio.StreamReader(limit=16 * 1024 * 1024)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            try:
                order = json.loads(line)
                getattr(self, "do_" + order["do"])(order)
            except Exception as problem:  # reported, and the test decides
                emit("problem", what=repr(problem), line=line.decode(errors="replace"))


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG if "--debug" in sys.argv else logging.WARNING, stream=sys.stderr)
    LOOP = asyncio.new_event_loop()
    asyncio.set_event_loop(LOOP)
    LOOP.run_until_complete(Device().run())
    # Decoders are threads that nobody waits for.
    os._exit(0)
