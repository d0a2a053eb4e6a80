"""Chart and daemon agree on names: what one refuses, the other does. The lists are those of cairnd --help.

Usage: agreement_test.py BIN OUT
"""

import json
import re
import sys

sys.dont_write_bytecode = True
from harness import CHART, check, main, render, run  # noqa: E402

# What a pod may not be given, by the chart's own reasons.
NOT_PASSED = {"help", "config", "version", "ucx-allow-insecure-tcp"}


def cairnd(arguments) -> list:
    """Without the caller's CAIRN_* variables, which are options too."""
    return ["env", "-i", arguments.bin / "cairnd"]


def help_of(arguments) -> str:
    return check([*cairnd(arguments), "--help"], "cairnd --help")


def text_of(arguments, option: str) -> str:
    """What the help says of an option, on one line."""
    found = re.search(rf"^  --{option} (.*\n(?: {{20,}}.*\n)*)", help_of(arguments), re.M)
    assert found, f"cairnd --help has no --{option}"
    return " ".join(found.group(1).split())


def chart_takes(arguments, values: dict) -> str:
    """Empty if it does, else why not."""
    case = arguments.out / "case.yaml"
    case.write_text(json.dumps({"image": {"repository": "registry.example.com/cairnd"}, **values}), encoding="utf-8")
    done = render(case)
    return done.stderr if done.returncode else ""


def daemon_takes(arguments, *flags) -> str:
    """Empty if it does, else why not. It ends at once: there can be no such folder, which comes after the options."""
    done = run(*cairnd(arguments), "--memory=64MiB", "--listen-unix=/dev/null/cairn.sock",
               "--listen-tcp=", "--listen-http=", *flags)
    assert done.returncode in (1, 2), done.stderr
    return done.stderr if done.returncode == 2 else ""


def agree(arguments, cases):
    """Of each case (text, values, flags): both take it, or neither; and there are some of each kind."""
    wrong, taken, refused = [], 0, 0
    for text, values, flags in cases:
        chart, daemon = chart_takes(arguments, values), daemon_takes(arguments, *flags)
        taken, refused = taken + (not daemon), refused + bool(daemon)
        if bool(chart) != bool(daemon):
            wrong.append(f"'{text}' is refused by {'the chart' if chart else 'cairnd'} alone: {chart or daemon}")
    assert not wrong, "\n".join(wrong)
    assert taken and refused, (taken, refused)


def planners(arguments):
    told = text_of(arguments, "planner").split("Where checkpoints go: ")[1]
    told = re.sub(r"\(.*?\)| or ", ",", told)
    known = [re.sub("[A-Z]+$", "8", one) for one in re.findall(r"[a-z_]+(?::[A-Z]+)?", told)]
    assert {"trie", "dense", "block:8", "branch_backoff:8"} <= set(known), known
    other = ["foo", "Trie", "block", "block:", "block:0", "block:x", "block:1,2", "branch_backoff:0", "dense:1", "",
             "branch_backoff:4096", "branch_backoff:4097", "branch_backoff:65536"]
    for name in known:
        assert not daemon_takes(arguments, f"--planner={name}"), f"cairnd --help names {name}"
    agree(arguments, [(name, {"planner": name}, [f"--planner={name}"]) for name in known + other])


def codecs(arguments):
    told = text_of(arguments, "ssd-codec")
    lossy = re.search(r"checkpoint:CODEC\+kv:CODEC with ([a-z0-9_, ]+);", told).group(1).split(", ")
    assert "fp8_kv" in lossy and "int8_column" in lossy, lossy
    known = ["none", "lossless", *lossy]
    rules = known + [f"{kind}:{codec}" for kind in ("kv", "checkpoint") for codec in known]
    rules += ["zip", "kv", "kv:zip", "checkpoint:lossless+kv:fp8_kv", "kv:fp8_kv+checkpoint:int8_column",
              "kv:fp8_kv+kv:int8_kv", "lossless,small=kv:fp8_kv", "small=none", "none, small=lossless , b=kv:kivi2",
              "none,small", "none,=lossless", "none,a=none,a=lossless", "none,", "disk:none"]
    agree(arguments, [(rule, {"ssd": {"size": "64Mi", "codec": rule}}, [f"--ssd-codec={rule}"]) for rule in rules])


def evictions_and_levels(arguments):
    """These are in the schema."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))["properties"]
    told = text_of(arguments, "eviction").split("What goes first: ")[1]
    assert set(re.findall(r"\w+", told.replace(" or ", " "))) == set(schema["eviction"]["enum"]), told
    levels = re.search(r"\{([a-z,]+)\}", text_of(arguments, "log-level")).group(1).split(",")
    assert set(levels) == set(schema["logLevel"]["enum"]), levels


def settings(arguments):
    """An option is either the chart's own, or passed on by `settings`; another is refused in its name."""
    options = set(re.findall(r"^  (?:-h,)?--([a-z-]+)", help_of(arguments), re.M))
    assert len(options) > 40 and NOT_PASSED <= options, options
    template = (CHART / "templates" / "_validate_daemon.tpl").read_text(encoding="utf-8")
    own = set(re.findall(r'"([^"]+)" "[^"]+"', re.search(r"\$own := dict (.*) -\}\}", template).group(1)))
    taken = set(re.findall(r'"([^"]+)"', re.search(r"\$taken := list (.*) -\}\}", template).group(1)))
    assert own.isdisjoint(taken), own & taken
    assert own | taken | NOT_PASSED == options, \
        f"the chart has no place for {options - own - taken - NOT_PASSED}, and cairnd none for {(own | taken) - options}"
    assert not chart_takes(arguments, {"settings": {name: 1 for name in taken}})
    for name in own | NOT_PASSED | {"nonsense", "lease_ms"}:
        told = chart_takes(arguments, {"settings": {name: 1}})
        assert f"settings.{name}: " in told, told


def identities(arguments):
    """As far as the chart judges them more strictly, it does so in words: chart_test.py."""
    tls = ["--tls-cert=/x", "--tls-key=/x", "--tls-ca=/x"]
    both = ["spiffe://x/a", "a.example", "A.Example", "spiffe://x/ä", "a b", "x" * 2048, "x" * 2049, "a\x7f"]
    patterns = ["*", "spiffe://x/*", "spiffe://*", "spiffe:///*", "spiffe://x/a*", "acme*", "*.example",
                "spiffe://x/*/*"]
    agree(arguments, [(one, {"tenants": [{"name": "a", "identities": [one]}]}, [*tls, f"--tls-tenants={one}=a"])
                      for one in both + patterns])
    agree(arguments, [(one, {"admins": [one]}, [*tls, f"--tls-admins={one}"]) for one in both + patterns])


TESTS = [planners, codecs, evictions_and_levels, settings, identities]

if __name__ == "__main__":
    sys.exit(main(__doc__, "ChartAndDaemonAgree", TESTS))
