use proptest::prelude::*;

use super::*;
use crate::iq::testing::*;
use onetrip_stream::{Instant, Stanza};

const NOW: Instant = Instant::EPOCH;

fn destination() -> Destination {
    Destination::new("vj3hs98y", &romeo(), &juliet())
}

fn client() -> Client {
    Client::new(NOW, destination(), Timeouts::default())
}

fn host() -> Connection {
    Connection::new(NOW, Timeouts::default())
}

fn request() -> Vec<u8> {
    let mut bytes = vec![5, 1, 0, 3, 0x28];
    bytes.extend_from_slice(b"972b7bf47291ca609517f67f86b5081086052dad");
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

fn expecting() -> (Expected, Slot) {
    let mut expected = Expected::new();
    let reversed = Destination::new("vj3hs98y", &juliet(), &romeo());
    let slot = expected.expect(vec![destination(), reversed]);
    (expected, slot)
}

fn drain(poll: impl FnMut() -> Option<Action>) -> Vec<Action> {
    core::iter::from_fn(poll).collect()
}

fn write(bytes: &[u8]) -> Action {
    Action::Write(bytes.to_vec().into())
}

#[test]
fn jxs_11_12_13_the_bytes_of_both_ends() {
    let (mut expected, slot) = expecting();
    let (mut client, mut host) = (client(), host());
    assert_eq!(client.poll_action(), Some(write(&[5, 1, 0])));
    assert_eq!(host.receive(NOW, &mut expected, &[5, 1, 0]), Ok(3));
    assert_eq!(host.poll_action(), Some(write(&[5, 0])));
    assert_eq!(client.receive(&[5, 0]), Ok(2));
    assert_eq!(request().len(), 47);
    assert_eq!(client.poll_action(), Some(write(&request())));
    assert_eq!(host.receive(NOW, &mut expected, &request()), Ok(47));
    let mut reply = request();
    reply[1] = 0;
    assert_eq!(
        drain(|| host.poll_action()),
        [write(&reply), Action::Connected]
    );
    assert_eq!(host.slot(), Some(slot));
    reply.extend_from_slice(b"<stream:stream");
    assert_eq!(
        client.receive(&reply),
        Ok(47),
        "what follows stays with the caller"
    );
    assert_eq!(client.poll_action(), Some(Action::Connected));
    assert_eq!(client.receive(b"<stream:stream"), Ok(0));
    assert_eq!(host.receive(NOW, &mut expected, b"<stream:stream"), Ok(0));
}

#[test]
fn replies_with_addresses_of_every_type_are_read_whole() {
    for (address, length) in [
        (vec![1, 127, 0, 0, 1], 10),
        (vec![3, 0], 7),
        (vec![3, 3, b'a', b'b', b'c'], 10),
        ([&[4][..], &[0; 16]].concat(), 22),
    ] {
        let mut client = client();
        client.receive(&[5, 0]).unwrap();
        let reply = [&[5, 0, 0][..], &address, &[0, 0], b"rest"].concat();
        assert_eq!(client.receive(&reply), Ok(length));
    }
}

#[test]
fn every_reply_code_is_typed_and_closes() {
    for code in 1..=u8::MAX {
        let reply = Reply::from_octet(code);
        assert_eq!(reply.octet(), code);
        let mut client = client();
        drain(|| client.poll_action());
        let error = Err(Error::Refused(reply));
        assert_eq!(client.receive(&[5, 0, 5, code]), error);
        assert_eq!(client.receive(&[]), error, "final");
        assert!(drain(|| client.poll_action()).ends_with(&[Action::Close]));
    }
}

#[test]
fn a_host_that_is_none_is_refused() {
    for (bytes, error) in [
        (&b"HTTP/1.1"[..], Error::Version(b'H')),
        (&[5, 0xff], Error::Method),
        (&[5, 2], Error::Method),
        (&[5, 0, 4, 0], Error::Version(4)),
        (&[5, 0, 5, 0, 0, 9], Error::AddressType(9)),
    ] {
        assert_eq!(client().receive(bytes), Err(error));
    }
}

#[test]
fn a_client_that_is_none_is_refused_with_the_reply_that_fits() {
    let name = |octets: &[u8]| [&[5, 1, 0][..], octets].concat();
    for (bytes, error, reply) in [
        (vec![4, 1], Error::Version(4), None),
        (vec![5, 1, 2], Error::Method, Some(vec![5, 0xff])),
        (vec![5, 0], Error::Method, Some(vec![5, 0xff])),
        (
            name(&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]),
            Error::Command(2),
            Some(vec![5, 7, 0, 3, 0, 0, 0]),
        ),
        (
            name(&[5, 1, 0, 1, 0, 0, 0, 0, 0, 0]),
            Error::AddressType(1),
            Some(vec![5, 8, 0, 3, 0, 0, 0]),
        ),
        (
            name(&[5, 1, 0, 9]),
            Error::AddressType(9),
            Some(vec![5, 8, 0, 3, 0, 0, 0]),
        ),
        (
            name(&[5, 1, 0, 3, 1, b'x', 0, 0]),
            Error::Unexpected,
            Some(vec![5, 2, 0, 3, 0, 0, 0]),
        ),
    ] {
        let (mut expected, _) = expecting();
        let mut host = host();
        assert_eq!(host.receive(NOW, &mut expected, &bytes), Err(error));
        let mut actions = drain(|| host.poll_action());
        assert_eq!(actions.pop(), Some(Action::Close));
        if let Some(reply) = reply {
            assert_eq!(actions.pop(), Some(write(&reply)));
        }
    }
}

#[test]
fn jxs_r12_either_order_is_taken_and_one_connection_in_all() {
    let (mut expected, slot) = expecting();
    let reversed = frame::write(
        1,
        Destination::new("vj3hs98y", &juliet(), &romeo()).as_str(),
    );
    let (mut first, mut second) = (host(), host());
    first
        .receive(NOW, &mut expected, &[&[5, 1, 0][..], &reversed].concat())
        .unwrap();
    assert_eq!(first.slot(), Some(slot));
    let again = [&[5, 1, 0][..], &request()].concat();
    assert_eq!(
        second.receive(NOW, &mut expected, &again),
        Err(Error::Unexpected)
    );
    // The first was never used and is gone: its place is free again.
    first.lost(&mut expected);
    assert!(host().receive(NOW, &mut expected, &again).is_ok());
    expected.forget(slot);
    assert_eq!(
        host().receive(NOW, &mut expected, &again),
        Err(Error::Unexpected)
    );
}

#[test]
fn slow_ends_and_strays_are_closed() {
    let (mut expected, _) = expecting();
    let mut client = client();
    let deadline = client.poll_timeout().unwrap();
    client.handle_timeout(deadline);
    assert_eq!(
        (client.failure(), client.poll_timeout()),
        (Some(Error::Silent), None)
    );

    let mut host = host();
    host.receive(NOW, &mut expected, &[&[5, 1, 0][..], &request()].concat())
        .unwrap();
    let deadline = host.poll_timeout().unwrap();
    assert_eq!(deadline, NOW + Timeouts::default().unused);
    host.handle_timeout(NOW, &mut expected);
    assert_eq!(host.failure(), None, "early");
    host.handle_timeout(deadline, &mut expected);
    assert_eq!(host.failure(), Some(Error::Silent));
    let mut next = Connection::new(NOW, Timeouts::default());
    next.receive(NOW, &mut expected, &[&[5, 1, 0][..], &request()].concat())
        .unwrap();
    next.used();
    assert_eq!(next.poll_timeout(), None, "what is used stays");
}

/// Feeds pieces as a caller does that keeps what was not used; the actions, the result, and what is left.
fn feed(
    bytes: &[u8],
    cuts: &[usize],
    mut receive: impl FnMut(&[u8]) -> Result<usize, Error>,
) -> Result<Vec<u8>, Error> {
    let mut rest = Vec::new();
    let mut from = 0;
    let mut ends: Vec<usize> = cuts
        .iter()
        .map(|cut| cut.checked_rem(bytes.len().saturating_add(1)).unwrap())
        .collect();
    ends.sort_unstable();
    ends.push(bytes.len());
    for end in ends {
        rest.extend_from_slice(&bytes[from..end]);
        from = end;
        let used = receive(&rest)?;
        rest.drain(..used);
    }
    Ok(rest)
}

fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    let reply = || {
        let mut reply = request();
        reply[1] = 0;
        [&[5, 0][..], &reply, b"<stream:stream"].concat()
    };
    prop_oneof![
        Just(reply()),
        Just([&[5, 1, 0][..], &request(), b"<stream:stream"].concat()),
        prop::collection::vec(
            prop_oneof![Just(5_u8), Just(0), Just(1), Just(3), any::<u8>()],
            0..80
        ),
    ]
}

proptest! {
    #[test]
    fn any_split_gives_the_same_and_nothing_panics(
        bytes in some_bytes(),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let (mut whole, mut split) = (client(), client());
        let expected = feed(&bytes, &[], |piece| whole.receive(piece));
        let got = feed(&bytes, &cuts, |piece| split.receive(piece));
        prop_assert_eq!(expected, got);
        prop_assert_eq!(drain(|| whole.poll_action()), drain(|| split.poll_action()));

        let (mut whole, mut split) = (host(), host());
        let (mut places, mut others) = (expecting().0, expecting().0);
        let expected = feed(&bytes, &[], |piece| whole.receive(NOW, &mut places, piece));
        let got = feed(&bytes, &cuts, |piece| split.receive(NOW, &mut others, piece));
        prop_assert_eq!(expected, got);
        prop_assert_eq!(drain(|| whole.poll_action()), drain(|| split.poll_action()));
    }
}

/// A connection to a proxy, with its handshake done; whether it was taken.
fn to_proxy(proxy: &mut Proxy, socket: u64, destination: &Destination) -> bool {
    proxy.accepted(Instant::EPOCH, socket);
    proxy.receive(Instant::EPOCH, socket, &[5, 1, 0]);
    proxy.receive(
        Instant::EPOCH,
        socket,
        &frame::write(1, destination.as_str()),
    );
    proxy.is_waiting(socket)
}

fn asked(kind: &str, payload: &str) -> Stanza {
    let text = format!(
        "<iq from='romeo@montague.lit/orchard' to='proxy.lit' id='1' type='{kind}'>\
        <query xmlns='http://jabber.org/protocol/bytestreams' sid='s'>{payload}</query></iq>"
    );
    parsed(&text)
}

#[test]
fn a_proxy_joins_two_connections_when_one_of_their_owners_asks_and_no_third() {
    let mut proxy = Proxy::new(Timeouts::default(), 4);
    let destination = Destination::new("s", &romeo(), &juliet());
    let activate = asked("set", "<activate>juliet@capulet.lit/balcony</activate>");
    let answer = |proxy: &mut Proxy| {
        let answer = proxy.handle(&activate, "proxy.lit", 1080).unwrap();
        kind(&answer).to_owned()
    };
    assert!(to_proxy(&mut proxy, 1, &destination));
    assert_eq!(answer(&mut proxy), "error", "one alone");
    assert!(to_proxy(&mut proxy, 2, &destination));
    assert!(!to_proxy(&mut proxy, 3, &destination), "a third");
    let stranger = asked("set", "<activate>nurse@capulet.lit/hall</activate>");
    let refused = proxy.handle(&stranger, "proxy.lit", 1080).unwrap();
    assert_eq!(kind(&refused), "error");
    assert_eq!(answer(&mut proxy), "result");
    let actions: Vec<ProxyAction> = core::iter::from_fn(|| proxy.poll_action()).collect();
    assert!(actions.contains(&ProxyAction::Close(3)));
    assert_eq!(actions.last(), Some(&ProxyAction::Join(1, 2)));
    assert_eq!(answer(&mut proxy), "error", "once");
}

#[test]
fn a_proxy_says_where_it_is_and_closes_what_is_not_joined_in_time() {
    let mut proxy = Proxy::new(Timeouts::default(), 1);
    let said = proxy.handle(&asked("get", ""), "192.0.2.1", 7777).unwrap();
    let said = said.element();
    let said = said.children().next().unwrap().children().next().unwrap();
    assert_eq!(
        (said.attr("host"), said.attr("port")),
        (Some("192.0.2.1"), Some("7777"))
    );
    let destination = Destination::new("s", &romeo(), &juliet());
    assert!(to_proxy(&mut proxy, 1, &destination));
    assert!(
        !to_proxy(&mut proxy, 2, &destination),
        "more than its limit"
    );
    let late = proxy.poll_timeout().unwrap();
    proxy.handle_timeout(late);
    let closed = core::iter::from_fn(|| proxy.poll_action())
        .filter(|one| matches!(one, ProxyAction::Close(_)));
    assert_eq!(closed.count(), 2);
    assert_eq!(proxy.poll_timeout(), None);
    // Its place is free again.
    assert!(to_proxy(&mut proxy, 3, &destination) && !to_proxy(&mut proxy, 4, &destination));
}
