"""The table of docs/benchmarks.md, "Three daemons against one": cairn-sim for each trace, planner and memory.

cluster_cells.py CAIRN_SIM TRACES OUT.json
"""

import json
import os
import subprocess
import sys

DAEMONS = "3"
# Where one daemon keeps most of what comes back, and a quarter to a half of that.
MEMORY = {
    "claude-code": ("600GB", "250GB"),
    "mooncake-conv": ("1000GB", "400GB"),
    "mooncake-synth": ("1000GB", "400GB"),
    "narrativeqa-shape": ("400GB", "150GB"),
    "sysprompt-static": ("120GB", "64GB"),
    "sysprompt-rollout": ("120GB", "64GB"),
    "qmsum": ("64GB", "32GB"),
    "taubench": ("32GB", "8GB"),
    "miniswe": ("16GB",),
    "magentic": ("16GB",),
    "azure-noreuse": ("16GB",),
}
PLANNERS = ("turn_end_demand", "trie")


def simulate(program, trace, memory, planner, daemons):
    command = [program, "run", "--trace", trace, "--strategy", planner, "--capacity", memory,
               "--daemons", daemons, "--json", "--quiet"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)}: {run.stderr.strip()}")
    return json.loads(run.stdout)


def main():
    program, traces, out = sys.argv[1:]
    only = [name for name in os.environ.get("ONLY", "").split(",") if name]
    rows = []
    print("| trace | memory in all | one daemon, % of the prompts: default, trie | three to one: default, trie | "
          "bytes from their mean: default, trie |")
    print("| --- | --- | --- | --- | --- |")
    for name, memories in MEMORY.items():
        path = os.path.join(traces, name + ".public.jsonl.gz")
        if (only and name not in only) or not os.path.exists(path):
            continue
        for memory in memories:
            served, ratios, apart = [], [], []
            for planner in PLANNERS:
                one = simulate(program, path, memory, planner, "1")
                three = simulate(program, path, memory, planner, DAEMONS)
                rows.append({"trace": name, "memory": memory, "planner": planner, "one": one["served_tokens"],
                             "three": three["served_tokens"], "daemons": three["daemons"]})
                served.append(f"{100 * one['served_tokens'] / one['prompt_tokens']:.1f}")
                ratios.append(f"{three['served_tokens'] / one['served_tokens']:.3f}"
                              if one["served_tokens"] else "-")
                apart.append(f"{100 * three['bytes_from_mean']:.0f} %")
            print(f"| {name} | {memory} | {', '.join(served)} | {', '.join(ratios)} | {', '.join(apart)} |",
                  flush=True)
    with open(out, "w", encoding="utf-8") as file:
        json.dump(rows, file, indent=1)


main()
