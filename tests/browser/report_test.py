"""The reports of cairn-sim, as a browser shows them: on a phone and on a wide screen, light and dark.

Usage: report_test.py BIN OUT. BIN is where the programs are; pages and screenshots go to OUT.
Returns 77 where there is no browser, and says so in the words of GoogleTest, which ./dev test looks for.
"""

import json
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True
import browser  # noqa: E402

SKIPPED = 77
WIDTHS = (400, 1400)
# Whatever of it came to be markup would show: an element, a script that runs, a request.
HOSTILE = "<img src=x onerror=alert(1)><script>console.log('run')<script>\"'&amp;.jsonl.gz"

# Everything that is wrong with what is rendered, as a list of sentences.
LOOK = r"""(() => {
  const wrong = [];
  const say = (element, text) => wrong.push(
      `${element.tagName}.${element.getAttribute('class')} '${element.textContent.slice(0, 40)}': ${text}`);
  const box = element => element.getBoundingClientRect();
  for (const details of document.querySelectorAll('details')) details.open = true;

  const plots = [...document.querySelectorAll('svg.plot')];
  for (const plot of plots) {
    const frame = box(plot);
    if (frame.width < 150 || frame.height < 100) say(plot, `is ${frame.width} x ${frame.height}`);
    if (!plot.getAttribute('aria-label')) say(plot, 'is not described');
    const marks = [...plot.querySelectorAll('.line, .bar, .dot')];
    if (marks.length === 0) say(plot, 'is empty');
    for (const path of plot.querySelectorAll('path')) {
      const own = box(path);
      if (own.left < frame.left - 1 || own.right > frame.right + 1 ||
          own.top < frame.top - 1 || own.bottom > frame.bottom + 1) say(path, 'leaves the plot');
    }
    for (const line of plot.querySelectorAll('.line')) if (box(line).width < 2) say(line, 'has no width');
    for (const bar of plot.querySelectorAll('.bar')) if (box(bar).height < 1) say(bar, 'has no height');
  }
  if (plots.length === 0) wrong.push('there is no plot');

  const apart = (labels, first, last) => {
    const boxes = labels.filter(label => label.textContent).map(box).sort((a, b) => a[first] - b[first]);
    return boxes.every((one, i) => i === 0 || boxes[i - 1][last] <= one[first] + 0.5);
  };
  for (const axis of document.querySelectorAll('.x'))
    if (!apart([...axis.children], 'left', 'right')) say(axis, 'labels overlap');
  for (const axis of document.querySelectorAll('.y')) {
    if (!apart([...axis.children], 'top', 'bottom')) say(axis, 'labels overlap');
    for (const label of axis.children)
      if (box(label).right > box(axis).right) say(label, 'lies in the plot');
  }
  for (const axis of document.querySelectorAll('.x, .y'))
    if (axis.children.length < 2 && axis.classList.contains('y')) say(axis, 'has no labels');

  // A dot says its value; it must stand where the labels of the axis put that value.
  for (const panel of document.querySelectorAll('.panel')) {
    const labels = [...panel.querySelectorAll('.y span')];
    const height = label => (box(label).top + box(label).bottom) / 2;
    for (const dot of panel.querySelectorAll('.dot')) {
      const value = Number(/: ([0-9.]+) %$/.exec(dot.querySelector('title').textContent)[1]);
      const low = labels[0], high = labels[labels.length - 1];
      const want = height(low) + (height(high) - height(low)) * value / Number(high.textContent);
      if (Math.abs(box(dot).top - want) > 1.5) say(dot, `is at ${box(dot).top}, not ${want}`);
    }
  }

  for (const element of document.body.querySelectorAll('h1, h2, h3, p, pre, li, td, th, summary, caption, span, div')) {
    if (element.closest('.scroll') && !element.matches('.scroll')) continue;  // That one scrolls.
    const own = box(element);
    if (own.width === 0) continue;
    if (own.left < 0 || own.right > innerWidth) say(element, `from ${own.left} to ${own.right} of ${innerWidth}`);
    if (!element.matches('.scroll, .x, .x *, .y, .y *') && element.scrollWidth > element.clientWidth + 1 &&
        getComputedStyle(element).display !== 'inline') say(element, 'is wider than its room');
  }
  if (document.documentElement.scrollWidth > innerWidth) wrong.push('the page scrolls sideways');

  const channels = colour => colour.match(/[0-9.]+/g).slice(0, 3).map(Number).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = colour => { const [r, g, b] = channels(colour); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const paper = getComputedStyle(document.body).backgroundColor;
  for (const element of document.querySelectorAll('body, p, td, .y span, .x span, .y-title'))
    if (contrast(getComputedStyle(element).color, paper) < 4.5) say(element, 'is hard to read');
  for (const line of document.querySelectorAll('.plot .line'))
    if (contrast(getComputedStyle(line).stroke, paper) < 3) say(line, 'is hard to see');
  if (document.querySelectorAll('script, img, iframe, object, embed').length) wrong.push('foreign elements');
  return {wrong: [...new Set(wrong)].slice(0, 20), plots: plots.length, paper: paper,
          lines: document.querySelectorAll('.plot .line').length};
})()"""


def make(programs, out):
    """Runs the programs; returns each page with what it has to hold."""
    def run(program, *args):
        done = subprocess.run([str(programs / program), *args], cwd=out, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        assert done.returncode == 0, (program, args, done.stderr.decode())
        return done.stdout.decode()
    run("cairn-bench", "generate", "--scenario", "mixed", "--requests", "400", "--out", HOSTILE, "--quiet")
    one = json.loads(run("cairn-sim", "run", "--trace", HOSTILE, "--capacity", "8GB", "--json",
                         "--html", "run.html"))
    run("cairn-sim", "sweep", "--traces", HOSTILE, "--block-tokens", "64,512", "--capacities",
        "4GB,16GB,64GB,unlimited", "--html", "sweep.html", "--strategies",
        "trie,oracle,turn_end,turn_end_demand,branch_backoff:4,block:2048,balanced:4,log,dense,none")
    # What there may be nothing to draw of.
    run("cairn-sim", "run", "--generate", "mixed", "--requests", "1", "--capacity", "unlimited",
        "--strategy", "none", "--eviction", "lru", "--html", "nothing.html")
    run("cairn-sim", "run", "--trace", HOSTILE, "--capacity", "8GB", "--strategy", "oracle",
        "--cost", "flops", "--query-heads", "24", "--html", "oracle.html")
    served = f"{one['served_tokens']:,}"
    return {
        "run": {"plots": 3, "lines": 1,
                "texts": (HOSTILE, served, "there at the end", "Prefill seconds saved per GB and hour")},
        # Two blocks, each with savings and, at four capacities, two panels of positions; memory
        # without bounds has no price.
        "sweep": {"plots": 2 * (1 + 4 * 2), "lines": 2 * 11, "more": True,
                  "texts": (HOSTILE, "trie@value", "unlimited", "Blocks of 512 tokens",
                            "The cache was never full")},
        "nothing": {"plots": 0, "lines": 0, "texts": ("No request had anything in common",)},
        "oracle": {"plots": 2, "lines": 0, "texts": ("Only the eviction value has a price",)},
    }


def look(page, name, facts, out):
    papers = set()
    for width in WIDTHS:
        for dark in (False, True):
            where = f"{name}, {width} px, {'dark' if dark else 'light'}"
            page.open((out / f"{name}.html").as_uri(), width, dark=dark)
            page.screenshot(out / f"{name}-{width}{'-dark' if dark else ''}.png")
            seen = page.evaluate(LOOK)
            if facts["plots"] == 0:
                seen["wrong"] = [text for text in seen["wrong"] if text != "there is no plot"]
            assert not seen["wrong"], where + ":\n  " + "\n  ".join(seen["wrong"])
            for what in ("plots", "lines"):
                enough = seen[what] >= facts[what] if facts.get("more") else seen[what] == facts[what]
                assert enough, (where, what, seen[what], facts[what])
            words = page.evaluate("document.title + document.body.textContent")
            for text in facts["texts"]:
                assert text in words, (where, text)
            assert page.complaints() == [], (where, page.complaints())
            assert page.requests() == [], (where, page.requests())
            papers.add(seen["paper"])
    assert len(papers) == 2, (name, papers)


def main():
    programs, out = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    print("[ RUN      ] ReportInABrowser.IsReadableAndHarmless")
    path = browser.find()
    if path is None:
        print("report_test.py:1: Skipped\nno Chromium in PATH: ./dev setup test installs one, "
              "CAIRN_BROWSER names another\n[  SKIPPED ] ReportInABrowser.IsReadableAndHarmless (0 ms)")
        return SKIPPED
    out.mkdir(parents=True, exist_ok=True)
    pages = make(programs, out)
    with browser.Browser(path) as page:
        for name, facts in pages.items():
            look(page, name, facts, out)
            # Nothing that a page could load by itself.
            html = (out / f"{name}.html").read_text(encoding="utf-8")
            assert not re.search(r"https?://|@import|url\(", html), name
    print("[       OK ] ReportInABrowser.IsReadableAndHarmless; screenshots: " + str(out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
