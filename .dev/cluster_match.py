"""How long a match takes with three daemons and with one, of replays in turn.

cluster_match.py FOLDER OUT.json: FOLDER has DAEMONS.ROUND.json of `cairn-bench replay --save`.
"""

import glob
import json
import os
import statistics
import sys


def rounds(folder, daemons):
    reports = []
    for path in sorted(glob.glob(os.path.join(folder, f"{daemons}.*.json"))):
        with open(path, encoding="utf-8") as file:
            reports.append(json.load(file))
    return reports


def main():
    folder, out = sys.argv[1:]
    three, one = rounds(folder, 3), rounds(folder, 1)
    figures = {"served_ratio": three[-1]["served_tokens"] / one[-1]["served_tokens"]}
    for which in ("p50", "p99"):
        pairs = [(t["match_us"][which], o["match_us"][which]) for t, o in zip(three, one)]
        three_us = statistics.median(t for t, _ in pairs)
        one_us = statistics.median(o for _, o in pairs)
        ratios = [t / o for t, o in pairs]
        figures[which] = {"three_us": three_us, "one_us": one_us, "ratios": ratios}
        print(f"match {which}: three daemons {three_us:.1f} us, one {one_us:.1f} us, ratio of the medians "
              f"{three_us / one_us:.2f}; of each round {', '.join(f'{r:.2f}' for r in ratios)}")
    print(f"served tokens, three to one: {figures['served_ratio']:.3f}")
    with open(out, "w", encoding="utf-8") as file:
        json.dump(figures, file, indent=1)


main()
