"""The device: precision, kernels, lack of memory, CUDA graphs."""
