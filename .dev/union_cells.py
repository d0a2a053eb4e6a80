"""The tables of docs/benchmarks.md, "Checkpoints per request", from the JSON of `cairn-sim sweep`.

Each file is a sweep with one M: `union_cells.py 1=FILE 2=FILE ...`. branch_end does not depend on
M and stands in the first file only.
"""

import json
import os
import sys


def load(arguments):
    cells = {}  # (trace, K) -> strategy -> M -> recomputed tokens per request
    overlap = {}
    for argument in arguments:
        most, path = argument.split("=", 1)
        with open(path, encoding="utf-8") as file:
            runs = json.load(file)
        for run in runs:
            if "error" in run:
                sys.exit(f"{run['trace']}, {run['strategy']}: {run['error']['message']}")
            trace = os.path.basename(run["trace"]).split(".")[0]
            requests = max(run["requests"], 1)
            strategy = run["strategy"].split(":")[0]
            by = cells.setdefault((trace, run["capacity_checkpoints"]), {})
            by.setdefault(strategy, {})[int(most)] = run["gap_tokens"] / requests
            overlap[trace] = run["overlap_tokens"] / requests
    return cells, overlap


def list_of(by_most):
    return " / ".join(f"{gap:,.0f}" for _, gap in sorted(by_most.items()))


def main():
    cells, overlap = load(sys.argv[1:])
    more, compared, ratios, rows = [], 0, {}, {}
    print("| trace (overlap) | K | branch_end | branch_backoff:M | two_sided:M | trie, M at most |")
    print("| --- | --- | --- | --- | --- | --- |")
    for (trace, room), by in sorted(cells.items()):
        branch_end = next(iter(by["branch_end"].values()))
        row = (f"{branch_end:,.0f} | {list_of(by['branch_backoff'])} | {list_of(by['two_sided'])} | "
               f"{list_of(by['trie'])}")
        rows.setdefault((trace, row), []).append(room)
        for most, gap in sorted(by["trie"].items()):
            compared += 1
            for rival in ("branch_backoff", "two_sided"):
                # Half a token is what the table cannot show.
                if gap > by[rival][most] + 0.5:
                    more.append(f"{trace} K={room:,} M={most} {rival} {gap:,.0f} > {by[rival][most]:,.0f}")
            if branch_end > 0:
                ratios.setdefault((room, most), []).append(gap / branch_end)
    for (trace, row), rooms in rows.items():
        room = ", ".join(f"{one:,}" for one in rooms)
        print(f"| {trace} ({overlap[trace]:,.0f}) | {room} | {row} |")
    print("\nMean over the traces of trie / branch_end:\n")
    mosts = sorted({most for _, most in ratios})
    print("| K | " + " | ".join(f"M = {most}" for most in mosts) + " |")
    print("| --- |" + " --- |" * len(mosts))
    for room in sorted({room for room, _ in ratios}):
        means = [sum(ratios[room, most]) / len(ratios[room, most]) for most in mosts]
        print(f"| {room:,} | " + " | ".join(f"{mean:.2f}" for mean in means) + " |")
    print(f"\nMore than a rival in {len(more)} of {2 * compared} comparisons:")
    for line in more:
        print(f"  {line}")


main()
