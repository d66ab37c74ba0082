//! What a fuzzer runs: one function of bytes for each decoder and machine, with what must hold whatever the bytes are.
//!
//! A body reads its bytes as steps ([`Input`]): each begins with a byte that says what is done, and behind the end all are
//! zero, so every input is a whole run. Nothing in here is random, and nothing is kept from one run to the next. `fuzz/`
//! gives the bodies to libFuzzer; `tests/fuzz.rs` runs them on stable, over what is kept in `fuzz/corpus`.
//!
//! | family | invariants |
//! |---|---|
//! | all | no panic, and an end |
//! | `reader` | any split gives the same frames and the same error; what is held is bounded; what was read can be written, and reads the same again |
//! | `scanner` | refused where rxml refuses, and where that is intended; the same elements as by rxml |
//! | `clients`, `servers` | a deadline until online, and the end in bounded time behind it; no stanza before authentication, no credentials before TLS; one close, nothing behind it; errors repeat; bounded buffers; both ends never both wait |
//! | `sessions`, `tokens` | counts and queues agree with a plain model; a token is good once; nothing is lost or doubled |
//! | `peers` | nothing passes that was not validated or agreed |
//! | `jingle` | every request is answered once; an end for each session; bytes come out as they went in |
//! | `stored` | what is read from bytes writes the same value again |

mod alone;
mod clients;
mod elements;
pub mod explore;
mod input;
mod jingle;
mod lines;
mod login;
mod peers;
mod reader;
mod scanner;
pub mod seeds;
mod servers;
mod sessions;
mod stored;
mod tokens;
mod watch;

pub use input::Input;

/// One function of bytes, and what it is called.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of the fuzz target and of its corpus.
    pub name: &'static str,
    /// It panics when something does not hold.
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($name:ident = $run:path,)+) => {
        /// Every body.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), run: $run },)+];

        $(
            #[doc = concat!("The body of the fuzz target `", stringify!($name), "`.")]
            pub fn $name(data: &[u8]) {
                $run(data);
            }
        )+
    };
}

targets! {
    read_stream = reader::run,
    scanner = scanner::run,
    c2s_client = clients::client,
    c2s_server = clients::server,
    c2s_pair = clients::pair,
    s2s_outbound = servers::outbound,
    s2s_inbound = servers::inbound,
    s2s_pair = servers::pair,
    sasl = login::sasl,
    sasl2 = login::sasl2,
    stream_management = sessions::management,
    resume = sessions::resume,
    isr = tokens::isr,
    fast = tokens::fast,
    dialback = peers::dialback,
    bidi = peers::bidi,
    zero_handshake = peers::link,
    route = peers::route,
    jingle_session = jingle::session,
    e2e_pair = jingle::pair,
    ibb = jingle::ibb,
    socks5 = jingle::socks5,
    stored_values = stored::values,
    agreement = stored::agreement,
}
