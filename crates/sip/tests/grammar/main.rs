//! The grammar as others see it: messages of our own in the manner of RFC 4475 and RFC 5118, properties that hold for
//! any input, and the verdicts of another implementation on the same messages.

mod corpus;
mod oracle;
mod properties;
mod torture;
