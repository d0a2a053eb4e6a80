"""The table of docs/benchmarks.md, "What each part contributes".

Usage: placement_ablation.py FOLDER [TRACES_WANTED]

FOLDER holds ablation.json, the sweep of all strategies, and for each switch of the learned placement
ablation<switch>.json, a sweep of it alone. Closure is that of placement_cells.py, over the same cells
in every row.
"""

import os
import sys

sys.dont_write_bytecode = True
from placement_cells import Cell, mean, read, tell_traces  # noqa: E402

ROWS = (
    ("all of it", "", "trie@value"),
    ("placement alone: lru evicts", "", "trie@lru"),
    ("eviction alone: states as turn_end_demand", "", "turn_end_demand@value"),
    ("eviction alone: states as branch_backoff:4", "", "branch_backoff:4@value"),
    ("without admission", "--no-admission", "trie@value"),
    ("without reuse statistics", "--no-reuse-statistics", "trie@value"),
    ("without distance statistics", "--no-distance-statistics", "trie@value"),
    ("without the bound on writes", "--no-write-bound", "trie@value"),
)


def main():
    folder = sys.argv[1]
    whole = read(os.path.join(folder, "ablation.json"))
    tell_traces(whole, sys.argv[2:])
    cells = {key: Cell(runs) for key, runs in whole.items()}
    print("| what runs | command | mean closure | less than b, cells | written, of turn_end_demand: "
          "mean, most |")
    print("| --- | --- | --- | --- | --- |")
    for text, switch, name in ROWS:
        sweep = read(os.path.join(folder, f"ablation{switch}.json")) if switch else whole
        if sweep.keys() != cells.keys():
            sys.exit(f"ablation{switch}.json has other cells than ablation.json")
        runs = {key: of[name] for key, of in sweep.items()}
        closures = [cells[key].closure(run) for key, run in runs.items()]
        closures = [closure for closure in closures if closure is not None]
        written = [cells[key].written(run) for key, run in runs.items()]
        command = f"`{name}`" + (f" `{switch}`" if switch else "")
        print(f"| {text} | {command} | {mean(closures):.3f} | "
              f"{sum(cells[key].less(run) for key, run in runs.items())} | "
              f"{mean(written):.2f}, {max(written):.2f} |")
    print(f"\nClosure over {len(closures)} of {len(cells)} cells.")


if __name__ == "__main__":
    main()
