//! Fills in what the receiving entity does: `fill FILE...` rewrites transcripts that hold the client's lines alone.
//! The result is to be read before it is committed.

use onetrip_tests::{Player, Step, Transcript};

fn main() {
    for file in std::env::args().skip(1) {
        let text = std::fs::read_to_string(&file).unwrap();
        let transcript = Transcript::parse(&text).unwrap();
        let mut out: String = text
            .lines()
            .filter(|line| line.starts_with('#'))
            .map(|line| format!("{line}\n"))
            .collect();
        let mut player = Player::new(&transcript, Default::default());
        let mut told = 0;
        for step in &transcript.steps {
            match step {
                Step::Initiator(text) => {
                    out.push_str(&format!("C: {text}\n"));
                    player.receive(text.as_bytes());
                }
                Step::Wait(span) => {
                    out.push_str(&format!("@ {}ms\n", span.as_millis()));
                    player.wait(*span);
                }
                _ => continue,
            }
            for entry in &player.log[told..] {
                out.push_str(&match entry.split_once(' ') {
                    Some(("transmit", text)) => format!("S: {text}\n"),
                    Some(("upgrade", "send")) => "S: [tls]\n".to_owned(),
                    Some(("upgrade", _)) => "C: [tls]\n".to_owned(),
                    Some(("event", event)) => format!("* {event}\n"),
                    _ => format!("* {entry}\n"),
                });
            }
            told = player.log.len();
        }
        std::fs::write(&file, out).unwrap();
    }
}
