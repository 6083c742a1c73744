"""Code that only makes a sweep start sooner: without this folder every sweep has the same results, only later.

To remove it, delete this folder and tests/search/startup, and the lines that use it in `search/__main__.py`,
`transfersweep/__init__.py`, `search/engine/start.py`, `search/preflight/preflight.py` and
`search/cluster/connection.py`. Then the preflight's dry run is a Ray task, trials train all source stages, and slots
(the processes that run one trial after another) import when they get their first trial.

`benchmarks/startup.py` measures each part by switching it off (benchmarks/RESULTS.md). Two cores of a fast machine, a
sweep of two trials in 32 to 34 s, seconds that the whole sweep took longer without the part: `dry_run_process.py` 2.4,
`first_source.py` 1.3, rare garbage collection 3.0, Ray started in the background 0.0 and 3.0 in two rounds. No gain
beyond the noise of about 1.5 s: `slot_imports.py` (-2.7, -0.2) and `slots.IDLE_SECONDS` (-1.6, 0.7); they may go if a
slow machine shows the same. `slots.MALLOC_VARIABLES` speeds up steps: less than 2,000 page faults, not 80,000.
"""
