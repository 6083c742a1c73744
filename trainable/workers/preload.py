"""What a process imports that Ray starts for a slot, before there is a trial for it: some seconds of work.

Nothing is collected meanwhile, which takes a fifth of the time and finds nothing, and what is there then never again.
"""

import gc

gc.disable()

import trainable.preview.dry_run  # noqa: E402, F401
import trainable.workers.actor  # noqa: E402, F401

gc.freeze()
gc.enable()
