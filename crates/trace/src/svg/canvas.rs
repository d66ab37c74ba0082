//! What all pictures are drawn with: shapes and text of a few kinds, whose colours follow the reader's scheme.

use core::fmt::Write as _;

/// How wide a picture is, in pixels: what the column of a README shows without scaling.
pub(super) const WIDTH: u32 = 840;

/// How wide a character of text is, in tenths of a pixel, at 12 pixels.
const ADVANCE: u32 = 72;

/// The colours of both schemes: class, property, light, dark.
const COLOURS: &[(&str, &str, &str, &str)] = &[
    ("paper", "fill", "#ffffff", "#0d1117"),
    ("band", "fill", "#f3f5f7", "#161b22"),
    ("tint", "fill", "#dcefe3", "#12301f"),
    ("text", "fill", "#1f2328", "#e6edf3"),
    ("faint", "fill", "#59636e", "#9198a1"),
    ("strong", "fill", "#0a53a8", "#79b8ff"),
    ("there", "stroke", "#0a53a8", "#79b8ff"),
    ("back", "stroke", "#9a4d00", "#f0a860"),
    ("rule", "stroke", "#c3cad1", "#3d444d"),
    ("axis", "stroke", "#59636e", "#9198a1"),
    ("head-there", "fill", "#0a53a8", "#79b8ff"),
    ("head-back", "fill", "#9a4d00", "#f0a860"),
];

/// Where a text stands to the point that is given for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture as it is drawn. All lengths are pixels; y grows downwards.
#[derive(Debug)]
pub(super) struct Canvas {
    body: String,
}

impl Canvas {
    pub(super) fn new() -> Self {
        Self {
            body: String::new(),
        }
    }

    pub(super) fn rect(&mut self, class: &str, x: u32, y: u32, width: u32, height: u32) {
        let _ = writeln!(
            self.body,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>"
        );
    }

    pub(super) fn line(&mut self, class: &str, from: (u32, u32), to: (u32, u32)) {
        let _ = writeln!(
            self.body,
            "<line class=\"{class}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    /// An arrow; `there` from left to right. Its head is turned along the line by the renderer.
    pub(super) fn arrow(&mut self, there: bool, from: (u32, u32), to: (u32, u32)) {
        let class = if there { "there" } else { "back" };
        let _ = writeln!(
            self.body,
            "<line class=\"{class}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" marker-end=\"url(#{class})\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    pub(super) fn text(&mut self, class: &str, at: (u32, u32), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = writeln!(
            self.body,
            "<text class=\"{class}\" x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            at.0,
            at.1,
            escaped(text)
        );
    }

    /// The whole file, `height` high. Screen readers read the title and the description.
    pub(super) fn finish(self, height: u32, title: &str, description: &str) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" role=\"img\" aria-labelledby=\"title desc\">"
        );
        let _ = writeln!(out, "<title id=\"title\">{}</title>", escaped(title));
        let _ = writeln!(out, "<desc id=\"desc\">{}</desc>", escaped(description));
        out.push_str("<style>\n");
        out.push_str(
            "text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,\"DejaVu Sans Mono\",monospace}\n\
             line{stroke-width:1.5}.rule{stroke-width:1}.title{font-weight:bold}\n",
        );
        for (class, property, light, _) in COLOURS {
            let _ = writeln!(out, ".{class}{{{property}:{light}}}");
        }
        out.push_str("@media (prefers-color-scheme:dark){\n");
        for (class, property, _, dark) in COLOURS {
            let _ = writeln!(out, ".{class}{{{property}:{dark}}}");
        }
        out.push_str("}\n</style>\n<defs>\n");
        for class in ["there", "back"] {
            let _ = writeln!(
                out,
                "<marker id=\"{class}\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
                 markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"head-{class}\" d=\"M0 0L8 4L0 8z\"/></marker>"
            );
        }
        out.push_str("</defs>\n");
        let _ = writeln!(
            out,
            "<rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>"
        );
        out.push_str(&self.body);
        out.push_str("</svg>\n");
        out
    }
}

/// How wide a text is.
pub(super) fn width_of(text: &str) -> u32 {
    let count = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    count.saturating_mul(ADVANCE).div_ceil(10)
}

/// Cuts a text to so many pixels.
pub(super) fn fitted(text: &str, pixels: u32) -> String {
    if width_of(text) <= pixels {
        return text.to_owned();
    }
    let most = pixels.saturating_mul(10).checked_div(ADVANCE).unwrap_or(0);
    let kept = usize::try_from(most.saturating_sub(1)).unwrap_or(0);
    let mut cut: String = text.chars().take(kept).collect();
    cut.push('…');
    cut
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_cut_to_its_place() {
        assert_eq!(escaped("<a> & b"), "&lt;a&gt; &amp; b");
        assert_eq!(fitted("short", 100), "short");
        let cut = fitted("a text that is too long", 100);
        assert!(width_of(&cut) <= 100 && cut.ends_with('…'), "{cut}");
    }
}
