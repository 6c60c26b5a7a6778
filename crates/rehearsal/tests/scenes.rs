//! Plays every scene of the mappings. The examples of the RFCs have a test of their own each, so that `rfc/*.toml` can name it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests are tests")]

use rehearsal::scene::{Player, Settings};
use std::fs;
use std::path::{Path, PathBuf};

fn mappings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../stox/src")
}

fn play(path: &Path) -> Result<(), String> {
    let name = path.strip_prefix(mappings()).unwrap_or(path).display().to_string();
    let text = fs::read_to_string(path).map_err(|e| format!("{name}: {e}"))?;
    let mut player = Player::new(Settings::default());
    // `begins as NAME`: what NAME.part shows has happened before.
    for part in text.lines().filter_map(|line| line.strip_prefix(BEGINS)) {
        let before = path.with_file_name(format!("{part}.part"));
        let before = fs::read_to_string(before).map_err(|e| format!("{name}: {part}.part: {e}"))?;
        player.part(&before).map_err(|why| format!("{name}: {part}.part:{why}"))?;
    }
    let rest: Vec<&str> = text.lines().map(|line| if line.starts_with(BEGINS) { "" } else { line }).collect();
    player.play(&name, &(rest.join("\n") + "\n")).map_err(|failure| failure.to_string())
}

/// Opens the line that names a part.
const BEGINS: &str = "begins as ";

fn scenes() -> Vec<PathBuf> {
    let mut scenes = Vec::new();
    for mapping in fs::read_dir(mappings()).unwrap() {
        let folder = mapping.unwrap().path().join("scenes");
        let Ok(files) = fs::read_dir(folder) else { continue };
        scenes.extend(files.map(|f| f.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "scene")));
    }
    scenes.sort();
    scenes
}

#[test]
fn every_scene() {
    let only = std::env::var("SCENE").unwrap_or_default();
    let scenes: Vec<_> = scenes().into_iter().filter(|p| p.to_string_lossy().contains(&only)).collect();
    assert!(!scenes.is_empty(), "no scenes were found");
    let failures: Vec<String> = scenes.iter().filter_map(|path| play(path).err()).collect();
    assert!(failures.is_empty(), "{} of {} scenes failed:\n\n{}", failures.len(), scenes.len(), failures.join("\n\n"));
}

/// One test for each scene that stands for a section of an RFC.
macro_rules! scenes {
    ($($name:ident => $file:literal,)*) => {
        $(#[test]
        fn $name() {
            if let Err(failure) = play(&mappings().join($file)) {
                panic!("{failure}");
            }
        })*
    };
}

scenes! {
    rfc7247_6_4_sip_addresses_in_xmpp => "message/scenes/rfc7247-6-4.scene",
    rfc7247_6_5_xmpp_addresses_in_sip => "message/scenes/rfc7247-6-5.scene",
    rfc7247_7_1_xmpp_errors_in_sip => "message/scenes/rfc7247-7-1.scene",
    rfc7247_7_2_sip_statuses_in_xmpp => "message/scenes/rfc7247-7-2.scene",
    rfc7247_8_sips_and_loops => "message/scenes/rfc7247-8.scene",
    rfc7572_4_examples_1_to_3 => "message/scenes/rfc7572-4.scene",
    rfc7572_5_examples_4_and_5 => "message/scenes/rfc7572-5.scene",
    rfc7572_6_message_size => "message/scenes/rfc7572-6.scene",
    rfc7572_7_content_types => "message/scenes/rfc7572-7.scene",
    rfc7572_8_examples_6_and_7 => "message/scenes/rfc7572-8.scene",
    rfc7573_4_examples_1_to_9 => "chat/scenes/rfc7573-4.scene",
    rfc7573_5_examples_10_to_18 => "chat/scenes/rfc7573-5.scene",
    rfc7573_6_table_3 => "chat/scenes/rfc7573-6-table-3.scene",
    rfc7573_6_table_4 => "chat/scenes/rfc7573-6-table-4.scene",
    rfc7573_6_1_examples_19_to_22 => "chat/scenes/rfc7573-6-1.scene",
    rfc7573_6_1_idle => "chat/scenes/rfc7573-6-1-idle.scene",
    rfc7573_7_examples_23_to_26 => "chat/scenes/rfc7573-7.scene",
    rfc7573_8_message_size => "chat/scenes/rfc7573-8.scene",
    rfc7702_5_1_frames_1_to_15 => "room/scenes/rfc7702-5-1.scene",
    rfc7702_5_5_frames_16_to_22 => "room/scenes/rfc7702-5-5.scene",
    rfc7702_5_6_frames_23_to_26 => "room/scenes/rfc7702-5-6.scene",
    rfc7702_5_7_frames_27_to_30 => "room/scenes/rfc7702-5-7.scene",
    rfc7702_5_8_frames_31_to_34 => "room/scenes/rfc7702-5-8.scene",
    rfc7702_6_frames_35_to_62 => "room/scenes/rfc7702-6.scene",
    rfc3428_8_one_in_flight => "message/scenes/rfc3428-8.scene",
}
