"""What lets a sweep start sooner, and nothing else: without this folder every sweep finds the same, only later.

To take it away: delete the folder and tests/search/startup, and its five users' lines (`search/__main__.py`,
`transfersweep/__init__.py`, `search/engine/start.py`, `search/preflight/preflight.py`, `search/cluster/connection.py`).
The batch of the preflight is a Ray task then, source stages are trained by trials, and slots import when they start.

`benchmarks/startup.py` measures each part by switching it off. Until it has run on a quiet machine, these are the
seconds that each part saved when it was made, on two cores (CHANGELOG): `dry_run_process.py` 3 to 4 until the search
begins; `first_source.py` 5 to 6 until the first step of a target stage; `slot_imports.py`, with Ray started in the
background, 10 until the first trial. `slots.MALLOC_VARIABLES` speeds up steps: less than 2,000 page faults, not 80,000.
"""
