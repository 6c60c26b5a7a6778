//! A name server that leads every domain to the generator: SRV of XMPP servers to one port, addresses to 127.0.0.1.

use std::net::{SocketAddr, UdpSocket};
use std::thread;

const A: u16 = 1;
const SRV: u16 = 33;

/// Answers until the process ends. Servers of XMPP are at `port`, behind direct TLS alone (XEP-0368).
///
/// # Errors
/// The address is taken.
pub fn serve(listen: SocketAddr, port: u16) -> std::io::Result<()> {
    let socket = UdpSocket::bind(listen)?;
    thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((n, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = answer(&buffer[..n], port) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    Ok(())
}

/// The answer to a question (RFC 1035 §4.1).
fn answer(question: &[u8], port: u16) -> Option<Vec<u8>> {
    let mut end = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*question.get(end)?);
        let label = question.get(end + 1..end + 1 + length)?;
        end += 1 + length;
        if length == 0 {
            break;
        }
        labels.push(label.to_ascii_lowercase());
    }
    let kind = u16::from_be_bytes(question.get(end..end + 2)?.try_into().ok()?);
    let question = question.get(..end + 4)?;
    let mut records = Vec::new();
    let first = labels.first()?.as_slice();
    match kind {
        // The name itself, of which the question has the only copy: 0xc00c points to it.
        A if !first.starts_with(b"_") => record(&mut records, kind, &[127, 0, 0, 1]),
        SRV if first == b"_xmpps-server" => {
            let mut data = vec![0, 0, 0, 0];
            data.extend_from_slice(&port.to_be_bytes());
            for label in &labels[2..] {
                data.push(u8::try_from(label.len()).ok()?);
                data.extend_from_slice(label);
            }
            data.push(0);
            record(&mut records, kind, &data);
        }
        _ => {}
    }
    let mut answer = question[..2].to_vec();
    answer.extend_from_slice(&[0x85, 0x80, 0, 1, 0, u8::from(!records.is_empty()), 0, 0, 0, 0]);
    answer.extend_from_slice(&question[12..]);
    answer.extend_from_slice(&records);
    Some(answer)
}

fn record(out: &mut Vec<u8>, kind: u16, data: &[u8]) {
    out.extend_from_slice(&[0xc0, 12]);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&[0, 1, 0, 0, 14, 16]);
    out.extend_from_slice(&u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut out = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            out.push(label.len() as u8);
            out.extend_from_slice(label.as_bytes());
        }
        out.push(0);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1]);
        out
    }

    #[test]
    fn every_domain_is_here() {
        let address = answer(&question("d7.example", A), 5270).unwrap();
        assert!(address.starts_with(&[7, 7, 0x85, 0x80, 0, 1, 0, 1]) && address.ends_with(&[0, 4, 127, 0, 0, 1]));
        let server = answer(&question("_xmpps-server._tcp.d7.example", SRV), 5270).unwrap();
        assert!(server.ends_with(&[&5270u16.to_be_bytes()[..], b"\x02d7\x07example\0"].concat()));
        let plain = answer(&question("_xmpp-server._tcp.d7.example", SRV), 5270).unwrap();
        assert_eq!(plain[6..8], [0, 0]);
        assert_eq!(answer(&[1, 2, 3], 5270), None);
    }
}
