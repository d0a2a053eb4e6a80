"""The table of docs/benchmarks.md, "Value at equal bytes", from the JSON of `cairn-sim sweep`.

b is the best of all online strategies with lru, and of marconi with its own eviction; o is the
clairvoyant. Closure is the share of the way from b to o that the learned placement goes, over cells
where o exceeds b by more than 5 %.
"""

import json
import os
import sys


def share(run):
    return run["served_tokens"] / max(run["prompt_tokens"], 1)


def name_of(run):
    # Of marconi there are two: with its own eviction, and with that of engines.
    both = run["strategy"] == "marconi" and run["eviction"] == "lru"
    return "marconi@lru" if both else run["strategy"]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        runs = json.load(file)
    cells = {}
    for run in runs:
        if "error" in run:
            sys.exit(f"{run['trace']}, {run['strategy']}: {run['error']['message']}")
        key = (os.path.basename(run["trace"]).split(".")[0], run["block_tokens"], run["capacity_bytes"])
        cells.setdefault(key, {})[name_of(run)] = run
    closures, worse, more = [], 0, 0
    print("| trace | block | GB | b | by | o | learned | closure | written, of turn_end_demand |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for (trace, block, capacity), by in sorted(cells.items()):
        ours, best_of_all, engine = by.pop("trie"), by.pop("oracle"), by["turn_end_demand"]
        best = max(by, key=lambda name: share(by[name]))
        b, o, learned = share(by[best]), share(best_of_all), share(ours)
        closure = "-"
        if o > 1.05 * b:
            closures.append((learned - b) / (o - b))
            closure = f"{closures[-1]:.2f}"
        written = ours["bytes_written"] / max(engine["bytes_written"], 1)
        worse += learned < 0.995 * b
        more += written > 1
        print(f"| {trace} | {block} | {capacity / 1e9:.0f} | {100 * b:.1f} | {best} | {100 * o:.1f} | "
              f"{100 * learned:.1f}{' (less)' if learned < 0.995 * b else ''} | {closure} | {written:.2f} |")
    mean = sum(closures) / max(len(closures), 1)
    print(f"\nMean closure {mean:.3f} over {len(closures)} of {len(cells)} cells; "
          f"less than b in {worse}; more written than turn_end_demand in {more}.")


main()
