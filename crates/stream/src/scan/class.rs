//! What each byte can be, by itself.

/// Part of a name; what is not ASCII is looked at when the name is complete.
pub(super) const NAME: u8 = 1;
/// The same, if it is ASCII and no colon: most names have nothing else.
pub(super) const SIMPLE: u8 = 1 << 7;
/// First of a name, among ASCII.
pub(super) const NAME_START: u8 = 1 << 1;
/// `S` of XML 1.0 §2.3.
pub(super) const SPACE: u8 = 1 << 2;
/// Ends a run of text, or is not allowed in it; `>` may be the end of `]]>`.
pub(super) const TEXT_STOP: u8 = 1 << 3;
/// The same in a CDATA section.
pub(super) const CDATA_STOP: u8 = 1 << 4;
/// The same in a value between `'`.
pub(super) const APOS_STOP: u8 = 1 << 5;
/// The same in a value between `"`.
pub(super) const QUOT_STOP: u8 = 1 << 6;

const VALUE_STOP: u8 = APOS_STOP | QUOT_STOP;
const EVERY_STOP: u8 = TEXT_STOP | CDATA_STOP | VALUE_STOP;

const fn class_of(byte: u8) -> u8 {
    match byte {
        b'\t' | b'\n' => SPACE | VALUE_STOP,
        b'\r' => SPACE | VALUE_STOP | TEXT_STOP | CDATA_STOP,
        0..=0x1F => EVERY_STOP,
        b' ' => SPACE,
        b'\'' => APOS_STOP,
        b'"' => QUOT_STOP,
        b'<' | b'&' => TEXT_STOP | VALUE_STOP,
        b'>' => TEXT_STOP | CDATA_STOP,
        b'a'..=b'z' | b'A'..=b'Z' | b'_' => SIMPLE | NAME | NAME_START,
        b'0'..=b'9' | b'-' | b'.' => SIMPLE | NAME,
        b':' | 0x80.. => NAME,
        _ => 0,
    }
}

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut rest: &mut [u8] = &mut classes;
    let mut byte: u8 = 0;
    while let Some((class, behind)) = rest.split_first_mut() {
        *class = class_of(byte);
        byte = byte.wrapping_add(1);
        rest = behind;
    }
    classes
};

/// Whether `byte` is in one of `classes`.
#[inline]
pub(super) fn is(byte: u8, classes: u8) -> bool {
    CLASSES
        .get(usize::from(byte))
        .is_some_and(|class| class & classes != 0)
}

/// Where the bytes of a class end that begin at `at`.
#[inline(always)]
pub(super) fn run(bytes: &[u8], at: usize, class: u8) -> usize {
    let mut end = at;
    while bytes.get(end).is_some_and(|byte| is(*byte, class)) {
        end = end.wrapping_add(1);
    }
    end
}

/// What ends a run of text or a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stops {
    pub(super) class: u8,
    /// Where the first of them is, among whole blocks of eight bytes, or where those end. The flag becomes false if there
    /// may be something before it that is not ASCII.
    pub(super) find: fn(&[u8], &mut bool) -> usize,
}

/// `<` and `>`, `&`.
pub(super) const IN_TEXT: Stops = Stops {
    class: TEXT_STOP,
    find: |bytes, ascii| {
        Pairs([(b'>', b'<' ^ b'>'), (b'&', 0)]).find(bytes, TEXT_STOP, true, ascii)
    },
};
/// The same in text that was let through before: what is not allowed is not there, and a `>` ends nothing.
pub(super) const IN_TEXT_AGAIN: Stops = Stops {
    class: TEXT_STOP,
    find: |bytes, ascii| {
        let mut rest = bytes;
        while let Some((block, behind)) = rest.split_first_chunk::<128>() {
            if any(block, |byte| matches!(byte, b'<' | b'&' | b'\r')) {
                break;
            }
            rest = behind;
        }
        let skipped = bytes.len().wrapping_sub(rest.len());
        skipped.wrapping_add((IN_TEXT.find)(rest, ascii))
    },
};
/// `>`.
pub(super) const IN_CDATA: Stops = Stops {
    class: CDATA_STOP,
    find: |bytes, ascii| Pairs([(b'>', 0), (b'>', 0)]).find(bytes, CDATA_STOP, true, ascii),
};
/// `'` and `&`, `<`.
pub(super) const IN_APOSTROPHES: Stops = Stops {
    class: APOS_STOP,
    find: |bytes, ascii| {
        Pairs([(b'\'', b'\'' ^ b'&'), (b'<', 0)]).find(bytes, APOS_STOP, false, ascii)
    },
};
/// `"` and `&`, `<`.
pub(super) const IN_QUOTES: Stops = Stops {
    class: QUOT_STOP,
    find: |bytes, ascii| {
        Pairs([(b'&', b'"' ^ b'&'), (b'<', 0)]).find(bytes, QUOT_STOP, false, ascii)
    },
};

/// The characters among them that are not below 0x20: two pairs, each as one byte and the bit in which they differ.
#[derive(Debug, Clone, Copy)]
struct Pairs([(u8, u8); 2]);

impl Pairs {
    /// Blocks at a time, half of the instructions that bytes would take; `long` ones first, where much may come.
    #[inline(always)]
    fn find(self, bytes: &[u8], class: u8, long: bool, ascii: &mut bool) -> usize {
        let mut rest = bytes;
        if long {
            rest = self.skip::<32>(rest, ascii);
        }
        rest = self.skip::<16>(rest, ascii);
        let mut before = bytes.len().wrapping_sub(rest.len());
        while let Some((eight, behind)) = rest.split_first_chunk::<8>() {
            let word = u64::from_le_bytes(*eight);
            *ascii &= word & EACH_HIGHEST == 0;
            let mut hits = self.among(word);
            while hits != 0 {
                // TAB and LF are below 0x20, and stop nothing but values.
                let at = (hits.trailing_zeros() / 8) as usize;
                if eight.get(at).is_some_and(|byte| is(*byte, class)) {
                    return before.wrapping_add(at);
                }
                hits &= hits.wrapping_sub(1);
            }
            before = before.wrapping_add(8);
            rest = behind;
        }
        before
    }

    /// Leaves out whole blocks with none of them.
    #[inline(always)]
    fn skip<'a, const N: usize>(self, bytes: &'a [u8], ascii: &mut bool) -> &'a [u8] {
        let mut rest = bytes;
        while let Some((block, behind)) = rest.split_first_chunk::<N>() {
            if any(block, |byte| self.may_be(byte)) {
                break;
            }
            *ascii &= block.is_ascii();
            rest = behind;
        }
        rest
    }

    #[inline(always)]
    fn may_be(self, byte: u8) -> bool {
        let [(first, bit), (second, other)] = self.0;
        (byte < 0x20) | (byte | bit == first) | (byte | other == second)
    }

    /// Marks each byte that may be one of them in its highest bit; of those marked the first is right, and what follows
    /// it is looked at again.
    #[inline(always)]
    fn among(self, eight: u64) -> u64 {
        let below = |eight: u64, byte: u8| eight.wrapping_sub(each(byte)) & !eight;
        let [first, second] = self.0;
        let is = |(byte, bit): (u8, u8)| below((eight | each(bit)) ^ each(byte), 1);
        (below(eight, 0x20) | is(first) | is(second)) & EACH_HIGHEST
    }
}

/// Whether any byte of a block is one of those, without a branch: a loop that fills an array is done in wide registers.
#[inline(always)]
pub(crate) fn any<const N: usize>(block: &[u8; N], is: impl Fn(u8) -> bool) -> bool {
    let mut marks = [0; N];
    for (mark, byte) in marks.iter_mut().zip(block) {
        *mark = u8::from(is(*byte));
    }
    marks.iter().fold(0, |all, mark| all | mark) != 0
}

const EACH_HIGHEST: u64 = each(0x80);

const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}
