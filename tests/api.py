#!/usr/bin/env python3
"""api.py DOC [--bless]: the public interface of each crate, as `cargo doc --all-features --no-deps` shows it in the folder DOC.

Compares with docs/api, one file for each crate, so that a change of the interface is seen in review; --bless writes it anew. Other releases
of rustdoc may write the same in another way, so the files name theirs, and under another one nothing is compared."""
import difflib
import html
import pathlib
import re
import sys

DOC, BLESS = pathlib.Path(sys.argv[1]), "--bless" in sys.argv
KEPT = pathlib.Path(__file__).resolve().parent.parent / "docs" / "api"
CRATES = sorted(page.parent for page in DOC.glob("onetrip_*/all.html") if page.parent.name != "onetrip_tests")


def text(fragment):
    """What is seen of a piece of HTML, in one line."""
    shown = html.unescape(re.sub(r"<[^>]*>", "", fragment)).replace("\xa0", " ")
    return re.sub(r"\s+", " ", shown).strip()


def item(page):
    """The declaration of one item, what its own implementations have, and which traits it has, or lacks."""
    own, _, rest = page.partition('id="trait-implementations-list"')
    traits, _, automatic = rest.partition('id="synthetic-implementations-list"')
    automatic = automatic.partition('id="blanket-implementations-list"')[0]
    yield from (text(found) for found in re.findall(r'<pre class="rust item-decl"><code>(.*?)</code></pre>', own, re.S))
    yield from (text(found) for found in re.findall(r'<h4 class="code-header">(.*?)</h4>', own, re.S))
    headers = [text(found) for found in re.findall(r'<h3 class="code-header">(.*?)</h3>', traits, re.S)]
    yield from sorted(found for found in headers if "StructuralPartialEq" not in found)
    lacking = [text(found) for found in re.findall(r'<h3 class="code-header">(.*?)</h3>', automatic, re.S)]
    yield from sorted(found for found in lacking if re.match(r"impl[^!]*!(Send|Sync)", found))


def interface(crate):
    listed = (crate / "all.html").read_text()
    version = re.search(r'data-rustdoc-version="(\S+)', listed).group(1)
    lines = [f"rustdoc {version}"]
    for link in sorted(set(re.findall(r'<a href="([^"#]+\.html)">', listed.partition("<main")[2]))):
        lines += ["", link.removesuffix(".html")]
        lines += ["    " + line for line in item((crate / link).read_text())]
    return lines


changed = 0
for crate in CRATES:
    kept = KEPT / f"{crate.name.replace('_', '-')}.txt"
    now = interface(crate)
    if BLESS:
        KEPT.mkdir(exist_ok=True)
        kept.write_text("\n".join(now) + "\n")
        continue
    before = kept.read_text().splitlines() if kept.exists() else now[:1]
    if before[0] != now[0]:
        sys.exit(print(f"NOT CHECKED: docs/api is of {before[0]}, and here is {now[0]}"))
    difference = list(difflib.unified_diff(before, now, str(kept), "now", n=1, lineterm=""))
    changed += bool(difference)
    print("\n".join(difference), end="\n" if difference else "")
if changed:
    sys.exit("the public interface has changed: if that is meant, `python3 tests/api.py target/doc --bless`, and a line in CHANGELOG.md")
print(f"the public interfaces of {len(CRATES)} crates are {'written' if BLESS else 'those of docs/api'}")
