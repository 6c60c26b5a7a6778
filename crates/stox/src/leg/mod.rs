//! Legs: an INVITE dialog (RFC 3261) and the MSRP session (RFC 4975) that its descriptions agreed on, as one thing.

pub mod negotiate;
