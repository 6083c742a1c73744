"""Code that only makes a sweep start sooner: without this folder every sweep has the same results, only later.

To remove it, delete this folder and tests/search/startup, and the lines that use it in `search/__main__.py`,
`search/commands/`, `transfersweep/__init__.py`, `search/engine/start.py`, `search/preflight/preflight.py` and
`search/cluster/connection.py`. Then the preflight's dry run is a Ray task, and trials train all source stages.

`benchmarks/startup.py` measures each part by switching it off (benchmarks/RESULTS.md). A sweep of two trials takes 32
to 34 s on two cores of a fast machine and 42 to 45 s on a slower one. Seconds that it took longer without the part:
`dry_run_process.py` 2.4, `first_source.py` 1.3, rare garbage collection 3.0, Ray started in the background 0.0 and 3.0
in two rounds, `slots.IDLE_SECONDS` -1.6 and 0.7, on the slower machine 3.7 and 1.0 (and 5 to 6 CPU seconds).
`slots.MALLOC_VARIABLES` speeds up steps: less than 2,000 page faults, not 80,000.
"""
