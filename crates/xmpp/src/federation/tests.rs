//! All streams together.
