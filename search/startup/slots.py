"""Settings for the processes of slots, used if the sweep starts Ray itself."""

IDLE_SECONDS = 60.0
"""Time that a slot's process may wait for its first trial. By default Ray ends a process that waits longer than 1 s."""
MALLOC_VARIABLES = {
    "GLIBC_TUNABLES": f"glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold={2**25}:glibc.malloc.trim_threshold={2**31}"
}
"""Settings of glibc's memory management: huge pages, which a process keeps. Otherwise each training step waits for
pages of 4 kB that the previous step has returned."""
