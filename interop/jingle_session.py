"""One Jingle session with sound and pictures (XEP-0166, 0167, 0176, 0262, 0294, 0320), as a device has it: what we say, what we hear, and what
the other side may not say. Each such thing is a "fault".

Written from the XEPs and from nothing of the gateway. Every content has a transport of its own (no BUNDLE) and always
rtcp-mux, ICE and DTLS-SRTP. What is heard is dealt with in its order, although much of it takes a while.
"""

import asyncio
import re
import xml.etree.ElementTree as ET

import webrtc

JINGLE, RTP = "{urn:xmpp:jingle:1}", "{urn:xmpp:jingle:apps:rtp:1}"
ICE, DTLS = "{urn:xmpp:jingle:transports:ice-udp:1}", "{urn:xmpp:jingle:apps:dtls:0}"
INFO, SSMA = "{urn:xmpp:jingle:apps:rtp:info:1}", "{urn:xmpp:jingle:apps:rtp:ssma:0}"
DTMF = "{urn:xmpp:jingle:dtmf:0}"
ERRORS = "{urn:xmpp:jingle:errors:1}"
# XEP-0166 §7.4.
REASONS = {
    "alternative-session", "busy", "cancel", "connectivity-error", "decline", "expired", "failed-application", "failed-transport",
    "general-error", "gone", "incompatible-parameters", "media-error", "security-error", "success", "timeout",
    "unsupported-applications", "unsupported-transports",
}  # fmt: skip
# XEP-0176 §5.3, the schema's required ones.
CANDIDATE = ("component", "foundation", "generation", "id", "ip", "port", "priority", "protocol", "type")
SENDERS = ("both", "initiator", "responder", "none")


def element(tag, text=None, **attributes):
    found = ET.Element(tag, {key: str(value) for key, value in attributes.items() if value is not None})
    found.text = text
    return found


class Refused(Exception):
    """What makes an iq an error: the condition, and that of Jingle's own where there is one."""

    def __init__(self, condition, jingle=None):
        super().__init__(condition)
        self.condition, self.jingle = condition, jingle


class Content:
    """One content of a session."""

    def __init__(self, name, creator, kind, stream, initiated):
        self.name, self.creator, self.kind, self.stream = name, creator, kind, stream
        # Whether we had it first: then ours are the payload types that the other answers to.
        self.ours = initiated
        self.senders, self.accepted, self.gone = "both", False, False
        self.into, self.out = [], []  # codecs: [(payload type, name)]
        self.theirs, self.fingerprints, self.setup = None, [], None
        self.role = "actpass"  # our DTLS role as we said it
        self.generation, self.count, self.restarting = 0, 0, False
        self.later = []  # candidates for credentials that we have not got yet


class Session:
    """`device` gives: `address`, `policy`, `folder`, `tell(event, **fields)`, `fault(what)`, `ask(to, jingle)` (an iq set), `me`."""

    def __init__(self, device, sid, peer, initiator):
        self.device, self.sid, self.peer, self.initiator = device, sid, peer, initiator
        self.contents, self.state, self.jmi = {}, "begun", False
        self.certificate = webrtc.certificate()
        self.held, self.holding = False, False
        self.ended = None
        self.queue = asyncio.Queue()
        self.worker = asyncio.ensure_future(self.work())

    def tell(self, event, **fields):
        self.device.tell(event, call=self.sid, **fields)

    def fault(self, what):
        self.device.fault(f"{self.sid}: {what}")

    @property
    def role(self):
        return "initiator" if self.initiator else "responder"

    # One thing after the other.

    async def work(self):
        while True:
            step = await self.queue.get()
            try:
                await step
            except Refused as refused:
                self.fault(f"refused too late: {refused}")
            except asyncio.CancelledError:
                raise
            except Exception as problem:  # reported, and the test decides
                self.device.tell("problem", what=repr(problem))

    def do(self, step):
        self.queue.put_nowait(step)

    # What we say.

    def say(self, action, *children):
        """A jingle element; `initiator` and `responder` where the XEP wants them."""
        jingle = element(JINGLE + "jingle", action=action, sid=self.sid)
        if action == "session-initiate":
            jingle.set("initiator", self.device.me)
        elif action == "session-accept":
            jingle.set("responder", self.device.me)
        jingle.extend(children)
        self.device.ask(self, self.peer, jingle)

    def content(self, content, description=None, transport=None, senders=True):
        found = element(JINGLE + "content", creator=content.creator, name=content.name)
        if senders and content.senders != "both":
            found.set("senders", content.senders)
        found.extend(part for part in (description, transport) if part is not None)
        return found

    def description(self, content):
        found = element(RTP + "description", media=content.kind)
        for pt, name in content.into:
            rate, channels, _ = webrtc.CODECS[content.kind].get(name) or (8000, 1, 0)
            payload = element(RTP + "payload-type", id=pt, name=name, clockrate=rate)
            if (channels or 1) > 1:
                payload.set("channels", str(channels))
            if name == "opus":
                payload.append(element(RTP + "parameter", name="minptime", value=10))
                payload.append(element(RTP + "parameter", name="useinbandfec", value=1))
            if name == "telephone-event":
                payload.append(element(RTP + "parameter", name="0-15", value=""))
            if name == "VP8":
                for kind, subtype in (("nack", None), ("nack", "pli"), ("ccm", "fir")):
                    payload.append(element("{urn:xmpp:jingle:apps:rtp:rtcp-fb:0}rtcp-fb", type=kind, subtype=subtype))
            found.append(payload)
        found.append(element(RTP + "rtcp-mux"))
        source = element(SSMA + "source", ssrc=content.stream.ssrc)
        source.append(element(SSMA + "parameter", name="cname", value="device"))
        found.append(source)
        return found

    def transport(self, content, candidates=True, fingerprint=True):
        ufrag, pwd = content.stream.credentials()
        found = element(ICE + "transport", ufrag=ufrag, pwd=pwd)
        if fingerprint:
            hash_, value = content.stream.fingerprint()
            found.append(element(DTLS + "fingerprint", value, hash=hash_, setup=content.role))
        if candidates:
            found.extend(self.candidate(content, candidate) for candidate in content.stream.candidates())
        return found

    def candidate(self, content, candidate):
        content.count += 1
        return element(
            ICE + "candidate", component=candidate.component, foundation=candidate.foundation, generation=content.generation,
            id=f"{content.name[:8]}{content.generation}c{content.count}", ip=candidate.ip, network=0, port=candidate.port,
            priority=candidate.priority, protocol="udp", type=candidate.type,
        )  # fmt: skip

    def trickle(self, content):
        """What was left out, one at a time."""
        asyncio.get_running_loop().call_later(self.device.policy["late"], self.trickle_now, content)

    def trickle_now(self, content):
        for candidate in content.stream.candidates() if not self.ended else ():
            transport = self.transport(content, candidates=False, fingerprint=False)
            transport.append(self.candidate(content, candidate))
            self.say("transport-info", self.content(content, transport=transport, senders=False))

    async def make(self, name, creator, kind, initiated):
        """A content with a transport that has its candidates."""
        policy = self.device.policy
        if kind == "audio":
            track = webrtc.Tone(policy["tone"]) if policy["tone"] else None
            recording = f"{self.device.folder}/{self.device.name}-{len(self.device.recordings)}.wav"
            self.device.recordings.append(recording)
        else:
            track, recording = webrtc.Picture(), None
        events = lambda event, **fields: self.media(name, event, fields)
        stream = webrtc.Stream(kind, self.certificate, self.initiator, track, recording, events)
        content = self.contents[name] = Content(name, creator, kind, stream, initiated)
        await stream.gather()
        if recording:
            self.tell("recording", path=recording)
        return content

    def media(self, name, event, fields):
        if not self.ended:
            self.tell(event, content=name, **fields)

    def ours(self, kind):
        known = webrtc.CODECS[kind]
        wanted = [name for name in self.device.policy["codecs"] if name in known] if kind == "audio" else list(known)
        found = [(known[name][2], name) for name in wanted]
        return found + ([(101, "telephone-event")] if kind == "audio" else [])

    async def initiate(self, kinds):
        made = []
        for kind in kinds:
            content = await self.make(kind, "initiator", kind, True)
            content.into = self.ours(kind)
            made.append(content)
        self.state = "initiated"
        full = not self.device.policy["trickle"]
        self.say("session-initiate", *(self.content(c, self.description(c), self.transport(c, full)) for c in made))
        if not full:
            for content in made:
                self.trickle(content)

    async def accept(self):
        if self.state != "offered" or self.ended:
            return
        self.state = "active"
        accepted = [content for content in self.contents.values() if content.out]
        for content in accepted:
            content.accepted = True
        full = not self.device.policy["trickle"]
        self.say("session-accept", *(self.content(c, self.description(c), self.transport(c, full)) for c in accepted))
        for content in accepted:
            if not full:
                self.trickle(content)
            self.connect(content)
        self.tell("answered", by="us")

    async def terminate(self, condition, text=None):
        if self.ended:
            return
        reason = element(JINGLE + "reason")
        reason.append(element(JINGLE + condition))
        if text:
            reason.append(element(JINGLE + "text", text))
        self.say("session-terminate", reason)
        await self.over("us", condition, text)

    async def hold(self, on, manner):
        """We put the other on hold, or no longer: by session-info, by content-modify, or by both."""
        self.holding = on
        if manner in ("info", "both"):
            self.say("session-info", element(INFO + ("hold" if on else "unhold")))
        if manner in ("modify", "both"):
            for content in self.live():
                content.senders = self.role if on else "both"
                self.say("content-modify", element(JINGLE + "content", creator=content.creator, name=content.name, senders=content.senders))
        self.speak()

    async def mute(self, on):
        self.say("session-info", element(INFO + ("mute" if on else "unmute"), creator="initiator", name=next(iter(self.contents))))

    async def add(self, kind):
        name = kind if kind not in self.contents else f"{kind}-{len(self.contents)}"
        content = await self.make(name, self.role, kind, True)
        content.into = self.ours(kind)
        self.say("content-add", self.content(content, self.description(content), self.transport(content)))

    async def remove(self, name):
        content = self.contents[name]
        self.say("content-remove", element(JINGLE + "content", creator=content.creator, name=name))
        await self.drop(content)

    async def restart(self, name):
        """New credentials and candidates (XEP-0176 §5.9)."""
        content = self.contents[name]
        content.restarting = True
        await self.renew(content)

    async def renew(self, content):
        content.generation += 1
        await content.stream.restart()
        transport = self.transport(content, fingerprint=False)
        self.say("transport-info", self.content(content, transport=transport, senders=False))

    # What we hear. `check` says at once what is wrong with it, as the iq's error; the rest follows in its order.

    def check(self, action, jingle):
        if self.ended:
            raise Refused("item-not-found", "unknown-session")
        if jingle.get("sid") != self.sid:
            self.fault("another sid")
        known = {
            "session-initiate": not self.initiator and self.state == "begun",
            "session-accept": self.initiator and self.state == "initiated",
        }
        if not known.get(action, True):
            self.fault(f"{action} while {self.state}")
            raise Refused("unexpected-request", "out-of-order")
        if action in ("content-add", "content-accept", "content-reject", "content-modify", "content-remove") and self.state != "active":
            self.fault(f"{action} while {self.state}")
        names = [content.get("name") for content in jingle.findall(JINGLE + "content")]
        if len(names) != len(set(names)) or None in names:
            self.fault(f"{action}: names of contents are {names}")
        for content in jingle.findall(JINGLE + "content"):
            self.check_content(action, content)
        if action.startswith(("content-", "transport-", "description-")) and not names:
            self.fault(f"{action} without a content")

    def check_content(self, action, content):
        creator, name, senders = content.get("creator"), content.get("name"), content.get("senders", "both")
        if creator not in ("initiator", "responder"):
            self.fault(f"{action}: creator is {creator}")
        if senders not in SENDERS:
            self.fault(f"{action}: senders is {senders}")
        new = action in ("session-initiate", "content-add")
        known = self.contents.get(name)
        if new and known is not None and not known.gone:
            self.fault(f"{action}: {name} is there already")
        if not new and (known is None or known.gone and action != "transport-info"):
            self.fault(f"{action}: no content is called {name}")
            raise Refused("item-not-found")
        if known is not None and known.creator != creator:
            self.fault(f"{action}: {name} was created by the {known.creator}")
        said = action in ("session-initiate", "session-accept", "content-add", "content-accept")
        description, transport = content.find(RTP + "description"), content.find(ICE + "transport")
        if said and (description is None or transport is None):
            self.fault(f"{action}: {name} lacks its description or transport: {ET.tostring(content, encoding='unicode')}")
            raise Refused("bad-request")
        if description is not None:
            self.check_description(action, name, description)
        if transport is not None:
            self.check_transport(action, name, transport, said)

    def check_description(self, action, name, description):
        if description.get("media") not in webrtc.CODECS:
            self.fault(f"{action}: media of {name} is {description.get('media')}")
        ids = [payload.get("id") or "" for payload in description.findall(RTP + "payload-type")]
        if not ids or len(ids) != len(set(ids)) or not all(i.isdigit() and int(i) < 128 for i in ids):
            self.fault(f"{action}: payload types of {name} are {ids}")
        for payload in description.findall(RTP + "payload-type"):
            if payload.get("id", "").isdigit() and int(payload.get("id")) > 95 and not payload.get("name"):
                self.fault(f"{action}: payload type {payload.get('id')} has no name")
            for parameter in payload.findall(RTP + "parameter"):
                if parameter.get("value") is None:
                    self.fault(f"{action}: a parameter without a value")

    def check_transport(self, action, name, transport, said):
        ufrag, pwd = transport.get("ufrag"), transport.get("pwd")
        candidates = transport.findall(ICE + "candidate")
        if (said or candidates) and not (ufrag and pwd and len(ufrag) >= 4 and len(pwd) >= 22):
            self.fault(f"{action}: credentials of {name} are {ufrag} and {pwd}")
        for candidate in candidates:
            missing = [key for key in CANDIDATE if not candidate.get(key)]
            if missing:
                self.fault(f"{action}: a candidate of {name} without {missing}")
            if not candidate.get("ip") or not re.fullmatch(r"[0-9A-Fa-f:.]+|.+\.local", candidate.get("ip")):
                self.fault(f"{action}: a candidate's ip is {candidate.get('ip')}")
        if len({candidate.get("id") for candidate in candidates}) != len(candidates):
            self.fault(f"{action}: candidates with one id")
        fingerprints = transport.findall(DTLS + "fingerprint")
        if said and not fingerprints:
            self.fault(f"{action}: {name} has no fingerprint")
        if action == "transport-info" and fingerprints:
            self.fault(f"transport-info with a fingerprint, which some take for another")
        for fingerprint in fingerprints:
            if not fingerprint.get("hash") or not re.fullmatch(r"\s*([0-9A-Fa-f]{2}:)+[0-9A-Fa-f]{2}\s*", fingerprint.text or ""):
                self.fault(f"{action}: fingerprint {ET.tostring(fingerprint, encoding='unicode')}")
            setups = ("active", "passive") if action in ("session-accept", "content-accept") else ("actpass", "active", "passive")
            if fingerprint.get("setup") not in setups:
                self.fault(f"{action}: setup of {name} is {fingerprint.get('setup')}")

    async def hear(self, action, jingle):
        handler = getattr(self, "on_" + action.replace("-", "_"), None)
        if handler is not None and not self.ended:
            await handler(jingle)

    def live(self):
        return [content for content in self.contents.values() if content.accepted and not content.gone]

    def read(self, content, said):
        """What a content of theirs says of its codecs and its transport."""
        description, transport = said.find(RTP + "description"), said.find(ICE + "transport")
        known = webrtc.CODECS[content.kind]
        theirs = [(int(p.get("id")), p.get("name") or {"0": "PCMU", "8": "PCMA"}.get(p.get("id"), "")) for p in description.findall(RTP + "payload-type")]
        names = {name.lower(): name for name in known}
        theirs = [(pt, names.get(name.lower(), name)) for pt, name in theirs]
        wanted = [name for _, name in self.ours(content.kind)]
        content.out = [(pt, name) for pt, name in theirs if name in known and name in wanted]
        if content.ours:
            strangers = [name for _, name in theirs if name not in [n for _, n in content.into]]
            if strangers:
                self.fault(f"answered with {strangers}, which nobody offered")
        else:
            content.into = [(pt, name) for pt, name in theirs if name in wanted]
        content.senders = said.get("senders", "both")
        content.theirs = (transport.get("ufrag"), transport.get("pwd"))
        content.fingerprints = [(f.get("hash"), (f.text or "").strip()) for f in transport.findall(DTLS + "fingerprint")]
        content.setup = next((f.get("setup") for f in transport.findall(DTLS + "fingerprint")), None)
        content.later += [dict(c.attrib) for c in transport.findall(ICE + "candidate")]
        if not content.ours:
            # RFC 5763 §5: who answers is active where it may be.
            content.role = "passive" if content.setup == "active" else "active"

    def connect(self, content):
        client = content.setup == "passive" if content.ours else content.role == "active"
        out = content.out
        into = [(pt, name) for pt, name in content.into if name in webrtc.CODECS[content.kind]]
        self.speak()

        async def go():
            for fields in content.later:
                await content.stream.candidate(fields)
            content.later = []
            content.stream.go(client, content.theirs, content.fingerprints, out, into)

        self.do(go())

    async def on_session_initiate(self, jingle):
        kinds = []
        for said in jingle.findall(JINGLE + "content"):
            kind = said.find(RTP + "description").get("media")
            kinds.append(kind)
            content = await self.make(said.get("name"), said.get("creator"), kind, False)
            self.read(content, said)
        self.state = "offered"
        self.tell("incoming", peer=self.peer, media=kinds, proposed=self.jmi)
        await self.device.met(self)

    async def on_session_accept(self, jingle):
        self.state = "active"
        accepted = {said.get("name"): said for said in jingle.findall(JINGLE + "content")}
        for content in list(self.contents.values()):
            if content.name in accepted:
                self.read(content, accepted[content.name])
                content.accepted = True
                if not content.out:
                    self.fault(f"{content.name} was accepted without a codec of ours")
                self.connect(content)
            else:
                await self.drop(content)
        self.tell("answered", by="them", media=[content.kind for content in self.live()])

    async def on_session_terminate(self, jingle):
        reason = jingle.find(JINGLE + "reason")
        conditions = [] if reason is None else [e.tag[len(JINGLE):] for e in reason if e.tag[len(JINGLE):] in REASONS]
        text = None if reason is None else reason.findtext(JINGLE + "text")
        if len(conditions) != 1:
            self.fault(f"terminated for {conditions}")
        await self.over("them", conditions[0] if conditions else None, text)

    async def on_session_info(self, jingle):
        for info in jingle:
            name = info.tag[len(INFO):] if info.tag.startswith(INFO) else None
            if name == "ringing":
                self.tell("ringing", by="session-info")
            elif name in ("hold", "unhold", "active"):
                self.held = name == "hold"
                self.speak()
                self.tell("held" if self.held else "resumed", by="session-info")
            elif info.tag == DTMF + "dtmf":
                self.tell("dtmf", code=info.get("code"))
            else:
                self.tell("info", what=info.tag)

    async def on_transport_info(self, jingle):
        for said in jingle.findall(JINGLE + "content"):
            content, transport = self.contents[said.get("name")], said.find(ICE + "transport")
            if transport is None:
                continue
            credentials = (transport.get("ufrag"), transport.get("pwd"))
            candidates = [dict(c.attrib) for c in transport.findall(ICE + "candidate")]
            if content.theirs and credentials[0] and credentials != content.theirs and content.stream.up:
                content.theirs = credentials
                if not content.restarting:
                    await self.renew(content)
                content.restarting = False
                content.stream.rejoin(credentials, candidates)
                continue
            for fields in candidates:
                # Before its session-accept the content has no credentials yet; they come with it.
                if content.accepted:
                    await content.stream.candidate(fields)
                else:
                    content.later.append(fields)

    async def on_content_modify(self, jingle):
        for said in jingle.findall(JINGLE + "content"):
            self.contents[said.get("name")].senders = said.get("senders", "both")
            self.tell("modified", content=said.get("name"), senders=said.get("senders", "both"))
        self.speak()

    async def on_content_add(self, jingle):
        for said in jingle.findall(JINGLE + "content"):
            kind, name = said.find(RTP + "description").get("media"), said.get("name")
            self.tell("asked", content=name, media=kind)
            if self.device.policy["add"] == "reject":
                reason = element(JINGLE + "reason")
                reason.append(element(JINGLE + "decline"))
                self.say("content-reject", element(JINGLE + "content", creator=said.get("creator"), name=name), reason)
                continue
            if self.device.policy["add"] == "silent":
                continue
            content = await self.make(name, said.get("creator"), kind, False)
            self.read(content, said)
            content.accepted = True
            self.say("content-accept", self.content(content, self.description(content), self.transport(content)))
            self.connect(content)

    async def on_content_accept(self, jingle):
        for said in jingle.findall(JINGLE + "content"):
            content = self.contents[said.get("name")]
            if not content.ours or content.accepted:
                self.fault(f"content-accept for {content.name}, which waits for none")
                continue
            self.read(content, said)
            content.accepted = True
            self.connect(content)
            self.tell("added", content=content.name)

    async def on_content_reject(self, jingle):
        for said in jingle.findall(JINGLE + "content"):
            await self.drop(self.contents[said.get("name")])
            self.tell("rejected", content=said.get("name"))

    async def on_content_remove(self, jingle):
        for said in jingle.findall(JINGLE + "content"):
            await self.drop(self.contents[said.get("name")])
            self.tell("removed", content=said.get("name"))

    def speak(self):
        """Sends what both sides want us to send."""
        for content in self.contents.values():
            ours = content.senders in ("both", self.role)
            content.stream.speak(ours and not self.held and not self.holding)

    async def drop(self, content):
        content.gone = True
        await content.stream.close()

    async def over(self, by, condition, text):
        if self.ended:
            return
        self.ended = (by, condition)
        self.tell("ended", by=by, condition=condition, text=text)
        self.device.finished(self)
        for content in self.contents.values():
            if not content.gone:
                content.gone = True
                await content.stream.close()

    def look(self):
        contents = {
            content.name: {
                "media": content.kind, "senders": content.senders, "up": content.stream.up, "received": content.stream.received,
                "codec": content.out[0][1] if content.out else None, "sends": content.stream.sending, "gone": content.gone,
            }
            for content in self.contents.values()
        }  # fmt: skip
        return {"call": self.sid, "peer": self.peer, "state": self.state, "ended": self.ended, "held": self.held, "contents": contents}
