"""What asv times commit by commit: the kernels, one class for each, by size of tile."""
