//! The one place where a parser is made and driven: rxml's raw events, resolved and bounded.
//!
//! rxml's own namespace resolver hides declarations (the stream header needs them), lets the last of two
//! default declarations win, and knows no limits. So the raw events are resolved here, and every limit
//! bites while the tag is still being read.

use minidom::rxml::error::EndOrError;
use minidom::rxml::{
    self, AttrMap, Namespace, NcName, Options, Parse, RawEvent, RawParser, WithOptions, XmlMap,
};

use crate::error::from_parser;
use crate::{Limit, Limits, ReadErrorKind, ns};

/// The most bytes given to rxml in one call: each text token makes it scan the rest of what it was given.
const CHUNK: usize = 4096;

/// What the parser yields.
#[derive(Debug)]
pub(crate) enum Token {
    /// The XML declaration.
    Declaration,
    /// A start tag.
    Start(StartTag),
    /// An end tag, or the end of an empty element.
    End,
    /// A piece of text; consecutive pieces belong together.
    Text(String),
}

/// A start tag with its names resolved.
#[derive(Debug)]
pub(crate) struct StartTag {
    /// Namespace and local name.
    pub(crate) name: (Namespace<'static>, NcName),
    /// Attributes by namespace and local name, declarations left out.
    pub(crate) attributes: AttrMap,
    /// Namespace declarations of this tag, `None` being the default namespace.
    pub(crate) declarations: Vec<(Option<NcName>, Namespace<'static>)>,
}

type RawName = (Option<NcName>, NcName);

/// A start tag whose `>` has not been seen.
#[derive(Debug)]
struct OpenTag {
    name: RawName,
    attributes: Vec<(RawName, String)>,
    declarations: Vec<(Option<NcName>, Namespace<'static>)>,
}

/// A parser over one XML document.
#[derive(Debug)]
pub(crate) struct Tokens {
    raw: RawParser,
    open: Option<OpenTag>,
    /// The declarations of each open element, outermost first.
    scopes: Vec<Vec<(Option<NcName>, Namespace<'static>)>>,
    limits: Limits,
    silent: usize,
}

impl Tokens {
    /// The only constructor of a parser in this crate, so that every parser carries the same limits.
    pub(crate) fn new(limits: Limits) -> Self {
        let options = Options {
            max_token_length: limits.token,
            ..Options::default()
        };
        Self {
            raw: RawParser::with_options(options),
            open: None,
            scopes: Vec::new(),
            limits,
            silent: 0,
        }
    }

    /// Sets other limits from here on; the length of a token stays what it was.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.limits = Limits {
            token: self.limits.token,
            ..limits
        };
    }

    /// How many elements are open.
    pub(crate) fn depth(&self) -> usize {
        self.scopes.len()
    }

    /// Takes at most `budget` bytes off the front of `input` and yields the next token, if there is one.
    pub(crate) fn next(
        &mut self,
        input: &mut &[u8],
        budget: usize,
    ) -> Result<Option<Token>, ReadErrorKind> {
        let mut budget = budget;
        loop {
            // Never more than may still pass without an event, so that no chunking decides what is refused.
            let quiet = self.limits.silent.saturating_sub(self.silent);
            let offered = input.len().min(CHUNK).min(budget).min(quiet);
            let (mut chunk, _) = input.split_at_checked(offered).unwrap_or((&[], input));
            let result = self.raw.parse(&mut chunk, false);
            let taken = offered.saturating_sub(chunk.len());
            *input = input.get(taken..).unwrap_or_default();
            budget = budget.saturating_sub(taken);
            match result {
                Ok(Some(event)) => {
                    self.silent = 0;
                    if let Some(token) = self.resolve(event)? {
                        return Ok(Some(token));
                    }
                }
                Ok(None) => return Ok(None),
                Err(EndOrError::Error(error)) => return Err(from_parser(error, self.limits.token)),
                Err(EndOrError::NeedMoreData) => {
                    self.silent = self.silent.saturating_add(taken);
                    if input.is_empty() || budget == 0 {
                        return Ok(None);
                    }
                    if self.silent >= self.limits.silent {
                        let allowed = self.limits.silent;
                        return Err(ReadErrorKind::TooMuch {
                            limit: Limit::Silent,
                            allowed,
                        });
                    }
                }
            }
        }
    }

    fn bound(&self, count: usize, allowed: usize, limit: Limit) -> Result<(), ReadErrorKind> {
        if count > allowed {
            Err(ReadErrorKind::TooMuch { limit, allowed })
        } else {
            Ok(())
        }
    }

    fn resolve(&mut self, event: RawEvent) -> Result<Option<Token>, ReadErrorKind> {
        match event {
            RawEvent::XmlDeclaration(..) => Ok(Some(Token::Declaration)),
            RawEvent::Text(_, text) => Ok(Some(Token::Text(text))),
            RawEvent::ElementHeadOpen(_, name) => {
                self.check_name(&name)?;
                // The stream header is level 0.
                self.bound(self.scopes.len(), self.limits.depth, Limit::Depth)?;
                self.open = Some(OpenTag {
                    name,
                    attributes: Vec::new(),
                    declarations: Vec::new(),
                });
                Ok(None)
            }
            RawEvent::Attribute(_, name, value) => self.attribute(name, value).map(|()| None),
            RawEvent::ElementHeadClose(_) => self.start().map(|start| start.map(Token::Start)),
            RawEvent::ElementFoot(_) => {
                self.scopes.pop();
                Ok(Some(Token::End))
            }
        }
    }

    fn check_name(&self, (prefix, local): &RawName) -> Result<(), ReadErrorKind> {
        let longest = prefix
            .as_ref()
            .map_or(0, |prefix| prefix.len())
            .max(local.len());
        self.bound(longest, self.limits.name, Limit::Name)
    }

    fn attribute(&mut self, name: RawName, value: String) -> Result<(), ReadErrorKind> {
        self.check_name(&name)?;
        let Some(tag) = &self.open else { return Ok(()) };
        let count = tag
            .attributes
            .len()
            .saturating_add(tag.declarations.len())
            .saturating_add(1);
        self.bound(count, self.limits.attributes, Limit::Attributes)?;
        let prefix = match &name {
            (Some(prefix), local) if prefix == "xmlns" => Some(Some(local.clone())),
            (None, local) if local == "xmlns" => Some(None),
            _ => None,
        };
        if let Some(prefix) = prefix {
            return self.declare(prefix, value);
        }
        if let Some(tag) = &mut self.open {
            tag.attributes.push((name, value));
        }
        Ok(())
    }

    fn declare(&mut self, prefix: Option<NcName>, namespace: String) -> Result<(), ReadErrorKind> {
        self.bound(namespace.len(), self.limits.namespace, Limit::Namespace)?;
        // rxml lets both pass; expat and libxml2 refuse them.
        if namespace == ns::XMLNS || (prefix.is_none() && namespace == ns::XML) {
            return Err(from_parser(
                rxml::Error::ReservedNamespaceName,
                self.limits.token,
            ));
        }
        let Some(tag) = &mut self.open else {
            return Ok(());
        };
        if tag
            .declarations
            .iter()
            .any(|(declared, _)| *declared == prefix)
        {
            return Err(from_parser(
                rxml::Error::DuplicateAttribute,
                self.limits.token,
            ));
        }
        tag.declarations.push((prefix, Namespace::from(namespace)));
        Ok(())
    }

    fn start(&mut self) -> Result<Option<StartTag>, ReadErrorKind> {
        let Some(tag) = self.open.take() else {
            return Ok(None);
        };
        self.scopes.push(tag.declarations.clone());
        let mut attributes = XmlMap::new();
        for ((prefix, local), value) in tag.attributes {
            let namespace = match prefix {
                Some(prefix) => self.lookup(Some(&prefix))?,
                None => Namespace::NONE,
            };
            if attributes.insert(namespace, local, value).is_some() {
                return Err(from_parser(
                    rxml::Error::DuplicateAttribute,
                    self.limits.token,
                ));
            }
        }
        let namespace = self.lookup(tag.name.0.as_ref())?;
        Ok(Some(StartTag {
            name: (namespace, tag.name.1),
            attributes,
            declarations: tag.declarations,
        }))
    }

    /// Resolves a prefix, or the default namespace, from the innermost declaration outwards.
    fn lookup(&self, prefix: Option<&NcName>) -> Result<Namespace<'static>, ReadErrorKind> {
        if prefix.is_some_and(|prefix| prefix == "xml") {
            return Ok(Namespace::XML);
        }
        let found = self
            .scopes
            .iter()
            .rev()
            .flatten()
            .find(|(declared, _)| declared.as_ref() == prefix);
        match (found, prefix) {
            (Some((_, namespace)), _) => Ok(namespace.clone()),
            (None, None) => Ok(Namespace::NONE),
            (None, Some(_)) => Err(from_parser(
                rxml::Error::UndeclaredNamespacePrefix(None),
                self.limits.token,
            )),
        }
    }
}
