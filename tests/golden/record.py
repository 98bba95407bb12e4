"""Record what the golden runs give now: ``python tests/golden/record.py [NAME ...]``; all of them if none is named.

Only at a commit whose numbers are trusted, and with the reason in the commit's message.
"""

import json
import sys
import time

from cases import HERE, NAMES, environment, observe

FILE = HERE / "record.json"

if __name__ == "__main__":
    chosen = sys.argv[1:] or NAMES
    unknown = set(chosen) - set(NAMES)
    if unknown:
        sys.exit(f"no such golden run: {', '.join(sorted(unknown))}")
    old = json.loads(FILE.read_text("utf-8"))["runs"] if sys.argv[1:] else {}
    runs = {}
    for name in NAMES:
        if name in chosen:
            began = time.perf_counter()
            runs[name] = observe(name)
            print(f"{name:<26}{time.perf_counter() - began:6.2f} s  {runs[name]['bits'][:12]}", flush=True)
        elif name in old:
            runs[name] = old[name]
    text = json.dumps({"environment": environment(), "runs": runs}, separators=(",", ":"), sort_keys=True)
    FILE.write_text(text.replace('},"', '},\n"') + "\n", "utf-8")
