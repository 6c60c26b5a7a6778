//! What a service and a room are like.

use base::Str;
use xml::Element;
use xmpp::ext::muc::{Owner, status};
use xmpp::ns;

/// What a service does of what XEP-0045 and its kin leave to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether a room that is not there is made by who enters it (else `not-allowed`).
    pub create: bool,
    /// Whether a new room is locked until its owner has configured it (§10.1).
    pub lock: bool,
    /// Whether occupants get ids (XEP-0421).
    pub occupant_ids: bool,
    /// Whether messages get ids (XEP-0359).
    pub stanza_ids: bool,
    /// Whether a message keeps the id that its sender gave it (`muc#stable_id`).
    pub stable_ids: bool,
    /// Whether the room itself answers self-pings (XEP-0410 §3.3).
    pub self_ping: bool,
    /// Whether moderators may take messages back (XEP-0425).
    pub moderation: bool,
    /// Whether several devices of one user may share a nickname.
    pub several_sessions: bool,
}

impl Default for Options {
    /// As the services in use have it, but new rooms are not locked.
    fn default() -> Self {
        Options {
            create: true,
            lock: false,
            occupant_ids: true,
            stanza_ids: true,
            stable_ids: true,
            self_ping: true,
            moderation: true,
            several_sessions: true,
        }
    }
}

/// What a room is like (§4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its name for people.
    pub name: Option<Str>,
    /// What it is for.
    pub description: Option<String>,
    /// It stays when nobody is in it.
    pub persistent: bool,
    /// It is listed, and so are its people.
    pub public: bool,
    /// Only members may enter.
    pub members_only: bool,
    /// What one needs to enter.
    pub password: Option<Str>,
    /// How many people may be in it; admins always may.
    pub max_users: Option<usize>,
    /// Newcomers may only listen.
    pub moderated: bool,
    /// Everybody may see real addresses.
    pub non_anonymous: bool,
    /// Every participant may change the subject, not only moderators.
    pub change_subject: bool,
    /// Every occupant may invite, not only admins.
    pub allow_invites: bool,
    /// People may write to each other in private.
    pub private_messages: bool,
    /// It says that it is logged (170).
    pub logged: bool,
    /// How many messages it remembers.
    pub history: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            name: None,
            description: None,
            persistent: true,
            public: true,
            members_only: false,
            password: None,
            max_users: None,
            moderated: false,
            non_anonymous: false,
            change_subject: false,
            allow_invites: true,
            private_messages: true,
            logged: false,
            history: 20,
        }
    }
}

/// The form's fields (§16.5.3), and where they are kept.
const FORM: &str = "http://jabber.org/protocol/muc#roomconfig";

impl Settings {
    /// The form for the owner (§10.2).
    pub(super) fn form(&self) -> Owner {
        let field = |var: &str, value: &str| {
            let value = Element::new("value", ns::DATA_FORMS).with_text(value);
            Element::new("field", ns::DATA_FORMS).with_attr("var", var).with_child(value)
        };
        let flag = |flag| if flag { "1" } else { "0" };
        let most = self.max_users.map_or("none".to_owned(), |n| n.to_string());
        let whois = if self.non_anonymous { "anyone" } else { "moderators" };
        let fields = [
            ("muc#roomconfig_roomname", self.name.as_deref().unwrap_or_default()),
            ("muc#roomconfig_roomdesc", self.description.as_deref().unwrap_or_default()),
            ("muc#roomconfig_persistentroom", flag(self.persistent)),
            ("muc#roomconfig_publicroom", flag(self.public)),
            ("muc#roomconfig_membersonly", flag(self.members_only)),
            ("muc#roomconfig_passwordprotectedroom", flag(self.password.is_some())),
            ("muc#roomconfig_roomsecret", self.password.as_deref().unwrap_or_default()),
            ("muc#roomconfig_maxusers", &most),
            ("muc#roomconfig_moderatedroom", flag(self.moderated)),
            ("muc#roomconfig_whois", whois),
            ("muc#roomconfig_changesubject", flag(self.change_subject)),
            ("muc#roomconfig_allowinvites", flag(self.allow_invites)),
            ("muc#roomconfig_enablelogging", flag(self.logged)),
        ];
        let head = field("FORM_TYPE", FORM).with_attr("type", "hidden");
        let form = Element::new("x", ns::DATA_FORMS).with_attr("type", "form").with_child(head);
        Owner::Form(fields.iter().fold(form, |form, (var, value)| form.with_child(field(var, value))))
    }

    /// What the owner has filled in; what the form does not have stays.
    pub(super) fn filled_in(&self, form: &Element) -> Settings {
        let mut new = self.clone();
        let mut protected = self.password.is_some();
        for field in form.elements().filter(|e| e.is("field", ns::DATA_FORMS)) {
            let value = field.child("value", ns::DATA_FORMS).map(|v| v.text().into_owned()).unwrap_or_default();
            let flag = matches!(value.as_str(), "1" | "true");
            let text = Some(value.clone()).filter(|v| !v.is_empty());
            match field.attr("var").unwrap_or_default() {
                "muc#roomconfig_roomname" => new.name = text.map(Str::from),
                "muc#roomconfig_roomdesc" => new.description = text,
                "muc#roomconfig_persistentroom" => new.persistent = flag,
                "muc#roomconfig_publicroom" => new.public = flag,
                "muc#roomconfig_membersonly" => new.members_only = flag,
                "muc#roomconfig_passwordprotectedroom" => protected = flag,
                "muc#roomconfig_roomsecret" => new.password = text.map(Str::from),
                "muc#roomconfig_maxusers" => new.max_users = value.parse().ok(),
                "muc#roomconfig_moderatedroom" => new.moderated = flag,
                "muc#roomconfig_whois" => new.non_anonymous = value == "anyone",
                "muc#roomconfig_changesubject" => new.change_subject = flag,
                "muc#roomconfig_allowinvites" => new.allow_invites = flag,
                "muc#roomconfig_enablelogging" => new.logged = flag,
                _ => {}
            }
        }
        if !protected {
            new.password = None;
        }
        new
    }

    /// What people are told of the change from `self` to `new` (§10.2.1).
    pub(super) fn changes(&self, new: &Settings) -> Vec<u16> {
        let mut codes = Vec::new();
        if self.logged != new.logged {
            codes.push(if new.logged { status::LOGGED } else { status::NOT_LOGGED });
        }
        if self.non_anonymous != new.non_anonymous {
            codes.push(if new.non_anonymous { status::NOW_NON_ANONYMOUS } else { status::NOW_SEMI_ANONYMOUS });
        }
        let rest = Settings { logged: new.logged, non_anonymous: new.non_anonymous, ..self.clone() };
        if rest != *new {
            codes.push(status::CONFIGURATION_CHANGED);
        }
        codes
    }

    /// What disco#info says of it (§6.4).
    pub(super) fn features(&self) -> [&'static str; 6] {
        [
            if self.public { "muc_public" } else { "muc_hidden" },
            if self.members_only { "muc_membersonly" } else { "muc_open" },
            if self.moderated { "muc_moderated" } else { "muc_unmoderated" },
            if self.non_anonymous { "muc_nonanonymous" } else { "muc_semianonymous" },
            if self.password.is_some() { "muc_passwordprotected" } else { "muc_unsecured" },
            if self.persistent { "muc_persistent" } else { "muc_temporary" },
        ]
    }
}
