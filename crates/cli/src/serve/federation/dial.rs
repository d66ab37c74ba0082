//! TCP to the peer of an agreement.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use onetrip_core::zero_handshake::{Agreement, Host};
use tokio::net::{TcpSocket, TcpStream};

use super::wire::CONNECT;

/// Connects to where the peer listens, from the port that was agreed; returns where that led.
pub(super) async fn to(agreement: &Agreement) -> Option<(TcpStream, SocketAddr)> {
    let terms = agreement.terms();
    let address = terms.address.as_ref()?;
    let found: Vec<SocketAddr> = match &address.host {
        Host::Ip(ip) => vec![SocketAddr::new(*ip, address.port)],
        Host::Name(name) => tokio::net::lookup_host((name.as_str(), address.port))
            .await
            .ok()?
            .collect(),
    };
    for peer in found {
        let attempt = connect(peer, terms.source_port);
        if let Ok(Ok(socket)) = tokio::time::timeout(CONNECT, attempt).await {
            return Some((socket, peer));
        }
    }
    None
}

async fn connect(peer: SocketAddr, source_port: Option<u16>) -> std::io::Result<TcpStream> {
    let (socket, any): (TcpSocket, IpAddr) = if peer.is_ipv4() {
        (TcpSocket::new_v4()?, Ipv4Addr::UNSPECIFIED.into())
    } else {
        (TcpSocket::new_v6()?, Ipv6Addr::UNSPECIFIED.into())
    };
    if let Some(port) = source_port {
        // The same port again, although the connection before it may still be dying.
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(any, port))?;
    }
    socket.connect(peer).await
}
