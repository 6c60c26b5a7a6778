//! What a program recorded while it goes on recording, and the tones in it.

use super::until;
use std::f64::consts::TAU;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The last part of a recording is what is heard now.
const NOW: f64 = 0.3;
/// A tone that is most of what is heard is heard.
const MOST: f64 = 0.6;
/// Root mean square of what counts as sound, of 32768: a tone of a thirtieth of the loudest.
const SOUND: f64 = 500.0;

/// A WAV file (PCM, 16 bit) that grows.
#[derive(Debug, Clone)]
pub struct Recording {
    path: PathBuf,
}

impl Recording {
    /// The recording in this file, which need not be there yet.
    pub fn at(path: impl AsRef<Path>) -> Recording {
        Recording { path: path.as_ref().to_owned() }
    }

    /// Waits until a tone of `hertz` and little else is heard, in what is recorded from now on.
    #[track_caller]
    pub fn until_tone(&self, hertz: f64, patience: Duration) {
        let start = self.len();
        until(&format!("{hertz} Hz in {}", self.path.display()), patience, || {
            let heard = self.since(start, hertz);
            heard.loudness > SOUND && heard.share > MOST
        });
    }

    /// Waits until no sound is heard, or nothing is recorded any more.
    #[track_caller]
    pub fn until_silent(&self, patience: Duration) {
        let (mut length, mut grown) = (self.len(), Instant::now());
        until(&format!("silence in {}", self.path.display()), patience, || {
            if self.len() != length {
                (length, grown) = (self.len(), Instant::now());
            }
            let heard = self.since(0, 0.0);
            grown.elapsed().as_secs_f64() > 2.0 * NOW || heard.whole && heard.loudness < SOUND
        });
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |data| data.len())
    }

    /// Whether nothing was recorded yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is heard at the end, if that much has come since the file had `start` bytes.
    fn since(&self, start: u64, hertz: f64) -> Heard {
        let Some((rate, frame, samples)) = fs::read(&self.path).ok().and_then(|file| samples(&file)) else {
            return Heard::default();
        };
        let wanted = (rate * NOW) as usize;
        let fresh = self.len().saturating_sub(start) as usize / frame;
        match samples.len().checked_sub(wanted) {
            Some(start) if fresh >= wanted => listen(&samples[start..], rate, hertz),
            _ => Heard::default(),
        }
    }
}

/// What a piece of sound has.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Heard {
    /// There was enough to listen to.
    whole: bool,
    /// Root mean square.
    loudness: f64,
    /// How much of the power is in the tone, from 0 to 1.
    share: f64,
}

/// The sampling rate, the bytes of all channels' samples of one moment, and the first channel of a WAV file; what comes after "data" is taken to its end, because whoever still writes does not know
/// the length.
fn samples(file: &[u8]) -> Option<(f64, usize, Vec<f64>)> {
    let word = |at: usize| Some(u16::from_le_bytes(file.get(at..at + 2)?.try_into().ok()?));
    let long = |at: usize| Some(u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?));
    let (mut at, mut channels, mut rate) = (12, 0, 0);
    while file.get(at..at + 4)? != b"data" {
        if file.get(at..at + 4)? == b"fmt " {
            (channels, rate) = (usize::from(word(at + 10)?), long(at + 12)?);
            if word(at + 22)? != 16 {
                return None;
            }
        }
        at += 8 + long(at + 4)? as usize;
    }
    let frame = 2 * channels.max(1);
    let sound = file.get(at + 8..)?.chunks_exact(frame);
    Some((f64::from(rate), frame, sound.map(|f| f64::from(i16::from_le_bytes([f[0], f[1]]))).collect()))
}

/// Goertzel's algorithm.
fn listen(samples: &[f64], rate: f64, hertz: f64) -> Heard {
    let count = samples.len() as f64;
    let power = samples.iter().map(|s| s * s).sum::<f64>() / count;
    let factor = 2.0 * (TAU * hertz / rate).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for sample in samples {
        (last, before) = (sample + factor * last - before, last);
    }
    // A pure tone of amplitude A has the power A²/2, and its Goertzel power is (A n / 2)².
    let tone = last.mul_add(last, before.mul_add(before, -factor * last * before)) * 2.0 / (count * count);
    Heard { whole: true, loudness: power.sqrt(), share: if power > 0.0 { tone / power } else { 0.0 } }
}

#[cfg(test)]
mod tests {
    use super::{Heard, MOST, SOUND, listen, samples};
    use std::f64::consts::TAU;

    fn tone(hertz: f64, rate: f64, amplitude: f64) -> Vec<f64> {
        (0..(rate * 0.3) as u32).map(|n| amplitude * (TAU * hertz * f64::from(n) / rate).sin()).collect()
    }

    #[test]
    fn a_tone_is_told_from_another_and_from_silence() {
        for rate in [8000.0, 48000.0] {
            let sound = tone(440.0, rate, 8000.0);
            assert!(listen(&sound, rate, 440.0).share > 0.98);
            assert!(listen(&sound, rate, 1000.0).share < 0.02);
            assert!(listen(&sound, rate, 440.0).loudness > SOUND);
            let both: Vec<f64> = sound.iter().zip(tone(1000.0, rate, 8000.0)).map(|(a, b)| a + b).collect();
            assert!(listen(&both, rate, 440.0).share < MOST, "half of it is another");
        }
        assert_eq!(listen(&[0.0; 2400], 8000.0, 440.0), Heard { whole: true, loudness: 0.0, share: 0.0 });
    }

    #[test]
    fn the_first_channel_of_a_file_that_grows() {
        let mut file = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x02\0\x40\x1f\0\0\0\x7d\0\0\x04\0\x10\0".to_vec();
        assert_eq!(samples(&file), None);
        file.extend(b"LIST\x02\0\0\0xxdata\0\0\0\0\x01\0\x09\0\xff\xff\x09\0\x05");
        assert_eq!(samples(&file), Some((8000.0, 4, vec![1.0, -1.0])));
    }
}
