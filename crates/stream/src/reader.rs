//! Bytes to frames: header, element, stanza, footer.
//!
//! | state | next frame | leads to |
//! |---|---|---|
//! | prolog | header | between |
//! | prolog behind another document | header, or the footer of that document | between, or closed |
//! | between | start of a first-level element, or footer | inside, or closed |
//! | inside an element or stanza | its end | between |
//! | closed | nothing but white space | closed |

use bytes::Bytes;
use minidom::Element;

use crate::encode::Encoder;
use crate::stanza::{Head, StanzaKind};
use crate::token::{StartTag, Token, Tokens};
use crate::{Content, Limit, Limits, ReadError, ReadErrorKind, Stanza, StreamHeader, Writer};

/// One complete piece of a stream.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Frame {
    /// The stream header.
    Header(StreamHeader),
    /// A first-level element that is no stanza.
    Element(Element),
    /// A message, presence or iq of the content namespace.
    Stanza(Stanza),
    /// `</stream:stream>`.
    Footer,
}

const FOOTER: &[u8] = b"</stream:stream>";

#[derive(Debug)]
enum State {
    /// Behind another document: how much of its footer has been read.
    Behind(usize),
    Prolog,
    Between,
    Element(Tree),
    Stanza(Recording),
    Closed,
}

/// Reads one XML document of a stream; a stream restart takes a new one (RFC 6120 §4.3.3).
///
/// It takes bytes in any split, stops exactly behind the `>` that completes a frame, and never looks at the
/// byte behind it: what follows may be TLS, a new document or an attack.
///
/// ```
/// # use onetrip_stream::{Frame, Limits, Reader};
/// let mut reader = Reader::new(Limits::default());
/// let mut input: &[u8] = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>\
///     <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\x16\x03\x01";
/// assert!(matches!(reader.next(&mut input), Ok(Some(Frame::Header(_)))));
/// assert!(matches!(reader.next(&mut input), Ok(Some(Frame::Element(_)))));
/// assert_eq!(input, b"\x16\x03\x01");
/// ```
#[derive(Debug)]
pub struct Reader {
    tokens: Tokens,
    limits: Limits,
    state: State,
    content: Option<Content>,
    /// Bytes of the header or first-level element being read.
    spent: usize,
    consumed: u64,
    failed: Option<ReadError>,
}

impl Reader {
    /// A reader that expects a stream header first.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            tokens: Tokens::new(limits),
            limits,
            state: State::Prolog,
            content: None,
            spent: 0,
            consumed: 0,
            failed: None,
        }
    }

    /// The same for a document that follows another one in the same layer, as behind SASL: the peer may close that one
    /// instead, before it knows of the restart (RFC 6120 §4.4).
    #[must_use]
    pub fn behind(limits: Limits) -> Self {
        Self {
            state: State::Behind(0),
            ..Self::new(limits)
        }
    }

    /// A reader that behaves as if it had read `header` already: zero handshake (ZH-R1) and single stanzas.
    ///
    /// # Errors
    /// [`ReadError`] when the header itself does not pass: it does not fit the limits.
    pub fn primed(header: &StreamHeader, limits: Limits) -> Result<Self, ReadError> {
        let mut reader = Self::new(limits);
        let unwritable = |_| ReadError::new(unwritable(), 0);
        let content = header.content.unwrap_or(Content::Client);
        let bytes = Writer::new(content).header(header).map_err(unwritable)?;
        let mut rest: &[u8] = &bytes;
        match reader.next(&mut rest)? {
            Some(Frame::Header(_)) => {
                reader.consumed = 0;
                Ok(reader)
            }
            _ => Err(ReadError::new(ReadErrorKind::NotAStream, reader.consumed)),
        }
    }

    /// How many bytes of this document have been taken in.
    #[must_use]
    pub fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Whether a frame has begun that is not complete: an end of the transport now would cut it.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        matches!(
            self.state,
            State::Behind(1..) | State::Element(_) | State::Stanza(_)
        ) || self.spent > 0
    }

    /// How many bytes of an unfinished frame have been taken in.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.spent
    }

    /// Sets other limits from here on, when the peer has authenticated on a stream that does not restart.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.tokens.set_limits(limits);
    }

    /// Takes bytes off the front of `input` until a frame is complete; `None` when more are needed.
    ///
    /// # Errors
    /// [`ReadError`] when the peer broke a rule. It is final, and repeated on every later call.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, ReadError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let offered = input.len();
        let result = self.advance(input);
        let taken = offered.saturating_sub(input.len());
        self.consumed = self.consumed.saturating_add(taken as u64);
        result.map_err(|kind| {
            let error = ReadError::new(kind, self.consumed);
            self.failed = Some(error.clone());
            error
        })
    }

    fn advance(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, ReadErrorKind> {
        loop {
            if let State::Behind(read) = self.state {
                if let Some(frame) = self.behind_another(read, input)? {
                    return Ok(Some(frame));
                }
            }
            if !self.skip_to_markup(input)? {
                return Ok(None);
            }
            let allowed = self.allowed();
            let offered = input.len();
            let token = self
                .tokens
                .next(input, allowed.1.saturating_sub(self.spent))?;
            self.spent = self
                .spent
                .saturating_add(offered.saturating_sub(input.len()));
            match token {
                Some(token) => {
                    if let Some(frame) = self.on_token(token)? {
                        self.spent = 0;
                        return Ok(Some(frame));
                    }
                }
                None if self.spent >= allowed.1 => {
                    return Err(ReadErrorKind::TooMuch {
                        limit: allowed.0,
                        allowed: allowed.1,
                    });
                }
                None => return Ok(None),
            }
        }
    }

    /// Tells the footer of the document before from the beginning of this one, by their second byte.
    fn behind_another(
        &mut self,
        read: usize,
        input: &mut &[u8],
    ) -> Result<Option<Frame>, ReadErrorKind> {
        let left = FOOTER.get(read..).unwrap_or_default();
        let same = input.iter().zip(left).take_while(|(a, b)| a == b).count();
        let read = read.saturating_add(same);
        *input = input.get(same..).unwrap_or_default();
        self.state = State::Behind(read);
        if read == FOOTER.len() {
            self.state = State::Closed;
            return Ok(Some(Frame::Footer));
        }
        if input.is_empty() {
            return Ok(None);
        }
        if read > 1 {
            return Err(ReadErrorKind::NotWellFormed {
                what: "an end tag before the header",
            });
        }
        self.state = State::Prolog;
        let mut held = FOOTER.get(..read).unwrap_or_default();
        self.tokens.next(&mut held, self.limits.header)?;
        self.spent = read;
        Ok(None)
    }

    /// The budget of what is being read.
    fn allowed(&self) -> (Limit, usize) {
        match self.state {
            State::Prolog | State::Behind(_) => (Limit::Header, self.limits.header),
            _ => (Limit::Element, self.limits.element),
        }
    }

    /// Looks at the first byte of a stream and skips white space between first-level elements, without the
    /// parser, which would keep a run of CR. Returns whether there is something for the parser.
    fn skip_to_markup(&mut self, input: &mut &[u8]) -> Result<bool, ReadErrorKind> {
        match self.state {
            State::Behind(_) => Ok(false),
            State::Prolog if self.spent == 0 => match input.first() {
                None => Ok(false),
                Some(b'<') => Ok(true),
                Some(0xFE | 0xFF | 0x00) => Err(ReadErrorKind::Encoding {
                    what: "UTF-16 or UTF-32",
                }),
                Some(&first) => Err(ReadErrorKind::NotXml { first }),
            },
            State::Between if self.spent == 0 => {
                *input = input.trim_ascii_start();
                match input.first() {
                    None => Ok(false),
                    Some(b'<') => Ok(true),
                    Some(0x0C) | Some(0x00..=0x08) => Err(ReadErrorKind::NotWellFormed {
                        what: "a character that XML forbids",
                    }),
                    Some(_) => Err(ReadErrorKind::StrayText),
                }
            }
            State::Closed => {
                *input = input.trim_ascii_start();
                if input.is_empty() {
                    Ok(false)
                } else {
                    Err(ReadErrorKind::AfterFooter)
                }
            }
            _ => Ok(true),
        }
    }

    fn on_token(&mut self, token: Token) -> Result<Option<Frame>, ReadErrorKind> {
        match (&mut self.state, token) {
            (State::Prolog, Token::Start(start)) => {
                let header = StreamHeader::from_start(&start)?;
                self.content = header.content;
                self.state = State::Between;
                Ok(Some(Frame::Header(header)))
            }
            (State::Between, Token::Start(start)) => {
                self.state = self.open(start)?;
                Ok(None)
            }
            (State::Between, Token::End) => {
                self.state = State::Closed;
                Ok(Some(Frame::Footer))
            }
            (State::Between, Token::Text(_)) => Err(ReadErrorKind::StrayText),
            (State::Element(tree), token) => {
                let done = tree.on_token(token, self.limits.elements)?;
                if done.is_some() {
                    self.state = State::Between;
                }
                Ok(done.map(Frame::Element))
            }
            (State::Stanza(recording), token) => {
                if recording.on_token(token, &self.limits)? {
                    return Ok(None);
                }
                match core::mem::replace(&mut self.state, State::Between) {
                    State::Stanza(recording) => Ok(Some(Frame::Stanza(recording.finish()))),
                    _ => Ok(None),
                }
            }
            // The XML declaration, and white space that rxml reports around the root.
            (State::Behind(_) | State::Prolog | State::Closed | State::Between, _) => Ok(None),
        }
    }

    fn open(&self, start: StartTag) -> Result<State, ReadErrorKind> {
        // A peer that restarted where we did not: nothing behind it belongs to this document (QS-R5).
        if start.name.1.as_str() == "stream" && start.name.0 == crate::ns::STREAMS {
            return Err(ReadErrorKind::NestedHeader);
        }
        let content = Content::from_namespace(start.name.0.as_str());
        let matches = content.is_some() && (self.content.is_none() || self.content == content);
        match (
            content.filter(|_| matches),
            StanzaKind::from_name(start.name.1.as_str()),
        ) {
            (Some(content), Some(kind)) => Ok(State::Stanza(Recording::new(kind, content, start)?)),
            _ => Ok(State::Element(Tree::new(start))),
        }
    }
}

/// An element being built from its tokens.
#[derive(Debug)]
struct Tree {
    stack: Vec<Element>,
    elements: usize,
}

impl Tree {
    fn new(start: StartTag) -> Self {
        Self {
            stack: vec![bare(start)],
            elements: 1,
        }
    }

    /// Returns the element when it is complete.
    fn on_token(&mut self, token: Token, allowed: usize) -> Result<Option<Element>, ReadErrorKind> {
        match token {
            Token::Start(start) => {
                self.elements = counted(self.elements, allowed)?;
                self.stack.push(bare(start));
            }
            Token::Text(text) => {
                if let Some(top) = self.stack.last_mut() {
                    top.append_text(text);
                }
            }
            Token::End => {
                let done = self.stack.pop();
                match (done, self.stack.last_mut()) {
                    (Some(done), Some(parent)) => {
                        parent.append_child(done);
                    }
                    (done, None) => return Ok(done),
                    (None, Some(_)) => {}
                }
            }
            Token::Declaration => {}
        }
        Ok(None)
    }
}

fn bare(start: StartTag) -> Element {
    let mut element = Element::bare(start.name.1, start.name.0);
    *element.attrs_mut() = start.attributes;
    element
}

/// Counts one more element of a first-level element.
fn counted(elements: usize, allowed: usize) -> Result<usize, ReadErrorKind> {
    let elements = elements.saturating_add(1);
    if elements > allowed {
        Err(ReadErrorKind::TooMuch {
            limit: Limit::Elements,
            allowed,
        })
    } else {
        Ok(elements)
    }
}

/// A stanza being written down anew from its tokens, in the one form that is safe to pass on.
#[derive(Debug)]
struct Recording {
    encoder: Encoder,
    head: Head,
    open: usize,
    elements: usize,
}

impl Recording {
    fn new(kind: StanzaKind, content: Content, start: StartTag) -> Result<Self, ReadErrorKind> {
        let head = Head::new(kind, content, &start.attributes);
        let mut recording = Self {
            encoder: Encoder::new(content.namespace()),
            head,
            open: 0,
            elements: 0,
        };
        recording.start(&start)?;
        Ok(recording)
    }

    fn start(&mut self, start: &StartTag) -> Result<(), ReadErrorKind> {
        self.open = self.open.saturating_add(1);
        self.elements = self.elements.saturating_add(1);
        self.encoder
            .start(
                start.name.0.as_str(),
                start.name.1.as_str(),
                &start.attributes,
            )
            .map_err(|_| unwritable())
    }

    /// Returns whether the stanza goes on.
    fn on_token(&mut self, token: Token, limits: &Limits) -> Result<bool, ReadErrorKind> {
        match token {
            Token::Start(start) => {
                counted(self.elements, limits.elements)?;
                self.start(&start)?;
            }
            Token::Text(text) => self.encoder.text(&text).map_err(|_| unwritable())?,
            Token::End => {
                self.encoder.end();
                self.open = self.open.saturating_sub(1);
            }
            Token::Declaration => {}
        }
        // Escaping and declarations can make the new form longer than what came in: bounded all the same.
        let allowed = limits.element.saturating_mul(8);
        if self.encoder.len() > allowed {
            return Err(ReadErrorKind::TooMuch {
                limit: Limit::Element,
                allowed,
            });
        }
        Ok(self.open > 0)
    }

    fn finish(self) -> Stanza {
        Stanza::from_parts(Bytes::from(self.encoder.finish()), self.head)
    }
}

/// What the parser lets through and the encoder does not.
fn unwritable() -> ReadErrorKind {
    ReadErrorKind::NotWellFormed {
        what: "a name or character that XML forbids",
    }
}

/// Builds the tree of a stanza in our own form.
pub(crate) fn read_tree(bytes: &[u8], content: Content) -> Result<Element, ReadErrorKind> {
    // What the encoder wrote may be longer than what was read, so only the limit on depth remains.
    let mut tokens = Tokens::new(Limits {
        token: 1 << 20,
        silent: usize::MAX,
        depth: crate::encode::MAX_DEPTH,
        attributes: usize::MAX,
        namespace: usize::MAX,
        name: usize::MAX,
        ..Limits::default()
    });
    let header = Writer::new(content)
        .header(&StreamHeader::new(content))
        .map_err(|_| unwritable())?;
    let mut tree: Option<Tree> = None;
    for part in [&header[..], bytes] {
        let mut rest = part;
        loop {
            match tokens.next(&mut rest, usize::MAX)? {
                None => break,
                Some(Token::Start(start)) if tokens.depth() > 1 && tree.is_none() => {
                    tree = Some(Tree::new(start))
                }
                Some(token) => {
                    let Some(tree) = &mut tree else { continue };
                    if let Some(done) = tree.on_token(token, usize::MAX)? {
                        return Ok(done);
                    }
                }
            }
        }
    }
    Err(ReadErrorKind::NotWellFormed {
        what: "expected one whole stanza",
    })
}
