"""Code that only makes a sweep start sooner: without this folder every sweep has the same results, only later.

To remove it, delete this folder and tests/search/startup, and the lines that use it in `search/__main__.py`,
`transfersweep/__init__.py`, `search/engine/start.py`, `search/preflight/preflight.py` and
`search/cluster/connection.py`. Then the preflight's dry run is a Ray task, trials train all source stages, and slots
(the processes that run one trial after another) import when they get their first trial.

`benchmarks/startup.py` measures each part by switching it off. It has not yet run on a quiet machine. When each part
was written, it saved on two cores (CHANGELOG): `dry_run_process.py` 3 to 4 s until the search begins;
`first_source.py` 5 to 6 s until the first step of a target stage; `slot_imports.py`, with Ray started in the
background, 10 s until the first trial. `slots.MALLOC_VARIABLES` speeds up steps: less than 2,000 page faults, not
80,000.
"""
