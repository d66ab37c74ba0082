//! Two embedded servers and their users, over real sockets.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::net::TcpListener;

use support::{Server, User};

const CAPULET: &str = "capulet.example";
const MONTAGUE: &str = "montague.example";

/// An address that nobody listens on.
fn free() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn start(domain: &str, s2s: &str, peers: &[String]) -> Option<Server> {
    let mut options = vec!["--domain", domain, "--s2s", s2s];
    for peer in peers {
        options.extend(["--peer", peer]);
    }
    Server::start(&options)
}

/// Two servers that know where the other is.
fn servers() -> (Server, Server) {
    for _ in 0..10 {
        let (here, there) = (free(), free());
        let capulet = start(CAPULET, &here, &[format!("{MONTAGUE}={there}")]);
        let montague = start(MONTAGUE, &there, &[format!("{CAPULET}={here}")]);
        if let (Some(capulet), Some(montague)) = (capulet, montague) {
            assert_eq!(capulet.says("s2s"), here);
            return (capulet, montague);
        }
    }
    panic!("no address stays free")
}

/// Each has an authority of its own, so that neither trusts the other's certificate: they dial back (XEP-0220).
#[test]
fn two_servers_that_do_not_trust_each_other_exchange_messages() {
    let (capulet, montague) = servers();
    let (mut juliet, mut other) = (User::of(&capulet), User::of(&montague));
    for _ in 0..3 {
        juliet.message(&other.jid.to_string());
        let got = other.stanza();
        assert_eq!(
            got.head().from.as_deref(),
            Some(juliet.jid.to_string().as_str())
        );
        other.message(&juliet.jid.to_string());
        let got = juliet.stanza();
        assert_eq!(
            got.head().from.as_deref(),
            Some(other.jid.to_string().as_str())
        );
        assert!(got.element().get_child("body", "jabber:client").is_some());
    }
}

/// Whatever goes both ways at once on one connection arrives whole and in order.
#[test]
fn many_messages_both_ways_at_once_arrive_in_order() {
    let (capulet, montague) = servers();
    let (mut juliet, mut other) = (User::of(&capulet), User::of(&montague));
    let (to_juliet, to_other) = (juliet.jid.to_string(), other.jid.to_string());
    let body = "x".repeat(2000);
    for number in 0..200 {
        juliet.say(&to_other, &format!("{number} {body}"));
        other.say(&to_juliet, &format!("{number} {body}"));
    }
    for user in [&mut juliet, &mut other] {
        for number in 0..200 {
            let text = String::from_utf8(user.stanza().bytes().to_vec()).unwrap();
            assert!(text.contains(&format!(">{number} x")), "{text:.200}");
        }
    }
}

#[test]
fn what_cannot_be_sent_comes_back_with_the_reason() {
    let closed = format!("verona.example={}", free());
    let capulet = start(CAPULET, "127.0.0.1:0", &[closed]).unwrap();
    let mut juliet = User::of(&capulet);
    for (domain, condition) in [
        (MONTAGUE, "remote-server-not-found"),
        ("verona.example", "remote-server-timeout"),
    ] {
        juliet.message(&format!("romeo@{domain}"));
        let got = juliet.stanza();
        assert_eq!(got.head().type_.as_deref(), Some("error"));
        let text = String::from_utf8(got.bytes().to_vec()).unwrap();
        assert!(text.contains(condition), "{text}");
    }
}

/// BIDI-14, BIDI-15: a domain whose certificate is not trusted is proved on the connection that the other server has opened.
/// This server knows of no other way to it, and the other one believes it only if it is where the connection goes.
#[test]
fn bidi_14_a_further_domain_is_proved_on_the_connection_of_the_other_server() {
    let chat = "chat.montague.example";
    for (elsewhere, arrives) in [(false, true), (true, false)] {
        let (capulet, montague) = trusting(chat, elsewhere);
        let (mut juliet, mut romeo) = (User::of(&capulet), User::of(&montague));
        juliet.message(&format!("nobody@{MONTAGUE}"));
        let bounced = juliet.stanza();
        assert_eq!(bounced.head().type_.as_deref(), Some("error"));
        romeo.message(&juliet.jid.to_string());
        if arrives {
            assert_eq!(
                juliet.stanza().head().from.as_deref(),
                Some(romeo.jid.to_string().as_str())
            );
            juliet.message(&romeo.jid.to_string());
            assert_eq!(
                romeo.stanza().head().from.as_deref(),
                Some(juliet.jid.to_string().as_str())
            );
        } else {
            let text = String::from_utf8(romeo.stanza().bytes().to_vec()).unwrap();
            assert!(text.contains("remote-server-not-found"), "{text}");
        }
    }
}

/// Two servers of which the second trusts the certificate of the first, does not know where it is, and also has the domain
/// `chat`, which the first knows to be there or elsewhere.
fn trusting(chat: &str, elsewhere: bool) -> (Server, Server) {
    let file = std::env::temp_dir().join(format!("onetrip-{}-{elsewhere}.pem", std::process::id()));
    for _ in 0..10 {
        let (there, nowhere) = (free(), free());
        let place = if elsewhere { &nowhere } else { &there };
        let peers = [format!("{MONTAGUE}={there}"), format!("{chat}={place}")];
        let capulet = start(CAPULET, "127.0.0.1:0", &peers).unwrap();
        std::fs::write(&file, capulet.says("ca_pem")).unwrap();
        let montague = Server::start(&[
            "--domain",
            chat,
            "--domain",
            MONTAGUE,
            "--s2s",
            &there,
            "--s2s-reverse",
            "--s2s-ca",
            file.to_str().unwrap(),
        ]);
        let _ = std::fs::remove_file(&file);
        if let Some(montague) = montague {
            return (capulet, montague);
        }
    }
    panic!("no address stays free")
}
