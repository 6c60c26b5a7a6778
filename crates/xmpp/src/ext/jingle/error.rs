//! What Jingle adds to stanza errors (XEP-0166 §10).

use crate::error::{self, ErrorType, StanzaError, conditions};
use crate::ext::element;
use crate::ns;
use std::fmt;

conditions! {
    /// What was wrong with a request of Jingle.
    Error {
        /// It cannot be done in this state of the session.
        OutOfOrder = "out-of-order",
        /// The other side has asked for the same at the same time, and its request counts.
        TieBreak = "tie-break",
        /// There is no such session.
        UnknownSession = "unknown-session",
        /// What a session-info tells is not understood.
        UnsupportedInfo = "unsupported-info",
    }
}

impl Error {
    /// What an error stanza says in terms of Jingle, if it does.
    pub fn of(error: &StanzaError) -> Option<Error> {
        error.app.iter().filter(|e| e.ns == ns::JINGLE_ERRORS).find_map(|e| Error::from_name(&e.name))
    }

    /// The stanza error that goes with it. Whoever asks out of order may ask again later.
    pub fn to_stanza_error(self) -> StanzaError {
        let (kind, condition) = match self {
            Error::OutOfOrder => (ErrorType::Wait, error::Condition::UnexpectedRequest),
            Error::TieBreak => (ErrorType::Cancel, error::Condition::Conflict),
            Error::UnknownSession => (ErrorType::Cancel, error::Condition::ItemNotFound),
            Error::UnsupportedInfo => (ErrorType::Modify, error::Condition::FeatureNotImplemented),
        };
        let app = vec![element(self.name(), ns::JINGLE_ERRORS)];
        StanzaError { kind, app, ..StanzaError::new(condition) }
    }
}
