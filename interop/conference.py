"""Conference information (RFC 4575): documents read strictly, put together by a subscriber, and written by a focus.

Written from the RFC alone and from nothing of the gateway. `Information` is one document with its faults, `Conference` what
a subscriber knows after several (§4.6), `write` what a focus says.
"""

import re
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

from im_bodies import DATE, document
from sip_grammar import SIP_URI, URI

SPACE = "{urn:ietf:params:xml:ns:conference-info}"
# RFC 6501 §4.6.5, as RFC 7701 §7.4 uses it.
XCON = "{urn:ietf:params:xml:ns:xcon-conference-info}"
MEDIA_TYPE = "application/conference-info+xml"
STATES = ("full", "partial", "deleted")

UNSIGNED, BOOLEAN, ANY_TEXT = r"\s*\+?[0-9]{1,10}\s*", r"\s*(?:true|false|1|0)\s*", r"(?s).*"
LANGUAGES = r"\s*(?:[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*\s*)*"
MEDIA_STATUS = "recvonly|sendonly|sendrecv|inactive"
# §6, type by type: what may stand in an element, in this order: (name, type or pattern, how often). "any" is what other
# namespaces may add at the end.
EXECUTION = [("when", DATE, "?"), ("reason", ANY_TEXT, "?"), ("by", URI, "?")]
URIS = [("entry", [("uri", URI, "1"), ("display-text", ANY_TEXT, "?"), ("purpose", ANY_TEXT, "?"), ("modified", EXECUTION, "?"), "any"], "+")]
MEDIUM = [("display-text", ANY_TEXT, "?"), ("type", ANY_TEXT, "1"), ("status", MEDIA_STATUS, "?"), "any"]
DESCRIPTION = [
    ("display-text", ANY_TEXT, "?"), ("subject", ANY_TEXT, "?"), ("free-text", ANY_TEXT, "?"), ("keywords", ANY_TEXT, "?"),
    ("conf-uris", URIS, "?"), ("service-uris", URIS, "?"), ("maximum-user-count", UNSIGNED, "?"),
    ("available-media", [("entry", MEDIUM, "+")], "?"), "any",
]  # fmt: skip
HOST = [("display-text", ANY_TEXT, "?"), ("web-page", URI, "?"), ("uris", URIS, "?"), "any"]
STATE = [("user-count", UNSIGNED, "?"), ("active", BOOLEAN, "?"), ("locked", BOOLEAN, "?"), "any"]
MEDIA = [
    ("display-text", ANY_TEXT, "?"), ("type", ANY_TEXT, "?"), ("label", ANY_TEXT, "?"), ("src-id", ANY_TEXT, "?"),
    ("status", MEDIA_STATUS, "?"), "any",
]  # fmt: skip
DIALOG = [("display-text", ANY_TEXT, "?"), ("call-id", ANY_TEXT, "1"), ("from-tag", ANY_TEXT, "1"), ("to-tag", ANY_TEXT, "1"), "any"]
ENDPOINT = [
    ("display-text", ANY_TEXT, "?"), ("referred", EXECUTION, "?"),
    ("status", "pending|dialing-out|dialing-in|alerting|on-hold|connected|muted-via-focus|disconnecting|disconnected", "?"),
    ("joining-method", "dialed-in|dialed-out|focus-owner", "?"), ("joining-info", EXECUTION, "?"),
    ("disconnection-method", "departed|booted|failed|busy", "?"), ("disconnection-info", EXECUTION, "?"),
    ("media", MEDIA, "*"), ("call-info", [("sip", DIALOG, "?"), "any"], "?"), "any",
]  # fmt: skip
USER = [
    ("display-text", ANY_TEXT, "?"), ("associated-aors", URIS, "?"), ("roles", [("entry", ANY_TEXT, "+")], "?"),
    ("languages", LANGUAGES, "?"), ("cascaded-focus", URI, "?"), ("endpoint", ENDPOINT, "*"), "any",
]  # fmt: skip
USERS = [("user", USER, "*"), "any"]
CONFERENCE = [
    ("conference-description", DESCRIPTION, "?"), ("host-info", HOST, "?"), ("conference-state", STATE, "?"),
    ("users", USERS, "?"), ("sidebars-by-ref", URIS, "?"), ("sidebars-by-val", None, "?"), "any",
]  # fmt: skip
# The attributes of our own namespace's elements, with their patterns; those marked are keys, which must be there (§4.5).
ATTRIBUTES = {
    "conference-info": {"entity!": URI, "state": "|".join(STATES), "version!": r"[0-9]{1,10}"},
    "users": {"state": "|".join(STATES)},
    "user": {"entity!": URI, "state": "|".join(STATES)},
    "endpoint": {"entity!": r".+", "state": "|".join(STATES)},
    "media": {"id!": r".+"},
    **{name: {"state": "|".join(STATES)} for name in ("sidebars-by-ref", "conf-uris", "service-uris", "uris", "associated-aors")},
    "sidebars-by-val": {"state": "|".join(STATES)},
}
# §4.5, and where the key is an attribute.
KEYS = {"user": "entity", "endpoint": "entity", "media": "id"}


def child(element, *names):
    """The element at the end of this way down, or None."""
    for name in names:
        element = None if element is None else element.find(SPACE + name)
    return element


def text(element, *names):
    """The text at the end of this way down, or None."""
    found = child(element, *names)
    return None if found is None else (found.text or "").strip()


class Information:
    """One document. `faults` says what §4 to §6 have against it."""

    def __init__(self, data):
        self.faults = []
        self.entity, self.state, self.version = None, None, None
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            self.faults.append("conference-info that is not UTF-8 (§4.1)")
        self.root = document(data, self.faults)
        if self.root is None or self.root.tag != SPACE + "conference-info":
            self.faults.append(f"no conference-info: {None if self.root is None else self.root.tag}")
            self.root = None
            return
        self.attributes(self.root, "conference-info")
        self.content(self.root, "conference-info", CONFERENCE)
        self.states(self.root, None)
        self.entity, self.state = self.root.get("entity"), self.root.get("state", "full")
        version = self.root.get("version", "")
        self.version = int(version) if version.isdigit() else None
        if self.version is not None and self.version >= 2**32:
            self.faults.append(f"version {version}, over 32 bits (§5.2)")
        if self.state == "full":
            for name in ("conference-description", "users"):
                if child(self.root, name) is None:
                    self.faults.append(f"a full document without {name} (§5.2)")
        entity = self.entity or ""
        if not re.fullmatch(SIP_URI, entity):
            self.faults.append(f"entity is no SIP URI (§5.2): {entity!r}")

    def attributes(self, element, name):
        """Those that are there may be there and say what they may; those that must be there are."""
        allowed = ATTRIBUTES.get(name, {})
        for key, pattern in allowed.items():
            value = element.get(key.rstrip("!"))
            if value is None and key.endswith("!"):
                self.faults.append(f"{name} without {key.rstrip('!')} (§4.5)")
            elif value is not None and not re.fullmatch(pattern, value):
                self.faults.append(f"{name}: {key.rstrip('!')} is {value!r}")
        for key in element.keys():
            if not key.startswith("{") and key not in allowed and key + "!" not in allowed and not (name, key) == ("entry", "label"):
                self.faults.append(f"{name} with the attribute {key} (§6)")

    def content(self, element, name, model):
        """What is in an element, against its type."""
        if model is None:
            return
        if isinstance(model, str):
            if len(element) or not re.fullmatch(model, (element.text or "").strip() if model != ANY_TEXT else element.text or ""):
                self.faults.append(f"{name}: {(element.text or '')[:80]!r}{' and more' if len(element) else ''}")
            return
        if (element.text or "").strip() or any((e.tail or "").strip() for e in element):
            self.faults.append(f"{name}: text between its elements")
        names = [e.tag.removeprefix(SPACE) if e.tag.startswith(SPACE) else "*" for e in element]
        order = "".join(
            "(?:[*] )*" if part == "any" else f"(?:{re.escape(part[0])} ){'' if part[2] == '1' else part[2]}" for part in model
        )
        if not re.fullmatch(order, "".join(n + " " for n in names)):
            self.faults.append(f"{name} with {names} (§6)")
        models = {part[0]: part[1] for part in model if part != "any"}
        seen = set()
        for inner, inner_name in zip(element, names):
            if inner_name not in models:
                continue
            self.attributes(inner, inner_name)
            self.content(inner, inner_name, models[inner_name])
            key = (inner_name, inner.get(KEYS.get(inner_name, ""), None))
            if inner_name in KEYS and key in seen:
                self.faults.append(f"{inner_name} {key[1]!r} twice (§4.5)")
            seen.add(key)

    def states(self, element, above):
        """A child's state against its parent's (§4.4)."""
        name = element.tag.removeprefix(SPACE)
        state = above
        if "state" in ATTRIBUTES.get(name, {}):
            state = element.get("state", "full")
            if above == "full" and state != "full":
                self.faults.append(f"{name} is {state} within what is full (§4.4)")
            if state == "deleted" and len(element) and name != "conference-info":
                self.faults.append(f"{name} is deleted and has something in it (§4.4)")
        for inner in element:
            if inner.tag.startswith(SPACE):
                self.states(inner, state)


class Conference:
    """What a subscriber knows of a conference (§4.6)."""

    def __init__(self):
        self.entity, self.version = None, None
        self.parts = {}  # by name, those that come as a whole
        self.users = {}  # entity -> Row
        self.over = False
        self.wanted = False  # a full document has been asked for

    def take(self, information):
        """One document, in the order of their NOTIFYs. Gives what speaks against it now, and whether to ask for a full one."""
        faults, version, state = [], information.version, information.state
        if information.root is None or version is None:
            return faults, False
        if self.entity is not None and information.entity != self.entity:
            faults.append(f"entity is {information.entity}, was {self.entity}")
        if self.version is None and state == "partial":
            faults.append("the first document is partial (§3.2)")
            return faults, True
        if self.version is not None and version <= self.version:
            if state != "full" or version < self.version:
                faults.append(f"{state} version {version} after {self.version} (§5.2)")
            elif state == "full" and self.view(self.rows(child(information.root, "users"))) != self.view(self.users):
                faults.append(f"version {version} again, with something else in it (§5.2)")
            return faults, False
        if state == "deleted":
            self.version, self.over = version, True
            self.users, self.parts = {}, {}
            return faults, False
        if state == "full":
            self.entity, self.version, self.wanted = information.entity, version, False
            self.parts, self.users = {}, {}
        elif version != self.version + 1:
            faults.append(f"partial version {version} after {self.version} (§5.2)")
            return faults, True
        self.version = version
        for element in information.root:
            name = element.tag.removeprefix(SPACE)
            if name == "users":
                self.take_users(element)
            else:
                self.parts[name] = element
        return faults, False

    def take_users(self, element):
        """The table of users."""
        state = element.get("state", "full")
        if state != "partial":
            self.users = {}
        if state == "deleted":
            return
        for user in element.findall(SPACE + "user"):
            merge(self.users, user, "entity", Row)

    @staticmethod
    def rows(element):
        """The table that a full list of users is."""
        table = {}
        for user in [] if element is None else element.findall(SPACE + "user"):
            merge(table, user, "entity", Row)
        return table

    @staticmethod
    def view(table):
        """A table as something to compare, and to show."""
        return [table[entity].describe() for entity in sorted(table)]

    def describe(self):
        """As fields of an event."""
        description, state = self.parts.get("conference-description"), self.parts.get("conference-state")
        count = None if state is None else text(state, "user-count")
        return {
            "entity": self.entity, "version": self.version, "over": self.over,
            "subject": None if description is None else text(description, "subject"),
            "title": None if description is None else text(description, "display-text"),
            "count": None if count is None else int(count), "users": self.view(self.users),
        }  # fmt: skip

    def find(self, uri):
        """The user whom a URI in a message means: by entity, or by one of the addresses that go with it."""
        if uri in self.users:
            return self.users[uri]
        found = [row for row in self.users.values() if uri in row.aors()]
        return found[0] if len(found) == 1 else None


class Row:
    """A user or an endpoint: its attributes, what comes as a whole, and the table in it."""

    def __init__(self, element):
        self.entity = element.get("entity")
        self.nickname = None
        self.parts, self.table = {}, {}
        self.take(element)

    def take(self, element):
        """What an element says on top of what is known."""
        if (nickname := element.get(XCON + "nickname")) is not None or element.get("state", "full") == "full":
            self.nickname = nickname
        for inner in element:
            name = inner.tag.removeprefix(SPACE)
            if name == "endpoint":
                merge(self.table, inner, "entity", Row)
            elif name == "media":
                self.table[inner.get("id")] = inner
            else:
                self.parts[name] = inner

    def name(self):
        """What people call a user: the nickname, else the name (RFC 7702 §7); None where there is neither."""
        shown = self.parts.get("display-text")
        return self.nickname or (None if shown is None else (shown.text or "").strip() or None)

    def aors(self):
        """The addresses that go with a user."""
        aors = self.parts.get("associated-aors")
        return [] if aors is None else [(e.text or "").strip() for e in aors.iter(SPACE + "uri")]

    def describe(self):
        """As fields of an event."""

        def own(row, name):
            found = row.parts.get(name)
            return None if found is None else (found.text or "").strip()

        roles = self.parts.get("roles")
        ends = [row for row in self.table.values() if isinstance(row, Row)]
        return {
            "entity": self.entity, "nickname": self.nickname, "name": own(self, "display-text"), "aors": self.aors(),
            "roles": [] if roles is None else [(e.text or "").strip() for e in roles],
            "status": [own(row, "status") for row in ends], "endpoints": [row.entity for row in ends],
            "left": [own(row, "disconnection-method") for row in ends if "disconnection-method" in row.parts],
        }  # fmt: skip


def merge(table, element, key, kind):
    """One element with a key, into its table (§4.6, 3.1 to 3.3)."""
    value, state = element.get(key), element.get("state", "full")
    if state == "deleted":
        table.pop(value, None)
    elif state == "partial" and value in table:
        table[value].take(element)
    else:
        table[value] = kind(element)


# What a focus writes.


def write(entity, version, state, parts, users=None, users_state=None):
    """A document. `parts` are the texts of those before the users, `users` those of the users."""
    out = ['<?xml version="1.0" encoding="UTF-8"?>\r\n<conference-info xmlns="urn:ietf:params:xml:ns:conference-info"']
    out.append(' xmlns:xcon="urn:ietf:params:xml:ns:xcon-conference-info"')
    out.append(f' entity={quoteattr(entity)} state="{state}" version="{version}">')
    out += parts
    if users is not None:
        out += [f'<users state="{users_state or state}">', *users, "</users>"]
    return "".join([*out, "</conference-info>"]).encode("utf-8")


def tagged(name, value):
    """An element with a text, or nothing where there is none."""
    return "" if value is None else f"<{name}>{escape(value)}</{name}>"


def write_description(subject, title, uri):
    """What the conference is about."""
    inner = tagged("display-text", title) + tagged("subject", subject)
    entry = f"<entry>{tagged('uri', uri)}<purpose>participation</purpose></entry>"
    return f"<conference-description>{inner}<conf-uris>{entry}</conf-uris></conference-description>"


def write_state(count):
    """How many there are."""
    return f"<conference-state><user-count>{count}</user-count><active>true</active></conference-state>"


def write_user(entity, nickname, name, aors, endpoints, state="full"):
    """A user with these endpoints, as they come from `write_endpoint`."""
    head = f"<user entity={quoteattr(entity)} state=\"{state}\""
    if state == "deleted":
        return head + "/>"
    if nickname is not None:
        head += f" xcon:nickname={quoteattr(nickname)}"
    listed = "".join(f"<entry>{tagged('uri', aor)}</entry>" for aor in aors)
    listed = f"<associated-aors>{listed}</associated-aors>" if listed else ""
    roles = "<roles><entry>participant</entry></roles>" if state == "full" else ""
    return f"{head}>{tagged('display-text', name)}{listed}{roles}{''.join(endpoints)}</user>"


def write_endpoint(entity, status, method=None, when=None, left=None, reason=None, media=None, state="full"):
    """An endpoint: how it came, how it went, what it has."""
    joining = tagged("joining-method", method) + (f"<joining-info>{tagged('when', when)}</joining-info>" if when else "")
    gone = tagged("disconnection-method", left)
    gone += f"<disconnection-info>{tagged('reason', reason)}</disconnection-info>" if reason is not None else ""
    stream = f'<media id="{media}"><type>message</type><status>sendrecv</status></media>' if media else ""
    return f"<endpoint entity={quoteattr(entity)} state=\"{state}\">{tagged('status', status)}{joining}{gone}{stream}</endpoint>"


ET.register_namespace("", SPACE[1:-1])
