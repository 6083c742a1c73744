"""The imports of a slot's process, some seconds of work; Ray imports this module before the first trial."""

import gc

from search.startup.garbage_collection import no_garbage_collection

with no_garbage_collection():
    import trainable.preview.dry_run
    import trainable.workers.actor  # noqa: F401

gc.freeze()  # the objects that exist now are never garbage
