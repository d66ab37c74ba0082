//! `onetrip serve` under load: connections that do nothing and connections that talk in pairs, cut at random and resumed.
//!
//! `soak ONETRIP [--idle 300] [--busy 20] [--seconds 20] [--every 200] [--cuts 10] [--seed 1]`: so many connections of each kind,
//! for so long, a message of each busy one every so many milliseconds, so many cuts a second. A cut is a socket that is gone, or a
//! client that dies and is made anew from what it has stored. Every message has to arrive once and in order; the last line is
//! what came of it, as JSON, and the exit code 1 if anything was lost, doubled, reordered or handed back.

use std::cell::Cell;
use std::io::{BufRead as _, BufReader};
use std::net::{Shutdown, SocketAddr};
use std::process::{Child, Command, ExitCode, Stdio};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use onetrip_core::isr::{Begin, Location};
use onetrip_core::negotiation::sasl::{InitiatorConfig, Mechanism};
use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Content, Jid, Secret, Stanza};
use onetrip_core::{ClientConfig, Entity, Management};
use onetrip_simulator::Seeded;
use onetrip_tls::rustls::rustls::pki_types::CertificateDer;
use onetrip_tls::rustls::rustls::pki_types::pem::PemObject as _;
use onetrip_tls::rustls::rustls::{ClientConfig as TlsConfig, RootCertStore};
use onetrip_tls::rustls::{Versions, client_config};
use onetrip_tokio::{Client, Event, Settings};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, interval, sleep, timeout};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Logins at a time.
const AT_ONCE: usize = 64;
/// How long it may take until all are there.
const LOGINS: Duration = Duration::from_secs(600);
/// How long everything may take to arrive when nothing is sent any more.
const PATIENCE: Duration = Duration::from_secs(90);

struct Options {
    idle: usize,
    busy: usize,
    seconds: u64,
    every: u64,
    cuts: u64,
    seed: u64,
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut options = Self {
            idle: 300,
            busy: 20,
            seconds: 20,
            every: 200,
            cuts: 10,
            seed: 1,
        };
        while let Some(word) = words.next() {
            let number: u64 = words.next().ok_or("a number is missing")?.parse()?;
            match word.as_str() {
                "--idle" => options.idle = usize::try_from(number)?,
                "--busy" => options.busy = usize::try_from(number)?,
                "--seconds" => options.seconds = number,
                "--every" => options.every = number,
                "--cuts" => options.cuts = number.max(1),
                "--seed" => options.seed = number,
                _ => return Err(format!("no option: {word}").into()),
            }
        }
        Ok(options)
    }
}

/// The server, and what is known of it.
struct Server {
    process: Child,
    address: SocketAddr,
    account: Jid,
    password: String,
    tls: Arc<TlsConfig>,
}

impl Server {
    fn start(program: &str) -> Result<Self, Failure> {
        let mut process = Command::new(program)
            .args(["serve", "--show-secrets"])
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let ready: serde_json::Value = serde_json::from_str(&line)?;
        let text = |pointer: &str| {
            ready
                .pointer(pointer)
                .and_then(|value| value.as_str())
                .ok_or(line.clone())
        };
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(text("/ca_pem")?.as_bytes())?)?;
        Ok(Self {
            address: text("/direct_tls")?.parse()?,
            account: text("/accounts/0/jid")?.parse()?,
            password: text("/accounts/0/password")?.to_owned(),
            tls: client_config(roots, Versions::Both, None)?,
            process,
        })
    }

    /// What it takes of the machine's memory, in KiB.
    fn memory(&self) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.ok_or("no memory")?.parse()?)
    }

    fn settings(&self, resource: &str, entity: Entity) -> Settings {
        let account = self.account.with_resource(resource).expect("a resource");
        let name = account.local().unwrap_or_default();
        let mut sasl = InitiatorConfig::password(name, Secret::from(self.password.as_str()));
        // Deriving keys is not what is tried here.
        sasl.allowed = vec![Mechanism::Plain];
        let mut login = ClientConfig::new(account, Transport::DirectTls, sasl);
        login.management = Some(Management::default());
        let place = Location {
            host: self.address.ip().to_string(),
            port: self.address.port(),
        };
        let mut settings = Settings::with(login, Arc::clone(&self.tls)).at(place, Begin::DirectTls);
        settings.entity = entity;
        settings.backoff.first = Duration::from_millis(500);
        settings.backoff.longest = Duration::from_secs(2);
        settings
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What all clients have seen.
#[derive(Default)]
struct Tally {
    online: Cell<u64>,
    resumed: Cell<u64>,
    /// Sessions that did not go on.
    begun_anew: Cell<u64>,
    offline: Cell<u64>,
    sent: Cell<u64>,
    received: Cell<u64>,
    /// Messages that are not the next ones.
    out_of_order: Cell<u64>,
    returned: Cell<u64>,
    /// Everybody is there, and messages go out.
    talking: Cell<bool>,
}

fn add(to: &Cell<u64>, number: u64) {
    to.set(to.get() + number);
}

/// One client: what cuts it, and what it is.
#[derive(Clone)]
struct Seat {
    server: Rc<Server>,
    tally: Rc<Tally>,
    resource: String,
    /// Whom it writes to.
    partner: Option<String>,
    /// It dies, and is made anew.
    dies: Rc<Notify>,
    /// Its socket.
    socket: Arc<Mutex<Option<std::net::TcpStream>>>,
}

impl Seat {
    fn client(&self, entity: Entity) -> Client<TcpStream> {
        let socket = Arc::clone(&self.socket);
        let watched = self.partner.is_some();
        Client::new(
            self.server.settings(&self.resource, entity),
            move |place: Location| {
                let socket = Arc::clone(&socket);
                Box::pin(async move {
                    let line = TcpStream::connect((place.host.as_str(), place.port))
                        .await?
                        .into_std()?;
                    if watched {
                        *socket.lock().expect("nobody panics") = Some(line.try_clone()?);
                    }
                    line.set_nodelay(true)?;
                    TcpStream::from_std(line)
                })
            },
        )
    }

    /// Its socket is gone.
    fn cut(&self) {
        if let Some(socket) = self.socket.lock().expect("nobody panics").take() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    async fn live(self, every: Duration, logins: Rc<Semaphore>) {
        let mut client = self.client(Entity::default());
        let mut login = logins.acquire().await.ok();
        let (mut sent, mut expected) = (0, 0);
        let mut tick = interval(every);
        let stranger = "nobody".to_owned();
        let partner = self
            .server
            .account
            .with_resource(self.partner.as_ref().unwrap_or(&stranger))
            .expect("a resource");
        loop {
            tokio::select! {
                // First, so that a stanza counts as dealt with before its client dies.
                biased;
                event = client.next() => match event {
                    Some(Event::Online { resumed, .. }) => {
                        let first = login.take().is_some();
                        let counted = if first { &self.tally.online } else if resumed { &self.tally.resumed } else { &self.tally.begun_anew };
                        add(counted, 1);
                    }
                    Some(Event::Stanza(stanza)) => {
                        let id = stanza.head().id.as_ref().and_then(|id| id.parse::<u64>().ok());
                        if id == Some(expected) {
                            expected += 1;
                            add(&self.tally.received, 1);
                        } else {
                            add(&self.tally.out_of_order, 1);
                        }
                    }
                    Some(Event::Returned(entries)) => add(&self.tally.returned, entries.len() as u64),
                    Some(Event::Offline { .. }) => add(&self.tally.offline, 1),
                    Some(_) => {}
                    None => return,
                },
                () = self.dies.notified() => client = self.client(client.into_entity()),
                _ = tick.tick(), if login.is_none() && self.partner.is_some() && self.tally.talking.get() => {
                    let text = format!("<message type='chat' id='{sent}' to='{partner}'><body>number {sent}</body></message>");
                    let stanza = Stanza::parse(text.as_bytes(), Content::Client).expect("a stanza");
                    if client.send(&stanza).await.is_ok() {
                        sent += 1;
                        add(&self.tally.sent, 1);
                    }
                }
            }
        }
    }
}

/// Cuts somebody, most often one of those that talk.
fn cut_one(random: &mut Seeded, idle: &[Seat], busy: &[Seat]) {
    let number = random.number();
    let seats = if idle.is_empty() || number % 10 < 7 {
        busy
    } else {
        idle
    };
    let Some(seat) =
        seats.get(usize::try_from(random.number() % seats.len().max(1) as u64).unwrap_or(0))
    else {
        return;
    };
    if seat.partner.is_some() && number % 2 == 0 {
        seat.cut();
    } else {
        seat.dies.notify_one();
    }
}

async fn soak(program: &str, options: &Options) -> Result<bool, Failure> {
    let server = Rc::new(Server::start(program)?);
    let tally = Rc::new(Tally::default());
    let before = server.memory()?;
    let seat = |resource: String, partner: Option<String>| Seat {
        server: Rc::clone(&server),
        tally: Rc::clone(&tally),
        resource,
        partner,
        dies: Rc::default(),
        socket: Arc::default(),
    };
    let idle: Vec<Seat> = (0..options.idle)
        .map(|number| seat(format!("idle{number}"), None))
        .collect();
    let logins = Rc::new(Semaphore::new(AT_ONCE));
    let begun = Instant::now();
    let live = |seat: &Seat| {
        spawn_local(
            seat.clone()
                .live(Duration::from_millis(options.every), Rc::clone(&logins)),
        )
    };
    idle.iter().for_each(|seat| drop(live(seat)));
    let all_online = |wanted: usize| {
        let tally = Rc::clone(&tally);
        async move {
            while tally.online.get() < wanted as u64 {
                sleep(Duration::from_millis(50)).await;
            }
        }
    };
    timeout(LOGINS, all_online(options.idle)).await?;
    let (logged_in, resting) = (begun.elapsed(), server.memory()?);
    let busy: Vec<Seat> = (0..options.busy)
        .map(|number| seat(format!("b{number}"), Some(format!("b{}", number ^ 1))))
        .collect();
    busy.iter().for_each(|seat| drop(live(seat)));
    timeout(LOGINS, all_online(options.idle + options.busy)).await?;
    tally.talking.set(true);
    let mut random = Seeded::new(options.seed);
    let mut cuts = 0_u64;
    let mut tick = interval(Duration::from_millis(1000 / options.cuts));
    let end = Instant::now() + Duration::from_secs(options.seconds);
    while Instant::now() < end {
        tick.tick().await;
        cut_one(&mut random, &idle, &busy);
        cuts += 1;
    }
    tally.talking.set(false);
    let last = Instant::now() + PATIENCE;
    while tally.received.get() < tally.sent.get() && Instant::now() < last {
        sleep(Duration::from_millis(50)).await;
    }
    // One that comes twice would come soon.
    sleep(Duration::from_secs(2)).await;
    let lost = tally.sent.get().saturating_sub(tally.received.get());
    let faults = lost + tally.out_of_order.get() + tally.returned.get() + tally.begun_anew.get();
    let line = serde_json::json!({
        "idle": options.idle,
        "busy": options.busy,
        "seconds": options.seconds,
        "login_seconds": logged_in.as_secs_f64(),
        "server_kib": {"start": before, "idle": resting, "end": server.memory()?},
        "kib_per_idle_connection": (resting.saturating_sub(before)) as f64 / options.idle.max(1) as f64,
        "cuts": cuts,
        "resumed": tally.resumed.get(),
        "begun_anew": tally.begun_anew.get(),
        "attempts_that_failed": tally.offline.get(),
        "sent": tally.sent.get(),
        "received": tally.received.get(),
        "lost": lost,
        "twice_or_out_of_order": tally.out_of_order.get(),
        "handed_back": tally.returned.get(),
    });
    println!("{line}");
    Ok(faults == 0 && tally.received.get() > 0 && tally.resumed.get() > 0)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Failure> {
    let mut words = std::env::args().skip(1);
    let program = words.next().ok_or("which program?")?;
    let options = Options::read(words)?;
    let good = LocalSet::new().run_until(soak(&program, &options)).await?;
    Ok(ExitCode::from(u8::from(!good)))
}
