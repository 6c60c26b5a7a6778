//! The fuzz targets on every file of their corpora in `fuzz/corpus`, and on mutations of them that are the same on every run.
//! cargo-fuzz, where there is a nightly compiler, goes on from the same files.

use base::Tokens;
use rehearsal::fuzz::{TARGETS, Target, mutation};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Mutations for each target; `VERONA_FUZZ` sets another number.
const MUTATIONS: u64 = 4_000;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut seeds: Vec<(String, Vec<u8>)> = std::fs::read_dir(corpora().join(target))
        .expect("each target has a corpus")
        .map(|entry| entry.expect("a file").path())
        .map(|path| (path.display().to_string(), std::fs::read(&path).expect("a file")))
        .collect();
    seeds.sort();
    seeds
}

fn run(target: Target, name: &str, bytes: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(bytes))) {
        // The input is what matters; the message of the panic is printed already.
        let literal: String = bytes.iter().flat_map(|b| std::ascii::escape_default(*b)).map(char::from).collect();
        let file = std::env::temp_dir().join("verona-fuzz-input");
        let _ = std::fs::write(&file, bytes);
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{name}: b\"{literal}\"\n").as_bytes());
        std::panic::resume_unwind(panic);
    }
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|(n, _)| *n == name).expect("a target of this name").1;
    let seeds = seeds(name);
    assert!(seeds.len() >= 10, "{} seeds", seeds.len());
    for (file, bytes) in &seeds {
        run(target, file, bytes);
    }
    let mutations = std::env::var("VERONA_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(MUTATIONS);
    let mut tokens = Tokens::seeded(7);
    let pick = |tokens: &mut Tokens| usize::try_from(tokens.below(seeds.len() as u64)).expect("small");
    for _ in 0..mutations {
        let (one, other) = (pick(&mut tokens), pick(&mut tokens));
        let mut bytes = seeds[one].1.clone();
        for _ in 0..=tokens.below(3) {
            bytes = mutation(&bytes, &seeds[other].1, &mut tokens);
        }
        run(target, &seeds[one].0, &bytes);
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_has_a_test_and_a_binary() {
            let tested = [$(stringify!($name)),*];
            assert_eq!(TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), tested);
            for name in tested {
                let binary = corpora().join(format!("../fuzz_targets/{name}.rs"));
                let text = std::fs::read_to_string(binary).expect("each target has a binary");
                assert!(text.contains(&format!("rehearsal::fuzz::{name}(data)")), "{name}");
            }
        }
    };
}

targets! {
    sip_message uri header framing cpim multipart jid_sip_mapping html_cleaner pidf sdp xml_stream component_stream
    gateway subscription presence invite msrp_framing msrp_session chat conference nickname muc room occupants media_description relay
    jingle digest websocket s2s
}
