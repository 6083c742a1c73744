"""What the processes of slots are started with, where a sweep starts Ray itself."""

IMPORTS = "search.startup.slot_imports"
"""What they import, some seconds long, while the driver is not ready for them yet."""
IDLE_SECONDS = 60.0
"""How long such a process may wait for its slot's first trial. Ray ends what waits for longer than a second."""
MALLOC_VARIABLES = {
    "GLIBC_TUNABLES": f"glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold={2**25}:glibc.malloc.trim_threshold={2**31}"
}
"""How they take memory, where glibc hands it out: in huge pages, which they keep. Without it each step of training
waits for pages of 4 kB that the step before has given back."""
