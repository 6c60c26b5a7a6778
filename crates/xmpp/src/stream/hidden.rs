//! Memory that holds a secret.

use std::fmt;

/// Bytes that cannot be printed, and that are overwritten when they are dropped.
#[derive(Clone)]
pub(super) struct Hidden<B: AsMut<[u8]>>(pub(super) B);

impl<B: AsMut<[u8]>> Drop for Hidden<B> {
    fn drop(&mut self) {
        self.0.as_mut().fill(0);
        // Without a reader the compiler would leave the writing out.
        std::hint::black_box(&self.0);
    }
}

impl<B: AsMut<[u8]>> fmt::Debug for Hidden<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}
