"""The device: arithmetic, kernels, memory, recorded steps."""
