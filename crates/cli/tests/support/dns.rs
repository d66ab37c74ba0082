//! A DNS server that knows one domain, capulet.lit.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::{Ipv4Addr, UdpSocket};

/// Names of a zone: labels with their lengths (RFC 1035 §3.1).
fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> = labels
        .flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat())
        .collect();
    bytes.push(0);
    bytes
}

/// Answers every question about capulet.lit (RFC 1035 §4, RFC 2782).
pub fn answer_all(dns: &UdpSocket, port: u16) {
    let srv = |priority: u16, port: u16, target: &str| {
        let numbers = [priority, 0, port].map(u16::to_be_bytes).concat();
        (33_u16, [numbers, name(target)].concat())
    };
    let mut query = [0_u8; 512];
    while let Ok((length, from)) = dns.recv_from(&mut query) {
        let end = 12
            + query[12..length]
                .iter()
                .position(|byte| *byte == 0)
                .unwrap()
            + 1;
        let (question, kind) = (
            &query[12..end],
            u16::from_be_bytes([query[end], query[end + 1]]),
        );
        let records = if question == name("_xmpp-client._tcp.capulet.lit") {
            vec![
                srv(9, 1, "nowhere.capulet.lit"),
                srv(5, port, "xmpp.capulet.lit"),
            ]
        } else if question == name("_xmpps-client._tcp.capulet.lit") {
            vec![srv(0, 0, "")]
        } else if question == name("xmpp.capulet.lit") {
            vec![(1, Ipv4Addr::LOCALHOST.octets().to_vec())]
        } else {
            Vec::new()
        };
        let records: Vec<_> = records.into_iter().filter(|(of, _)| *of == kind).collect();
        // A response, authoritative; without records there is no such name.
        let flags = if records.is_empty() {
            0x8403_u16
        } else {
            0x8400
        };
        let count = u16::try_from(records.len()).unwrap();
        let mut response = query[..2].to_vec();
        for number in [flags, 1, count, 0, 0] {
            response.extend(number.to_be_bytes());
        }
        response.extend(&query[12..end + 4]);
        for (kind, data) in records {
            response.extend(question);
            response.extend(kind.to_be_bytes());
            response.extend([0, 1, 0, 0, 0, 60]);
            response.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            response.extend(data);
        }
        dns.send_to(&response, from).unwrap();
    }
}
