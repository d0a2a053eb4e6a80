"""The table of docs/benchmarks.md, "Value at equal bytes", from the JSON of `cairn-sim sweep`.

Usage: placement_cells.py SWEEP.json [TRACES_WANTED]

b is the best of all online strategies with lru, and of marconi with its own eviction; o is the
clairvoyant. Closure is the share of the way from b to o that the learned placement goes, over cells
where o exceeds b by more than 5 %.
"""

import json
import os
import sys

LEAST_WAY = 1.05  # o over b, for a closure to mean anything.
TIE = 0.995


def share(run):
    return run["served_tokens"] / max(run["prompt_tokens"], 1)


def read(path):
    """The runs by cell, that is trace, block and capacity, and in it by "strategy@eviction"."""
    with open(path, encoding="utf-8") as file:
        runs = json.load(file)
    cells = {}
    for run in runs:
        if "error" in run:
            sys.exit(f"{run['trace']}, {run['strategy']}: {run['error']['message']}")
        key = (os.path.basename(run["trace"]).split(".")[0], run["block_tokens"], run["capacity_bytes"])
        cells.setdefault(key, {})[f"{run['strategy']}@{run['eviction']}"] = run
    return cells


class Cell:
    """What a cell is measured by."""

    def __init__(self, runs):
        online = {name: run for name, run in runs.items()
                  if name.endswith(("@lru", "@marconi")) and not name.startswith("trie@")}
        self.by = max(online, key=lambda name: share(online[name]))
        self.b, self.o = share(online[self.by]), share(runs["oracle@oracle"])
        self.engine_bytes = max(online["turn_end_demand@lru"]["bytes_written"], 1)

    def closure(self, run):
        """None where there is no way to go."""
        return (share(run) - self.b) / (self.o - self.b) if self.o > LEAST_WAY * self.b else None

    def written(self, run):
        return run["bytes_written"] / self.engine_bytes

    def less(self, run):
        return share(run) < TIE * self.b


def tell_traces(cells, wanted):
    """Says so where the figures are not those of all public traces."""
    seen = {key[0] for key in cells}
    absent = [name for name in wanted if name not in seen]
    if absent:
        print(f"NOT THE FIGURES OF docs/benchmarks.md: of {len(wanted)} public traces "
              f"{len(absent)} are absent ({', '.join(absent)}); these are of {', '.join(sorted(seen))}.\n")


def short(name):
    """Without the eviction that the strategy has by default."""
    strategy, eviction = name.split("@")
    return strategy if eviction == ("marconi" if strategy == "marconi" else "lru") else name


def mean(values):
    return sum(values) / max(len(values), 1)


def main():
    cells = read(sys.argv[1])
    tell_traces(cells, sys.argv[2:])
    closures, worse, more = [], 0, 0
    print("| trace | block | GB | b | by | o | learned | closure | written, of turn_end_demand |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for (trace, block, capacity), runs in sorted(cells.items()):
        cell, ours = Cell(runs), runs["trie@value"]
        closure = cell.closure(ours)
        if closure is not None:
            closures.append(closure)
        worse += cell.less(ours)
        more += cell.written(ours) > 1
        print(f"| {trace} | {block} | {capacity / 1e9:.0f} | {100 * cell.b:.1f} | {short(cell.by)} | "
              f"{100 * cell.o:.1f} | {100 * share(ours):.1f}{' (less)' if cell.less(ours) else ''} | "
              f"{'-' if closure is None else f'{closure:.2f}'} | {cell.written(ours):.2f} |")
    print(f"\nMean closure {mean(closures):.3f} over {len(closures)} of {len(cells)} cells; "
          f"less than b in {worse}; more written than turn_end_demand in {more}.")


if __name__ == "__main__":
    main()
