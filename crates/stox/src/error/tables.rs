//! The two tables of RFC 7247 §7 as they stand there.

use xmpp::error::Condition;

/// RFC 7247 table 2: the status for an error condition.
///
/// `full`: the error relates to a full JID (notes 1, 2). `moved`: a `<gone/>` brings a usable new address (note 3).
///
/// Where the table leaves a choice: `<remote-server-not-found/>` is 404 (note 4 (a): servers rarely tell (a) and (b)
/// apart, and 408 would invite to try again). `<service-unavailable/>` is 404: it is what RFC 6121 §8.5.1 has a server say
/// of a user that it does not know (or does not want to own to), and so what Prosody and ejabberd say. Not 503, which
/// would speak for the whole gateway (note 5), nor 405, which is about the method. `<unexpected-request/>` is 491, which
/// RFC 3261 §21.4.27 has for requests that collide.
pub fn table2(condition: Condition, full: bool, moved: bool) -> u16 {
    match condition {
        Condition::BadRequest => 400,
        Condition::Conflict => 400,
        Condition::FeatureNotImplemented if full => 405,
        Condition::FeatureNotImplemented => 501,
        Condition::Forbidden if full => 403,
        Condition::Forbidden => 603,
        Condition::Gone if moved => 301,
        Condition::Gone => 410,
        Condition::InternalServerError => 500,
        Condition::ItemNotFound if full => 404,
        Condition::ItemNotFound => 604,
        Condition::JidMalformed => 400,
        Condition::NotAcceptable if full => 406,
        Condition::NotAcceptable => 606,
        Condition::NotAllowed => 403,
        Condition::NotAuthorized => 401,
        Condition::PolicyViolation => 403,
        Condition::RecipientUnavailable if full => 480,
        Condition::RecipientUnavailable => 600,
        Condition::Redirect => 302,
        Condition::RegistrationRequired => 407,
        Condition::RemoteServerNotFound => 404,
        Condition::RemoteServerTimeout => 408,
        Condition::ResourceConstraint => 500,
        Condition::ServiceUnavailable => 404,
        Condition::SubscriptionRequired => 400,
        Condition::UndefinedCondition => 400,
        Condition::UnexpectedRequest => 491,
    }
}

/// RFC 7247 table 3: the error condition for a status of 300 to 699; for any other, `<undefined-condition/>`.
///
/// Where the notes know other translations "depending on the scenario" (3, 4, 5), a status alone does not tell the scenario,
/// and the table's own word stands.
pub fn table3(code: u16) -> Condition {
    match code {
        301 => Condition::Gone,
        380 => Condition::NotAcceptable,
        300..=399 => Condition::Redirect,
        401 => Condition::NotAuthorized,
        403 => Condition::Forbidden,
        404 => Condition::ItemNotFound,
        405 => Condition::FeatureNotImplemented,
        406 => Condition::NotAcceptable,
        407 => Condition::RegistrationRequired,
        408 => Condition::RemoteServerTimeout,
        410 => Condition::Gone,
        413 | 414 => Condition::PolicyViolation,
        415 | 416 => Condition::NotAcceptable,
        420 => Condition::FeatureNotImplemented,
        421 => Condition::NotAcceptable,
        423 => Condition::ResourceConstraint,
        430 => Condition::RecipientUnavailable,
        439 => Condition::FeatureNotImplemented,
        440 => Condition::PolicyViolation,
        480 => Condition::RecipientUnavailable,
        481 => Condition::ItemNotFound,
        482 | 483 => Condition::NotAcceptable,
        484 | 485 => Condition::ItemNotFound,
        486 | 487 => Condition::RecipientUnavailable,
        488 => Condition::NotAcceptable,
        489 => Condition::PolicyViolation,
        491 => Condition::UnexpectedRequest,
        // 400, 402 (note 2) and 493 among them.
        400..=499 => Condition::BadRequest,
        501 => Condition::FeatureNotImplemented,
        502 => Condition::RemoteServerNotFound,
        504 => Condition::RemoteServerTimeout,
        505 => Condition::NotAcceptable,
        513 => Condition::PolicyViolation,
        // 500 and 503 (note 9) among them.
        500..=599 => Condition::InternalServerError,
        604 => Condition::ItemNotFound,
        606 => Condition::NotAcceptable,
        // 600 and 603 among them.
        600..=699 => Condition::RecipientUnavailable,
        _ => Condition::UndefinedCondition,
    }
}
