"""MSRP chat rooms: a conference focus and an MSRP switch (RFC 7701, 4575, 4579, 3515), strict about its participants.

Written from the RFCs alone and from nothing of the gateway. A room hands every message on as it came (RFC 7701 §6.1), tells
all subscribers of every change, one version after the other (RFC 4575 §4), and invites whom a REFER names (RFC 4579 §5.5).
"""

import asyncio
import re
import time
import unicodedata

from conference import MEDIA_TYPE, write, write_description, write_endpoint, write_state, write_user
from im_bodies import now, write_cpim
from msrp_session import accepts
from participant import Participant
from sip_call import Call
from sip_dialog import entries, name_of, uri_of, user_of
from sip_events import Notifier
from sip_wire import emit, fresh

SIPFRAG = "message/sipfrag;version=2.0"


def comparable(nickname):
    """What two nicknames are compared by (RFC 8266 §2.4): spaces, case, compatibility forms."""
    text = re.sub(r"\s+", " ", "".join(" " if unicodedata.category(c) == "Zs" else c for c in nickname)).strip(" ")
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())


def without_gr(uri):
    """The address of record that a GRUU belongs to."""
    return re.sub(r";gr(?:=[^;]*)?(?=;|\Z)", "", uri)


class Member:
    """One session in a room."""

    def __init__(self, call, aor, name, contact, method):
        self.call, self.aor, self.name, self.contact, self.method = call, aor, name, contact, method
        self.nickname = None
        self.since = now()
        self.left = None  # (how, why) once it has been told to go
        self.media = fresh()[:8]

    def private(self):
        """Whether its SDP takes private messages (RFC 7701 §6.2, §8)."""
        media = next((m for m in self.call.read.media if m.kind == "message"), None) if self.call.read else None
        return media is not None and "private-messages" in (media.get("chatroom") or "").split(" ")


class Room:
    """A room, its members and whoever watches it."""

    def __init__(self, agent, order):
        self.agent, self.name = agent, order["room"]
        self.user, self.domain = order.get("user", order["room"]), order.get("domain", agent.domain)
        self.uri = f"sip:{self.user}@{self.domain}"
        self.order = order
        self.subject, self.title = order.get("subject"), order.get("title")
        self.entities = order.get("entities", "aor")  # what names a user: "aor", or the room's address with the nickname
        self.members, self.watchers, self.banned = [], {}, set()
        self.spoken, self.lose, self.flushing = [], 0, None
        self.awaited = []  # what the test waits for

    def contact(self, transport):
        """What a focus shows (RFC 4579 §4.2)."""
        return f"<sip:{self.user}@{self.agent.at()}{';transport=tcp' if transport == 'tcp' else ''}>;isfocus"

    def options(self):
        """What its SDP says."""
        tokens = [t for t, on in (("nickname", self.order.get("nicknames", True)), ("private-messages", self.order.get("private", True))) if on]
        return {"accept": "message/cpim", "wrapped": self.order.get("wrapped", "text/plain *"), "chatroom": " ".join(tokens), "room": self.name}

    # Who is there

    def entity(self, member):
        """What names a member in conference-info: its address, unless it is somebody else there at the same time."""
        by_nickname = f"{self.uri};gr={escaped(member.nickname or member.media)}"
        if self.entities == "nick":
            return by_nickname
        same = [m for m in self.members if m.aor == member.aor and m.nickname != member.nickname]
        if not same or same[0] is not member and self.members.index(member) < self.members.index(same[0]):
            return member.aor
        return member.contact if without_gr(member.contact) != member.contact else by_nickname

    def known(self, member):
        """The addresses by which it may speak (RFC 7701 §6.1)."""
        return {member.aor, uri_of(member.call.remote), member.contact, self.entity(member)}

    def table(self):
        """Everybody, as conference-info has them."""
        groups = {}
        for member in self.members:
            groups.setdefault(self.entity(member), []).append(member)
        out = {}
        for entity, members in groups.items():
            first = members[0]
            ends = []
            for m in members:
                status = "disconnected" if m.left else "connected"
                left, why = m.left or (None, None)
                ends.append(write_endpoint(m.contact, status, m.method, m.since, left, why, m.media))
            aors = [first.aor] if entity != first.aor else []
            out[entity] = write_user(entity, first.nickname, first.name, aors, ends)
        return out

    def find(self, uri):
        """The members whom an address means."""
        return [m for m in self.members if uri in self.known(m)]

    def look(self):
        """As fields of an event."""
        members = [{"s": m.call.name, "aor": m.aor, "nick": m.nickname, "name": m.name, "contact": m.contact, "entity": self.entity(m)}
                   for m in self.members]  # fmt: skip
        roster = sorted(m.nickname or m.name for m in self.members)
        return {"room": self.name, "members": members, "roster": roster, "spoken": self.spoken, "watchers": len(self.watchers)}

    def check(self):
        """What the test waits for may be there now."""
        for condition in list(self.awaited):
            roster = sorted(m.nickname or m.name for m in self.members)
            if roster == sorted(condition.get("roster", roster)) and len(self.spoken) >= condition.get("spoken", 0):
                self.awaited.remove(condition)
                emit("awaited", token=condition.get("token"), **self.look())

    # Telling

    def description(self):
        """The parts that come as a whole."""
        return write_description(self.subject, self.title, self.uri)

    def changed(self):
        """Tells all who watch, soon: what happens in the meantime goes along."""
        self.check()
        if self.flushing is None:
            self.flushing = asyncio.get_running_loop().call_later(self.order.get("every", 0.1), self.flush)

    def flush(self):
        """Tells all who watch what is new to them."""
        if self.flushing is not None:
            self.flushing.cancel()
        self.flushing = None
        for notifier in list(self.watchers):
            self.tell(notifier)

    def tell(self, notifier, full=False, reason=None):
        """One who watches, what is new or all there is (RFC 4575 §3.2, §5.2); with a reason for the last time."""
        table, description = self.table(), self.description()
        view = self.watchers[notifier]
        news = table != view["table"] or description != view["description"]
        if news:
            view["version"] += 1
        if not news and not full:
            return
        full = full or self.order.get("full", False)
        parts = [description] if full or description != view["description"] else []
        parts.append(write_state(len(table)))
        if full:
            users = list(table.values())
        else:
            gone = [entity for entity in view["table"] if entity not in table]
            users = [write_user(entity, None, None, [], [], "deleted") for entity in gone]
            users += [user for entity, user in table.items() if view["table"].get(entity) != user]
        view["table"], view["description"] = table, description
        if self.lose and not full:
            self.lose -= 1
            emit("swallowed", room=self.name, version=view["version"])
            return
        state = "full" if full else "partial"
        notifier.notify(write(self.uri, view["version"], state, parts, users), MEDIA_TYPE, reason)

    def watch(self, notifier, goes_on):
        """Somebody watches, or again, or wants to know once more (RFC 6665 §4.2.1)."""
        if notifier not in self.watchers:
            self.watchers[notifier] = {"version": self.order.get("version", 0) - 1, "table": None, "description": None}
        self.tell(notifier, full=True, reason=None if goes_on else "timeout")
        if not goes_on:
            self.watchers.pop(notifier)

    def leave(self, member):
        """It is not there any more."""
        if member in self.members:
            self.members.remove(member)
            left, why = member.left or ("departed", None)
            emit("left", room=self.name, s=member.call.name, aor=member.aor, nick=member.nickname, how=left, why=why)
            self.changed()

    def end(self):
        """The room ceases to exist (RFC 4575 §3.3, §5.2)."""
        for notifier, view in self.watchers.items():
            notifier.notify(write(self.uri, view["version"] + 1, "deleted", []), MEDIA_TYPE, "noresource")
        self.watchers = {}
        members, self.members = self.members, []
        for member in members:
            member.call.bye([("Reason", 'SIP;cause=410;text="The room is gone"')])


def escaped(text):
    """A text as a URI parameter (RFC 3261 §25.1, RFC 5627 §4)."""
    return "".join(c if re.fullmatch(r"[A-Za-z0-9\-_.!~*'()\[\]/:&+$]", c) else "".join(f"%{b:02X}" for b in c.encode("utf-8")) for c in text)


class Focus(Participant):
    """The part of a peer that keeps rooms."""

    def __init__(self):
        super().__init__()
        self.rooms = {}  # by name
        self.dialled = 0

    def room_of(self, uri):
        """The room that a Request-URI means: as it is known, or as our Contact says it."""
        user = user_of(uri)
        return next((room for room in self.rooms.values() if room.user == user), None)

    def member(self, call):
        """Room and member of a call, or None twice."""
        room = self.rooms.get(call.options.get("room")) if isinstance(call, Call) else None
        found = [m for m in room.members if m.call is call] if room else []
        return (room, found[0]) if found else (room, None)

    # Coming and going

    def invited(self, call, served):
        room = self.room_of(served.request.uri)
        if room is None:
            super().invited(call, served)
            return
        call.options, call.contact = room.options(), room.contact(served.transport)
        emit("asked", room=room.name, s=call.name, sender=served.request.get("from"), display=name_of(served.request.get("from")))
        media = next((m for m in call.read.media if m.kind == "message" and m.port != "0"), None) if call.read else None
        aor = without_gr(uri_of(call.remote))
        policy = room.order.get("refuse")
        if policy or aor in room.banned:
            policy = policy or {"code": 403, "reason": "Banned"}
            call.refuse(policy["code"], policy.get("reason", "As Ordered"), [tuple(h) for h in policy.get("headers", [])])
        elif len(room.members) >= room.order.get("most", 10_000):
            call.refuse(486, "Busy Here")
        elif media is None or "message/cpim" not in (media.get("accept-types") or "").lower().split(" "):
            # RFC 7701 §5.2.
            call.fault("an INVITE to a room without message/cpim in accept-types (RFC 7701 §5.2)", served.request)
            call.refuse(488, "Not Acceptable Here")
        else:
            call.accept()

    def there(self, call, message):
        room = self.rooms.get(call.options.get("room"))
        if room is None:
            super().there(call, message)
            return
        remote = uri_of(call.remote)
        contact = entries(message.all("contact"))
        address = call.remote
        member = Member(call, without_gr(remote), name_of(address) or user_of(remote), uri_of(contact[0]) if contact else remote,
                        "dialed-out" if call.ours_first else "dialed-in")  # fmt: skip
        room.members.append(member)
        emit("joined", room=room.name, s=call.name, aor=member.aor, name=member.name, contact=member.contact)
        room.changed()

    def released(self, call):
        super().released(call)
        room, member = self.member(call)
        if member is not None:
            room.leave(member)
        for notifier in call.subscriptions:
            if isinstance(notifier, Notifier) and notifier.package == "conference":
                # The dialog's other usage goes on (RFC 5057 §3); there is no reason to keep it.
                notifier.notify(reason="noresource")
                self.unwatched(notifier)

    # Watching

    def watched(self, notifier, served):
        room = self.room_of(served.request.uri)
        if room is None or notifier.package != "conference":
            return False
        notifier.dialog.contact = room.contact(served.transport)
        accept = ", ".join(served.request.all("accept"))
        if accept and MEDIA_TYPE not in accept:
            notifier.dialog.fault(f"SUBSCRIBE of conference with Accept: {accept} (RFC 4575 §3.4)", served.request)
        first = notifier not in room.watchers
        goes_on = notifier.accept(served)
        emit("watched", room=room.name, sender=served.request.get("from"), expires=served.request.get("expires"), again=not first,
             within=isinstance(notifier.dialog, Call))  # fmt: skip
        if first:
            notifier.room = room
        room.watch(notifier, goes_on)
        return True

    def unwatched(self, notifier):
        room = getattr(notifier, "room", None)
        if room is not None:
            room.watchers.pop(notifier, None)
            notifier.notify(reason="timeout")

    # Messages and nicknames

    def nicknamed(self, session, frame):
        """NICKNAME to a room (RFC 7701 §7.1)."""
        room, member = self.member(self.calls[session.name])
        nickname = frame.nickname()
        if member is None:
            return {"code": 403, "comment": "Not there yet"}
        if not room.order.get("nicknames", True):
            session.fault("NICKNAME to a room whose a=chatroom has no nicknames (RFC 7701 §7.1)", frame)
            return {"code": 403, "comment": "No nicknames here"}
        if nickname is None or len(nickname.encode("utf-8")) > 1023 or nickname and not comparable(nickname):
            return {"code": 424, "comment": "Malformed nickname"}
        taken = {comparable(m.nickname) for m in room.members if m.nickname and m.aor != member.aor}
        if nickname and comparable(nickname) in taken | {comparable(n) for n in room.order.get("reserved", [])}:
            emit("conflict", room=room.name, s=session.name, nick=nickname)
            return {"code": 425, "comment": "Nickname reserved or already in use"}
        member.nickname = nickname or None
        emit("named", room=room.name, s=session.name, aor=member.aor, nick=member.nickname)
        room.changed()
        return {"code": 200, "comment": "OK"}

    def spoken(self, session, fields, data, cpim):
        """A whole message to a room (RFC 7701 §6)."""
        room, member = self.member(self.calls[session.name])
        if member is None:
            return {"code": 403, "comment": "Not there yet"}
        if cpim is None:
            return {"code": 415, "comment": "message/cpim alone"}
        sender, to = uri_of(cpim.get("From") or ""), cpim.all("To")
        if sender not in room.known(member):
            session.fault(f"From is {sender}, the participant {room.known(member)} (RFC 7701 §6.3)")
            return {"code": 403, "comment": "Not your address"}
        if len(to) != 1:
            session.fault(f"{len(to)} times To (RFC 7701 §6.1)")
            return {"code": 403, "comment": "One recipient"}
        text = fields["text"] if fields["type"].startswith("text/") else None
        if uri_of(to[0]) in (room.uri, uri_of(member.call.local)):
            if text is not None:
                room.spoken.append([member.nickname or member.name, text])
                room.check()
            self.deliver(room, [m for m in room.members if m is not member], data, cpim)
            return {"code": 200, "comment": "OK"}
        found = room.find(uri_of(to[0]))
        if not room.order.get("private", True):
            session.fault("a private message to a room whose a=chatroom has none (RFC 7701 §6.2)")
            return {"code": 403, "comment": "No private messages here"}
        if not found:
            return {"code": 404, "comment": "Failure to resolve recipient's URI"}
        able = [m for m in found if m.private()]
        if not able:
            return {"code": 428, "comment": "Private messages not supported"}
        emit("whispered", room=room.name, sender=member.nickname or member.name, to=found[0].nickname or found[0].name, text=text)
        if room.entities == "nick":
            # RFC 7702 §5.5.2: in this kind of room participants know each other by their addresses in it.
            head = cpim.mime_header("content-type")
            mime = [header for header in cpim.mime if header[0].lower() != "content-type"]
            data = write_cpim(f"<{room.entity(member)}>", f"<{found[0].aor}>", head, cpim.content, mime=mime)
        self.deliver(room, able, data, cpim)
        return {"code": 200, "comment": "OK"}

    def deliver(self, room, members, data, cpim):
        """A copy to each, as it is."""
        for member in members:
            session = self.sessions.get(member.call.name)
            if session is None or session.ended:
                continue
            wrapped = f"{session.wrapped or ''} {session.accept or ''}"
            if accepts(wrapped, cpim.content_type()):
                self.later(session.send({"data": data, "type": "message/cpim"}))

    # REFER

    def referred(self, dialog, served):
        room = self.room_of(served.request.uri)
        if room is None:
            super().referred(dialog, served)
            return
        request = served.request
        _, member = self.member(dialog)
        to = uri_of(request.get("refer-to"))
        if dialog is None:
            dialog = self.dialog_for(served)
            dialog.contact = room.contact(served.transport)
        emit("referral", room=room.name, to=to, sender=request.get("from"), by=request.get("referred-by"), within=member is not None)
        if room.order.get("refer") is False:
            served.reply(403, "Not here")
            return
        headers, notifier = [("Contact", dialog.contact)], None
        if request.get("refer-sub").startswith("false") and room.order.get("norefersub", True):
            headers.append(("Refer-Sub", "false"))
        else:
            notifier = self.notifier_of_refer(dialog, served)
        served.reply(200, "OK", headers)
        if notifier is not None:
            notifier.last(60)
            once = room.order.get("refer_once", False)
            notifier.notify(b"SIP/2.0 100 Trying\r\n", SIPFRAG, "noresource" if once else None)
        by = request.get("referred-by") or f"<{uri_of(request.get('from'))}>"
        if re.search(r";method=BYE(?:;|\Z)", to, re.IGNORECASE):
            # RFC 4579 §5.11.
            gone = room.find(re.sub(r";method=BYE", "", to, flags=re.IGNORECASE))
            for one in gone:
                self.kick(room, one, None)
            self.progressed(notifier, 200 if gone else 404, "OK" if gone else "Not Found")
            return
        self.dial(room, to, notifier, [("Referred-By", by)])

    def notifier_of_refer(self, dialog, served):
        """The subscription that a REFER makes; the second and later ones have a number (RFC 3515 §2.4.6)."""
        dialog.refers += 1
        return Notifier(dialog, "refer", served.request.get("cseq").split()[0] if dialog.refers > 1 else None)

    @staticmethod
    def progressed(notifier, code, reason):
        """The end of what a REFER asked for (RFC 3515 §2.4.5)."""
        if notifier is not None:
            notifier.notify(f"SIP/2.0 {code} {reason}\r\n".encode(), SIPFRAG, "noresource" if code >= 200 else None)

    def dial(self, room, uri, notifier=None, headers=()):
        """An INVITE from the focus (RFC 4579 §5.2)."""
        self.dialled += 1
        call = self.calls[f"d{self.dialled}"] = Call(self, f"d{self.dialled}", fresh(), f"<{room.uri}>;tag={fresh()}", f"<{uri}>")
        call.target, call.transport = uri, room.order.get("transport", "udp")
        out = room.order["out"]
        call.peer = tuple(out if isinstance(out, list) else out[without_gr(uri).rpartition("@")[2]])
        call.options, call.contact = room.options(), room.contact(call.transport)
        call.start({"headers": list(headers)})
        emit("dialling", room=room.name, s=call.name, to=uri)
        self.later(self.follow(call, notifier))

    async def follow(self, call, notifier):
        """Tells whoever referred how it went."""
        end = time.monotonic() + 60
        while not call.result and call.state != "over" and time.monotonic() < end:
            await asyncio.sleep(0.05)
        self.progressed(notifier, call.result or 408, "OK" if call.result == 200 else "As Answered")

    # Commands

    async def do_room(self, order):
        """A room, or its other settings from now on."""
        if order["room"] in self.rooms:
            room = self.rooms[order["room"]]
            room.order = {**room.order, **order}
            room.lose = order.get("lose", room.lose)
        else:
            self.rooms[order["room"]] = Room(self, order)
        emit("noted", uri=self.rooms[order["room"]].uri)

    def one(self, order):
        """Room and member that a command names, by nickname, name or address."""
        room = self.rooms[order["room"]]
        found = [m for m in room.members if order["who"] in (m.nickname, m.name, m.aor, m.contact)]
        return room, found[0]

    async def do_kick(self, order):
        """Throws one out; with `ban` for good."""
        room, member = self.one(order)
        if order.get("ban"):
            room.banned.add(member.aor)
        self.kick(room, member, order.get("reason"))

    def kick(self, room, member, reason):
        """First all hear that it was thrown out, then it is gone (RFC 4575 §5.7.5)."""
        member.left = ("booted", reason)
        room.flush()
        text = (reason or "Kicked").replace('"', "'")
        member.call.bye([("Reason", f'SIP;cause=403;text="{text}"')])
        for notifier in [n for n in room.watchers if uri_of(n.dialog.remote) in (member.aor, uri_of(member.call.remote))]:
            room.watchers.pop(notifier)
            notifier.notify(reason="rejected")

    async def do_dial(self, order):
        self.dial(self.rooms[order["room"]], order["to"])

    async def do_topic(self, order):
        room = self.rooms[order["room"]]
        room.subject = order["subject"]
        room.changed()

    async def do_destroy(self, order):
        self.rooms.pop(order["room"]).end()
        emit("noted")

    async def do_room_look(self, order):
        emit("room", **self.rooms[order["room"]].look())

    async def do_room_await(self, order):
        """Tells when all of it holds: `roster` (who is there), `spoken` (how many messages to all)."""
        room = self.rooms[order["room"]]
        room.awaited.append(order)
        room.check()
