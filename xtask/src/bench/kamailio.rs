//! Kamailio: its xmpp module, the gateway that Debian has; and as a proxy between telephones.

use super::gateway::{PHONE, SERVER, SIP};
use std::path::Path;
use std::process::Command;

const MODULES: &str = "/usr/lib/x86_64-linux-gnu/kamailio/modules";

/// Makes the module ready.
///
/// # Errors
/// Why it cannot be measured.
pub(crate) fn find(scratch: &Path) -> Result<(), String> {
    Command::new("kamailio").arg("-v").output().map_err(|_| "it is not installed".to_owned())?;
    let from = Path::new(MODULES).join("xmpp.so");
    let mut module = std::fs::read(&from).map_err(|e| format!("{}: {e}", from.display()))?;
    let repaired = repair(&mut module);
    if repaired != 8 {
        return Err(format!("its xmpp module is another build: {repaired} places to repair, not 8"));
    }
    let folder = scratch.join("kamailio");
    let to = folder.join("xmpp.so");
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&to, module))
        .map_err(|e| format!("{}: {e}", to.display()))
}

/// Debian's module reads through a null pointer at the first element that has attributes, the stream header of any server: its loop ends
/// where `*attribute` is 0, and expat ends the list with a null pointer. Each `cmpb $0,(%rsi)` of that loop, behind the load of %rsi,
/// becomes a `test %rsi,%rsi` of the same length. Returns how many there were.
fn repair(module: &mut [u8]) -> usize {
    const COMPARE: [u8; 3] = [0x80, 0x3e, 0x00];
    const TEST: [u8; 3] = [0x48, 0x85, 0xf6];
    // mov disp8(%rbp),%rsi; mov disp8(%rbp,%rdx,8),%rsi; the same with %rcx; mov (%rbx),%rsi; mov (%rbx,%rdx,8),%rsi; with %rcx.
    const LOADS: [&[u8]; 6] = [
        &[0x48, 0x8b, 0x75, 0x00],
        &[0x48, 0x8b, 0x74, 0xd5, 0x00],
        &[0x48, 0x8b, 0x74, 0xcd, 0x00],
        &[0x48, 0x8b, 0x33],
        &[0x48, 0x8b, 0x34, 0xd3],
        &[0x48, 0x8b, 0x34, 0xcb],
    ];
    let mut repaired = 0;
    for at in 5..module.len().saturating_sub(4) {
        let branches = matches!(module[at + 3], 0x74 | 0x75);
        if module[at..at + 3] == COMPARE && branches && LOADS.iter().any(|load| module[..at].ends_with(load)) {
            module[at..at + 3].copy_from_slice(&TEST);
            repaired += 1;
        }
    }
    repaired
}

/// The command that starts it.
pub(crate) fn command(scratch: &Path) -> Result<Command, String> {
    let folder = scratch.join("kamailio");
    let file = folder.join("kamailio.cfg");
    let module = folder.join("xmpp.so");
    std::fs::write(&file, config(&module)).map_err(|e| format!("{}: {e}", file.display()))?;
    let mut command = Command::new("kamailio");
    // In the foreground, with more memory than it needs: what it holds is counted, not what it reserves.
    command.arg("-f").arg(&file).args(["-DD", "-E", "-m", "4096", "-M", "32", "-w"]).arg(&folder);
    Ok(command)
}

fn config(module: &Path) -> String {
    let (host, port) = SERVER.split_once(':').unwrap_or((SERVER, "5347"));
    format!(
        r#"#!KAMAILIO
debug=0
log_stderror=yes
children=4
auto_aliases=no
dns=no
rev_dns=no
disable_tcp=yes
listen=udp:{SIP}
alias="example.net"
alias="example.com"
mpath="{MODULES}/"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "textops.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "sanity.so"
loadmodule "{}"
modparam("tm", "fr_timer", 5000)
modparam("tm", "wt_timer", 5000)
modparam("xmpp", "backend", "component")
modparam("xmpp", "gwmap", "example.net")
modparam("xmpp", "gateway_domain", "example.com")
modparam("xmpp", "xmpp_domain", "example.net")
modparam("xmpp", "xmpp_host", "{host}")
modparam("xmpp", "xmpp_port", {port})
modparam("xmpp", "xmpp_password", "secret")
modparam("xmpp", "outbound_proxy", "sip:{PHONE}")
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (!sanity_check()) {{ exit; }}
    if (is_method("MESSAGE")) {{
        if (!t_newtran()) {{ sl_reply_error(); exit; }}
        if (xmpp_send_message()) {{ t_reply("202", "Accepted"); }} else {{ t_reply("404", "Not Found"); }}
        exit;
    }}
    sl_send_reply("405", "Method Not Allowed");
}}
"#,
        module.display()
    )
}

/// The command that starts it as a proxy from whoever calls to the phones.
pub(super) fn proxy(folder: &Path) -> Result<Command, String> {
    let file = folder.join("proxy.cfg");
    let config = format!(
        r#"#!KAMAILIO
debug=0
log_stderror=yes
children=4
auto_aliases=no
dns=no
rev_dns=no
disable_tcp=yes
listen=udp:{SIP}
mpath="{MODULES}/"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (has_totag()) {{
        if (!loose_route()) {{ sl_send_reply("404", "Not Here"); exit; }}
        t_relay();
        exit;
    }}
    record_route();
    $du = "sip:{PHONE}";
    if (!t_relay()) {{ sl_reply_error(); }}
}}
"#
    );
    std::fs::write(&file, config).map_err(|e| format!("{}: {e}", file.display()))?;
    let mut command = Command::new("kamailio");
    command.arg("-f").arg(&file).args(["-DD", "-E", "-m", "1024", "-M", "32", "-w"]).arg(folder);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_loop_is_repaired() {
        let mut module = vec![0x90; 6];
        module.extend([0x48, 0x8b, 0x33, 0x80, 0x3e, 0x00, 0x74, 0x10]);
        // Without the load before it, or without a branch behind it, it is something else.
        module.extend([0x90, 0x90, 0x80, 0x3e, 0x00, 0x74, 0x48, 0x8b, 0x33, 0x80, 0x3e, 0x00, 0x90, 0x90]);
        let before = module.clone();
        assert_eq!(repair(&mut module), 1);
        assert_eq!(module[9..12], [0x48, 0x85, 0xf6]);
        assert_eq!(module[12..], before[12..]);
    }
}
