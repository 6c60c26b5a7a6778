"""What a client sees of a multi-user chat room (XEP-0045), held against the XEP: who is there, what was said, and in which order
it came. Written from the XEP alone and from nothing of the gateway; what real services do is no fault.
"""

import xml.etree.ElementTree as ET

CLIENT = "{jabber:client}"
MUC, USER = "{http://jabber.org/protocol/muc}", "{http://jabber.org/protocol/muc#user}"
DELAY = "{urn:xmpp:delay}delay"
CONFERENCE = "{jabber:x:conference}x"
ROLES = ("moderator", "participant", "visitor", "none")
AFFILIATIONS = ("owner", "admin", "member", "outcast", "none")


def split(jid):
    """Bare JID and resource, "" where there is none."""
    bare, _, resource = (jid or "").partition("/")
    return bare, resource


class Seat:
    """A client's seat in a room. `report(event, **fields)` tells the test; a "fault" fails it."""

    def __init__(self, report, room, nick, jid):
        self.report, self.room, self.nick, self.jid = report, room, nick, jid
        self.state = "joining"  # joining, in, out
        self.asked = nick
        self.occupants = {}  # nick -> {"role", "affiliation", "jid", "show", "status"}
        self.subject = None
        self.heard = []  # [nick, text, whether in private, whether it is history]
        self.sent, self.ids = {}, set()  # ours that did not come back; those that came
        self.statuses = []
        self.awaited = []  # what the test waits for

    def fault(self, what, element):
        """Something that XEP-0045 does not allow."""
        self.report("fault", what=f"{self.room}: {what} (XEP-0045)", raw=ET.tostring(element, encoding="unicode"))

    def look(self):
        """As fields of an event."""
        return {"room": self.room, "state": self.state, "nick": self.nick, "occupants": self.occupants, "subject": self.subject,
                "heard": self.heard, "statuses": self.statuses, "unreflected": sorted(self.sent)}  # fmt: skip

    def wait(self, condition):
        """Tells the test when this holds: `roster` (nicks), `heard` (how many), `subject`, `state`."""
        self.awaited.append(condition)
        self.check()

    def check(self):
        """What the test waits for may be there now."""
        for condition in list(self.awaited):
            if self.holds(condition):
                self.awaited.remove(condition)
                self.report("awaited", token=condition.get("token"), **self.look())

    def holds(self, condition):
        """Whether a condition holds."""
        live = [h for h in self.heard if not h[3]]
        return (
            ("roster" not in condition or sorted(self.occupants) == sorted(condition["roster"]))
            and ("heard" not in condition or len(live) >= condition["heard"])
            and ("subject" not in condition or self.subject == condition["subject"])
            and ("state" not in condition or self.state == condition["state"])
        )

    # Presence

    def presence(self, element):
        """A presence stanza from the room or one of its occupants."""
        kind, nick = element.get("type"), split(element.get("from"))[1]
        if element.get("to") != self.jid:
            self.fault(f"presence to {element.get('to')}, we are {self.jid}", element)
        if kind == "error":
            self.refused(element, nick)
            return
        if kind not in (None, "unavailable"):
            self.fault(f"presence of type {kind}", element)
            return
        if not nick and element.find(USER + "x") is None:
            # The room's own presence, with its capabilities: ejabberd has that (XEP-0486 §3 lives on it).
            return
        found = element.findall(USER + "x")
        items = found[0].findall(USER + "item") if found else []
        if len(found) != 1 or not items or not nick:
            self.fault("presence without a nick, or not with one x and its item (§7.2.2)", element)
            return
        item, statuses = items[0], [int(s.get("code", "0")) for s in found[0].findall(USER + "status")]
        if item.get("role") not in ROLES or item.get("affiliation") not in AFFILIATIONS:
            self.fault(f"role {item.get('role')}, affiliation {item.get('affiliation')} (§5)", element)
        if self.state == "out":
            self.fault("presence to somebody who is not there", element)
            return
        if kind is None:
            self.available(element, nick, item, statuses)
        else:
            self.unavailable(element, nick, item, statuses, found[0])
        self.check()

    def available(self, element, nick, item, statuses):
        """Somebody is there."""
        if item.get("role") == "none":
            self.fault("available with role none (§5.1)", element)
        if self.state == "joining" and nick in self.occupants:
            self.fault(f"{nick} twice among those who are there", element)
        show = element.find(CLIENT + "show")
        status = element.find(CLIENT + "status")
        self.occupants[nick] = {
            "role": item.get("role"), "affiliation": item.get("affiliation"), "jid": item.get("jid"),
            "show": None if show is None else show.text, "status": None if status is None else status.text,
        }  # fmt: skip
        if 110 in statuses:
            if nick != self.asked and 210 not in statuses:
                self.fault(f"our nick is {nick}, asked for {self.asked}, without 210 (§7.2.10)", element)
            self.nick, self.statuses = nick, statuses
            if self.state == "joining":
                self.state = "in"
                self.report("joined", room=self.room, nick=nick, statuses=statuses, roster=sorted(self.occupants))
            else:
                self.report("changed", room=self.room, nick=nick, statuses=statuses, **self.occupants[nick])
        elif self.state == "in" and nick == self.nick:
            self.fault("our own presence without 110 (§7.2.2)", element)

    def unavailable(self, element, nick, item, statuses, x):
        """Somebody is there no more, or has another nick (§7.6)."""
        if self.state == "joining":
            self.fault("unavailable before our own presence (§7.2.2)", element)
        if nick not in self.occupants:
            self.fault(f"{nick} leaves and was not there", element)
        self.occupants.pop(nick, None)
        reason = item.find(USER + "reason")
        fields = {"room": self.room, "nick": nick, "statuses": statuses, "reason": None if reason is None else reason.text}
        status = element.find(CLIENT + "status")
        fields["status"] = None if status is None else status.text
        if 303 in statuses:
            if not item.get("nick"):
                self.fault("303 without the new nick (§7.6)", element)
            if nick == self.nick:
                self.nick = self.asked = item.get("nick")
            self.report("renamed", to=item.get("nick"), **fields)
            return
        if item.get("role") != "none":
            self.fault(f"unavailable with role {item.get('role')} (§7.14)", element)
        if 110 in statuses or nick == self.nick:
            destroy = x.find(USER + "destroy")
            if 110 not in statuses and destroy is None:
                self.fault("our own unavailable without 110 (§7.14)", element)
            if destroy is not None:
                why = destroy.find(USER + "reason")
                fields["destroyed"] = {"jid": destroy.get("jid"), "reason": None if why is None else why.text}
            self.state, self.statuses, self.occupants = "out", statuses, {}
            self.report("left", affiliation=item.get("affiliation"), **fields)
        else:
            self.report("gone", **fields)

    def refused(self, element, nick):
        """We may not come in, or not be called that."""
        error = element.find(CLIENT + "error")
        conditions = [] if error is None else [e.tag.split("}")[1] for e in error if "xmpp-stanzas}" in e.tag and not e.tag.endswith("}text")]
        if len(conditions) != 1:
            self.fault(f"an error with {conditions}", element)
        if self.state == "joining":
            self.state = "out"
        else:
            self.asked = self.nick
        text = None if error is None else error.find("{urn:ietf:params:xml:ns:xmpp-stanzas}text")
        self.report("refused", room=self.room, nick=nick, condition=(conditions or [None])[0], kind=None if error is None else error.get("type"),
                    text=None if text is None else text.text)  # fmt: skip
        self.check()

    # Messages

    def message(self, element):
        """A message from the room or one of its occupants. Gives whether it was for the room's ears."""
        kind, nick = element.get("type", "normal"), split(element.get("from"))[1]
        body, subject = element.find(CLIENT + "body"), element.find(CLIENT + "subject")
        if element.get("to") != self.jid and kind != "normal":
            self.fault(f"a message to {element.get('to')}, we are {self.jid}", element)
        if kind == "groupchat":
            self.groupchat(element, nick, body, subject)
        elif kind == "chat" and nick and body is not None:
            if self.state != "in" or nick not in self.occupants:
                self.fault(f"a private message of {nick}, who is not there", element)
            if element.find(USER + "x") is None:
                self.fault("a private message without x (§7.5)", element)
            self.heard.append([nick, body.text or "", True, False])
            self.report("whispered", room=self.room, nick=nick, body=body.text or "", id=element.get("id"))
        elif kind == "error":
            error = element.find(CLIENT + "error")
            conditions = [e.tag.split("}")[1] for e in error if "xmpp-stanzas}" in e.tag] if error is not None else [None]
            self.sent.pop(element.get("id"), None)
            self.report("bounced", room=self.room, nick=nick, id=element.get("id"), condition=conditions[0])
        else:
            return False
        self.check()
        return True

    def groupchat(self, element, nick, body, subject):
        """Something that all hear."""
        delayed = element.find(DELAY) is not None
        if self.state != "in":
            self.fault(f"a message to all, and we are {self.state} (§7.2.13)", element)
            return
        if subject is not None and body is None:
            self.subject = subject.text or ""
            self.report("subject", room=self.room, nick=nick, subject=self.subject)
            return
        if body is None:
            return
        if nick and not delayed and nick not in self.occupants:
            self.fault(f"a message of {nick}, who is not there", element)
        if self.subject is None and not delayed:
            self.fault("a message to all before the subject (§7.2.15)", element)
        if self.subject is not None and delayed:
            self.fault("history after the subject (§7.2.13)", element)
        key = (nick, element.get("id"))
        if element.get("id") is not None and not delayed:
            if key in self.ids:
                self.fault(f"{key} for the second time", element)
            self.ids.add(key)
        if nick == self.nick and not delayed:
            if element.get("id") not in self.sent:
                self.fault(f"our own message comes back as {element.get('id')}, sent were {sorted(self.sent)} (§7.4)", element)
            elif self.sent.pop(element.get("id")) != (body.text or ""):
                self.fault("our own message comes back as another one", element)
        self.heard.append([nick, body.text or "", False, delayed])

    def gone(self):
        """The stream ended."""
        self.state, self.occupants = "out", {}


def invitation(element):
    """What a message invites to, mediated (§7.8.2) or direct (XEP-0249), or declines; None where it does neither."""
    if element.get("type") == "error":
        return None
    direct = element.find(CONFERENCE)
    x = element.find(USER + "x")
    for name, event in (("invite", "asked_in"), ("decline", "declined")):
        found = None if x is None else x.find(USER + name)
        if found is not None:
            reason, password = found.find(USER + "reason"), x.find(USER + "password")
            return event, {"room": element.get("from"), "by": found.get("from"), "reason": None if reason is None else reason.text,
                           "password": None if password is None else password.text, "direct": False}  # fmt: skip
    if direct is not None and direct.get("jid"):
        return "asked_in", {"room": direct.get("jid"), "by": element.get("from"), "reason": direct.get("reason"),
                            "password": direct.get("password"), "direct": True}  # fmt: skip
    return None
