"""What a process imports that Ray starts for a slot, before there is a trial for it: some seconds of work."""

import gc

from search.startup.garbage_collection import no_garbage_collection

with no_garbage_collection():
    import trainable.preview.dry_run
    import trainable.workers.actor  # noqa: F401

gc.freeze()  # what is there now is never garbage
