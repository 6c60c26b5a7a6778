"""A participant of MSRP chat rooms (RFC 7701, 4575, 4579): what it knows of each room it is in, and what it holds against
the focus and the switch. Written from the RFCs alone and from nothing of the gateway.
"""

import re

from conference import MEDIA_TYPE, Conference, Information
from sip_dialog import entries, uri_of, user_of
from sip_events import Eventful, Subscriber, is_gruu
from sip_wire import emit

# What a participant of a room takes, and that it takes it (RFC 7701 §5.2, §8).
IN_A_ROOM = {"accept": "message/cpim", "wrapped": "text/plain text/html application/im-iscomposing+xml", "chatroom": "nickname private-messages"}


def is_focus(contact):
    """Whether a Contact has the feature isfocus (RFC 3840 §9, RFC 4579 §4)."""
    after = re.sub(r'\A\s*(?:"(?:[^"\\]|\\.)*"|[^"<]*)\s*<[^>]*>', "", contact)
    return re.search(r";[ \t]*isfocus(?=[ \t]*(?:;|,|\Z)|[ \t]*=[ \t]*\"TRUE\")", after, re.IGNORECASE) is not None


class Seat:
    """What a call in a room knows."""

    def __init__(self, call):
        self.call = call
        self.conference, self.subscriber = Conference(), None
        self.nickname = None
        self.said = set()  # the contents of ours
        self.heard = []  # [sender, text, whether in private]
        self.awaited = []  # what the test waits for

    def room(self):
        """The room's address, as messages to all have it."""
        return uri_of(self.call.remote)

    def names(self):
        """Who is there: nicknames, and names of those who have none."""
        rows = self.conference.users.values()
        return sorted(row.name() or row.entity for row in rows if row.describe()["status"] != ["disconnected"])

    def look(self):
        """As fields of an event."""
        return {"roster": self.names(), "heard": self.heard, "nickname": self.nickname, **self.conference.describe()}

    def check(self):
        """What the test waits for may be there now."""
        for condition in list(self.awaited):
            holds = ("roster" not in condition or self.names() == sorted(condition["roster"])) and len(self.heard) >= condition.get("heard", 0)
            if holds and ("subject" not in condition or self.conference.describe()["subject"] == condition["subject"]):
                self.awaited.remove(condition)
                emit("awaited", s=self.call.name, token=condition.get("token"), **self.look())

    def own(self):
        """Our own addresses in the room."""
        mine = {uri_of(self.call.local), uri_of(self.call.contact)}
        rows = self.conference.users.values()
        return mine | {row.entity for row in rows if self.nickname is not None and row.nickname == self.nickname}

    def sender(self, uri):
        """Who that is: a nickname, else a name, else the address."""
        row = self.conference.find(uri)
        if row is None:
            return None
        return row.name() or row.entity


class Participant(Eventful):
    """The part of a peer that sits in rooms."""

    def __init__(self):
        super().__init__()
        self.seats = {}  # by the call's name
        self.referrals = 0

    def seat(self, call):
        """What a call knows of its room."""
        if call.name not in self.seats:
            self.seats[call.name] = Seat(call)
        return self.seats[call.name]

    # What comes in

    def there(self, call, message):
        if call.options.get("chatroom") is None or call.options.get("room") is not None:
            return
        contact = entries(message.all("contact"))[:1]
        if not contact or not is_focus(contact[0]):
            call.fault("a room's Contact without isfocus (RFC 4579 §4.2)", message)
        if "conference" not in re.split(r"\s*,\s*", ", ".join(message.all("allow-events"))):
            call.fault("a room without conference in Allow-Events (RFC 4579 §3.1)", message)
        media = next((m for m in call.read.media if m.kind == "message" and m.port != "0"), None) if call.read else None
        if media is None:
            return
        if media.get("accept-types", "").lower() != "message/cpim":
            call.fault(f"a room's accept-types is {media.get('accept-types')!r} (RFC 7701 §5.2)", message)
        if not media.all("chatroom"):
            call.fault("a room without a=chatroom (RFC 7701 §8)", message)
        self.seat(call)

    def notified(self, subscriber, request, state, reason, expires):
        fields = {"s": subscriber.name, "state": state, "reason": reason, "expires": expires, "package": subscriber.package}
        if subscriber.package == "refer":
            line = request.body.decode("utf-8", errors="replace").split("\r\n")[0]
            code = line.split(" ")[1] if len(line.split(" ")) > 1 else ""
            emit("progressed", code=int(code) if code.isdigit() else None, line=line, number=subscriber.number, **fields)
            return
        if subscriber.package != "conference":
            emit("notified", **fields)
            return
        seat = self.seats[subscriber.name]
        if not request.body:
            if state == "active":
                subscriber.fault("a NOTIFY of an active subscription without a document (RFC 4575 §3.4)", request)
            emit("roster", document=None, **fields, **seat.conference.describe())
            return
        if request.get("content-type").split(";")[0].strip().lower() != MEDIA_TYPE:
            return
        information = Information(request.body)
        faults, again = seat.conference.take(information)
        # §5.2: entity is what one subscribes to.
        asked = {subscriber.about, seat.room(), uri_of(seat.call.remote)}
        if information.entity is not None and information.entity not in asked:
            faults.append(f"entity is {information.entity}, we subscribed to {subscriber.about} (RFC 4575 §5.2)")
        for fault in [*information.faults, *faults]:
            subscriber.fault(fault, request)
        if again and not seat.conference.wanted and state != "terminated":
            # §4.6: ask for all of it.
            seat.conference.wanted = True
            subscriber.subscribe(subscriber.asked)
        emit("roster", document=information.state, **fields, **seat.conference.describe())
        seat.check()

    def referred(self, dialog, served):
        """A REFER to us: whether to follow it is the test's decision; `outcome` of its policy is what we say became of it."""
        request, policy = served.request, self.policies.get("REFER", {})
        self.referrals += 1
        dialog = dialog or self.dialog_for(served)
        if policy.get("code", 200) >= 300:
            served.reply(policy["code"], policy.get("reason", "As Ordered"))
            return
        if request.get("refer-sub").startswith("false"):
            served.reply(200, "OK", [("Contact", dialog.contact), ("Refer-Sub", "false")])
        else:
            notifier = self.notifier_of_refer(dialog, served)
            served.reply(200, "OK", [("Contact", dialog.contact)])
            line = f"SIP/2.0 {policy.get('outcome', 100)} {policy.get('reason', 'Trying')}\r\n"
            notifier.notify(line.encode(), "message/sipfrag;version=2.0", "noresource")
        emit("referred", s=dialog.name, uri=request.uri, to=uri_of(request.get("refer-to")), by=request.get("referred-by"), sender=request.get("from"))

    def heard(self, session, fields, cpim):
        """A message that came in a room's session."""
        seat = self.seats.get(session.name)
        if seat is None or cpim is None:
            return
        call, to, sender = seat.call, cpim.all("To"), uri_of(cpim.get("From") or "")
        private = len(to) == 1 and uri_of(to[0]) != seat.room()
        if len(to) != 1 or private and uri_of(to[0]) not in seat.own():
            call.fault(f"a message to {to}; the room is {seat.room()}, we are {seat.own()} (RFC 7701 §6.1, §6.2)")
        if sender in seat.own() and cpim.content in seat.said:
            call.fault("our own message came back (RFC 7701 §6.1)")
        fields["private"], fields["sender_uri"], fields["sender"] = private, sender, seat.sender(sender)
        if fields["type"] in ("text/plain", "text/html"):
            seat.heard.append([fields["sender"] or sender, fields["text"], private])
            seat.check()

    # Commands

    async def do_subscribe(self, order):
        """To the room of a call: a dialog of its own, or the call's."""
        call, expires = self.calls[order["s"]], order.get("expires", 3600)
        seat, headers = self.seat(call), [tuple(header) for header in order.get("headers", [])]
        if seat.subscriber is None or seat.subscriber.state == "terminated":
            dialog = call
            if not order.get("within"):
                # RFC 4579 §4.2: the Contact says which conference it is.
                about = order.get("about", call.target)
                dialog = self.dialog_to(call.name, uri_of_local(call), seat.room(), about, call.peer, call.transport, call.contact)
            elif is_gruu(call.target):
                raise ValueError("the focus has a GRUU: a dialog of its own it is (RFC 6665 §4.5.2)")
            seat.subscriber = Subscriber(dialog, "conference", call.name)
            seat.subscriber.about = dialog.target
            seat.conference = Conference()
        seat.subscriber.subscribe(expires, headers)

    async def do_nickname(self, order):
        self.later(self.take_nickname(order))

    async def take_nickname(self, order):
        """NICKNAME, and what comes of it."""
        session = await self.bring(self.calls[order["s"]])
        answer = await session.nickname(order.get("nick", ""), order.get("value"))
        if answer.code == 200 and order["s"] in self.seats:
            self.seats[order["s"]].nickname = order.get("nick") or None
        emit("nicknamed", s=order["s"], nick=order.get("nick"), code=answer.code, comment=answer.comment)

    async def do_refer(self, order):
        """REFER to a focus: in the call's dialog, or outside of any with `uri`, `host` and `port`."""
        headers = [tuple(header) for header in order.get("headers", [])]
        if order.get("sub") is False:
            headers += [("Refer-Sub", "false"), ("Supported", "norefersub")]
        if "uri" in order:
            local = order.get("from", f"<sip:{self.user}@{self.domain}>")
            contact = f"<sip:{user_of(uri_of(local))}@{self.at()}>"
            dialog = self.dialog_to(order["s"], local, order["uri"], order["uri"], (order["host"], order["port"]), order.get("transport", "udp"), contact)
        else:
            dialog = self.calls[order["s"]]
        Subscriber(dialog, "refer", order["s"]).refer(order["to"], headers)

    async def do_say(self, order):
        """A message to all in the room."""
        await self.speak(order, self.seat(self.calls[order["s"]]).room())

    async def do_whisper(self, order):
        """A message to one of them: by nickname, or by address."""
        seat = self.seat(self.calls[order["s"]])
        found = [row.entity for row in seat.conference.users.values() if order["to"] in (row.name(), row.entity)]
        await self.speak(order, found[0] if len(found) == 1 else order["to"])

    async def speak(self, order, to):
        """A message through the switch (RFC 7701 §6.1)."""
        seat = self.seat(self.calls[order["s"]])
        seat.said.add(order["text"].encode("utf-8"))
        sender = order.get("from", uri_of_local(seat.call))
        order = {**order, "do": "send", "cpim": {"from": sender, "to": f"<{to}>", **order.get("cpim", {})}}
        order.setdefault("type", "text/plain;charset=utf-8")
        await self.do_send(order)

    async def do_look(self, order):
        """All that a call knows of its room."""
        seat = self.seats.get(order["s"])
        known = {} if seat is None else seat.look()
        emit("look", s=order["s"], there=seat is not None, state=self.calls[order["s"]].state, **known)

    async def do_await(self, order):
        """Tells when all of it holds: `roster` (who is there), `heard` (how many), `subject`."""
        seat = self.seat(self.calls[order["s"]])
        seat.awaited.append(order)
        seat.check()


def uri_of_local(call):
    """Our own name-addr in a call, without its tag."""
    return re.sub(r";[ \t]*tag=[^;, \t]+", "", call.local)
